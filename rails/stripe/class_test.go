package stripe

import (
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

func TestAClassDependsOnTheParameters(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, form string
		want               spend.Class
		version            string
	}{
		"a payment intent":                            {"POST", "/v1/payment_intents", "amount=1&currency=usd", spend.Other, "2026-08-26.dahlia"},
		"one that is confirmed":                       {"POST", "/v1/payment_intents", "amount=1&currency=usd&confirm=true", spend.Spend, "2026-08-26.dahlia"},
		"one that is confirmed in a way of its own":   {"POST", "/v1/payment_intents", "confirm=T", spend.Spend, "2026-08-26.dahlia"},
		"one that is not confirmed":                   {"POST", "/v1/payment_intents", "confirm=false", spend.Other, "2026-08-26.dahlia"},
		"an edit of a customer":                       {"POST", "/v1/customers/cus_1", "email=a&metadata[a]=b&address[city]=c", spend.Other, "2026-08-26.dahlia"},
		"one with credit":                             {"POST", "/v1/customers/cus_1", "email=a&balance=-5000", spend.Spend, "2026-08-26.dahlia"},
		"one with credit and a card":                  {"POST", "/v1/customers/cus_1", "source=tok_1&balance=-5000", spend.Spend, "2026-08-26.dahlia"},
		"one with a card":                             {"POST", "/v1/customers/cus_1", "card[number]=1", spend.Capability, "2026-08-26.dahlia"},
		"one with credit under an older name":         {"POST", "/v1/customers/cus_1", "account_balance=-5000", spend.Spend, "2026-08-26.dahlia"},
		"one that ends a trial, as once was possible": {"POST", "/v1/customers/cus_1", "trial_end=now", spend.Spend, "2026-08-26.dahlia"},
		"one that both finalizes and stays a draft":   {"POST", "/v1/invoices", "automatically_finalizes_at=1&auto_advance=false", spend.Spend, "2026-08-26.dahlia"},
		"one that closes, as once was possible":       {"POST", "/v1/invoices", "closed=false&auto_advance=false", spend.Spend, "2018-11-08"},
		"a card and what was possible once":           {"POST", "/v1/customers", "source=tok_1&plan=gold", spend.Spend, "2026-08-26.dahlia"},
		"one that does not quite say so":              {"POST", "/v1/invoices", "auto_advance[a]=false", spend.Spend, "2018-10-31"},
		"a draft of an invoice":                       {"POST", "/v1/invoices", "customer=cus_1", spend.Other, "2018-11-08"},
		"one by any version":                          {"POST", "/v1/invoices", "customer=cus_1", spend.Spend, ""},
		"one by a version that advanced all":          {"POST", "/v1/invoices", "customer=cus_1", spend.Spend, "2018-10-31"},
		"one that says that it stays a draft":         {"POST", "/v1/invoices", "customer=cus_1&auto_advance=false", spend.Other, ""},
		"one that charges by itself":                  {"POST", "/v1/invoices", "customer=cus_1&auto_advance=true", spend.Spend, "2026-08-26.dahlia"},
		"an invoice paid":                             {"POST", "/v1/invoices/in_1/pay", "", spend.Spend, "2026-08-26.dahlia"},
		"an invoice paid elsewhere":                   {"POST", "/v1/invoices/in_1/pay", "paid_out_of_band=true", spend.Other, "2026-08-26.dahlia"},
		"an invoice perhaps paid elsewhere":           {"POST", "/v1/invoices/in_1/pay", "paid_out_of_band=1", spend.Spend, "2026-08-26.dahlia"},
		"a checkout":                                  {"POST", "/v1/checkout/sessions", "mode=payment", spend.Spend, "2026-08-26.dahlia"},
		"a checkout that saves a card":                {"POST", "/v1/checkout/sessions", "mode=setup", spend.Capability, "2026-08-26.dahlia"},
		"a schedule canceled":                         {"POST", "/v1/subscription_schedules/sub_sched_1/cancel", "", spend.Spend, "2026-08-26.dahlia"},
		"a subscription canceled":                     {"DELETE", "/v1/subscriptions/sub_1", "", spend.Other, "2026-08-26.dahlia"},
		"a subscription canceled and charged":         {"DELETE", "/v1/subscriptions/sub_1", "invoice_now=true", spend.Spend, "2026-08-26.dahlia"},
		"a subscription paused":                       {"POST", "/v1/subscriptions/sub_1/pause", "type=x", spend.Other, "2026-08-26.dahlia"},
		"a subscription paused and billed":            {"POST", "/v1/subscriptions/sub_1/pause", "bill_for[unused_time_from][type]=x", spend.Spend, "2026-08-26.dahlia"},
		"a card with its number":                      {"GET", "/v1/issuing/cards/ic_1", "expand[]=cardholder&expand[]=number", spend.Capability, "2026-08-26.dahlia"},
		"cards with their codes":                      {"GET", "/v1/issuing/cards", "expand[0]=data.cvc", spend.Capability, "2026-08-26.dahlia"},
		"the one subscription of a customer ended":    {"DELETE", "/v1/customers/cus_1/subscription", "", spend.Other, "2012-10-26"},
		"one ended, and what was not used given back": {"DELETE", "/v1/customers/cus_1/subscription", "prorate=true", spend.Spend, "2012-10-26"},
		"an order of today":                           {"POST", "/v1/orders/or_1", "metadata[a]=b", spend.Other, "2026-08-26.dahlia"},
		"an order of before, which may be given back": {"POST", "/v1/orders/or_1", "metadata[a]=b", spend.Spend, "2019-03-14"},
		"an order given back":                         {"POST", "/v1/orders/or_1", "status=canceled", spend.Spend, "2026-08-26.dahlia"},
		"a source":                                    {"POST", "/v1/sources/src_1", "owner[name]=x", spend.Other, "2026-08-26.dahlia"},
		"a source with a mandate":                     {"POST", "/v1/sources/src_1", "mandate[acceptance][status]=accepted", spend.Capability, "2026-08-26.dahlia"},
		"an endpoint that hears of payments no more":  {"DELETE", "/v1/webhook_endpoints/we_1", "", spend.Capability, "2026-08-26.dahlia"},
		"what has one class only":                     {"POST", "/v1/webhook_endpoints", "nosuch=1", spend.Capability, "2026-08-26.dahlia"},
	} {
		f, err := parseForm(nil, "", c.form)
		if err != nil {
			t.Fatal(err)
		}
		op, _, err := find("api.stripe.com", c.method, c.path)
		if op == nil || err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := op.classOf(f.all, c.version); got != c.want {
			t.Errorf("%s is %s, want %s", name, got, c.want)
		}
	}
}

func TestExpandReveals(t *testing.T) {
	for expand, want := range map[string]bool{
		"number": true, "data.number": true, "card.number": true, "card.cvc": true, "data.card.cvc": true, "payload": true,
		"financial_addresses.aba.account_number": true, "credentials.sepa_bank_account.iban": true, "webhook_endpoint.signing_secret": true,
		"Number": true, " card.number ": true, "card.number,cardholder": true, "[number]": true,
		"": false, "cardholder": false, "latest_charge": false, "number.x": false, "phone_number": false,
	} {
		if reveals(expand) != want {
			t.Errorf("expand[]=%s reveals: %v, want %v", expand, !want, want)
		}
	}
}
