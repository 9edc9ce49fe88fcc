package stripe

import (
	"errors"
	"slices"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// FuzzFacts answers the lookups of a call with whatever a provider could say: nothing
// panics, no more is looked up than may be, and what is judged has a price.
func FuzzFacts(f *testing.F) {
	for _, c := range []struct{ path, body, fact string }{
		{"/v1/checkout/sessions", "mode=payment&line_items[0][price]=price_1&line_items[1][price]=price_2", priceOf("price_1", "usd", "5", `"transform_quantity":{"divide_by":7}`)},
		{"/v1/checkout/sessions/cs_1", "line_items[0][id]=li_1&line_items[0][quantity]=7", `{"id":"cs_1","object":"checkout.session","currency":"usd",` + linkItems + `,"shipping_options":[{"shipping_amount":40}]}`},
		{"/v1/payment_links/plink_1", "active=true", `{"id":"plink_1","object":"payment_link","currency":"usd",` + linkItems + `,"optional_items":[{"price":"price_3","quantity":2}]}`},
		{"/v1/customers/cus_1", "balance=-5", `{"id":"cus_1","object":"customer","balance":7,"currency":"usd"}`},
		{"/v1/customers", "balance=-5", `{"id":"acct_1","object":"account","default_currency":"usd"}`},
		{"/v1/climate/orders", "product=climsku_1&metric_tons=0.5&currency=usd", `{"id":"climsku_1","object":"climate.product","current_prices_per_metric_ton":{"usd":{"amount_total":50001}}}`},
		{"/v1/treasury/financial_accounts/fa_1/close", "", `{"id":"fa_1","object":"treasury.financial_account","balance":{"cash":{"usd":500,"eur":7}}}`},
		{"/v1/issuing/authorizations/iauth_1/approve", "", `{"id":"iauth_1","object":"issuing.authorization","pending_request":{"amount":1234,"currency":"eur"},"merchant_data":{"name":"x","category_code":"5462"}}`},
		{"/v1/invoices/in_1/pay", "", `{"id":"in_1","object":"invoice","currency":"usd","amount_remaining":900}`},
		{"/v1/subscriptions", "customer=cus_1&items[0][price]=price_1", priceOf("price_1", "usd", "5", `"recurring":{"interval":"month"}`)},
	} {
		f.Add(c.path, c.body, []byte(c.fact))
	}
	r := New(Options{})
	f.Fuzz(func(t *testing.T, path, body string, fact []byte) {
		c := post(path, body)
		var facts []rails.Fact
		for {
			j, err := r.Intent(c, facts)
			var refusal *rails.Refusal
			switch {
			case errors.As(err, &refusal), errors.Is(err, spend.Unavailable):
				return
			case err != nil:
				t.Fatalf("%s with %q: %v is no reason", path, body, err)
			case len(j.Lookups) > 0:
				for _, l := range j.Lookups {
					if _, _, _, err := rails.CanonicalTarget(l.Target); err != nil || slices.ContainsFunc(facts, func(f rails.Fact) bool { return f.Lookup == l }) {
						t.Fatalf("%s with %q looks up %s: %v", path, body, l, err)
					}
					facts = append(facts, rails.Fact{Lookup: l, Reply: rails.Reply{Status: 200, Body: fact}})
				}
				if len(facts) > maxLookups {
					t.Fatalf("%s with %q looks up %v", path, body, facts)
				}
				continue
			}
			if (j.Intent.Class == spend.Spend) != (len(j.Intent.Legs) > 0) {
				t.Fatalf("%s with %q and %q is %s of %q", path, body, fact, j.Intent.Class, legsOf(&j.Intent))
			}
			for i := range j.Intent.Legs {
				if a := j.Intent.Legs[i].Amount; a.Sign() <= 0 || a.Unit() == "" {
					t.Fatalf("%s with %q and %q moves %q", path, body, fact, a)
				}
			}
			return
		}
	})
}

// FuzzReceipt reads whatever a provider could reply to any spend: nothing panics, and
// no receipt is of less than nothing.
func FuzzReceipt(f *testing.F) {
	for _, c := range tales() {
		f.Add(uint16(slices.IndexFunc(listings[:], func(l listing) bool { return l.name == c.operation })), c.on, []byte("{"+c.object+"}")) //nolint:gosec // there are some hundreds
	}
	r := New(Options{})
	f.Fuzz(func(t *testing.T, n uint16, on string, body []byte) {
		op := &listings[int(n)%len(listings)]
		in := judged(t, op.name, on, "500 USD")
		in.Legs[0].Payee = "acct_1"
		o := r.Outcome(in, &rails.Reply{Status: 200, Body: body})
		a := o.Receipt.Amount
		if a.Sign() < 0 || a.IsUnlimited() || o.Result != spend.Happened && !a.IsZero() || (o.Why == "") != (o.Result == spend.Happened) {
			t.Errorf("%s answered with %q: %+v", op.name, body, o)
		}
		if len(in.Legs) != 1 || in.Legs[0].Amount.String() != "500 USD" {
			t.Errorf("%s answered with %q changes what was judged", op.name, body)
		}
	})
}
