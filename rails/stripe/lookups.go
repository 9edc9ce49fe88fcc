package stripe

import (
	"cmp"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// The operations in this file act on an object made earlier, whose amount, unit
// and payee only Stripe knows. Each names the one GET that tells, and is read
// again with its fact.

// look returns the looked-up object, or nil while it is due.
func (x *reading) look(target, object, id string) (*fact, error) {
	for _, f := range x.facts {
		if f.Lookup == (rails.Lookup{Target: target}) {
			return readFact(f, object, id)
		}
	}
	return nil, nil
}

// paymentIntent looks up the payment intent that the path names, and returns an
// effect that asks for it, with a charge still without an amount.
func (x *reading) paymentIntent() (*fact, effect, error) {
	target := "/v1/payment_intents/" + x.id
	e := spends(spend.Leg{Kind: spend.Charge})
	e.object = "payment_intents/" + x.id
	pi, err := x.look(target, "payment_intent", x.id)
	if pi == nil {
		e.lookups = []rails.Lookup{{Target: target}}
	}
	return pi, e, err
}

// confirmPaymentIntent spends the amount of the payment intent, in whatever
// status it is: Stripe refuses what cannot be confirmed. amount_to_confirm takes less
// of it, and is not relied upon to.
func confirmPaymentIntent(x *reading, f *form) (effect, error) {
	for _, name := range []string{"amount", "currency"} {
		if err := f.refuse(name, "a confirmation takes it from the payment intent"); err != nil {
			return effect{}, err
		}
	}
	part, _, err := f.number("amount_to_confirm")
	if err != nil {
		return effect{}, err
	}
	pi, e, err := x.paymentIntent()
	if err != nil || pi == nil {
		return e, err
	}
	n, err := pi.integer("amount")
	if err != nil {
		return effect{}, err
	}
	if part > n {
		return effect{}, rails.Refusef(spend.Malformed, "amount_to_confirm", "amount_to_confirm is %d, more than the %d of the payment intent", part, n)
	}
	return e.worth(pi, n)
}

// capturePaymentIntent spends amount_to_capture, else all that can be captured.
func capturePaymentIntent(x *reading, f *form) (effect, error) {
	n, stated, err := f.number("amount_to_capture")
	if err != nil {
		return effect{}, err
	}
	pi, e, err := x.paymentIntent()
	if err != nil || pi == nil {
		return e, err
	}
	if stated {
		return e.stated("amount_to_capture", pi, n)
	}
	if n, err = pi.integer("amount_capturable"); err != nil {
		return effect{}, err
	}
	return e.worth(pi, n)
}

// incrementPaymentIntent spends what the new total, which the call states, adds
// to the old one.
func incrementPaymentIntent(x *reading, f *form) (effect, error) {
	total, stated, err := f.number("amount")
	if err != nil {
		return effect{}, err
	}
	if !stated {
		return effect{}, rails.Refusef(spend.Malformed, "amount", "amount is missing: it is the new total")
	}
	pi, e, err := x.paymentIntent()
	if err != nil || pi == nil {
		return e, err
	}
	current, err := pi.integer("amount")
	if err != nil {
		return effect{}, err
	}
	if total <= current {
		return effect{}, rails.Refusef(spend.Malformed, "amount", "amount is %d, which is not more than the %d already authorized; it is the new total", total, current)
	}
	if _, err := e.stated("amount", pi, total); err != nil {
		return effect{}, err
	}
	return e.worth(pi, total-current)
}

// captureCharge spends the amount stated, else what of the charge is not yet
// captured. API versions without amount_captured capture once and for all.
func captureCharge(x *reading, f *form) (effect, error) {
	n, stated, err := f.number("amount")
	if err != nil {
		return effect{}, err
	}
	target := "/v1/charges/" + x.id
	e := spends(spend.Leg{Kind: spend.Charge})
	e.object = "charges/" + x.id
	charge, err := x.look(target, "charge", x.id)
	if err != nil {
		return effect{}, err
	}
	if charge == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	if stated {
		return e.stated("amount", charge, n)
	}
	whole, err := charge.integer("amount")
	if err != nil {
		return effect{}, err
	}
	var captured int64
	if charge.has("amount_captured") {
		if captured, err = charge.integer("amount_captured"); err != nil {
			return effect{}, err
		}
	}
	return e.worth(charge, whole-captured)
}

// transferAll passes on all of a charge. It acts on nothing of the charge itself, so
// that other writes to that are not kept waiting.
func transferAll(x *reading, f *form, source string, leg spend.Leg) (effect, error) {
	unit, err := f.currency()
	if err != nil {
		return effect{}, err
	}
	e := spends(leg)
	target := "/v1/charges/" + source
	charge, err := x.look(target, "charge", source)
	if err != nil {
		return effect{}, err
	}
	if charge == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	if is, err := charge.currency(); err != nil || unit != "" && unit != is {
		if err == nil {
			err = rails.Refusef(spend.Malformed, "currency", "currency is %s, and the charge is in %s; state the amount", unit, is)
		}
		return effect{}, err
	}
	n, err := charge.integer("amount")
	if err != nil {
		return effect{}, err
	}
	return e.worth(charge, n)
}

// createRefund gives back what was paid by a charge, by a payment intent, or
// into a customer's cash balance.
func createRefund(x *reading, f *form) (effect, error) {
	charge, pi, err := x.refundTarget(f)
	if err != nil {
		return effect{}, err
	}
	n, stated, err := f.number("amount")
	if err != nil {
		return effect{}, err
	}
	payee, err := f.emailed()
	if err != nil {
		return effect{}, err
	}
	target, object, id := "", "", ""
	e := spends(spend.Leg{Kind: spend.Refund, Payee: payee})
	switch {
	case charge != "":
		target, object, id = "/v1/charges/"+charge, "charge", charge
		e.object = "charges/" + charge
	case pi != "":
		target, object, id = "/v1/payment_intents/"+pi+"?expand[]=latest_charge", "payment_intent", pi
		e.object = "payment_intents/" + pi
	default:
		return refundCashBalance(f, payee)
	}
	paid, err := x.look(target, object, id)
	if err != nil {
		return effect{}, err
	}
	if paid == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	if stated {
		return e.stated("amount", paid, n)
	}
	if object == "payment_intent" {
		if paid, err = paid.inner("latest_charge", "charge"); err != nil {
			return effect{}, err
		}
	}
	if n, err = paid.refundable(); err != nil {
		return effect{}, err
	}
	return e.worth(paid, n)
}

// refundable returns what of a charge is not refunded yet. For a charge that was
// captured in part this is too much rather than too little.
func (o *fact) refundable() (int64, error) {
	whole, err := o.integer("amount")
	if err != nil {
		return 0, err
	}
	back, err := o.integer("amount_refunded")
	return whole - back, err
}

// refundTarget returns the one charge or payment intent that is refunded; both
// are "" for a refund out of a customer's cash balance.
func (x *reading) refundTarget(f *form) (charge, pi string, err error) {
	if charge, err = f.id("charge"); err != nil {
		return "", "", err
	}
	if pi, err = f.id("payment_intent"); err != nil {
		return "", "", err
	}
	_, origin, err := f.scalar("origin")
	if err != nil {
		return "", "", err
	}
	named := 0
	for _, is := range []bool{x.id != "", charge != "", pi != "", origin} {
		if is {
			named++
		}
	}
	switch {
	case named > 1:
		return "", "", rails.Refusef(spend.Ambiguous, "charge", "the call names %d things to refund; name one charge or payment_intent", named)
	case named == 0:
		return "", "", rails.Refusef(spend.Malformed, "charge", "the call names nothing to refund; name a charge or a payment_intent")
	}
	return charge + x.id, pi, nil
}

// emailed returns the address to which Stripe writes to ask where a refund that no card
// takes is to go: whoever reads that is paid. "" where the call names none.
func (f *form) emailed() (string, error) {
	const name = "instructions_email"
	if !f.sets(name) {
		return "", nil
	}
	address, _, err := f.scalar(name)
	if err == nil && (len(address) > 255 || !isVisible(address)) {
		err = rails.Refusef(spend.Malformed, name, "%s is %.80q, which is no address", name, address)
	}
	return strings.ToLower(address), err
}

// refundCashBalance reads a refund with origin=customer_balance, which states
// all there is to know.
func refundCashBalance(f *form, emailed string) (effect, error) {
	if origin, _, err := f.scalar("origin"); err != nil || origin != "customer_balance" {
		return effect{}, rails.Refusef(spend.Malformed, "origin", "origin is %.80q; it must be customer_balance", origin)
	}
	amount, err := f.price(spend.Refund)
	if err != nil {
		return effect{}, err
	}
	customer, err := f.id("customer")
	if err != nil {
		return effect{}, err
	}
	if customer == "" {
		return effect{}, rails.Refusef(spend.Malformed, "customer", "customer is missing")
	}
	return spends(spend.Leg{Kind: spend.Refund, Amount: amount, Payee: cmp.Or(emailed, customer)}), nil
}

// stated completes the leg with a number that the call states in the unit that
// the fact tells.
func (e effect) stated(param string, from *fact, n int64) (effect, error) {
	unit, err := from.currency()
	if err != nil {
		return effect{}, err
	}
	if _, err := money(param, n, unit, e.legs[0].Kind); err != nil {
		return effect{}, err
	}
	return e.worth(from, n)
}

// worth completes the leg with a number of the fact's own unit, and with the
// account that is paid. Nothing left to move is refused: what a later change of
// the object would make of the call cannot be judged now.
func (e effect) worth(from *fact, n int64) (effect, error) {
	unit, err := from.currency()
	if err != nil {
		return effect{}, err
	}
	if n <= 0 {
		return effect{}, rails.Refusef(spend.Malformed, "", "nothing is left to %s on %s", e.legs[0].Kind, e.object)
	}
	leg := e.legs[0]
	leg.Amount = spend.NewAmount(unit, n)
	if leg.Kind == spend.Charge {
		if leg.Payee, err = from.payee(); err != nil {
			return effect{}, err
		}
	}
	e.legs = []spend.Leg{leg}
	return e, nil
}
