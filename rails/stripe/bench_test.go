package stripe

import (
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// benchCall is a confirmed payment intent as an SDK sends it.
func benchCall() rails.Call {
	return rails.Call{
		Host: "api.stripe.com", Method: "POST", Path: "/v1/payment_intents",
		Header: []rails.Field{
			{Name: "Host", Value: "api.stripe.com"}, {Name: "User-Agent", Value: "Stripe/v1 GoBindings/84.0.0"},
			{Name: "Authorization", Value: "Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc"},
			{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}, {Name: "Stripe-Version", Value: "2025-10-29.clover"},
			{Name: "Idempotency-Key", Value: "6d1f4c9e-8b2a-4d7e-9c31-000000000001"}, {Name: "Accept", Value: "application/json"},
			{Name: "Content-Length", Value: "312"},
		},
		Body: []byte("amount=2000&currency=usd&confirm=true&off_session=true&customer=cus_NffrFeUfNV2Hib&payment_method=pm_1QLmT1Kk9sVxYz1AbenchmkZ" +
			"&payment_method_types[]=card&receipt_email=ops%40example.com&statement_descriptor_suffix=CREDITS" +
			"&description=API%20credits%20for%20the%20research%20agent&metadata[order]=000000000001"),
	}
}

// BenchmarkIntent reads one payment off the wire.
func BenchmarkIntent(b *testing.B) {
	r, c := New(Options{}), benchCall()
	c.Room = make([]byte, 0, 1<<10)
	b.ReportAllocs()
	for b.Loop() {
		if class := r.Match(&c); class != spend.Spend {
			b.Fatal(class)
		}
		j, err := r.Intent(&c, nil)
		if err != nil || len(j.Intent.Legs) != 1 || string(j.Body) != string(c.Body) {
			b.Fatal(j, err)
		}
	}
}

// BenchmarkIntentOfV2 reads one payment in JSON off the wire.
func BenchmarkIntentOfV2(b *testing.B) {
	r, c := New(Options{}), benchCall()
	c.Path, c.Header[3].Value, c.Room = "/v2/money_management/outbound_payments", "application/json", make([]byte, 0, 1<<10)
	c.Body = []byte(`{"from":{"financial_account":"fa_65TsQ7rMOj1aV3cgXlL16","currency":"usd"},"to":{"recipient":"acct_1QLmT2Kk9sVxYz1A",` +
		`"payout_method":"usba_65TsQ7rMOj1aV3cgXlL16","currency":"usd"},"amount":{"value":2000,"currency":"usd"},` +
		`"description":"API credits for the research agent","metadata":{"order":"000000000001"}}`)
	b.ReportAllocs()
	for b.Loop() {
		j, err := r.Intent(&c, nil)
		if err != nil || len(j.Intent.Legs) != 1 || &j.Body[0] != &c.Body[0] {
			b.Fatal(j, err)
		}
	}
}

// BenchmarkOutcome reads the receipt off a reply of about 2 KB.
func BenchmarkOutcome(b *testing.B) {
	body := `{"id":"pi_3QLmT2Kk9sVxYz1A0benchmk","object":"payment_intent","amount":2000,"amount_capturable":0,"amount_received":2000,` +
		`"currency":"usd","status":"succeeded","livemode":false,"capture_method":"automatic","confirmation_method":"automatic",` +
		`"created":1795262400,"customer":"cus_NffrFeUfNV2Hib","latest_charge":"ch_3QLmT2Kk9sVxYz1A0benchmk",` +
		`"payment_method":"pm_1QLmT1Kk9sVxYz1AbenchmkZ","payment_method_types":["card"],"receipt_email":"ops@example.com",` +
		`"payment_method_options":{"card":{"installments":null,"network":null,"request_three_d_secure":"automatic"}},` +
		`"amount_details":{"tip":{}},"application":null,"application_fee_amount":null,"canceled_at":null,"invoice":null,` +
		`"last_payment_error":null,"next_action":null,"on_behalf_of":null,"processing":null,"review":null,"shipping":null,"source":null,` +
		`"statement_descriptor":null,"transfer_data":null,"transfer_group":null,"metadata":{"order":"1795262400"},"description":"`
	reply := rails.Reply{
		Status: 200, Header: []rails.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "Request-Id", Value: "req_benchmarkSuite"}},
		Body: []byte(body + strings.Repeat("API credits. ", 50) + `"}`),
	}
	r, in := New(Options{}), spend.Intent{Class: spend.Spend, Operation: "payment_intents.create", Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 2000)}}}
	b.ReportAllocs()
	for b.Loop() {
		if o := r.Outcome(&in, &reply); o.Result != spend.Happened || o.Receipt.Amount != in.Legs[0].Amount {
			b.Fatal(o)
		}
	}
}
