package stripe

import (
	"fmt"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// acceptQuote spends what a quote comes to before discounts: the invoice that it makes,
// with one period of its subscription where that begins without being charged.
func acceptQuote(x *reading, f *form) (effect, error) {
	e := arms("quotes/"+x.id, "")
	if err := f.known("expand"); err != nil {
		return e, err
	}
	quote, err := x.ask("/v1/quotes/"+x.id+"?expand[]=line_items", "quote", x.id)
	if err != nil {
		return e, err
	}
	if err := quote.isFixed(); err != nil {
		return e, err
	}
	n, err := quote.undiscounted()
	if err != nil {
		return e, err
	}
	computed, err := objectOf(quote.get("computed"))
	if err != nil {
		return e, fmt.Errorf("read computed of %s: %w: %w", quote.what(), err, spend.Unavailable)
	}
	for _, part := range []string{"upfront", "recurring"} {
		if !computed.has(part) {
			continue
		}
		in, err := objectOf(computed.get(part))
		if err != nil {
			return e, fmt.Errorf("read %s of %s: %w: %w", part, quote.what(), err, spend.Unavailable)
		}
		more, err := in.undiscounted()
		if err != nil {
			return e, err
		}
		if part == "recurring" && quote.startsLater() {
			if more, err = plus(n, more); err != nil {
				return e, err
			}
		}
		n = max(n, more)
	}
	unit, err := quote.currency()
	if err != nil {
		return e, err
	}
	if e.legs[0].Payee, err = quote.payee(); err != nil {
		return e, err
	}
	return e.moving(unit, n, ""), nil
}

// undiscounted is what a quote, or a part of it, comes to without its discounts.
func (o *fact) undiscounted() (int64, error) {
	total, err := o.integer("amount_total")
	if err != nil || !o.has("total_details") {
		return total, err
	}
	details, err := objectOf(o.get("total_details"))
	if err != nil {
		return 0, fmt.Errorf("read total_details: %w: %w", err, spend.Unavailable)
	}
	discount, err := details.integer("amount_discount")
	if err != nil {
		return 0, err
	}
	return plus(total, discount)
}

// startsLater reports whether what a quote comes to at first leaves the first period
// of its subscription out, or may.
func (o *fact) startsLater() bool {
	data, err := objectOf(o.get("subscription_data"))
	return err == nil && (data.has("trial_period_days") || data.has("effective_date"))
}

// isFixed fails with unclear where a quote has a price by usage.
func (o *fact) isFixed() error {
	items, err := objectOf(o.get("line_items"))
	if err != nil {
		return fmt.Errorf("read line_items of %s: %w: %w", o.what(), err, spend.Unavailable)
	}
	all, err := items.list("item")
	if err != nil {
		return err
	}
	for _, one := range all {
		price, err := one.inner("price", "price")
		if err != nil {
			return err
		}
		if !price.has("recurring") {
			continue
		}
		recurring, err := objectOf(price.get("recurring"))
		if err != nil || recurring.text("usage_type") != "licensed" {
			return unclear(price.what() + " is by usage")
		}
	}
	return nil
}

// createCreditNote gives back what Stripe's preview of it, a GET of the same
// parameters, comes to: out of what was paid, to the customer's balance, or off what
// is still to be paid.
func createCreditNote(x *reading, f *form) (effect, error) {
	id, err := f.id("invoice")
	if err != nil {
		return effect{}, err
	}
	if id == "" {
		return effect{}, rails.Refusef(spend.Malformed, "invoice", "invoice is missing")
	}
	e := spends(spend.Leg{Kind: spend.Refund})
	e.object = "invoices/" + id
	if err := f.known("amount credit_amount effective_at email_type expand invoice lines memo metadata out_of_band_amount reason refund refund_amount refunds shipping_cost"); err != nil {
		return e, err
	}
	var stated int64
	for _, name := range []string{"amount", "credit_amount", "refund_amount", "out_of_band_amount"} {
		value, present, err := f.scalar(name)
		if err != nil {
			return effect{}, err
		}
		if !present || value == "0" {
			continue
		}
		n, err := parseNumber(name, value)
		if err != nil {
			return effect{}, err
		}
		stated = max(stated, n)
	}
	var query []byte
	for i := range f.all {
		if p := &f.all[i]; !isAmong("effective_at email_type expand memo metadata", p.top()) {
			query = append(appendPair(query, p), '&')
		}
	}
	target := "/v1/credit_notes/preview?" + strings.TrimSuffix(string(query), "&")
	for _, known := range x.facts {
		if known.Lookup.Target != target {
			continue
		}
		note, err := parseObject(known.Reply.Body)
		if known.Reply.Status != 200 || err != nil || note.text("object") != "credit_note" {
			return e, fmt.Errorf("preview credit note: status %d, no credit note: %w", known.Reply.Status, spend.Unavailable)
		}
		return e.credited(note, stated)
	}
	return e, x.need(rails.Lookup{Target: target})
}

// credited completes e with what a credit note says, which is no less than any amount
// that the call states.
func (e effect) credited(note *fact, stated int64) (effect, error) {
	n, err := note.integer("amount")
	if err != nil {
		return effect{}, err
	}
	unit, err := note.currency()
	if err != nil {
		return effect{}, err
	}
	if e.legs[0].Payee, err = note.reference("customer"); err != nil {
		return effect{}, err
	}
	return e.moving(unit, max(n, stated), e.legs[0].Payee), nil
}
