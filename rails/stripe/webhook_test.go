package stripe

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// notified is a rail with the secret of an endpoint, and what makes it read an event.
func notified(body string) (rails.Notice, error) {
	r := New(Options{WebhookSecrets: []string{endpointSecret}})
	return r.Notice(func(name string) []string {
		return http.Header{"Stripe-Signature": {stamped(began, "v1="+signed(endpointSecret, began, body))}}.Values(name)
	}, []byte(body), began)
}

// posted is an event as Stripe posts it.
func posted(kind, object string) string {
	return fmt.Sprintf(`{"id":"evt_1","object":"event","api_version":"2026-08-26.dahlia","created":%d,"livemode":false,"type":%q,
		"request":{"id":"req_1","idempotency_key":"outgo_1"},"data":{"object":%s}}`, began.Unix(), kind, object)
}

// What an event says of a call is what its reply said.
func TestAnEventSaysWhatTheReplyDid(t *testing.T) {
	for name, c := range map[string]struct{ operation, path, form string }{
		"a payment":          {"payment_intents.create", "/v1/payment_intents", "amount=1200&currency=usd&confirm=true&payment_method=pm_card_visa&payment_method_types[]=card"},
		"a payment declined": {"payment_intents.create", "/v1/payment_intents", "amount=1200&currency=usd&confirm=true&payment_method=pm_card_chargeDeclined&payment_method_types[]=card"},
		"a charge":           {"charges.create", "/v1/charges", "amount=1200&currency=usd&source=tok_visa"},
		"a transfer":         {"transfers.create", "/v1/transfers", "amount=1200&currency=usd&destination=acct_1"},
		"a payout":           {"payouts.create", "/v1/payouts", "amount=1200&currency=usd"},
	} {
		t.Run(name, func(t *testing.T) {
			h := sandbox.New(sandbox.Options{Clock: func() time.Time { return began }})
			in := judged(t, c.operation, "", "1200 USD")
			reply := ask(h, "POST", c.path, "outgo_1", c.form)
			want := New(Options{}).Outcome(in, &reply)
			found := 0
			for _, v := range gjson.GetBytes(ask(h, "GET", "/v1/events?limit=100", "", "").Body, "data").Array() {
				n, err := notified(v.Raw)
				if err != nil || n.ID != v.Get("id").Str {
					t.Fatal(n, err)
				}
				for _, ev := range n.Evidence {
					if ev.Key != "outgo_1" || ev.Mode != spend.Test || ev.Account != "" || !ev.At.Equal(began) || ev.Outcome == nil {
						t.Errorf("%+v", ev)
					}
					got := ev.Outcome(in)
					if got.Result == spend.Uncertain {
						continue
					}
					found++
					if got.Result != want.Result || want.Result == spend.Happened && (got.Receipt.TransactionID != want.Receipt.TransactionID ||
						got.Receipt.Amount != want.Receipt.Amount || got.Receipt.Payee != want.Receipt.Payee) || got.Receipt.TransactionID != ev.Transactions[0] {
						t.Errorf("%s says %+v; the reply said %+v", n.Type, got, want)
					}
				}
			}
			if found != 1 {
				t.Errorf("%d events speak of the call, want one", found)
			}
		})
	}
}

func TestWhatAnEventProvesOfACall(t *testing.T) {
	const paid = `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":1200,"amount_received":1200,"currency":"usd"}`
	status := func(s string) string { return strings.Replace(paid, "succeeded", s, 1) }
	const refund = `{"id":"re_1","object":"refund","status":"failed","amount":1200,"currency":"usd","charge":"ch_1","payment_intent":null}`
	const payout = `{"id":"po_1","object":"payout","status":"failed","amount":1200,"currency":"usd","destination":"ba_1"}`
	const create, confirm, refunds = "payment_intents.create", "payment_intents.confirm", "refunds.create"
	for sentence, c := range map[string]struct {
		operation, object string // of the call
		event, of         string
		want              spend.Result
	}{
		"that it was paid": {create, "", "payment_intent.succeeded", paid, spend.Happened},
		"that it was paid at last, of the one that was confirmed":  {confirm, "payment_intents/pi_1", "payment_intent.succeeded", paid, spend.Happened},
		"nothing of another one than the one that was confirmed":   {confirm, "payment_intents/pi_2", "payment_intent.succeeded", paid, spend.Uncertain},
		"nothing by having been made":                              {create, "", "payment_intent.created", status("requires_payment_method"), spend.Uncertain},
		"nothing by another event of the object":                   {create, "", "payment_intent.amount_updated", paid, spend.Uncertain},
		"that it failed":                                           {create, "", "payment_intent.payment_failed", status("requires_payment_method"), spend.DidNot},
		"that it was called off":                                   {create, "", "payment_intent.canceled", status("canceled"), spend.DidNot},
		"nothing of a call of another kind":                        {"charges.create", "", "payment_intent.succeeded", paid, spend.Uncertain},
		"nothing of a call that nobody understood, by its success": {"unrecognised", "", "customer.created", `{"id":"cus_1","object":"customer"}`, spend.Uncertain},
		"that a refund has failed":                                 {refunds, "charges/ch_1", "refund.failed", refund, spend.DidNot},
		"nothing of the refund of another charge":                  {refunds, "charges/ch_2", "refund.failed", refund, spend.Uncertain},
		"that a payout came back":                                  {"payouts.create", "", "payout.failed", payout, spend.DidNot},
		"nothing in a currency that does not exist":                {create, "", "payment_intent.succeeded", strings.Replace(paid, "usd", "xxx", 1), spend.Uncertain},
	} {
		n, err := notified(posted(c.event, c.of))
		if err != nil || len(n.Evidence) == 0 {
			t.Errorf("%s: %+v, %v", sentence, n, err)
			continue
		}
		o := n.Evidence[0].Outcome(judged(t, c.operation, c.object, "1200 USD"))
		if o.Result != c.want || o.Result != spend.Uncertain && (o.Receipt.Note != "event evt_1" || o.Receipt.RequestID != "req_1" || o.Receipt.TransactionID == "") {
			t.Errorf("%s: %+v, want %s", sentence, o, c.want)
		}
	}
}

func TestWhatUndoesAPaymentNamesIt(t *testing.T) {
	usd := func(n int64) spend.Amount { return spend.NewAmount("USD", n) }
	for sentence, c := range map[string]struct {
		event, object string
		own           bool // it speaks of a payment of its own as well
		of            []string
		want          spend.Reversal
	}{
		"a refund of a payment intent": {"refund.created", `{"id":"re_1","object":"refund","status":"pending","amount":300,"currency":"usd","charge":"ch_1","payment_intent":"pi_1"}`,
			true, []string{"pi_1", "ch_1"}, spend.Reversal{Kind: spend.ByRefund, Transaction: "re_1", Status: "pending", Amount: usd(300)}},
		"a refund with its charge shown": {"charge.refund.updated", `{"id":"re_1","object":"refund","status":"succeeded","amount":300,"currency":"usd","charge":{"id":"ch_1","object":"charge"},"payment_intent":null}`,
			true, []string{"ch_1"}, spend.Reversal{Kind: spend.ByRefund, Transaction: "re_1", Status: "succeeded", Amount: usd(300)}},
		"a charge with what was refunded": {"charge.refunded", `{"id":"ch_1","object":"charge","status":"succeeded","amount":1000,"amount_refunded":300,"currency":"usd","payment_intent":"pi_1"}`,
			false, []string{"pi_1", "ch_1"}, spend.Reversal{Kind: spend.ByRefund, Transaction: "ch_1", Status: "refunded", Amount: usd(300)}},
		"a dispute": {"charge.dispute.created", `{"id":"du_1","object":"dispute","status":"needs_response","amount":1000,"currency":"usd","charge":"ch_1","payment_intent":"pi_1"}`,
			false, []string{"pi_1", "ch_1"}, spend.Reversal{Kind: spend.ByDispute, Transaction: "du_1", Status: "needs_response", Amount: usd(1000)}},
		"a transfer that was reversed": {"transfer.reversed", `{"id":"tr_1","object":"transfer","amount":1000,"amount_reversed":300,"currency":"usd"}`,
			false, []string{"tr_1"}, spend.Reversal{Kind: spend.ByRefund, Transaction: "tr_1", Status: "reversed", Amount: usd(300)}},
	} {
		n, err := notified(posted(c.event, c.object))
		if err != nil || len(n.Evidence) == 0 || (len(n.Evidence) == 2) != c.own {
			t.Errorf("%s: %+v, %v", sentence, n, err)
			continue
		}
		last := n.Evidence[len(n.Evidence)-1]
		if last.Reversal == nil || *last.Reversal != c.want || !slices.Equal(last.Transactions, c.of) || last.Outcome != nil {
			t.Errorf("%s: %+v of %v, want %+v of %v", sentence, last.Reversal, last.Transactions, c.want, c.of)
		}
	}
}

func TestAnEventIsReadStrictly(t *testing.T) {
	const paid = `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":1200,"amount_received":1200,"currency":"usd"}`
	whole := posted("payment_intent.succeeded", paid)
	edit := func(from, to string) string { return strings.Replace(whole, from, to, 1) }
	for sentence, c := range map[string]struct {
		body string
		ok   bool
		n    int // of evidence
	}{
		"an event":                               {whole, true, 1},
		"one that Stripe itself has caused":      {edit(`{"id":"req_1","idempotency_key":"outgo_1"}`, `null`), true, 1},
		"one of an old version":                  {edit(`{"id":"req_1","idempotency_key":"outgo_1"}`, `"req_1"`), true, 1},
		"one of a connected account":             {edit(`"created"`, `"account":"acct_1","created"`), true, 1},
		"one of an object without an id":         {edit(`"id":"pi_1",`, ``), true, 0},
		"one in the form of the v2 API":          {`{"id":"evt_1","object":"v2.core.event","type":"v1.billing.meter.no_meter_found","created":"2026-11-21T12:00:00Z"}`, true, 0},
		"no JSON":                                {"x", false, 0},
		"nothing":                                {"", false, 0},
		"a list":                                 {"[" + whole + "]", false, 0},
		"two events":                             {whole + whole, false, 0},
		"a name that stands twice":               {edit(`"type"`, `"type":"x","type"`), false, 0},
		"a name that stands twice in its object": {edit(`"amount":`, `"amount":1,"amount":`), false, 0},
		"no id":                                  {edit(`"evt_1"`, `""`), false, 0},
		"an id with a line break":                {edit(`"evt_1"`, `"evt\n1"`), false, 0},
		"a type that is no word":                 {edit(`"payment_intent.succeeded"`, `"payment_intent.succeeded\u001b[2J"`), false, 0},
		"no time":                                {edit(`"created"`, `"made"`), false, 0},
		"a time with a fraction":                 {edit(fmt.Sprint(began.Unix()), "1.5"), false, 0},
		"no mode":                                {edit(`"livemode":false`, `"livemode":"false"`), false, 0},
		"no data":                                {edit(`"data"`, `"date"`), false, 0},
		"no object":                              {edit(paid, "7"), false, 0},
		"a dispute of no amount":                 {posted("charge.dispute.created", `{"id":"du_1","object":"dispute","amount":-1,"currency":"usd","charge":"ch_1"}`), false, 0},
	} {
		n, err := notified(c.body)
		if (err == nil) != c.ok || len(n.Evidence) != c.n || err != nil && !errors.Is(err, spend.Invalid) {
			t.Errorf("%s: %+v, %v", sentence, n, err)
		}
	}
	account, err := notified(edit(`"livemode":false`, `"livemode":true,"account":"acct_1"`))
	if err != nil || account.Evidence[0].Account != "acct_1" || account.Evidence[0].Mode != spend.Live {
		t.Errorf("%+v, %v", account, err)
	}
	const id = "01890000-0000-7000-8000-000000000001"
	for written, want := range map[string]spend.ID{id: id, "../" + id: "", "": "", strings.ToUpper("018900aa-0000-7000-8000-000000000001"): ""} {
		n, err := notified(edit(`"currency"`, fmt.Sprintf(`"metadata":{"outgo_request":%q},"currency"`, written)))
		if err != nil || n.Evidence[0].Named != want {
			t.Errorf("%q is taken for %+v, %v", written, n.Evidence, err)
		}
	}
}

// FuzzEvent reads whatever is signed: nothing panics, and what it makes of it names a
// payment.
func FuzzEvent(f *testing.F) {
	const paid = `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":1200,"amount_received":1200,"currency":"usd"}`
	f.Add([]byte(posted("payment_intent.succeeded", paid)))
	f.Add([]byte(posted("refund.created", `{"id":"re_1","object":"refund","status":"pending","amount":300,"currency":"usd","charge":"ch_1","payment_intent":"pi_1"}`)))
	f.Add([]byte(posted("charge.dispute.created", `{"id":"du_1","object":"dispute","status":"lost","amount":1000,"currency":"usd","charge":{"id":"ch_1"}}`)))
	f.Add([]byte(`{"id":"evt_1","object":"v2.core.event","type":"v1.x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := readEvent(body)
		if err != nil {
			return
		}
		if !isID(n.ID) || !isEventType(n.Type) {
			t.Errorf("%+v", n)
		}
		for _, ev := range n.Evidence {
			if ev.Event != n.ID || ev.Mode == "" || ev.At.IsZero() || (ev.Outcome == nil) == (ev.Reversal == nil) {
				t.Errorf("%+v", ev)
			}
			if v := ev.Reversal; v != nil {
				if v.Amount.IsZero() || v.Amount.Sign() < 0 {
					t.Errorf("%+v", v)
				}
				continue
			}
			for _, operation := range []string{"payment_intents.create", "refunds.create", "payouts.create"} {
				o := ev.Outcome(judged(t, operation, "", "1200 USD"))
				if o.Result == spend.Happened && (o.Receipt.TransactionID != ev.Transactions[0] || o.Receipt.Amount.Sign() < 0) {
					t.Errorf("%s: %+v", operation, o)
				}
			}
		}
	})
}
