package stripe

import (
	"math/big"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// line is one position of a bill: so many at so much each.
type line struct {
	at       string   // where the call states it, for messages
	price    *fact    // a price or a plan; nil where the call states each
	each     *big.Rat // in the smallest unit of unit
	unit     string   // "" where the call does not say
	quantity *big.Rat
}

// bill is what is to be added up, in one unit.
type bill struct {
	unit  string // "" where the call does not say
	lines []line
}

// line reads what the parameters at a place price; of is nil, or what stands for
// what they leave open. Where they price nothing at all, priced is false.
func (x *reading) line(f *form, at string, of *line) (l line, priced bool, err error) {
	l = line{at: at, quantity: ratOf(1)}
	if of != nil {
		l.price, l.each, l.unit, l.quantity = of.price, of.each, of.unit, of.quantity
	}
	counted := false
	for _, name := range []string{"quantity", "quantity_decimal"} {
		n, present, err := f.decimal(sub(at, name), false)
		if err != nil {
			return l, false, err
		}
		if present && counted {
			return l, false, rails.Refusef(spend.Ambiguous, name, "quantity and quantity_decimal are both there; send one")
		}
		if present {
			l.quantity, counted = n, true
		}
	}
	ways, whole, err := l.stated(f)
	if err != nil {
		return l, false, err
	}
	for _, name := range []string{sub(at, "price"), sub(at, "plan"), sub(at, "pricing", "price")} {
		id, present, err := f.scalar(name)
		if err != nil || !present {
			if err != nil {
				return l, false, err
			}
			continue
		}
		if ways++; ways > 1 {
			break
		}
		if l.price, err = x.priceOf(name, id, strings.HasSuffix(name, "plan]") || name == "plan"); err != nil {
			return l, false, err
		}
		l.each, l.unit = nil, ""
	}
	switch {
	case ways > 1:
		return l, false, rails.Refusef(spend.Ambiguous, at, "%s is priced in more than one way; send one", nameOf(at))
	case whole && counted:
		return l, false, rails.Refusef(spend.Ambiguous, sub(at, "quantity"), "amount is that of the whole quantity to some and of each to others; send unit_amount_decimal with a quantity")
	case whole:
		l.quantity = ratOf(1)
	}
	return l, ways > 0 || of != nil && counted, nil
}

func nameOf(at string) string {
	if at == "" {
		return "it"
	}
	return at
}

// stated reads the amounts that stand in the call, and returns how many there are and
// whether it is one of the whole line.
func (l *line) stated(f *form) (ways int, whole bool, err error) {
	for _, names := range [][]string{{"amount"}, {"unit_amount"}, {"unit_amount_decimal"}, {"price_data", "unit_amount"}, {"price_data", "unit_amount_decimal"}} {
		param, last := sub(l.at, names...), names[len(names)-1]
		n, present, err := f.decimal(param, len(names) == 1)
		if err != nil {
			return 0, false, err
		}
		if !present {
			continue
		}
		if last != "unit_amount_decimal" && !n.IsInt() {
			return 0, false, rails.Refusef(spend.Malformed, param, "%s must be a whole number of the currency's smallest unit", param)
		}
		ways, whole = ways+1, whole || last == "amount"
		l.each, l.price, l.unit = n, nil, ""
	}
	data := sub(l.at, "price_data")
	for i := range f.all {
		if p := &f.all[i]; p.isWithin(data) {
			if name, _ := cutSub(p.name[len(data):]); !isAmong(priceable, name) {
				return 0, false, unclear("it has the parameter " + shown(p.name) + ", of which nothing is known")
			}
		}
	}
	if currency := sub(data, "currency"); f.sets(currency) {
		l.unit, err = f.currencyAt(currency)
	}
	return ways, whole, err
}

// currencyAt reads the parameter name as a currency.
func (f *form) currencyAt(name string) (string, error) {
	value, _, err := f.scalar(name)
	if err != nil {
		return "", err
	}
	unit, ok := parseCurrency(value)
	if !ok {
		return "", rails.Refusef(spend.Malformed, name, "%s is %.80q, which Stripe's table does not hold", name, value)
	}
	return unit, nil
}

// decimal reads the parameter name as a decimal number.
func (f *form) decimal(name string, signed bool) (n *big.Rat, present bool, err error) {
	value, present, err := f.scalar(name)
	if err != nil || !present {
		return nil, false, err
	}
	if n, ok := parseDecimal(value); ok && (signed || n.Sign() >= 0) {
		return n, true, nil
	}
	return nil, true, rails.Refusef(spend.Malformed, name, "%s is %.80q; it must be a plain decimal number", name, value)
}

// parseDecimal reads a decimal in the one spelling that all parsers agree on: no plus,
// no leading zero, at most twelve digits behind the point, as Stripe takes.
func parseDecimal(s string) (*big.Rat, bool) {
	whole, fraction, pointed := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if !isIndex(whole) || hasLeadingZero(whole) || len(whole) > 19 || pointed && (!isIndex(fraction) || len(fraction) > 12) {
		return nil, false
	}
	n, ok := new(big.Rat).SetString(s)
	return n, ok && (n.Sign() != 0 || s[0] != '-')
}

// priceOf looks a price up, or a plan, which prices were called before 2020.
func (x *reading) priceOf(param, id string, plan bool) (*fact, error) {
	if !isNamed(id) {
		return nil, rails.Refusef(spend.Malformed, param, "%s is %.80q, which is no id of Stripe's", param, id)
	}
	if plan {
		return x.ask("/v1/plans/"+id, "plan", id)
	}
	return x.ask("/v1/prices/"+id+"?expand[]=currency_options", "price", id)
}

// isNamed reports whether s could be an id of Stripe's, or one that people chose, as
// they do for plans, that stands in a path without any escape.
func isNamed(s string) bool {
	for i := range len(s) {
		if classes[s[i]]&isFree == 0 {
			return false
		}
	}
	return strings.Trim(s, ".") != "" && len(s) <= 255
}

// isManifold reports whether a price is there in more currencies than its own. Which
// one is taken depends on the customer.
func (o *fact) isManifold() bool {
	for currency := range o.get("currency_options").Map() {
		if !strings.EqualFold(currency, o.text("currency")) {
			return true
		}
	}
	return false
}

// isManifold reports whether nothing but the customer says in which currency the bill is.
func (b *bill) isManifold() bool {
	if b.unit != "" {
		return false
	}
	manifold := false
	for i := range b.lines {
		if b.lines[i].unit != "" {
			return false
		}
		manifold = manifold || b.lines[i].price != nil && b.lines[i].price.isManifold()
	}
	return manifold
}

// total adds the lines up. It fails with unclear where that takes more than is known.
func (b *bill) total() (unit string, n int64, err error) {
	if b.isManifold() {
		return "", 0, unclear("a price is in several currencies, and the call does not say which")
	}
	unit = b.unit
	for i := range b.lines {
		l := &b.lines[i]
		if own := l.unit; own != "" && unit != "" && own != unit {
			return "", 0, rails.Refusef(spend.Malformed, "currency", "it is in %s and in %s at once", unit, own)
		} else if own != "" {
			unit = own
		}
	}
	for i := range b.lines {
		if l := &b.lines[i]; unit == "" && l.price != nil {
			if unit, err = l.price.currency(); err != nil {
				return "", 0, err
			}
		}
	}
	if unit == "" {
		return "", 0, rails.Refusef(spend.Malformed, "currency", "currency is missing")
	}
	sum := new(big.Rat)
	for i := range b.lines {
		amount, err := b.lines[i].amount(unit)
		if err != nil {
			return "", 0, err
		}
		sum.Add(sum, amount)
	}
	if !sum.Num().IsInt64() {
		return "", 0, rails.Refusef(spend.Malformed, "quantity", "it comes to more than any amount can be")
	}
	return unit, sum.Num().Int64(), nil
}

// amount is what the line comes to, a whole number of the smallest unit. How Stripe
// rounds what is none differs by version.
func (l *line) amount(unit string) (*big.Rat, error) {
	if l.price == nil {
		amount := new(big.Rat).Mul(l.each, l.quantity)
		if !amount.IsInt() || !amount.Num().IsInt64() {
			return nil, rails.Refusef(spend.Malformed, sub(l.at, "quantity"), "%s comes to %s, which is no whole number of the smallest unit of %s", nameOf(l.at), amount.FloatString(2), unit)
		}
		_, err := money(sub(l.at, "amount"), amount.Num().Int64(), unit, spend.Charge)
		return amount, err
	}
	if l.price.has("usage_type") && l.price.text("usage_type") != "licensed" { // a plan's
		return nil, unclear(l.price.what() + " is by usage")
	}
	r, known, err := l.price.rate(unit)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, unclear(l.price.what() + " has no fixed amount")
	}
	packs := new(big.Rat).Quo(l.quantity, ratOf(r.per))
	if !packs.IsInt() && r.per > 1 { // a pack that is begun may count whole
		up := new(big.Int).Div(packs.Num(), packs.Denom())
		packs.SetInt(up.Add(up, big.NewInt(1)))
	}
	amount := packs.Mul(packs, new(big.Rat).SetFrac(r.each, unitParts()))
	if !amount.IsInt() {
		return nil, unclear("a price has fractions of the smallest unit")
	}
	return amount, nil
}

func ratOf(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }
