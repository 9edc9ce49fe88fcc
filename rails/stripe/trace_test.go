package stripe

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

var began = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// ask makes one call of the sandbox.
func ask(h http.Handler, method, target, key, body string) rails.Reply {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer sk_test_1")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rails.Reply{Status: rec.Code, Body: rec.Body.Bytes()}
}

// traceAt asks until the rail has its answer.
func traceAt(t *testing.T, s rails.Sent, get func(target string) rails.Reply) (spend.Outcome, []rails.Fact, error) {
	t.Helper()
	r := New(Options{})
	var facts []rails.Fact
	for {
		o, lookups, err := r.Trace(s, facts)
		if err != nil || len(lookups) == 0 {
			return o, facts, err
		}
		for _, l := range lookups {
			if _, _, _, err := rails.CanonicalTarget(l.Target); err != nil {
				t.Fatal(err)
			}
			facts = append(facts, rails.Fact{Lookup: l, Reply: get(l.Target)})
		}
		if len(facts) > 2*maxTraced {
			t.Fatal("it never ends")
		}
	}
}

// What is found afterwards is what the reply would have said.
func TestATracedCallHasTheOutcomeOfItsReply(t *testing.T) {
	for name, c := range map[string]struct {
		operation string
		before    string // a call whose object the call acts on: path and form
		path      string // ID is the object's id
		form      string
		want      spend.Result
	}{
		"a payment":              {"payment_intents.create", "", "/v1/payment_intents", "amount=1200&currency=usd&confirm=true&payment_method=pm_card_visa&payment_method_types[]=card", spend.Happened},
		"a payment put on hold":  {"payment_intents.create", "", "/v1/payment_intents", "amount=1200&currency=usd&confirm=true&capture_method=manual&payment_method=pm_card_visa&payment_method_types[]=card", spend.Happened},
		"a payment to be proved": {"payment_intents.create", "", "/v1/payment_intents", "amount=1200&currency=usd&confirm=true&payment_method=pm_card_threeDSecureRequired&payment_method_types[]=card", spend.Happened},
		"a payment declined":     {"payment_intents.create", "", "/v1/payment_intents", "amount=1200&currency=usd&confirm=true&payment_method=pm_card_chargeDeclined&payment_method_types[]=card", spend.DidNot},
		"a confirmation":         {"payment_intents.confirm", "/v1/payment_intents amount=1200&currency=usd&payment_method=pm_card_visa&payment_method_types[]=card", "/v1/payment_intents/ID/confirm", "", spend.Happened},
		"a capture":              {"payment_intents.capture", "/v1/payment_intents amount=1200&currency=usd&confirm=true&capture_method=manual&payment_method=pm_card_visa&payment_method_types[]=card", "/v1/payment_intents/ID/capture", "amount_to_capture=700", spend.Happened},
		"a charge":               {"charges.create", "", "/v1/charges", "amount=1200&currency=usd&source=tok_visa", spend.Happened},
		"a charge declined":      {"charges.create", "", "/v1/charges", "amount=1200&currency=usd&source=tok_chargeDeclined", spend.DidNot},
		"a charge captured":      {"charges.capture", "/v1/charges amount=1200&currency=usd&source=tok_visa&capture=false", "/v1/charges/ID/capture", "amount=700", spend.Happened},
		"a refund":               {"refunds.create", "/v1/charges amount=1200&currency=usd&source=tok_visa", "/v1/refunds", "charge=ID&amount=700", spend.Happened},
		"a transfer":             {"transfers.create", "", "/v1/transfers", "amount=1200&currency=usd&destination=acct_1", spend.Happened},
		"a payout":               {"payouts.create", "", "/v1/payouts", "amount=1200&currency=usd", spend.Happened},
	} {
		t.Run(name, func(t *testing.T) {
			h := sandbox.New(sandbox.Options{Clock: func() time.Time { return began }})
			id := ""
			if path, form, ok := strings.Cut(c.before, " "); ok {
				id = gjson.GetBytes(ask(h, "POST", path, "earlier", form).Body, "id").Str
			}
			collection, _, _ := strings.Cut(strings.TrimPrefix(c.path, "/v1/"), "/")
			in := judged(t, c.operation, "", "1200 USD")
			if strings.Contains(c.path, "ID") {
				in.Object = collection + "/" + id
			}
			path, form := strings.ReplaceAll(c.path, "ID", id), strings.ReplaceAll(c.form, "ID", id)
			s := rails.Sent{Intent: in, Key: "outgo_1", Began: began}
			get := func(target string) rails.Reply { return ask(h, "GET", target, "", "") }

			// Another call of the same looks has been made: it proves nothing.
			if id == "" {
				ask(h, "POST", path, "outgo_2", form)
			}
			if o, _, err := traceAt(t, s, get); err != nil || o.Result != spend.Uncertain {
				t.Fatalf("before it is sent: %+v, %v", o, err)
			}
			reply := ask(h, "POST", path, s.Key, form)
			want := New(Options{}).Outcome(in, &reply)
			got, _, err := traceAt(t, s, get)
			if err != nil || got.Result != c.want || want.Result != c.want || got.Receipt.Source != spend.FromProvider {
				t.Fatalf("found %+v, %v; the reply said %+v; want %s", got, err, want, c.want)
			}
			if c.want == spend.Happened && (got.Receipt.TransactionID != want.Receipt.TransactionID || got.Receipt.Amount != want.Receipt.Amount || got.Receipt.Payee != want.Receipt.Payee) {
				t.Errorf("found %+v; the reply said %+v", got.Receipt, want.Receipt)
			}
		})
	}
}

// event makes an event that the key has caused.
func event(id, kind, key, object string) string {
	return fmt.Sprintf(`{"id":%q,"object":"event","type":%q,"request":{"id":"req_1","idempotency_key":%q},"data":{"object":%s}}`, id, kind, key, object)
}

func events(more bool, all ...string) rails.Reply {
	return rails.Reply{Status: 200, Body: fmt.Appendf(nil, `{"object":"list","has_more":%t,"data":[%s]}`, more, strings.Join(all, ","))}
}

func TestWhatEventsProve(t *testing.T) {
	const create, confirm, capture, refunds = "payment_intents.create", "payment_intents.confirm", "payment_intents.capture", "refunds.create"
	const paid = `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":1200,"amount_received":1200,"currency":"usd"}`
	const declined = `{"id":"pi_1","object":"payment_intent","status":"requires_payment_method","amount":1200,"amount_received":0,"currency":"usd"}`
	other := strings.ReplaceAll(paid, "pi_1", "pi_2")
	ours := event("evt_1", "payment_intent.succeeded", "outgo_1", paid)
	failed := event("evt_2", "payment_intent.payment_failed", "outgo_1", declined)
	status := func(n int) rails.Reply { return rails.Reply{Status: n, Body: []byte(`{"error":{"type":"x"}}`)} }
	object := func(s string) rails.Reply { return rails.Reply{Status: 200, Body: []byte(s)} }
	failedOther := event("evt_4", "payment_intent.payment_failed", "outgo_1", strings.ReplaceAll(declined, "pi_1", "pi_2"))
	refund := func(of, status string) rails.Reply {
		return events(false, event("evt_5", "refund.created", "outgo_1", fmt.Sprintf(`{"id":"re_1","object":"refund","status":%q,"amount":1200,"currency":"usd","charge":%q,"payment_intent":null}`, status, of)))
	}
	none := event("evt_9", "payment_intent.succeeded", "outgo_9", paid)

	for name, c := range map[string]struct {
		operation string
		answers   []rails.Reply
		want      spend.Result
		fails     bool
		asked     int
	}{
		"an event of the call":                               {create, []rails.Reply{events(false, none, ours)}, spend.Happened, false, 1},
		"an event on the second page":                        {create, []rails.Reply{events(true, none), events(false, ours)}, spend.Happened, false, 2},
		"events of other calls only":                         {create, []rails.Reply{events(false, none, none)}, spend.Uncertain, false, 1},
		"no event":                                           {create, []rails.Reply{events(false)}, spend.Uncertain, false, 1},
		"more pages than are read":                           {create, []rails.Reply{events(true, none)}, spend.Uncertain, false, maxTraced},
		"a failure":                                          {create, []rails.Reply{events(false, failed)}, spend.DidNot, false, 1},
		"a failure, and not everything read":                 {create, []rails.Reply{events(true, failed)}, spend.Uncertain, false, maxTraced},
		"a failure and a success":                            {create, []rails.Reply{events(false, failed, ours)}, spend.Happened, false, 1},
		"two payments under one key":                         {create, []rails.Reply{events(false, ours, event("evt_3", "payment_intent.succeeded", "outgo_1", other))}, spend.Uncertain, false, 1},
		"another object than the one confirmed":              {confirm, []rails.Reply{events(false, event("evt_3", "payment_intent.succeeded", "outgo_1", other))}, spend.Uncertain, false, 1},
		"another kind of object":                             {create, []rails.Reply{events(false, event("evt_3", "charge.succeeded", "outgo_1", `{"id":"ch_1","object":"charge","status":"succeeded","amount":1200,"currency":"usd"}`))}, spend.Uncertain, false, 1},
		"a failure of another object than the one confirmed": {confirm, []rails.Reply{events(false, failedOther)}, spend.Uncertain, false, 1},
		"a success, and a failure of another object":         {confirm, []rails.Reply{events(false, ours, failedOther)}, spend.Uncertain, false, 1},
		"a failure of a kind that was not asked for":         {"charges.create", []rails.Reply{events(false, failed)}, spend.Uncertain, false, 1},
		"a refund":                                               {refunds, []rails.Reply{refund("ch_1", "succeeded")}, spend.Happened, false, 1},
		"a refund that failed":                                   {refunds, []rails.Reply{refund("ch_1", "failed")}, spend.DidNot, false, 1},
		"a refund of another charge":                             {refunds, []rails.Reply{refund("ch_2", "failed")}, spend.Uncertain, false, 1},
		"an event that nobody has caused":                        {create, []rails.Reply{events(false, strings.Replace(ours, `"request":{"id":"req_1","idempotency_key":"outgo_1"}`, `"request":null`, 1))}, spend.Uncertain, false, 1},
		"an event with two keys":                                 {create, []rails.Reply{events(false, strings.Replace(ours, `"idempotency_key"`, `"idempotency_key":"outgo_1","idempotency_key"`, 1))}, spend.Uncertain, false, 1},
		"a list that is none":                                    {create, []rails.Reply{object(paid)}, spend.Uncertain, true, 1},
		"a list that is cut":                                     {create, []rails.Reply{object(`{"object":"list","data":[`)}, spend.Uncertain, true, 1},
		"an event without an object":                             {create, []rails.Reply{events(false, event("evt_1", "payment_intent.succeeded", "outgo_1", `7`))}, spend.Uncertain, true, 1},
		"a key that is refused":                                  {confirm, []rails.Reply{status(401)}, spend.Uncertain, true, 1},
		"no leave to read events, and no object":                 {create, []rails.Reply{status(403)}, spend.Uncertain, true, 1},
		"no leave to read events, and the object has been paid":  {confirm, []rails.Reply{status(403), object(paid)}, spend.Happened, false, 2},
		"no leave to read events, and the object was captured":   {capture, []rails.Reply{status(403), object(paid)}, spend.Happened, false, 2},
		"no leave to read events, and the object has not moved":  {confirm, []rails.Reply{status(403), object(declined)}, spend.Uncertain, false, 2},
		"no leave to read events, and the object moved less":     {capture, []rails.Reply{status(403), object(strings.Replace(paid, `"amount_received":1200`, `"amount_received":700`, 1))}, spend.Uncertain, false, 2},
		"no leave to read events, and the object is canceled":    {confirm, []rails.Reply{status(403), object(strings.Replace(declined, "requires_payment_method", "canceled", 1))}, spend.Uncertain, false, 2},
		"no leave to read events, and another object is shown":   {confirm, []rails.Reply{status(403), object(other)}, spend.Uncertain, true, 2},
		"no leave to read events nor the object":                 {confirm, []rails.Reply{status(403), status(403)}, spend.Uncertain, true, 2},
		"an operation of which no event tells which call it was": {"unrecognised", nil, spend.Uncertain, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := judged(t, c.operation, "", "1200 USD")
			if c.operation == confirm || c.operation == capture {
				in.Object = "payment_intents/pi_1"
			}
			if c.operation == refunds {
				in.Object = "charges/ch_1"
			}
			n := 0
			o, facts, err := traceAt(t, rails.Sent{Intent: in, Key: "outgo_1", Began: began}, func(string) rails.Reply {
				n++
				return c.answers[min(n, len(c.answers))-1]
			})
			if o.Result != c.want || (err != nil) != c.fails || len(facts) != c.asked || err != nil && !errors.Is(err, spend.Unavailable) {
				t.Errorf("%+v, %v after %d reads; want %s, failure %t, %d reads", o, err, len(facts), c.want, c.fails, c.asked)
			}
		})
	}
}

func TestAReaderSeesWhatTheCallHasDone(t *testing.T) {
	for name, c := range map[string]struct {
		mode            spend.Mode
		account, secret string
		ok              bool
		header          string
	}{
		"a restricted key of the sandbox":  {spend.Test, "", "rk_test_1", true, ""},
		"a live key for real money":        {spend.Live, "", "rk_live_1", true, ""},
		"a sandbox key for real money":     {spend.Live, "", "rk_test_1", false, ""},
		"a live key for the sandbox":       {spend.Test, "", "sk_live_1", false, ""},
		"a sandbox key for who knows what": {"", "", "rk_test_1", false, ""},
		"a live key for who knows what":    {"", "", "rk_live_1", false, ""},
		"what is no key":                   {spend.Test, "", "pk_test_1", false, ""},
		"a key with a line break":          {spend.Test, "", "rk_test_1\r\nX: y", false, ""},
		"on behalf of an account":          {spend.Test, "acct_1", "rk_test_1", true, "Stripe-Account"},
		"in a context":                     {spend.Test, "acct_1/acct_2", "rk_test_1", true, "Stripe-Context"},
	} {
		t.Run(name, func(t *testing.T) {
			host, header, ok := New(Options{}).Reader(&spend.Intent{Mode: c.mode, ActingAccount: c.account}, c.secret)
			if ok != c.ok {
				t.Fatalf("ok is %t", ok)
			}
			if !ok {
				return
			}
			if host != "api.stripe.com" || header[0] != (rails.Field{Name: "Authorization", Value: "Bearer " + c.secret}) {
				t.Errorf("%s %v", host, header)
			}
			if c.header != "" && (len(header) != 2 || header[1] != rails.Field{Name: c.header, Value: c.account}) {
				t.Errorf("%v", header)
			}
		})
	}
}

// FuzzTrace reads whatever a provider answers: nothing panics, and events that do
// not carry the key of the call prove nothing about it.
func FuzzTrace(f *testing.F) {
	f.Add([]byte(`{"object":"list","has_more":false,"data":[]}`), uint16(200))
	f.Add(events(true, event("evt_1", "payment_intent.succeeded", "outgo_1", `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":1200,"amount_received":1200,"currency":"usd"}`)).Body, uint16(200))
	f.Add(events(false, event("evt_1", "payment_intent.payment_failed", "outgo_1", `{"id":"pi_1","object":"payment_intent","status":"requires_payment_method"}`)).Body, uint16(200))
	f.Add([]byte(`{"id":"pi_1","object":"payment_intent","status":"succeeded"}`), uint16(403))
	r := New(Options{})
	f.Fuzz(func(t *testing.T, body []byte, status uint16) {
		in := judged(t, "payment_intents.create", "", "1200 USD")
		for _, key := range []string{"outgo_1", "outgo_of_no_event"} {
			s := rails.Sent{Intent: in, Key: key, Began: began}
			_, first, err := r.Trace(s, nil)
			if err != nil || len(first) != 1 {
				t.Fatalf("%v, %v", first, err)
			}
			o, _, err := r.Trace(s, []rails.Fact{{Lookup: first[0], Reply: rails.Reply{Status: int(status), Body: body}}})
			if (err != nil || status != 200 || key != "outgo_1") && o.Result != spend.Uncertain {
				t.Errorf("%s: %+v, %v", key, o, err)
			}
			if o.Result == spend.Happened && (o.Receipt.TransactionID == "" || o.Receipt.Amount.IsZero() || o.Receipt.Amount.Sign() < 0) {
				t.Errorf("%+v", o)
			}
		}
	})
}
