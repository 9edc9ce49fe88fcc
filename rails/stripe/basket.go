package stripe

import (
	"math/big"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

const (
	// maxLookups is how many reads one call may rest on.
	maxLookups = 3
	// adjustable is how many of an item a payer may choose where its seller names
	// no maximum (docs.stripe.com/payments/checkout/adjustable-quantity).
	adjustable = 99
)

// basket adds up the most that a payer can be asked for: every item in the largest
// quantity that may be chosen, every optional item, and the dearest way of shipping.
// Discounts lower nothing, for they may be withdrawn. Tax is in it where the call
// names its rates; what only the payer's address decides is not.
type basket struct {
	unit string // of all of it; "" until something says
	sum  *big.Int
	dear *big.Int       // the dearest shipping
	due  []rails.Lookup // what is to be read first
	dark bool           // some of it cannot be known
}

// newBasket returns an empty one, in the currency that the call asks for.
func newBasket(f *form) (*basket, error) {
	unit, err := f.currency()
	return &basket{unit: unit, sum: new(big.Int), dear: new(big.Int)}, err
}

// add puts in so many at a rate, rounded up. Two currencies in one basket are dark:
// which of them is asked for, Stripe decides.
func (b *basket) add(r rate, many int64) {
	b.raise(b.sum, r, many)
}

func (b *basket) raise(sum *big.Int, r rate, many int64) {
	if b.unit == "" {
		b.unit = r.unit
	}
	if r.unit != b.unit {
		b.dark = true
		return
	}
	packs := int64(0)
	if many > 0 {
		packs = (many-1)/r.per + 1
	}
	cost, in := new(big.Int).Mul(r.each, big.NewInt(packs)), unitParts()
	if r.tax != nil {
		hundred := parts(100)
		cost.Mul(cost, new(big.Int).Add(hundred, r.tax))
		in.Mul(in, hundred)
	}
	whole, rest := cost.QuoRem(cost, in, new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	sum.Add(sum, whole)
}

// tax returns by how many per cent the tax rates that an item names raise it, nil for
// none.
func (b *basket) tax(x *reading, f *form, name string) (sum *big.Int, err error) {
	b.dark = b.dark || f.states(name+"[dynamic_tax_rates]") // by the payer's country
	for i := range f.all {
		p := &f.all[i]
		if !p.isWithin(name + "[tax_rates]") {
			continue
		}
		id := p.text()
		if !isID(id) {
			return nil, rails.Refusef(spend.Malformed, name, "%s is %.80q, which is no id of Stripe's", p.name, id)
		}
		known, err := b.look(x, "/v1/tax_rates/"+id, "tax_rate", id)
		if err != nil {
			return nil, err
		}
		if known == nil || known.get("inclusive").Raw == "true" {
			continue
		}
		percent, ok := parseParts(string(known.members.value("percentage")), true)
		if !ok {
			b.dark = true // a flat amount, or nothing that can be reckoned with
			continue
		}
		if sum == nil {
			sum = new(big.Int)
		}
		sum.Add(sum, percent)
	}
	return sum, nil
}

// ship takes in one way of shipping, of which the payer chooses one.
func (b *basket) ship(r rate) {
	cost := new(big.Int)
	b.raise(cost, r, 1)
	if cost.Cmp(b.dear) > 0 {
		b.dear = cost
	}
}

// ask is the effect of asking for all of it: a charge without an amount while
// something is to be read first, and unrecognised where it cannot be known.
func (b *basket) ask(x *reading, payee, object string) (effect, error) {
	e := spends(spend.Leg{Kind: spend.Charge, Payee: payee})
	e.object = object
	switch {
	case b.dark || len(x.facts)+len(b.due) > maxLookups:
		return effect{class: spend.Unrecognised, object: object}, nil
	case len(b.due) > 0:
		e.lookups = b.due
		return e, nil
	}
	sum := new(big.Int).Add(b.sum, b.dear)
	if !sum.IsInt64() {
		return effect{}, rails.Refusef(spend.Malformed, "line_items", "the items add up to more than Stripe takes")
	}
	if sum.Sign() == 0 || b.unit == "" {
		return effect{class: spend.Unrecognised, object: object}, nil // it asks for nothing, and why is not known
	}
	amount, err := money("line_items", sum.Int64(), b.unit, spend.Charge)
	if err != nil {
		return effect{}, err
	}
	e.legs[0].Amount = amount
	return e, nil
}

// look returns an object that is looked up, or nil while it is due.
func (b *basket) look(x *reading, target, object, id string) (*fact, error) {
	got, err := x.look(target, object, id)
	if err == nil && got == nil {
		for i := range b.due {
			if b.due[i].Target == target {
				return nil, nil
			}
		}
		b.due = append(b.due, rails.Lookup{Target: target})
	}
	return got, err
}

// items puts in every element of a list of items that the call states.
func (b *basket) items(x *reading, f *form, list string) error {
	names, err := f.elements(list)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := b.item(x, f, name); err != nil {
			return err
		}
	}
	return nil
}

// item puts in one item that states its price, or names it by an id.
func (b *basket) item(x *reading, f *form, name string) error {
	many, err := f.most(name, 1)
	if err != nil {
		return err
	}
	id, named, err := f.name(name + "[price]")
	if err != nil {
		return err
	}
	tax, err := b.tax(x, f, name)
	if err != nil {
		return err
	}
	prefix, stated := name+"[price_data]", f.isHash(name+"[price_data]")
	if !stated { // until 2022 an item stated it by itself
		if _, stated, err = f.scalar(name + "[amount]"); err != nil {
			return err
		}
		prefix = name
	}
	switch {
	case named && stated:
		return rails.Refusef(spend.Ambiguous, name, "%s names a price and states one; send one of them", name)
	case named:
		return b.priced(x, id, many, tax)
	case !stated:
		return rails.Refusef(spend.Malformed, name, "%s names no price; send price or price_data", name)
	}
	r, err := f.rate(prefix)
	if r.tax = tax; err == nil {
		b.add(r, many)
	}
	return err
}

// priced puts in so many of what a price of Stripe's says, and tax on them.
func (b *basket) priced(x *reading, id string, many int64, tax *big.Int) error {
	target := "/v1/prices/" + id
	if b.unit != "" {
		target += "?expand[]=currency_options" // a price may be another one in another currency
	}
	for i := range x.facts { // it was asked for before anything had said the currency
		if asked := x.facts[i].Lookup.Target; asked == "/v1/prices/"+id {
			target = asked
		}
	}
	price, err := b.look(x, target, "price", id)
	if err != nil || price == nil {
		return err
	}
	return b.addPrice(price, many, tax)
}

func (b *basket) addPrice(price *fact, many int64, tax *big.Int) error {
	r, known, err := price.rate(b.unit)
	if err != nil {
		return err
	}
	if !known {
		b.dark = true
		return nil
	}
	r.tax = tax
	b.add(r, many)
	return nil
}

// shipping takes in the ways of shipping that the call states.
func (b *basket) shipping(x *reading, f *form, list string) error {
	names, err := f.elements(list)
	if err != nil {
		return err
	}
	for _, name := range names {
		id, named, err := f.name(name + "[shipping_rate]")
		if err != nil {
			return err
		}
		if !named {
			r, err := f.rate(name + "[shipping_rate_data][fixed_amount]")
			if err != nil {
				return err
			}
			b.ship(r)
			continue
		}
		known, err := b.look(x, "/v1/shipping_rates/"+id, "shipping_rate", id)
		if err != nil {
			return err
		}
		if known == nil {
			continue
		}
		fixed, err := objectOf(known.get("fixed_amount"))
		if err != nil {
			b.dark = true
			continue
		}
		r, ok, err := fixed.rate(b.unit)
		if err != nil {
			return err
		}
		if b.dark = b.dark || !ok; ok {
			b.ship(r)
		}
	}
	return nil
}

// elements returns the names of the elements of a list, such as line_items[0], in
// their order; none if it is absent or empty.
func (f *form) elements(list string) ([]string, error) {
	value, present, err := f.scalarOrHash(list)
	if err != nil || present && value == "" || !present && !f.isHash(list) {
		return nil, err
	}
	if present {
		return nil, rails.Refusef(spend.Malformed, list, "the parameter %q must be a list", list)
	}
	var names []string
	for i := range f.all {
		p := &f.all[i]
		if !p.isWithin(list) {
			continue
		}
		sub, rest := cutSub(p.name[len(list):])
		name := p.name[:len(list)+len(sub)+len("[]")]
		if !isIndex(sub) || rest == "" {
			return nil, rails.Refusef(spend.Malformed, list, "the parameter %q must be a numbered list of hashes", list)
		}
		if !containsName(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func containsName(names []string, name string) bool {
	for i := len(names) - 1; i >= 0; i-- { // elements stand together
		if names[i] == name {
			return true
		}
	}
	return false
}

// scalarOrHash is scalar for a name that may be a list or a hash as well: then it is
// not present.
func (f *form) scalarOrHash(name string) (string, bool, error) {
	if f.isHash(name) {
		return "", false, nil
	}
	return f.scalar(name)
}

// most returns the largest quantity of an item: the one stated, or else usual, or
// what the payer may raise it to.
func (f *form) most(item string, usual int64) (int64, error) {
	many, stated, err := f.number(item + "[quantity]")
	if err != nil {
		return 0, err
	}
	if !stated {
		many = usual
	}
	may, err := f.truth(item + "[adjustable_quantity][enabled]")
	if err != nil || !may {
		return many, err
	}
	top, stated, err := f.number(item + "[adjustable_quantity][maximum]")
	if err != nil {
		return 0, err
	}
	if !stated {
		top = adjustable
	}
	return max(many, top), nil
}

// truth reads a parameter that is true or false; false without one.
func (f *form) truth(name string) (bool, error) {
	switch value, present, err := f.scalar(name); {
	case err != nil:
		return false, err
	case !present || value == "false":
		return false, nil
	case value == "true" || value == "True":
		return true, nil
	default:
		return false, rails.Refusef(spend.Malformed, name, "%s is %.80q; it must be true or false", name, value)
	}
}

// name reads a parameter that is an id which people may have chosen, such as that
// of a price which was a plan.
func (f *form) name(param string) (id string, present bool, err error) {
	id, present, err = f.scalar(param)
	if err == nil && present && !isName(id) {
		err = rails.Refusef(spend.Malformed, param, "%s is %.80q, which is no id of Stripe's", param, id)
	}
	return id, present, err
}
