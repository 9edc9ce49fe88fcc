package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

// provider answers questions as the test wants.
type provider struct {
	mu     sync.Mutex
	asked  []spend.ID
	answer func(r *spend.Request) (spend.Outcome, error)
}

func (p *provider) Ask(_ context.Context, r *spend.Request) (spend.Outcome, error) {
	p.mu.Lock()
	p.asked = append(p.asked, r.ID)
	p.mu.Unlock()
	return p.answer(r)
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

func unproved(*spend.Request) (spend.Outcome, error) {
	return spend.Outcome{Result: spend.Uncertain}, nil
}

func (w *world) look(q *engine.Inquiry) {
	w.t.Helper()
	if err := q.Pass(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// lost is a payment of 10.00 whose reply never came.
func (w *world) lost(key string) spend.ID {
	r := w.authorize(charge(1000, key), spend.Forward)
	w.finish(r.ID, spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown})
	return r.ID
}

func TestAnUnknownOutcomeIsSettledByTheProvidersWordAlone(t *testing.T) {
	wire := proof("ch_7", 1000)
	wire.Receipt.Source, wire.Reply = spend.FromWire, []byte("not a reply")
	for name, c := range map[string]struct {
		answer spend.Outcome
		err    error
		state  spend.State
		used   int64
		flags  []spend.Anomaly
	}{
		"it was paid":                       {proof("ch_7", 1000), nil, spend.Settled, 1000, nil},
		"it was paid, whoever says so":      {wire, nil, spend.Settled, 1000, nil},
		"more was paid than was asked":      {proof("ch_7", 1500), nil, spend.Settled, 1500, []spend.Anomaly{spend.Oversettled}},
		"less was paid than was asked":      {proof("ch_7", 400), nil, spend.Settled, 400, []spend.Anomaly{spend.AmountMismatch}},
		"it provably failed":                {spend.Outcome{Result: spend.DidNot, Why: spend.UpstreamFailed}, nil, spend.Failed, 0, nil},
		"nothing is proved":                 {spend.Outcome{Result: spend.Uncertain}, nil, spend.Executing, 1000, nil},
		"an outcome that is none":           {spend.Outcome{}, nil, spend.Executing, 1000, nil},
		"nobody can be asked":               {spend.Outcome{}, spend.NotFound, spend.Executing, 1000, nil},
		"the provider does not answer":      {proof("ch_7", 1000), spend.Unavailable, spend.Executing, 1000, nil},
		"a failure that is not one of ours": {spend.Outcome{Result: spend.DidNot}, errors.New("boom"), spend.Executing, 1000, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			id := w.lost("a")
			q := w.Inquire(&provider{answer: func(*spend.Request) (spend.Outcome, error) { return c.answer, c.err }})
			w.pass(11 * time.Second)
			w.look(q)
			r := w.state(id, c.state)
			if !slices.Equal(r.Anomalies, c.flags) {
				t.Errorf("anomalies %v, want %v", r.Anomalies, c.flags)
			}
			if r.State.Final() && (len(r.Receipts) > 0 && r.Receipts[0].Source != spend.FromProvider || r.State == spend.Settled && len(r.Receipts) != 1) {
				t.Errorf("receipts %+v", r.Receipts)
			}
			w.used(c.used)
			if _, err := w.Reply(t.Context(), id); !errors.Is(err, spend.NotFound) {
				t.Errorf("reply: %v", err)
			}
		})
	}
}

func TestAPanicOfTheReconcilerProvesNothing(t *testing.T) {
	w := newWorld(t, daily())
	id := w.lost("a")
	q := w.Inquire(&provider{answer: func(*spend.Request) (spend.Outcome, error) { panic("boom") }})
	w.pass(time.Minute)
	w.look(q)
	w.state(id, spend.Executing)
}

func TestOnlyWhatIsUnknownIsAskedAbout(t *testing.T) {
	w := newWorld(t, daily())
	p := &provider{answer: unproved}
	q := w.Inquire(p)
	id := w.lost("unknown")
	w.authorize(charge(6000, "held"), spend.Await)
	w.finish(w.authorize(charge(900, "settled"), spend.Forward).ID, paid(900))
	w.finish(w.authorize(charge(800, "failed"), spend.Forward).ID, spend.Outcome{Result: spend.DidNot})
	other := charge(0, "other")
	other.Class, other.Legs, other.Object = spend.Other, nil, "payment_intents/pi_1"
	w.authorize(other, spend.Forward)
	w.look(q)
	if p.count() != 0 {
		t.Errorf("asked %d times before any reply could have come", p.count())
	}
	w.pass(time.Minute)
	w.authorize(charge(700, "under way"), spend.Forward)
	w.look(q)
	if !slices.Equal(p.asked, []spend.ID{id}) {
		t.Errorf("asked about %v, want %s alone", p.asked, id)
	}
}

// A payment that nothing proves is asked about soon and then seldom, for a day;
// and once more after a restart.
func TestQuestionsBecomeSeldom(t *testing.T) {
	w := newWorld(t, daily())
	id := w.lost("a")
	began := w.now.Load()
	var at []string
	p := &provider{answer: func(*spend.Request) (spend.Outcome, error) {
		at = append(at, time.Duration(w.now.Load()-began).String())
		return spend.Outcome{Result: spend.Uncertain}, nil
	}}
	q := w.Inquire(p)
	for i := range 360 + 29*12 { // an hour in steps of 10 s, and 29 in steps of 5 min
		w.pass(10 * time.Second)
		if i >= 360 {
			w.pass(5*time.Minute - 10*time.Second)
		}
		w.look(q)
	}
	want := []string{"10s", "1m0s", "5m0s", "30m0s", "1h0m0s"}
	for h := 2; h <= 24; h++ {
		want = append(want, (time.Duration(h) * time.Hour).String())
	}
	if !slices.Equal(at, want) {
		t.Errorf("asked at %v, want %v", at, want)
	}
	w.restart()
	w.look(w.Inquire(p))
	w.state(id, spend.Executing)
	if p.count() != len(want)+1 {
		t.Errorf("asked %d times after a restart, want once more", p.count())
	}
}

func TestFewQuestionsAreOpenAtATime(t *testing.T) {
	w := newWorld(t, daily())
	for i := range 10 {
		w.lost(fmt.Sprint(i))
	}
	var open, most atomic.Int64
	q := w.Inquire(&provider{answer: func(*spend.Request) (spend.Outcome, error) {
		n := open.Add(1)
		defer open.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(time.Millisecond) // so that others would have the time to begin
		return proof("", 1000), nil
	}})
	w.pass(time.Minute)
	w.look(q)
	if most.Load() > 4 {
		t.Errorf("%d questions were open at one time", most.Load())
	}
	if s := w.Stats(); s.Unknown != 10 || s.Reconciled["settled"] != 10 {
		t.Errorf("stats %+v", s)
	}
	w.look(q)
	if s := w.Stats(); s.Unknown != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A receipt that does not come is missed after a while, whether or not anybody can
// be asked, and also when the process that sent the payment is gone.
func TestAMissingReceiptIsFlaggedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		make func(w *world) spend.ID
		then []spend.Outcome
		want []spend.Anomaly
	}{
		"of a call that was cut":        {func(w *world) spend.ID { return w.lost("a") }, nil, []spend.Anomaly{spend.MissingReceipt}},
		"of a call whose process ended": {func(w *world) spend.ID { defer w.restart(); return w.authorize(charge(1000, "a"), spend.Forward).ID }, nil, []spend.Anomaly{spend.MissingReceipt}},
		"and it comes late":             {func(w *world) spend.ID { return w.lost("a") }, []spend.Outcome{proof("ch_1", 1000)}, []spend.Anomaly{spend.MissingReceipt, spend.LateReceipt}},
		"and it comes late, twice":      {func(w *world) spend.ID { return w.lost("a") }, []spend.Outcome{proof("ch_1", 1000), proof("ch_2", 1000)}, []spend.Anomaly{spend.MissingReceipt, spend.LateReceipt, spend.DuplicatePayment}},
		"and it did not happen":         {func(w *world) spend.ID { return w.lost("a") }, []spend.Outcome{{Result: spend.DidNot}}, []spend.Anomaly{spend.MissingReceipt}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			id := c.make(w)
			w.pass(14 * time.Minute)
			w.sweep()
			if r := w.state(id, spend.Executing); len(r.Anomalies) != 0 {
				t.Errorf("too early: %v", r.Anomalies)
			}
			w.pass(2 * time.Minute)
			for range 2 {
				w.sweep()
			}
			w.used(1000)
			for _, o := range c.then {
				w.finish(id, o)
			}
			got, err := w.Request(t.Context(), id)
			if err != nil || !slices.Equal(got.Anomalies, c.want) {
				t.Errorf("anomalies %v, %v; want %v", got.Anomalies, err, c.want)
			}
			if !slices.Equal(w.flagged(), c.want) {
				t.Errorf("told of %v, want %v", w.flagged(), c.want)
			}
		})
	}
}

func TestAReceiptInTimeIsNotMissed(t *testing.T) {
	w := newWorld(t, daily())
	id := w.lost("a")
	w.finish(id, proof("ch_1", 1000))
	w.pass(time.Hour)
	w.sweep()
	if r := w.state(id, spend.Settled); len(r.Anomalies)+len(w.flagged()) != 0 {
		t.Errorf("anomalies %v, told of %v", r.Anomalies, w.flagged())
	}
}

// An operator who says that a payment failed may be wrong, and its money has been
// given back: the provider is asked all the same, for a day.
func TestAnOperatorsMistakeIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		answer spend.Outcome
		state  spend.State
		used   int64
		flags  []spend.Anomaly
	}{
		"it was paid after all": {proof("ch_7", 1000), spend.Settled, 1000, []spend.Anomaly{spend.LateReceipt}},
		"it was not paid":       {spend.Outcome{Result: spend.DidNot}, spend.Failed, 0, nil},
		"nothing is proved":     {spend.Outcome{Result: spend.Uncertain}, spend.Failed, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			id := w.lost("a")
			w.pass(20 * time.Second)
			if _, err := w.Testify(t.Context(), id, operator, false, "not on the dashboard"); err != nil {
				t.Fatal(err)
			}
			w.used(0)
			p := &provider{answer: func(*spend.Request) (spend.Outcome, error) { return c.answer, nil }}
			q := w.Inquire(p)
			w.look(q)
			if n := w.Stats().Unknown; n != 0 {
				t.Errorf("%d are called unknown", n)
			}
			r := w.state(id, c.state)
			if !slices.Equal(r.Anomalies, c.flags) || c.state == spend.Failed && len(r.Receipts) != 1 {
				t.Errorf("anomalies %v, receipts %+v", r.Anomalies, r.Receipts)
			}
			w.used(c.used)
			asked := p.count()
			w.pass(25 * time.Hour)
			w.sweep()
			w.look(w.Inquire(p))
			if p.count() != asked {
				t.Error("it is asked about for more than a day")
			}
		})
	}
}
