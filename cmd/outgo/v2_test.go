package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A moneyManager answers calls to /v2 as Stripe would, in what matters here, and keeps
// what it was sent.
type moneyManager struct {
	mu   sync.Mutex
	sent []string // "POST /v2/… body"
}

func (m *moneyManager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	m.mu.Lock()
	m.sent = append(m.sent, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	m.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	const usd = `{"value":%d,"currency":"usd"}`
	amount := func(n int) string { return fmt.Sprintf(usd, n) }
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/outbound_payments"):
		_, _ = fmt.Fprintf(w, `{"id":"obp_1","object":"v2.money_management.outbound_payment","amount":%s,"from":{"debited":%s},"to":{"recipient":"acct_2"},"status":"processing"}`, amount(1500), amount(1500))
	case strings.Contains(path, "/payout_intents"):
		_, _ = fmt.Fprintf(w, `{"id":"poi_1","object":"v2.money_management.payout_intent","amount":%s,"from":{"currency":"usd"},"to":{"recipient":"acct_2"},"status":"pending"}`, amount(800))
	case strings.HasSuffix(path, "/inbound_transfers"):
		_, _ = fmt.Fprintf(w, `{"id":"ibt_1","object":"v2.money_management.inbound_transfer","amount":%s,"to":{"financial_account":"fa_1"}}`, amount(70))
	default:
		_, _ = io.WriteString(w, `{"id":"x_1","object":"x"}`)
	}
}

// stripe-node's calls to /v2 are judged by their JSON, and what it sends is what goes
// out: it writes JSON as outgo would.
func TestStripeNodeMovesMoneyByV2(t *testing.T) {
	argv := programs()[0].argv(t)
	argv[1] = filepath.Join(filepath.Dir(argv[1]), "v2.mjs")
	stripe := &moneyManager{}
	up := httptest.NewServer(stripe)
	defer up.Close()
	s := newShop(t, fmt.Sprintf("{url: %q}", up.URL))
	config, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, bytes.Replace(config, []byte("{name: shop"), []byte("{name: shop, capabilities: allow"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(s.bin, append([]string{"run", "--config", s.config, "--"}, argv...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		var r struct {
			Name string
			result
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s: %s%s %s", r.Name, r.ID, r.Type, r.Code)))
	}
	want := []string{
		"pay: obp_1", "pay too much: StripePermissionError spend_policy_denied", "pay at an unknown rate: StripeInvalidRequestError request_refused",
		"intend: poi_1", "confirm: poi_1", "pull: ibt_1", "count: x_1", "payee: x_1", "hear no more: x_1", "read: poi_1",
		"twice: StripeInvalidRequestError request_refused",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the program got\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), stderr.String())
	}
	const mm, account = "/v2/money_management/", `{"from":{"financial_account":"fa_1","currency":"usd"},"to":{"recipient":"acct_2","payout_method":"usba_3"},`
	sent := []string{
		"POST " + mm + "outbound_payments " + account + `"amount":{"value":1500,"currency":"usd"},"description":"Rent “November”\n1/2 <b>","metadata":{"Order No.":"7"}}`,
		"POST " + mm + "payout_intents " + account + `"amount":{"value":800,"currency":"usd"},"confirmation_method":"manual"}`,
		"GET " + mm + "payout_intents/poi_1",
		"POST " + mm + "payout_intents/poi_1/confirm {}",
		"POST " + mm + `inbound_transfers {"from":{"payment_method":"usba_1"},"to":{"financial_account":"fa_1","currency":"usd"},"amount":{"value":70,"currency":"usd"}}`,
		`POST /v2/billing/meter_events {"event_name":"tokens","payload":{"stripe_customer_id":"cus_1","Tokens":"25"}}`,
		`POST /v2/core/accounts {"contact_email":"a@b.example","include":["identity"]}`,
		"DELETE /v2/core/event_destinations/ed_1",
		"GET " + mm + "payout_intents/poi_1",
	}
	stripe.mu.Lock()
	defer stripe.mu.Unlock()
	if strings.Join(stripe.sent, "\n") != strings.Join(sent, "\n") {
		t.Errorf("Stripe was sent\n%s\nwant\n%s", strings.Join(stripe.sent, "\n"), strings.Join(sent, "\n"))
	}
	if !strings.Contains(stderr.String(), "spent 23.70 USD") {
		t.Errorf("the summary: %s", stderr.String())
	}
}
