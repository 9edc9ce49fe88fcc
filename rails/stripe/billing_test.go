package stripe

import (
	"errors"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// bills is a case of billing: a call, what Stripe answers to each lookup in order, and
// what is judged at last, as verdict writes it. Answers are written with ' for ".
type bills struct {
	call, body, version string
	answers             []string // "GET /v1/…" or "POST /v1/…?body", " => ", JSON
	want                string
}

// present is a version of the API in which all that these tests ask for exists.
const present = "2026-08-26.dahlia"

// verdict judges a call as the proxy does, lookup after lookup, and says what comes of
// it: "spend charge 2000 USD to acct_1 on invoices/in_1", "other on …", "refuse CODE".
func verdict(t *testing.T, c bills) string {
	t.Helper()
	method, target, _ := strings.Cut(c.call, " ")
	path, query, hasQuery := strings.Cut(target, "?")
	call := post(path, c.body, "Authorization", "Bearer sk_test_1")
	call.Method, call.Query, call.HasQuery = method, query, hasQuery
	if c.version == "" {
		c.version = present
	}
	if c.version != "none" {
		call.Header = append(call.Header, rails.Field{Name: "Stripe-Version", Value: c.version})
	}
	r := New(Options{})
	if class := r.Match(call); class == spend.Read {
		t.Fatalf("%s is a read", c.call)
	}
	var facts []rails.Fact
	for {
		j, err := r.Intent(call, facts)
		var refusal *rails.Refusal
		switch {
		case errors.As(err, &refusal):
			return "refuse " + string(refusal.Code)
		case errors.Is(err, spend.Unavailable):
			return "unavailable"
		case err != nil:
			t.Fatal(err)
		case len(j.Lookups) == 0:
			if len(facts) != len(c.answers) {
				t.Errorf("%d lookups were made, and %d are answered", len(facts), len(c.answers))
			}
			return said(&j.Intent)
		case j.Intent.Class != spend.Spend || len(j.Intent.Legs) != 1 || !j.Intent.Legs[0].Amount.IsZero():
			t.Fatalf("with lookups due the intent is %+v", j.Intent)
		}
		for _, l := range j.Lookups {
			if len(facts) == len(c.answers) || len(facts) == maxLookups {
				t.Fatalf("after %d answers it asks for %s %s", len(facts), l, l.Body)
			}
			asked, answer, _ := strings.Cut(c.answers[len(facts)], " => ")
			if got := strings.TrimSuffix(l.String()+"?"+l.Body, "?"); got != asked {
				t.Fatalf("it asks for\n%s, want\n%s", got, asked)
			}
			reply := rails.Reply{Status: 200, Body: []byte(strings.ReplaceAll(answer, "'", `"`))}
			if answer == "404" {
				reply = rails.Reply{Status: 404, Body: []byte(`{"error":{"type":"invalid_request_error"}}`)}
			}
			facts = append(facts, rails.Fact{Lookup: l, Reply: reply})
		}
	}
}

func said(in *spend.Intent) string {
	s := string(in.Class)
	for _, l := range in.Legs {
		s += " " + string(l.Kind) + " " + l.Amount.String()
		if l.Payee != "" {
			s += " to " + l.Payee
		}
	}
	if in.Object != "" {
		s += " on " + in.Object
	}
	return s
}

func judgeAll(t *testing.T, cases map[string]bills) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := verdict(t, c); got != c.want {
				t.Errorf("%s with %q is\n%s, want\n%s", c.call, c.body, got, c.want)
			}
		})
	}
}

// price is what Stripe answers for a price; edits replace parts of it in pairs.
func price(id, amount, currency string, edits ...string) string {
	s := "{'object':'price','id':'" + id + "','billing_scheme':'per_unit','currency':'" + currency + "','currency_options':{'" + currency +
		"':{'unit_amount':" + amount + "}},'recurring':{'interval':'month','usage_type':'licensed'},'transform_quantity':null,'unit_amount':" + amount + ",'unit_amount_decimal':'" + amount + "'}"
	for i := 0; i < len(edits); i += 2 {
		s = strings.ReplaceAll(s, edits[i], edits[i+1])
	}
	return s
}

func gotPrice(id, amount, currency string, edits ...string) string {
	return "GET /v1/prices/" + id + "?expand[]=currency_options => " + price(id, amount, currency, edits...)
}

// A lookup by POST can do nothing but read: what is asked by it is listed, moves
// nothing whatever its parameters, and is a preview by its name.
func TestPreviewsOnlyRead(t *testing.T) {
	paths := New(Options{}).Previews()
	if len(paths) != 1 || paths[0] != previewPath {
		t.Fatalf("the previews are %v", paths)
	}
	for _, path := range paths {
		op, ids, err := find("api.stripe.com", "POST", path)
		if err != nil || op == nil || op.class != spend.Other || len(op.when) > 0 || ids[0] != "" || !strings.HasSuffix(op.name, "preview") {
			t.Errorf("%s is %+v, %v", path, op, err)
		}
	}
}

// Who refuses what nobody can tell the amount of says why.
func TestADoubtSaysWhatIsNotKnown(t *testing.T) {
	call := post("/v1/subscriptions", "customer=cus_1&items[0][price]=price_1", "Authorization", "Bearer sk_test_1", "Stripe-Version", present)
	answer := rails.Fact{Lookup: rails.Lookup{Target: "/v1/prices/price_1?expand[]=currency_options"},
		Reply: rails.Reply{Status: 200, Body: []byte(strings.ReplaceAll(price("price_1", "5", "usd", "licensed", "metered"), "'", `"`))}}
	j, err := New(Options{}).Intent(call, []rails.Fact{answer})
	if err != nil || j.Intent.Class != spend.Unrecognised || !strings.Contains(j.Doubt, "price price_1") {
		t.Errorf("%+v, %v with doubt %q", j.Intent, err, j.Doubt)
	}
	call = post("/v1/subscriptions", "customer=cus_1&items[0][price]=price_1&4242424242424242=1", "Authorization", "Bearer sk_test_1")
	if j, err := New(Options{}).Intent(call, nil); err == nil && strings.Contains(j.Doubt, "4242") {
		t.Errorf("the doubt repeats a number: %q", j.Doubt)
	}
}
