package stripe

import (
	"errors"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// judgeOf judges a write on behalf of acct_me, answering its lookup with a body.
func judgeOf(t *testing.T, path, form, answer string) (rails.Judgement, error) {
	t.Helper()
	c := post(path, form)
	c.Header = append(c.Header, rails.Field{Name: "Stripe-Account", Value: "acct_me"})
	r := New(Options{})
	j, err := r.Intent(c, nil)
	if err != nil || len(j.Lookups) == 0 || answer == "" {
		return j, err
	}
	return r.Intent(c, []rails.Fact{{Lookup: j.Lookups[0], Reply: rails.Reply{Status: 200, Body: []byte(answer)}}})
}

func TestSpendsAreReadByTheTable(t *testing.T) {
	for name, c := range map[string]struct {
		path, form, answer string
		amount, payee      string
		kind               spend.LegKind
		object             string
	}{
		"a top-up states its amount": {
			"/v1/topups", "amount=2000&currency=usd", "", "2000 USD", "acct_me", spend.Charge, ""},
		"one without decimals": {
			"/v1/topups", "amount=2000&currency=jpy", "", "2000 JPY", "acct_me", spend.Charge, ""},
		"a fee given back in part": {
			"/v1/application_fees/fee_1/refund", "amount=30", `{"id":"fee_1","object":"application_fee","amount":100,"amount_refunded":20,"currency":"jpy","account":"acct_2"}`,
			"30 JPY", "acct_2", spend.Refund, "application_fees/fee_1"},
		"a fee given back in full": {
			"/v1/application_fees/fee_1/refunds", "", `{"id":"fee_1","object":"application_fee","amount":100,"amount_refunded":20,"currency":"kwd","account":{"id":"acct_2","object":"account"}}`,
			"80 KWD", "acct_2", spend.Refund, "application_fees/fee_1"},
		"a transfer taken back": {
			"/v1/transfers/tr_1/reversals", "", `{"id":"tr_1","object":"transfer","amount":100,"amount_reversed":0,"currency":"usd"}`,
			"100 USD", "acct_me", spend.Transfer, "transfers/tr_1"},
		"a payout taken back": {
			"/v1/payouts/po_1/reverse", "", `{"id":"po_1","object":"payout","amount":100,"currency":"huf"}`, "100 HUF", "acct_me", spend.Charge, "payouts/po_1"},
		"a dispute accepted": {
			"/v1/disputes/dp_1/close", "", `{"id":"dp_1","object":"dispute","amount":700,"currency":"eur"}`, "700 EUR", "", spend.Refund, "disputes/dp_1"},
		"a reader that collects": {
			"/v1/terminal/readers/tmr_1/process_payment_intent", "payment_intent=pi_1",
			`{"id":"pi_1","object":"payment_intent","amount":700,"currency":"eur","transfer_data":{"destination":"acct_2"}}`, "700 EUR", "acct_2", spend.Charge, "payment_intents/pi_1"},
		"a reader that collects for nobody else": {
			"/v1/terminal/readers/tmr_1/process_payment_intent", "payment_intent=pi_1",
			`{"id":"pi_1","object":"payment_intent","amount":700,"currency":"eur","transfer_data":null}`, "700 EUR", "acct_me", spend.Charge, "payment_intents/pi_1"},
		"a card payment approved as it was asked for": {
			"/v1/issuing/authorizations/iauth_1/approve", "",
			`{"id":"iauth_1","object":"issuing.authorization","amount":0,"currency":"usd","pending_request":{"amount":1500,"currency":"usd"},"merchant_data":{"network_id":"1234567890"}}`,
			"1500 USD", "1234567890", spend.Charge, "issuing/authorizations/iauth_1"},
		"credit in a unit that is stated": {
			"/v1/billing/credit_grants", "amount[type]=monetary&amount[monetary][value]=900&amount[monetary][currency]=usd&category=paid&customer=cus_1", "",
			"900 USD", "cus_1", spend.Allowance, ""},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := judgeOf(t, c.path, c.form, c.answer)
			if err != nil || len(j.Lookups) > 0 && c.answer != "" || len(j.Intent.Legs) != 1 {
				t.Fatalf("judged as %+v, %v", j, err)
			}
			leg := j.Intent.Legs[0]
			if leg.Amount.String() != c.amount || leg.Payee != c.payee || leg.Kind != c.kind || j.Intent.Object != c.object || j.Intent.Class != spend.Spend {
				t.Errorf("%s of %s to %q on %q, want %s of %s to %q on %q", leg.Kind, leg.Amount, leg.Payee, j.Intent.Object, c.kind, c.amount, c.payee, c.object)
			}
		})
	}
}

func TestSpendsThatTheTableCannotTellAreNotGuessed(t *testing.T) {
	const outbound = "amount=100&currency=usd&financial_account=fa_1"
	for name, c := range map[string]struct {
		path, form, answer string
		want               error // nil: it is for a person
	}{
		"an amount that nothing tells":      {"/v1/terminal/refunds", "amount=1&currency=usd", "", nil},
		"an executor of what is not seen":   {"/v1/forwarding/requests", "payment_method=pm_1&url=https%3A%2F%2Fa.example", "", nil},
		"an account number without a bank":  {"/v1/treasury/outbound_payments", outbound + "&destination_payment_method_data[us_bank_account][account_number]=000123456789", "", refusal(spend.Malformed)},
		"two payees":                        {"/v1/treasury/outbound_payments", outbound + "&destination_payment_method=pm_1&destination_payment_method_data[financial_account]=fa_2", "", refusal(spend.Ambiguous)},
		"no amount":                         {"/v1/topups", "currency=usd", "", refusal(spend.Malformed)},
		"no currency":                       {"/v1/topups", "amount=1", "", refusal(spend.Malformed)},
		"a currency that is none":           {"/v1/topups", "amount=1&currency=xxx", "", refusal(spend.Malformed)},
		"an amount that is none":            {"/v1/topups", "amount=-1&currency=usd", "", refusal(spend.Malformed)},
		"an amount in three decimals":       {"/v1/topups", "amount=5&currency=kwd", "", refusal(spend.Malformed)},
		"nothing to look up":                {"/v1/terminal/readers/tmr_1/process_payment_intent", "", "", refusal(spend.Malformed)},
		"a unit that is not the object's":   {"/v1/payment_intents/pi_1/apply_customer_balance", "amount=1&currency=usd", `{"id":"pi_1","object":"payment_intent","amount":700,"currency":"eur"}`, refusal(spend.Malformed)},
		"nothing that is left":              {"/v1/application_fees/fee_1/refunds", "", `{"id":"fee_1","object":"application_fee","amount":100,"amount_refunded":100,"currency":"usd"}`, refusal(spend.Malformed)},
		"another object than was asked for": {"/v1/disputes/dp_1/close", "", `{"id":"dp_2","object":"dispute","amount":700,"currency":"eur"}`, spend.Unavailable},
		"an answer that is no object":       {"/v1/disputes/dp_1/close", "", `[]`, spend.Unavailable},
		"an answer with no amount":          {"/v1/disputes/dp_1/close", "", `{"id":"dp_1","object":"dispute","currency":"eur"}`, spend.Unavailable},
		"an answer with a fraction":         {"/v1/disputes/dp_1/close", "", `{"id":"dp_1","object":"dispute","amount":7.5,"currency":"eur"}`, spend.Unavailable},
		"an answer with a negative amount":  {"/v1/disputes/dp_1/close", "", `{"id":"dp_1","object":"dispute","amount":-7,"currency":"eur"}`, spend.Unavailable},
		"an answer with no currency":        {"/v1/disputes/dp_1/close", "", `{"id":"dp_1","object":"dispute","amount":7}`, spend.Unavailable},
		"a secret in a payment's reply":     {"/v1/topups", "amount=1&currency=usd&expand[]=source.number", "", refusal(spend.Malformed)},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := judgeOf(t, c.path, c.form, c.answer)
			var got *rails.Refusal
			switch {
			case c.want == nil:
				if err != nil || j.Intent.Class != spend.Unrecognised || j.Intent.Operation == "unrecognised" || len(j.Intent.Legs)+len(j.Lookups) > 0 {
					t.Errorf("judged as %+v, %v", j, err)
				}
			case errors.As(err, &got):
				if c.want.Error() != string(got.Code) {
					t.Errorf("%v, want %v", err, c.want)
				}
			case !errors.Is(err, c.want):
				t.Errorf("judged as %+v, %v; want %v", j, err, c.want)
			}
		})
	}
}

// refusal stands for a refusal of that code.
func refusal(code spend.Code) error { return errors.New(string(code)) }

func TestFormulasAreReckonedInWholeNumbers(t *testing.T) {
	for name, c := range map[string]struct {
		formula, form, answer string
		want                  int64 // 0: not to be had
	}{
		"a product":                        {"quantity*price_data[unit_amount]", "quantity=3&price_data[unit_amount]=500", "", 1500},
		"a sum":                            {"a+b+c", "a=1&b=2&c=3", "", 6},
		"a difference":                     {"a-.paid", "a=10", `"paid":4`, 6},
		"a product and a difference":       {"a*b-.paid", "a=10&b=2", `"paid":4`, 16},
		"the first alternative":            {"a|.paid", "a=10", "", 10},
		"the second":                       {"a|.paid", "", `"paid":4`, 4},
		"the third, as a field is null":    {"a|.owed|.paid", "", `"owed":null,"paid":4`, 4},
		"a field of a field":               {".total.value", "", `"total":{"value":9}`, 9},
		"a member of JSON":                 {"amount.value", "amount[value]=9", "", 9},
		"two that contradict each other":   {"a|b", "a=1&b=2", "", 0},
		"one beside another's part":        {"a|b*c", "a=1&b=2", "", 0},
		"one that shares a part":           {"a*b|a*.paid", "a=1&b=2", "", 2},
		"nothing at all":                   {"a|b", "c=1", "", 0},
		"what is less than nothing":        {"a-b", "a=1&b=2", "", 0},
		"exactly nothing":                  {"a-b", "a=2&b=2", "", 0},
		"the largest of all":               {"a", "a=9223372036854775807", "", 9223372036854775807},
		"more than the largest":            {"a+b", "a=9223372036854775807&b=1", "", 0},
		"a product beyond it":              {"a*b", "a=4294967296&b=4294967296", "", 0},
		"a product just beyond it":         {"a*b", "a=3037000500&b=3037000500", "", 0},
		"less than the least":              {"a-.paid-b", "a=1&b=9223372036854775807", `"paid":9223372036854775807`, 0},
		"what is not in one place":         {"?", "a=1", "", 0},
		"what cannot be known":             {"opaque", "a=1", "", 0},
		"one of a list":                    {"items[][amount]|.paid", "items[0][amount]=1", `"paid":4`, 0},
		"what a list that is not there is": {"items[][amount]|.paid", "", `"paid":4`, 4},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parseForm(nil, "", c.form)
			if err != nil {
				t.Fatal(err)
			}
			x := reading{op: &listing{name: "things.pay", class: spend.Spend, kind: spend.Charge, amount: c.formula, currency: ".currency", lookup: "/v1/things/{id}"}, id: "th_1"}
			answer := `{"id":"th_1","object":"thing","currency":"usd"`
			if c.answer != "" {
				answer += "," + c.answer
			}
			x.facts = []rails.Fact{{Lookup: rails.Lookup{Target: "/v1/things/th_1"}, Reply: rails.Reply{Status: 200, Body: []byte(answer + "}")}}}
			e, err := x.evaluate(&f)
			switch {
			case c.want == 0:
				if err == nil && e.class != spend.Unrecognised {
					t.Errorf("%+v, want nothing", e)
				}
			case err != nil || len(e.legs) != 1 || e.legs[0].Amount != spend.NewAmount("USD", c.want):
				t.Errorf("%+v, %v; want %d", e, err, c.want)
			}
		})
	}
}

// TestEverySpendOfTheTableIsJudgedOrForAPerson calls each operation that spends with
// nothing but its path: what comes of it must never be that nothing moves.
func TestEverySpendOfTheTableIsJudgedOrForAPerson(t *testing.T) {
	for _, o := range overlay(t) {
		if o.class != "spend" {
			continue
		}
		op, ids, err := find(o.host, o.method, o.path())
		if err != nil || op == nil {
			t.Fatal(o, err)
		}
		x := reading{op: op, id: ids[0], id2: ids[1]}
		for _, params := range []string{"", "nosuch=1", "amount=100&currency=usd", "confirm=true&amount=100&currency=usd"} {
			f, err := parseForm(nil, "", params)
			if err != nil {
				t.Fatal(err)
			}
			e, err := x.effect(&f)
			moves := err != nil || e.class == spend.Unrecognised || e.class == spend.Spend && (len(e.legs) > 0 || len(e.lookups) > 0)
			if (len(op.when) == 0 || params == "nosuch=1" && op.known != nil) && !moves {
				t.Errorf("%s with %q is %+v, which moves nothing", op.name, params, e)
			}
			for _, l := range e.legs {
				if l.Amount.IsZero() != (len(e.lookups) > 0) {
					t.Errorf("%s with %q is %+v: an amount without its lookup, or beside it", op.name, params, e)
				}
			}
		}
	}
}
