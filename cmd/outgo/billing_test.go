package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

// bill makes one call to Stripe and returns its status and header.
func bill(t *testing.T, c *http.Client, method, target, form, key string) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, "https://api.stripe.com"+target, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_x")
	req.Header.Set("Stripe-Version", "2026-08-26.dahlia")
	if method == "POST" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		t.Logf("%s %s: %d %s", method, target, resp.StatusCode, body)
	}
	return resp.StatusCode, resp.Header
}

// An invoice is dearer when its approval comes than when it was asked for: what was
// approved is not what would be paid, so that a person is asked again.
func TestAnInvoiceThatBecomesDearerIsDecidedAnew(t *testing.T) {
	var price, paid atomic.Int64
	price.Store(6000)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, remaining, done := "open", price.Load(), int64(0)
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/invoices/in_1":
		case "POST /v1/invoices/in_1/pay":
			paid.Add(remaining)
			status, remaining, done = "paid", 0, remaining
		case "POST /v1/invoices/in_1/add_lines":
			price.Add(100)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"id":"in_1","object":"invoice","status":%q,"currency":"usd","amount_remaining":%d,"amount_paid":%d,"auto_advance":false,"customer":"cus_1"}`, status, remaining, done)
	}))
	t.Cleanup(provider.Close)
	s := startTest(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
proxy: {hold: {wait: {stripe: 300ms}}}
policies: [{name: one, unit: USD, dailyLimit: 100000, requireApprovalOver: 5000}]
`, provider.URL)))
	agent := s.client(t)
	approve := func(id spend.ID) {
		t.Helper()
		if _, err := s.ledger.engine.Resolve(t.Context(), id, engine.Actor{Name: "p", Role: "approver"}, true, ""); err != nil {
			t.Fatal(err)
		}
	}
	const target = "/v1/invoices/in_1/pay"

	status, header := bill(t, agent, "POST", target, "", "a")
	wantCode(t, "the first call", status, 429, header, spend.ApprovalPending, nil)
	first := spend.ID(header.Get("Outgo-Request"))
	price.Store(90000) // by somebody else
	approve(first)

	status, header = bill(t, agent, "POST", target, "", "a")
	wantCode(t, "the call after the approval", status, 429, header, spend.ApprovalPending, nil)
	second := spend.ID(header.Get("Outgo-Request"))
	if second == first || paid.Load() != 0 {
		t.Errorf("it is request %s after %s, and %d were paid", second, first, paid.Load())
	}
	if r, err := s.ledger.engine.Request(t.Context(), first); err != nil || r.State != spend.Canceled {
		t.Errorf("what was approved is %s, %v; want it canceled", r.State, err)
	}
	approve(second)

	// The agent makes it dearer by itself, and that has a third approval asked for.
	status, header = bill(t, agent, "POST", "/v1/invoices/in_1/add_lines", "lines[0][amount]=100", "")
	wantCode(t, "a line more", status, 200, header, "", nil)
	status, header = bill(t, agent, "POST", target, "", "a")
	wantCode(t, "the call after the second approval", status, 429, header, spend.ApprovalPending, nil)
	third := spend.ID(header.Get("Outgo-Request"))
	if third == second || paid.Load() != 0 {
		t.Errorf("it is request %s after %s, and %d were paid", third, second, paid.Load())
	}
	approve(third)
	status, header = bill(t, agent, "POST", target, "", "a")
	wantCode(t, "the call after the third approval", status, 200, header, "", nil)
	r, err := s.ledger.engine.Request(t.Context(), third)
	if err != nil || r.State != spend.Settled || r.Intent.Legs[0].Amount != spend.NewAmount("USD", 90100) || paid.Load() != 90100 {
		t.Errorf("it is %s with %v, %v, and %d were paid", r.State, r.Intent.Legs, err, paid.Load())
	}
}

// Billing as stripe-mock answers it: every lookup and preview is one that Stripe's
// description has, and what comes of it is in the ledger. Each call is on objects of its
// own, because stripe-mock's say that nothing has become of it. Its prices are for a
// billion at once.
func TestBillingAgainstStripeMock(t *testing.T) {
	s := startTest(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: "http://%s"}}
policies: [{name: one, unit: USD, dailyLimit: 10000000000}]
`, startStripeMock(t))))
	agent := s.client(t)
	for _, c := range []struct {
		method, target, form, operation string
		amount                          string // "" for what moves nothing
		kind                            spend.LegKind
	}{
		{"POST", "/v1/invoices/in_5/pay", "", "invoices.pay", "1000 USD", spend.Charge},
		{"POST", "/v1/invoices/in_6/finalize", "auto_advance=true", "invoices.finalize", "1000 USD", spend.Charge},
		{"POST", "/v1/invoices/in_7/finalize", "", "invoices.finalize", "", ""},
		{"POST", "/v1/invoices/in_8/send", "", "invoices.send", "1000 USD", spend.Charge},
		{"POST", "/v1/invoices/in_9", "auto_advance=true", "invoices.update", "1000 USD", spend.Charge},
		{"POST", "/v1/invoices", "customer=cus_10&auto_advance=true&pending_invoice_items_behavior=include", "invoices.create", "1000 USD", spend.Charge},
		{"POST", "/v1/invoices", "customer=cus_11&auto_advance=false", "invoices.create", "", ""},
		{"POST", "/v1/invoices/in_12/add_lines", "lines[0][amount]=5", "invoices.add_lines", "", ""},
		{"POST", "/v1/invoiceitems", "customer=cus_13&amount=700&currency=usd", "invoiceitems.create", "700 USD", spend.Charge},
		{"POST", "/v1/invoiceitems", "customer=cus_14&pricing[price]=price_1&quantity=3", "invoiceitems.create", "2000 USD", spend.Charge},
		{"POST", "/v1/invoiceitems/ii_15", "amount=1200", "invoiceitems.update", "200 USD", spend.Charge},
		{"DELETE", "/v1/invoiceitems/ii_16", "", "invoiceitems.delete", "", ""},
		{"POST", "/v1/subscriptions", "customer=cus_17&items[0][price]=price_1&items[0][quantity]=2", "subscriptions.create", "2000 USD", spend.Charge},
		{"POST", "/v1/subscriptions", "customer=cus_18&items[0][price]=price_1&automatic_tax[enabled]=true", "subscriptions.create", "2000 USD", spend.Charge},
		{"POST", "/v1/subscriptions/sub_19", "trial_end=now", "subscriptions.update", "2000 USD", spend.Charge},
		{"POST", "/v1/subscriptions/sub_20", "metadata[a]=b", "subscriptions.update", "", ""},
		{"POST", "/v1/subscriptions/sub_21/resume", "billing_cycle_anchor=now", "subscriptions.resume", "2000 USD", spend.Charge},
		{"DELETE", "/v1/subscriptions/sub_22?invoice_now=true", "", "subscriptions.cancel", "1000 USD", spend.Charge},
		{"DELETE", "/v1/subscriptions/sub_23", "", "subscriptions.cancel", "", ""},
		{"POST", "/v1/subscription_items", "subscription=sub_24&price=price_1", "subscription_items.create", "4000 USD", spend.Charge},
		{"POST", "/v1/subscription_schedules", "customer=cus_25&start_date=now&phases[0][items][0][price]=price_1", "subscription_schedules.create", "2000 USD", spend.Charge},
		{"POST", "/v1/credit_notes", "invoice=in_26&amount=1000", "credit_notes.create", "1690 USD", spend.Refund},
	} {
		t.Run(c.operation+" "+c.form, func(t *testing.T) {
			status, header := bill(t, agent, c.method, c.target, c.form, "")
			if status != 200 {
				t.Fatalf("%d %s", status, header.Get("Outgo-Code"))
			}
			page, err := s.ledger.engine.Requests(t.Context(), engine.Filter{Limit: 1})
			if err != nil || len(page.Requests) != 1 {
				t.Fatalf("%d requests, %v", len(page.Requests), err)
			}
			r := page.Requests[0]
			amount, kind := "", spend.LegKind("")
			if len(r.Intent.Legs) == 1 {
				amount, kind = r.Intent.Legs[0].Amount.String(), r.Intent.Legs[0].Kind
			}
			if r.Intent.Operation != c.operation || amount != c.amount || kind != c.kind || c.amount == "" && r.Intent.Class != spend.Other {
				t.Errorf("it is a %s of %s %s %s, want %s %s %s", r.Intent.Class, r.Intent.Operation, kind, amount, c.operation, c.kind, c.amount)
			}
		})
	}
}
