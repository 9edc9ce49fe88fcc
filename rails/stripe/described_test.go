package stripe

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// described is the part of Stripe's description of its API that says what calls look
// like.
type described struct {
	Paths map[string]map[string]struct {
		RequestBody struct {
			Content map[string]struct{ Schema *describedParam }
		}
	}
}

type describedParam struct {
	Type, Format string
	Enum         []string
	AnyOf        []*describedParam
	Items        *describedParam
	Properties   map[string]*describedParam
	Required     []string
}

// describedAPI reads the description that stripe-mock carries.
func describedAPI(t *testing.T) described {
	t.Helper()
	const how = "set OUTGO_STRIPE_SPEC to embedded/openapi/spec3.json of github.com/stripe/stripe-mock v0.203.0, which `go mod download` fetches"
	data, err := os.ReadFile(os.Getenv("OUTGO_STRIPE_SPEC"))
	if err != nil && os.Getenv("OUTGO_TEST_REQUIRE") == "all" {
		t.Fatalf("no description of Stripe's API: %v; %s", err, how)
	} else if err != nil {
		t.Skip(how)
	}
	var d described
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// shape is p, of alternatives the one that says most.
func (p *describedParam) shape() *describedParam {
	for _, other := range p.AnyOf {
		if other.Type == "object" || p.Type == "" {
			p = other
		}
	}
	return p
}

// value is something for a parameter of no parts.
func (p *describedParam) value(name string) string {
	last := strings.Trim(name[strings.LastIndexByte(name, '[')+1:], "]")
	switch {
	case len(p.Enum) > 0:
		return p.Enum[len(p.Enum)-1]
	case p.Type == "integer", p.Type == "number", p.Format == "decimal":
		return "100"
	case p.Type == "boolean":
		return "true"
	case p.Format == "currency", last == "currency":
		return "usd"
	case strings.HasSuffix(last, "_number"):
		return "110000000"
	case last == "destination", strings.HasSuffix(last, "account"):
		return "acct_1"
	}
	return "x_1"
}

// required appends the segments without which a call with the parameter is none.
func (p *describedParam) required(name string, to []string) []string {
	p = p.shape()
	switch p.Type {
	case "array":
		return p.Items.required(name+"[0]", to)
	case "object":
		for _, part := range p.Required {
			to = p.Properties[part].required(below(name, part), to)
		}
		if len(p.Properties) == 0 && name != "" {
			to = append(to, name+"[a]=b")
		}
		return to
	}
	return append(to, name+"="+url.QueryEscape(p.value(name)))
}

// each calls fn with the segments of each parameter below p and what it requires.
func (p *describedParam) each(name string, fn func(name string, segments []string)) {
	p = p.shape()
	switch {
	case p.Type == "array":
		p.Items.each(name+"[0]", fn)
	case p.Type == "object" && len(p.Properties) > 0:
		need := p.required(name, nil)
		for _, part := range slices.Sorted(maps.Keys(p.Properties)) {
			p.Properties[part].each(below(name, part), func(name string, segments []string) { fn(name, merge(need, segments)) })
		}
	default:
		fn(name, p.required(name, nil))
	}
}

func below(name, part string) string {
	if name == "" {
		return part
	}
	return name + "[" + part + "]"
}

// merge appends to what is needed what is not there yet.
func merge(need, more []string) []string {
	all := slices.Clone(need)
	for _, s := range more {
		name, _, _ := strings.Cut(s, "=")
		if !slices.ContainsFunc(all, func(a string) bool { return strings.HasPrefix(a, name+"=") }) {
			all = append(all, s)
		}
	}
	return all
}

// Each parameter that Stripe describes, alone with those that its operation requires,
// is read without a complaint about its form. What is refused is refused for what it
// says, and stands here with why.
func TestWhatStripeDescribesIsNotRefusedForItsForm(t *testing.T) {
	r, api := New(Options{}), describedAPI(t)
	calls, refused := 0, map[string]int{}
	classes := map[spend.Class]int{}
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		for _, method := range []string{"post", "delete"} {
			op, ok := api.Paths[path][method]
			form, formed := op.RequestBody.Content[formType]
			if !ok || !formed {
				continue
			}
			filled := fillPath(path)
			listed, _, err := find("api.stripe.com", strings.ToUpper(method), filled)
			if err != nil || listed == nil {
				t.Fatalf("%s %s is not listed: %v", method, filled, err)
			}
			try := func(name string, segments []string) {
				segments = completed(listed.name, path, segments)
				c := post(filled, strings.Join(segments, "&"), "Authorization", "Bearer sk_test_1", "Stripe-Version", "2026-08-26.dahlia")
				c.Method = strings.ToUpper(method)
				j, err := r.Intent(c, nil)
				calls++
				var refusal *rails.Refusal
				if errors.As(err, &refusal) {
					refused[fmt.Sprintf("%s %s: %s", listed.name, name, refusal)]++
				} else if err != nil {
					t.Errorf("%s with %v: %v", listed.name, segments, err)
				} else {
					classes[j.Intent.Class]++
				}
			}
			try("", form.Schema.required("", nil))
			form.Schema.each("", try)
		}
	}
	t.Logf("%d calls: %v, %d refused", calls, classes, len(refused))
	for _, what := range slices.Sorted(maps.Keys(refused)) {
		if !slices.ContainsFunc(rightlyRefused(), func(with string) bool { return strings.HasPrefix(what, with) }) {
			t.Errorf("%s", what)
		}
	}
	if calls < 7000 {
		t.Errorf("%d calls were made up, want 7000 at least", calls)
	}
}

// completed adds what Stripe's documentation requires of a call and its description
// does not.
func completed(operation, path string, segments []string) []string {
	has := func(prefix string) bool {
		return slices.ContainsFunc(segments, func(s string) bool { return strings.HasPrefix(s, prefix) })
	}
	for _, need := range []struct{ operation, with, without, segments string }{
		{"charges.create", "", "", "amount=100&currency=usd"},
		{"transfers.create", "", "", "amount=100"},
		{"refunds.create", "", "/v1/charges/ payment_intent origin", "charge=ch_1"},
		{"refunds.create", "origin", "/v1/charges/", "amount=100&currency=usd&customer=cus_1"},
		{"terminal.readers.refund_payment", "", "payment_intent", "charge=ch_1"},
		{"invoiceitems.create", "quantity", "", "pricing[price]=price_1"},
		{"invoiceitems.create", "", "pricing price unit_amount", "amount=100&currency=usd"},
		{"invoiceitems.create", "unit_amount", "", "currency=usd"},
		{"subscriptions.create", "", "items", "items[0][price]=price_1"},
		{"subscription_schedules.create", "", "phases from_subscription", "from_subscription=sub_1"},
		{"subscription_schedules.update", "", "phases[0][items]", "phases[0][items][0][price]=price_1"},
		{"invoiceitems.create", "price_data", "price_data[unit_amount", "price_data[unit_amount]=100"},
		{"invoiceitems.create", "", "customer", "customer=cus_1"},
		{"subscriptions.create", "", "/v1/customers/ customer", "customer=cus_1"},
		{"subscriptions.create", "items[0]", "items[0][price", "items[0][price]=price_1"},
		{"subscriptions.create", "items[0][price_data]", "items[0][price_data][unit_amount", "items[0][price_data][unit_amount]=100"},
		{"subscriptions.create", "add_invoice_items[0]", "add_invoice_items[0][price", "add_invoice_items[0][price]=price_1"},
		{"subscriptions.create", "add_invoice_items[0][price_data]", "add_invoice_items[0][price_data][unit_amount", "add_invoice_items[0][price_data][unit_amount]=100"},
		{"subscriptions.update", "items[0]", "items[0][price", "items[0][price]=price_1"},
		{"subscriptions.update", "items[0][price_data]", "items[0][price_data][unit_amount", "items[0][price_data][unit_amount]=100"},
		{"subscriptions.update", "add_invoice_items[0]", "add_invoice_items[0][price", "add_invoice_items[0][price]=price_1"},
		{"subscriptions.update", "add_invoice_items[0][price_data]", "add_invoice_items[0][price_data][unit_amount", "add_invoice_items[0][price_data][unit_amount]=100"},
		{"subscription_schedules.create", "phases[0][items][0]", "phases[0][items][0][price", "phases[0][items][0][price]=price_1"},
		{"subscription_schedules.create", "phases[0][items][0][price_data]", "phases[0][items][0][price_data][unit_amount", "phases[0][items][0][price_data][unit_amount]=100"},
		{"subscription_schedules.create", "phases[0][add_invoice_items][0]", "phases[0][add_invoice_items][0][price", "phases[0][add_invoice_items][0][price]=price_1"},
		{"subscription_schedules.create", "phases[0][add_invoice_items][0][price_data]", "phases[0][add_invoice_items][0][price_data][unit_amount", "phases[0][add_invoice_items][0][price_data][unit_amount]=100"},
		{"subscription_schedules.update", "phases[0][items][0]", "phases[0][items][0][price", "phases[0][items][0][price]=price_1"},
		{"subscription_schedules.update", "phases[0][items][0][price_data]", "phases[0][items][0][price_data][unit_amount", "phases[0][items][0][price_data][unit_amount]=100"},
		{"subscription_schedules.update", "phases[0][add_invoice_items][0]", "phases[0][add_invoice_items][0][price", "phases[0][add_invoice_items][0][price]=price_1"},
		{"subscription_schedules.update", "phases[0][add_invoice_items][0][price_data]", "phases[0][add_invoice_items][0][price_data][unit_amount", "phases[0][add_invoice_items][0][price_data][unit_amount]=100"},
		{"subscription_items.create", "", "price", "price=price_1"},
		{"subscription_items.create", "price_data", "price_data[unit_amount", "price_data[unit_amount]=100"},
		{"climate.orders.create", "", "metric_tons", "amount=100&currency=usd"},
		{"billing.credit_grants.create", "", "", "amount[monetary][value]=100&amount[monetary][currency]=usd"},
		{"treasury.outbound_payments.create", "destination_payment_method_data[us_bank_account]", "", "destination_payment_method_data[us_bank_account][routing_number]=110000000&destination_payment_method_data[us_bank_account][account_number]=000123456789"},
		{"checkout.sessions.create", "shipping_options[0][shipping_rate_data]", "", "shipping_options[0][shipping_rate_data][fixed_amount][amount]=5&shipping_options[0][shipping_rate_data][fixed_amount][currency]=usd"},
		{"checkout.sessions.create", "line_items[0]", "line_items[0][price_data]", "line_items[0][price]=price_1"},
		{"checkout.sessions.create", "line_items[0][price_data]", "line_items[0][price_data][unit_amount", "line_items[0][price_data][unit_amount]=100"},
		{"payment_links.create", "", "line_items[0][price_data]", "line_items[0][price]=price_1"},
		{"payment_links.create", "line_items[0][price_data]", "line_items[0][price_data][unit_amount", "line_items[0][price_data][unit_amount]=100"},
	} {
		spared := slices.ContainsFunc(strings.Fields(need.without), func(w string) bool { return has(w) || strings.HasPrefix(path, w) })
		if need.operation == operation && (need.with == "" || has(need.with)) && !spared {
			segments = merge(segments, strings.Split(need.segments, "&"))
		}
	}
	return segments
}

// rightlyRefused are the refusals that stand.
func rightlyRefused() []string {
	return []string{
		// The path of an alias names the charge.
		"refunds.create origin: AMBIGUOUS", "refunds.create payment_intent: AMBIGUOUS",
		// A price alone does not say how much.
		"invoiceitems.create pri", "invoiceitems.create quantity_decimal",
	}
}

// fillPath puts an id in for each name in a path.
func fillPath(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = "obj_1"
		}
	}
	return strings.Join(parts, "/")
}
