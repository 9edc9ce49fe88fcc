package stripe

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// An oracle says of one operation what a server makes of parameters, from Stripe's
// documentation and without this package.
type oracle struct {
	method, path string
	base         []string // the segments of a call that is in order
	// spends and gives say whether a call with these parameters moves money, or
	// gives away a way to; nil is never.
	spends, gives    func(p params) bool
	amount, currency string
	payee            []string
	either           bool // of payee only the first that is there counts
	// worth are the amounts that may be meant where no one parameter says it.
	worth func(p params) []int64
	// target are the parameters that name what is acted on.
	target []string
	// credit is an amount of which what is negative goes out.
	credit bool
	whole  bool // without an amount it is all that told says, 70000
	// asked has the parameters in the query, as a DELETE does.
	asked bool
}

func always(params) bool { return true }

// set is met by a parameter, or one below it, that a server may take for set.
func set(names ...string) func(p params) bool {
	return func(p params) bool {
		for _, name := range names {
			for _, n := range p.within(name) {
				if slices.ContainsFunc(p[n], mayBeTrue) {
					return true
				}
			}
		}
		return false
	}
}

// sumOf returns what the items of a list of parameters come to, one of each where no
// quantity stands.
func sumOf(list string) func(p params) []int64 {
	const unitAmount = "][price_data][unit_amount]"
	return func(p params) []int64 {
		sum := int64(0)
		for name, units := range p {
			item, ok := strings.CutSuffix(name, unitAmount)
			if !ok || !strings.HasPrefix(item, list+"[") {
				continue
			}
			for i, unit := range units {
				quantity := []int64{1}
				if qs := p[item+"][quantity]"]; i < len(qs) {
					quantity = numbers(qs[i])
				}
				if each := numbers(unit); len(each) > 0 && len(quantity) > 0 {
					sum += slices.Max(each) * slices.Max(quantity)
				}
			}
		}
		return []int64{sum}
	}
}

// told are the objects that lookups are answered with, by collection.
func told(target string) string {
	path, _, _ := strings.Cut(strings.TrimPrefix(target, "/v1/"), "?")
	collection, id, _ := strings.Cut(path, "/")
	object := `{"id":"` + id + `","object":"` + strings.TrimSuffix(collection, "s") + `","amount":70000,"currency":"usd"`
	switch collection {
	case "charges":
		return object + `,"amount_captured":0,"amount_refunded":0,"captured":false,"transfer_data":null,"destination":null}`
	case "payment_intents":
		return object + `,"amount_capturable":70000,"transfer_data":null,"latest_charge":{"id":"ch_9","object":"charge","amount":70000,"amount_refunded":0,"currency":"usd"}}`
	case "transfers":
		return object + `,"amount_reversed":0,"destination":"acct_1"}`
	case "application_fees":
		return `{"id":"` + id + `","object":"application_fee","amount":70000,"amount_refunded":0,"currency":"usd","account":"acct_1"}`
	case "customers":
		return `{"id":"` + id + `","object":"customer","balance":0,"currency":"usd"}`
	case "invoices":
		return `{"id":"` + id + `","object":"invoice","amount_remaining":70000,"currency":"usd","customer":"cus_1","status":"open","auto_advance":true,"collection_method":"charge_automatically"}`
	}
	return object + "}"
}

func oracles() []oracle {
	charge := []string{"transfer_data[destination]", "destination", "destination[account]"}
	return []oracle{
		{path: "/v1/charges", base: []string{"amount={n}", "currency={c}", "source=tok_visa", "transfer_data[destination]=acct_1"}, spends: always, amount: "amount", currency: "currency", payee: charge},
		{path: "/v1/charges", base: []string{"amount={n}", "currency={c}", "destination[account]=acct_1"}, spends: always, amount: "amount", currency: "currency", payee: charge},
		{path: "/v1/payment_intents", base: []string{"amount={n}", "currency={c}", "confirm=true", "payment_method=pm_1"}, spends: set("confirm"), amount: "amount", currency: "currency", payee: charge},
		{path: "/v1/payment_intents", base: []string{"amount={n}", "currency={c}", "confirm=false"}, spends: set("confirm"), amount: "amount", currency: "currency", payee: charge},
		{path: "/v1/payment_intents", base: []string{"amount={n}", "currency={c}"}, spends: set("confirm"), amount: "amount", currency: "currency", payee: charge},
		{path: "/v1/payment_intents/pi_1", base: []string{"amount={n}", "currency={c}"}, spends: set("confirm")},
		{path: "/v1/payment_intents/pi_1/capture", base: []string{"amount_to_capture={n}"}, spends: always, amount: "amount_to_capture", whole: true},
		{path: "/v1/charges/ch_1/capture", base: []string{"amount={n}"}, spends: always, amount: "amount", whole: true},
		{path: "/v1/refunds", base: []string{"charge=ch_1", "amount={n}"}, spends: always, amount: "amount", target: []string{"charge", "payment_intent"}, whole: true},
		{path: "/v1/refunds", base: []string{"payment_intent=pi_1", "reason=duplicate"}, spends: always, amount: "amount", target: []string{"charge", "payment_intent"}, whole: true},
		{path: "/v1/transfers", base: []string{"amount={n}", "currency={c}", "destination=acct_1", "description=a%20b"}, spends: always, amount: "amount", currency: "currency", payee: []string{"destination"}},
		{path: "/v1/payouts", base: []string{"amount={n}", "currency={c}", "destination=ba_1", "method=instant"}, spends: always, amount: "amount", currency: "currency", payee: []string{"destination"}},
		{path: "/v1/topups", base: []string{"amount={n}", "currency={c}", "source=src_1"}, spends: always, amount: "amount", currency: "currency"},
		{path: "/v1/transfers/tr_1/reversals", base: []string{"amount={n}"}, spends: always, amount: "amount", whole: true},
		{path: "/v1/application_fees/fee_1/refunds", base: []string{"amount={n}"}, spends: always, amount: "amount", whole: true},
		{path: "/v1/customers", base: []string{"email=a%40b.example", "name=Jenny"}, spends: set("balance", "account_balance"), gives: set("source", "payment_method", "card")},
		{path: "/v1/customers/cus_1", base: []string{"balance=-{n}", "name=Jenny"}, spends: set("balance", "account_balance"), gives: set("source", "default_source", "card"), amount: "balance", credit: true},
		{path: "/v1/customers/cus_1", base: []string{"name=Jenny", "invoice_settings[footer]=x"}, spends: set("balance", "account_balance"), gives: set("source", "default_source", "invoice_settings[default_payment_method]")},
		{path: "/v1/customers/cus_1/balance_transactions", base: []string{"amount=-{n}", "currency={c}"}, spends: always, amount: "amount", currency: "currency", credit: true},
		{path: "/v1/invoices", base: []string{"customer=cus_1", "auto_advance=false", "pending_invoice_items_behavior=include"}, spends: func(p params) bool {
			// Since 2022 nothing stands on a new invoice that does not ask for what waits.
			what := p.get("pending_invoice_items_behavior")
			return set("auto_advance", "automatically_finalizes_at")(p) && what != "" && what != "exclude"
		}},
		{path: "/v1/invoices/in_1/pay", base: []string{"paid_out_of_band=true"}, spends: func(p params) bool { return p.get("paid_out_of_band") != "true" }},
		{path: "/v1/invoices/in_1/pay", base: []string{"off_session=true"}, spends: func(p params) bool { return p.get("paid_out_of_band") != "true" }},
		{method: "DELETE", path: "/v1/subscriptions/sub_1", base: []string{"cancellation_details[comment]=x"}, spends: set("invoice_now", "prorate"), asked: true},
		{path: "/v1/checkout/sessions", base: []string{"mode=setup", "currency={c}", "success_url=https%3A%2F%2Fshop.example"}, spends: func(p params) bool { return p.get("mode") != "setup" }, gives: always},
		{path: "/v1/invoiceitems", base: []string{"customer=cus_1", "amount={n}", "currency={c}"}, spends: func(p params) bool { return !slices.Equal(numbers(p.get("amount")), []int64{0}) },
			amount: "amount", currency: "currency"},
		{path: "/v1/treasury/outbound_payments", base: []string{"financial_account=fa_1", "amount={n}", "currency={c}", "destination_payment_method=pm_2"}, spends: always, amount: "amount", currency: "currency", payee: []string{"destination_payment_method"}},
		{path: "/v1/billing/credit_grants", base: []string{"customer=cus_1", "category=paid", "amount[type]=monetary", "amount[monetary][value]={n}", "amount[monetary][currency]={c}"}, spends: always,
			amount: "amount[monetary][value]", currency: "amount[monetary][currency]"},
		{path: "/v1/checkout/sessions", base: []string{"mode=payment", "success_url=https%3A%2F%2Fshop.example", "line_items[0][quantity]=3", "line_items[0][price_data][currency]={c}", "line_items[0][price_data][unit_amount]={n}",
			"line_items[0][price_data][product]=prod_1"}, spends: always, amount: "line_items[0][price_data][unit_amount]", currency: "line_items[0][price_data][currency]", worth: sumOf("line_items")},
		{path: "/v1/subscriptions", base: []string{"customer=cus_1", "items[0][quantity]=3", "items[0][price_data][currency]={c}", "items[0][price_data][unit_amount]={n}", "items[0][price_data][product]=prod_1",
			"items[0][price_data][recurring][interval]=month"}, spends: func(p params) bool { return sumOf("items")(p)[0] != 0 }, amount: "items[0][price_data][unit_amount]", currency: "items[0][price_data][currency]", worth: sumOf("items")},
		{path: "/v1/accounts/acct_1/reject", base: []string{"reason=fraud"}, gives: set("payouts_action")},
	}
}

// judged asks the rail about a call, and answers its lookups.
func (o *oracle) judged(r *Rail, c *rails.Call) (rails.Judgement, []rails.Lookup, error) {
	j, err := r.Intent(c, nil)
	if err != nil || len(j.Lookups) == 0 {
		return j, nil, err
	}
	asked := j.Lookups
	var facts []rails.Fact
	for _, l := range asked {
		facts = append(facts, rails.Fact{Lookup: l, Reply: rails.Reply{Status: 200, Body: []byte(told(l.Target))}})
	}
	j, err = r.Intent(c, facts)
	return j, asked, err
}

// worse says in what a server's reading of a call goes beyond what was judged; "" if
// in nothing.
func (o *oracle) worse(p params, j *rails.Judgement, asked []rails.Lookup) string {
	class := j.Intent.Class
	if class == spend.Unrecognised {
		return "" // a person's, or nobody's
	}
	if class != spend.Spend {
		if o.spends != nil && o.spends(p) {
			return "it spends"
		}
		if class != spend.Capability && o.gives != nil && o.gives(p) {
			return "it gives away a way to spend"
		}
		return ""
	}
	leg := j.Intent.Legs[0]
	if o.amount != "" {
		if !p.has(o.amount) && !o.whole {
			return "" // no server takes it
		}
		worth := []int64{70000} // all there is, without a word on how much
		if o.worth != nil {
			worth = o.worth(p)
		} else if p.has(o.amount) {
			worth = numbers(p.get(o.amount))
		}
		for _, n := range worth {
			if o.credit {
				n = -n
			}
			if c, err := leg.Amount.Cmp(spend.NewAmount(leg.Amount.Unit(), max(n, 0))); err != nil || c < 0 {
				return fmt.Sprintf("its amount is %d", n)
			}
		}
	}
	if unit := strings.ToUpper(strings.TrimSpace(p.get(o.currency))); o.currency != "" && unit != leg.Amount.Unit() && unit != "" {
		return "its currency is " + unit
	}
	named := ""
	for _, name := range o.payee {
		for _, v := range p[name] {
			if named += v; v != leg.Payee {
				return "it pays " + v
			}
		}
		if o.either && named != "" {
			break
		}
	}
	if o.payee != nil && named == "" && leg.Payee != "" {
		return "it pays nobody in particular"
	}
	for _, name := range o.target {
		if v := p.get(name); v != "" && (len(asked) != 1 || !strings.Contains(asked[0].Target, "/"+v)) {
			return "it is about " + v
		}
	}
	return ""
}

// properties is how many calls the property test makes up: OUTGO_PROPERTY, or few
// enough for every run.
func properties(t *testing.T) int {
	if s := os.Getenv("OUTGO_PROPERTY"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 20_000
}

// No server that is known, or easily thought of, makes more of a call than was
// judged, and what is sent has one reading for all. Run it at length with
//
//	OUTGO_PROPERTY=1000000 go test ./rails/stripe -run TestNoReadingIsWorse -v -timeout 60m
func TestNoReadingIsWorse(t *testing.T) {
	r, n, all, known, tricksKnown := New(Options{}), properties(t), oracles(), servers(), knownTricks()
	accepted, of := map[spend.Class]int{}, make([]int, len(all))
	total, spoiled, spoiledAccepted := 0, 0, 0
	for i := range n {
		rng := rand.New(rand.NewPCG(7, uint64(i))) //nolint:gosec // a test must be repeatable
		o := &all[i%len(all)]
		query, body, tricks := spoil(rng, o, tricksKnown)
		if len(tricks) > 0 {
			spoiled++
		}
		if o.asked {
			query, body = body, query
		}
		c := post(o.path, body, "Stripe-Version", "2026-08-26.dahlia")
		c.Query, c.HasQuery = query, query != ""
		if o.method != "" {
			c.Method = o.method
		}
		j, asked, err := o.judged(r, c)
		if err != nil {
			continue
		}
		accepted[j.Intent.Class]++
		of[i%len(all)]++
		if total++; len(tricks) > 0 {
			spoiledAccepted++
		}
		var one params
		for k := range known {
			s := &known[k]
			if p, ok := s.read(query, body); ok {
				if what := o.worse(p, &j, asked); what != "" {
					t.Fatalf("call %d, %v: %s?%q with %q is judged as %s of %+v, and for %s %s", i, tricks, o.path, query, body, j.Intent.Class, j.Intent.Legs, s.name, what)
				}
			}
			p, ok := s.read(j.Query, string(j.Body))
			if !ok {
				t.Fatalf("call %d, %v: %s?%q with %q goes out as %q and %q, which %s refuses", i, tricks, o.path, query, body, j.Query, j.Body, s.name)
			}
			if what := o.worse(p, &j, asked); what != "" {
				t.Fatalf("call %d, %v: %s?%q with %q goes out as %q and %q, and for %s %s", i, tricks, o.path, query, body, j.Query, j.Body, s.name, what)
			}
			if one == nil {
				one = p
			} else if !maps.EqualFunc(one, p, slices.Equal) {
				t.Fatalf("call %d, %v: %s?%q with %q goes out as %q and %q, which %s reads as %q and %s as %q", i, tricks, o.path, query, body, j.Query, j.Body, known[0].name, one, s.name, p)
			}
		}
	}
	t.Logf("%d calls, %d of them spoiled; %d accepted (%v), %d of them spoiled", n, spoiled, total, accepted, spoiledAccepted)
	if i := slices.Index(of, 0); i >= 0 && n >= 20_000 {
		t.Errorf("no call of %s %q was accepted", all[i].path, all[i].base)
	}
	if total*5 < n || spoiledAccepted*10 < spoiled {
		t.Errorf("of %d calls %d were accepted, and %d of %d spoiled ones: the property says little", n, total, spoiledAccepted, spoiled)
	}
}
