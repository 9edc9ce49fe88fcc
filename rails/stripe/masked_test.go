package stripe

import (
	"slices"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

func TestReadsThatShowAClientSecretAreAnsweredWithoutIt(t *testing.T) {
	for name, c := range map[string]struct{ path, query, want string }{
		"a payment intent":                        {"/v1/payment_intents/pi_1", "", "payment_intents.read"},
		"one with what it led to":                 {"/v1/payment_intents/pi_1", "expand[]=latest_charge.balance_transaction&expand[]=customer", "payment_intents.read"},
		"a list of them":                          {"/v1/payment_intents", "limit=3&created[gte]=1700000000&customer=cus_1", "payment_intents.read"},
		"a search for them":                       {"/v1/payment_intents/search", "query=status%3A%27succeeded%27%20AND%20metadata%5B%27a%27%5D%3A%27b%27", "payment_intents.read"},
		"a setup intent":                          {"/v1/setup_intents/seti_1", "", "setup_intents.read"},
		"a checkout session":                      {"/v1/checkout/sessions/cs_test_1", "expand[]=line_items", "checkout.sessions.read"},
		"sessions":                                {"/v1/checkout/sessions", "expand%5B%5D=data.payment_intent", "checkout.sessions.read"},
		"what has happened":                       {"/v1/events", "type=payment_intent.created&limit=3", "events.read"},
		"one event":                               {"/v1/events/evt_1", "", "events.read"},
		"a source":                                {"/v1/sources/src_1", "", "sources.read"},
		"an invoice with its payment intent":      {"/v1/invoices/in_1", "expand[]=payment_intent", "payment_intents.read"},
		"a subscription, as most start it":        {"/v1/subscriptions/sub_1", "expand[]=latest_invoice.payment_intent", "payment_intents.read"},
		"one on the way to something else":        {"/v1/subscriptions", "expand[]=data.latest_invoice.payment_intent.customer", "payment_intents.read"},
		"an invoice's own secret":                 {"/v1/invoices", "expand[0]=data.confirmation_secret", "payment_intents.read"},
		"a subscription with a setup intent":      {"/v1/subscriptions/sub_1", "expand[]=pending_setup_intent", "setup_intents.read"},
		"a charge with its payment intent":        {"/v1/charges/ch_1", "expand[]=customer&expand[]=payment_intent", "payment_intents.read"},
		"in capitals, which some server may take": {"/v1/charges/ch_1", "expand[]=Payment_Intent", "payment_intents.read"},
		"what a checkout session has paid":        {"/v1/customers/cus_1/balance_transactions", "expand[]=data.checkout_session", "checkout.sessions.read"},
		"a card that is not shown, with one":      {"/v1/issuing/cards/ic_1", "expand[]=x.payment_intent", "payment_intents.read"},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(Options{})
			call := post(c.path, "", "Authorization", "Bearer sk_live_1")
			call.Method, call.Query, call.HasQuery = "GET", c.query, c.query != ""
			j, err := r.Intent(call, nil)
			in := j.Intent
			if err != nil || in.Class != spend.Capability || in.Operation != c.want || !in.Maskable || in.Object != "" || in.Mode != spend.Live {
				t.Fatalf("judged as %+v, %v", in, err)
			}
			if !slices.Equal(j.Withheld, []string{"client_secret"}) || j.KeyHeader != "" || len(j.Lookups) != 0 {
				t.Errorf("withheld %q, %+v", j.Withheld, j)
			}
			if r.Match(call) != spend.Capability {
				t.Error("Match takes it for something else")
			}
			if call.Host = "files.stripe.com"; r.Match(call) != spend.Capability {
				t.Error("another host is taken not to show it")
			}
			call.Method = "HEAD"
			if r.Match(call) != spend.Read {
				t.Error("its head is no read")
			}
		})
	}
}

// Clients that say what they send even when they send nothing are not refused for it.
func TestAReadOfAPaymentIntentTakesWhatReadsTake(t *testing.T) {
	for name, field := range map[string][2]string{
		"JSON for its type":      {"Content-Type", "application/json"},
		"JSON in UTF-8":          {"Content-Type", "application/json; charset=utf-8"},
		"a key that says no one": {"Idempotency-Key", "abc"},
		"a version":              {"Stripe-Version", "2019-05-16"},
		"an account":             {"Stripe-Account", "acct_1"},
	} {
		t.Run(name, func(t *testing.T) {
			call := &rails.Call{Host: "api.stripe.com", Method: "GET", Path: "/v1/payment_intents/pi_1",
				Header: []rails.Field{{Name: "Authorization", Value: "Bearer sk_test_1"}, {Name: field[0], Value: field[1]}}}
			if j, err := New(Options{}).Intent(call, nil); err != nil || !j.Intent.Maskable {
				t.Errorf("judged as %+v, %v", j.Intent, err)
			}
		})
	}
}

// What shows more than a client_secret is held whole, and what shows nothing is a read.
func TestOtherReadsAreNotMasked(t *testing.T) {
	for name, c := range map[string]struct {
		path, query string
		want        spend.Class
	}{
		"a card's number beside a payment intent": {"/v1/payment_intents/pi_1", "expand[]=x.number", spend.Capability},
		"a card's number and a payment intent":    {"/v1/issuing/cards/ic_1", "expand[]=number&expand[]=payment_intent", spend.Capability},
		"a charge":                                {"/v1/charges/ch_1", "expand[]=customer", spend.Read},
		"charges of a payment intent":             {"/v1/charges", "payment_intent=pi_1", spend.Read},
		"a customer":                              {"/v1/customers/cus_1", "expand[]=default_source", spend.Read},
		"what is called nearly so":                {"/v1/charges/ch_1", "expand[]=payment_intents_of", spend.Read},
		"line items of a session":                 {"/v1/checkout/sessions/cs_1/line_items", "limit=3", spend.Read},
		"the balance":                             {"/v1/balance", "", spend.Read},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(Options{})
			call := post(c.path, "", "Authorization", "Bearer sk_live_1")
			call.Method, call.Query, call.HasQuery = "GET", c.query, c.query != ""
			j, err := r.Intent(call, nil)
			if err != nil || j.Intent.Class != c.want || r.Match(call) != c.want || j.Intent.Maskable || len(j.Withheld) > 0 {
				t.Errorf("judged as %+v, %q, %v", j.Intent, j.Withheld, err)
			}
		})
	}
}
