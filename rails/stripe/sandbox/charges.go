package sandbox

import "maps"

// charge is one use of a card: by a PaymentIntent, or directly.
type charge struct {
	head
	Amount               int64             `json:"amount"`
	AmountCaptured       int64             `json:"amount_captured"`
	AmountRefunded       int64             `json:"amount_refunded"`
	Application          text              `json:"application"`
	ApplicationFee       text              `json:"application_fee"`
	ApplicationFeeAmount *int64            `json:"application_fee_amount"`
	BalanceTransaction   text              `json:"balance_transaction"` // null until cleared, which is never
	BillingDetails       billingDetails    `json:"billing_details"`
	Captured             bool              `json:"captured"`
	Currency             string            `json:"currency"`
	Customer             ref               `json:"customer"`
	Description          text              `json:"description"`
	Disputed             bool              `json:"disputed"`
	FailureCode          text              `json:"failure_code"`
	FailureMessage       text              `json:"failure_message"`
	FraudDetails         struct{}          `json:"fraud_details"`
	Metadata             map[string]string `json:"metadata"`
	OnBehalfOf           text              `json:"on_behalf_of"`
	Outcome              outcome           `json:"outcome"`
	Paid                 bool              `json:"paid"`
	PaymentIntent        ref               `json:"payment_intent"`
	PaymentMethod        text              `json:"payment_method"`
	PaymentMethodDetails methodDetails     `json:"payment_method_details"`
	ReceiptEmail         text              `json:"receipt_email"`
	ReceiptNumber        text              `json:"receipt_number"`
	Refunded             bool              `json:"refunded"`
	Review               text              `json:"review"`
	SourceTransfer       text              `json:"source_transfer"`
	StatementDescriptor  text              `json:"statement_descriptor"`
	StatementSuffix      text              `json:"statement_descriptor_suffix"`
	Status               string            `json:"status"`
	TransferData         *chargeTransfer   `json:"transfer_data"`
	TransferGroup        text              `json:"transfer_group"`
}

type billingDetails struct {
	Address address `json:"address"`
	Email   text    `json:"email"`
	Name    text    `json:"name"`
	Phone   text    `json:"phone"`
}

type address struct {
	City       text `json:"city"`
	Country    text `json:"country"`
	Line1      text `json:"line1"`
	Line2      text `json:"line2"`
	PostalCode text `json:"postal_code"`
	State      text `json:"state"`
}

type outcome struct {
	NetworkStatus string `json:"network_status"`
	Reason        text   `json:"reason"`
	RiskLevel     string `json:"risk_level"`
	SellerMessage string `json:"seller_message"`
	Type          string `json:"type"`
}

type methodDetails struct {
	Card cardDetails `json:"card"`
	Type string      `json:"type"`
}

type cardDetails struct {
	Brand    string `json:"brand"`
	Country  string `json:"country"`
	ExpMonth int    `json:"exp_month"`
	ExpYear  int    `json:"exp_year"`
	Funding  string `json:"funding"`
	Last4    string `json:"last4"`
	Network  string `json:"network"`
}

type chargeTransfer struct {
	Amount      *int64 `json:"amount"`
	Destination string `json:"destination"`
}

func (ch *charge) refs() map[string]*ref {
	return map[string]*ref{"customer": &ch.Customer, "payment_intent": &ch.PaymentIntent}
}

func (ch *charge) clone() object {
	dup := *ch
	dup.Metadata = maps.Clone(ch.Metadata)
	return &dup
}

// capture takes amount of what was authorized and gives up the rest.
func (ch *charge) capture(amount int64) {
	ch.AmountCaptured, ch.Captured = amount, true
	if rest := ch.Amount - amount; rest > 0 {
		ch.AmountRefunded = rest
	}
}

// refundable returns how much of what was taken was not yet given back.
func (ch *charge) refundable() int64 { return ch.Amount - ch.AmountRefunded }

// use fills in how a card took it: authorized or declined.
func (ch *charge) use(k card) {
	ch.Paid, ch.Status = true, "succeeded"
	ch.Outcome = outcome{NetworkStatus: "approved_by_network", RiskLevel: "normal", SellerMessage: "Payment complete.", Type: "authorized"}
	ch.PaymentMethodDetails = methodDetails{Type: "card", Card: cardDetails{
		Brand: k.brand, Country: "US", ExpMonth: 12, ExpYear: 2034, Funding: "credit", Last4: k.last4, Network: k.brand,
	}}
	if k.code != "" {
		ch.Paid, ch.Status, ch.FailureCode = false, "failed", text(k.code)
		ch.FailureMessage = text(k.declined("").Message)
		ch.Outcome = outcome{
			NetworkStatus: "declined_by_network", Reason: text(k.decline), RiskLevel: "normal",
			SellerMessage: "The bank did not return any further details with this decline.", Type: "issuer_declined",
		}
	}
}

// newCharge makes the charge of a PaymentIntent, not yet captured.
func (c *call) newCharge(pi *paymentIntent, k card) *charge {
	ch := &charge{
		head:   c.head("ch_", "charge"),
		Amount: pi.Amount, ApplicationFeeAmount: pi.ApplicationFeeAmount, Currency: pi.Currency, Customer: ref{id: pi.Customer.id},
		Description: pi.Description, Metadata: maps.Clone(pi.Metadata), OnBehalfOf: pi.OnBehalfOf, PaymentIntent: ref{id: pi.ID},
		PaymentMethod: pi.PaymentMethod, ReceiptEmail: pi.ReceiptEmail, StatementDescriptor: pi.StatementDescriptor,
		StatementSuffix: pi.StatementSuffix, TransferGroup: pi.TransferGroup,
	}
	if t := pi.TransferData; t != nil {
		ch.TransferData = &chargeTransfer{Amount: t.Amount, Destination: t.Destination}
	}
	ch.use(k)
	return ch
}

func createCharge(c *call) (any, *Error) {
	p := c.p
	ch := &charge{
		head:   c.head("ch_", "charge"),
		Amount: p.amount("amount"), Currency: p.currency("currency"),
		Description: p.text("description"), Metadata: c.metadata(nil), OnBehalfOf: p.text("on_behalf_of"),
		ReceiptEmail: p.text("receipt_email"), StatementDescriptor: p.text("statement_descriptor"),
		StatementSuffix: p.text("statement_descriptor_suffix"), TransferGroup: p.text("transfer_group"),
	}
	if fee, ok := p.optionalAmount("application_fee_amount"); ok {
		ch.ApplicationFeeAmount = &fee
	}
	if t := c.transferData(nil); t != nil {
		ch.TransferData = &chargeTransfer{Amount: t.Amount, Destination: t.Destination}
	}
	capture := p.flag("capture", true)
	method := c.paymentMethod("source")
	if id, ok := p.flat["customer"]; ok {
		owner, known := find[*customer](c, id)
		if !known {
			p.fail(noSuch("customer", "customer", id))
		} else if ch.Customer = (ref{id: id}); method == "" {
			method = string(owner.DefaultSource)
		}
	}
	if p.err == nil && method == "" {
		p.fail(badRequest("parameter_missing", "source", "Must provide source or customer."))
	}
	if p.err != nil {
		return nil, p.err
	}
	k := c.a.cards[method]
	if k.action && k.code == "" {
		k.code, k.decline = "card_declined", "authentication_required"
	}
	ch.PaymentMethod = text(method)
	ch.use(k)
	c.add(ch.ID, ch)
	if k.code != "" {
		c.happened("charge.failed", ch)
		return nil, k.declined(ch.ID)
	}
	if !capture {
		c.moved(Hold, ch.ID, ch.Currency, ch.Amount)
		c.happened("charge.succeeded", ch)
		return ch, nil
	}
	ch.capture(ch.Amount)
	c.moved(Charge, ch.ID, ch.Currency, ch.Amount)
	c.happened("charge.succeeded", ch)
	return ch, nil
}

func showCharge(c *call) (any, *Error) {
	ch, ok := find[*charge](c, c.object)
	if !ok {
		return nil, missing("charge", "charge", c.object)
	}
	return ch, nil
}

func listCharges(c *call) (any, *Error) {
	f := c.p.flat
	return list(c, "charge", "/v1/charges", func(ch *charge) bool {
		return (f["customer"] == "" || ch.Customer.id == f["customer"]) &&
			(f["payment_intent"] == "" || ch.PaymentIntent.id == f["payment_intent"]) &&
			(f["transfer_group"] == "" || string(ch.TransferGroup) == f["transfer_group"])
	})
}

func captureCharge(c *call) (any, *Error) {
	ch, ok := find[*charge](c, c.object)
	if !ok {
		return nil, missing("charge", "charge", c.object)
	}
	amount, asked := c.p.optionalAmount("amount")
	if !asked {
		amount = ch.Amount
	}
	switch {
	case c.p.err != nil:
		return nil, c.p.err
	case ch.Captured:
		return nil, badRequest("charge_already_captured", "", "Charge %s has already been captured.", ch.ID)
	case ch.Status != "succeeded" || ch.Refunded:
		return nil, badRequest("", "", "Charge %s cannot be captured.", ch.ID)
	case amount > ch.Amount:
		return nil, badRequest("amount_too_large", "amount", "You cannot capture more than the authorized amount of %d.", ch.Amount)
	}
	if pi, ok := find[*paymentIntent](c, ch.PaymentIntent.id); ok {
		c.collect(pi, amount)
		return ch, nil
	}
	ch.capture(amount)
	c.moved(Capture, ch.ID, ch.Currency, amount)
	c.happened("charge.captured", ch)
	return ch, nil
}
