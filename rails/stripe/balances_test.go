package stripe

import (
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

func TestABalanceThatChangesIsCreditOrACharge(t *testing.T) {
	const path, object = "/v1/customers/cus_1", "customers/cus_1"
	at := func(balance, currency string) map[string]string {
		return map[string]string{
			"/v1/customers/cus_1": `{"id":"cus_1","object":"customer","balance":` + balance + `,"currency":` + currency + `}`,
			"/v1/account":         `{"id":"acct_1","object":"account","default_currency":"eur"}`,
		}
	}
	runSales(t, map[string]saleCase{
		"credit is an allowance of the difference":      {path: path, body: "balance=-5000&email=a%40b.example", replies: at("-1000", `"usd"`), legs: "allowance 4000 USD to cus_1", object: object, lookups: 1},
		"a debt that is forgiven, too":                  {path: path, body: "balance=0", replies: at("700", `"usd"`), legs: "allowance 700 USD to cus_1", object: object, lookups: 1},
		"from debt to credit":                           {path: path, body: "balance=-300", replies: at("700", `"jpy"`), legs: "allowance 1000 JPY to cus_1", object: object, lookups: 1},
		"what is owed is charged with the next invoice": {path: path, body: "balance=900", replies: at("-100", `"usd"`), legs: "charge 1000 USD", object: object, lookups: 1},
		"the currency of the account, at first":         {path: path, body: "balance=-1", replies: at("0", `null`), legs: "allowance 1 EUR to cus_1", object: object, lookups: 2},
		"the balance that it was":                       {path: path, body: "balance=-1000", replies: at("-1000", `"usd"`), class: spend.Other, object: object, lookups: 1},
		"that, and a card":                              {path: path, body: "balance=-1000&source=tok_visa", replies: at("-1000", `"usd"`), class: spend.Capability, object: object, lookups: 1},
		"credit and a card":                             {path: path, body: "balance=-2000&source=tok_visa", replies: at("-1000", `"usd"`), class: spend.Unrecognised, object: object, lookups: 1},
		"its name until 2019":                           {path: path, body: "account_balance=-5000", replies: at("-1000", `"usd"`), legs: "allowance 4000 USD to cus_1", object: object, lookups: 1},
		"both names":                                    {path: path, body: "balance=0&account_balance=-5000", code: spend.Ambiguous},
		"what Stripe does not describe":                 {path: path, body: "frobnicate=1", class: spend.Unrecognised, object: object},
		"a card alone":                                  {path: path, body: "source=tok_visa", class: spend.Capability, object: object},
		"a name alone":                                  {path: path, body: "name=Ada", class: spend.Other, object: object},
		"an empty balance, which may be 0":              {path: path, body: "balance=&name=Ada", code: spend.Malformed},
		"an empty balance, and a card":                  {path: path, body: "balance=&source=tok_visa", code: spend.Malformed},
		"a balance of letters":                          {path: path, body: "balance=-1e3", code: spend.Malformed},
		"a balance with a sign":                         {path: path, body: "balance=%2B100", code: spend.Malformed},
		"less than nothing of nothing":                  {path: path, body: "balance=-0", code: spend.Malformed},
		"more than can be reckoned with":                {path: path, body: "balance=-9223372036854775808", code: spend.Malformed},
		"a new customer with credit":                    {path: "/v1/customers", body: "balance=-250", replies: at("0", `null`), legs: "allowance 250 EUR", lookups: 1},
		"a new customer who owes":                       {path: "/v1/customers", body: "balance=250", replies: at("0", `null`), legs: "charge 250 EUR", lookups: 1},
		"a new customer with neither":                   {path: "/v1/customers", body: "balance=0", class: spend.Other},
		"a new customer with a card":                    {path: "/v1/customers", body: "email=a%40b.example&payment_method=pm_1", class: spend.Capability},
		"a new customer with a card and credit":         {path: "/v1/customers", body: "balance=-1&payment_method=pm_1", class: spend.Unrecognised},
		"a new customer":                                {path: "/v1/customers", body: "email=a%40b.example", class: spend.Other},
		"a credit on the balance":                       {path: path + "/balance_transactions", body: "amount=-500&currency=usd", legs: "allowance 500 USD to cus_1", object: object},
		"a debit on the balance":                        {path: path + "/balance_transactions", body: "amount=500&currency=usd", legs: "charge 500 USD", object: object},
		"a credit in yen":                               {path: path + "/balance_transactions", body: "amount=-500&currency=jpy", legs: "allowance 500 JPY to cus_1", object: object},
		"a credit of nothing":                           {path: path + "/balance_transactions", body: "amount=0&currency=usd", code: spend.Malformed},
		"a credit in no currency":                       {path: path + "/balance_transactions", body: "amount=-5", code: spend.Malformed},
		"an instrument":                                 {path: path + "/sources", body: "source=tok_visa", class: spend.Capability, object: object},
		"one that is verified":                          {path: path + "/sources/ba_1/verify", body: "amounts[0]=32&amounts[1]=45", class: spend.Capability, object: object},
	})
}

func TestBalancesAreMovedAsTheirCallsSay(t *testing.T) {
	const treasury = "/v1/treasury/"
	const account = "treasury/financial_accounts/fa_1"
	one := func(target, body string) map[string]string { return map[string]string{target: body} }
	authorization := one("/v1/issuing/authorizations/iauth_1", `{"id":"iauth_1","object":"issuing.authorization","amount":0,"currency":"usd",
		"pending_request":{"amount":1234,"currency":"eur"},"merchant_data":{"name":"WWW.Example.COM/x","category":"bakeries","category_code":"5462","network_id":"1234567890"}}`)
	dispute := `{"id":"dp_1","object":"dispute","amount":700,"currency":"usd","charge":"ch_1"}`
	product := one("/v1/climate/products/climsku_1", `{"id":"climsku_1","object":"climate.product","current_prices_per_metric_ton":{"usd":{"amount_fees":1,"amount_subtotal":50000,"amount_total":50001}}}`)
	runSales(t, map[string]saleCase{
		"a payment out": {path: treasury + "outbound_payments", body: "amount=100&currency=usd&financial_account=fa_1&destination_payment_method=pm_1", legs: "payout 100 USD to pm_1", object: account},
		"a payment to a bank account of digits": {path: treasury + "outbound_payments", body: "amount=100&currency=usd&financial_account=fa_1&destination_payment_method_data[type]=us_bank_account&destination_payment_method_data[us_bank_account][routing_number]=110000000&destination_payment_method_data[us_bank_account][account_number]=000123456789",
			legs: "payout 100 USD to us_bank_account:110000000:6789:a2786dc0e9b2518d", object: account},
		"a payment to the customer's default":   {path: treasury + "outbound_payments", body: "amount=100&currency=usd&financial_account=fa_1&customer=cus_1", legs: "payout 100 USD to cus_1", object: account},
		"a transfer out to an account":          {path: treasury + "outbound_transfers", body: "amount=100&currency=usd&financial_account=fa_1&destination_payment_method_data[type]=financial_account&destination_payment_method_data[financial_account]=fa_2", legs: "payout 100 USD to fa_2", object: account},
		"a payment to two":                      {path: treasury + "outbound_payments", body: "amount=100&currency=usd&financial_account=fa_1&destination_payment_method=pm_1&destination_payment_method_data[financial_account]=fa_2", code: spend.Ambiguous},
		"a payment to a bank account of letter": {path: treasury + "outbound_payments", body: "amount=100&currency=usd&financial_account=fa_1&destination_payment_method_data[us_bank_account][account_number]=x", code: spend.Malformed},
		"a payment out of nothing":              {path: treasury + "outbound_payments", body: "amount=100&currency=usd", code: spend.Malformed},
		"money in":                              {path: treasury + "inbound_transfers", body: "amount=100&currency=usd&financial_account=fa_1&origin_payment_method=pm_1", legs: "charge 100 USD to fa_1", object: account},
		"an account that is closed": {path: treasury + "financial_accounts/fa_1/close", body: "forwarding_settings[type]=payment_method&forwarding_settings[payment_method]=pm_1",
			replies: one("/v1/treasury/financial_accounts/fa_1", `{"id":"fa_1","object":"treasury.financial_account","balance":{"cash":{"usd":500,"eur":7,"jpy":0},"inbound_pending":{"usd":1}}}`), legs: "payout 7 EUR to pm_1; payout 500 USD to pm_1", object: account, lookups: 1},
		"an empty account that is closed": {path: treasury + "financial_accounts/fa_1/close",
			replies: one("/v1/treasury/financial_accounts/fa_1", `{"id":"fa_1","object":"treasury.financial_account","balance":{"cash":{"usd":0}}}`), class: spend.Other, object: account, lookups: 1},
		"a credit that is sent back": {path: treasury + "credit_reversals", body: "received_credit=rc_1", replies: one("/v1/treasury/received_credits/rc_1", `{"id":"rc_1","object":"treasury.received_credit","amount":5,"currency":"usd"}`), legs: "refund 5 USD", object: "treasury/received_credits/rc_1", lookups: 1},
		"a debit that is fetched":    {path: treasury + "debit_reversals", body: "received_debit=rd_1", replies: one("/v1/treasury/received_debits/rd_1", `{"id":"rd_1","object":"treasury.received_debit","amount":5,"currency":"usd"}`), legs: "charge 5 USD", object: "treasury/received_debits/rd_1", lookups: 1},

		"a card of ours at a merchant":           {path: "/v1/issuing/authorizations/iauth_1/approve", replies: authorization, legs: "charge 1234 EUR to 1234567890 of example.com as 5462", object: "issuing/authorizations/iauth_1", lookups: 1},
		"a part of what it asks":                 {path: "/v1/issuing/authorizations/iauth_1/approve", body: "amount=34", replies: authorization, legs: "charge 34 EUR to 1234567890 of example.com as 5462", object: "issuing/authorizations/iauth_1", lookups: 1},
		"a merchant that the agent claims to be": {path: "/v1/issuing/authorizations/iauth_1/approve", body: "metadata[merchant]=good.example&metadata[category]=api", replies: authorization, legs: "charge 1234 EUR to 1234567890 of example.com as 5462", object: "issuing/authorizations/iauth_1", lookups: 1},
		"one that asks for nothing any more":     {path: "/v1/issuing/authorizations/iauth_1/approve", replies: one("/v1/issuing/authorizations/iauth_1", `{"id":"iauth_1","object":"issuing.authorization","pending_request":null}`), code: spend.Malformed},
		"a card with limits":                     {path: "/v1/issuing/cards", body: "currency=usd&type=virtual&cardholder=ich_1&spending_controls[spending_limits][0][amount]=500&spending_controls[spending_limits][0][interval]=daily", class: spend.Capability},
		"a card with other limits":               {path: "/v1/issuing/cards/ic_1", body: "spending_controls[spending_limits][0][amount]=500", class: spend.Capability, object: "issuing/cards/ic_1"},

		"a dispute that is given up":                 {path: "/v1/disputes/dp_1/close", replies: one("/v1/disputes/dp_1", dispute), legs: "refund 700 USD", object: "disputes/dp_1", lookups: 1},
		"by the charge":                              {path: "/v1/charges/ch_1/dispute/close", replies: one("/v1/charges/ch_1/dispute", dispute), legs: "refund 700 USD", object: "charges/ch_1", lookups: 1},
		"money from the bank":                        {path: "/v1/topups", body: "amount=900&currency=usd&source=src_1", legs: "charge 900 USD"},
		"a transfer fetched back":                    {path: "/v1/transfers/tr_1/reversals", replies: one("/v1/transfers/tr_1", `{"id":"tr_1","object":"transfer","amount":900,"amount_reversed":100,"currency":"usd"}`), legs: "transfer 800 USD", object: "transfers/tr_1", lookups: 1},
		"a part of it":                               {path: "/v1/transfers/tr_1/reversals", body: "amount=3", replies: one("/v1/transfers/tr_1", `{"id":"tr_1","object":"transfer","amount":900,"amount_reversed":100,"currency":"usd"}`), legs: "transfer 3 USD", object: "transfers/tr_1", lookups: 1},
		"a refund to whoever reads a letter":         {path: "/v1/refunds", body: "payment_intent=pi_1&amount=7&instructions_email=Eve%40b.example", replies: one("/v1/payment_intents/pi_1?expand[]=latest_charge", `{"id":"pi_1","object":"payment_intent","currency":"eur"}`), legs: "refund 7 EUR to eve@b.example", object: "payment_intents/pi_1", lookups: 1},
		"a refund of cash to one":                    {path: "/v1/refunds", body: "origin=customer_balance&customer=cus_1&amount=7&currency=eur&instructions_email=eve%40b.example", legs: "refund 7 EUR to eve@b.example"},
		"a refund to two lines":                      {path: "/v1/refunds", body: "charge=ch_1&instructions_email=eve%40b.example%0aada%40b.example", code: spend.Malformed},
		"a payout by a payout method":                {path: "/v1/payouts", body: "amount=7&currency=eur&payout_method=usba_1", legs: "payout 7 EUR to usba_1"},
		"a payout to two":                            {path: "/v1/payouts", body: "amount=7&currency=eur&payout_method=usba_1&destination=ba_1", code: spend.Ambiguous},
		"a fee given back":                           {path: "/v1/application_fees/fee_1/refunds", replies: one("/v1/application_fees/fee_1", `{"id":"fee_1","object":"application_fee","amount":50,"amount_refunded":20,"currency":"usd","account":"acct_3"}`), legs: "refund 30 USD to acct_3", object: "application_fees/fee_1", lookups: 1},
		"a fee given back by its alias":              {path: "/v1/application_fees/fee_1/refund", body: "amount=7", replies: one("/v1/application_fees/fee_1", `{"id":"fee_1","object":"application_fee","amount":50,"amount_refunded":20,"currency":"usd","account":"acct_3"}`), legs: "refund 7 USD to acct_3", object: "application_fees/fee_1", lookups: 1},
		"a payout fetched back":                      {path: "/v1/payouts/po_1/reverse", replies: one("/v1/payouts/po_1", `{"id":"po_1","object":"payout","amount":60,"currency":"usd"}`), legs: "charge 60 USD", object: "payouts/po_1", lookups: 1},
		"from one balance to another":                {path: "/v1/balance_transfers", body: "amount=60&currency=usd&source_balance[type]=payments&destination_balance[type]=issuing", legs: "transfer 60 USD to issuing"},
		"credit towards invoices":                    {path: "/v1/billing/credit_grants", body: "amount[type]=monetary&amount[monetary][value]=60&amount[monetary][currency]=usd&category=promotional&customer=cus_1&applicability_config[scope][price_type]=metered", legs: "allowance 60 USD to cus_1"},
		"a token that a seller may charge":           {path: "/v1/shared_payment/issued_tokens", body: "payment_method=pm_1&usage_limits[max_amount]=5000&usage_limits[currency]=usd&usage_limits[expires_at]=1800000000&seller_details[external_id]=seller", legs: "allowance 5000 USD to seller"},
		"a token that a seller may charge each week": {path: "/v1/shared_payment/issued_tokens", body: "payment_method=pm_1&usage_limits[max_amount]=5000&usage_limits[currency]=usd&usage_limits[recurring_interval]=week&seller_details[external_id]=seller", class: spend.Unrecognised},
		"tons of carbon, and a bit":                  {path: "/v1/climate/orders", body: "product=climsku_1&metric_tons=0.5&currency=usd", replies: product, legs: "charge 25001 USD", lookups: 1},
		"money for carbon":                           {path: "/v1/climate/orders", body: "product=climsku_1&amount=1000&currency=eur", legs: "charge 1000 EUR"},
		"money for carbon, of the account's":         {path: "/v1/climate/orders", body: "product=climsku_1&amount=1000", replies: one("/v1/account", `{"id":"acct_1","object":"account","default_currency":"gbp"}`), legs: "charge 1000 GBP", lookups: 1},
		"money and tons":                             {path: "/v1/climate/orders", body: "product=climsku_1&amount=1000&metric_tons=1&currency=usd", code: spend.Malformed},
		"tons in letters":                            {path: "/v1/climate/orders", body: "product=climsku_1&metric_tons=1e2&currency=usd", replies: product, code: spend.Malformed},
		"a payment at a reader":                      {path: "/v1/terminal/readers/tmr_1/process_payment_intent", body: "payment_intent=pi_1", replies: one("/v1/payment_intents/pi_1", `{"id":"pi_1","object":"payment_intent","amount":2000,"currency":"eur"}`), legs: "charge 2000 EUR", object: "payment_intents/pi_1", lookups: 1},
		"a payment confirmed at a reader":            {path: "/v1/terminal/readers/tmr_1/confirm_payment_intent", body: "payment_intent=pi_1", replies: one("/v1/payment_intents/pi_1", `{"id":"pi_1","object":"payment_intent","amount":2000,"currency":"eur","transfer_data":{"destination":"acct_7"}}`), legs: "charge 2000 EUR to acct_7", object: "payment_intents/pi_1", lookups: 1},
		"a reader without a payment":                 {path: "/v1/terminal/readers/tmr_1/process_payment_intent", code: spend.Malformed},
		"all that is left, at a reader":              {path: "/v1/terminal/readers/tmr_1/refund_payment", body: "charge=ch_1", replies: one("/v1/charges/ch_1", `{"id":"ch_1","object":"charge","amount":2000,"amount_refunded":500,"currency":"usd"}`), legs: "refund 1500 USD", object: "charges/ch_1", lookups: 1},
		"a part of a payment, at a reader":           {path: "/v1/terminal/readers/tmr_1/refund_payment", body: "payment_intent=pi_1&amount=5", replies: one("/v1/payment_intents/pi_1?expand[]=latest_charge", `{"id":"pi_1","object":"payment_intent","amount":2000,"currency":"usd"}`), legs: "refund 5 USD", object: "payment_intents/pi_1", lookups: 1},
		"a reader that refunds who knows":            {path: "/v1/terminal/refunds", class: spend.Unrecognised},
		"an order as it was until 2019":              {path: "/v1/orders/or_1/pay", replies: one("/v1/orders/or_1", `{"id":"or_1","object":"order","amount":1500,"currency":"usd"}`), legs: "charge 1500 USD", object: "orders/or_1", lookups: 1},
		"an order that is submitted":                 {path: "/v1/orders/order_1/submit", body: "expected_total=1500", replies: one("/v1/orders/order_1", `{"id":"order_1","object":"order","amount_total":1500,"currency":"usd"}`), legs: "charge 1500 USD", object: "orders/order_1", lookups: 1},
		"an order that is sent back":                 {path: "/v1/orders/or_1/returns", replies: one("/v1/orders/or_1", `{"id":"or_1","object":"order","amount":1500,"currency":"usd"}`), legs: "refund 1500 USD", object: "orders/or_1", lookups: 1},
		"a part of an order that is sent back":       {path: "/v1/orders/or_1/returns", body: "items[0][type]=sku&items[0][amount]=5", class: spend.Unrecognised, object: "orders/or_1"},
		"what a seller asks of a buyer":              {path: "/v1/delegated_checkout/requested_sessions/rs_1/confirm", replies: one("/v1/delegated_checkout/requested_sessions/rs_1", `{"id":"rs_1","object":"delegated_checkout.requested_session","amount_total":990,"currency":"usd","seller_details":{"network_profile":"profile_1"}}`), legs: "charge 990 USD to profile_1", object: "delegated_checkout/requested_sessions/rs_1", lookups: 1},
		"a payment intent that gets a credit":        {path: "/v1/payment_intents/pi_1/apply_customer_balance", body: "amount=5", replies: one("/v1/payment_intents/pi_1", `{"id":"pi_1","object":"payment_intent","amount":2000,"currency":"eur"}`), legs: "charge 5 EUR", object: "payment_intents/pi_1", lookups: 1},
	})
}

// A bank account that the call gives by its number is known again, and its number is
// not given away.
func TestABankAccountIsNamedWithoutItsNumber(t *testing.T) {
	const hash = "destination_payment_method_data[us_bank_account]"
	name := func(routing, account string) string {
		j, _, err := judgeWith(t, post("/v1/treasury/outbound_payments", "amount=1&currency=usd&financial_account=fa_1&"+hash+"[routing_number]="+routing+"&"+hash+"[account_number]="+account), nil)
		if err != nil {
			t.Fatal(err)
		}
		return j.Intent.Legs[0].Payee
	}
	a := name("110000000", "000123456789")
	if a != name("110000000", "000123456789") || a == name("110000000", "990123456789") || a == name("110000001", "000123456789") {
		t.Errorf("%s is not the name of one bank account", a)
	}
	if strings.Contains(a, "0123456789") || !strings.Contains(a, "6789") {
		t.Errorf("%s tells too much, or too little", a)
	}
	var in spend.Intent
	in.Class, in.Operation, in.Legs = spend.Spend, "treasury.outbound_payments.create", []spend.Leg{{Kind: spend.Payout, Amount: spend.NewAmount("USD", 1), Payee: a}}
	o := New(Options{}).Outcome(&in, &rails.Reply{Status: 200, Body: []byte(`{"id":"obp_1","object":"treasury.outbound_payment","amount":1,"currency":"usd","status":"processing","destination_payment_method":"pm_1","financial_account":"fa_1"}`)})
	if o.Result != spend.Happened || o.Receipt.Payee != "" {
		t.Errorf("the receipt %+v names another payee", o)
	}
}
