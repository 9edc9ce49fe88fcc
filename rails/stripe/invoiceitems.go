package stripe

import (
	"math/big"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// An invoice item goes onto an invoice: onto a draft that is named, or onto the
// customer's next one, which a subscription makes and charges by itself. A negative
// one is a credit, which takes from what the customer would have paid. Tax comes on
// top by the rates that the item names, and by what its invoice says, which is judged
// there.

// createInvoiceItem spends what the item comes to, unless it is for a draft that
// waits for another call.
func createInvoiceItem(x *reading, f *form) (effect, error) {
	customer, _, err := x.customer(f)
	if err != nil {
		return effect{}, err
	}
	draft, err := f.id("invoice")
	if err != nil {
		return effect{}, err
	}
	e := arms("customers/"+customer, "")
	var b bill
	if b.unit, err = f.currency(); err != nil {
		return effect{}, err
	}
	switch {
	case draft != "":
		e.object = "invoices/" + draft
		invoice, waits, err := x.draft(draft)
		if err != nil || waits {
			return e.waiting(err)
		}
		if b.unit == "" {
			if b.unit, err = invoice.currency(); err != nil {
				return e, err
			}
		}
		if e.legs[0].Payee, err = invoice.payee(); err != nil {
			return e, err
		}
	case customer == "":
		return effect{}, rails.Refusef(spend.Malformed, "customer", "customer is missing")
	}
	if err := f.known(itemized + " currency customer customer_account expand invoice subscription tax_rates"); err != nil {
		return e, err
	}
	l, priced, err := x.line(f, "", nil)
	if err != nil {
		return e, err
	}
	if !priced {
		return e, rails.Refusef(spend.Malformed, "amount", "amount is missing")
	}
	b.lines = []line{l}
	unit, n, err := b.total()
	if err != nil {
		return e, err
	}
	if n, err = x.withTax(f, n); err != nil {
		return e, err
	}
	return e.moving(unit, n, customer), nil
}

// withTax raises an amount by the tax rates that the call names, rounded up.
func (x *reading) withTax(f *form, n int64) (int64, error) {
	hundred := parts(100)
	factor := new(big.Int).Set(hundred)
	for i := range f.all {
		p := &f.all[i]
		if p.top() != "tax_rates" || p.text() == "" {
			continue
		}
		id := p.text()
		if !isID(id) {
			return 0, rails.Refusef(spend.Malformed, p.name, "%s is %.80q, which is no id of Stripe's", p.name, id)
		}
		rate, err := x.ask("/v1/tax_rates/"+id, "tax_rate", id)
		if err != nil {
			return 0, err
		}
		if inclusive, err := rate.boolean("inclusive"); err != nil || inclusive {
			if err != nil {
				return 0, err
			}
			continue
		}
		percent, ok := parseParts(string(rate.members.value("percentage")), true)
		if !ok {
			return 0, unclear(rate.what() + " is no plain percentage")
		}
		factor.Add(factor, percent)
	}
	taxed, rest := factor.Mul(factor, big.NewInt(max(n, -n))).QuoRem(factor, hundred, new(big.Int))
	if rest.Sign() > 0 {
		taxed.Add(taxed, big.NewInt(1))
	}
	if !taxed.IsInt64() {
		return 0, rails.Refusef(spend.Malformed, "amount", "it comes to more than any amount can be")
	}
	if n < 0 {
		return -taxed.Int64(), nil
	}
	return taxed.Int64(), nil
}

// draft looks an invoice up, and reports whether it waits for another call before
// anything is charged.
func (x *reading) draft(id string) (invoice *fact, waits bool, err error) {
	if invoice, err = x.ask("/v1/invoices/"+id, "invoice", id); err != nil {
		return nil, false, err
	}
	var none form
	advances, err := none.advancesWith(invoice)
	return invoice, !advances, err
}

// waiting is e, or the write on a draft that waits.
func (e effect) waiting(err error) (effect, error) {
	if err != nil {
		return e, err
	}
	return touches(e.object), nil
}

// updateInvoiceItem spends what the item comes to more than before.
func updateInvoiceItem(x *reading, f *form) (effect, error) {
	if f.only("description expand metadata period") {
		return touches("invoiceitems/" + x.id), nil
	}
	item, e, done, err := x.invoiceItem()
	if err != nil || done {
		return e, err
	}
	if err := f.known(itemized + " expand"); err != nil {
		return e, err
	}
	old, err := item.signed("amount")
	if err != nil {
		return e, err
	}
	var b bill
	if b.unit, err = item.currency(); err != nil {
		return e, err
	}
	was := line{each: item.unitAmount(), unit: b.unit, quantity: ratOf(1)}
	l, priced, err := x.line(f, "", &was)
	if err != nil {
		return e, err
	}
	if !priced {
		return e.waiting(nil)
	}
	if l.each == nil && l.price == nil {
		return e, unclear("the item does not say what one costs")
	}
	b.lines = []line{l}
	unit, n, err := b.total()
	if err != nil {
		return e, err
	}
	customer, err := item.reference("customer")
	if err != nil {
		return e, err
	}
	return e.changed(unit, old, n, customer)
}

// changed is what comes of an amount on an invoice that becomes another: more of a
// charge, or more of a credit. Less of either moves nothing, but for a credit that is
// taken back.
func (e effect) changed(unit string, old, n int64, customer string) (effect, error) {
	more, err := plus(n, -old)
	switch {
	case err != nil:
		return e, err
	case more > 0:
		return e.moving(unit, more, ""), nil
	case n < 0:
		return e.moving(unit, max(more, n), customer), nil
	}
	return e.moving(unit, 0, ""), nil
}

// unitAmount is what one costs of an invoice item, nil where it does not say. If the
// amount is of another price by now, its old one is not used.
func (o *fact) unitAmount() *big.Rat {
	at := o
	if o.has("pricing") {
		if pricing, err := objectOf(o.get("pricing")); err == nil {
			at = pricing
		}
	}
	if n, ok := parseDecimal(at.text("unit_amount_decimal")); ok {
		return n
	}
	if n, err := o.signed("unit_amount"); err == nil {
		return new(big.Rat).SetInt64(n)
	}
	return nil
}

// deleteInvoiceItem spends what a credit that is deleted would have taken off.
func deleteInvoiceItem(x *reading, f *form) (effect, error) {
	item, e, done, err := x.invoiceItem()
	if err != nil || done {
		return e, err
	}
	if err := f.known("expand"); err != nil {
		return e, err
	}
	n, err := item.signed("amount")
	if err != nil {
		return e, err
	}
	unit, err := item.currency()
	if err != nil {
		return e, err
	}
	return e.moving(unit, -min(n, 0), ""), nil
}

// invoiceItem looks up the item that the path names, and the draft that it is on. done
// says that the draft waits for another call. The object is what the item is part of.
func (x *reading) invoiceItem() (item *fact, e effect, done bool, err error) {
	e = arms("invoiceitems/"+x.id, "")
	if item, err = x.ask("/v1/invoiceitems/"+x.id, "invoiceitem", x.id); err != nil {
		return nil, e, false, err
	}
	draft, err := item.reference("invoice")
	if err != nil {
		return nil, e, false, err
	}
	if draft == "" {
		customer, err := item.reference("customer")
		e.object = "customers/" + customer
		return item, e, false, err
	}
	e.object = "invoices/" + draft
	_, waits, err := x.draft(draft)
	if err == nil && waits {
		e, err = e.waiting(nil)
	}
	return item, e, waits, err
}
