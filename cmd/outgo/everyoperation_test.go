package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// operation is one of Stripe's, as the table of rails/stripe/gen lists it.
type operation struct {
	surface, method, pattern, name, class string
	when, amount, currency, payee, lookup string
}

// stripeOperations joins what Stripe describes with what people say of it.
func stripeOperations(t *testing.T) []operation {
	t.Helper()
	rows := func(file string) (all [][]string) {
		raw, err := os.ReadFile("../../rails/stripe/gen/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if !strings.HasPrefix(line, "#") {
				all = append(all, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
			}
		}
		return all
	}
	surfaces := map[string]string{}
	for _, row := range slices.Concat(rows("operations.tsv"), rows("added.tsv")) {
		surfaces[row[1]+" "+row[2]] = row[0]
	}
	var all []operation
	for _, row := range rows("classes.tsv") {
		all = append(all, operation{
			surface: surfaces[row[0]+" "+row[1]], method: row[0], pattern: row[1], name: row[2], class: row[3],
			when: row[4], amount: row[6], currency: row[7], payee: row[8], lookup: row[9],
		})
	}
	return all
}

// besides are parameters without which a call of an operation says too little to be
// judged, as the documentation has them.
func besides(o operation) string {
	switch o.name {
	case "invoices.create":
		return "auto_advance=true&customer=cus_1&pending_invoice_items_behavior=include"
	case "invoiceitems.create":
		return "customer=cus_1"
	case "subscription_schedules.create":
		return "customer=cus_1&start_date=now&phases[0][items][0][price]=price_1"
	case "subscription_schedules.update":
		return "phases[0][items][0][price]=price_1&phases[0][items][0][quantity]=1&proration_behavior=none"
	case "checkout.sessions.create", "payment_links.create":
		return "line_items[0][quantity]=1&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=100&line_items[0][price_data][product]=prod_1"
	case "credit_notes.create":
		return "invoice=in_1"
	case "orders.update":
		return "status=canceled"
	case "subscriptions.create":
		if strings.Contains(o.pattern, "/customers/") {
			return "items[0][price]=price_1"
		}
		return "customer=cus_1&items[0][price]=price_1"
	case "subscription_items.create":
		return "subscription=sub_1&price=price_1"
	case "treasury.outbound_payments.create", "treasury.outbound_transfers.create":
		return "financial_account=fa_1"
	case "v2.money_management.outbound_payments.create", "v2.money_management.outbound_transfers.create", "v2.money_management.payout_intents.create":
		return "from.currency=usd&from.financial_account=fa_1"
	}
	return ""
}

// call is one that is of the operation's class, as explain reads it.
func (o operation) call(t *testing.T, id int) string {
	t.Helper()
	path := o.pattern
	if path[0] == '/' {
		path = "api.stripe.com" + path
	}
	path = strings.ReplaceAll(strings.ReplaceAll(path, "{name}", "a-name.25"), "{id}", "id_1")
	line, params := map[string]any{"id": id, "method": o.method, "url": "https://" + path}, o.params()
	headers := map[string]string{"Authorization": "Bearer sk_test_1", "Stripe-Version": "2026-08-26.dahlia"}
	switch {
	case o.method != "POST":
		if len(params) > 0 {
			line["url"] = "https://" + path + "?" + encodeForm(params)
		}
	case path == "files.stripe.com/v1/files":
		headers["Content-Type"] = "multipart/form-data; boundary=x"
		line["body"] = "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\ndispute_evidence\r\n--x--\r\n"
	case strings.Contains(path, "/v2/"):
		headers["Content-Type"], line["body"] = "application/json", encodeMembers(t, params)
	default:
		headers["Content-Type"], line["body"] = "application/x-www-form-urlencoded", encodeForm(params)
	}
	line["headers"] = headers
	raw, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// params are parameters with which a call is of the operation's class: the first
// condition of that class is met, what the table says tells the amount is there, and
// what besides adds.
func (o operation) params() map[string]string {
	params := map[string]string{}
	for formula, value := range map[string]string{o.amount: "100", o.currency: "usd", o.payee: "id_1"} {
		first, _, _ := strings.Cut(formula, "|")
		for _, place := range strings.FieldsFunc(first, func(r rune) bool { return strings.ContainsRune("+-*", r) }) {
			if place[0] != '.' && !strings.ContainsAny(place, "?/") && place != "opaque" && place != "acting" && !strings.Contains(place, "[]") {
				params[place] = value
			}
		}
	}
	first, _, _ := strings.Cut(o.lookup, "|")
	for _, part := range strings.Split(first, "{")[1:] {
		if name, _, _ := strings.Cut(part, "}"); name != "id" && name != "parameters" && !strings.Contains(name, "[") {
			params[name] = "id_1"
		}
	}
	more := besides(o)
	for _, pair := range strings.FieldsFunc(more, func(r rune) bool { return r == '&' }) {
		name, value, _ := strings.Cut(pair, "=")
		params[name] = value
	}
	for _, when := range strings.Fields(o.when) {
		class, rest, _ := strings.Cut(when, ":")
		name, value, valued := strings.Cut(rest, "=")
		below := slices.ContainsFunc(slices.Collect(maps.Keys(params)), func(p string) bool { return strings.HasPrefix(p, name+".") })
		if class != o.class || name == "*" || strings.HasPrefix(name, "version<") || below || more != "" {
			continue
		}
		switch {
		case valued:
			params[name] = value
		case params[name] == "":
			params[name] = "true"
		}
		break
	}
	return params
}

func encodeForm(params map[string]string) string {
	values := url.Values{}
	for name, value := range params {
		values.Set(name, value)
	}
	return values.Encode()
}

// encodeMembers writes "amount.value" as a member of a member; what is a number, as one.
func encodeMembers(t *testing.T, params map[string]string) string {
	t.Helper()
	root := map[string]any{}
	for name, value := range params {
		at, parts := root, strings.Split(name, ".")
		for _, part := range parts[:len(parts)-1] {
			below, ok := at[part].(map[string]any)
			if !ok {
				below = map[string]any{}
				at[part] = below
			}
			at = below
		}
		at[parts[len(parts)-1]] = value
		if value == "100" {
			at[parts[len(parts)-1]] = 100
		}
	}
	raw, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// forAPerson are the operations that spend what no call tells and no lookup: a person
// must let them through, or nobody does.
func forAPerson() []string {
	return []string{
		"customers.subscription.cancel", "customers.subscription.update", "forwarding.requests.create", "orders.update", "subscription_schedules.amend", "subscriptions.attach_cadence",
		"subscriptions.pause", "terminal.refunds.create", "v2.billing.rate_card_subscriptions.cancel",
		"v2.billing.rate_card_subscriptions.create", "v2.core.batch_jobs.create", "v2.extend.workflows.invoke",
	}
}

// TestExplainAnswersEveryOperationOfStripes calls each with what makes it of its class
// and counts the answers, so that whoever changes the table sees what that did.
func TestExplainAnswersEveryOperationOfStripes(t *testing.T) {
	all := stripeOperations(t)
	var input strings.Builder
	for i, o := range all {
		input.WriteString(o.call(t, i) + "\n")
	}
	answers := explainLines(t, "", input.String())
	if len(answers) != len(all) {
		t.Fatalf("%d answers to %d calls", len(answers), len(all))
	}
	type counts struct{ spend, person, capability, other, test, read int }
	got := map[string]*counts{}
	for i, o := range all {
		a, n := answers[i], got[o.surface]
		if n == nil {
			n = new(counts)
			got[o.surface] = n
		}
		want, count := o.class, &n.other
		switch {
		case o.class == "spend" && slices.Contains(forAPerson(), o.name):
			want, count = "refuse", &n.person
		case o.class == "spend":
			count = &n.spend
		case o.class == "test":
			want, count = "other", &n.test
		case o.class == "read":
			want, count = "read", &n.read
		case o.class == "capability":
			count = &n.capability
		}
		*count++
		named := a["operation"] == o.name || want == "read"
		if a["class"] != want || !named || want == "spend" && a["lookup"] == "" && fmt.Sprint(a["legs"]) == "[]" {
			t.Errorf("%s %s is answered by %v, want class %s and operation %s", o.method, o.pattern, a, want, o.name)
		}
	}
	for surface, want := range map[string]counts{
		"public":     {spend: 60, person: 2, capability: 66, other: 161, test: 40, read: 2},
		"alias":      {spend: 7, person: 1, capability: 6, other: 15, test: 2},
		"preview":    {spend: 4, person: 3, capability: 5, other: 32, test: 5},
		"v2":         {spend: 5, capability: 20, other: 24, test: 2},
		"v2-preview": {spend: 7, person: 4, capability: 15, other: 50, test: 2},
		"removed":    {spend: 2, person: 2, capability: 12, other: 23},
	} {
		if got[surface] == nil || *got[surface] != want {
			t.Errorf("of %s, answers are %+v, want %+v", surface, got[surface], want)
		}
		delete(got, surface)
	}
	if len(got) > 0 {
		t.Errorf("there are operations of %v", slices.Collect(maps.Keys(got)))
	}
}
