package stripe

import (
	"fmt"
	"slices"

	"github.com/outgo/outgo/engine/spend"
)

// What a subscription has billed ahead and a change of it makes worth less, Stripe
// credits to the customer, unless the call says that nothing is prorated: so that a
// change to nothing gives back as much as canceling with prorate does. It is a refund
// beside the charge, of no more than what a period was dearer by, before tax.

// prorates reports whether a change of a subscription credits what was not used.
func (f *form) prorates() (bool, error) {
	behavior, _, err := f.scalar("proration_behavior")
	return behavior != "none", err
}

// unused is what a period of the items that the changes touch comes to less by them.
func (x *reading) unused(f *form, now *fact, changes []change) (int64, error) {
	if prorates, err := f.prorates(); err != nil || !prorates || len(changes) == 0 {
		return 0, err
	}
	items, err := objectOf(now.get("items"))
	if err != nil {
		return 0, fmt.Errorf("read items of %s: %w: %w", now.what(), err, spend.Unavailable)
	}
	all, err := items.list("subscription_item")
	if err != nil {
		return 0, err
	}
	unit, err := now.currency()
	if err != nil {
		return 0, err
	}
	was, is := bill{unit: unit}, bill{unit: unit}
	for _, c := range changes { // of which each is of an item that is there, or new
		i := slices.IndexFunc(all, func(one *fact) bool { return c.id != "" && one.text("id") == c.id })
		var old *line
		if i >= 0 {
			l, err := x.lineOf(all[i], unit)
			if err != nil {
				return 0, err
			}
			if old = &l; !l.isMetered() { // which is billed when it has been used
				was.lines = append(was.lines, l)
			}
		}
		if c.deleted {
			continue
		}
		l, _, err := x.line(f, c.at, old)
		if err != nil {
			return 0, err
		}
		if own, err := x.inUnit(&l, unit); err != nil {
			return 0, err
		} else if own != nil {
			l.price = own
		}
		is.lines = append(is.lines, l)
	}
	_, before, err := was.total()
	if err != nil {
		return 0, err
	}
	_, after, err := is.total()
	return max(before-after, 0), err
}

// lineOf is asLine with a price in the unit of the subscription.
func (x *reading) lineOf(item *fact, unit string) (line, error) {
	l, err := item.asLine()
	if err != nil {
		return line{}, err
	}
	own, err := x.inUnit(&l, unit)
	if own != nil {
		l.price = own
	}
	return l, err
}

// isMetered reports whether a line is for what is used.
func (l *line) isMetered() bool {
	return l.price != nil && (meters(l.price) || l.price.text("usage_type") == "metered")
}

// crediting adds to e, which may move something else, that n is credited to whom now
// bills.
func (e effect) crediting(now *fact, n int64) (effect, error) {
	if n == 0 {
		return e, nil
	}
	unit, err := now.currency()
	if err != nil {
		return effect{}, err
	}
	customer, err := now.reference("customer")
	if err != nil {
		return effect{}, err
	}
	credit := spend.Leg{Kind: spend.Refund, Amount: spend.NewAmount(unit, n), Payee: customer}
	e.class, e.legs = spend.Spend, append(slices.Clip(e.legs), credit)
	return e, nil
}
