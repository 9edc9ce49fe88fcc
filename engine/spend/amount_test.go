package spend_test

import (
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
)

var bound = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))

// draw draws a number within ±(2^256-1), often near the edges of a limb.
func draw(t *rapid.T, label string) *big.Int {
	n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, label))
	if shift := rapid.SampledFrom([]uint{0, 63, 64, 128, 255, 256}).Draw(t, label+" edge"); shift > 0 {
		n = new(big.Int).Lsh(big.NewInt(1), shift)
		n.Sub(n, big.NewInt(int64(rapid.IntRange(0, 2).Draw(t, label+" below"))))
		if n.Cmp(bound) > 0 {
			n.Set(bound)
		}
	}
	if rapid.Bool().Draw(t, label+" negative") {
		n.Neg(n)
	}
	return n
}

func amount(t *rapid.T, n *big.Int) spend.Amount {
	a, err := spend.ParseAmount("usd", n.String())
	if err != nil {
		t.Fatalf("parse %s: %v", n, err)
	}
	return a
}

// Amounts calculate like numbers without a bound, or fail; they never wrap.
func TestAmountsCalculateLikeBigIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := draw(t, "x"), draw(t, "y")
		a, b := amount(t, x), amount(t, y)
		if a.Decimal() != x.String() || a.Unit() != "USD" || a.Sign() != x.Sign() {
			t.Fatalf("%s reads back as %s", x, a)
		}
		check := func(name string, got spend.Amount, err error, want *big.Int) {
			if fits := want.CmpAbs(bound) <= 0; fits != (err == nil) {
				t.Fatalf("%s %s %s: %v, want %s", x, name, y, err, want)
			} else if fits && got != amount(t, want) {
				t.Fatalf("%s %s %s = %s, want %s", x, name, y, got, want)
			}
		}
		sum, err := a.Add(b)
		check("+", sum, err, new(big.Int).Add(x, y))
		diff, err := a.Sub(b)
		check("-", diff, err, new(big.Int).Sub(x, y))
		if c, err := a.Cmp(b); err != nil || c != x.Cmp(y) {
			t.Fatalf("%s against %s: %d, %v", x, y, c, err)
		}
		if a.Fits(b) != (x.Cmp(y) <= 0) {
			t.Fatalf("%s fits %s: %v", x, y, a.Fits(b))
		}
		if n, ok := a.Int64(); ok != (x.IsInt64() && x.CmpAbs(new(big.Int).SetUint64(1<<63)) < 0) || ok && n != x.Int64() {
			t.Fatalf("%s as an int64: %d, %v", x, n, ok)
		}
		var back spend.Amount
		if text, _ := a.MarshalText(); back.UnmarshalText(text) != nil || back != a {
			t.Fatalf("%s through text: %s", a, back)
		}
	})
}

func TestAmountsAreReadStrictly(t *testing.T) {
	tooLarge := new(big.Int).Add(bound, big.NewInt(1)).String()
	for _, s := range []string{"", "-", "+1", "-0", "01", "00", "1.0", "1e3", " 1", "1 ", "1_000", "0x10", "１", "--1", "Unlimited", tooLarge, "-" + tooLarge, tooLarge + "0"} {
		if a, err := spend.ParseAmount("USD", s); !errors.Is(err, spend.Invalid) {
			t.Errorf("%q was read as %s, %v", s, a, err)
		}
	}
	for _, s := range []string{"5", " USD", "5 ", "5.0 USD", "USD 5", "5  USD"} {
		var a spend.Amount
		if err := a.UnmarshalText([]byte(s)); err == nil && a.Unit() != " USD" {
			t.Errorf("%q was read as %s", s, a)
		}
	}
}

func TestUnlimitedFitsNothing(t *testing.T) {
	u, five := spend.Unlimited("usd"), spend.NewAmount("USD", 5)
	if u.Fits(u) || u.Fits(five) || !five.Fits(u) {
		t.Error("what fits what is wrong")
	}
	if sum, err := five.Add(u); err != nil || !sum.IsUnlimited() {
		t.Errorf("5 + unlimited = %s, %v", sum, err)
	}
	if _, err := five.Sub(u); !errors.Is(err, spend.Invalid) {
		t.Errorf("5 - unlimited: %v, want Invalid", err)
	}
	if u.Neg() != u || u.Decimal() != "unlimited" || u.Sign() != 1 {
		t.Errorf("%s", u)
	}
}

func TestUnitsNeverMix(t *testing.T) {
	usd, eur := spend.NewAmount("usd", 5), spend.NewAmount("EUR", 5)
	if _, err := usd.Add(eur); !errors.Is(err, spend.Invalid) {
		t.Error("USD was added to EUR")
	}
	if _, err := usd.Cmp(eur); !errors.Is(err, spend.Invalid) || usd.Fits(eur) {
		t.Error("USD was compared with EUR")
	}
	if spend.NewAmount("eth:1/slip44:60", 1) != spend.NewAmount("eip155:1/slip44:60", 1) {
		t.Error("eth:1 is not eip155:1")
	}
}

func FuzzParseAmount(f *testing.F) {
	for _, s := range []string{"0", "5000", "-12", "unlimited", "115792089237316195423570985008687907853269984665640564039457584007913129639935", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := spend.ParseAmount("USD", s)
		if err == nil && a.Decimal() != s {
			t.Fatalf("%q reads back as %q", s, a.Decimal())
		}
	})
}
