package engine

import (
	"errors"
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

// Every state meets every event under both enforcements: what the table names
// happens, and everything else is InvalidState.
func TestEveryPairOfStateAndEvent(t *testing.T) {
	type move struct {
		to  spend.State
		eff effect
	}
	both := map[spend.State]map[event]move{
		spend.Held: {
			approve: {spend.Authorized, keep}, reject: {spend.Denied, void},
			cancel: {spend.Canceled, void}, lapse: {spend.Expired, void},
		},
		spend.Authorized: {begin: {spend.Executing, rereserve}, refuse: {spend.Denied, void}},
		spend.Executing:  {settle: {spend.Settled, post}, fail: {spend.Failed, void}},
	}
	only := map[spend.Enforcement]map[event]move{
		spend.Wired:    {cancel: {spend.Canceled, void}, lapse: {spend.Expired, void}},
		spend.Advisory: {cancel: {spend.Canceled, presume}, lapse: {spend.Expired, presume}, settle: {spend.Settled, post}},
	}
	states := []spend.State{
		spend.Held, spend.Authorized, spend.Executing,
		spend.Settled, spend.Denied, spend.Failed, spend.Expired, spend.Canceled,
	}
	events := []event{approve, reject, begin, settle, fail, cancel, lapse, refuse}
	for _, enf := range []spend.Enforcement{spend.Wired, spend.Advisory} {
		for _, s := range states {
			for _, ev := range events {
				want, ok := both[s][ev]
				if w, more := only[enf][ev]; more && s == spend.Authorized {
					want, ok = w, true
				}
				to, eff, err := step(s, ev, enf)
				switch {
				case ok && (err != nil || to != want.to || eff != want.eff):
					t.Errorf("%s: %s a %s request: got %s, %s, %v; want %s, %s", enf, ev, s, to, eff, err, want.to, want.eff)
				case !ok && !errors.Is(err, spend.InvalidState):
					t.Errorf("%s: %s a %s request: got %s, %s, %v; want InvalidState", enf, ev, s, to, eff, err)
				case !ok && (to != s || eff != keep):
					t.Errorf("%s: a refused %s moved a %s request to %s with %s", enf, ev, s, to, eff)
				}
			}
		}
	}
}
