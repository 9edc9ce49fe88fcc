package stripe

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// spoiled returns an answer with each of its values in turn left out, or made
// something else, under a name for the place.
func spoiled(t *testing.T, answer string) map[string]string {
	t.Helper()
	var root any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(answer, "'", `"`)), &root); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	write := func(place string) {
		raw, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		all[place] = string(raw)
	}
	var walk func(place string, v any)
	walk = func(place string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				was := v[name]
				for _, other := range []any{nil, "x", -1, 1.5, true, false, []any{}, map[string]any{}, "99999999999999999999"} {
					v[name] = other
					write(fmt.Sprintf("%s.%s=%v", place, name, other))
				}
				delete(v, name)
				write(place + "." + name + " left out")
				v[name] = was
				walk(place+"."+name, was)
			}
		case []any:
			for i := range v {
				walk(fmt.Sprintf("%s[%d]", place, i), v[i])
			}
		}
	}
	walk("", root)
	return all
}

// Whatever is wrong with an answer of Stripe's, nothing passes for less than it is, but
// where the value spoiled is the one that says that it is less.
func TestASpoiledAnswerMakesNothingCheaper(t *testing.T) {
	pending := strings.TrimPrefix(list(pendingItem("1000", "usd", "")), itemsOf)
	for name, c := range map[string]struct {
		call, body string
		answers    []string
		amount     int64
		less       []string // prefixes of places that say so
	}{
		"an invoice": {"POST /v1/invoices/in_1/pay", "", []string{invoice("2000", "usd", "true", "")}, 2000, nil},
		"a finalization": {"POST /v1/invoices/in_1/finalize", "", []string{invoice("2000", "usd", "true", "")}, 2000,
			[]string{".auto_advance=false"}},
		"what waits": {"POST /v1/invoices", "customer=cus_1&auto_advance=true&pending_invoice_items_behavior=include", []string{itemsOf + pending}, 1000,
			[]string{".data=[]", ".data[0].amount=-1"}},
		"a subscription": {"POST /v1/subscriptions", "customer=cus_1&items[0][price]=price_1&items[0][quantity]=2", []string{gotPrice("price_1", "1000", "usd")}, 2000, nil},
		"a tax": {"POST /v1/subscriptions", "customer=cus_1&items[0][price_data][currency]=usd&items[0][price_data][unit_amount]=1000&automatic_tax[enabled]=true",
			[]string{previewed("customer=cus_1&discounts=&subscription_details[items][0][price_data][currency]=usd&subscription_details[items][0][price_data][unit_amount]=1000&automatic_tax[enabled]=true", "usd", "1190")}, 1190,
			[]string{".total=-1"}},
		"a change": {"POST /v1/subscriptions/sub_1", "trial_end=now", []string{subscription("usd")}, 2000, []string{".items.data=[]"}},
		"an end":   {"DELETE /v1/subscriptions/sub_1?invoice_now=true", "", []string{previewed("subscription=sub_1&subscription_details[cancel_now]=true&subscription_details[proration_behavior]=none", "usd", "340")}, 340, []string{".total=-1"}},
		"a credit": {"POST /v1/credit_notes", "invoice=in_1&amount=300", []string{"GET /v1/credit_notes/preview?invoice=in_1&amount=300 => {'object':'credit_note','amount':300,'currency':'usd','customer':'cus_1'}"}, 300, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.answers {
				_, answer, _ := strings.Cut(c.answers[i], " => ")
				tried := 0
				for place, body := range spoiled(t, answer) {
					tried++
					n, ok := spoiledAmount(t, c.call, c.body, body)
					if ok && n < c.amount && !slices.ContainsFunc(c.less, func(l string) bool { return strings.HasPrefix(place, l) }) {
						t.Errorf("with %s it is %d, want %d at least, or nothing at all", place, n, c.amount)
					}
				}
				if tried < 30 {
					t.Errorf("%d answers were tried", tried)
				}
			}
		})
	}
}

// spoiledAmount is what a call is judged at that gets one answer to what it asks first;
// ok is false where it is not judged.
func spoiledAmount(t *testing.T, line, body, answer string) (n int64, ok bool) {
	t.Helper()
	method, target, _ := strings.Cut(line, " ")
	path, query, hasQuery := strings.Cut(target, "?")
	call := post(path, body, "Authorization", "Bearer sk_test_1", "Stripe-Version", present)
	call.Method, call.Query, call.HasQuery = method, query, hasQuery
	r := New(Options{})
	j, err := r.Intent(call, nil)
	if err != nil || len(j.Lookups) != 1 {
		t.Fatalf("%+v, %v", j, err)
	}
	j, err = r.Intent(call, []rails.Fact{{Lookup: j.Lookups[0], Reply: rails.Reply{Status: 200, Body: []byte(answer)}}})
	switch {
	case err != nil || j.Intent.Class == spend.Unrecognised || len(j.Lookups) > 0:
		return 0, false
	case len(j.Intent.Legs) == 0:
		return 0, true
	}
	n, ok = j.Intent.Legs[0].Amount.Int64()
	return n, ok
}
