package stripe

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// decimals is how many digits Stripe takes behind the point of a
// unit_amount_decimal.
const decimals = 12

// rate is what one costs: each, in parts of 10^decimals of the smallest unit, for
// every per of them.
type rate struct {
	unit string
	each *big.Int
	per  int64
	tax  *big.Int // how many per cent come on top, in the same parts; nil for none
}

// rate reads what one costs by the parameters currency and unit_amount,
// unit_amount_decimal or amount of a hash.
func (f *form) rate(hash string) (rate, error) {
	value, present, err := f.scalar(hash + "[currency]")
	if err != nil {
		return rate{}, err
	}
	unit, ok := parseCurrency(value)
	if !present || !ok {
		return rate{}, rails.Refusef(spend.Malformed, hash, "%s is %.80q, which Stripe's table does not hold", hash+"[currency]", value)
	}
	r, found := rate{unit: unit, per: 1}, ""
	for _, name := range []string{"unit_amount", "unit_amount_decimal", "amount"} {
		value, present, err := f.scalar(hash + "[" + name + "]")
		if err != nil {
			return rate{}, err
		}
		if !present {
			continue
		}
		if found != "" {
			return rate{}, rails.Refusef(spend.Ambiguous, hash, "%s states %s and %s; send one", hash, found, name)
		}
		found = name
		if r.each, ok = parseParts(value, name == "unit_amount_decimal"); !ok {
			return rate{}, rails.Refusef(spend.Malformed, hash, "%s is %.80q, which is no number of the currency's smallest unit", hash+"["+name+"]", value)
		}
	}
	if found == "" {
		return rate{}, rails.Refusef(spend.Malformed, hash, "%s states no amount", hash)
	}
	return r, nil
}

// rate reads what one costs off a price, one of its currency_options, or a shipping
// rate's fixed amount. unit is the currency asked for, "" for the price's own. known
// is false where it depends on more than the quantity: tiers, metered use, or an
// amount that the payer chooses without a maximum.
func (o *fact) rate(unit string) (r rate, known bool, err error) {
	own, err := o.currency()
	if err != nil {
		return rate{}, false, err
	}
	from := o
	if unit != "" && unit != own {
		options, err := objectOf(o.get("currency_options"))
		if err != nil {
			return rate{}, false, nil //nolint:nilerr // it does not say
		}
		if from, err = objectOf(options.get(strings.ToLower(unit))); err != nil {
			return rate{}, false, nil //nolint:nilerr // Stripe has no such price
		}
		own = unit
	}
	r = rate{unit: own, per: 1}
	if o.text("billing_scheme") == "tiered" || from.has("tiers") || meters(o) {
		return rate{}, false, nil
	}
	if o.has("transform_quantity") {
		transform, err := objectOf(o.get("transform_quantity"))
		if err != nil {
			return rate{}, false, fmt.Errorf("read transform_quantity of %s: %w: %w", o.what(), err, spend.Unavailable)
		}
		if r.per, err = transform.integer("divide_by"); err != nil || r.per == 0 {
			return rate{}, false, fmt.Errorf("read divide_by of %s: it is no divisor: %w", o.what(), spend.Unavailable)
		}
	}
	if from.has("custom_unit_amount") && !from.has("unit_amount") {
		chosen, err := objectOf(from.get("custom_unit_amount"))
		if err != nil || !chosen.has("maximum") {
			return rate{}, false, nil //nolint:nilerr // the payer chooses without a maximum
		}
		n, err := chosen.integer("maximum")
		r.each = parts(n)
		return r, err == nil, err
	}
	for _, name := range []string{"unit_amount_decimal", "unit_amount", "amount"} {
		if !from.has(name) {
			continue
		}
		text := from.text(name)
		if name != "unit_amount_decimal" {
			text = string(from.members.value(name))
		}
		each, ok := parseParts(text, name == "unit_amount_decimal")
		if !ok {
			return rate{}, false, fmt.Errorf("read %s of %s: it is no number: %w", name, o.what(), spend.Unavailable)
		}
		r.each = each
		return r, true, nil
	}
	return rate{}, false, nil
}

// meters reports whether a price is for what is used, which nobody knows yet.
func meters(price *fact) bool {
	if !price.has("recurring") {
		return false
	}
	recurring, err := objectOf(price.get("recurring"))
	return err != nil || recurring.text("usage_type") == "metered"
}

func unitParts() *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(decimals), nil) }

func parts(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), unitParts()) }

// parseParts reads a number that is not negative, in parts of 10^decimals; with a
// point only if it may have one.
func parseParts(s string, point bool) (*big.Int, bool) {
	whole, fraction, has := strings.Cut(s, ".")
	if has && (!point || fraction == "" || len(fraction) > decimals) || !isIndex(whole) || hasLeadingZero(whole) || has && !isIndex(fraction) {
		return nil, false
	}
	if _, err := strconv.ParseInt(whole, 10, 64); err != nil {
		return nil, false
	}
	return new(big.Int).SetString(whole+fraction+strings.Repeat("0", decimals-len(fraction)), 10)
}
