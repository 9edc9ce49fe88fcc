package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/proxy"
)

// Each call is one line, with the same fields whatever becomes of it, and nothing
// that is secret is in it, in the metrics or in the ledger.
func TestEachCallIsOneLineWithoutSecrets(t *testing.T) {
	f := newFlaky(t)
	s, logs := startLogged(t, loadText(t, fmt.Sprintf(`
proxy: {unknown_hosts: deny, hold: {wait: {stripe: 50ms}}}
agents: [{name: bot, token: hunter2hunter2}]
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: one, unit: USD, maxSingleAmount: 5000, requireApprovalOver: 3000}]
`, f.url)))
	secrets := []string{"hunter2hunter2", "sk_test_topsecret", "idem-secret", "4242424242424242", "pi_1_secret_xyz", "cvc=123"}
	c := s.client(t)
	const form = "currency=usd&confirm=true&payment_method=pm_card_visa&payment_method_types[]=card&amount="
	calls := []struct{ method, target, body string }{
		{"POST", "/v1/payment_intents", form + "1200"},                                                               // allowed
		{"POST", "/v1/payment_intents", form + "9000"},                                                               // denied
		{"POST", "/v1/payment_intents", form + "4000"},                                                               // held
		{"POST", "/v1/charges", "amount=5&currency=usd&card[number]=4242424242424242&cvc=123&key=sk_test_topsecret"}, // refused
		{"POST", "/v1/nonesuch", "amount=5"},                                                                         // not known
		{"GET", "/v1/payment_intents?client_secret=pi_1_secret_xyz", ""},                                             // a read
		{"POST", "/v1/payment_intents/pi_none/confirm?client_secret=pi_1_secret_xyz", ""},                            // a look-up that fails
	}
	for i, call := range calls {
		req, err := http.NewRequest(call.method, "https://api.stripe.com"+call.target, strings.NewReader(call.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer sk_test_topsecret")
		req.Header.Set("Idempotency-Key", fmt.Sprint("idem-secret-", i))
		if call.body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	f.lose(t, s, 1100, "idem-secret-lost")
	// The line of a call whose connection is cut is written behind the cut.
	await(t, 10*time.Second, func() bool { return logs.FilterMessage("call").Len() > len(calls) })

	want := []string{
		proxy.FieldAdded, proxy.FieldAgent, proxy.FieldAmounts, proxy.FieldCause, proxy.FieldClass, proxy.FieldCode, proxy.FieldDecision, proxy.FieldError, proxy.FieldHeld, proxy.FieldHost,
		proxy.FieldMethod, proxy.FieldOperation, proxy.FieldPath, proxy.FieldRail, proxy.FieldRequest, proxy.FieldStatus, proxy.FieldTotal, proxy.FieldUpstream,
	}
	slices.Sort(want)
	decisions := map[string]bool{}
	lines := logs.FilterMessage("call").All()
	for _, e := range lines {
		fields := e.ContextMap()
		if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
			t.Errorf("the fields are %v, want %v", got, want)
		}
		decisions[fmt.Sprint(fields[proxy.FieldDecision])] = true
	}
	if len(lines) != len(calls)+1 {
		t.Errorf("%d lines for %d calls", len(lines), len(calls)+1)
	}
	for _, d := range []string{"forwarded", "denied", "held", "refused", "passed", "cut"} {
		if !decisions[d] {
			t.Errorf("no line says %s: %v", d, decisions)
		}
	}

	var all strings.Builder
	for _, e := range logs.All() {
		fmt.Fprintln(&all, e.Message, e.ContextMap())
	}
	all.Write(s.scrape(t))
	page, err := s.ledger.engine.Requests(context.Background(), engine.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(&all).Encode(page); err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if i := strings.Index(all.String(), secret); i >= 0 {
			t.Errorf("%s is shown: …%.200s", secret, all.String()[max(0, i-80):])
		}
	}
}
