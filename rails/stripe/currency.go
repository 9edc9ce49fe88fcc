package stripe

import (
	"strconv"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// Stripe's currencies (docs.stripe.com/currencies) by the number of digits
// behind the point in its API, which is not ISO 4217's for ISK and UGX: there
// 100 is one króna.
const (
	zeroDecimal = " BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF "
	// The usual ones come first, where they are found at once.
	twoDecimal = " USD EUR GBP AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF" +
		" CNY COP CRC CVE CZK DKK DOP DZD EGP ETB FJD FKP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK" +
		" JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR" +
		" NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB TJS TOP TRY TTD TWD" +
		" TZS UAH UGX UYU UZS WST XCD XCG YER ZAR ZMW "
	threeDecimal = " BHD JOD KWD OMR TND "
)

// parseCurrency returns the unit of a currency as Stripe takes it, in either
// case. ok is false for what is not in Stripe's table.
func parseCurrency(s string) (unit string, ok bool) {
	if len(s) != 3 {
		return "", false
	}
	entry := [...]byte{' ', 0, 0, 0, ' '}
	for i := range len(s) {
		upper := s[i] &^ 0x20
		if upper < 'A' || upper > 'Z' {
			return "", false
		}
		entry[1+i] = upper
	}
	// What is returned is a part of the table, not of the call.
	const all = twoDecimal + zeroDecimal + threeDecimal
	i := strings.Index(all, string(entry[:]))
	if i < 0 {
		return "", false
	}
	return all[i+1 : i+1+len(s)], true
}

// Digits returns how many digits behind the point Stripe's amounts of a currency
// have, for showing them to people; false for what is not in its table.
func Digits(unit string) (int, bool) {
	for digits, table := range map[int]string{0: zeroDecimal, 2: twoDecimal, 3: threeDecimal} {
		if isListed(table, unit) {
			return digits, true
		}
	}
	return 0, false
}

// isListed reports whether a table holds a unit.
func isListed(table, unit string) bool {
	const each = len(" USD")
	for i := 1; i+each <= len(table); i += each {
		if table[i:i+each-1] == unit {
			return true
		}
	}
	return false
}

// granularity returns of what number every amount must be a multiple.
func granularity(unit string, kind spend.LegKind) int64 {
	switch {
	case isListed(threeDecimal, unit):
		return 10
	case unit == "ISK", unit == "UGX":
		return 100
	case kind == spend.Payout && (unit == "HUF" || unit == "TWD"):
		return 100
	default:
		return 1
	}
}

// parseNumber reads an amount in the one spelling that all parsers agree on:
// digits alone, not zero, no leading zero, within int64.
func parseNumber(param, value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n <= 0 || value[0] == '+' || value[0] == '0' {
		return 0, rails.Refusef(spend.Malformed, param, "%s is %.80q; it must be a positive whole number of the currency's smallest unit", param, value)
	}
	return n, nil
}

// money makes an amount of a number that the call states.
func money(param string, n int64, unit string, kind spend.LegKind) (spend.Amount, error) {
	if g := granularity(unit, kind); n%g != 0 {
		return spend.Amount{}, rails.Refusef(spend.Malformed, param, "%s is %d, and Stripe takes %s here in multiples of %d", param, n, unit, g)
	}
	return spend.NewAmount(unit, n), nil
}

// number reads the parameter name as an amount; present is false without one. In JSON
// it must be a number: text is not known to be taken for one.
func (f *form) number(name string) (n int64, present bool, err error) {
	p, err := f.single(name)
	if p == nil {
		return 0, false, err
	}
	if p.kind != jsonNone && p.kind != jsonNumber {
		return 0, false, rails.Refusef(spend.Malformed, name, "%s must be a number, without quotes", name)
	}
	n, err = parseNumber(name, p.text())
	return n, true, err
}

// currency reads the parameter currency; unit is "" without one.
func (f *form) currency() (unit string, err error) {
	value, present, err := f.scalar("currency")
	if err != nil || !present {
		return "", err
	}
	unit, ok := parseCurrency(value)
	if !ok {
		return "", rails.Refusef(spend.Malformed, "currency", "currency is %.80q, which Stripe's table does not hold", value)
	}
	return unit, nil
}

// price reads amount and currency, which both must be there.
func (f *form) price(kind spend.LegKind) (spend.Amount, error) {
	n, present, err := f.number("amount")
	if err != nil {
		return spend.Amount{}, err
	}
	unit, err := f.currency()
	if err != nil {
		return spend.Amount{}, err
	}
	if !present {
		return spend.Amount{}, rails.Refusef(spend.Malformed, "amount", "amount is missing")
	}
	if unit == "" {
		return spend.Amount{}, rails.Refusef(spend.Malformed, "currency", "currency is missing")
	}
	return money("amount", n, unit, kind)
}
