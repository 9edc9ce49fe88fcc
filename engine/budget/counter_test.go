package budget

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
)

// What is read the short way is read the same the long way, and nothing else is.
func TestAPlainCounterReadsAsAnyOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(
			rapid.StringMatching(`-?[0-9]{0,20}`),
			rapid.SampledFrom([]string{"0", "-0", "00", "999999999999999999", "1000000000000000000", "0+1u", "5+0u", "+5"}),
		)
		reserved, posted := number.Draw(t, "reserved"), number.Draw(t, "posted")
		form := reserved + rapid.SampledFrom([]string{" ", " ", " ", "", "  "}).Draw(t, "between") + posted
		short, ok := plainCounter([]byte(form), "USD")
		if !ok {
			if len(reserved) > 0 && len(posted) > 0 && form == reserved+" "+posted && isPlain(reserved) && isPlain(posted) {
				t.Fatalf("%q is plain, and was not read as such", form)
			}
			return
		}
		a, err := parseQuantity("USD", reserved)
		b, err2 := parseQuantity("USD", posted)
		if err != nil || err2 != nil || form != reserved+" "+posted || short != (counter{a, b}) {
			t.Fatalf("%q was read as %v: %v, %v", form, short, err, err2)
		}
	})
}

func isPlain(s string) bool {
	a, err := spend.ParseAmount("USD", s)
	return err == nil && a.Sign() >= 0 && len(s) <= 18
}
