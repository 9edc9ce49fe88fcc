package engine_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

// back is an intent to refund cents of what an object has taken.
func back(cents int64, object, key string) spend.Intent {
	in := onObject(charge(cents, key), object)
	in.Operation, in.Legs[0].Kind = "refunds.create", spend.Refund
	return in
}

// refunded is the reply to a refund of a payment that has the given names.
func refunded(id string, cents int64, of ...string) spend.Outcome {
	o := paid(cents)
	o.Receipt.TransactionID, o.Receipt.Status, o.Undoes = id, "succeeded", of
	return o
}

// reversal is a notice that something has undone a payment.
func reversal(kind spend.ReversalKind, id, status string, cents int64, of ...string) spend.Evidence {
	return spend.Evidence{
		Rail: "stripe", Event: "evt_" + id + status, Type: string(kind) + ".created", At: noon, Transactions: of,
		Reversal: &spend.Reversal{Kind: kind, Transaction: id, Status: status, Amount: usd(cents)},
	}
}

// A refund and what it gives back name each other, however the one names the other.
func TestARefundIsLinkedToWhatItGivesBack(t *testing.T) {
	for sentence, c := range map[string]struct {
		object string
		of     []string
		linked bool
	}{
		"by the object that it acts on":            {"charges/ch_1", nil, true},
		"by what its reply names":                  {"payment_intents/pi_9", []string{"", "ch_1"}, true},
		"not where outgo has not made the payment": {"charges/ch_9", []string{"pi_9", "ch_9"}, false},
		"not where nothing is named":               {"", nil, false},
		"not to itself, nor to another refund":     {"refunds/re_1", []string{"re_1"}, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			w := newWorld(t, daily())
			payment := w.authorize(charge(1000, "a"), spend.Forward).ID
			w.finish(payment, paid(1000))
			refund := w.authorize(back(300, c.object, "b"), spend.Forward).ID
			for range 2 {
				w.finish(refund, refunded("re_1", 300, c.of...))
			}
			want := payment
			if !c.linked {
				want = ""
			}
			if got := w.state(refund, spend.Settled); got.Undoes != want || len(got.Undone) != 0 {
				t.Errorf("it undoes %q and is undone by %+v, want %q", got.Undoes, got.Undone, want)
			}
			got := w.state(payment, spend.Settled)
			if !c.linked {
				if len(got.Undone) != 0 {
					t.Errorf("undone by %+v", got.Undone)
				}
				return
			}
			if len(got.Undone) != 1 || got.Undone[0].Request != refund || got.Undone[0].Amount != usd(300) || got.Undone[0].Kind != spend.ByRefund {
				t.Errorf("undone by %+v", got.Undone)
			}
			w.recounted(1300) // a refund is money that moves
			// What the provider says of the same refund adds only who says so.
			for _, changed := range []bool{true, false} {
				w.heard(reversal(spend.ByRefund, "re_1", "succeeded", 300, "pi_1", "ch_1"), payment, changed)
			}
			if got := w.state(payment, spend.Settled); len(got.Undone) != 1 || got.Undone[0].Event != "evt_re_1succeeded" {
				t.Errorf("undone by %+v", got.Undone)
			}
		})
	}
}

// Whatever undoes a payment is on record with it and gives no budget back.
func TestWhatUndoesAPaymentIsNotedAndGivesNothingBack(t *testing.T) {
	w := newWorld(t, daily())
	id := w.authorize(charge(1000, "a"), spend.Forward).ID
	w.finish(id, paid(1000))
	told := []spend.Evidence{
		reversal(spend.ByRefund, "re_1", "succeeded", 400, "pi_1", "ch_1"),
		reversal(spend.ByRefund, "re_1", "pending", 400, "pi_1", "ch_1"), // in the wrong order
		reversal(spend.ByDispute, "dp_1", "needs_response", 600, "ch_1"),
		reversal(spend.ByDispute, "dp_1", "lost", 600, "ch_1"),
	}
	for _, changed := range []bool{true, false} {
		for _, ev := range told {
			w.heard(ev, id, changed)
		}
	}
	got := w.state(id, spend.Settled)
	var said []string
	for _, v := range got.Undone {
		said = append(said, fmt.Sprint(v.Kind, " ", v.Transaction, " ", v.Status, " ", v.Amount, v.Request))
	}
	want := []string{"refund re_1 succeeded 400 USD", "refund re_1 pending 400 USD", "dispute dp_1 needs_response 600 USD", "dispute dp_1 lost 600 USD"}
	if !slices.Equal(said, want) || len(got.Anomalies) != 0 || got.Told != usd(1000) || len(got.Receipts) != 1 {
		t.Errorf("%q, anomalies %v, told %s, %d receipts", said, got.Anomalies, got.Told, len(got.Receipts))
	}
	w.recounted(1000)
	w.restart()
	if again := w.state(id, spend.Settled); !slices.Equal(again.Undone, got.Undone) {
		t.Errorf("after a restart: %+v", again.Undone)
	}
}

// A refund whose reply comes after what the provider says of it by itself.
func TestARefundOfUnknownOutcomeIsLinkedWhenItIsProved(t *testing.T) {
	w := newWorld(t, daily())
	payment := w.authorize(charge(1000, "a"), spend.Forward).ID
	w.finish(payment, paid(1000))
	refund := w.authorize(back(300, "charges/ch_1", "b"), spend.Forward).ID
	w.finish(refund, spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown})
	w.heard(keyed(says("re_1", 300, 1), "b"), refund, true)
	w.heard(reversal(spend.ByRefund, "re_1", "succeeded", 300, "ch_1"), payment, true)
	w.finish(refund, refunded("re_1", 300, "ch_1"))
	if got := w.state(refund, spend.Settled); got.Undoes != payment || len(got.Anomalies) != 0 {
		t.Errorf("undoes %q, anomalies %v", got.Undoes, got.Anomalies)
	}
	for _, v := range w.state(payment, spend.Settled).Undone {
		if v.Request != refund {
			t.Errorf("undone by %+v", v)
		}
	}
	w.recounted(1300)
}

func TestNoMoreReversalsAreKeptThanFit(t *testing.T) {
	w := newWorld(t, daily())
	id := w.authorize(charge(1000, "a"), spend.Forward).ID
	w.finish(id, paid(1000))
	for i := range 300 {
		w.heard(reversal(spend.ByRefund, fmt.Sprint("re_", i), "succeeded", 1, "ch_1"), id, i < 256)
	}
	if got := w.state(id, spend.Settled); len(got.Undone) != 256 {
		t.Errorf("%d are kept", len(got.Undone))
	}
}
