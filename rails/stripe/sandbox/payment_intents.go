package sandbox

import (
	"maps"
	"slices"
)

// paymentIntent is what an agent means to pay. Its statuses, and who moves next:
//
//	requires_payment_method  the agent: a payment method
//	requires_confirmation    the agent: confirm
//	requires_action          the owner of the card: 3-D Secure, which never happens here
//	requires_capture         the agent: capture, or cancel
//	succeeded, canceled      nobody
type paymentIntent struct {
	head
	Amount                  int64             `json:"amount"`
	AmountCapturable        int64             `json:"amount_capturable"`
	AmountDetails           amountDetails     `json:"amount_details"`
	AmountReceived          int64             `json:"amount_received"`
	Application             text              `json:"application"`
	ApplicationFeeAmount    *int64            `json:"application_fee_amount"`
	AutomaticPaymentMethods *automaticMethods `json:"automatic_payment_methods"`
	CanceledAt              *int64            `json:"canceled_at"`
	CancellationReason      text              `json:"cancellation_reason"`
	CaptureMethod           string            `json:"capture_method"`
	ClientSecret            string            `json:"client_secret"`
	ConfirmationMethod      string            `json:"confirmation_method"`
	Currency                string            `json:"currency"`
	Customer                ref               `json:"customer"`
	Description             text              `json:"description"`
	LastPaymentError        *errorObject      `json:"last_payment_error"`
	LatestCharge            ref               `json:"latest_charge"`
	Metadata                map[string]string `json:"metadata"`
	NextAction              *nextAction       `json:"next_action"`
	OnBehalfOf              text              `json:"on_behalf_of"`
	PaymentMethod           text              `json:"payment_method"`
	PaymentMethodTypes      []string          `json:"payment_method_types"`
	Processing              *struct{}         `json:"processing"`
	ReceiptEmail            text              `json:"receipt_email"`
	Review                  text              `json:"review"`
	SetupFutureUsage        text              `json:"setup_future_usage"`
	Shipping                *struct{}         `json:"shipping"`
	StatementDescriptor     text              `json:"statement_descriptor"`
	StatementSuffix         text              `json:"statement_descriptor_suffix"`
	Status                  string            `json:"status"`
	TransferData            *transferData     `json:"transfer_data"`
	TransferGroup           text              `json:"transfer_group"`
}

type amountDetails struct {
	Tip struct{} `json:"tip"`
}

type automaticMethods struct {
	AllowRedirects string `json:"allow_redirects"`
	Enabled        bool   `json:"enabled"`
}

type transferData struct {
	Amount      *int64 `json:"amount,omitempty"`
	Destination string `json:"destination"`
}

type nextAction struct {
	RedirectToURL *redirect `json:"redirect_to_url,omitempty"`
	Type          string    `json:"type"`
	UseStripeSDK  *struct{} `json:"use_stripe_sdk,omitempty"`
}

type redirect struct {
	ReturnURL text   `json:"return_url"`
	URL       string `json:"url"`
}

func (pi *paymentIntent) refs() map[string]*ref {
	return map[string]*ref{"customer": &pi.Customer, "latest_charge": &pi.LatestCharge}
}

func (pi *paymentIntent) clone() object {
	dup := *pi
	dup.Metadata = maps.Clone(pi.Metadata)
	return &dup
}

// open says whether it waits for the agent or the card's owner to pay.
func (pi *paymentIntent) open() bool {
	return slices.Contains([]string{"requires_payment_method", "requires_confirmation", "requires_action"}, pi.Status)
}

func createIntent(c *call) (any, *Error) {
	p := c.p
	pi := &paymentIntent{
		head:               c.head("pi_", "payment_intent"),
		Amount:             p.amount("amount"),
		Currency:           p.currency("currency"),
		CaptureMethod:      p.choice("capture_method", "automatic_async", "automatic", "manual"),
		ConfirmationMethod: p.choice("confirmation_method", "automatic", "manual"),
		Metadata:           c.metadata(nil),
		OnBehalfOf:         p.text("on_behalf_of"),
		PaymentMethodTypes: []string{"card", "link"},
		SetupFutureUsage:   text(p.choice("setup_future_usage", "", "on_session", "off_session")),
		TransferGroup:      p.text("transfer_group"),
		Status:             "requires_payment_method",
	}
	pi.ClientSecret = pi.ID + "_secret_" + c.s.newID("")
	if fee, ok := p.optionalAmount("application_fee_amount"); ok {
		pi.ApplicationFeeAmount = &fee
	}
	if types := p.list("payment_method_types"); types != nil {
		pi.PaymentMethodTypes = types
	} else {
		pi.AutomaticPaymentMethods = &automaticMethods{
			Enabled:        p.flag("automatic_payment_methods[enabled]", true),
			AllowRedirects: p.choice("automatic_payment_methods[allow_redirects]", "always", "never"),
		}
	}
	c.describe(pi)
	c.payWith(pi)
	confirm := p.flag("confirm", false)
	if p.err != nil {
		return nil, p.err
	}
	if confirm && pi.PaymentMethod == "" {
		return nil, withoutMethod(pi)
	}
	c.add(pi.ID, pi)
	if confirm {
		return c.confirm(pi)
	}
	return pi, nil
}

// describe takes over the parameters that create and update share and that change
// no money but its destination.
func (c *call) describe(pi *paymentIntent) {
	p := c.p
	for name, field := range map[string]*text{
		"description": &pi.Description, "receipt_email": &pi.ReceiptEmail,
		"statement_descriptor": &pi.StatementDescriptor, "statement_descriptor_suffix": &pi.StatementSuffix,
	} {
		if p.has(name) {
			*field = p.text(name)
		}
	}
	if id, ok := p.flat["customer"]; ok {
		if _, known := find[*customer](c, id); !known {
			p.fail(noSuch("customer", "customer", id))
		}
		pi.Customer = ref{id: id}
	}
	pi.TransferData = c.transferData(pi.TransferData)
}

// transferData reads where the money goes on to, if anywhere.
func (c *call) transferData(was *transferData) *transferData {
	sub := c.p.under("transfer_data")
	if len(sub) == 0 {
		return was
	}
	t := &transferData{Destination: sub["destination"]}
	if was != nil && t.Destination == "" {
		t.Destination = was.Destination
	}
	if t.Destination == "" {
		c.p.require("transfer_data[destination]")
	}
	if n, ok := c.p.optionalAmount("transfer_data[amount]"); ok {
		t.Amount = &n
	}
	return t
}

// payWith takes over the payment method that a call names. One described in
// payment_method_data is a plain Visa card.
func (c *call) payWith(pi *paymentIntent) {
	id := c.paymentMethod("payment_method")
	if id == "" && c.p.has("payment_method_data[type]") {
		id = c.s.newID("pm_")
		c.a.cards[id], _ = testCard("pm_card_visa")
	}
	if id == "" || c.p.err != nil {
		return
	}
	pi.PaymentMethod = text(id)
	if pi.Status == "requires_payment_method" || pi.Status == "requires_action" {
		pi.Status, pi.NextAction = "requires_confirmation", nil
	}
}

func withoutMethod(pi *paymentIntent) *Error {
	return unexpectedState(pi, "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "+
		"PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method or ConfirmationToken.")
}

// onIntent finds the PaymentIntent that the path names.
func onIntent(do func(*call, *paymentIntent) (any, *Error)) func(*call) (any, *Error) {
	return func(c *call) (any, *Error) {
		pi, ok := find[*paymentIntent](c, c.object)
		if !ok {
			return nil, missing("payment_intent", "intent", c.object)
		}
		return do(c, pi)
	}
}

func showIntent(_ *call, pi *paymentIntent) (any, *Error) { return pi, nil }

func listIntents(c *call) (any, *Error) {
	of := c.p.flat["customer"]
	return list(c, "payment_intent", "/v1/payment_intents", func(pi *paymentIntent) bool { return of == "" || pi.Customer.id == of })
}

func updateIntent(c *call, kept *paymentIntent) (any, *Error) {
	p, pi := c.p, kept.clone().(*paymentIntent)
	for _, name := range []string{"amount", "currency", "payment_method", "payment_method_data", "capture_method", "transfer_data"} {
		if (p.has(name) || len(p.under(name)) > 0) && !pi.open() {
			return nil, unexpectedState(pi, "This PaymentIntent's %s could not be updated because it has a status of %s. You may only update "+
				"the %s of a PaymentIntent with one of the following statuses: requires_payment_method, requires_confirmation, requires_action.",
				name, pi.Status, name)
		}
	}
	if n, ok := p.optionalAmount("amount"); ok {
		pi.Amount = n
	}
	if p.has("currency") {
		pi.Currency = p.currency("currency")
	}
	pi.CaptureMethod = p.choice("capture_method", pi.CaptureMethod, "automatic", "automatic_async", "manual")
	if p.has("transfer_group") {
		pi.TransferGroup = p.text("transfer_group")
	}
	pi.Metadata = c.metadata(pi.Metadata)
	c.describe(pi)
	c.payWith(pi)
	if p.err != nil {
		return nil, p.err
	}
	*kept = *pi
	return kept, nil
}

func confirmIntent(c *call, kept *paymentIntent) (any, *Error) {
	if !kept.open() {
		return nil, unexpectedState(kept, "You cannot confirm this PaymentIntent because it has a status of %s. Only a PaymentIntent with "+
			"one of the following statuses may be confirmed: requires_confirmation, requires_action.", kept.Status)
	}
	pi := kept.clone().(*paymentIntent)
	pi.CaptureMethod = c.p.choice("capture_method", pi.CaptureMethod, "automatic", "automatic_async", "manual")
	c.payWith(pi)
	if want, ok := c.p.optionalAmount("amount_to_confirm"); ok && want != pi.Amount {
		c.p.fail(badRequest("", "amount_to_confirm", "The amount_to_confirm does not match the PaymentIntent's amount."))
	}
	if c.p.err != nil {
		return nil, c.p.err
	}
	if pi.PaymentMethod == "" {
		return nil, withoutMethod(pi)
	}
	*kept = *pi
	return c.confirm(kept)
}

// confirm charges or holds the card behind a PaymentIntent.
func (c *call) confirm(pi *paymentIntent) (any, *Error) {
	k := c.a.cards[string(pi.PaymentMethod)]
	unattended := c.p.flag("off_session", false) || c.p.flag("error_on_requires_action", false)
	if k.action && unattended {
		k.code, k.decline = "authentication_required", "authentication_required"
	}
	if k.code != "" {
		ch := c.newCharge(pi, k)
		c.add(ch.ID, ch)
		e := k.declined(ch.ID)
		failure := e.object()
		pi.LatestCharge, pi.LastPaymentError = ref{id: ch.ID}, &failure
		pi.Status, pi.PaymentMethod, pi.NextAction = "requires_payment_method", "", nil
		e.intent = pi.clone().(*paymentIntent)
		c.happened("payment_intent.payment_failed", pi)
		return nil, e
	}
	if k.action {
		pi.Status, pi.NextAction = "requires_action", &nextAction{Type: "use_stripe_sdk", UseStripeSDK: &struct{}{}}
		if to := c.p.text("return_url"); to != "" {
			pi.NextAction = &nextAction{Type: "redirect_to_url", RedirectToURL: &redirect{
				ReturnURL: to, URL: "https://hooks.stripe.com/redirect/authenticate/" + pi.ID,
			}}
		}
		c.happened("payment_intent.requires_action", pi)
		return pi, nil
	}
	ch := c.newCharge(pi, k)
	c.add(ch.ID, ch)
	pi.LatestCharge, pi.LastPaymentError, pi.NextAction = ref{id: ch.ID}, nil, nil
	if pi.CaptureMethod == "manual" {
		pi.Status, pi.AmountCapturable = "requires_capture", pi.Amount
		c.moved(Hold, ch.ID, pi.Currency, pi.Amount)
		c.happened("payment_intent.amount_capturable_updated", pi)
		return pi, nil
	}
	ch.capture(ch.Amount)
	pi.Status, pi.AmountReceived = "succeeded", pi.Amount
	c.moved(Charge, ch.ID, pi.Currency, pi.Amount)
	c.happened("payment_intent.succeeded", pi)
	return pi, nil
}

func captureIntent(c *call, pi *paymentIntent) (any, *Error) {
	if pi.Status != "requires_capture" {
		return nil, unexpectedState(pi, "This PaymentIntent could not be captured because it has a status of %s. Only a PaymentIntent with "+
			"one of the following statuses may be captured: requires_capture.", pi.Status)
	}
	amount, ok := c.p.optionalAmount("amount_to_capture")
	if !ok {
		amount = pi.AmountCapturable
	}
	if amount > pi.AmountCapturable {
		c.p.fail(badRequest("amount_too_large", "amount_to_capture",
			"The amount_to_capture is greater than the amount_capturable of the PaymentIntent, which is %d.", pi.AmountCapturable))
	}
	if !c.p.flag("final_capture", true) {
		c.p.fail(badRequest("", "final_capture", "This PaymentIntent does not support multiple captures."))
	}
	if c.p.err != nil {
		return nil, c.p.err
	}
	pi.Metadata = c.metadata(pi.Metadata)
	c.collect(pi, amount)
	return pi, nil
}

// collect captures a held PaymentIntent; what was held beyond amount is given up.
func (c *call) collect(pi *paymentIntent, amount int64) {
	ch, ok := find[*charge](c, pi.LatestCharge.id)
	if !ok {
		panic("sandbox: a PaymentIntent that requires capture has no charge")
	}
	ch.capture(amount)
	pi.Status, pi.AmountCapturable, pi.AmountReceived = "succeeded", 0, amount
	c.moved(Capture, ch.ID, pi.Currency, amount)
	c.happened("payment_intent.succeeded", pi)
	c.happened("charge.captured", ch)
}

func cancelIntent(c *call, pi *paymentIntent) (any, *Error) {
	reason := c.p.choice("cancellation_reason", "", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
	if c.p.err != nil {
		return nil, c.p.err
	}
	if !pi.open() && pi.Status != "requires_capture" {
		return nil, unexpectedState(pi, "You cannot cancel this PaymentIntent because it has a status of %s. Only a PaymentIntent with one of "+
			"the following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action, "+
			"processing.", pi.Status)
	}
	if pi.Status == "requires_capture" {
		if ch, ok := find[*charge](c, pi.LatestCharge.id); ok {
			ch.AmountRefunded, ch.Refunded = ch.Amount, true
		}
	}
	at := c.now
	pi.Status, pi.AmountCapturable, pi.NextAction = "canceled", 0, nil
	pi.CanceledAt, pi.CancellationReason = &at, text(reason)
	return pi, nil
}

func incrementIntent(c *call, pi *paymentIntent) (any, *Error) {
	amount := c.p.amount("amount")
	if c.p.err != nil {
		return nil, c.p.err
	}
	if pi.Status != "requires_capture" {
		return nil, unexpectedState(pi, "This PaymentIntent's authorization could not be incremented because it has a status of %s.", pi.Status)
	}
	if amount <= pi.Amount {
		return nil, badRequest("parameter_invalid_integer", "amount", "The amount must be greater than the current amount of %d.", pi.Amount)
	}
	ch, ok := find[*charge](c, pi.LatestCharge.id)
	if !ok {
		panic("sandbox: a PaymentIntent that requires capture has no charge")
	}
	c.moved(Hold, ch.ID, pi.Currency, amount-pi.Amount)
	pi.Amount, pi.AmountCapturable, ch.Amount = amount, amount, amount
	pi.Metadata = c.metadata(pi.Metadata)
	c.happened("payment_intent.amount_capturable_updated", pi)
	return pi, nil
}
