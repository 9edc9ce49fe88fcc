package stripe

import (
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// reading is a call under the eyes of its operation.
type reading struct {
	op      *listing
	id, id2 string // the objects that the path names, or ""
	version string // Stripe-Version, or ""
	account string // the acting account, or ""
	facts   []rails.Fact
}

// effect is what one call does.
type effect struct {
	class   spend.Class
	object  string      // see spend.Intent.Object
	legs    []spend.Leg // none where no money moves; without an amount while lookups are due
	lookups []rails.Lookup
	doubt   string // see rails.Judgement.Doubt
}

// effect makes out what one call of an operation does. The form stands beside x and
// not in it, where it would be taken to outlive the call.
func (x *reading) effect(f *form) (effect, error) {
	class := x.op.classOf(f.all, x.version)
	if class != spend.Capability {
		reveals, err := x.reveals(f, class)
		if err != nil {
			return effect{}, err
		}
		if reveals {
			class = spend.Capability
		}
	}
	if err := x.checkHidden(f); err != nil {
		return effect{}, err
	}
	if class != spend.Capability {
		if e, ok, err := x.billing(f); ok {
			return e, err
		}
	}
	switch class {
	case spend.Spend:
		return x.spend(f)
	case spend.Capability:
		object, err := x.object(f)
		return effect{class: spend.Capability, object: object}, err
	default:
		return x.other(f)
	}
}

// reveals reports whether the reply to a write that moves no money would show what
// gives away a way to spend. One that moves money is refused: whoever approves a
// payment has not approved that.
func (x *reading) reveals(f *form, class spend.Class) (bool, error) {
	for i := range f.all {
		p := &f.all[i]
		if top := p.top(); top != "expand" && top != "include" || !reveals(p.text()) && !reveals(p.name[p.base:]) {
			continue
		}
		if class == spend.Spend {
			return false, rails.Refusef(spend.Malformed, p.top(), "%s asks a payment's reply for %.80q; ask for it in a read of its own", p.top(), p.text())
		}
		return true, nil
	}
	return false, nil
}

// spend makes out what a call moves that spends, by its parameters or, where one is
// not described by Stripe, at worst. An operation that is not named here is read as
// the table says where its amount, unit and payee stand (see evaluate).
func (x *reading) spend(f *form) (effect, error) {
	switch x.op.name {
	// Payments.
	case "payment_intents.create":
		return createPaymentIntent(f, true)
	case "payment_intents.confirm":
		return confirmPaymentIntent(x, f)
	case "payment_intents.capture":
		return capturePaymentIntent(x, f)
	case "payment_intents.increment_authorization":
		return incrementPaymentIntent(x, f)
	case "charges.create":
		return createCharge(f)
	case "charges.capture":
		return captureCharge(x, f)
	case "refunds.create":
		return createRefund(x, f)

	// Balances.
	case "transfers.create":
		return createTransfer(x, f)
	case "payouts.create":
		return createPayout(f)
	case "treasury.outbound_payments.create", "treasury.outbound_transfers.create":
		return createOutbound(f)
	case "treasury.financial_accounts.close":
		return closeFinancialAccount(x, f)
	case "issuing.authorizations.approve":
		return approveAuthorization(x, f)
	case "disputes.close":
		return closeDispute(x, f)

	// Sales.
	case "checkout.sessions.create":
		return createSession(x, f)
	case "checkout.sessions.update":
		return updateSession(x, f)
	case "payment_links.create":
		return createLink(x, f)
	case "payment_links.update":
		return updateLink(x, f)
	case "climate.orders.create":
		return createClimateOrder(x, f)
	case "delegated_checkout.requested_sessions.confirm":
		return confirmDelegated(x, f)
	case "shared_payment.issued_tokens.create":
		return issueToken(x, f)
	case "terminal.readers.confirm_payment_intent", "terminal.readers.process_payment_intent":
		return confirmAtReader(x, f)
	case "terminal.readers.refund_payment":
		return refundAtReader(x, f)

	// Customers.
	case "customers.create":
		return createCustomer(x, f)
	case "customers.update":
		return updateCustomer(x, f)
	case "customers.balance_transactions.create":
		return adjustBalance(x, f)
	}
	if strings.HasPrefix(x.op.name, "v2.") {
		return x.spendV2(f)
	}
	return x.evaluate(f)
}

// other is the effect of a call that moves no money. It names its object, because an
// approval already given on that object may not outlive a write to it.
func (x *reading) other(f *form) (effect, error) {
	switch x.op.name {
	case "payment_intents.create":
		return createPaymentIntent(f, false)
	case "payment_intents.update":
		if err := checkUpdate(f); err != nil {
			return effect{}, err
		}
	}
	object, err := x.object(f)
	return effect{class: spend.Other, object: object}, err
}

// checkHidden refuses a parameter that moves money among others, where it has a value
// with which the table takes it for one that does not.
func (x *reading) checkHidden(f *form) error {
	switch x.op.name {
	case "customers.create", "customers.update":
		_, _, err := f.balance()
		return err
	}
	return nil
}

// createPaymentIntent is a spend only with confirm=true, or True as Python's SDK
// wrote it until 2025 (stripe-python, pull request 1499). Stripe's mock takes
// 1, t, T and TRUE for true as well; what else stands for false is not known, so
// everything but these words is refused. One that the table takes for a spend
// without them has a parameter that Stripe does not describe, and is one.
func createPaymentIntent(f *form, spending bool) (effect, error) {
	amount, err := f.price(spend.Charge)
	if err != nil {
		return effect{}, err
	}
	payee, err := chargePayee(f)
	if err != nil {
		return effect{}, err
	}
	confirm, present, err := f.scalar("confirm")
	switch {
	case err != nil:
		return effect{}, err
	case present && confirm != "false" && confirm != "true" && confirm != "True":
		return effect{}, rails.Refusef(spend.Malformed, "confirm", "confirm is %.80q; it must be true or false", confirm)
	case !spending:
		return effect{class: spend.Other}, nil
	}
	return spends(spend.Leg{Kind: spend.Charge, Amount: amount, Payee: payee}), nil
}

// checkUpdate refuses an update of a payment intent that would move money if Stripe
// took it, and a price without exactly one reading.
func checkUpdate(f *form) error {
	if err := f.refuse("confirm", "an update does not confirm; call confirm"); err != nil {
		return err
	}
	if _, _, err := f.number("amount"); err != nil {
		return err
	}
	_, err := f.currency()
	return err
}

// createCharge is a spend with capture=false as well: the money is held.
func createCharge(f *form) (effect, error) {
	amount, err := f.price(spend.Charge)
	if err != nil {
		return effect{}, err
	}
	payee, err := chargePayee(f)
	if err != nil {
		return effect{}, err
	}
	return spends(spend.Leg{Kind: spend.Charge, Amount: amount, Payee: payee}), nil
}

// createTransfer reads a transfer to a connected account. Without an amount it is all
// of the charge that source_transaction names. Under versions before 2017-04-06 the
// same path pays out to a bank.
func createTransfer(x *reading, f *form) (effect, error) {
	kind := spend.Transfer
	if x.version != "" && x.version < "2017-04-06" {
		kind = spend.Payout
	}
	payee, err := f.id("destination")
	if err != nil {
		return effect{}, err
	}
	if payee == "" {
		return effect{}, rails.Refusef(spend.Malformed, "destination", "destination is missing")
	}
	source, err := f.id("source_transaction")
	if err != nil {
		return effect{}, err
	}
	if _, stated, err := f.number("amount"); err == nil && !stated && source != "" {
		return transferAll(x, f, source, spend.Leg{Kind: kind, Payee: payee})
	}
	amount, err := f.price(kind)
	if err != nil {
		return effect{}, err
	}
	return spends(spend.Leg{Kind: kind, Amount: amount, Payee: payee}), nil
}

// createPayout reads a payout; without a destination, which previews call a payout
// method, it goes to the account's default bank account or card, which the call does
// not name.
func createPayout(f *form) (effect, error) {
	amount, err := f.price(spend.Payout)
	if err != nil {
		return effect{}, err
	}
	payee, err := f.either("destination", "payout_method")
	if err != nil {
		return effect{}, err
	}
	return spends(spend.Leg{Kind: spend.Payout, Amount: amount, Payee: payee}), nil
}

func spends(leg spend.Leg) effect { return effect{class: spend.Spend, legs: []spend.Leg{leg}} }

// chargePayee returns the connected account that a charge is passed on to, ""
// when the charging account keeps it. on_behalf_of only names who is shown to
// the payer.
func chargePayee(f *form) (string, error) {
	names := []string{"transfer_data[destination]", "destination"}
	if f.isHash("destination") {
		names[1] = "destination[account]"
	}
	var payee string
	for _, name := range names {
		id, err := f.id(name)
		if err != nil {
			return "", err
		}
		if payee != "" && id != "" {
			return "", rails.Refusef(spend.Ambiguous, "destination", "transfer_data and destination both name who is paid; send one")
		}
		payee += id
	}
	return payee, nil
}

// id reads the parameter name as an id of Stripe's; "" without one.
func (f *form) id(name string) (string, error) {
	p, err := f.single(name)
	if p == nil {
		return "", err
	}
	value := p.text()
	if !isID(value) || p.kind != jsonNone && p.kind != jsonText {
		return "", rails.Refusef(spend.Malformed, name, "%s is %.80q, which is no id of Stripe's", name, value)
	}
	return value, nil
}

// refuse refuses the call if the parameter base is there in any form.
func (f *form) refuse(base, reason string) error {
	if _, present, err := f.scalar(base); err != nil || present || f.isHash(base) {
		return rails.Refusef(spend.Malformed, base, "%s is no parameter of this call: %s", base, reason)
	}
	return nil
}

// Operations returns the names of the operations that policies can be scoped to,
// sorted.
func Operations() []string {
	names := append(listed(), unlisted.name)
	slices.Sort(names)
	return names
}
