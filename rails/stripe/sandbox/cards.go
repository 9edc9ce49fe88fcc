package sandbox

import "strings"

// card is what stands behind a payment method.
type card struct {
	brand, last4 string
	// code and decline are set for a card that is declined.
	code, decline string
	// action is set for a card whose owner must authenticate.
	action bool
}

// testCard returns the card behind one of Stripe's test payment methods
// (pm_card_visa) or tokens (tok_visa): https://docs.stripe.com/testing.
func testCard(name string) (card, bool) {
	stem, ok := strings.CutPrefix(name, "pm_card_")
	if !ok {
		if stem, ok = strings.CutPrefix(name, "tok_"); !ok {
			return card{}, false
		}
	}
	switch stem {
	case "visa", "us":
		return card{brand: "visa", last4: "4242"}, true
	case "visa_debit":
		return card{brand: "visa", last4: "5556"}, true
	case "mastercard":
		return card{brand: "mastercard", last4: "4444"}, true
	case "amex":
		return card{brand: "amex", last4: "8431"}, true
	case "discover":
		return card{brand: "discover", last4: "9424"}, true
	case "chargeDeclined", "visa_chargeDeclined":
		return card{brand: "visa", last4: "0002", code: "card_declined", decline: "generic_decline"}, true
	case "chargeDeclinedInsufficientFunds", "visa_chargeDeclinedInsufficientFunds":
		return card{brand: "visa", last4: "9995", code: "card_declined", decline: "insufficient_funds"}, true
	case "chargeDeclinedFraudulent":
		return card{brand: "visa", last4: "0019", code: "card_declined", decline: "fraudulent"}, true
	case "chargeDeclinedExpiredCard":
		return card{brand: "visa", last4: "0069", code: "expired_card", decline: "expired_card"}, true
	case "threeDSecureRequired", "threeDSecure2Required", "authenticationRequired":
		return card{brand: "visa", last4: "3220", action: true}, true
	}
	return card{}, false
}

// paymentMethod returns the identifier of the payment method that a parameter
// names. A test payment method or token becomes a new one, as at Stripe.
func (c *call) paymentMethod(param string) string {
	name := c.p.flat[param]
	if _, ok := c.a.cards[name]; ok || name == "" {
		return name
	}
	k, ok := testCard(name)
	if !ok {
		c.p.fail(noSuch("PaymentMethod", param, name))
		return ""
	}
	prefix := "pm_"
	if strings.HasPrefix(name, "tok_") {
		prefix = "card_"
	}
	id := c.s.newID(prefix)
	c.a.cards[id] = k
	return id
}

// declined words the refusal of a card.
func (k card) declined(charge string) *Error {
	e := &Error{Status: 402, Type: "card_error", Code: k.code, DeclineCode: k.decline, Charge: charge, Message: "Your card was declined."}
	switch k.decline {
	case "insufficient_funds":
		e.Message = "Your card has insufficient funds."
	case "expired_card":
		e.Message, e.Param = "Your card has expired.", "exp_month"
	}
	return e
}
