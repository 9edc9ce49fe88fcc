package engine_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

// ticking is a world in which time passes apart from what the clock shows.
func ticking(t *testing.T) (w *world, passed *atomic.Int64) {
	t.Helper()
	w, passed = newWorld(t), new(atomic.Int64)
	w.opt.Uptime = func() time.Duration { return time.Duration(passed.Load()) }
	w.restart()
	w.policies(daily())
	return w, passed
}

func TestAClockThatJumpsHoldsNewSpends(t *testing.T) {
	for name, c := range map[string]struct {
		shown, passed time.Duration
		says          string // "" = it is believed
	}{
		"it goes with the time":                   {3 * 24 * time.Hour, 3 * 24 * time.Hour, ""},
		"it is set forward a little":              {time.Hour, time.Second, ""},
		"it is set forward over an hour":          {time.Hour + 2*time.Second, time.Second, "the clock has jumped 1h0m1s forward"},
		"it is set back a little":                 {-3 * time.Second, time.Second, ""},
		"it is set back over five seconds":        {-5 * time.Second, time.Second, "the clock has jumped 6s back"},
		"it stands still":                         {0, 10 * time.Second, "the clock has jumped 10s back"},
		"it loses hours while the machine sleeps": {time.Minute, 8 * time.Hour, "the clock has jumped 7h59m0s back"},
	} {
		t.Run(name, func(t *testing.T) {
			w, passed := ticking(t)
			w.authorize(charge(100, "before"), spend.Forward)
			w.pass(c.shown)
			passed.Add(int64(c.passed))
			if c.says == "" {
				w.authorize(charge(100, "after"), spend.Forward)
				return
			}
			r := w.authorize(charge(100, "after"), spend.Refuse)
			if m := r.Verdict.Message(); r.Verdict.Code != spend.Frozen || !strings.Contains(m, c.says) || !strings.Contains(m, "outgo unfreeze") {
				t.Errorf("the agent is told %s", m)
			}
			if st := w.Stats(); !st.Frozen || !strings.Contains(st.Unfit, c.says) {
				t.Errorf("stats say frozen %t, %q", st.Frozen, st.Unfit)
			}
			// Back where it should be, it is believed without a word.
			w.pass(c.passed - c.shown)
			w.authorize(charge(100, "back"), spend.Forward)
			w.verified()
		})
	}
}

func TestAnOperatorTakesTheClockAsItIs(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forward": 48 * time.Hour, "back": -48 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w, _ := ticking(t)
			w.authorize(charge(100, "before"), spend.Forward)
			w.pass(jump)
			w.authorize(charge(100, "jumped"), spend.Refuse)
			if err := w.SetFrozen(t.Context(), person, engine.Freeze{}, false); err != nil {
				t.Fatal(err)
			}
			r := w.authorize(charge(100, "resumed"), spend.Forward)
			if want := noon.Add(max(jump, 0)); r.Created.Before(want) || r.Created.After(want.Add(time.Second)) {
				t.Errorf("made at %s, want %s", r.Created, want)
			}
		})
	}
}

// A wrong time that was once written would stay: the ledger's time never goes
// back. Nor may it end a hold, or open a new day's budget.
func TestAJumpLeavesNothingInTheLedger(t *testing.T) {
	w, _ := ticking(t)
	held := w.authorize(charge(6000, "held"), spend.Await)
	began := w.authorize(charge(4000, "began"), spend.Forward)
	w.pass(10 * 365 * 24 * time.Hour)
	w.authorize(charge(100, "jumped"), spend.Refuse)
	w.finish(began.ID, paid(4000)) // evidence is taken in all the while
	w.freeze(engine.Freeze{Agent: "other"})
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := w.Request(t.Context(), held.ID); err != nil || r.State != spend.Held {
		t.Errorf("the hold is %s (%v) in a year that has not come", r.State, err)
	}
	w.pass(-10 * 365 * 24 * time.Hour)
	w.authorize(charge(100, "no room today"), spend.Refuse)
	w.resolve(held.ID, false)
	if r := w.authorize(charge(100, "room again"), spend.Forward); !r.Created.Equal(noon) {
		t.Errorf("the ledger's time is %s, want noon", r.Created)
	}
}

func TestAStartBeforeTheLedgersTimeIsAJump(t *testing.T) {
	w, _ := ticking(t)
	w.pass(time.Minute)
	w.authorize(charge(100, "before"), spend.Forward)
	w.pass(-time.Minute)
	w.restart()
	w.authorize(charge(100, "behind"), spend.Refuse)
	w.pass(time.Minute)
	w.authorize(charge(100, "caught up"), spend.Forward)
}

// A machine that starts without a clock of its own may show any year. Nothing is
// written under one that has not come.
func TestAStartYearsAfterTheLedgersTimeIsAJump(t *testing.T) {
	w, _ := ticking(t)
	held := w.authorize(charge(6000, "held"), spend.Await)
	const years = 40 * 365 * 24 * time.Hour
	w.pass(years)
	w.restart()
	w.authorize(charge(100, "ahead"), spend.Refuse)
	w.pass(-years)
	w.state(held.ID, spend.Held)
	if r := w.authorize(charge(100, "back"), spend.Forward); !r.Created.Equal(noon) {
		t.Errorf("the ledger's time is %s, want noon", r.Created)
	}
	w.pass(300 * 24 * time.Hour)
	w.restart()
	w.authorize(charge(100, "after months off"), spend.Forward)
}

// The process stands still between the readings of the two clocks, once.
func TestAPauseWhileTheClockIsReadIsNoJump(t *testing.T) {
	w, passed := ticking(t)
	var pauseIn atomic.Int64
	w.opt.Uptime = func() time.Duration {
		if pauseIn.Add(-1) == 0 {
			passed.Add(int64(time.Minute))
			w.pass(time.Minute)
		}
		return time.Duration(passed.Load())
	}
	alarms := make(chan error, 100)
	w.opt.Alarm = func(err error) { alarms <- err }
	w.restart()
	for readings := range int64(4) {
		pauseIn.Store(readings + 1)
		w.authorize(charge(100, string(spend.NewID(noon))), spend.Forward)
	}
	if len(alarms) > 0 {
		t.Errorf("an operator is told %v", <-alarms)
	}
}

// What a person has approved is not lost to a jump: it begins when the clock is back.
func TestAnApprovedCallOutlivesAJump(t *testing.T) {
	w, _ := ticking(t)
	in := charge(6000, "held")
	held := w.authorize(in, spend.Await)
	w.resolve(held.ID, true)
	w.pass(3 * time.Hour)
	if _, err := w.Begin(t.Context(), held.ID, in); !errors.Is(err, spend.Unavailable) {
		t.Errorf("begin: %v, want Unavailable", err)
	}
	w.pass(-3 * time.Hour)
	w.begin(held.ID, in, spend.Forward)
}

// A settled call whose reply is no longer kept is sent to its provider once more,
// which knows its key for a day. After a jump nobody can tell whether it still does.
func TestNothingIsSentAgainUnderAClockThatHasJumped(t *testing.T) {
	w, _ := ticking(t)
	plain, kept := charge(100, "plain"), charge(200, "kept")
	w.finish(w.authorize(plain, spend.Forward).ID, paid(100))
	o := paid(200)
	o.Reply = []byte("the reply")
	w.finish(w.authorize(kept, spend.Forward).ID, o)
	w.authorize(plain, spend.Replay)
	w.pass(-3 * time.Hour)
	w.authorize(plain, spend.Doubt)
	w.authorize(kept, spend.Replay) // which outgo has
	w.pass(3 * time.Hour)
	w.authorize(plain, spend.Replay)
}
