package stripe

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// judgeWith reads a call and answers its lookups from replies, by their target. It
// returns the lookups that were made.
func judgeWith(t testing.TB, c *rails.Call, replies map[string]string) (rails.Judgement, []string, error) {
	t.Helper()
	r := New(Options{})
	var facts []rails.Fact
	var targets []string
	for {
		j, err := r.Intent(c, facts)
		if err != nil || len(j.Lookups) == 0 {
			return j, targets, err
		}
		for i := range j.Intent.Legs {
			if !j.Intent.Legs[i].Amount.IsZero() {
				t.Fatalf("%s has an amount while %v is due", c.Path, j.Lookups)
			}
		}
		for _, l := range j.Lookups {
			body, ok := replies[l.Target]
			if !ok || len(facts) == maxLookups {
				t.Fatalf("%s looks up %s, beside %v", c.Path, l.Target, targets)
			}
			if _, _, _, err := rails.CanonicalTarget(l.Target); err != nil {
				t.Fatal(err)
			}
			targets = append(targets, l.Target)
			facts = append(facts, rails.Fact{Lookup: l, Reply: rails.Reply{Status: 200, Body: []byte(body)}})
		}
	}
}

// legsOf renders legs as "charge 500 USD to acct_1 of acme as 5734", divided by "; ".
func legsOf(in *spend.Intent) string {
	var all []string
	for i := range in.Legs {
		l := &in.Legs[i]
		s := string(l.Kind) + " " + l.Amount.String()
		for _, of := range [][2]string{{" to ", l.Payee}, {" of ", l.Merchant}, {" as ", l.Category}} {
			if of[1] != "" {
				s += of[0] + of[1]
			}
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

// saleCase is a call, what the provider answers to its lookups, and what is made of
// both: the legs, or the code of the refusal.
type saleCase struct {
	path, body string
	replies    map[string]string
	class      spend.Class // Spend by default
	legs       string
	object     string
	lookups    int
	code       spend.Code
}

func runSales(t *testing.T, cases map[string]saleCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			j, targets, err := judgeWith(t, post(c.path, c.body), c.replies)
			var refusal *rails.Refusal
			if c.code != "" {
				if !errors.As(err, &refusal) || refusal.Code != c.code {
					t.Fatalf("%s with %q gives %+v, %v; want %s", c.path, c.body, j.Intent, err, c.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.class == "" {
				c.class = spend.Spend
			}
			if got := legsOf(&j.Intent); j.Intent.Class != c.class || got != c.legs || j.Intent.Object != c.object {
				t.Errorf("%s with %q is %s of %q on %q, want %s of %q on %q", c.path, c.body, j.Intent.Class, got, j.Intent.Object, c.class, c.legs, c.object)
			}
			if len(targets) != c.lookups {
				t.Errorf("it made the lookups %v, want %d", targets, c.lookups)
			}
		})
	}
}

// price is what Stripe answers for a price; rest is more of its JSON.
func priceOf(id, currency, unit, rest string) string {
	if rest != "" {
		rest = "," + rest
	}
	return fmt.Sprintf(`{"id":%q,"object":"price","billing_scheme":"per_unit","currency":%q,"unit_amount":%s%s}`, id, currency, unit, rest)
}

func taxOf(id, inclusive, percentage string) string {
	return fmt.Sprintf(`{"id":%q,"object":"tax_rate","inclusive":%s,"percentage":%s}`, id, inclusive, percentage)
}

func TestASessionIsJudgedAtTheMostThatItMayAskFor(t *testing.T) {
	const path = "/v1/checkout/sessions"
	const one = "mode=payment&success_url=https%3A%2F%2Fa.example&line_items[0][quantity]=2&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=1000&line_items[0][price_data][product_data][name]=Tea"
	tea := map[string]string{"/v1/prices/price_1": priceOf("price_1", "eur", "700", "")}
	runSales(t, map[string]saleCase{
		"quantity times price": {path: path, body: one, legs: "charge 2000 USD"},
		"two items, and for an account": {path: path, body: one + "&line_items[1][quantity]=1&line_items[1][price_data][currency]=usd&line_items[1][price_data][unit_amount]=5&payment_intent_data[transfer_data][destination]=acct_9",
			legs: "charge 2005 USD to acct_9"},
		"as many as the payer may choose":     {path: path, body: one + "&line_items[0][adjustable_quantity][enabled]=true&line_items[0][adjustable_quantity][maximum]=10", legs: "charge 10000 USD"},
		"99 where there is no maximum":        {path: path, body: one + "&line_items[0][adjustable_quantity][enabled]=true", legs: "charge 99000 USD"},
		"no more where none may be chosen":    {path: path, body: one + "&line_items[0][adjustable_quantity][enabled]=false&line_items[0][adjustable_quantity][maximum]=10", legs: "charge 2000 USD"},
		"a discount lowers nothing":           {path: path, body: one + "&discounts[0][coupon]=FREE", legs: "charge 2000 USD"},
		"a price by its id":                   {path: path, body: "mode=payment&line_items[0][price]=price_1&line_items[0][quantity]=3", replies: tea, legs: "charge 2100 EUR", lookups: 1},
		"a plan by the id that people gave":   {path: path, body: "mode=subscription&line_items[0][price]=gold-monthly&line_items[0][quantity]=1", replies: map[string]string{"/v1/prices/gold-monthly": priceOf("gold-monthly", "eur", "900", `"recurring":{"interval":"month","usage_type":"licensed"}`)}, legs: "charge 900 EUR", lookups: 1},
		"optional items, as many as there be": {path: path, body: "mode=payment&line_items[0][price]=price_1&line_items[0][quantity]=1&optional_items[0][price]=price_1&optional_items[0][quantity]=1&optional_items[0][adjustable_quantity][enabled]=true&optional_items[0][adjustable_quantity][maximum]=4", replies: tea, legs: "charge 3500 EUR", lookups: 1},
		"the dearest shipping": {path: path, body: one + "&shipping_options[0][shipping_rate_data][fixed_amount][amount]=500&shipping_options[0][shipping_rate_data][fixed_amount][currency]=usd&shipping_options[1][shipping_rate]=shr_1",
			replies: map[string]string{"/v1/shipping_rates/shr_1": `{"id":"shr_1","object":"shipping_rate","fixed_amount":{"amount":700,"currency":"usd"}}`}, legs: "charge 2700 USD", lookups: 1},
		"shipping in the currency that is asked for": {path: path, body: "mode=payment&currency=eur&line_items[0][price]=price_1&line_items[0][quantity]=1&shipping_options[0][shipping_rate]=shr_1",
			replies: map[string]string{"/v1/prices/price_1?expand[]=currency_options": tea["/v1/prices/price_1"], "/v1/shipping_rates/shr_1": `{"id":"shr_1","object":"shipping_rate","fixed_amount":{"amount":700,"currency":"usd","currency_options":{"eur":{"amount":650}}}}`}, legs: "charge 1350 EUR", lookups: 2},
		"a price in another currency than its own": {path: path, body: "mode=payment&currency=jpy&line_items[0][price]=price_1&line_items[0][quantity]=2",
			replies: map[string]string{"/v1/prices/price_1?expand[]=currency_options": priceOf("price_1", "usd", "700", `"currency_options":{"jpy":{"unit_amount":1100,"unit_amount_decimal":"1100"}}`)}, legs: "charge 2200 JPY", lookups: 1},
		"a price that it does not have in that currency": {path: path, body: "mode=payment&currency=jpy&line_items[0][price]=price_1&line_items[0][quantity]=2",
			replies: map[string]string{"/v1/prices/price_1?expand[]=currency_options": priceOf("price_1", "usd", "700", "")}, class: spend.Unrecognised, lookups: 1},
		"an amount that the payer chooses, up to a maximum": {path: path, body: "mode=payment&line_items[0][price]=price_1&line_items[0][quantity]=1",
			replies: map[string]string{"/v1/prices/price_1": priceOf("price_1", "eur", "null", `"custom_unit_amount":{"minimum":100,"maximum":90000,"preset":500}`)}, legs: "charge 90000 EUR", lookups: 1},
		"and one without": {path: path, body: "mode=payment&line_items[0][price]=price_1&line_items[0][quantity]=1",
			replies: map[string]string{"/v1/prices/price_1": priceOf("price_1", "eur", "null", `"custom_unit_amount":{"minimum":100,"maximum":null}`)}, class: spend.Unrecognised, lookups: 1},
		"tiers are not known": {path: path, body: "mode=subscription&line_items[0][price]=price_1&line_items[0][quantity]=1",
			replies: map[string]string{"/v1/prices/price_1": strings.Replace(tea["/v1/prices/price_1"], "per_unit", "tiered", 1)}, class: spend.Unrecognised, lookups: 1},
		"use is not known": {path: path, body: "mode=subscription&line_items[0][price]=price_1",
			replies: map[string]string{"/v1/prices/price_1": priceOf("price_1", "eur", "1", `"recurring":{"usage_type":"metered"}`)}, class: spend.Unrecognised, lookups: 1},
		"packs of twelve, and one begun": {path: path, body: "mode=payment&line_items[0][price]=price_1&line_items[0][quantity]=25",
			replies: map[string]string{"/v1/prices/price_1": priceOf("price_1", "eur", "700", `"transform_quantity":{"divide_by":12,"round":"down"}`)}, legs: "charge 2100 EUR", lookups: 1},
		"a fraction of a cent is rounded up at the end": {path: path, body: strings.Replace(one, "[unit_amount]=1000", "[unit_amount_decimal]=0.35", 1), legs: "charge 1 USD"},
		"fractions add up":                         {path: path, body: strings.Replace(strings.Replace(one, "[unit_amount]=1000", "[unit_amount_decimal]=12.5", 1), "[quantity]=2", "[quantity]=4", 1), legs: "charge 50 USD"},
		"three decimals":                           {path: path, body: strings.ReplaceAll(one, "usd", "kwd"), legs: "charge 2000 KWD"},
		"three decimals that Stripe does not take": {path: path, body: strings.Replace(strings.ReplaceAll(one, "usd", "kwd"), "=1000", "=1001", 1), code: spend.Malformed},
		"none":                                {path: path, body: strings.ReplaceAll(one, "usd", "jpy"), legs: "charge 2000 JPY"},
		"an item as it was until 2022":        {path: path, body: "line_items[0][amount]=500&line_items[0][currency]=usd&line_items[0][name]=Tea&line_items[0][quantity]=3", legs: "charge 1500 USD"},
		"plans, until 2022":                   {path: path, body: "subscription_data[items][0][plan]=gold", class: spend.Unrecognised},
		"nothing":                             {path: path, body: "mode=payment", class: spend.Unrecognised},
		"something free":                      {path: path, body: strings.Replace(one, "=1000", "=0", 1), class: spend.Unrecognised},
		"two currencies":                      {path: path, body: one + "&line_items[1][quantity]=1&line_items[1][price_data][currency]=eur&line_items[1][price_data][unit_amount]=5", class: spend.Unrecognised},
		"four prices are too many to look up": {path: path, body: "mode=payment&line_items[0][price]=price_1&line_items[1][price]=price_2&line_items[2][price]=price_3&line_items[3][price]=price_4", class: spend.Unrecognised},
		"a way to save an instrument":         {path: path, body: "mode=setup&currency=usd", class: spend.Capability},
		"one of an unknown parameter, too":    {path: path, body: "mode=setup&currency=usd&frobnicate=1", class: spend.Capability},
		"tax on top":                          {path: path, body: one + "&line_items[0][tax_rates][0]=txr_1", replies: map[string]string{"/v1/tax_rates/txr_1": taxOf("txr_1", "false", "19.0")}, legs: "charge 2380 USD", lookups: 1},
		"tax within":                          {path: path, body: one + "&line_items[0][tax_rates][]=txr_1", replies: map[string]string{"/v1/tax_rates/txr_1": taxOf("txr_1", "true", "19")}, legs: "charge 2000 USD", lookups: 1},
		"two taxes, and a fraction of a cent": {path: path, body: one + "&line_items[0][tax_rates][0]=txr_1&line_items[0][tax_rates][1]=txr_2", replies: map[string]string{"/v1/tax_rates/txr_1": taxOf("txr_1", "false", "7.255"), "/v1/tax_rates/txr_2": taxOf("txr_2", "false", "100")}, legs: "charge 4146 USD", lookups: 2},
		"tax on a price by its id":            {path: path, body: "mode=payment&line_items[0][price]=price_1&line_items[0][quantity]=1&line_items[0][tax_rates][0]=txr_1", replies: map[string]string{"/v1/prices/price_1": tea["/v1/prices/price_1"], "/v1/tax_rates/txr_1": taxOf("txr_1", "false", "20")}, legs: "charge 840 EUR", lookups: 2},
		"a flat tax":                          {path: path, body: one + "&line_items[0][tax_rates][0]=txr_1", replies: map[string]string{"/v1/tax_rates/txr_1": taxOf("txr_1", "false", "null")}, class: spend.Unrecognised, lookups: 1},
		"a tax by country":                    {path: path, body: one + "&line_items[0][dynamic_tax_rates][0]=txr_1", class: spend.Unrecognised},
		"a subscription's tax":                {path: path, body: one + "&subscription_data[default_tax_rates][0]=txr_1", class: spend.Unrecognised},
		"a tax that leads elsewhere":          {path: path, body: one + "&line_items[0][tax_rates][0]=a%2Fb", code: spend.Malformed},
		"a price twice":                       {path: path, body: one + "&line_items[0][price]=price_1", code: spend.Ambiguous},
		"an amount twice":                     {path: path, body: one + "&line_items[0][price_data][unit_amount_decimal]=1", code: spend.Ambiguous},
		"two who are paid":                    {path: path, body: one + "&payment_intent_data[transfer_data][destination]=acct_9&subscription_data[transfer_data][destination]=acct_8", code: spend.Ambiguous},
		"items without numbers":               {path: path, body: "mode=payment&line_items[price]=price_1", code: spend.Malformed},
		"an item without a price":             {path: path, body: "mode=payment&line_items[0][quantity]=1", code: spend.Malformed},
		"less than nothing":                   {path: path, body: strings.Replace(one, "=1000", "=-1000", 1), code: spend.Malformed},
		"more than there is":                  {path: path, body: strings.Replace(one, "=1000", "=9223372036854775807", 1), code: spend.Malformed},
		"what a decimal has too many of":      {path: path, body: strings.Replace(one, "[unit_amount]=1000", "[unit_amount_decimal]=1.0000000000001", 1), code: spend.Malformed},
		"a maximum that is none":              {path: path, body: one + "&line_items[0][adjustable_quantity][enabled]=true&line_items[0][adjustable_quantity][maximum]=1e9", code: spend.Malformed},
		"perhaps":                             {path: path, body: one + "&line_items[0][adjustable_quantity][enabled]=1", code: spend.Malformed},
		"a price that leads elsewhere":        {path: path, body: "mode=payment&line_items[0][price]=..%2Fpayouts", code: spend.Malformed},
	})
}

const linkItems = `"line_items":{"object":"list","has_more":false,"data":[
	{"id":"li_1","object":"item","quantity":2,"adjustable_quantity":null,"price":{"id":"price_1","object":"price","billing_scheme":"per_unit","currency":"usd","unit_amount":500}},
	{"id":"li_2","object":"item","quantity":1,"adjustable_quantity":{"enabled":true,"maximum":3,"minimum":1},"price":{"id":"price_2","object":"price","billing_scheme":"per_unit","currency":"usd","unit_amount":10}}]}`

func TestAnUpdateIsJudgedAtAllThatIsThenAskedFor(t *testing.T) {
	const path, object = "/v1/checkout/sessions/cs_1", "checkout/sessions/cs_1"
	const link, linked = "/v1/payment_links/plink_1", "payment_links/plink_1"
	session := map[string]string{"/v1/checkout/sessions/cs_1?expand[]=line_items": `{"id":"cs_1","object":"checkout.session","currency":"usd","amount_total":1,` + linkItems + `,"shipping_options":[{"shipping_amount":40,"shipping_rate":"shr_1"}],"optional_items":null}`}
	open := map[string]string{"/v1/payment_links/plink_1?expand[]=line_items": `{"id":"plink_1","object":"payment_link","currency":"usd","transfer_data":{"destination":"acct_9"},` + linkItems + `,"optional_items":[{"price":"price_3","quantity":2,"adjustable_quantity":null}],"shipping_options":[]}`,
		"/v1/prices/price_3?expand[]=currency_options": priceOf("price_3", "usd", "7", "")}
	cut := map[string]string{"/v1/payment_links/plink_1?expand[]=line_items": strings.Replace(open["/v1/payment_links/plink_1?expand[]=line_items"], `"has_more":false`, `"has_more":true`, 1)}
	runSales(t, map[string]saleCase{
		"an item that stays":                  {path: path, body: "line_items[0][id]=li_1", replies: session, legs: "charge 1040 USD", object: object, lookups: 1},
		"more of it":                          {path: path, body: "line_items[0][id]=li_1&line_items[0][quantity]=9", replies: session, legs: "charge 4540 USD", object: object, lookups: 1},
		"an item at another price":            {path: path, body: "line_items[0][id]=li_1&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=9000", replies: session, legs: "charge 18040 USD", object: object, lookups: 1},
		"an item beside it":                   {path: path, body: "line_items[0][id]=li_1&line_items[1][quantity]=1&line_items[1][price_data][currency]=usd&line_items[1][price_data][unit_amount]=1", replies: session, legs: "charge 1041 USD", object: object, lookups: 1},
		"another shipping":                    {path: path, body: "shipping_options[0][shipping_rate_data][fixed_amount][amount]=9&shipping_options[0][shipping_rate_data][fixed_amount][currency]=usd", replies: session, legs: "charge 1039 USD", object: object, lookups: 1},
		"no shipping, and an item":            {path: path, body: "shipping_options=&line_items[0][id]=li_2", replies: session, legs: "charge 30 USD", object: object, lookups: 1},
		"an item that is not there":           {path: path, body: "line_items[0][id]=li_9", replies: session, class: spend.Unrecognised, object: object, lookups: 1},
		"an item twice":                       {path: path, body: "line_items[0][id]=li_1&line_items[1][id]=li_1", replies: session, code: spend.Ambiguous},
		"an item that was taxed":              {path: path, body: "line_items[0][id]=li_1", replies: map[string]string{"/v1/checkout/sessions/cs_1?expand[]=line_items": strings.Replace(session["/v1/checkout/sessions/cs_1?expand[]=line_items"], `"quantity":2`, `"quantity":2,"amount_tax":19`, 1)}, class: spend.Unrecognised, object: object, lookups: 1},
		"an item that is taxed no more":       {path: path, body: "line_items[0][id]=li_1&line_items[0][tax_rates]=", replies: map[string]string{"/v1/checkout/sessions/cs_1?expand[]=line_items": strings.Replace(session["/v1/checkout/sessions/cs_1?expand[]=line_items"], `"quantity":2`, `"quantity":2,"amount_tax":19`, 1)}, legs: "charge 1040 USD", object: object, lookups: 1},
		"where it is sent":                    {path: path, body: "metadata[a]=b", class: spend.Other, object: object},
		"a link with all of its items":        {path: link, body: "line_items[0][id]=li_1&line_items[0][quantity]=1", replies: open, legs: "charge 544 USD to acct_9", object: linked, lookups: 2},
		"a link that is opened again":         {path: link, body: "active=true", replies: open, legs: "charge 1044 USD to acct_9", object: linked, lookups: 2},
		"a link without its extras":           {path: link, body: "active=true&optional_items=", replies: open, legs: "charge 1030 USD to acct_9", object: linked, lookups: 1},
		"a link for somebody else":            {path: link, body: "transfer_data[destination]=acct_7", replies: open, legs: "charge 1044 USD to acct_7", object: linked, lookups: 2},
		"a link whose items are too many":     {path: link, body: "active=true", replies: cut, class: spend.Unrecognised, object: linked, lookups: 1},
		"a link that is closed":               {path: link, body: "active=false", class: spend.Other, object: linked},
		"what a link says to those who paid":  {path: link, body: "inactive_message=Sold&metadata[a]=b", class: spend.Other, object: linked},
		"a new link":                          {path: "/v1/payment_links", body: "line_items[0][price]=price_1&line_items[0][quantity]=2&transfer_data[destination]=acct_9", replies: map[string]string{"/v1/prices/price_1": priceOf("price_1", "usd", "700", "")}, legs: "charge 1400 USD to acct_9", lookups: 1},
		"a new link for nothing":              {path: "/v1/payment_links", body: "currency=usd", class: spend.Unrecognised},
		"a link with a bank account for whom": {path: "/v1/payment_links", body: "line_items[0][price]=price_1&transfer_data[destination]=a+b", code: spend.Malformed},
	})
}

// What a fact does not say is never made up.
func TestAPriceThatSaysNothingIsNoFact(t *testing.T) {
	for name, body := range map[string]string{
		"a fraction in a whole number":      priceOf("price_1", "eur", "1.5", ""),
		"less than nothing":                 priceOf("price_1", "eur", "-1", ""),
		"a text":                            priceOf("price_1", "eur", `"100"`, ""),
		"a currency that there is not":      priceOf("price_1", "zzz", "1", ""),
		"a divisor of nothing":              priceOf("price_1", "eur", "1", `"transform_quantity":{"divide_by":0}`),
		"another price":                     priceOf("price_2", "eur", "1", ""),
		"two amounts":                       priceOf("price_1", "eur", "1", `"unit_amount":2`),
		"a maximum that is a text":          priceOf("price_1", "eur", "null", `"custom_unit_amount":{"maximum":"5"}`),
		"a decimal that is none":            priceOf("price_1", "eur", "1", `"unit_amount_decimal":"1e3"`),
		"a decimal with too many decimals ": priceOf("price_1", "eur", "1", `"unit_amount_decimal":"1.1234567890123"`),
	} {
		t.Run(name, func(t *testing.T) {
			c := post("/v1/payment_links", "line_items[0][price]=price_1&line_items[0][quantity]=1")
			j, _, err := judgeWith(t, c, map[string]string{"/v1/prices/price_1": body})
			if !errors.Is(err, spend.Unavailable) {
				t.Errorf("%s makes %s, %v", body, legsOf(&j.Intent), err)
			}
		})
	}

	_, targets, err := judgeWith(t, post("/v1/payment_links", "line_items[0][price]=price_1&line_items[1][price]=price_1"), map[string]string{"/v1/prices/price_1": priceOf("price_1", "eur", "5", "")})
	if err != nil || !slices.Equal(targets, []string{"/v1/prices/price_1"}) {
		t.Errorf("one price is looked up by %v", targets)
	}
}
