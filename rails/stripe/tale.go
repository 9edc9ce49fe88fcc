package stripe

import (
	"fmt"
	"strings"

	"github.com/outgo/outgo/engine/spend"
)

// tale is what the reply to a spend tells. Fields are named by their path, such as
// "amount.value".
type tale struct {
	// objects are the types that the reply may be of, divided by spaces. Those behind
	// the first are what an event, or an alias, holds instead: they tell no amount.
	objects string
	// of are the fields of which one names the object that the call acts on; "" where
	// it acts on none, or the reply does not say.
	of string
	// transaction is the field that names what was done; "" for id.
	transaction string
	// amount says what was moved, and currency in what; "" for none, and for currency.
	amount, currency string
	// debited says that what a financial account was debited goes before amount, which
	// may be in another currency.
	debited bool
	// atLeast says that more may follow by itself, up to what was judged, which then
	// counts.
	atLeast bool
	payee   string // the field that names who is paid; "" for none
	// merchant is the field that names who has charged; "" for none.
	merchant string
	// undoes are the fields that name the payment of which money is given back.
	undoes string
	// status is the field by which done and not are told apart; "" for status.
	status string
	// done are the statuses with which it has happened, or may yet do so by itself; ""
	// where an object is there only once it has. not are those with which it has not.
	// All others prove nothing.
	done, not string
}

// taleOf returns what the replies to an operation tell, ok only for spends that are
// not read by settlePayment. The types and statuses are those of Stripe's
// specification and SDKs.
func taleOf(operation string) (t tale, ok bool) {
	if rest, v2 := strings.CutPrefix(operation, "v2."); v2 {
		return taleOfV2(rest)
	}
	collection, _, _ := strings.Cut(operation, ".")
	switch collection {
	case "checkout", "climate", "delegated_checkout", "orders", "payment_links", "shared_payment", "terminal":
		return taleOfSale(operation)
	case "invoices", "invoiceitems", "subscriptions", "subscription_items", "subscription_schedules", "quotes", "credit_notes", "customers", "billing":
		return taleOfBilling(operation)
	}
	return taleOfBalance(operation)
}

func taleOfSale(operation string) (t tale, ok bool) {
	const sessions = "open complete"
	switch operation {
	case "checkout.sessions.create":
		return tale{objects: "checkout.session", amount: "amount_total", atLeast: true, done: sessions, not: "expired"}, true
	case "checkout.sessions.update":
		return tale{objects: "checkout.session", of: "id", amount: "amount_total", atLeast: true, done: sessions}, true
	case "payment_links.create":
		return tale{objects: "payment_link", payee: "transfer_data.destination"}, true
	case "payment_links.update":
		return tale{objects: "payment_link", of: "id", payee: "transfer_data.destination"}, true
	case "climate.orders.create":
		return tale{objects: "climate.order", amount: "amount_total", done: "awaiting_funds confirmed delivered open", not: "canceled"}, true
	case "delegated_checkout.requested_sessions.confirm":
		return tale{objects: "delegated_checkout.requested_session", of: "id", amount: "amount_total",
			done: "completed open requires_action"}, true
	case "orders.pay":
		return tale{objects: "order", of: "id", amount: "amount", done: "paid fulfilled"}, true
	case "orders.submit":
		return tale{objects: "order", of: "id", amount: "amount_total", done: "submitted processing complete", not: "canceled"}, true
	case "orders.update":
		return tale{objects: "order", of: "id"}, true
	case "orders.returns":
		return tale{objects: "order_return", of: "order", amount: "amount"}, true
	case "shared_payment.issued_tokens.create":
		return tale{objects: "shared_payment.issued_token", amount: "usage_limits.max_amount", currency: "usage_limits.currency",
			done: "active requires_action", not: "deactivated"}, true
	case "terminal.readers.confirm_payment_intent":
		const pi = "action.confirm_payment_intent.payment_intent"
		return tale{objects: "terminal.reader", of: pi, transaction: pi, status: "action.status", done: "in_progress succeeded"}, true
	case "terminal.readers.process_payment_intent":
		const pi = "action.process_payment_intent.payment_intent"
		return tale{objects: "terminal.reader", of: pi, transaction: pi, status: "action.status", done: "in_progress succeeded"}, true
	case "terminal.readers.refund_payment":
		const refund = "action.refund_payment"
		return tale{objects: "terminal.reader", of: refund + ".charge " + refund + ".payment_intent", transaction: refund + ".refund",
			undoes: refund + ".payment_intent " + refund + ".charge", status: "action.status", done: "in_progress succeeded"}, true
	}
	return tale{}, false
}

func taleOfBilling(operation string) (t tale, ok bool) {
	const subscribed = "active incomplete past_due paused trialing unpaid"
	switch operation {
	case "invoices.create": // a draft may still grow
		return tale{objects: "invoice", amount: "amount_remaining", atLeast: true, done: "draft open paid"}, true
	case "invoices.update":
		return tale{objects: "invoice", of: "id", amount: "amount_remaining", atLeast: true, done: "draft open paid"}, true
	case "invoices.finalize", "invoices.pay", "invoices.send":
		return tale{objects: "invoice", of: "id", amount: "amount_remaining", done: "open paid"}, true
	case "invoiceitems.create":
		return tale{objects: "invoiceitem", amount: "amount"}, true
	case "invoices.add_lines", "invoices.update_lines", "invoices.remove_lines":
		return tale{objects: "invoice", of: "id"}, true
	case "invoices.lines.update":
		return tale{objects: "line_item", of: "invoice"}, true
	case "invoiceitems.update": // what it comes to now, and not what it was raised by
		return tale{objects: "invoiceitem", of: "invoice customer"}, true
	case "invoiceitems.delete":
		return tale{objects: "invoiceitem"}, true
	case "subscriptions.create":
		return tale{objects: "subscription", done: subscribed, not: "incomplete_expired"}, true
	case "subscriptions.update", "subscriptions.cancel", "subscriptions.pause", "subscriptions.resume", "subscriptions.attach_cadence":
		return tale{objects: "subscription", of: "id", done: subscribed + " canceled"}, true
	case "customers.subscription.update", "customers.subscription.cancel":
		return tale{objects: "subscription", of: "customer", done: subscribed + " canceled"}, true
	case "subscription_items.create", "subscription_items.update", "subscription_items.delete":
		return tale{objects: "subscription_item subscription"}, true
	case "subscription_schedules.create":
		return tale{objects: "subscription_schedule", done: "active completed not_started released", not: "canceled"}, true
	case "subscription_schedules.update", "subscription_schedules.amend", "subscription_schedules.cancel", "subscription_schedules.release":
		return tale{objects: "subscription_schedule", of: "id", done: "active canceled completed not_started released"}, true
	case "quotes.accept": // what recurs comes on top
		return tale{objects: "quote", of: "id", amount: "amount_total", atLeast: true, done: "accepted"}, true
	case "credit_notes.create":
		return tale{objects: "credit_note", of: "invoice", amount: "amount", undoes: "invoice", done: "issued"}, true
	case "customers.create":
		return tale{objects: "customer"}, true
	case "customers.update":
		return tale{objects: "customer", of: "id"}, true
	case "customers.balance_transactions.create":
		return tale{objects: "customer_balance_transaction", of: "customer", amount: "amount"}, true
	case "billing.credit_grants.create":
		return tale{objects: "billing.credit_grant", amount: "amount.monetary.value", currency: "amount.monetary.currency", payee: "customer"}, true
	}
	return tale{}, false
}

func taleOfBalance(operation string) (t tale, ok bool) {
	switch operation {
	case "application_fees.refunds.create": // its alias answers with the fee
		return tale{objects: "fee_refund application_fee", of: "fee id", amount: "amount"}, true
	case "transfers.reversals.create":
		return tale{objects: "transfer_reversal transfer", of: "transfer id", amount: "amount"}, true
	case "balance_transfers.create":
		return tale{objects: "balance_transfer", amount: "amount"}, true
	case "disputes.close":
		return tale{objects: "dispute", of: "id charge", amount: "amount", undoes: "payment_intent charge", done: "lost warning_closed"}, true
	case "payouts.reverse":
		return tale{objects: "payout", of: "original_payout", amount: "amount", done: "paid pending in_transit", not: "failed canceled"}, true
	case "topups.create":
		return tale{objects: "topup", amount: "amount", done: "pending succeeded", not: "canceled failed"}, true
	case "issuing.authorizations.approve":
		return tale{objects: "issuing.authorization", of: "id", amount: "amount", payee: "merchant_data.network_id",
			merchant: "merchant_data.name", status: "approved", done: "true"}, true
	case "treasury.inbound_transfers.create":
		return tale{objects: "treasury.inbound_transfer", of: "financial_account", amount: "amount", payee: "financial_account",
			done: "processing succeeded", not: "canceled failed"}, true
	case "treasury.outbound_payments.create":
		return tale{objects: "treasury.outbound_payment", of: "financial_account", amount: "amount", payee: "destination_payment_method",
			done: "processing posted returned", not: "canceled failed"}, true
	case "treasury.outbound_transfers.create":
		return tale{objects: "treasury.outbound_transfer", of: "financial_account", amount: "amount", payee: "destination_payment_method",
			done: "processing posted returned", not: "canceled failed"}, true
	case "treasury.credit_reversals.create":
		return tale{objects: "treasury.credit_reversal", of: "received_credit", amount: "amount", done: "processing posted", not: "canceled"}, true
	case "treasury.debit_reversals.create":
		return tale{objects: "treasury.debit_reversal", of: "received_debit", amount: "amount", done: "processing succeeded", not: "failed"}, true
	case "treasury.financial_accounts.close":
		return tale{objects: "treasury.financial_account", of: "id", done: "closed open"}, true
	}
	return tale{}, false
}

// taleOfV2 is taleOf for an operation of /v2, without that.
func taleOfV2(operation string) (t tale, ok bool) {
	const value, currency, out = "amount.value", "amount.currency", "processing posted returned"
	switch operation {
	case "money_management.outbound_payments.create":
		return tale{objects: "v2.money_management.outbound_payment", debited: true, amount: value, currency: currency, payee: "to.recipient",
			done: out, not: "canceled failed"}, true
	case "money_management.outbound_transfers.create":
		return tale{objects: "v2.money_management.outbound_transfer", debited: true, amount: value, currency: currency, payee: "to.payout_method",
			done: out, not: "canceled failed"}, true
	case "money_management.payout_intents.create":
		return tale{objects: "v2.money_management.payout_intent", debited: true, amount: value, currency: currency,
			done: "pending requires_action " + out, not: "canceled"}, true
	case "money_management.payout_intents.update", "money_management.payout_intents.confirm":
		return tale{objects: "v2.money_management.payout_intent", of: "id", debited: true, amount: value, currency: currency,
			done: "pending requires_action " + out, not: "canceled"}, true
	case "money_management.inbound_transfers.create":
		return tale{objects: "v2.money_management.inbound_transfer", amount: value, currency: currency, payee: "to.financial_account"}, true
	case "money_management.currency_conversions.create":
		return tale{objects: "v2.money_management.currency_conversion"}, true
	case "money_management.financial_accounts.close":
		return tale{objects: "v2.money_management.financial_account", of: "id", done: "closed open pending"}, true
	case "payments.off_session_payments.create":
		return tale{objects: "v2.payments.off_session_payment", amount: "amount_requested.value", currency: "amount_requested.currency",
			payee: "transfer_data.destination", done: "pending pending_retry processing requires_capture succeeded", not: "canceled failed"}, true
	case "payments.off_session_payments.capture":
		return tale{objects: "v2.payments.off_session_payment", of: "id", done: "pending processing requires_capture succeeded"}, true
	case "payments.settlement_allocation_intents.submit":
		return tale{objects: "v2.payments.settlement_allocation_intent", of: "id", amount: value, currency: currency,
			done: "pending submitted matched settled", not: "canceled"}, true
	case "billing.intents.commit":
		return tale{objects: "v2.billing.intent", of: "id", done: "committed"}, true
	}
	return tale{}, false
}

// settleBy weighs the object of a successful reply as a tale has it.
func (t *tale) settleBy(in *spend.Intent, object *fact, out spend.Outcome) spend.Outcome {
	field := t.status
	if field == "" {
		field = "status"
	}
	out.Receipt.Status = object.words(field)
	kind, at := object.text("object"), -1
	for i, name := range strings.Fields(t.objects) {
		if name == kind {
			at = i
		}
	}
	if at < 0 || !isID(object.text("id")) || !t.isOn(in, object) {
		return out
	}
	out.Receipt.TransactionID = object.text("id")
	if t.transaction != "" {
		out.Receipt.TransactionID, _ = object.referred(t.transaction) //nolint:errcheck // it may not be there yet
	}
	if out.Receipt.TransactionID == "" {
		out.Receipt.Note = "the reply names no transaction"
	}
	switch {
	case isAmong(t.not, out.Receipt.Status):
		out.Result, out.Why = spend.DidNot, spend.UpstreamFailed
		return out
	case t.done != "" && at == 0 && !isAmong(t.done, out.Receipt.Status):
		return out
	}
	var err error
	if at == 0 && t.amount != "" {
		if out.Receipt.Amount, err = t.moved(in, object, out.Receipt.Status); err != nil {
			out.Receipt.Amount = spend.Amount{}
			return out
		}
	}
	if at == 0 && t.payee != "" {
		if out.Receipt.Payee, err = t.paid(in, object); err != nil {
			out.Receipt.Amount, out.Receipt.Payee = spend.Amount{}, ""
			return out
		}
	}
	out.Result, out.Why, out.Merchant = spend.Happened, "", object.words(t.merchant)
	for _, field := range strings.Fields(t.undoes) {
		if id, err := object.referred(field); err == nil && id != "" {
			out.Undoes = append(out.Undoes, id)
		}
	}
	return out
}

// isOn reports whether an object is of what the call acts on, if it acts on anything
// that the reply names.
func (t *tale) isOn(in *spend.Intent, object *fact) bool {
	if t.of == "" || in.Object == "" {
		return true
	}
	id := in.Object[strings.LastIndexByte(in.Object, '/')+1:]
	names := false // an object
	for _, field := range strings.Fields(t.of) {
		of, err := object.referred(field)
		if err != nil {
			return false
		}
		if of == id {
			return true
		}
		names = names || of != ""
	}
	return !names
}

// moved returns what the object says was moved, the zero Amount where it says none.
// What an invoice has left is what it may still take; once it is paid, it is what
// was paid.
func (t *tale) moved(in *spend.Intent, object *fact, status string) (spend.Amount, error) {
	field, currency, atLeast := t.amount, t.currency, t.atLeast
	if field == "amount_remaining" && status == "paid" {
		field, atLeast = "amount_paid", false
	}
	if currency == "" {
		currency = "currency"
	}
	if of, name := object.at("from.debited.value"); t.debited && of != nil && of.has(name) {
		field, currency = "from.debited.value", "from.debited.currency"
	}
	of, name := object.at(field)
	if of == nil || !of.has(name) {
		return spend.Amount{}, nil
	}
	n, err := of.signed(name)
	if err != nil {
		return spend.Amount{}, err
	}
	unit, ok := parseCurrency(object.words(currency))
	if !ok {
		return spend.Amount{}, fmt.Errorf("read %s of %s: it is not in Stripe's table: %w", currency, object.what(), spend.Unavailable)
	}
	amount := spend.NewAmount(unit, max(n, -n)) // what a customer is given is below zero
	if !atLeast {
		return amount, nil
	}
	for i := range in.Legs {
		if judged := in.Legs[i].Amount; len(in.Legs) == 1 && judged.Unit() == unit && amount.Fits(judged) {
			return judged, nil
		}
	}
	return amount, nil
}

// paid returns who the object says is paid. Where the call named somebody by another
// kind of name, such as the numbers of a bank account or a customer for an instrument,
// the two cannot be held against each other, and it is "".
func (t *tale) paid(in *spend.Intent, object *fact) (string, error) {
	if strings.HasSuffix(t.payee, "network_id") { // the card network's word, which is no id of Stripe's
		return object.words(t.payee), nil
	}
	payee, err := object.referred(t.payee)
	if len(in.Legs) == 1 && in.Legs[0].Payee != "" && kindOf(in.Legs[0].Payee) != kindOf(payee) {
		return "", err
	}
	return payee, err
}

// kindOf returns what the ids of one kind of object begin with: "acct" of "acct_1".
func kindOf(id string) string {
	kind, _, _ := strings.Cut(id, "_")
	return kind
}

func isAmong(words, word string) bool {
	for rest := words; rest != ""; {
		var w string
		if w, rest, _ = strings.Cut(rest, " "); w == word {
			return true
		}
	}
	return false
}

// at returns the object in which the last name of a path stands, nil where there is
// none, and that name.
func (o *fact) at(path string) (*fact, string) {
	for {
		first, rest, nested := strings.Cut(path, ".")
		if !nested {
			return o, path
		}
		in, err := objectOf(o.get(first))
		if err != nil {
			return nil, ""
		}
		o, path = in, rest
	}
}

// words returns a text or a word such as true at a path, "" where there is none.
func (o *fact) words(path string) string {
	in, name := o.at(path)
	if in == nil || !in.has(name) {
		return ""
	}
	if v := in.members.value(name); string(v) == "true" || string(v) == "false" {
		return string(v)
	}
	return in.text(name)
}

// referred is reference for a path; "" where it leads nowhere.
func (o *fact) referred(path string) (string, error) {
	in, name := o.at(path)
	if in == nil {
		return "", nil
	}
	return in.reference(name)
}
