package stripe

import (
	"net/url"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// The servers of the reference read what their kinds are documented, or measured, to
// read, and a judge that reads as Go's ParseQuery does is caught by one of them.
func TestReferenceReadsAsServersDo(t *testing.T) {
	charge := &oracles()[0]
	for name, tc := range map[string]struct {
		query, body string
		reads       map[string]string // the amount, by server; "-" for none, "refused" for a call that the server refuses
		naive       bool              // whether nothing is gained on a judge that takes the first of each
	}{
		"a call in order":           {body: "amount=1", reads: map[string]string{"Rack 1": "1", "Rack 3": "1", "Go, first": "1", "PHP": "1", "C strings": "1"}, naive: true},
		"a name that stands twice":  {body: "amount=1&amount=999999", reads: map[string]string{"Rack 1": "999999", "stripe-mock": "999999", "Go, first": "1"}},
		"query and body":            {query: "amount=999999", body: "amount=1", reads: map[string]string{"Rack 1": "1", "Go, last, query first": "999999"}},
		"the query alone":           {query: "amount=7", reads: map[string]string{"Rack 3": "7", "Go, first": "7"}, naive: true},
		"a name in brackets":        {body: "amount=1&[amount]=999999", reads: map[string]string{"Rack 1": "999999", "Rack 3": "1"}},
		"a closing bracket":         {body: "amount=1&amount]=999999", reads: map[string]string{"Rack 2.2, lax": "999999", "Rack 3": "1"}},
		"a semicolon":               {body: "amount=1;amount=999999", reads: map[string]string{"Rack 1": "999999", "Rack 3": "1;amount=999999", "Go, first": "-"}},
		"a space behind separators": {body: "amount=1& amount=999999", reads: map[string]string{"Rack 3": "999999", "stripe-mock": "1"}},
		"a space as a plus":         {body: "amount=1&+amount=999999", reads: map[string]string{"Rack 3": "1", "PHP": "999999", "trims": "999999"}},
		"an escaped name":           {body: "amount=1&am%6funt=999999", reads: map[string]string{"Rack 1": "999999", "Go, last, query first": "999999"}},
		"a broken escape":           {body: "amount=1&x=%zz", reads: map[string]string{"Rack 1": "refused", "Go, first": "1", "PHP": "1"}, naive: true},
		"a name with a NUL":         {body: "amount=1&amount%00=999999", reads: map[string]string{"C strings": "999999", "PHP": "999999", "Rack 3": "1"}},
		"a value with a hash":       {body: "amount=1&amount[a]=2", reads: map[string]string{"Rack 1": "refused", "PHP": "-"}, naive: true},
		"capitals":                  {body: "amount=1&AMOUNT=999999", reads: map[string]string{"folds": "999999", "Rack 1": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			naive := naively(tc.query, tc.body)
			caught := false
			for _, s := range servers() {
				p, ok := s.read(tc.query, tc.body)
				if ok && charge.worse(p, &naive, nil) != "" {
					caught = true
				}
				want, asked := tc.reads[s.name]
				got := p.get("amount")
				if !ok {
					got = "refused"
				} else if !p.has("amount") {
					got = "-"
				}
				if asked && got != want {
					t.Errorf("%s reads %q, want %q", s.name, got, want)
				}
			}
			if caught == tc.naive {
				t.Errorf("the judge that takes the first of each is caught: %v", caught)
			}
		})
	}
}

// naively judges a charge by what Go's standard library makes of its parameters.
func naively(query, body string) rails.Judgement {
	q, _ := url.ParseQuery(query)
	b, _ := url.ParseQuery(body)
	amount := b.Get("amount")
	if amount == "" {
		amount = q.Get("amount")
	}
	n := int64(0)
	if all := numbers(amount); len(all) > 0 {
		n = all[0]
	}
	return rails.Judgement{Intent: spend.Intent{Class: spend.Spend, Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", n)}}}}
}

func TestLenientNumbers(t *testing.T) {
	for text, want := range map[string]int64{
		" 100": 100, "100 ": 100, "+100": 100, "00700": 700, "1e3": 1000, "0x64": 100, "1_000": 1000, "1,000": 1000, "10.5": 10, "7 apples": 7, "１０": 10, "٣": 3, "-5": -5, "\ufeff9": 9,
	} {
		found := false
		for _, n := range numbers(text) {
			found = found || n == want
		}
		if !found {
			t.Errorf("numbers(%q) = %v, want %d among them", text, numbers(text), want)
		}
	}
}
