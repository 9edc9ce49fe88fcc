package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

// hear has the world told of evidence by a provider that got each call under "sent-"
// and its key.
func (w *world) hear(ev spend.Evidence) (engine.Heard, error) {
	return w.Witness(func(r *spend.Request) string { return "sent-" + r.Intent.DedupKey }).Hear(w.t.Context(), ev)
}

// heard is hear where nothing may go wrong.
func (w *world) heard(ev spend.Evidence, id spend.ID, changed bool) {
	w.t.Helper()
	got, err := w.hear(ev)
	if err != nil || got.Request != id || got.Changed != changed {
		w.t.Fatalf("%s: about %q, changed %t, %v; want %q, %t", ev.Type, got.Request, got.Changed, err, id, changed)
	}
}

// says is a notice that transaction id has moved cents, in the second at.
func says(id string, cents int64, at int) spend.Evidence {
	return notice(spend.Happened, id, cents, at)
}

func notice(result spend.Result, id string, cents int64, at int) spend.Evidence {
	event := fmt.Sprintf("evt_%s_%d_%d", id, cents, at)
	return spend.Evidence{
		Rail: "stripe", Event: event, Type: "charge." + string(result), At: noon.Add(time.Duration(at) * time.Second), Transactions: []string{id},
		Outcome: func(*spend.Intent) spend.Outcome {
			o := spend.Outcome{Result: result, Receipt: spend.Receipt{TransactionID: id, Status: string(result), Note: "event " + event}}
			if result == spend.Happened {
				o.Receipt.Amount = usd(cents)
			}
			return o
		},
	}
}

// keyed is evidence of the call that was made with an agent's key.
func keyed(ev spend.Evidence, key string) spend.Evidence {
	ev.Key = "sent-key-" + key
	return ev
}

func named(ev spend.Evidence, id spend.ID) spend.Evidence {
	ev.Named = id
	return ev
}

// onObject is an intent that acts on an object.
func onObject(in spend.Intent, object string) spend.Intent {
	in.Object = object
	return in
}

// Each state of a request of 10.00 that its provider says something of.
func TestWhatAProviderSaysIsBookedFromEveryState(t *testing.T) {
	failed, happened, unknown := spend.DidNot, spend.Happened, spend.Uncertain
	executing := func(w *world) spend.ID { return w.lost("a") }
	onPI := func(w *world) spend.ID {
		return w.authorize(onObject(charge(1000, "a"), "charges/ch_7"), spend.Forward).ID
	}
	settled := func(w *world) spend.ID {
		id := w.authorize(charge(1000, "a"), spend.Forward).ID
		w.finish(id, proof("ch_7", 1000))
		return id
	}
	held := func(w *world) spend.ID { return w.authorize(charge(6000, "a"), spend.Await).ID }
	none, key, name := "", "key", "name"
	for sentence, c := range map[string]struct {
		make    func(w *world) spend.ID
		result  spend.Result
		cents   int64
		by      string // beside the transaction
		about   bool   // the request is found
		changed bool
		state   spend.State
		used    int64
		flags   []spend.Anomaly
	}{
		"unknown, and it was paid":                     {executing, happened, 1000, key, true, true, spend.Settled, 1000, nil},
		"unknown, and more was paid":                   {executing, happened, 1500, key, true, true, spend.Settled, 1500, []spend.Anomaly{spend.Oversettled}},
		"unknown, and less was paid, by whomever":      {executing, happened, 400, key, true, false, spend.Executing, 1000, nil},
		"unknown, and it failed, for whomever":         {executing, failed, 0, key, true, false, spend.Executing, 1000, nil},
		"unknown on an object, and less was paid":      {onPI, happened, 400, key, true, true, spend.Settled, 400, []spend.Anomaly{spend.AmountMismatch}},
		"unknown on an object, and it failed":          {onPI, failed, 0, key, true, true, spend.Failed, 0, nil},
		"unknown, and nothing is proved":               {executing, unknown, 0, key, true, false, spend.Executing, 1000, nil},
		"unknown, and nothing tells which call it was": {executing, happened, 1000, none, false, false, spend.Executing, 1000, nil},
		"unknown, and the payer says that it is this":  {executing, happened, 1000, name, false, false, spend.Executing, 1000, nil},
		"settled, and the same is said":                {settled, happened, 1000, none, true, true, spend.Settled, 1000, nil},
		"settled, and more was paid":                   {settled, happened, 1500, none, true, true, spend.Settled, 1500, []spend.Anomaly{spend.Oversettled}},
		"settled, and less was paid":                   {settled, happened, 400, none, true, true, spend.Settled, 400, []spend.Anomaly{spend.AmountMismatch}},
		"settled, and it failed after all":             {settled, failed, 0, none, true, true, spend.Settled, 1000, nil},
		"held, and the payer says that it is this":     {held, happened, 6000, name, true, true, spend.Settled, 6000, []spend.Anomaly{spend.UnauthorizedPayment}},
		"held, and the payer has paid a cent":          {held, happened, 1, name, true, false, spend.Held, 6000, nil},
		"held, and what the payer says it was failed":  {held, failed, 0, name, true, false, spend.Held, 6000, nil},
		"denied, and the payer says that it is this":   {func(w *world) spend.ID { return w.authorize(charge(9000, "a"), spend.Refuse).ID }, happened, 9000, name, true, true, spend.Settled, 9000, []spend.Anomaly{spend.UnauthorizedPayment}},
		"settled, and the payer has paid it once more": {func(w *world) spend.ID {
			id := w.authorize(charge(1000, "a"), spend.Forward).ID
			w.finish(id, paid(1000))
			return id
		}, happened, 1000, name, true, true, spend.Settled, 2000, []spend.Anomaly{spend.DuplicatePayment}},
		"failed by an operator's word, and it was paid":   {func(w *world) spend.ID { return w.givenUp(executing(w)) }, happened, 1000, name, true, true, spend.Settled, 1000, []spend.Anomaly{spend.LateReceipt}},
		"expired, and the payer says that it is this":     {func(w *world) spend.ID { defer w.pass(2 * time.Hour); return held(w) }, happened, 6000, name, true, true, spend.Settled, 6000, []spend.Anomaly{spend.LateReceipt}},
		"canceled, and the payer says that it is this":    {func(w *world) spend.ID { return w.calledOff(held(w)) }, happened, 6000, name, true, true, spend.Settled, 6000, []spend.Anomaly{spend.LateReceipt}},
		"flagged for its receipt, which the provider has": {func(w *world) spend.ID { defer w.late(); return executing(w) }, happened, 1000, key, true, true, spend.Settled, 1000, []spend.Anomaly{spend.MissingReceipt, spend.LateReceipt}},
	} {
		t.Run(sentence, func(t *testing.T) {
			w := newWorld(t, daily())
			id := c.make(w)
			w.pass(3 * time.Minute)
			ev := notice(c.result, "ch_7", c.cents, 200)
			switch c.by {
			case key:
				ev = keyed(ev, "a")
			case name:
				ev = named(ev, id)
			}
			about := id
			if !c.about {
				about = ""
			}
			w.heard(ev, about, c.changed)
			for range 2 { // said again it changes nothing
				got := w.state(id, c.state)
				if !slices.Equal(got.Anomalies, c.flags) {
					t.Errorf("anomalies %v, want %v", got.Anomalies, c.flags)
				}
				if len(got.Receipts) > 2 || c.changed && c.result == happened && got.Receipts[len(got.Receipts)-1].Source != spend.FromProvider {
					t.Errorf("receipts %+v", got.Receipts)
				}
				w.used(c.used)
				if h, err := w.hear(ev); err != nil || h.Changed {
					t.Errorf("said again: %+v, %v", h, err)
				}
			}
			w.recounted(c.used)
		})
	}
}

// givenUp is what an operator makes of a payment of unknown outcome.
func (w *world) givenUp(id spend.ID) spend.ID {
	w.t.Helper()
	if _, err := w.Testify(w.t.Context(), id, operator, false, "gave it up"); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) calledOff(id spend.ID) spend.ID {
	w.t.Helper()
	if _, err := w.Cancel(w.t.Context(), id, operator); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// late passes the time in which a receipt is expected.
func (w *world) late() {
	w.t.Helper()
	w.pass(16 * time.Minute)
	w.sweep()
}

// A provider tells of things in any order, and of each any number of times.
func TestTheOrderInWhichAProviderSpeaksDoesNotMatter(t *testing.T) {
	hold, capture := says("ch_7", 1000, 10), says("ch_7", 700, 20)
	for i, order := range [][]spend.Evidence{{hold, capture}, {capture, hold}, {hold, hold, capture, hold}, {capture, hold, capture}} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			w := newWorld(t, daily())
			id := w.lostOn("charges/ch_7")
			for _, ev := range order {
				if h, err := w.hear(keyed(ev, "a")); err != nil || h.Request != id {
					t.Fatal(h, err)
				}
			}
			if got := w.state(id, spend.Settled); got.Told != usd(700) || len(got.Receipts) > 2 {
				t.Errorf("told %s by %d receipts", got.Told, len(got.Receipts))
			}
			w.recounted(700)
		})
	}
}

// Of two things that a provider says of the same second, the dearer one counts.
func TestOfWhatIsSaidOfOneSecondTheDearerCounts(t *testing.T) {
	for _, order := range [][]int64{{1000, 700}, {700, 1000}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			w := newWorld(t, daily())
			id := w.lostOn("charges/ch_7")
			for _, cents := range order {
				if _, err := w.hear(keyed(says("ch_7", cents, 10), "a")); err != nil {
					t.Fatal(err)
				}
			}
			w.state(id, spend.Settled)
			w.recounted(1000)
		})
	}
}

// lostOn is a payment of 10.00, with the key "a", on an object, whose reply never came.
func (w *world) lostOn(object string) spend.ID {
	w.t.Helper()
	id := w.authorize(onObject(charge(1000, "a"), object), spend.Forward).ID
	w.finish(id, spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown})
	return id
}

// What comes before the reply is not the last word, and a failure may be of an attempt
// that is not the last.
func TestACallThatMayBeUnderWayIsLeftToItsReply(t *testing.T) {
	for sentence, c := range map[string]struct {
		lost   bool // the reply will not come
		result spend.Result
		soon   bool // it is believed at once
		state  spend.State
	}{
		"paid, while the reply may come":   {false, spend.Happened, false, spend.Settled},
		"paid, and the reply is lost":      {true, spend.Happened, true, spend.Settled},
		"failed, while the reply may come": {false, spend.DidNot, false, spend.Failed},
		"failed, and the reply is lost":    {true, spend.DidNot, false, spend.Failed},
	} {
		t.Run(sentence, func(t *testing.T) {
			w := newWorld(t, daily())
			var id spend.ID
			if c.lost {
				id = w.lostOn("charges/ch_7")
			} else {
				id = w.authorize(onObject(charge(1000, "a"), "charges/ch_7"), spend.Forward).ID
			}
			ev := keyed(notice(c.result, "ch_7", 1000, 1), "a")
			if !c.soon {
				if _, err := w.hear(ev); !errors.Is(err, spend.Unavailable) {
					t.Fatalf("%v, want to be told again later", err)
				}
				w.state(id, spend.Executing)
				w.pass(2 * time.Minute)
			}
			w.heard(ev, id, true)
			w.state(id, c.state)
		})
	}
}

// In whatever order, and however often, a provider says what an amount came to be: what
// it came to last is what counts, and no more is kept than was said.
func TestWhatAnAmountCameToLastCounts(t *testing.T) {
	p := daily()
	p.Daily = usd(1 << 40)
	w := newWorld(t, p)
	n, total := 0, int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		n++
		key := fmt.Sprint("k", n)
		in := onObject(charge(1000, key), "charges/ch_"+key)
		in.Fingerprint = key
		id := w.authorize(in, spend.Forward).ID
		w.finish(id, spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown})
		said := rapid.SliceOfNDistinct(rapid.Int64Range(1, 3000), 1, 5, rapid.ID[int64]).Draw(rt, "amounts")
		var all []int
		for at := range said {
			all = append(all, at)
		}
		all = append(all, rapid.SliceOfN(rapid.IntRange(0, len(said)-1), 0, 6).Draw(rt, "again")...)
		for _, at := range rapid.Permutation(all).Draw(rt, "order") {
			if h, err := w.hear(keyed(says("ch_"+key, said[at], at), key)); err != nil || h.Request != id {
				rt.Fatal(h, err)
			}
		}
		last := said[len(said)-1]
		if got := w.state(id, spend.Settled); got.Told != usd(last) || len(got.Receipts) > len(said) || len(got.Again) > 0 {
			rt.Fatalf("told %s by %d receipts, want %d", got.Told, len(got.Receipts), last)
		}
		total += last
		w.used(total)
		for len(w.flags) > 0 { // it holds few, and the next anomaly would wait for room
			<-w.flags
		}
	})
	w.recounted(total)
}

func TestWhatAProviderSaysOfOtherPaymentsIsNobodys(t *testing.T) {
	w := newWorld(t, daily())
	in := charge(1000, "a")
	in.Mode, in.ActingAccount = spend.Live, "acct_a/acct_b"
	id := w.authorize(in, spend.Forward).ID
	w.finish(id, spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown})
	of := func(change func(ev *spend.Evidence)) spend.Evidence {
		ev := keyed(says("ch_7", 1000, 1), "a")
		ev.Mode, ev.Account = spend.Live, "acct_b"
		change(&ev)
		return ev
	}
	for sentence, ev := range map[string]spend.Evidence{
		"another key":                          of(func(ev *spend.Evidence) { ev.Key = "sent-key-b" }),
		"no key":                               of(func(ev *spend.Evidence) { ev.Key = "" }),
		"another account":                      of(func(ev *spend.Evidence) { ev.Account = "acct_a" }),
		"no account":                           of(func(ev *spend.Evidence) { ev.Account = "" }),
		"another mode":                         of(func(ev *spend.Evidence) { ev.Mode = spend.Test }),
		"an unknown mode":                      of(func(ev *spend.Evidence) { ev.Mode = "" }),
		"another rail":                         of(func(ev *spend.Evidence) { ev.Rail = "moonpay" }),
		"a request that is not there":          of(func(ev *spend.Evidence) { ev.Key, ev.Named = "", "01890000-0000-7000-8000-000000000001" }),
		"a request that is under way, by name": of(func(ev *spend.Evidence) { ev.Key, ev.Named = "", id }),
		"a refund of something else":           {Rail: "stripe", Transactions: []string{"pi_9"}, Reversal: &spend.Reversal{Kind: spend.ByRefund}},
	} {
		if h, err := w.hear(ev); err != nil || h != (engine.Heard{}) {
			t.Errorf("%s: %+v, %v", sentence, h, err)
		}
	}
	w.state(id, spend.Executing)
	w.heard(of(func(*spend.Evidence) {}), id, true)
	w.state(id, spend.Settled)
}

// One key of an agent's for two calls that are under way, such as in two accounts of
// the same kind: nothing tells which is meant.
func TestOfTwoCallsWithOneKeyNeitherIsMeant(t *testing.T) {
	w := newWorld(t, daily())
	first := w.lost("a")
	other := charge(900, "b")
	second := w.authorize(other, spend.Forward).ID
	ev := keyed(says("ch_7", 1000, 1), "a")
	got, err := w.Witness(func(*spend.Request) string { return ev.Key }).Hear(t.Context(), ev)
	if err != nil || got != (engine.Heard{}) {
		t.Errorf("%+v, %v", got, err)
	}
	w.state(first, spend.Executing)
	w.state(second, spend.Executing)
}

// An object that has moved the whole amount proves the call that acts on it, whoever
// has caused that; another amount does not.
func TestTheObjectOfACallProvesIt(t *testing.T) {
	for cents, want := range map[int64]spend.State{1000: spend.Settled, 999: spend.Executing, 1001: spend.Executing} {
		t.Run(fmt.Sprint(cents), func(t *testing.T) {
			w := newWorld(t, daily())
			id := w.lostOn("charges/ch_7")
			ev := says("ch_7", cents, 1)
			ev.Object = "charges/ch_7"
			w.heard(ev, id, want == spend.Settled)
			w.state(id, want)
			w.used(1000)
		})
	}
}
