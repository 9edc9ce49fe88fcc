package stripe

import (
	"fmt"
	"slices"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// A subscription is judged by one full period of all its items: what it charges each
// time, and the most that a change of it is charged at once. Where the call has tax
// added, or starts it in the past, Stripe's preview may come to more.

// subscribed are the parameters of a subscription that do not change what a period of
// it costs: trials and discounts end. words are besides.
const subscribed = "add_invoice_items automatic_tax backdate_start_date billing_cycle_anchor billing_cycle_anchor_config billing_mode billing_thresholds" +
	" cancel_at cancel_at_period_end collection_method coupon currency customer customer_account default_tax_rates discounts items pause_collection" +
	" payment_behavior pending_invoice_item_interval promotion_code proration_behavior proration_date transfer_data trial_end trial_from_plan" +
	" trial_period_days trial_settings"

// priced and item are the parameters of one thing that is billed once, and of one that
// is billed each period.
const (
	priced = "discountable discounts metadata period price price_data quantity tax_rates"
	item   = "billing_thresholds clear_usage deleted discounts id metadata plan price price_data quantity tax_rates"
)

// createSubscription spends one period and what is added to the first invoice.
func createSubscription(x *reading, f *form) (effect, error) {
	customer, param, err := x.customer(f)
	if err != nil {
		return effect{}, err
	}
	payee, err := f.given("transfer_data[destination]")
	if err != nil {
		return effect{}, err
	}
	e := arms("customers/"+customer, payee)
	if err := f.known(words + " " + subscribed); err != nil {
		return e, err
	}
	if customer == "" {
		return effect{}, rails.Refusef(spend.Malformed, "customer", "customer is missing")
	}
	b, err := x.bill(f, "items", "add_invoice_items")
	if err != nil {
		return e, err
	}
	if len(b.lines) == 0 {
		return e, unclear("it has no items")
	}
	taxed, err := f.isTaxed("items", "add_invoice_items")
	if err != nil {
		return e, err
	}
	if !taxed && !f.sets("backdate_start_date") && !b.isManifold() {
		unit, n, err := b.total()
		return e.moving(unit, n, ""), err
	}
	// Without its trial: what it comes to when that has ended counts.
	body := previewOf(f, map[string]string{
		"items": "subscription_details[items]", "add_invoice_items": "invoice_items", "automatic_tax": "automatic_tax", "currency": "currency",
		"default_tax_rates": "subscription_details[default_tax_rates]", "backdate_start_date": "subscription_details[start_date]",
		"billing_mode": "subscription_details[billing_mode]", "on_behalf_of": "on_behalf_of",
	}, param+"="+customer)
	if b.isManifold() {
		invoice, err := x.preview(body)
		if err != nil {
			return e, err
		}
		if b.unit, err = invoice.currency(); err != nil {
			return e, err
		}
	}
	unit, n, err := b.total()
	if err != nil {
		return e, err
	}
	if unit, n, err = x.taxed(body, unit, n); err != nil {
		return e, err
	}
	return e.moving(unit, n, ""), nil
}

// bill reads the lines of two lists of the call; "" names none.
func (x *reading) bill(f *form, periodic, once string) (b bill, err error) {
	if b.unit, err = f.currency(); err != nil {
		return b, err
	}
	for _, list := range [][2]string{{periodic, item}, {once, priced}} {
		if list[0] == "" {
			continue
		}
		places, err := f.objects(list[0], list[1])
		if err != nil {
			return b, err
		}
		for _, at := range places {
			l, priced, err := x.line(f, at, nil)
			if err != nil {
				return b, err
			}
			if !priced {
				return b, rails.Refusef(spend.Malformed, sub(at, "price"), "%s has no price", at)
			}
			b.lines = append(b.lines, l)
		}
	}
	return b, nil
}

// isTaxed reports whether the call has tax added.
func (f *form) isTaxed(lists ...string) (bool, error) {
	taxed, _, err := f.flag("automatic_tax[enabled]")
	if err != nil {
		return false, err
	}
	for i := range f.all {
		p := &f.all[i]
		if p.value == "" {
			continue
		}
		if p.top() == "default_tax_rates" || p.top() == "tax_rates" {
			taxed = true
		}
		if slices.Contains(lists, p.top()) {
			_, rest := cutSub(p.name[p.base:])
			taxed = taxed || len(rest) > len("[tax_rates]") && rest[:len("[tax_rates]")] == "[tax_rates]"
		}
	}
	return taxed, nil
}

// change is what a call makes of one item of a subscription.
type change struct {
	id      string // "" for a new one
	at      string
	deleted bool
}

// updateSubscription spends one period of the subscription as it is then, unless the
// call touches nothing that is charged. What ended it may be taken back by the same
// parameters: only an end at the period's is plainly no charge.
func updateSubscription(x *reading, f *form) (effect, error) {
	id := x.subscription()
	ends, stated, err := f.flag("cancel_at_period_end")
	if err != nil {
		return effect{}, err
	}
	harmless := words
	if stated && ends {
		harmless += " cancel_at_period_end"
	}
	if f.sets("pause_collection[behavior]") && !f.sets("pause_collection[resumes_at]") {
		harmless += " pause_collection"
	}
	if f.only(harmless) {
		return touches("subscriptions/" + id), nil
	}
	payee, err := f.given("transfer_data[destination]")
	if err != nil {
		return effect{}, err
	}
	e := arms("subscriptions/"+id, payee)
	if err := f.known(words + " " + subscribed); err != nil {
		return e, err
	}
	places, err := f.objects("items", item)
	if err != nil {
		return e, err
	}
	var changes []change
	for _, at := range places {
		c := change{at: at}
		if c.id, err = f.id(sub(at, "id")); err != nil {
			return e, err
		}
		if c.deleted, _, err = f.flag(sub(at, "deleted")); err != nil {
			return e, err
		}
		changes = append(changes, c)
	}
	return x.amended(f, e, id, changes, map[string]string{
		"items": "subscription_details[items]", "automatic_tax": "automatic_tax", "default_tax_rates": "subscription_details[default_tax_rates]",
	})
}

// subscription returns the id of the subscription in the path, behind that of its
// customer in some.
func (x *reading) subscription() string {
	if x.id2 != "" {
		return x.id2
	}
	return x.id
}

// resumeSubscription spends one period.
func resumeSubscription(x *reading, f *form) (effect, error) {
	e := arms("subscriptions/"+x.id, "")
	if err := f.known("billing_cycle_anchor expand proration_behavior proration_date"); err != nil {
		return e, err
	}
	return x.amended(f, e, x.id, nil, nil)
}

// amended spends one period of a subscription with changes made to it, and what the
// call adds to its next invoice. names is for its preview.
func (x *reading) amended(f *form, e effect, id string, changes []change, names map[string]string) (effect, error) {
	now, err := x.ask("/v1/subscriptions/"+id, "subscription", id)
	if err != nil {
		return e, err
	}
	if e.legs[0].Payee == "" {
		if e.legs[0].Payee, err = now.payee(); err != nil {
			return e, err
		}
	}
	b, err := x.bill(f, "", "add_invoice_items")
	if err != nil {
		return e, err
	}
	if b.unit, err = now.currency(); err != nil {
		return e, err
	}
	once := len(b.lines)
	taxed, err := x.amend(f, &b, now, changes)
	if err != nil {
		return e, err
	}
	if !taxed {
		if taxed, err = f.isTaxed("items", "add_invoice_items"); err != nil {
			return e, err
		}
	}
	unit, n, err := b.total()
	if err == nil && taxed && once > 0 {
		err = unclear("what tax adds to a subscription and to what is billed once")
	}
	if err != nil {
		return e, err
	}
	if taxed {
		if unit, n, err = x.taxed(previewOf(f, names, append([]string{"subscription=" + id, "preview_mode=recurring"}, deletions(changes)...)...), unit, n); err != nil {
			return e, err
		}
	}
	credit, err := x.unused(f, now, changes)
	if err != nil {
		return e, err
	}
	return e.moving(unit, n, "").crediting(now, credit)
}

// deletions writes, for a preview, the items that a call of their own deletes or
// changes.
func deletions(changes []change) (parameters []string) {
	for _, c := range changes {
		if c.at == "" && c.id != "" {
			parameters = append(parameters, "subscription_details[items][0][id]="+c.id)
		}
		if c.at == "" && c.deleted {
			parameters = append(parameters, "subscription_details[items][0][deleted]=true")
		}
	}
	return parameters
}

// amend adds the items of a subscription to a bill, as they are with the changes, and
// reports whether tax is added to them.
func (x *reading) amend(f *form, b *bill, now *fact, changes []change) (taxed bool, err error) {
	items, err := objectOf(now.get("items"))
	if err != nil {
		return false, fmt.Errorf("read items of %s: %w: %w", now.what(), err, spend.Unavailable)
	}
	all, err := items.list("subscription_item")
	if err != nil {
		return false, err
	}
	if taxed, err = now.isTaxed(); err != nil {
		return false, err
	}
	for _, c := range changes {
		if c.id != "" || c.deleted {
			continue
		}
		l, priced, err := x.line(f, c.at, nil)
		if err != nil || !priced {
			if err == nil {
				err = rails.Refusef(spend.Malformed, sub(c.at, "price"), "%s has no price", nameOf(c.at))
			}
			return false, err
		}
		b.lines = append(b.lines, l)
	}
	for _, one := range all {
		i := slices.IndexFunc(changes, func(c change) bool { return c.id == one.text("id") })
		if i >= 0 && changes[i].deleted {
			continue
		}
		l, err := one.asLine()
		if err != nil {
			return false, err
		}
		if i >= 0 {
			if l, _, err = x.line(f, changes[i].at, &l); err != nil {
				return false, err
			}
		}
		if own, err := x.inUnit(&l, b.unit); err != nil {
			return false, err
		} else if own != nil {
			l.price = own
		}
		taxed = taxed || !one.isEmptyList("tax_rates")
		b.lines = append(b.lines, l)
	}
	return taxed, x.isOf(all, changes)
}

// isOf refuses a change of an item that the subscription does not have.
func (x *reading) isOf(all []*fact, changes []change) error {
	for _, c := range changes {
		if c.id != "" && !slices.ContainsFunc(all, func(one *fact) bool { return one.text("id") == c.id }) {
			return rails.Refusef(spend.Malformed, sub(c.at, "id"), "the subscription has no item %s", c.id)
		}
	}
	return nil
}

// inUnit looks the price of a line up anew where the subscription shows it in another
// unit than its own; nil where it need not.
func (x *reading) inUnit(l *line, unit string) (*fact, error) {
	if l.price == nil || l.price.text("object") != "price" {
		return nil, nil
	}
	if own, err := l.price.currency(); err != nil || own == unit {
		return nil, err
	}
	return x.priceOf("price", l.price.text("id"), false)
}

// isTaxed reports whether a subscription has tax added.
func (o *fact) isTaxed() (bool, error) {
	taxed := !o.isEmptyList("default_tax_rates") || o.has("tax_percent")
	if o.has("automatic_tax") {
		automatic, err := objectOf(o.get("automatic_tax"))
		if err != nil {
			return false, fmt.Errorf("read automatic_tax of %s: %w: %w", o.what(), err, spend.Unavailable)
		}
		enabled, err := automatic.boolean("enabled")
		return taxed || enabled, err
	}
	return taxed, nil
}

// asLine returns what an item of a subscription bills each period.
func (o *fact) asLine() (line, error) {
	l := line{at: o.text("id")}
	var err error
	for _, name := range []string{"price", "plan"} {
		if l.price == nil && o.has(name) {
			if l.price, err = o.inner(name, name); err != nil {
				return line{}, err
			}
		}
	}
	if l.price == nil {
		return line{}, fmt.Errorf("read %s: it has no price: %w", o.what(), spend.Unavailable)
	}
	if !o.has("quantity") {
		return line{}, unclear("an item of the subscription is by usage")
	}
	n, err := o.integer("quantity")
	if err != nil {
		return line{}, err
	}
	l.quantity = ratOf(n)
	return l, nil
}

// cancelSubscription spends what a last invoice comes to, or gives back what was paid
// and not used, where the call asks for either. Stripe's preview tells.
func cancelSubscription(x *reading, f *form) (effect, error) {
	id := x.subscription()
	billed, _, err := f.flag("invoice_now")
	if err != nil {
		return effect{}, err
	}
	prorated, _, err := f.flag("prorate")
	if err != nil {
		return effect{}, err
	}
	e := arms("subscriptions/"+id, "")
	if err := f.known("at_period_end cancellation_details expand invoice_now prorate"); err != nil {
		return e, err
	}
	if !billed && !prorated {
		return e.waiting(nil)
	}
	return x.canceled(e, id, prorated)
}

// canceled completes e with what canceling a subscription at once bills or credits.
func (x *reading) canceled(e effect, id string, prorated bool) (effect, error) {
	behavior := "none"
	if prorated {
		behavior = "create_prorations"
	}
	invoice, err := x.preview("subscription=" + id + "&subscription_details[cancel_now]=true&subscription_details[proration_behavior]=" + behavior)
	if err != nil {
		return e, err
	}
	n, err := invoice.signed("total")
	if err != nil {
		return e, err
	}
	unit, err := invoice.currency()
	if err != nil {
		return e, err
	}
	customer, err := invoice.reference("customer")
	return e.moving(unit, n, customer), err
}
