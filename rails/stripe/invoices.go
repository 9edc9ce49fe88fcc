package stripe

import (
	"fmt"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// An invoice is charged, or its customer asked to pay it, by a call that says so
// (pay, send), or by itself where auto_advance is on. While it is a draft and that is
// off, nothing comes of it without another call.

// words are the parameters that change no amount.
const words = "account_tax_ids application_fee_amount application_fee_percent cancellation_details custom_fields days_until_due default_mandate" +
	" default_payment_method default_source description due_date effective_at expand footer invoice_settings issuer metadata number" +
	" off_session on_behalf_of payment_settings rendering rendering_options shipping_details statement_descriptor"

// invoiced are all the parameters of an invoice that are known.
const invoiced = words + " auto_advance automatic_tax automatically_finalizes_at collection_method currency customer customer_account" +
	" default_tax_rates discounts from_invoice pending_invoice_items_behavior shipping_cost subscription transfer_data"

// createInvoice spends what waits for the customer's next invoice, if the new one
// advances by itself.
func createInvoice(x *reading, f *form) (effect, error) {
	customer, kind, err := x.customer(f)
	if err != nil {
		return effect{}, err
	}
	from, err := f.id("from_invoice[invoice]")
	if err != nil {
		return effect{}, err
	}
	payee, err := f.id("transfer_data[destination]")
	if err != nil {
		return effect{}, err
	}
	e := arms("customers/"+customer, payee)
	if from != "" {
		e.object = "invoices/" + from
	}
	if err := f.known(invoiced); err != nil {
		return e, err
	}
	advances, err := f.advances(x.version < "2018-11-08")
	if err != nil || !advances {
		return x.staged(e), err
	}
	if err := f.known(words + " auto_advance automatic_tax automatically_finalizes_at collection_method currency customer customer_account" +
		" discounts from_invoice pending_invoice_items_behavior subscription transfer_data"); err != nil {
		return e, err
	}
	if from != "" {
		if taxed, _, err := f.flag("automatic_tax[enabled]"); err != nil || taxed {
			return e, orUnclear(err, "what tax adds to a revision")
		}
		invoice, err := x.ask("/v1/invoices/"+from, "invoice", from)
		if err != nil {
			return e, err
		}
		return e.remaining(invoice, "total")
	}
	// What Stripe puts on it by itself was more before 2022-08-01.
	behavior, stated, err := f.scalar("pending_invoice_items_behavior")
	if err != nil || behavior == "exclude" || !stated && x.version >= "2022-08-01" {
		return x.staged(e), err
	}
	if customer == "" {
		return e, rails.Refusef(spend.Malformed, "customer", "customer is missing")
	}
	unit, n, err := x.pending(f, kind, customer)
	if err != nil {
		return e, err
	}
	if n <= 0 {
		return x.staged(e), nil
	}
	return e.moving(unit, n, ""), nil
}

// staged is what e is while nothing moves by itself. Whom it is passed on to, an invoice
// does not tell any more since 2025-03-31: the call gives away a place to send money to.
func (x *reading) staged(e effect) effect {
	if told := x.version != "" && x.version < "2025-03-31"; e.legs[0].Payee != "" && !told {
		return effect{class: spend.Capability, object: e.object}
	}
	return touches(e.object)
}

// customer returns who is billed, and by which of two parameters the call says so.
func (x *reading) customer(f *form) (id, param string, err error) {
	if x.id != "" {
		return x.id, "customer", nil
	}
	id, err = f.id("customer")
	if err != nil {
		return "", "", err
	}
	account, err := f.id("customer_account")
	if id != "" && account != "" {
		return "", "", rails.Refusef(spend.Ambiguous, "customer", "customer and customer_account both name who is billed; send one")
	}
	if account != "" {
		return account, "customer_account", err
	}
	return id, "customer", err
}

// advances reports whether an invoice is finalized and collected by itself: by what
// the call says, else by what is so already.
func (f *form) advances(already bool) (bool, error) {
	advances, stated, err := f.flag("auto_advance")
	if err != nil {
		return false, err
	}
	if !stated {
		advances = already
	}
	return advances || f.sets("automatically_finalizes_at"), nil
}

// pending returns what waits for the next invoice of a customer, with the tax that
// Stripe reckons for it.
func (x *reading) pending(f *form, param, customer string) (unit string, n int64, err error) {
	target := "/v1/invoiceitems?" + param + "=" + customer + "&limit=100&pending=true"
	var reply *fact
	for _, known := range x.facts {
		if known.Lookup == (rails.Lookup{Target: target}) && known.Reply.Status == 200 {
			if reply, err = parseObject(known.Reply.Body); err != nil {
				return "", 0, fmt.Errorf("look up pending items: %w: %w", err, spend.Unavailable)
			}
		} else if known.Lookup.Target == target {
			return "", 0, fmt.Errorf("look up pending items: status %d: %w", known.Reply.Status, spend.Unavailable)
		}
	}
	if reply == nil {
		return "", 0, x.need(rails.Lookup{Target: target})
	}
	items, err := reply.list("invoiceitem")
	if err != nil {
		return "", 0, err
	}
	if unit, err = f.currency(); err != nil {
		return "", 0, err
	}
	taxed, _, err := f.flag("automatic_tax[enabled]")
	if err != nil {
		return "", 0, err
	}
	for _, item := range items {
		own, err := item.currency()
		if err != nil {
			return "", 0, err
		}
		if unit == "" {
			unit = own
		}
		if own != unit {
			return "", 0, unclear("the pending items are in several currencies")
		}
		amount, err := item.signed("amount")
		if err != nil {
			return "", 0, err
		}
		if amount < 0 && f.sets("subscription") {
			continue // it may be for another one
		}
		if n, err = plus(n, amount); err != nil {
			return "", 0, err
		}
		taxed = taxed || !item.isEmptyList("tax_rates")
	}
	if !taxed || n <= 0 {
		return unit, n, nil
	}
	return x.taxed(previewOf(f, map[string]string{"automatic_tax": "automatic_tax", "currency": "currency"}, param+"="+customer), unit, n)
}

// plus adds two amounts.
func plus(a, b int64) (int64, error) {
	if sum := a + b; (sum > a) == (b > 0) {
		return sum, nil
	}
	return 0, fmt.Errorf("add amounts: they are more than any can be: %w", spend.Unavailable)
}

// updateInvoice spends what remains of an invoice that advances by itself after it.
func updateInvoice(x *reading, f *form) (effect, error) {
	payee, err := f.given("transfer_data[destination]")
	if err != nil {
		return effect{}, err
	}
	e := arms("invoices/"+x.id, payee)
	if f.only(words) {
		return x.staged(e), nil
	}
	if err := f.known(invoiced); err != nil {
		return e, err
	}
	if advances, err := f.advances(true); err != nil || !advances {
		return x.staged(e), err
	}
	invoice, err := x.invoice()
	if err != nil {
		return e, err
	}
	if advances, err := f.advancesWith(invoice); err != nil || !advances {
		return x.staged(e), err
	}
	// What another tax, discount or shipping makes of the amount is not known.
	if err := f.known(words + " auto_advance automatically_finalizes_at collection_method transfer_data"); err != nil {
		return e, err
	}
	return e.remaining(invoice, "amount_remaining")
}

// given reads the parameter name as an id, "" where it is unset as well.
func (f *form) given(name string) (string, error) {
	if !f.sets(name) {
		return "", nil
	}
	return f.id(name)
}

// invoice looks up the invoice that the path names.
func (x *reading) invoice() (*fact, error) {
	return x.ask("/v1/invoices/"+x.id, "invoice", x.id)
}

// advancesWith is advances for an invoice that is there. Before 2018-11-08 invoices
// had no auto_advance, and all did.
func (f *form) advancesWith(invoice *fact) (bool, error) {
	already := true
	if invoice.has("auto_advance") {
		var err error
		if already, err = invoice.boolean("auto_advance"); err != nil {
			return false, err
		}
	}
	if invoice.has("automatically_finalizes_at") {
		already = true
	}
	return f.advances(already)
}

// remaining completes e with what an invoice says of itself.
func (e effect) remaining(invoice *fact, field string) (effect, error) {
	if field == "amount_remaining" && !invoice.has(field) {
		field = "amount_due"
	}
	n, err := invoice.integer(field)
	if err != nil {
		return effect{}, err
	}
	unit, err := invoice.currency()
	if err != nil {
		return effect{}, err
	}
	if e.legs[0].Payee == "" {
		if e.legs[0].Payee, err = invoice.payee(); err != nil {
			return effect{}, err
		}
	}
	return e.moving(unit, n, ""), nil
}

// finalizeInvoice spends what remains, unless the invoice is left to wait for another
// call.
func finalizeInvoice(x *reading, f *form) (effect, error) {
	e := arms("invoices/"+x.id, "")
	if err := f.known("auto_advance expand"); err != nil {
		return e, err
	}
	invoice, err := x.invoice()
	if err != nil {
		return e, err
	}
	if advances, err := f.advancesWith(invoice); err != nil || !advances {
		return x.staged(e), err
	}
	return e.remaining(invoice, "amount_remaining")
}

// payInvoice spends what remains. What is paid_out_of_band was paid elsewhere; any
// word for that but the plain one is not trusted to mean it.
func payInvoice(x *reading, f *form) (effect, error) {
	e := arms("invoices/"+x.id, "")
	if err := f.known("expand forgive mandate off_session paid_out_of_band payment_method source"); err != nil {
		return e, err
	}
	elsewhere, _, err := f.scalar("paid_out_of_band")
	if err != nil || elsewhere == "true" {
		return touches("invoices/" + x.id), err
	}
	return x.remains(e)
}

// sendInvoice asks the customer to pay what remains.
func sendInvoice(x *reading, f *form) (effect, error) {
	e := arms("invoices/"+x.id, "")
	if err := f.known("expand"); err != nil {
		return e, err
	}
	return x.remains(e)
}

// remains is e with what remains of the invoice.
func (x *reading) remains(e effect) (effect, error) {
	invoice, err := x.invoice()
	if err != nil {
		return e, err
	}
	return e.remaining(invoice, "amount_remaining")
}

// itemized are the parameters of one line of an invoice. Tax on it may raise it.
const itemized = "amount description discountable discounts id metadata period price price_data pricing quantity quantity_decimal" +
	" tax_behavior tax_code unit_amount unit_amount_decimal"

// writeLines spends what lines add to an invoice that advances by itself.
func writeLines(x *reading, f *form) (effect, error) {
	e := arms("invoices/"+x.id, "")
	invoice, err := x.invoice()
	if err != nil {
		return e, err
	}
	if advances, err := f.advancesWith(invoice); err != nil || !advances {
		return x.staged(e), err
	}
	places := []string{""}
	if x.id2 != "" {
		err = f.known(itemized + " expand")
	} else if err = f.known("expand invoice_metadata lines"); err == nil {
		places, err = f.objects("lines", itemized)
	}
	if err != nil {
		return e, err
	}
	var b bill
	if b.unit, err = invoice.currency(); err != nil {
		return e, err
	}
	for _, at := range places {
		l, priced, err := x.line(f, at, nil)
		if err != nil {
			return e, err
		}
		if priced {
			b.lines = append(b.lines, l)
		} else if f.sets(sub(at, "quantity")) || f.sets(sub(at, "quantity_decimal")) {
			return e, unclear("it changes how many of a line there are")
		}
	}
	unit, n, err := b.total()
	if err != nil {
		return e, err
	}
	if n != 0 {
		if e.legs[0].Payee, err = invoice.payee(); err != nil {
			return e, err
		}
	}
	customer, err := invoice.reference("customer")
	return e.moving(unit, n, customer), err
}

// removeLines may raise what an invoice comes to, where a line was a credit.
func removeLines(x *reading, f *form) (effect, error) {
	e := arms("invoices/"+x.id, "")
	invoice, err := x.invoice()
	if err != nil {
		return e, err
	}
	if advances, err := f.advancesWith(invoice); err != nil || !advances {
		return x.staged(e), err
	}
	return e, unclear("what is left of an invoice that is charged by itself")
}
