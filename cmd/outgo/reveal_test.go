package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

// TestAReadThatRevealsGoesThroughThePolicies reads a card with its number, as an agent
// does who wants to pay with it where outgo cannot see.
func TestAReadThatRevealsGoesThroughThePolicies(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, fmt.Sprintf("%s %s key=%q body=%d", r.Method, r.RequestURI, r.Header.Get("Idempotency-Key"), len(body)))
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"ic_1","object":"issuing.card","number":"4000009990000005"}`) //nolint:errcheck // a test
	}))
	defer provider.Close()
	for name, c := range map[string]struct {
		capabilities, path string
		status             int
		code               spend.Code
		seen               string
	}{
		"a policy that lets it pass":        {"allow", "/v1/issuing/cards/ic_1?expand[]=number", 200, "", `GET /v1/issuing/cards/ic_1?expand[]=number key="" body=0`},
		"a policy that does not":            {"deny", "/v1/issuing/cards/ic_1?expand[]=number", 403, spend.CapabilityNotAllowed, ""},
		"a read of the card and no more":    {"deny", "/v1/issuing/cards/ic_1?expand[]=cardholder", 200, "", `GET /v1/issuing/cards/ic_1?expand[]=cardholder key="" body=0`},
		"a read in a version that is none":  {"allow", "/v9/issuing/cards/ic_1", 400, spend.UnrecognisedCall, ""},
		"a read with an escape that is not": {"allow", "/v1/issuing/cards/ic_1?expand[]=%zz", 400, spend.Malformed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			seen = nil
			s := startTest(t, loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: {url: %q}}\npolicies: [{name: all, unit: USD, capabilities: %s}]\n", provider.URL, c.capabilities)))
			request, err := http.NewRequest(http.MethodGet, "https://api.stripe.com"+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer sk_test_1")
			reply, err := s.client(t).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer reply.Body.Close() //nolint:errcheck // it was read
			body, _ := io.ReadAll(reply.Body)
			if reply.StatusCode != c.status || reply.Header.Get("Outgo-Code") != string(c.code) {
				t.Errorf("%d %s %s, want %d %s", reply.StatusCode, reply.Header.Get("Outgo-Code"), body, c.status, c.code)
			}
			mu.Lock()
			defer mu.Unlock()
			if got := fmt.Sprint(seen); c.seen == "" && len(seen) > 0 || c.seen != "" && got != "["+c.seen+"]" {
				t.Errorf("the provider saw %s, want [%s]", got, c.seen)
			}
		})
	}
}
