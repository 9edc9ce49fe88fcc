package engine_test

import (
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
)

// usedIn returns what the balance of a period holds.
func (w *world) usedIn(period string) spend.Amount {
	w.t.Helper()
	v, err := w.Preview(w.t.Context(), charge(1, ""))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range v.Balances {
		if b.Period == period {
			return b.Used
		}
	}
	w.t.Fatalf("no balance of the %s in %+v", period, v.Balances)
	return spend.Amount{}
}

// A policy that is changed on the last evening of its month, when the month has ended
// in Greenwich, or on the first morning of it, when it has not, counts that month.
func TestAChangedPolicyCountsTheMonthOfItsZone(t *testing.T) {
	for name, c := range map[string]struct {
		zone         string
		paid, change time.Time
		want         int64
	}{
		"west, on the last evening":  {"America/Los_Angeles", noon, time.Date(2026, 12, 1, 6, 0, 0, 0, time.UTC), 1000},
		"west, on the first morning": {"America/Los_Angeles", noon, time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC), 0},
		"east, on the last evening":  {"Pacific/Kiritimati", noon, time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC), 1000},
		"east, on the first morning": {"Pacific/Kiritimati", noon, time.Date(2026, 11, 30, 11, 0, 0, 0, time.UTC), 0},
		"east, of its first day":     {"Pacific/Kiritimati", time.Date(2026, 11, 30, 11, 0, 0, 0, time.UTC), time.Date(2026, 12, 30, 1, 0, 0, 0, time.UTC), 1000},
		"Greenwich":                  {"", noon, time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC), 1000},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy.Policy{Name: "monthly", Unit: "USD", Active: true, Monthly: usd(50000), Zone: c.zone}
			w := newWorld(t, p)
			w.now.Store(c.paid.UnixNano())
			w.finish(w.authorize(charge(1000, "a"), spend.Forward).ID, paid(1000))
			w.now.Store(c.change.UnixNano())
			if err := w.SetFrozen(t.Context(), person, engine.Freeze{}, false); err != nil { // however the clock came here
				t.Fatal(err)
			}
			for _, when := range []string{"before", "after"} {
				if got := w.usedIn("month"); got != usd(c.want) {
					t.Errorf("%s the change, the month holds %s, want %d", when, got, c.want)
				}
				p.Monthly = usd(40000)
				w.policies(p)
			}
		})
	}
}

// What was approved long before it was sent counts when it was sent, also after the
// time for that has been made shorter.
func TestAChangedPolicyCountsWhatWasApprovedLongAgo(t *testing.T) {
	w := newWorld(t)
	w.opt.Keep = 30 * 24 * time.Hour
	w.restart()
	p := policy.Policy{Name: "both", Unit: "USD", Active: true, Monthly: usd(50000), RequireApprovalOver: usd(5000)}
	w.policies(p)
	in := charge(6000, "held")
	h := w.authorize(in, spend.Await)
	w.resolve(h.ID, true)
	w.pass(15 * 24 * time.Hour)
	w.begin(h.ID, in, spend.Forward)
	w.finish(h.ID, paid(6000))
	w.opt.Keep = time.Hour
	w.restart()
	p.Monthly = usd(40000)
	w.policies(p)
	if got := w.usedIn("month"); got != usd(6000) {
		t.Errorf("the month holds %s, want 6000", got)
	}
}
