package main

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

func TestOtherHostsOfStripesAreDeniedUnlessConfigured(t *testing.T) {
	s := startTest(t, loadText(t, "upstreams: {gateway.stripe.com: {url: \"http://127.0.0.1:1\"}}\nrails: {stripe: {hosts: [api.stripe.com, gateway.stripe.com]}}\n"))
	c := s.client(t)
	for name, tc := range map[string]struct{ url, code, says string }{
		"the dashboard":                  {"https://dashboard.stripe.com/payments", string(spend.UnrecognisedCall), "rails.stripe.hosts"},
		"a page to pay on":               {"https://checkout.stripe.com/c/pay/cs_test_1", string(spend.UnrecognisedCall), "rails.stripe.hosts"},
		"a link to pay by":               {"https://buy.stripe.com/test_1", string(spend.UnrecognisedCall), "rails.stripe.hosts"},
		"another spelling of it":         {"https://DashBoard.Stripe.COM.:443/payments", string(spend.UnrecognisedCall), "dashboard.stripe.com"},
		"a host below":                   {"https://a.b.stripe.com/v1/balance", string(spend.UnrecognisedCall), "rails.stripe.hosts"},
		"the MCP server":                 {"https://mcp.stripe.com/", string(spend.UnrecognisedCall), "no read"},
		"one that is configured is read": {"https://gateway.stripe.com/v1/balance", string(spend.UpstreamFailed), "could not reach"},
	} {
		t.Run(name, func(t *testing.T) {
			reply, err := c.Get(tc.url)
			if err != nil {
				t.Fatal(err)
			}
			defer reply.Body.Close() //nolint:errcheck // it was read
			raw, err := io.ReadAll(reply.Body)
			var body struct{ Error struct{ Message string } }
			if err != nil || json.Unmarshal(raw, &body) != nil {
				t.Fatalf("%d %q, %v", reply.StatusCode, raw, err)
			}
			if got := reply.Header.Get("Outgo-Code"); reply.StatusCode == http.StatusOK || got != tc.code || !strings.Contains(body.Error.Message, tc.says) {
				t.Errorf("%d %s %q, want %s and a word on %q", reply.StatusCode, got, body.Error.Message, tc.code, tc.says)
			}
		})
	}
}

func TestStripesHostsAreAllGuarded(t *testing.T) {
	for name, tc := range map[string]struct {
		hosts string
		want  bool
	}{
		"as they come":               {"", true},
		"when one is configured":     {"rails: {stripe: {hosts: [api.stripe.com]}}\n", true},
		"when a gateway is":          {"rails: {stripe: {hosts: [stripe.gateway.example]}}\n", true},
		"but where the rail is off":  {"rails: {stripe: {hosts: []}}\n", false},
		"and once where all is said": {"rails: {stripe: {hosts: [\"*.stripe.com\"]}}\n", true},
	} {
		names := namesOf(loadText(t, tc.hosts))
		if got := slices.Contains(names, "*.stripe.com"); got != tc.want {
			t.Errorf("%s: %v guards all of Stripe's hosts: %v, want %v", name, names, got, tc.want)
		}
	}
}
