package stripe

import (
	"errors"
	"fmt"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// Billing charges by itself, later, what calls have armed. What one of them arms is
// judged when it is made: a subscription by one full period of all its items, with
// what is added to its first invoice; a pending item by its amount; an invoice by
// what remains of it. Neither trials nor discounts lower that, for both end. Where
// tax comes on top, Stripe's own preview tells how much.
//
// Two kinds of error are none: what an operation of billing still has to ask, and
// that nobody can tell its amount. billed makes effects of them.

// previewPath is Stripe's preview of an invoice: it reads, though by POST.
const previewPath = "/v1/invoices/create_preview"

// Previews returns the one path to which a POST only reads.
func (r *Rail) Previews() []string { return []string{previewPath} }

// due is the error of an amount that depends on a lookup not made yet.
type due rails.Lookup

func (d due) Error() string { return "look up first: " + rails.Lookup(d).String() }

// unclear is the error of an amount that cannot be known beforehand, such as that of
// a price by usage. The call may be in order all the same: a person has to say.
type unclear string

func (u unclear) Error() string { return string(u) }

// billed makes an effect of what stays open: e is what is known so far.
func billed(e effect, err error) (effect, error) {
	var d due
	var u unclear
	switch {
	case errors.As(err, &d):
		e.lookups = []rails.Lookup{rails.Lookup(d)}
		return e, nil
	case errors.As(err, &u):
		return effect{class: spend.Unrecognised, object: e.object, doubt: string(u)}, nil
	case err != nil:
		return effect{}, err
	}
	return e, nil
}

// billing makes out what an operation of billing does; ok is false for any other one.
func (x *reading) billing(f *form) (e effect, ok bool, err error) {
	switch x.op.name {
	case "invoices.create":
		e, err = createInvoice(x, f)
	case "invoices.update":
		e, err = updateInvoice(x, f)
	case "invoices.finalize":
		e, err = finalizeInvoice(x, f)
	case "invoices.pay":
		e, err = payInvoice(x, f)
	case "invoices.send":
		e, err = sendInvoice(x, f)
	case "invoices.add_lines", "invoices.update_lines", "invoices.lines.update":
		e, err = writeLines(x, f)
	case "invoices.remove_lines":
		e, err = removeLines(x, f)
	case "invoiceitems.create":
		e, err = createInvoiceItem(x, f)
	case "invoiceitems.update":
		e, err = updateInvoiceItem(x, f)
	case "invoiceitems.delete":
		e, err = deleteInvoiceItem(x, f)
	case "subscriptions.create":
		e, err = createSubscription(x, f)
	case "subscriptions.update":
		e, err = updateSubscription(x, f)
	case "subscriptions.resume":
		e, err = resumeSubscription(x, f)
	case "subscriptions.cancel":
		e, err = cancelSubscription(x, f)
	case "subscription_items.create":
		e, err = createSubscriptionItem(x, f)
	case "subscription_items.update":
		e, err = updateSubscriptionItem(x, f)
	case "subscription_items.delete":
		e, err = deleteSubscriptionItem(x, f)
	case "subscription_schedules.create":
		e, err = createSchedule(x, f)
	case "subscription_schedules.update":
		e, err = updateSchedule(x, f)
	case "subscription_schedules.cancel":
		e, err = cancelSchedule(x, f)
	case "subscription_schedules.release":
		e, err = releaseSchedule(x, f)
	case "quotes.accept":
		e, err = acceptQuote(x, f)
	case "credit_notes.create":
		e, err = createCreditNote(x, f)
	default:
		return effect{}, false, nil
	}
	e, err = billed(e, err)
	return e, true, err
}

// need asks for one more lookup.
func (x *reading) need(l rails.Lookup) error {
	if len(x.facts) >= maxLookups {
		return unclear("it takes more than three lookups")
	}
	return due(l)
}

// ask returns the object that a GET tells; due while it is still to be made.
func (x *reading) ask(target, object, id string) (*fact, error) {
	got, err := x.look(target, object, id)
	if err == nil && got == nil {
		err = x.need(rails.Lookup{Target: target})
	}
	return got, err
}

// preview returns the invoice that Stripe says would follow from parameters.
func (x *reading) preview(body string) (*fact, error) {
	l := rails.Lookup{Target: previewPath, Body: body}
	for _, f := range x.facts {
		if f.Lookup != l {
			continue
		}
		if f.Reply.Status == 404 {
			return nil, unclear("this version of the API has no preview")
		}
		if f.Reply.Status != 200 {
			return nil, fmt.Errorf("preview invoice: status %d: %w", f.Reply.Status, spend.Unavailable)
		}
		got, err := parseObject(f.Reply.Body)
		if err != nil || got.text("object") != "invoice" {
			return nil, fmt.Errorf("preview invoice: the answer is no invoice: %w", spend.Unavailable)
		}
		return got, nil
	}
	return nil, x.need(l)
}

// arms is a charge that is still without an amount.
func arms(object, payee string) effect {
	e := spends(spend.Leg{Kind: spend.Charge, Payee: payee})
	e.object = object
	return e
}

// touches is a write on an object that moves nothing by itself.
func touches(object string) effect { return effect{class: spend.Other, object: object} }

// moving completes e: a charge of n, a credit of -n to whom it is for, or nothing.
func (e effect) moving(unit string, n int64, customer string) effect {
	leg := e.legs[0]
	switch {
	case n == 0:
		return touches(e.object)
	case n < 0:
		leg.Kind, leg.Payee, n = spend.Refund, customer, -n
	}
	leg.Amount = spend.NewAmount(unit, n)
	e.legs = []spend.Leg{leg}
	return e
}

// boolean returns a field that is true or false.
func (o *fact) boolean(name string) (bool, error) {
	switch string(o.members.value(name)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("read %s of %s: it is neither true nor false: %w", name, o.what(), spend.Unavailable)
}

// list returns the objects of a field that is a list, or of a whole reply that is one.
// A list that goes on is unclear.
func (o *fact) list(object string) ([]*fact, error) {
	if o.text("object") != "list" {
		return nil, fmt.Errorf("read list: it is none: %w", spend.Unavailable)
	}
	if more, err := o.boolean("has_more"); err != nil || more {
		if more {
			err = unclear("a list has more than one page")
		}
		return nil, err
	}
	data := o.get("data")
	if !data.IsArray() {
		return nil, fmt.Errorf("read list: it has no data: %w", spend.Unavailable)
	}
	var all []*fact
	for _, v := range data.Array() {
		one, err := objectOf(v)
		if err != nil || one.text("object") != object {
			return nil, fmt.Errorf("read list: an element is no %s: %w", object, spend.Unavailable)
		}
		all = append(all, one)
	}
	return all, nil
}

// isEmptyList reports whether a field is absent, null or an empty list.
func (o *fact) isEmptyList(name string) bool { return !o.has(name) || len(o.get(name).Array()) == 0 }

// flag reads the parameter name as true or false, in the words of createPaymentIntent.
func (f *form) flag(name string) (value, present bool, err error) {
	word, present, err := f.scalar(name)
	switch {
	case err != nil || !present:
		return false, false, err
	case word == "true" || word == "True":
		return true, true, nil
	case word == "false":
		return false, true, nil
	}
	return false, true, rails.Refusef(spend.Malformed, name, "%s is %.80q; it must be true or false", name, word)
}

// sets reports whether the parameter name is there with anything but an empty value,
// which unsets what it names.
func (f *form) sets(name string) bool {
	value, present, err := f.scalar(name)
	return err != nil || present && value != ""
}

// known fails with unclear if a parameter is not among those named, without their
// brackets: what a version of the API makes of it is not known.
func (f *form) known(names string) error {
	for i := range f.all {
		if top := f.all[i].top(); !isAmong(names, top) {
			return unclear("it has the parameter " + shown(top) + ", of which nothing is known")
		}
	}
	return nil
}

// only reports whether the call has parameters, and none but those named.
func (f *form) only(names string) bool { return len(f.all) > 0 && f.known(names) == nil }

// objects returns the names of the elements of a list, which may have no parameters
// but those named.
func (f *form) objects(list, names string) ([]string, error) {
	all, err := f.elements(list)
	if err != nil {
		return nil, err
	}
	for i := range f.all {
		p := &f.all[i]
		if !p.isWithin(list) {
			continue
		}
		_, rest := cutSub(p.name[len(list):])
		if name, _ := cutSub(rest); !isAmong(names, name) {
			return nil, unclear("it has the parameter " + shown(p.name) + ", of which nothing is known")
		}
	}
	return all, nil
}

// priceable are the parameters of a price that the call states.
const priceable = "currency product product_data recurring tax_behavior unit_amount unit_amount_decimal"

// sub names a parameter of the object at: the parameter itself where at is "".
func sub(at string, names ...string) string {
	for _, name := range names {
		if at == "" {
			at = name
		} else {
			at += "[" + name + "]"
		}
	}
	return at
}
