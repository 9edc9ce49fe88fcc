package stripe

import (
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// taleCase is a spend, what Stripe answers to it, and what that proves. object is the
// answer without its braces; an event, if there is one, is told of the same object.
type taleCase struct {
	operation, on, leg, payee string
	object                    string
	want                      spend.Result
	amount, paid, transaction string
	event                     string
	eventObject               string // where it is not the answer's; its receipt then states no amount
}

func tales() map[string]taleCase {
	const (
		session = `"id":"cs_1","object":"checkout.session","currency":"usd","status":"open","amount_total":`
		invoice = `"id":"in_1","object":"invoice","currency":"usd","amount_due":900,"customer":"cus_1",`
		sub     = `"id":"sub_1","object":"subscription","currency":"usd","customer":"cus_1","status":`
		fa      = `"financial_account":"fa_1","currency":"usd","amount":500,`
		reader  = `"id":"tmr_1","object":"terminal.reader","status":"online","action":`
		dispute = `"id":"dp_1","object":"dispute","amount":700,"currency":"usd","charge":"ch_1","status":`
		unpaid  = spend.Uncertain
	)
	return map[string]taleCase{
		"a session asks for what it was judged at, and no less":  {operation: "checkout.sessions.create", leg: "9900 USD", object: session + `2000`, want: spend.Happened, amount: "9900 USD", transaction: "cs_1"},
		"a session asks for more, with tax":                      {operation: "checkout.sessions.create", leg: "2000 USD", object: session + `2380`, want: spend.Happened, amount: "2380 USD", transaction: "cs_1"},
		"a session asks in another currency":                     {operation: "checkout.sessions.create", leg: "2000 EUR", object: session + `2000`, want: spend.Happened, amount: "2000 USD", transaction: "cs_1"},
		"a session that says no total":                           {operation: "checkout.sessions.create", leg: "2000 USD", object: session + `null`, want: spend.Happened, transaction: "cs_1"},
		"a session that has expired":                             {operation: "checkout.sessions.create", leg: "2000 USD", object: strings.Replace(session, "open", "expired", 1) + `2000`, want: spend.DidNot, transaction: "cs_1"},
		"a session of tomorrow":                                  {operation: "checkout.sessions.create", leg: "2000 USD", object: strings.Replace(session, "open", "asleep", 1) + `2000`, want: unpaid, transaction: "cs_1"},
		"a session with a total of letters":                      {operation: "checkout.sessions.create", leg: "2000 USD", object: session + `"2000"`, want: unpaid, transaction: "cs_1"},
		"another session":                                        {operation: "checkout.sessions.update", on: "checkout/sessions/cs_2", leg: "2000 USD", object: session + `2000`, want: unpaid},
		"another object":                                         {operation: "checkout.sessions.create", leg: "2000 USD", object: `"id":"pi_1","object":"payment_intent"`, want: unpaid},
		"an object without an id":                                {operation: "checkout.sessions.create", leg: "2000 USD", object: strings.Replace(session, "cs_1", "", 1) + `2000`, want: unpaid},
		"a link states no amount":                                {operation: "payment_links.create", leg: "2000 USD", payee: "acct_9", object: `"id":"plink_1","object":"payment_link","transfer_data":{"destination":"acct_9"}`, want: spend.Happened, paid: "acct_9", transaction: "plink_1", event: "payment_link.created"},
		"a link for nobody else":                                 {operation: "payment_links.update", on: "payment_links/plink_1", leg: "2000 USD", object: `"id":"plink_1","object":"payment_link","transfer_data":null`, want: spend.Happened, transaction: "plink_1", event: "payment_link.updated"},
		"carbon":                                                 {operation: "climate.orders.create", leg: "500 USD", object: `"id":"climorder_1","object":"climate.order","amount_total":505,"currency":"usd","status":"open"`, want: spend.Happened, amount: "505 USD", transaction: "climorder_1", event: "climate.order.created"},
		"a token":                                                {operation: "shared_payment.issued_tokens.create", leg: "500 USD", object: `"id":"sharedpaymentissuedtoken_1","object":"shared_payment.issued_token","status":"active","usage_limits":{"max_amount":400,"currency":"usd"}`, want: spend.Happened, amount: "400 USD", transaction: "sharedpaymentissuedtoken_1"},
		"a reader that begins":                                   {operation: "terminal.readers.process_payment_intent", on: "payment_intents/pi_1", leg: "500 USD", object: reader + `{"type":"process_payment_intent","status":"in_progress","process_payment_intent":{"payment_intent":"pi_1"}}`, want: spend.Happened, transaction: "pi_1"},
		"a reader that has failed may have asked first":          {operation: "terminal.readers.process_payment_intent", on: "payment_intents/pi_1", leg: "500 USD", object: reader + `{"status":"failed","process_payment_intent":{"payment_intent":"pi_1"}}`, want: unpaid, transaction: "pi_1"},
		"a reader with another payment":                          {operation: "terminal.readers.process_payment_intent", on: "payment_intents/pi_1", leg: "500 USD", object: reader + `{"status":"in_progress","process_payment_intent":{"payment_intent":{"id":"pi_2","object":"payment_intent"}}}`, want: unpaid},
		"a reader that does nothing":                             {operation: "terminal.readers.process_payment_intent", on: "payment_intents/pi_1", leg: "500 USD", object: reader + `null`, want: unpaid},
		"a reader that refunds a charge":                         {operation: "terminal.readers.refund_payment", on: "charges/ch_1", leg: "500 USD", object: reader + `{"status":"succeeded","refund_payment":{"charge":"ch_1","payment_intent":"pi_1","refund":"re_1"}}`, want: spend.Happened, transaction: "re_1"},
		"a reader that refunds a payment, soon":                  {operation: "terminal.readers.refund_payment", on: "payment_intents/pi_1", leg: "500 USD", object: reader + `{"status":"in_progress","refund_payment":{"charge":"ch_1","payment_intent":"pi_1"}}`, want: spend.Happened},
		"an invoice that is paid":                                {operation: "invoices.pay", on: "invoices/in_1", leg: "900 USD", object: invoice + `"status":"paid","amount_paid":900,"amount_remaining":0`, want: spend.Happened, amount: "900 USD", transaction: "in_1", event: "invoice.paid"},
		"an invoice that may still be paid":                      {operation: "invoices.pay", on: "invoices/in_1", leg: "900 USD", object: invoice + `"status":"open","amount_paid":0,"amount_remaining":900`, want: spend.Happened, amount: "900 USD", transaction: "in_1"},
		"an invoice that took more":                              {operation: "invoices.pay", on: "invoices/in_1", leg: "800 USD", object: invoice + `"status":"paid","amount_paid":900,"amount_remaining":0`, want: spend.Happened, amount: "900 USD", transaction: "in_1"},
		"an invoice that is void proves nothing":                 {operation: "invoices.pay", on: "invoices/in_1", leg: "900 USD", object: invoice + `"status":"void","amount_paid":0,"amount_remaining":900`, want: unpaid, transaction: "in_1"},
		"another invoice":                                        {operation: "invoices.pay", on: "invoices/in_2", leg: "900 USD", object: invoice + `"status":"paid","amount_paid":900,"amount_remaining":0`, want: unpaid},
		"a draft may grow to what was judged":                    {operation: "invoices.create", on: "customers/cus_1", leg: "900 USD", object: invoice + `"status":"draft","amount_paid":0,"amount_remaining":100`, want: spend.Happened, amount: "900 USD", transaction: "in_1", event: "invoice.created"},
		"an invoice that is sent":                                {operation: "invoices.send", on: "invoices/in_1", leg: "900 USD", object: invoice + `"status":"open","amount_paid":0,"amount_remaining":900`, want: spend.Happened, amount: "900 USD", transaction: "in_1", event: "invoice.sent"},
		"an item":                                                {operation: "invoiceitems.create", on: "customers/cus_1", leg: "900 USD", object: `"id":"ii_1","object":"invoiceitem","amount":900,"currency":"usd"`, want: spend.Happened, amount: "900 USD", transaction: "ii_1", event: "invoiceitem.created"},
		"a subscription":                                         {operation: "subscriptions.create", on: "customers/cus_1", leg: "900 USD", object: sub + `"incomplete"`, want: spend.Happened, transaction: "sub_1", event: "customer.subscription.created"},
		"a subscription that came to nothing":                    {operation: "subscriptions.create", on: "customers/cus_1", leg: "900 USD", object: sub + `"incomplete_expired"`, want: spend.DidNot, transaction: "sub_1"},
		"a subscription that is changed":                         {operation: "subscriptions.update", on: "subscriptions/sub_1", leg: "900 USD", object: sub + `"active"`, want: spend.Happened, transaction: "sub_1", event: "customer.subscription.updated"},
		"a subscription by its customer":                         {operation: "customers.subscription.update", on: "customers/cus_1", leg: "900 USD", object: sub + `"active"`, want: spend.Happened, transaction: "sub_1"},
		"a subscription of another customer":                     {operation: "customers.subscription.update", on: "customers/cus_2", leg: "900 USD", object: sub + `"active"`, want: unpaid},
		"a subscription's item":                                  {operation: "subscription_items.create", on: "subscriptions/sub_1", leg: "900 USD", object: `"id":"si_1","object":"subscription_item","subscription":"sub_1"`, want: spend.Happened, transaction: "si_1", event: "customer.subscription.updated", eventObject: sub + `"active"`},
		"a schedule":                                             {operation: "subscription_schedules.create", leg: "900 USD", object: `"id":"sub_sched_1","object":"subscription_schedule","status":"not_started"`, want: spend.Happened, transaction: "sub_sched_1", event: "subscription_schedule.created"},
		"a quote":                                                {operation: "quotes.accept", on: "quotes/qt_1", leg: "900 USD", object: `"id":"qt_1","object":"quote","status":"accepted","amount_total":300,"currency":"usd"`, want: spend.Happened, amount: "900 USD", transaction: "qt_1", event: "quote.accepted"},
		"a credit note":                                          {operation: "credit_notes.create", on: "invoices/in_1", leg: "900 USD", object: `"id":"cn_1","object":"credit_note","status":"issued","amount":800,"currency":"usd","invoice":"in_1"`, want: spend.Happened, amount: "800 USD", transaction: "cn_1", event: "credit_note.created"},
		"a credit note on another invoice":                       {operation: "credit_notes.create", on: "invoices/in_1", leg: "900 USD", object: `"id":"cn_1","object":"credit_note","status":"issued","amount":800,"currency":"usd","invoice":"in_2"`, want: unpaid},
		"a customer":                                             {operation: "customers.update", on: "customers/cus_1", leg: "900 USD", object: `"id":"cus_1","object":"customer","balance":-900,"currency":"usd"`, want: spend.Happened, transaction: "cus_1", event: "customer.updated"},
		"a credit on a balance":                                  {operation: "customers.balance_transactions.create", on: "customers/cus_1", leg: "900 USD", object: `"id":"cbtxn_1","object":"customer_balance_transaction","amount":-900,"currency":"usd","customer":"cus_1"`, want: spend.Happened, amount: "900 USD", transaction: "cbtxn_1"},
		"a grant of credit":                                      {operation: "billing.credit_grants.create", leg: "900 USD", payee: "cus_1", object: `"id":"credgr_1","object":"billing.credit_grant","amount":{"type":"monetary","monetary":{"value":900,"currency":"usd"}},"customer":"cus_1"`, want: spend.Happened, amount: "900 USD", paid: "cus_1", transaction: "credgr_1", event: "billing.credit_grant.created"},
		"a fee given back":                                       {operation: "application_fees.refunds.create", on: "application_fees/fee_1", leg: "90 USD", object: `"id":"fr_1","object":"fee_refund","amount":90,"currency":"usd","fee":"fee_1"`, want: spend.Happened, amount: "90 USD", transaction: "fr_1", event: "application_fee.refunded", eventObject: `"id":"fee_1","object":"application_fee","amount":900,"amount_refunded":90,"currency":"usd"`},
		"a fee given back, by its alias":                         {operation: "application_fees.refunds.create", on: "application_fees/fee_1", leg: "90 USD", object: `"id":"fee_1","object":"application_fee","amount":900,"amount_refunded":90,"currency":"usd"`, want: spend.Happened, transaction: "fee_1"},
		"another fee":                                            {operation: "application_fees.refunds.create", on: "application_fees/fee_1", leg: "90 USD", object: `"id":"fr_1","object":"fee_refund","amount":90,"currency":"usd","fee":"fee_2"`, want: unpaid},
		"a transfer fetched back":                                {operation: "transfers.reversals.create", on: "transfers/tr_1", leg: "90 USD", object: `"id":"trr_1","object":"transfer_reversal","amount":90,"currency":"usd","transfer":"tr_1"`, want: spend.Happened, amount: "90 USD", transaction: "trr_1", event: "transfer.reversed", eventObject: `"id":"tr_1","object":"transfer","amount":900,"amount_reversed":90,"currency":"usd"`},
		"a dispute that is given up":                             {operation: "disputes.close", on: "disputes/dp_1", leg: "700 USD", object: dispute + `"lost"`, want: spend.Happened, amount: "700 USD", transaction: "dp_1", event: "charge.dispute.closed"},
		"a dispute by its charge":                                {operation: "disputes.close", on: "charges/ch_1", leg: "700 USD", object: dispute + `"lost"`, want: spend.Happened, amount: "700 USD", transaction: "dp_1"},
		"a dispute that goes on":                                 {operation: "disputes.close", on: "disputes/dp_1", leg: "700 USD", object: dispute + `"under_review"`, want: unpaid, transaction: "dp_1"},
		"a payout fetched back":                                  {operation: "payouts.reverse", on: "payouts/po_1", leg: "60 USD", object: `"id":"po_2","object":"payout","amount":-60,"currency":"usd","original_payout":"po_1","status":"pending"`, want: spend.Happened, amount: "60 USD", transaction: "po_2"},
		"money from the bank":                                    {operation: "topups.create", leg: "60 USD", object: `"id":"tu_1","object":"topup","amount":60,"currency":"usd","status":"pending"`, want: spend.Happened, amount: "60 USD", transaction: "tu_1", event: "topup.created"},
		"money that did not come":                                {operation: "topups.create", leg: "60 USD", object: `"id":"tu_1","object":"topup","amount":60,"currency":"usd","status":"failed"`, want: spend.DidNot, transaction: "tu_1", event: "topup.failed"},
		"a card at its merchant":                                 {operation: "issuing.authorizations.approve", on: "issuing/authorizations/iauth_1", leg: "60 USD", payee: "1234567890", object: `"id":"iauth_1","object":"issuing.authorization","amount":60,"currency":"usd","status":"pending","approved":true,"merchant_data":{"network_id":"1234567890"}`, want: spend.Happened, amount: "60 USD", paid: "1234567890", transaction: "iauth_1", event: "issuing_authorization.updated"},
		"a card that is not approved after all proves nothing":   {operation: "issuing.authorizations.approve", on: "issuing/authorizations/iauth_1", leg: "60 USD", object: `"id":"iauth_1","object":"issuing.authorization","amount":0,"currency":"usd","status":"closed","approved":false`, want: unpaid, transaction: "iauth_1"},
		"a payment out":                                          {operation: "treasury.outbound_payments.create", on: "treasury/financial_accounts/fa_1", leg: "500 USD", payee: "pm_1", object: fa + `"id":"obp_1","object":"treasury.outbound_payment","status":"processing","destination_payment_method":"pm_1"`, want: spend.Happened, amount: "500 USD", paid: "pm_1", transaction: "obp_1", event: "treasury.outbound_payment.created"},
		"a payment out that failed":                              {operation: "treasury.outbound_payments.create", on: "treasury/financial_accounts/fa_1", leg: "500 USD", object: fa + `"id":"obp_1","object":"treasury.outbound_payment","status":"failed"`, want: spend.DidNot, transaction: "obp_1", event: "treasury.outbound_payment.created"},
		"a payment out of another account":                       {operation: "treasury.outbound_payments.create", on: "treasury/financial_accounts/fa_2", leg: "500 USD", object: fa + `"id":"obp_1","object":"treasury.outbound_payment","status":"processing"`, want: unpaid},
		"a transfer in":                                          {operation: "treasury.inbound_transfers.create", on: "treasury/financial_accounts/fa_1", leg: "500 USD", payee: "fa_1", object: fa + `"id":"ibt_1","object":"treasury.inbound_transfer","status":"processing"`, want: spend.Happened, amount: "500 USD", paid: "fa_1", transaction: "ibt_1", event: "treasury.inbound_transfer.created"},
		"a transfer out":                                         {operation: "treasury.outbound_transfers.create", on: "treasury/financial_accounts/fa_1", leg: "500 USD", object: fa + `"id":"obt_1","object":"treasury.outbound_transfer","status":"posted","destination_payment_method":null`, want: spend.Happened, amount: "500 USD", transaction: "obt_1", event: "treasury.outbound_transfer.created"},
		"a credit that is sent back":                             {operation: "treasury.credit_reversals.create", on: "treasury/received_credits/rc_1", leg: "500 USD", object: fa + `"id":"credrev_1","object":"treasury.credit_reversal","received_credit":"rc_1","status":"processing"`, want: spend.Happened, amount: "500 USD", transaction: "credrev_1", event: "treasury.credit_reversal.created"},
		"a debit that is fetched":                                {operation: "treasury.debit_reversals.create", on: "treasury/received_debits/rd_1", leg: "500 USD", object: fa + `"id":"debrev_1","object":"treasury.debit_reversal","received_debit":"rd_1","status":"failed"`, want: spend.DidNot, transaction: "debrev_1", event: "treasury.debit_reversal.created"},
		"an account that is closed":                              {operation: "treasury.financial_accounts.close", on: "treasury/financial_accounts/fa_1", leg: "500 USD", object: `"id":"fa_1","object":"treasury.financial_account","status":"closed","balance":{"cash":{"usd":0}}`, want: spend.Happened, transaction: "fa_1", event: "treasury.financial_account.closed"},
		"a payment of /v2":                                       {operation: "v2.money_management.outbound_payments.create", leg: "500 USD", payee: "acct_4", object: `"id":"obp_1","object":"v2.money_management.outbound_payment","amount":{"value":500,"currency":"usd"},"to":{"recipient":"acct_4"},"status":"processing"`, want: spend.Happened, amount: "500 USD", paid: "acct_4", transaction: "obp_1"},
		"a payment of /v2 in another currency":                   {operation: "v2.money_management.outbound_payments.create", leg: "500 USD", payee: "acct_4", object: `"id":"obp_1","object":"v2.money_management.outbound_payment","amount":{"value":460,"currency":"eur"},"from":{"debited":{"value":501,"currency":"usd"}},"to":{"recipient":"acct_4"},"status":"processing"`, want: spend.Happened, amount: "501 USD", paid: "acct_4", transaction: "obp_1"},
		"a payout in another currency, not debited yet":          {operation: "v2.money_management.payout_intents.create", leg: "500 USD", object: `"id":"poi_1","object":"v2.money_management.payout_intent","amount":{"value":500,"currency":"usd"},"from":{"currency":"usd"},"status":"pending"`, want: spend.Happened, amount: "500 USD", transaction: "poi_1"},
		"a payment of /v2 that failed":                           {operation: "v2.money_management.outbound_payments.create", leg: "500 USD", object: `"id":"obp_1","object":"v2.money_management.outbound_payment","amount":{"value":500,"currency":"usd"},"status":"failed"`, want: spend.DidNot, transaction: "obp_1"},
		"a payment of /v2 that may still be taken":               {operation: "v2.payments.off_session_payments.create", leg: "500 USD", object: `"id":"osp_1","object":"v2.payments.off_session_payment","amount_requested":{"value":500,"currency":"usd"},"status":"pending_retry"`, want: spend.Happened, amount: "500 USD", transaction: "osp_1"},
		"what the spec does not describe has happened, no more":  {operation: "v2.billing.rate_card_subscriptions.create", leg: "500 USD", object: `"id":"rcs_1","object":"v2.billing.rate_card_subscription"`, want: spend.Happened},
		"an order":                                               {operation: "orders.submit", on: "orders/order_1", leg: "500 USD", object: `"id":"order_1","object":"order","status":"processing","amount_total":500,"currency":"usd"`, want: spend.Happened, amount: "500 USD", transaction: "order_1"},
		"what a seller asks of a buyer":                          {operation: "delegated_checkout.requested_sessions.confirm", on: "delegated_checkout/requested_sessions/rs_1", leg: "500 USD", object: `"id":"rs_1","object":"delegated_checkout.requested_session","status":"completed","amount_total":500,"currency":"usd"`, want: spend.Happened, amount: "500 USD", transaction: "rs_1"},
		"a credit that a payment intent gets, and more to come":  {operation: "payment_intents.apply_customer_balance", on: "payment_intents/pi_1", leg: "5 USD", object: `"id":"pi_1","object":"payment_intent","status":"requires_payment_method","amount":500,"currency":"usd"`, want: spend.Happened, amount: "5 USD", transaction: "pi_1"},
		"from one balance to another":                            {operation: "balance_transfers.create", leg: "5 USD", object: `"id":"btr_1","object":"balance_transfer","amount":5,"currency":"usd"`, want: spend.Happened, amount: "5 USD", transaction: "btr_1"},
		"a payment intent whose bank account has become certain": {operation: "payment_intents.verify_microdeposits", on: "payment_intents/pi_1", leg: "500 USD", object: `"id":"pi_1","object":"payment_intent","status":"processing","amount":500,"currency":"usd"`, want: spend.Happened, amount: "500 USD", transaction: "pi_1", event: "payment_intent.processing"},
	}
}

func TestTheReplyToASpendIsItsReceipt(t *testing.T) {
	for name, c := range tales() {
		t.Run(name, func(t *testing.T) {
			in := judged(t, c.operation, c.on, c.leg)
			in.Legs[0].Payee = c.payee
			o := New(Options{}).Outcome(in, &rails.Reply{Status: 200, Body: []byte("{" + c.object + "}")})
			r := o.Receipt
			if o.Result != c.want || r.Amount.String() != c.amount || r.Payee != c.paid || r.TransactionID != c.transaction {
				t.Errorf("%s with %q to %q by %q; want %s with %q to %q by %q", o.Result, r.Amount, r.Payee, r.TransactionID, c.want, c.amount, c.paid, c.transaction)
			}
			if (o.Why == "") != (c.want == spend.Happened) {
				t.Errorf("%s because of %q", o.Result, o.Why)
			}
		})
	}
}

// What an event tells afterwards is what the reply would have said.
func TestTheEventOfASpendIsItsReceipt(t *testing.T) {
	for name, c := range tales() {
		if c.event == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			in := judged(t, c.operation, c.on, c.leg)
			in.Legs[0].Payee = c.payee
			amount, object := c.amount, c.object
			if c.eventObject != "" {
				amount, object = "", c.eventObject
			}
			s := rails.Sent{Intent: in, Key: "outgo_1", Began: began}
			find := func(key string) spend.Outcome {
				o, facts, err := traceAt(t, s, func(target string) rails.Reply {
					if !strings.Contains(target, "types[]="+c.event) {
						t.Errorf("it asks for %s", target)
					}
					return events(false, event("evt_1", c.event, key, "{"+object+"}"))
				})
				if err != nil || len(facts) != 1 {
					t.Fatalf("%+v, %v by %d reads", o, err, len(facts))
				}
				return o
			}
			if o := find("outgo_2"); o.Result != spend.Uncertain {
				t.Errorf("another call's event proves %+v", o)
			}
			o := find("outgo_1")
			if c.want == spend.DidNot {
				amount = ""
			}
			if o.Result != c.want || o.Receipt.Amount.String() != amount || o.Receipt.Source != spend.FromProvider || o.Receipt.TransactionID == "" {
				t.Errorf("%s with %+v, want %s with %q", o.Result, o.Receipt, c.want, amount)
			}
		})
	}
}

// An invoice that could not be paid was not, whatever is tried again later.
func TestAnInvoiceWhosePaymentFailedWasNotPaid(t *testing.T) {
	in := judged(t, "invoices.pay", "invoices/in_1", "900 USD")
	open := `{"id":"in_1","object":"invoice","currency":"usd","status":"open","amount_paid":0,"amount_remaining":900}`
	paid := `{"id":"in_1","object":"invoice","currency":"usd","status":"paid","amount_paid":900,"amount_remaining":0}`
	s := rails.Sent{Intent: in, Key: "outgo_1", Began: began}
	failed := event("evt_1", "invoice.payment_failed", "outgo_1", open)
	if o, _, err := traceAt(t, s, func(string) rails.Reply { return events(false, failed) }); err != nil || o.Result != spend.DidNot || !o.Receipt.Amount.IsZero() {
		t.Errorf("it is %+v, %v; want that nothing was paid", o, err)
	}
	for body, want := range map[string]spend.Result{open: spend.Uncertain, paid: spend.Happened, strings.Replace(paid, "900", "901", 1): spend.Uncertain} {
		o, facts, err := traceAt(t, s, func(target string) rails.Reply {
			if target == "/v1/invoices/in_1" {
				return rails.Reply{Status: 200, Body: []byte(body)}
			}
			return rails.Reply{Status: 403, Body: []byte(`{"error":{"type":"invalid_request_error"}}`)}
		})
		if err != nil || len(facts) != 2 || o.Result != want {
			t.Errorf("without its events, %s is %+v, %v; want %s", body, o, err, want)
		}
	}
	both := events(false, event("evt_2", "invoice.paid", "outgo_1", paid), failed)
	if o, _, err := traceAt(t, s, func(string) rails.Reply { return both }); err != nil || o.Result != spend.Happened {
		t.Errorf("paid after all, it is %+v, %v", o, err)
	}
}

// Every spend that the table can judge has a receipt, and every receipt a spend.
func TestEverySpendHasAReceipt(t *testing.T) {
	blind := map[string]bool{ // of class Unrecognised, or not described in any SDK
		"forwarding.requests.create": true, "terminal.refunds.create": true, "v2.core.batch_jobs.create": true, "v2.extend.workflows.invoke": true,
		"v2.billing.rate_card_subscriptions.create": true, "v2.billing.rate_card_subscriptions.cancel": true,
	}
	payments := map[string]bool{"transfers.create": true, "payouts.create": true}
	for i := range listings {
		l := &listings[i]
		if l.class != spend.Spend || blind[l.name] || payments[l.name] {
			continue
		}
		collection, _, _ := strings.Cut(l.name, ".")
		if _, ok := taleOf(l.name); !ok && collection != "payment_intents" && collection != "charges" && collection != "refunds" {
			t.Errorf("nothing is known of what %s answers with", l.name)
		}
	}
	for name := range blind {
		if _, ok := taleOf(name); ok {
			t.Errorf("%s is said to be blind, and has a receipt", name)
		}
	}
}

// What Stripe posts later ends what was under way.
func TestALaterEventEndsASpend(t *testing.T) {
	const invoice = `{"id":"in_1","object":"invoice","currency":"usd","status":`
	const payment = `{"id":"obp_1","object":"treasury.outbound_payment","currency":"usd","amount":500,"financial_account":"fa_1","status":`
	for name, c := range map[string]struct {
		operation, on, event, object string
		want                         spend.Result
		amount                       string
	}{
		"an invoice whose payment failed":     {"invoices.pay", "invoices/in_1", "invoice.payment_failed", invoice + `"open","amount_remaining":500,"amount_paid":0}`, spend.DidNot, ""},
		"an invoice that advanced by itself":  {"invoices.create", "customers/cus_1", "invoice.paid", invoice + `"paid","amount_remaining":0,"amount_paid":400}`, spend.Happened, "400 USD"},
		"a payment that was posted":           {"treasury.outbound_payments.create", "treasury/financial_accounts/fa_1", "treasury.outbound_payment.posted", payment + `"posted"}`, spend.Happened, "500 USD"},
		"a payment that failed":               {"treasury.outbound_payments.create", "treasury/financial_accounts/fa_1", "treasury.outbound_payment.failed", payment + `"failed"}`, spend.DidNot, ""},
		"a payment out of another account":    {"treasury.outbound_payments.create", "treasury/financial_accounts/fa_2", "treasury.outbound_payment.failed", payment + `"failed"}`, spend.Uncertain, ""},
		"an event that says nothing of a pay": {"invoices.pay", "invoices/in_1", "invoice.updated", invoice + `"open","amount_remaining":500,"amount_paid":0}`, spend.Uncertain, ""},
	} {
		t.Run(name, func(t *testing.T) {
			object, err := parseObject([]byte(c.object))
			if err != nil {
				t.Fatal(err)
			}
			o := weigh(judged(t, c.operation, c.on, "500 USD"), c.event, object, spend.Receipt{Source: spend.FromProvider})
			if o.Result != c.want || o.Receipt.Amount.String() != c.amount {
				t.Errorf("%s with %q, want %s with %q", o.Result, o.Receipt.Amount, c.want, c.amount)
			}
		})
	}
}

func TestAReplyNamesTheMerchantAndWhatIsUndone(t *testing.T) {
	r := New(Options{})
	card := judged(t, "issuing.authorizations.approve", "issuing/authorizations/iauth_1", "60 USD")
	o := r.Outcome(card, &rails.Reply{Status: 200, Body: []byte(`{"id":"iauth_1","object":"issuing.authorization","amount":60,"currency":"usd","approved":true,"merchant_data":{"name":"Shop","network_id":"12"}}`)})
	if o.Result != spend.Happened || o.Merchant != "Shop" || o.Receipt.Payee != "12" {
		t.Errorf("a card's merchant is %+v", o)
	}
	dispute := judged(t, "disputes.close", "disputes/dp_1", "60 USD")
	o = r.Outcome(dispute, &rails.Reply{Status: 200, Body: []byte(`{"id":"dp_1","object":"dispute","amount":60,"currency":"usd","status":"lost","charge":"ch_1","payment_intent":{"id":"pi_1","object":"payment_intent"}}`)})
	if o.Result != spend.Happened || strings.Join(o.Undoes, " ") != "pi_1 ch_1" {
		t.Errorf("a dispute undoes %+v", o)
	}
	out := judged(t, "treasury.outbound_payments.create", "treasury/financial_accounts/fa_1", "5 USD")
	out.Legs[0].Payee = "cus_1" // whose default it goes to
	o = r.Outcome(out, &rails.Reply{Status: 200, Body: []byte(`{"id":"obp_1","object":"treasury.outbound_payment","amount":5,"currency":"usd","status":"processing","destination_payment_method":"pm_1","financial_account":"fa_1"}`)})
	if o.Result != spend.Happened || o.Receipt.Payee != "" {
		t.Errorf("a customer's instrument is taken for another payee: %+v", o)
	}
}

func TestACapabilityThatWasGivenHasHappened(t *testing.T) {
	in := &spend.Intent{Class: spend.Capability, Operation: "issuing.cards.create"}
	r := New(Options{})
	o := r.Outcome(in, &rails.Reply{Status: 200, Body: []byte(`{"id":"ic_1","object":"issuing.card","status":"active"}`)})
	if o.Result != spend.Happened || o.Why != "" || !o.Receipt.Amount.IsZero() || o.Receipt.TransactionID != "ic_1" {
		t.Errorf("a card that was made is %+v", o)
	}
	o = r.Outcome(in, &rails.Reply{Status: 400, Body: []byte(`{"error":{"type":"invalid_request_error"}}`)})
	if o.Result != spend.DidNot {
		t.Errorf("a card that was refused is %+v", o)
	}
}
