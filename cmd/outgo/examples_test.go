package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
	"github.com/outgo/outgo/rails/stripe"
)

// exampleCalls runs stripe-go's own examples, one call of each method of the SDK,
// against stripe-mock, and returns what they sent.
func exampleCalls(t *testing.T) []rails.Call {
	t.Helper()
	mock := startStripeMock(t)
	var mu sync.Mutex
	var calls []rails.Call
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		// The examples have words for what Stripe draws; its ids have digits.
		body = bytes.ReplaceAll(body, []byte("xxx"), []byte("1x2"))
		path := strings.NewReplacer("xxx", "1x2", "_xyz", "_x1z", "/foo", "/foo1", "/example_", "/example_1").Replace(r.URL.EscapedPath())
		c := rails.Call{Host: "api.stripe.com", Method: r.Method, Path: path, Query: r.URL.RawQuery, HasQuery: r.URL.RawQuery != "", Body: body}
		if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
			c.Host = "files.stripe.com" // stripe-mock stands in for both
		}
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			for _, value := range r.Header[name] {
				c.Header = append(c.Header, rails.Field{Name: name, Value: value})
			}
		}
		mu.Lock()
		calls = append(calls, c)
		mu.Unlock()
		req, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+mock+r.RequestURI, bytes.NewReader(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req.Header = r.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // the client says what is missing
	}))
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()

	program := filepath.Join(t.TempDir(), "examples.test")
	build := exec.Command("go", "test", "-c", "-o", program, "-mod=mod", "-modfile", copyOfModule(t), "github.com/stripe/stripe-go/v86/example")
	build.Dir = "testdata/clients/stripego"
	if out, err := build.CombinedOutput(); err != nil {
		lack(t, "the examples of stripe-go do not build (its modules may be out of reach): %v\n%s", err, out)
	}
	run := exec.Command(program)
	run.Env = append(os.Environ(), "STRIPE_MOCK_PORT="+front.URL[strings.LastIndexByte(front.URL, ':')+1:])
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("the examples of stripe-go: %v\n%s", err, out)
	}
	mu.Lock()
	defer mu.Unlock()
	return calls
}

// copyOfModule copies the go.mod and go.sum of the stripe-go programs, for the go
// tool to add what only the examples need, and returns the copy's go.mod.
func copyOfModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile("testdata/clients/stripego/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "go.mod")
}

// An SDK's examples are what ordinary traffic looks like: none is refused for its
// form, and what cannot be known of one is known to be so.
func TestTheExamplesOfTheSDKAreNotRefused(t *testing.T) {
	r := stripe.New(stripe.Options{})
	reads, classes, unrecognised, refusals := 0, map[spend.Class]int{}, map[string]int{}, map[string]int{}
	for _, c := range exampleCalls(t) {
		if c.Path == "/" {
			continue // the examples ask whether anybody is there
		}
		j, err := r.Intent(&c, nil)
		var refusal *rails.Refusal
		switch {
		case errors.As(err, &refusal):
			refusals[fmt.Sprintf("%s %s: %s", c.Method, c.Path, refusal)]++
		case err != nil:
			t.Errorf("%s %s: %v", c.Method, c.Path, err)
		case c.Method == "GET":
			reads++
			continue
		case j.Intent.Class == spend.Unrecognised:
			unrecognised[j.Intent.Operation]++
		}
		if err == nil {
			classes[j.Intent.Class]++
		}
	}
	want := map[spend.Class]int{spend.Other: 486, spend.Capability: 87, spend.Spend: 114, spend.Unrecognised: 3}
	if reads != 567 || !maps.Equal(classes, want) {
		t.Errorf("the examples are %v and %d reads, want %v and 567", classes, reads, want)
	}
	if want := map[string]int{
		// How it ends may begin another period, of which nothing is said.
		"subscription_schedules.update": 3,
	}; !maps.Equal(unrecognised, want) {
		t.Errorf("not understood are %v, want %v", unrecognised, want)
	}
	if want := map[string]int{
		// These examples are not complete: of a shipping rate there is no price, and of an item neither.
		`POST /v1/checkout/sessions: MALFORMED: shipping_options[1][shipping_rate_data][fixed_amount][currency] is "", which Stripe's table does not hold`: 3,
		"POST /v1/invoiceitems: MALFORMED: amount is missing": 3,
	}; !maps.Equal(refusals, want) {
		t.Errorf("refused are %v, want %v", refusals, want)
	}
}
