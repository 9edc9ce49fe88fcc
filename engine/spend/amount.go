package spend

import (
	"cmp"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Amount is a quantity of money: a whole number of the smallest unit of its
// Unit (cents for USD, wei for ether), up to 2^256-1 either way, or Unlimited.
// The zero Amount has no unit and means that there is none. Amounts are values:
// arithmetic gives new ones, and fails on a unit mismatch or an overflow rather
// than wrap. Amounts compare with == when their units are normal, which every
// constructor here sees to.
type Amount struct {
	unit      string
	mag       [4]uint64 // least significant limb first
	neg       bool      // never with mag == 0
	unlimited bool      // then mag == 0 and not neg
}

// NormalUnit gives a unit the one spelling in which units compare: ISO 4217
// codes in upper case, asset ids (CAIP-19) as they stand but for the eth:
// shorthand of eip155:.
func NormalUnit(unit string) string {
	if isCode(unit) {
		return unit
	}
	if strings.IndexByte(unit, ':') < 0 {
		return strings.ToUpper(unit)
	}
	if rest, ok := strings.CutPrefix(unit, "eth:"); ok {
		return "eip155:" + rest
	}
	return unit
}

// isCode reports whether a unit is spelled in upper case alone, as codes are.
func isCode(unit string) bool {
	for i := range len(unit) {
		if unit[i] < 'A' || unit[i] > 'Z' {
			return false
		}
	}
	return true
}

// NewAmount returns n of the smallest unit of unit.
func NewAmount(unit string, n int64) Amount {
	a := Amount{unit: NormalUnit(unit), neg: n < 0}
	a.mag[0] = uint64(n)
	if n < 0 {
		a.mag[0] = -a.mag[0]
	}
	return a
}

// Unlimited returns the amount that fits no limit, as an allowance without a
// bound has.
func Unlimited(unit string) Amount { return Amount{unit: NormalUnit(unit), unlimited: true} }

// ParseAmount reads a decimal whole number ("5000", "-12", "unlimited") of the
// smallest unit of unit. Signs other than one minus, leading zeros, spaces,
// exponents and fractions are Invalid.
func ParseAmount(unit, decimal string) (Amount, error) {
	if decimal == "unlimited" {
		return Unlimited(unit), nil
	}
	a := Amount{unit: NormalUnit(unit)}
	digits, neg := strings.CutPrefix(decimal, "-")
	if digits == "" || (digits[0] == '0' && (len(digits) > 1 || neg)) {
		return Amount{}, fmt.Errorf("parse amount %.80q: %w: want a decimal whole number", decimal, Invalid)
	}
	for i := range len(digits) {
		d := digits[i]
		if d < '0' || d > '9' {
			return Amount{}, fmt.Errorf("parse amount %.80q: %w: want a decimal whole number", decimal, Invalid)
		}
		if i < oneLimb {
			a.mag[0] = a.mag[0]*10 + uint64(d-'0')
			continue
		}
		carry := uint64(d - '0')
		for l := range a.mag {
			hi, lo := bits.Mul64(a.mag[l], 10)
			var c uint64
			a.mag[l], c = bits.Add64(lo, carry, 0)
			carry = hi + c
		}
		if carry != 0 {
			return Amount{}, fmt.Errorf("parse amount %.80q: %w: larger than 2^256-1", decimal, Invalid)
		}
	}
	a.neg = neg
	return a, nil
}

// oneLimb is how many digits fit in a limb whatever they are.
const oneLimb = 19

// Unit returns the normal spelling of the amount's unit, "" for the zero Amount.
func (a Amount) Unit() string { return a.unit }

// IsZero reports whether a is the zero Amount, which has no unit: no amount is
// known. For the number nought see Sign.
func (a Amount) IsZero() bool { return a.unit == "" && a == Amount{} }

// IsUnlimited reports whether a fits no limit.
func (a Amount) IsUnlimited() bool { return a.unlimited }

// Sign returns -1, 0 or 1.
func (a Amount) Sign() int {
	switch {
	case a.unlimited:
		return 1
	case a.mag == [4]uint64{}:
		return 0
	case a.neg:
		return -1
	default:
		return 1
	}
}

// Int64 returns the number if it fits in an int64.
func (a Amount) Int64() (int64, bool) {
	if a.unlimited || a.mag[1]|a.mag[2]|a.mag[3] != 0 || a.mag[0] > 1<<63-1 {
		return 0, false
	}
	if a.neg {
		return -int64(a.mag[0]), true
	}
	return int64(a.mag[0]), true
}

// Neg returns -a; nothing is less than unlimited, so unlimited stays as it is.
func (a Amount) Neg() Amount {
	if a.Sign() != 0 && !a.unlimited {
		a.neg = !a.neg
	}
	return a
}

// Add returns a+b. It fails with Invalid on different units or beyond 2^256-1.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.unit != b.unit {
		return Amount{}, fmt.Errorf("add %s and %s: %w: units differ", a, b, Invalid)
	}
	if a.isPlain() && b.isPlain() {
		if n, carry := bits.Add64(a.mag[0], b.mag[0], 0); carry == 0 {
			return Amount{unit: a.unit, mag: [4]uint64{n}}, nil
		}
	}
	return a.add(b)
}

// isPlain reports whether a is a number that is not negative and fits in a limb, as
// nearly all are.
func (a *Amount) isPlain() bool {
	return a.mag[1]|a.mag[2]|a.mag[3] == 0 && !a.neg && !a.unlimited
}

// add is Add for amounts of one unit, however large.
func (a Amount) add(b Amount) (Amount, error) {
	if a.unlimited || b.unlimited {
		return Amount{unit: a.unit, unlimited: true}, nil
	}
	sum := Amount{unit: a.unit}
	if a.neg == b.neg {
		var carry uint64
		for i := range sum.mag {
			sum.mag[i], carry = bits.Add64(a.mag[i], b.mag[i], carry)
		}
		if carry != 0 {
			return Amount{}, fmt.Errorf("add %s and %s: %w: larger than 2^256-1", a, b, Invalid)
		}
		sum.neg = a.neg && sum.mag != [4]uint64{}
		return sum, nil
	}
	if cmpMag(a.mag, b.mag) < 0 {
		a, b = b, a
	}
	var borrow uint64
	for i := range sum.mag {
		sum.mag[i], borrow = bits.Sub64(a.mag[i], b.mag[i], borrow)
	}
	sum.neg = a.neg && sum.mag != [4]uint64{}
	return sum, nil
}

// Sub returns a-b under the rules of Add. Taking unlimited away is Invalid.
func (a Amount) Sub(b Amount) (Amount, error) {
	if a.unit == b.unit && a.isPlain() && b.isPlain() && a.mag[0] >= b.mag[0] {
		return Amount{unit: a.unit, mag: [4]uint64{a.mag[0] - b.mag[0]}}, nil
	}
	if b.unlimited {
		return Amount{}, fmt.Errorf("subtract unlimited from %s: %w", a, Invalid)
	}
	return a.Add(b.Neg())
}

// Cmp returns -1, 0 or 1 as a is less than, equal to or more than b, and fails
// with Invalid on different units. Unlimited equals itself only.
func (a Amount) Cmp(b Amount) (int, error) {
	if a.unit != b.unit {
		return 0, fmt.Errorf("compare %s with %s: %w: units differ", a, b, Invalid)
	}
	switch {
	case a.isPlain() && b.isPlain():
		return cmp.Compare(a.mag[0], b.mag[0]), nil
	case a.unlimited && b.unlimited:
		return 0, nil
	case a.unlimited:
		return 1, nil
	case b.unlimited:
		return -1, nil
	case a.neg != b.neg:
		return b2i(b.neg) - b2i(a.neg), nil
	case a.neg:
		return cmpMag(b.mag, a.mag), nil
	default:
		return cmpMag(a.mag, b.mag), nil
	}
}

// Fits reports whether a is at most limit, in the same unit. Unlimited never
// fits.
func (a Amount) Fits(limit Amount) bool {
	c, err := a.Cmp(limit)
	return err == nil && c <= 0 && !a.unlimited
}

func cmpMag(a, b [4]uint64) int {
	for i := 3; i >= 0; i-- {
		if a[i] != b[i] {
			return b2i(a[i] > b[i]) - b2i(a[i] < b[i])
		}
	}
	return 0
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Decimal returns the number alone: "5000", or "unlimited", or "" for the zero
// Amount.
func (a Amount) Decimal() string {
	var buf [80]byte
	return string(a.AppendDecimal(buf[:0]))
}

// AppendDecimal appends the form of Decimal.
func (a Amount) AppendDecimal(b []byte) []byte {
	switch {
	case a.IsZero():
		return b
	case a.unlimited:
		return append(b, "unlimited"...)
	}
	if a.neg {
		b = append(b, '-')
	}
	if a.mag[1]|a.mag[2]|a.mag[3] == 0 {
		return strconv.AppendUint(b, a.mag[0], 10)
	}
	var digits [78]byte // of 2^256-1
	i, mag := len(digits), a.mag
	for mag != [4]uint64{} {
		var rem uint64
		for l := 3; l >= 0; l-- {
			mag[l], rem = bits.Div64(rem, mag[l], 10)
		}
		i--
		digits[i] = '0' + byte(rem)
	}
	return append(b, digits[i:]...)
}

// String returns "5000 USD", the form in which amounts are stored and shown.
func (a Amount) String() string {
	var buf [96]byte
	b, _ := a.AppendText(buf[:0]) //nolint:errcheck // it never fails
	return string(b)
}

// AppendText appends the form of String. It never fails.
func (a Amount) AppendText(b []byte) ([]byte, error) {
	if a.IsZero() {
		return b, nil
	}
	return append(append(a.AppendDecimal(b), ' '), a.unit...), nil
}

// MarshalText writes the form of String.
func (a Amount) MarshalText() ([]byte, error) { return a.AppendText(nil) }

// UnmarshalText reads the form of String.
func (a *Amount) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Amount{}
		return nil
	}
	number, unit, ok := strings.Cut(string(text), " ")
	if !ok || unit == "" {
		return fmt.Errorf("read amount %.80q: %w: want a number, a space and a unit", text, Invalid)
	}
	v, err := ParseAmount(unit, number)
	if err != nil {
		return err
	}
	*a = v
	return nil
}
