package stripe

import (
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// ofItem are the parameters of a call on one item of a subscription.
const ofItem = "billing_thresholds clear_usage discounts expand metadata off_session payment_behavior plan price price_data proration_behavior" +
	" proration_date quantity subscription tax_rates"

// createSubscriptionItem spends one period of the subscription with the item.
func createSubscriptionItem(x *reading, f *form) (effect, error) {
	id, err := f.id("subscription")
	if err != nil {
		return effect{}, err
	}
	if id == "" {
		return effect{}, rails.Refusef(spend.Malformed, "subscription", "subscription is missing")
	}
	e := arms("subscriptions/"+id, "")
	if err := f.known(ofItem); err != nil {
		return e, err
	}
	return x.amended(f, e, id, []change{{}}, itemNames())
}

// itemNames is what the preview calls the parameters of one item.
func itemNames() map[string]string {
	names := map[string]string{}
	for _, name := range []string{"price", "price_data", "quantity", "tax_rates"} {
		names[name] = "subscription_details[items][0][" + name + "]"
	}
	names["plan"] = names["price"]
	return names
}

// updateSubscriptionItem spends one period of the subscription as it is then.
func updateSubscriptionItem(x *reading, f *form) (effect, error) {
	if f.only("expand metadata") {
		return touches("subscription_items/" + x.id), nil
	}
	return x.ofItem(f, change{id: x.id})
}

// deleteSubscriptionItem spends what is credited, and one period of what is left where
// the call has that invoiced at once: usage of the item may be on that invoice.
func deleteSubscriptionItem(x *reading, f *form) (effect, error) {
	return x.ofItem(f, change{id: x.id, deleted: true})
}

// ofItem looks up the subscription of the item in the path, on which the write counts.
func (x *reading) ofItem(f *form, c change) (effect, error) {
	behavior, _, err := f.scalar("proration_behavior")
	if err != nil {
		return effect{}, err
	}
	e := arms("subscription_items/"+x.id, "")
	if err := f.known(ofItem); err != nil {
		return e, err
	}
	if c.deleted && behavior == "none" {
		return e.waiting(nil) // what is left to be charged is less
	}
	found, err := x.ask("/v1/subscription_items/"+x.id, "subscription_item", x.id)
	if err != nil {
		return e, err
	}
	id, err := found.reference("subscription")
	if err != nil {
		return e, err
	}
	e.object = "subscriptions/" + id
	if c.deleted && behavior != "always_invoice" {
		return x.removed(f, e, id, c)
	}
	if line, err := found.asLine(); err != nil {
		return e, err
	} else if _, known, err := line.price.rate(""); c.deleted && (err != nil || !known) {
		return e, orUnclear(err, "what was used is billed now")
	}
	return x.amended(f, e, id, []change{c}, itemNames())
}

// removed spends what deleting an item credits to the customer: what is left to be
// charged is less.
func (x *reading) removed(f *form, e effect, id string, c change) (effect, error) {
	now, err := x.ask("/v1/subscriptions/"+id, "subscription", id)
	if err != nil {
		return e, err
	}
	credit, err := x.unused(f, now, []change{c})
	if err != nil {
		return e, err
	}
	return touches(e.object).crediting(now, credit)
}
