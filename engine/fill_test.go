package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// A tight store takes transactions of limited size, and fails all of them from a
// given one on.
type tight struct {
	store.Store
	limit   int
	updates atomic.Int64 // that may still succeed; negative = none
}

var errGone = errors.New("the disk is gone")

func (s *tight) Update(ctx context.Context, fn func(store.Tx) error) error {
	if s.updates.Add(-1) < 0 {
		return errGone
	}
	return s.Store.Update(ctx, func(tx store.Tx) error { return fn(&sized{Tx: tx, left: s.limit}) })
}

type sized struct {
	store.Tx
	left int
}

func (s *sized) Put(key string, value []byte) error {
	if s.left -= len(key) + len(value); s.left < 0 {
		return store.ErrTooLarge
	}
	return s.Tx.Put(key, value)
}

const crowd = 300 // open requests of 10 each, more than the transaction of a tight store holds

// crowded is a world in which so many requests are open that one transaction does
// not hold them all.
func crowded(t *testing.T) (w *world, s *tight, open []spend.ID) {
	t.Helper()
	w = newWorld(t)
	w.Engine.Close()
	w.set(nil)
	s = &tight{Store: w.store, limit: 80 << 10}
	s.updates.Store(1 << 40)
	w.store = s
	w.start()
	w.policies(limited("a", 4000))
	for i := range crowd {
		open = append(open, w.authorize(charge(10, fmt.Sprint("open", i)), spend.Forward).ID)
	}
	return w, s, open
}

func limited(name string, daily int64) policy.Policy {
	return policy.Policy{Name: name, Unit: "USD", Active: true, Daily: usd(daily)}
}

func TestPoliciesChangeHoweverManyRequestsAreOpen(t *testing.T) {
	for name, c := range map[string]struct {
		to   []policy.Policy
		left int64
	}{
		"a limit falls":             {[]policy.Policy{limited("a", 3500)}, 500},
		"a policy is added":         {[]policy.Policy{limited("a", 4000), limited("b", 3800)}, 800},
		"one takes another's place": {[]policy.Policy{limited("c", 3900)}, 900},
		"a policy counts no longer, and then again": {[]policy.Policy{
			{Name: "a", Unit: "USD", Active: true, Daily: usd(3500), Scope: policy.Scope{Agents: []string{"bot"}}}, limited("b", 3900),
		}, 500},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, open := crowded(t)
			if name == "a policy counts no longer, and then again" {
				away := limited("a", 4000)
				away.Scope.Agents = []string{"another"}
				w.policies(away)
			}
			w.policies(c.to...)
			paged := slices.ContainsFunc(w.entries(), func(e audit.Entry) bool { return e.Event == "recount" })
			if paged != (name != "a limit falls") {
				t.Errorf("open requests were moved page by page: %t", paged)
			}
			for i, id := range open {
				if i%2 == 0 {
					w.finish(id, paid(10))
				}
			}
			if got := w.left(10); got != c.left {
				t.Errorf("%d are left, want %d", got, c.left)
			}
			for i, id := range open {
				if i%2 == 1 {
					w.finish(id, spend.Outcome{Result: spend.DidNot})
				}
			}
			if got := w.left(10); got != crowd/2*10 {
				t.Errorf("%d are left once half of it did not happen, want %d", got, crowd/2*10)
			}
			w.verified()
		})
	}
}

// Calls that come while policies change are told no, or are counted: never more
// begins than the narrowest of the policies allows.
func TestNothingIsUncountedWhilePoliciesChange(t *testing.T) {
	w, _, _ := crowded(t)
	var wg sync.WaitGroup
	var begun, refused atomic.Int64
	done := make(chan struct{})
	for worker := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				r, err := w.Authorize(t.Context(), charge(10, fmt.Sprintf("%d/%d", worker, i)))
				switch {
				case errors.Is(err, spend.Unavailable):
					refused.Add(1)
				case err != nil:
					t.Error(err)
				case r.Next == spend.Forward:
					begun.Add(10)
				}
			}
		})
	}
	for i := range 6 { // back and forth
		ps := []policy.Policy{limited("a", 4000)}
		if i%2 == 0 {
			ps = append(ps, limited(fmt.Sprint("b", i), 3900))
		}
		w.policies(ps...)
	}
	w.policies(limited("last", 3990))
	close(done)
	wg.Wait()
	rest := w.left(10)
	if sum := crowd*10 + begun.Load() + rest; sum > 4000 || rest > 0 && sum != 3990 {
		t.Errorf("%d have begun in all (%d refused), and the limit is 3990", sum, refused.Load())
	}
	w.verified()
}

// A change that fails on the way leaves the old policies in force with all that is
// to be counted, be it undone at once or by the next start.
func TestAChangeThatFailsOnTheWayCountsEverything(t *testing.T) {
	failed := 0
	for _, pages := range []int64{1, 2, 3, 5, 7, 9} {
		t.Run(fmt.Sprint(pages, " commits"), func(t *testing.T) {
			w, s, open := crowded(t)
			s.updates.Store(pages)
			moved := limited("a", 5000)
			moved.Scope.Agents = []string{"another"} // none of what is open counts in it
			_, err := w.SyncPolicies(t.Context(), []policy.Policy{moved, limited("b", 3900)})
			if err == nil {
				return // it took fewer commits
			}
			failed++
			if _, err := w.Authorize(t.Context(), charge(10, "meanwhile")); !errors.Is(err, spend.Unavailable) {
				t.Errorf("a call while nothing is written: %v, want Unavailable", err)
			}
			s.updates.Store(1 << 40)
			w.restart()
			w.finish(open[0], spend.Outcome{Result: spend.DidNot})
			if got := w.left(10); got != 4000-crowd*10+10 {
				t.Errorf("%d are left of the old policy, want %d", got, 4000-crowd*10+10)
			}
			for _, id := range open[1:] {
				w.finish(id, paid(10))
			}
			w.verified()
		})
	}
	if failed < 3 {
		t.Errorf("the change failed at %d of the moments only", failed)
	}
}
