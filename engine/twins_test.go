package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
)

// watchful is a policy that says what becomes of duplicates, and nothing else.
func watchful(word, across string) policy.Policy {
	return policy.Policy{Name: "watchful", Unit: "USD", Active: true, Duplicates: word, DuplicatesAcross: across}
}

func suspected(r spend.Request) bool { return slices.Contains(r.Anomalies, spend.DuplicateSuspected) }

func TestTheSamePaymentUnderAnotherKey(t *testing.T) {
	for name, c := range map[string]struct {
		policy policy.Policy
		before func(w *world) // what was sent earlier
		want   spend.Next
		flag   bool
	}{
		"is flagged by default": {watchful("", ""), func(w *world) { w.authorize(charge(100, "a"), spend.Forward) }, spend.Forward, true},
		"is flagged once settled": {watchful("flag", ""), func(w *world) {
			w.finish(w.authorize(charge(100, "a"), spend.Forward).ID, paid(100))
		}, spend.Forward, true},
		"is nothing to speak of where the policy says so": {watchful("allow", ""), func(w *world) { w.authorize(charge(100, "a"), spend.Forward) }, spend.Forward, false},
		"waits for a person where the policy says so":     {watchful("hold", ""), func(w *world) { w.authorize(charge(100, "a"), spend.Forward) }, spend.Await, false},
		"is denied where the policy says so":              {watchful("deny", ""), func(w *world) { w.authorize(charge(100, ""), spend.Forward) }, spend.Refuse, false},
		"is a new one when the first has failed": {watchful("deny", ""), func(w *world) {
			w.finish(w.authorize(charge(100, "a"), spend.Forward).ID, spend.Outcome{Result: spend.DidNot})
		}, spend.Forward, false},
		"is a duplicate while nobody knows of the first": {watchful("deny", ""), func(w *world) {
			w.finish(w.authorize(charge(100, "a"), spend.Forward).ID, spend.Outcome{Result: spend.Uncertain})
		}, spend.Refuse, false},
		"is a duplicate of the first when the second has failed": {watchful("deny", ""), func(w *world) {
			w.policies(watchful("allow", ""), policy.Policy{Name: "remembers", Unit: "USD", Active: true})
			w.authorize(charge(100, "a"), spend.Forward)
			w.finish(w.authorize(charge(100, "b"), spend.Forward).ID, spend.Outcome{Result: spend.DidNot})
			w.policies(watchful("deny", ""))
		}, spend.Refuse, false},
		"is none of another payment": {watchful("deny", ""), func(w *world) { w.authorize(charge(101, "a"), spend.Forward) }, spend.Forward, false},
		"is another agent's own":     {watchful("deny", ""), func(w *world) { w.authorize(others(charge(100, "a")), spend.Forward) }, spend.Forward, false},
		"is compared with another agent's where the policy says so": {watchful("deny", "all"), func(w *world) {
			w.authorize(others(charge(100, "a")), spend.Forward)
		}, spend.Refuse, false},
		"is a new one after a day": {watchful("deny", ""), func(w *world) {
			w.authorize(charge(100, "a"), spend.Forward)
			w.pass(24 * time.Hour)
		}, spend.Forward, false},
		"is a duplicate across midnight": {watchful("deny", ""), func(w *world) {
			w.authorize(charge(100, "a"), spend.Forward)
			w.pass(24*time.Hour - time.Second)
		}, spend.Refuse, false},
		"is a duplicate after a restart": {watchful("deny", ""), func(w *world) {
			w.finish(w.authorize(charge(100, "a"), spend.Forward).ID, paid(100))
			w.restart()
		}, spend.Refuse, false},
		"is a new one when a crash kept the first from being sent": {watchful("deny", ""), func(w *world) {
			w.finish(w.authorize(charge(100, "a"), spend.Forward).ID, spend.Outcome{Result: spend.DidNot, Why: spend.NeverSent})
			w.restart()
		}, spend.Forward, false},
		"is nothing to compare while no policy asks": {watchful("deny", ""), func(w *world) {
			w.policies(watchful("allow", ""))
			w.authorize(charge(100, "a"), spend.Forward)
			w.policies(watchful("deny", ""))
		}, spend.Forward, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.policy)
			c.before(w)
			r := w.authorize(charge(100, "z"), c.want)
			if suspected(r) != c.flag {
				t.Errorf("anomalies %v, want a flag: %t", r.Anomalies, c.flag)
			}
			if found := slices.Contains(r.Verdict.Codes(), spend.Duplicate); found != (c.flag || c.want != spend.Forward) {
				t.Errorf("the verdict is %v", r.Verdict.Codes())
			}
			if r.Approval != nil && !slices.Equal(r.Approval.Asked, []string{"duplicate"}) {
				t.Errorf("a person is asked about %v", r.Approval.Asked)
			}
			if stored := w.state(r.ID, r.State); suspected(stored) != c.flag {
				t.Errorf("stored with %v", stored.Anomalies)
			}
		})
	}
}

// others is the same call with the same credential, by another agent.
func others(in spend.Intent) spend.Intent {
	in.Agent, in.DedupKey = "other", in.DedupKey+"-of-other"
	return in
}

func TestARepeatOfTheSameKeyIsNoDuplicate(t *testing.T) {
	w := newWorld(t, watchful("deny", ""))
	r := w.authorize(charge(100, "a"), spend.Forward)
	w.authorize(charge(100, "a"), spend.Follow)
	w.finish(r.ID, paid(100))
	if got := w.authorize(charge(100, "a"), spend.Replay); suspected(got) {
		t.Errorf("flagged %v", got.Anomalies)
	}
}

// Two equal payouts wait for a person: approving both is a person's word on both.
func TestWhatAPersonHasApprovedIsSentThoughItIsADuplicate(t *testing.T) {
	p := watchful("hold", "")
	p.RequireApprovalOver = usd(50)
	w := newWorld(t, p)
	a, b := w.authorize(charge(100, "a"), spend.Await), w.authorize(charge(100, "b"), spend.Await)
	if slices.Contains(b.Approval.Asked, "duplicate") {
		t.Error("what only waits is no twin")
	}
	w.resolve(a.ID, true)
	w.resolve(b.ID, true)
	w.begin(a.ID, charge(100, "a"), spend.Forward)
	w.begin(b.ID, charge(100, "b"), spend.Forward)
}

func TestADenialOfDuplicatesIsLookedForAgainAtTheBegin(t *testing.T) {
	p := watchful("deny", "")
	p.RequireApprovalOver = usd(50)
	w := newWorld(t, p)
	a, b := w.authorize(charge(100, "a"), spend.Await), w.authorize(charge(100, "b"), spend.Await)
	w.resolve(a.ID, true)
	w.resolve(b.ID, true)
	w.begin(a.ID, charge(100, "a"), spend.Forward)
	if r := w.begin(b.ID, charge(100, "b"), spend.Refuse); r.Why != spend.Duplicate {
		t.Errorf("refused for %s", r.Why)
	}
}

func TestAnApprovedDuplicateIsFlaggedWhenItBegins(t *testing.T) {
	p := watchful("flag", "")
	p.RequireApprovalOver = usd(50)
	w := newWorld(t, p)
	a, b := w.authorize(charge(100, "a"), spend.Await), w.authorize(charge(100, "b"), spend.Await)
	w.resolve(a.ID, true)
	w.resolve(b.ID, true)
	if r := w.begin(a.ID, charge(100, "a"), spend.Forward); suspected(r) {
		t.Error("the first is flagged")
	}
	if r := w.begin(b.ID, charge(100, "b"), spend.Forward); !suspected(r) || !suspected(w.state(b.ID, spend.Executing)) {
		t.Error("the second is not flagged")
	}
}

// Nobody makes another agent's payment be forgotten by sending the same one often, and
// a settled one is not forgotten over any number that fail.
func TestManyTwinsHideNone(t *testing.T) {
	w := newWorld(t, watchful("flag", ""))
	w.finish(w.authorize(charge(100, "first"), spend.Forward).ID, paid(100))
	w.authorize(others(charge(100, "mine")), spend.Forward)
	var open []spend.ID
	for i := range 30 {
		open = append(open, w.authorize(charge(100, fmt.Sprint(i)), spend.Forward).ID)
	}
	for _, id := range open {
		w.finish(id, spend.Outcome{Result: spend.DidNot})
	}
	w.policies(watchful("deny", ""))
	w.authorize(charge(100, "z"), spend.Refuse)
	w.authorize(others(charge(100, "z")), spend.Refuse)
}

// Callers at the same time share a batch: one of them is the first.
func TestOfDuplicatesAtOneTimeOneIsForwarded(t *testing.T) {
	w := newWorld(t, watchful("deny", ""))
	got := make(chan spend.Next)
	for i := range 16 {
		go func() {
			r, err := w.Authorize(t.Context(), charge(100, fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
			}
			got <- r.Next
		}()
	}
	sent := 0
	for range 16 {
		if <-got == spend.Forward {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("%d were sent", sent)
	}
}
