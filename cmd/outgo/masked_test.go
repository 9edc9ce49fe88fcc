package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// callWith makes one call to Stripe under a key; a form makes it a POST.
func callWith(t *testing.T, c *http.Client, key, path string, form url.Values) (reply *http.Response, body string) {
	t.Helper()
	req, err := http.NewRequest("GET", "https://api.stripe.com"+path, nil)
	if form != nil {
		req, err = http.NewRequest("POST", "https://api.stripe.com"+path, strings.NewReader(form.Encode()))
	}
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	reply, err = c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close() //nolint:errcheck // it was read
	raw, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply, string(raw)
}

// An agent that polls its payment hears how it ended, and does not hear what confirms
// it with a publishable key.
func TestAPolledPaymentIntentComesWithoutItsClientSecret(t *testing.T) {
	for name, c := range map[string]struct {
		capabilities string
		shown        bool
	}{
		"by default":                            {"hold", false},
		"where capabilities are denied":         {"deny", false},
		"where its operation is allowed":        {`{default: deny, "payment_intents.*": allow}`, true},
		"where another operation is allowed":    {"{setup_intents.read: allow}", false},
		"where all but its operation are":       {"{default: allow, payment_intents.read: hold}", false},
		"where all capabilities are allowed":    {"allow", true},
		"while a person has stopped it, denied": {"frozen", false},
	} {
		t.Run(name, func(t *testing.T) {
			up := httptest.NewServer(sandbox.New(sandbox.Options{}))
			t.Cleanup(up.Close)
			word := c.capabilities
			if word == "frozen" {
				word = "allow"
			}
			s := startTest(t, loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: {url: %q}}\npolicies: [{name: all, unit: USD, capabilities: %s}]\n", up.URL, word)))
			agent := s.client(t)
			path := newIntent(t, agent)
			if c.capabilities == "frozen" {
				if err := s.ledger.engine.SetFrozen(t.Context(), engine.Actor{Name: "p", Role: "admin"}, engine.Freeze{}, true); err != nil {
					t.Fatal(err)
				}
			}
			for _, target := range []string{path, "/v1/payment_intents?limit=3"} {
				reply, body := callWith(t, agent, "sk_test_x", target, nil)
				var out map[string]any
				if err := json.Unmarshal([]byte(body), &out); err != nil || reply.StatusCode != 200 {
					t.Fatalf("%s: %d %s", target, reply.StatusCode, body)
				}
				masked, secret := strings.Contains(body, `"withheld_by_outgo"`), strings.Contains(body, "_secret_")
				if masked == c.shown || secret != c.shown || (reply.Header.Get("Outgo-Decision") == "withheld") == c.shown {
					t.Errorf("%s: %v %s", target, reply.Header, body)
				}
			}
			if reply, body := callWith(t, agent, "sk_test_x", "/v1/balance", nil); reply.StatusCode != 200 || reply.Header.Get("Outgo-Decision") != "" {
				t.Errorf("a plain read: %d %s", reply.StatusCode, body)
			}
			page, err := s.ledger.engine.Requests(t.Context(), engine.Filter{})
			if err != nil || len(page.Requests) != 0 {
				t.Errorf("reads made %d requests, %v", len(page.Requests), err)
			}
		})
	}
}

// A policy for test keys judges nothing but test keys, and what tells no mode counts as
// live money.
func TestTestKeysAndLiveKeysHavePoliciesOfTheirOwn(t *testing.T) {
	up := httptest.NewServer(sandbox.New(sandbox.Options{}))
	t.Cleanup(up.Close)
	s := startTest(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
policies:
  - {name: trial, unit: USD, maxSingleAmount: 100000, scope: {modes: [test]}}
  - {name: real, unit: USD, maxSingleAmount: 500, scope: {modes: [live]}}
`, up.URL)))
	agent := s.client(t)
	for _, c := range []struct {
		key    string
		cents  int
		policy string // that has judged
		code   spend.Code
	}{
		{"sk_test_x", 400, "trial", spend.OK},
		{"sk_test_x", 600, "trial", spend.OK},
		{"rk_test_x", 600, "trial", spend.OK},
		{"sk_test_x", 100001, "trial", spend.ExceedsSingleLimit},
		{"sk_live_x", 400, "real", spend.OK},
		{"sk_live_x", 600, "real", spend.ExceedsSingleLimit},
		{"rk_live_x", 600, "real", spend.ExceedsSingleLimit},
		{"some_gateway_token", 600, "real", spend.ExceedsSingleLimit},
		{"", 600, "real", spend.ExceedsSingleLimit},
	} {
		form := url.Values{"amount": {fmt.Sprint(c.cents)}, "currency": {"usd"}, "source": {"tok_visa"}}
		reply, body := callWith(t, agent, c.key, "/v1/charges", form)
		page, err := s.ledger.engine.Requests(t.Context(), engine.Filter{Limit: 1})
		if err != nil || len(page.Requests) != 1 {
			t.Fatalf("%q, %d: %v, %d %s", c.key, c.cents, err, reply.StatusCode, body)
		}
		v := page.Requests[0].Verdict
		if len(v.Policies) != 1 || v.Policies[0].Name != c.policy || v.Code != c.code {
			t.Errorf("%q, %d: %s by %v, want %s by %s", c.key, c.cents, v.Code, v.Policies, c.code, c.policy)
		}
		if denied := reply.Header.Get("Outgo-Code") == string(spend.ExceedsSingleLimit); denied != (c.code != spend.OK) {
			t.Errorf("%q, %d: answered %d %s", c.key, c.cents, reply.StatusCode, body)
		}
	}
}

// A call that comes twice under two keys is one payment where the policy says so.
func TestADuplicateIsDeniedOrHeldOnTheWire(t *testing.T) {
	for word, c := range map[string]struct {
		code  spend.Code
		moved int64
	}{"flag": {"", 200}, "hold": {spend.ApprovalPending, 100}, "deny": {spend.Duplicate, 100}} {
		t.Run(word, func(t *testing.T) {
			provider := sandbox.New(sandbox.Options{})
			up := httptest.NewServer(provider)
			t.Cleanup(up.Close)
			s := startTest(t, loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: {url: %q}}\nproxy: {hold: {wait: {stripe: 100ms}}}\npolicies: [{name: all, unit: USD, duplicates: %s}]\n", up.URL, word)))
			agent := s.client(t)
			for i, want := range []spend.Code{"", c.code} {
				_, header, _, err := pay(agent, 100, fmt.Sprint("key", i))
				if err != nil || header.Get("Outgo-Code") != string(want) {
					t.Errorf("call %d: %s, %v; want %s", i, header.Get("Outgo-Code"), err, want)
				}
			}
			wantMoved(t, provider, c.moved)
			page, err := s.ledger.engine.Requests(t.Context(), engine.Filter{Limit: 1})
			if err != nil || (fmt.Sprint(page.Requests[0].Anomalies) == "[DUPLICATE_SUSPECTED]") != (word == "flag") {
				t.Errorf("%v, %v", page.Requests, err)
			}
		})
	}
}
