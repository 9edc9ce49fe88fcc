package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An intended call is a line of testdata/clients/operations.tsv: a call of an SDK
// and what outgo must see in it.
type intended struct{ operation, class, decision, legs string }

func intendedCalls(t *testing.T) map[string]intended {
	t.Helper()
	text, err := os.ReadFile("testdata/clients/operations.tsv")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]intended{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 5 {
			t.Fatalf("operations.tsv: %q has %d fields, want 5", line, len(f))
		}
		calls[f[0]] = intended{operation: f[1], class: f[2], decision: f[3], legs: f[4]}
	}
	return calls
}

// sdkPrograms are those that make the calls of the table.
func sdkPrograms() []program {
	all := programs()
	node, stripeGo := all[0], all[1]
	return []program{
		{name: node.name, argv: func(t *testing.T) []string {
			argv := node.argv(t)
			argv[1] = filepath.Join(filepath.Dir(argv[1]), "operations.mjs")
			return argv
		}},
		{name: stripeGo.name, argv: func(t *testing.T) []string {
			bin := filepath.Join(t.TempDir(), "operations")
			build := exec.Command("go", "build", "-o", bin, "./operations")
			build.Dir = "testdata/clients/stripego"
			if out, err := build.CombinedOutput(); err != nil {
				lack(t, "the stripe-go program does not build (its modules may be out of reach): %v\n%s", err, out)
			}
			return []string{bin}
		}},
	}
}

// Unmodified SDKs make a call of each kind, and of each outgo sees what the program
// meant: its class, and of what moves money how much of what goes to whom. The
// provider is stripe-mock, which answers every lookup with the same few objects.
func TestEveryCallOfTheSDKsIsSeenForWhatItIs(t *testing.T) {
	want := intendedCalls(t)
	for _, p := range sdkPrograms() {
		t.Run(p.name, func(t *testing.T) {
			argv := p.argv(t)
			mock := "{url: \"" + stripeMockWithV2(t) + "\"}"
			text := fmt.Sprintf("upstreams: {api.stripe.com: %s, files.stripe.com: %s}\npolicies:\n", mock, mock)
			for _, unit := range []string{"USD", "EUR", "JPY", "KWD"} {
				text += fmt.Sprintf("  - {name: %s, unit: %s, capabilities: allow}\n", strings.ToLower(unit), unit)
			}
			d := newService(t, text)
			made := runProgram(t, d, argv)
			lines := decisionLines(t, d, len(made))
			seen := map[string]bool{}
			for i, call := range made {
				w, ok := want[call.Name]
				if !ok {
					t.Errorf("the call %q is not in operations.tsv; outgo sees %+v", call.Name, lines[i])
					continue
				}
				seen[call.Name] = true
				l := lines[i]
				got := intended{operation: l.Operation, class: l.Class, decision: l.Decision, legs: legsOf(d, l.Request)}
				if got != w {
					t.Errorf("%s: outgo sees %+v, want %+v", call.Name, got, w)
				}
				if through := w.decision == "forwarded" || w.decision == "passed"; call.OK != through {
					t.Errorf("%s: the SDK returned %+v after the decision %s", call.Name, call, w.decision)
				}
			}
			for name, w := range want {
				if p.name == "stripe-go" && strings.HasPrefix(w.operation, "v2.money_management.") {
					continue // it has no such calls
				}
				if !seen[name] {
					t.Errorf("the program does not make the call %q", name)
				}
			}
			if len(seen) < 40 {
				t.Errorf("the program made %d calls, want 40 at least", len(seen))
			}
		})
	}
}

// stripeMockWithV2 is stripe-mock, with an answer to the calls of /v2 that it does
// not know: the object made, as it was asked for.
func stripeMockWithV2(t *testing.T) string {
	t.Helper()
	mock := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: startStripeMock(t)})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v2/") {
			mock.ServeHTTP(w, r)
			return
		}
		object := map[string]any{}
		if err := json.NewDecoder(r.Body).Decode(&object); err != nil && !errors.Is(err, io.EOF) {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		object["id"], object["object"], object["status"] = "obj_1", strings.ReplaceAll(strings.Trim(r.URL.Path, "/"), "/", "."), "processing"
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object) // the client says what is missing
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// A made call is what an SDK returned of one.
type madeCall struct {
	result
	Name string `json:"name"`
}

// runProgram runs a program in the environment that outgo gives and returns its lines.
func runProgram(t *testing.T, d *service, argv []string) []madeCall {
	t.Helper()
	env := map[string]string{}
	stdout, stderr, status := outgo(t, "", "env", "--config", d.config, "--format", "json")
	if err := json.Unmarshal([]byte(stdout), &env); err != nil || status != 0 {
		t.Fatalf("outgo env: %v %s%s", err, stdout, stderr)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "STRIPE_API_KEY=sk_test_outgo")
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, complaints.String())
	}
	var made []madeCall
	for line := range bytes.Lines(out) {
		var c madeCall
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatalf("%v printed %q: %v", argv, line, err)
		}
		made = append(made, c)
	}
	return made
}

// A decision is what the log says of one call.
type loggedCall struct {
	Msg, Class, Operation, Host, Path, Decision, Code, Request string
}

// decisionLines waits for the lines of n calls and returns them. Programs make one
// call after the other, so that they stand in order.
func decisionLines(t *testing.T, d *service, n int) []loggedCall {
	t.Helper()
	var lines []loggedCall
	for range 200 {
		lines = lines[:0]
		for line := range strings.Lines(d.log.String()) {
			var l loggedCall
			if json.Unmarshal([]byte(line), &l) == nil && l.Msg == decisionLine && strings.HasSuffix(l.Host, ".stripe.com") {
				lines = append(lines, l)
			}
		}
		if len(lines) >= n {
			break
		}
		time.Sleep(25 * time.Millisecond) // the log is written a few times a second
	}
	if len(lines) != n {
		t.Fatalf("outgo logged %d calls, and the program made %d: %+v", len(lines), n, lines[max(0, len(lines)-8):])
	}
	return lines
}

// legsOf renders the legs of a request as the table has them, "-" for none.
func legsOf(d *service, id string) string {
	if id == "" {
		return "-"
	}
	var r struct {
		Legs []struct {
			Kind, Unit, Payee string
			AmountMinor       json.RawMessage
		}
	}
	if status := d.api("GET", "/spend-requests/"+id, "", nil, &r); status != 200 {
		d.t.Errorf("the request %s answers %d", id, status)
	}
	var legs []string
	for _, l := range r.Legs {
		legs = append(legs, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", l.Kind, strings.Trim(string(l.AmountMinor), `"`), l.Unit, l.Payee)))
	}
	if legs == nil {
		return "-"
	}
	return strings.Join(legs, ", ")
}
