package sandbox

import "maps"

// refund gives back money that a charge took.
type refund struct {
	head
	Amount                 int64             `json:"amount"`
	BalanceTransaction     text              `json:"balance_transaction"`
	Charge                 ref               `json:"charge"`
	Currency               string            `json:"currency"`
	DestinationDetails     refundTo          `json:"destination_details"`
	Metadata               map[string]string `json:"metadata"`
	PaymentIntent          ref               `json:"payment_intent"`
	Reason                 text              `json:"reason"`
	ReceiptNumber          text              `json:"receipt_number"`
	SourceTransferReversal text              `json:"source_transfer_reversal"`
	Status                 string            `json:"status"`
	TransferReversal       text              `json:"transfer_reversal"`

	// Livemode hides the one of head: a refund has none.
	Livemode *bool `json:"livemode,omitempty"`
}

type refundTo struct {
	Card refundCard `json:"card"`
	Type string     `json:"type"`
}

type refundCard struct {
	Type string `json:"type"`
}

func (re *refund) refs() map[string]*ref {
	return map[string]*ref{"charge": &re.Charge, "payment_intent": &re.PaymentIntent}
}

func (re *refund) clone() object {
	dup := *re
	dup.Metadata = maps.Clone(re.Metadata)
	return &dup
}

// refundTarget finds the charge that a refund is about, by itself or by its
// PaymentIntent.
func (c *call) refundTarget() (*charge, *Error) {
	id, byCharge := c.p.flat["charge"]
	of, byIntent := c.p.flat["payment_intent"]
	if !byCharge && !byIntent {
		return nil, badRequest("parameter_missing", "payment_intent",
			"One of the following params should be provided for this request: payment_intent or charge.")
	}
	if byIntent {
		pi, ok := find[*paymentIntent](c, of)
		if !ok {
			return nil, noSuch("payment_intent", "payment_intent", of)
		}
		if byCharge && id != pi.LatestCharge.id {
			return nil, badRequest("", "charge", "Charge %s does not belong to PaymentIntent %s.", id, of)
		}
		if pi.Status != "succeeded" {
			return nil, unexpectedState(pi, "This PaymentIntent (%s) does not have a successful charge to refund.", of)
		}
		id = pi.LatestCharge.id
	}
	ch, ok := find[*charge](c, id)
	if !ok {
		return nil, noSuch("charge", "charge", id)
	}
	return ch, nil
}

func createRefund(c *call) (any, *Error) {
	ch, e := c.refundTarget()
	if e != nil {
		return nil, e
	}
	amount, asked := c.p.optionalAmount("amount")
	reason := c.p.choice("reason", "", "duplicate", "fraudulent", "requested_by_customer")
	switch {
	case c.p.err != nil:
		return nil, c.p.err
	case ch.Status != "succeeded":
		return nil, badRequest("", "charge", "Charge %s did not succeed and cannot be refunded.", ch.ID)
	case ch.refundable() == 0:
		return nil, badRequest("charge_already_refunded", "", "Charge %s has already been refunded.", ch.ID)
	case !asked:
		amount = ch.refundable()
	case amount > ch.refundable():
		return nil, badRequest("", "amount", "Refund amount (%d) is greater than unrefunded amount on charge (%d)", amount, ch.refundable())
	case !ch.Captured && amount != ch.Amount:
		return nil, badRequest("", "amount", "Charge %s is not captured: only the whole of it can be released.", ch.ID)
	}
	re := &refund{
		head:   c.head("re_", "refund"),
		Amount: amount, Charge: ref{id: ch.ID}, Currency: ch.Currency, Metadata: c.metadata(nil),
		DestinationDetails: refundTo{Type: "card", Card: refundCard{Type: "refund"}},
		PaymentIntent:      ref{id: ch.PaymentIntent.id}, Reason: text(reason), Status: "succeeded",
	}
	c.add(re.ID, re)
	ch.AmountRefunded += amount
	ch.Refunded = ch.refundable() == 0
	if ch.Captured {
		c.moved(Refund, re.ID, ch.Currency, amount)
	} else if pi, ok := find[*paymentIntent](c, ch.PaymentIntent.id); ok {
		at := c.now
		pi.Status, pi.AmountCapturable, pi.CanceledAt = "canceled", 0, &at
	}
	c.happened("refund.created", re)
	return re, nil
}

func showRefund(c *call) (any, *Error) {
	re, ok := find[*refund](c, c.object)
	if !ok {
		return nil, missing("refund", "refund", c.object)
	}
	return re, nil
}

func listRefunds(c *call) (any, *Error) {
	f := c.p.flat
	return list(c, "refund", "/v1/refunds", func(re *refund) bool {
		return (f["charge"] == "" || re.Charge.id == f["charge"]) && (f["payment_intent"] == "" || re.PaymentIntent.id == f["payment_intent"])
	})
}
