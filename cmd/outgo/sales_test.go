package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

// Calls whose money stands in what they look up, or is hidden among other things, are
// judged by it; and what the provider then says is held against what was judged.
func TestHiddenMoneyIsJudgedAndItsReceiptCompared(t *testing.T) {
	const policy = "{name: one, unit: USD, dailyLimit: 100000, maxSingleAmount: 1000, blockedMerchants: [casino.example]}"
	for name, c := range map[string]struct {
		path, form string
		get, reply string // what the provider answers to the lookup, and to the call
		code       spend.Code
		told       string // of the receipt
		flags      []spend.Anomaly
	}{
		"credit among a customer's address": {path: "/v1/customers/cus_1", form: "address[city]=Bonn&balance=-50000",
			get: `{"id":"cus_1","object":"customer","balance":0,"currency":"usd"}`, code: spend.ExceedsSingleLimit},
		"what a customer is to be charged": {path: "/v1/customers/cus_1", form: "address[city]=Bonn&balance=500",
			get: `{"id":"cus_1","object":"customer","balance":0,"currency":"usd"}`, reply: `{"id":"cus_1","object":"customer","balance":500,"currency":"usd"}`},
		"a link whose price was raised": {path: "/v1/payment_links", form: "line_items[0][price]=price_1&line_items[0][quantity]=2",
			get: `{"id":"price_1","object":"price","currency":"usd","billing_scheme":"per_unit","unit_amount":501}`, code: spend.ExceedsSingleLimit},
		"a session that asks for more than it said": {path: "/v1/checkout/sessions", form: "mode=payment&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=900&line_items[0][quantity]=1",
			reply: `{"id":"cs_1","object":"checkout.session","status":"open","amount_total":1071,"currency":"usd"}`, told: "1071 USD", flags: []spend.Anomaly{spend.Oversettled}},
		"money that came in another currency": {path: "/v1/topups", form: "amount=900&currency=usd",
			reply: `{"id":"tu_1","object":"topup","status":"pending","amount":900,"currency":"eur"}`, flags: []spend.Anomaly{spend.CurrencyMismatch}},
		"money that came in part": {path: "/v1/topups", form: "amount=900&currency=usd",
			reply: `{"id":"tu_1","object":"topup","status":"pending","amount":700,"currency":"usd"}`, told: "700 USD", flags: []spend.Anomaly{spend.AmountMismatch}},
		"money that went elsewhere": {path: "/v1/treasury/outbound_payments", form: "amount=900&currency=usd&financial_account=fa_1&destination_payment_method=pm_1",
			reply: `{"id":"obp_1","object":"treasury.outbound_payment","status":"processing","amount":900,"currency":"usd","financial_account":"fa_1","destination_payment_method":"pm_2"}`,
			told:  "900 USD", flags: []spend.Anomaly{spend.PayeeMismatch}},
		"a card at a merchant that is not allowed, whatever is claimed": {path: "/v1/issuing/authorizations/iauth_1/approve", form: "metadata[merchant]=good.example",
			get:  `{"id":"iauth_1","object":"issuing.authorization","pending_request":{"amount":5,"currency":"usd"},"merchant_data":{"name":"casino.example","category_code":"7995","network_id":"12"}}`,
			code: spend.BlockedMerchant},
		"a card at a merchant that is then another": {path: "/v1/issuing/authorizations/iauth_1/approve",
			get:   `{"id":"iauth_1","object":"issuing.authorization","pending_request":{"amount":5,"currency":"usd"},"merchant_data":{"name":"good.example","category_code":"5462","network_id":"12"}}`,
			reply: `{"id":"iauth_1","object":"issuing.authorization","approved":true,"amount":5,"currency":"usd","merchant_data":{"name":"casino.example","network_id":"12"}}`,
			told:  "5 USD", flags: []spend.Anomaly{spend.MerchantMismatch}},
		"an account that is emptied, of what no policy covers": {path: "/v1/treasury/financial_accounts/fa_1/close", form: "forwarding_settings[type]=payment_method&forwarding_settings[payment_method]=pm_1",
			get: `{"id":"fa_1","object":"treasury.financial_account","balance":{"cash":{"usd":5,"eur":5}}}`, code: spend.NoActivePolicy},
		"a dispute that is given up": {path: "/v1/disputes/dp_1/close",
			get: `{"id":"dp_1","object":"dispute","amount":700,"currency":"usd","status":"needs_response"}`, reply: `{"id":"dp_1","object":"dispute","amount":700,"currency":"usd","status":"lost"}`, told: "700 USD"},
		"a transfer fetched back, in full": {path: "/v1/transfers/tr_1/reversals",
			get: `{"id":"tr_1","object":"transfer","amount":900,"amount_reversed":100,"currency":"usd"}`, reply: `{"id":"trr_1","object":"transfer_reversal","amount":800,"currency":"usd","transfer":"tr_1"}`, told: "800 USD"},
	} {
		t.Run(name, func(t *testing.T) {
			var sent []string
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if r.Method == http.MethodGet {
					fmt.Fprint(w, c.get)
					return
				}
				sent = append(sent, r.URL.Path)
				fmt.Fprint(w, c.reply)
			}))
			t.Cleanup(up.Close)
			s := startTest(t, loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: {url: %q}}\npolicies: [%s]\n", up.URL, policy)))
			form, err := url.ParseQuery(c.form)
			if err != nil {
				t.Fatal(err)
			}
			status, header, body, err := postForm(s.client(t), c.path, form)
			if c.code != "" {
				wantCode(t, "the call", status, 403, header, c.code, err)
				if len(sent) != 0 || !strings.Contains(fmt.Sprint(body), string(c.code)) {
					t.Errorf("it sent %v, and answers %v", sent, body)
				}
				return
			}
			wantCode(t, "the call", status, 200, header, "", err)
			r := newest(t, s)
			if r.State != spend.Settled || len(r.Receipts) != 1 || r.Told.String() != c.told || !slices.Equal(r.Anomalies, c.flags) || !slices.Equal(sent, []string{c.path}) {
				t.Errorf("%s is %s after %v: %q, with %v; want %q, with %v", c.path, r.State, sent, r.Told, r.Anomalies, c.told, c.flags)
			}
		})
	}
}
