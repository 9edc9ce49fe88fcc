package stripe

import "strings"

// eventsOf names the events that tell how a call of the operation ended; none for
// an operation that is not traced. A checkout session's are not among them: what
// they tell is what its payer did.
func eventsOf(operation string) []string {
	switch operation {
	case "payment_intents.create", "payment_intents.confirm", "payment_intents.capture", "payment_intents.increment_authorization",
		"payment_intents.verify_microdeposits", "payment_intents.apply_customer_balance":
		return []string{
			"payment_intent.succeeded", "payment_intent.processing", "payment_intent.requires_action",
			"payment_intent.amount_capturable_updated", "payment_intent.payment_failed",
		}
	case "charges.create":
		return []string{"charge.succeeded", "charge.pending", "charge.failed"}
	case "charges.capture":
		return []string{"charge.captured"}
	case "disputes.close":
		return []string{"charge.dispute.closed"}
	case "issuing.authorizations.approve":
		return []string{"issuing_authorization.updated"}
	case "application_fees.refunds.create":
		return []string{"application_fee.refunded"}
	case "climate.orders.create":
		return []string{"climate.order.created"}
	}
	if events := eventsOfBilling(operation); events != nil {
		return events
	}
	return eventsOfBalances(operation)
}

func eventsOfBilling(operation string) []string {
	switch operation {
	case "invoices.create":
		return []string{"invoice.created"}
	case "invoices.update":
		return []string{"invoice.updated"}
	case "invoices.finalize":
		return []string{"invoice.finalized"}
	case "invoices.send":
		return []string{"invoice.sent"}
	case "invoices.pay":
		return []string{"invoice.paid", "invoice.payment_failed"}
	case "invoiceitems.create":
		return []string{"invoiceitem.created"}
	case "subscriptions.create":
		return []string{"customer.subscription.created"}
	case "subscriptions.cancel":
		return []string{"customer.subscription.deleted", "customer.subscription.updated"}
	case "subscriptions.pause":
		return []string{"customer.subscription.paused"}
	case "subscriptions.resume":
		return []string{"customer.subscription.resumed", "customer.subscription.updated"}
	case "subscriptions.update", "subscription_items.create", "subscription_items.update", "subscription_items.delete":
		return []string{"customer.subscription.updated"}
	case "subscription_schedules.create":
		return []string{"subscription_schedule.created"}
	case "subscription_schedules.update", "subscription_schedules.amend":
		return []string{"subscription_schedule.updated"}
	case "subscription_schedules.release":
		return []string{"subscription_schedule.released"}
	case "subscription_schedules.cancel":
		return []string{"subscription_schedule.canceled"}
	case "quotes.accept":
		return []string{"quote.accepted"}
	case "credit_notes.create":
		return []string{"credit_note.created"}
	case "customers.create":
		return []string{"customer.created"}
	case "customers.update":
		return []string{"customer.updated"}
	case "billing.credit_grants.create":
		return []string{"billing.credit_grant.created"}
	case "payment_links.create":
		return []string{"payment_link.created"}
	case "payment_links.update":
		return []string{"payment_link.updated"}
	}
	return nil
}

func eventsOfBalances(operation string) []string {
	switch operation {
	case "refunds.create":
		return []string{"refund.created"}
	case "transfers.create":
		return []string{"transfer.created"}
	case "transfers.reversals.create":
		return []string{"transfer.reversed"}
	case "payouts.create":
		return []string{"payout.created"}
	case "topups.create":
		return []string{"topup.created", "topup.succeeded", "topup.failed"}
	case "treasury.inbound_transfers.create", "treasury.outbound_payments.create", "treasury.outbound_transfers.create",
		"treasury.credit_reversals.create", "treasury.debit_reversals.create":
		noun := strings.TrimSuffix(operation, "s.create")
		return []string{noun + ".created"}
	case "treasury.financial_accounts.close":
		return []string{"treasury.financial_account.closed"}
	}
	return nil
}

// hasFailed reports whether an event says that its call took nothing. Where Stripe
// tries again by itself, it says so with the payment, and not with this one.
func hasFailed(event, status string) bool {
	return event == "payment_intent.payment_failed" && status == "requires_payment_method" ||
		event == "invoice.payment_failed" && status == "open"
}
