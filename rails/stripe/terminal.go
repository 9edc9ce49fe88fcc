package stripe

import (
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// The operations in this file have a card reader do what other calls do at once.

// confirmAtReader spends the amount of the payment intent that the call names. A tip
// is the payer's own to add.
func confirmAtReader(x *reading, f *form) (effect, error) {
	pi, err := f.id("payment_intent")
	if err != nil {
		return effect{}, err
	}
	if pi == "" {
		return effect{}, rails.Refusef(spend.Malformed, "payment_intent", "payment_intent is missing")
	}
	there := *x
	there.id = pi
	found, e, err := there.paymentIntent()
	if err != nil || found == nil {
		return e, err
	}
	n, err := found.integer("amount")
	if err != nil {
		return effect{}, err
	}
	return e.worth(found, n)
}

// refundAtReader gives back what a charge or a payment intent took.
func refundAtReader(x *reading, f *form) (effect, error) {
	if err := f.refuse("origin", "a reader gives back what a card has paid"); err != nil {
		return effect{}, err
	}
	there := *x
	there.id = ""
	return createRefund(&there, f)
}
