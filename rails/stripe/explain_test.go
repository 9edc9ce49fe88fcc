package stripe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// request is one line of testdata/explain/*.jsonl, the input of "outgo explain".
type request struct {
	ID         string                     `json:"id"`
	Method     string                     `json:"method"`
	URL        string                     `json:"url"`
	Headers    map[string]json.RawMessage `json:"headers"`
	Body       string                     `json:"body"`
	BodyBase64 []byte                     `json:"body_base64"`
	Transport  string                     `json:"transport"`
}

// expectation is one line of testdata/explain/*.want: fields that the output
// of "outgo explain" must have, apart from what a policy adds.
type expectation struct {
	ID   string         `json:"id"`
	Want map[string]any `json:"want"`
}

// call makes the call that a proxy would hand to the rail, or the refusal of
// the canonicalisers.
func (q *request) call() (*rails.Call, error) {
	authority, target, ok := strings.Cut(strings.TrimPrefix(q.URL, "https://"), "/")
	if !ok {
		target = ""
	} else {
		target = "/" + target
	}
	host, err := rails.CanonicalHost(strings.TrimSuffix(authority, ":443"))
	if err != nil {
		return nil, err
	}
	path, query, hasQuery, err := rails.CanonicalTarget(target)
	if err != nil {
		return nil, err
	}
	c := &rails.Call{Host: host, Method: q.Method, Path: path, Query: query, HasQuery: hasQuery, Body: []byte(q.Body), WebSocket: q.Transport == "ws"}
	if q.BodyBase64 != nil {
		c.Body = q.BodyBase64
	}
	for name, raw := range q.Headers {
		values := []string{""}
		if json.Unmarshal(raw, &values[0]) != nil {
			if err := json.Unmarshal(raw, &values); err != nil {
				return nil, err
			}
		}
		for _, v := range values {
			c.Header = append(c.Header, rails.Field{Name: name, Value: v})
		}
	}
	return c, nil
}

// explain renders what the rail makes of a request in the shape of "outgo
// explain", without a decision.
func explain(r rails.Rail, q *request) map[string]any {
	c, err := q.call()
	var j rails.Judgement
	if err == nil {
		if class := r.Match(c); class == spend.Read {
			return map[string]any{"rail": r.Name(), "class": "read", "network": "stripe", "legs": []any{}, "lookup": ""}
		}
		j, err = r.Intent(c, nil)
	}
	if err != nil {
		var refusal *rails.Refusal
		if !errors.As(err, &refusal) {
			return map[string]any{"error": err.Error()}
		}
		return map[string]any{"class": "refuse", "reasons": []any{string(refusal.Code)}, "message": refusal.Reason}
	}
	legs, lookup := []any{}, ""
	for _, l := range j.Intent.Legs {
		legs = append(legs, map[string]any{
			"kind": string(l.Kind), "amount": l.Amount.Decimal(), "unit": l.Amount.Unit(),
			"payee": l.Payee, "merchant": l.Merchant, "category": l.Category,
		})
	}
	for _, l := range j.Lookups {
		lookup = l.String()
	}
	out := map[string]any{
		"rail": j.Intent.Rail, "class": string(j.Intent.Class), "operation": j.Intent.Operation,
		"network": j.Intent.Network, "legs": legs, "lookup": lookup,
	}
	if j.Intent.Class == spend.Unrecognised {
		out["reasons"] = []any{string(spend.UnrecognisedCall)}
	}
	return out
}

func readLines[T any](t testing.TB, file string) []T {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v in %.200s", file, err, lines.Text())
		}
		all = append(all, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func fixtures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/explain/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures under testdata/explain: %v", err)
	}
	return files
}

func TestExplainFixtures(t *testing.T) {
	r := New(Options{})
	for _, file := range fixtures(t) {
		requests := readLines[request](t, file)
		wants := readLines[expectation](t, strings.TrimSuffix(file, ".jsonl")+".want")
		if len(requests) != len(wants) {
			t.Fatalf("%s has %d requests and %d expectations", file, len(requests), len(wants))
		}
		for i := range requests {
			q, w := &requests[i], wants[i]
			t.Run(q.ID, func(t *testing.T) {
				if q.ID != w.ID || len(w.Want) == 0 {
					t.Fatalf("request %s stands beside expectation %s of %d fields", q.ID, w.ID, len(w.Want))
				}
				got := explain(r, q)
				for field, want := range w.Want {
					if !reflect.DeepEqual(got[field], want) {
						t.Errorf("%s %s with body %.200q: %s is %v, want %v (%v)", q.Method, q.URL, q.Body, field, got[field], want, got["message"])
					}
				}
			})
		}
	}
}
