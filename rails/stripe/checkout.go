package stripe

import (
	"fmt"
	"math/big"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// A checkout session and a payment link are requests to pay, published with the call
// and paid by others. They are charges of the most that one payer can be asked for:
// see basket. Of a subscription that is its first period, as if there were no trial;
// a link may be paid more than once, and each payment is its payer's act.

// createSession reads a checkout session in mode payment or subscription.
func createSession(x *reading, f *form) (effect, error) {
	mode, _, err := f.scalar("mode")
	if err != nil {
		return effect{}, err
	}
	if mode == "setup" {
		return effect{class: spend.Capability}, nil
	}
	payee, err := f.either("payment_intent_data[transfer_data][destination]", "subscription_data[transfer_data][destination]")
	if err != nil {
		return effect{}, err
	}
	b, err := newBasket(f)
	if err != nil {
		return effect{}, err
	}
	// Until 2022 a session could ask for plans in place of items.
	b.dark = f.isHash("subscription_data[items]") || !f.isHash("line_items") || f.states("subscription_data[default_tax_rates]")
	if err := b.stated(x, f); err != nil {
		return effect{}, err
	}
	return b.ask(x, payee, "")
}

// createLink reads a payment link.
func createLink(x *reading, f *form) (effect, error) {
	payee, err := f.id("transfer_data[destination]")
	if err != nil {
		return effect{}, err
	}
	b, err := newBasket(f)
	if err != nil {
		return effect{}, err
	}
	if err := b.stated(x, f); err != nil {
		return effect{}, err
	}
	return b.ask(x, payee, "")
}

// issueToken reads a token with which a seller charges up to a limit. What bounds it in
// another way than once and for all, such as for each interval, is no limit.
func issueToken(x *reading, f *form) (effect, error) {
	for i := range f.all {
		p := &f.all[i]
		if !p.isWithin("usage_limits") {
			continue
		}
		if limit, _ := cutSub(p.name[p.base:]); !isAmong("currency expires_at max_amount", limit) {
			return effect{class: spend.Unrecognised}, nil
		}
	}
	return x.evaluate(f)
}

// stated puts in all that a call states.
func (b *basket) stated(x *reading, f *form) error {
	if err := b.items(x, f, "line_items"); err != nil {
		return err
	}
	if err := b.items(x, f, "optional_items"); err != nil {
		return err
	}
	return b.shipping(x, f, "shipping_options")
}

// updateSession re-prices an open session: it asks for the whole of it anew. Items
// that the call does not name are gone from it.
func updateSession(x *reading, f *form) (effect, error) {
	return updateAsk(x, f, "checkout/sessions/", "checkout.session", true)
}

// updateLink re-prices a payment link, or opens one that was closed. Items that the
// call does not name stay. What says neither what is asked for nor of whom changes
// no more than how the page looks.
func updateLink(x *reading, f *form) (effect, error) {
	looks := true
	for i := range f.all {
		switch f.all[i].top() {
		case "after_completion", "billing_address_collection", "consent_collection", "custom_fields", "custom_text", "expand",
			"inactive_message", "metadata", "name_collection", "phone_number_collection", "submit_type", "tax_id_collection":
		default:
			looks = false
		}
	}
	if looks {
		return effect{class: spend.Other, object: "payment_links/" + x.id}, nil
	}
	return updateAsk(x, f, "payment_links/", "payment_link", false)
}

func updateAsk(x *reading, f *form, collection, object string, whole bool) (effect, error) {
	payee, err := f.id("transfer_data[destination]")
	if err != nil {
		return effect{}, err
	}
	b, err := newBasket(f)
	if err != nil {
		return effect{}, err
	}
	target := "/v1/" + collection + x.id + "?expand[]=line_items"
	was, err := b.look(x, target, object, x.id)
	if err != nil {
		return effect{}, err
	}
	if was == nil {
		return b.ask(x, payee, collection+x.id)
	}
	if b.unit, err = was.currency(); err != nil {
		return effect{}, err
	}
	if payee == "" {
		if payee, err = was.payee(); err != nil {
			return effect{}, err
		}
	}
	if err := b.changed(x, f, was, whole); err != nil {
		return effect{}, err
	}
	if err := b.optional(x, f, was); err != nil {
		return effect{}, err
	}
	if err := b.shipped(x, f, was); err != nil {
		return effect{}, err
	}
	return b.ask(x, payee, collection+x.id)
}

// changed puts in the items of what is updated as the call leaves them.
func (b *basket) changed(x *reading, f *form, was *fact, whole bool) error {
	list, err := was.inner("line_items", "list")
	if err != nil {
		return err
	}
	if list.get("has_more").Raw != "false" {
		b.dark = true
		return nil
	}
	names, err := f.elements("line_items")
	if err != nil {
		return err
	}
	named := map[string]string{} // element by the id of the item that it changes
	for _, name := range names {
		id, present, err := f.name(name + "[id]")
		switch {
		case err != nil:
			return err
		case !present:
			err = b.item(x, f, name)
		case named[id] != "":
			err = rails.Refusef(spend.Ambiguous, name, "two elements of line_items name the item %.80q", id)
		}
		if err != nil {
			return err
		}
		named[id] = name
	}
	delete(named, "")
	for _, v := range list.get("data").Array() {
		item, err := objectOf(v)
		if err != nil || item.text("object") != "item" {
			return fmt.Errorf("read line_items of %s: one of them is no item: %w", was.what(), spend.Unavailable)
		}
		name, ok := named[item.text("id")]
		delete(named, item.text("id"))
		if !ok && whole && len(names) > 0 {
			continue
		}
		if err := b.kept(x, f, item, name); err != nil {
			return err
		}
	}
	b.dark = b.dark || len(named) > 0 // it changes what is not there
	return nil
}

// kept puts in one item that was there, with what the element of that name changes.
func (b *basket) kept(x *reading, f *form, item *fact, name string) error {
	many, err := item.most()
	if err != nil {
		return err
	}
	// Of the tax that was on it before, it is not known what part comes on top.
	taxed := item.has("amount_tax") && item.get("amount_tax").Raw != "0"
	b.dark = b.dark || taxed && (name == "" || !f.states(name+"[tax_rates]"))
	var tax *big.Int
	if name != "" {
		if many, err = f.most(name, many); err != nil {
			return err
		}
		if tax, err = b.tax(x, f, name); err != nil {
			return err
		}
		_, anew, err := f.scalar(name + "[price]")
		if err != nil {
			return err
		}
		if anew || f.isHash(name+"[price_data]") {
			return b.repriced(x, f, name, many, tax)
		}
	}
	price, err := item.inner("price", "price")
	if err != nil {
		return err
	}
	return b.addPrice(price, many, tax)
}

// repriced puts in one item that was there at the price that the call gives it.
func (b *basket) repriced(x *reading, f *form, name string, many int64, tax *big.Int) error {
	id, named, err := f.name(name + "[price]")
	if err != nil {
		return err
	}
	if named && f.isHash(name+"[price_data]") {
		return rails.Refusef(spend.Ambiguous, name, "%s names a price and states one; send one of them", name)
	}
	if named {
		return b.priced(x, id, many, tax)
	}
	r, err := f.rate(name + "[price_data]")
	if r.tax = tax; err == nil {
		b.add(r, many)
	}
	return err
}

// optional puts in the optional items: those of the call, if it has any to say.
func (b *basket) optional(x *reading, f *form, was *fact) error {
	if f.states("optional_items") {
		return b.items(x, f, "optional_items")
	}
	for _, v := range was.get("optional_items").Array() {
		item, err := objectOf(v)
		if err != nil || !isName(item.text("price")) {
			return fmt.Errorf("read optional_items of %s: one of them has no price: %w", was.what(), spend.Unavailable)
		}
		many, err := item.most()
		if err != nil {
			return err
		}
		if err := b.priced(x, item.text("price"), many, nil); err != nil {
			return err
		}
	}
	return nil
}

// shipped takes in the ways of shipping: those of the call, if it has any to say.
func (b *basket) shipped(x *reading, f *form, was *fact) error {
	if f.states("shipping_options") {
		return b.shipping(x, f, "shipping_options")
	}
	for _, v := range was.get("shipping_options").Array() {
		option, err := objectOf(v)
		if err != nil {
			return fmt.Errorf("read shipping_options of %s: %w: %w", was.what(), err, spend.Unavailable)
		}
		n, err := option.integer("shipping_amount")
		if err != nil {
			return err
		}
		b.ship(rate{unit: b.unit, each: parts(n), per: 1})
	}
	return nil
}

// most returns the largest quantity of an item that was there.
func (o *fact) most() (int64, error) {
	many, err := o.integer("quantity")
	if err != nil || !o.has("adjustable_quantity") {
		return many, err
	}
	may, err := objectOf(o.get("adjustable_quantity"))
	if err != nil {
		return 0, fmt.Errorf("read adjustable_quantity of %s: %w: %w", o.what(), err, spend.Unavailable)
	}
	switch {
	case may.get("enabled").Raw == "false":
		return many, nil
	case !may.has("maximum"):
		return max(many, adjustable), nil
	}
	top, err := may.integer("maximum")
	return max(many, top), err
}

// states reports whether the call says anything of a parameter, be it that it is
// empty.
func (f *form) states(name string) bool {
	_, present, err := f.scalarOrHash(name)
	return err != nil || present || f.isHash(name)
}

// either reads the one of two parameters that is there as an id.
func (f *form) either(one, other string) (string, error) {
	a, err := f.id(one)
	if err != nil {
		return "", err
	}
	b, err := f.id(other)
	if err == nil && a != "" && b != "" {
		err = rails.Refusef(spend.Ambiguous, one, "%s and %s both name who is paid; send one", one, other)
	}
	return a + b, err
}
