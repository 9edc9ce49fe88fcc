package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// anyDay is the daily policy without its limit of a day.
func anyDay() policy.Policy {
	p := daily()
	p.Daily = spend.Amount{}
	return p
}

// update is a write on a payment intent that moves no money.
func update(object, key string) spend.Intent {
	in := spend.Intent{
		Agent: "bot", Rail: "stripe", Class: spend.Other, Operation: "payment_intents.update",
		Object: "payment_intents/" + object, Fingerprint: "update-" + object,
	}
	if key != "" {
		in.DedupKey = "key-" + key
	}
	return in
}

func TestEqualCallsWithoutKeysAreTwoPayments(t *testing.T) {
	w := newWorld(t, anyDay())
	a := w.authorize(charge(6000, ""), spend.Await)
	b := w.authorize(charge(6000, ""), spend.Await)
	if a.ID == b.ID {
		t.Fatal("two equal calls without keys at the same instant are one payment")
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error)
	go func() { _, err := w.Wait(ctx, b.ID); waited <- err }()
	for range 5000 {
		if w.Stats().Waiting > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	w.pass(3 * time.Second)
	c := w.authorize(charge(6000, ""), spend.Await)
	cancel()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if c.ID == a.ID || c.ID == b.ID {
		t.Error("a call without a key attached to a hold that another one waits on")
	}
	w.pass(3 * time.Second) // now nobody does
	if d := w.authorize(charge(6000, ""), spend.Await); d.ID != c.ID {
		t.Error("a call that comes back did not find its hold")
	}
}

func TestADeniedTwinDoesNotHideWhatWasApproved(t *testing.T) {
	w := newWorld(t, daily())
	a := w.authorize(charge(6000, "a"), spend.Await)
	w.authorize(charge(6000, "b"), spend.Refuse) // at once, so another payment, and the day is full
	w.resolve(a.ID, true)
	w.pass(5 * time.Second)
	if got := w.authorize(charge(6000, "c"), spend.Begin); got.ID != a.ID {
		t.Errorf("got %s, want to begin the approved %s", got.ID, a.ID)
	}
}

// Two calls of one key wait for one approval. The first finds that the policy has
// changed and is evaluated anew; the second must not be told that nothing was
// sent.
func TestTheLoserOfABeginThatReplacesFollows(t *testing.T) {
	looser, stricter := daily(), daily()
	looser.RequireApprovalOver = usd(5800)
	stricter.RequireApprovalOver = usd(4000)
	for name, c := range map[string]struct {
		policy      policy.Policy
		first, next spend.Next
	}{
		"what replaced it is sent": {looser, spend.Forward, spend.Follow},
		"what replaced it is held": {stricter, spend.Await, spend.Await},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			in := charge(5500, "a")
			r := w.authorize(in, spend.Await)
			w.authorize(in, spend.Await)
			w.resolve(r.ID, true)
			w.policies(c.policy)
			winner := w.begin(r.ID, in, c.first)
			if got, err := w.Wait(t.Context(), r.ID); err != nil || got.Next != spend.Begin {
				t.Errorf("a waiter that wakes late: %s, %v; want to begin", got.Next, err)
			}
			if got := w.begin(r.ID, in, c.next); got.ID != winner.ID {
				t.Errorf("the loser got %s, want %s", got.ID, winner.ID)
			}
			w.begin(r.ID, charge(5500, "b"), spend.Refuse) // another key is another payment
			w.used(5500)
		})
	}
}

func TestWhatWasApprovedIsWhatIsSent(t *testing.T) {
	for name, change := range map[string]func(*spend.Leg){
		"another merchant": func(l *spend.Leg) { l.Merchant = "other.example" },
		"no merchant":      func(l *spend.Leg) { l.Merchant, l.ClaimedMerchant = "", false },
		"another category": func(l *spend.Leg) { l.Category = "gambling" },
		"another kind":     func(l *spend.Leg) { l.Kind = spend.Transfer },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			in := charge(6000, "a")
			in.Legs[0].Merchant, in.Legs[0].ClaimedMerchant = "good.example", true
			in.Legs[0].Category, in.Legs[0].ClaimedCategory = "books", true
			r := w.authorize(in, spend.Await)
			w.resolve(r.ID, true)
			in.Legs = []spend.Leg{in.Legs[0]}
			change(&in.Legs[0])
			if got := w.begin(r.ID, in, spend.Await); got.ID == r.ID {
				t.Errorf("held again as the request that was approved")
			}
			w.state(r.ID, spend.Canceled)
			w.used(6000)
		})
	}
}

// A call that adds a card when it is approved may move money as well when it is sent,
// though its bytes are the same and nobody can tell how much.
func TestAnApprovedCapabilityIsNotSentAsAnythingElse(t *testing.T) {
	w := newWorld(t, daily())
	in := spend.Intent{Agent: "bot", Rail: "stripe", Class: spend.Capability, Operation: "customers.update", Network: "stripe",
		Object: "customers/cus_1", DedupKey: "a", Fingerprint: "print"}
	r := w.authorize(in, spend.Await)
	w.resolve(r.ID, true)
	graver := in
	graver.Class = spend.Unrecognised
	got := w.begin(r.ID, graver, spend.Await)
	if got.ID == r.ID {
		t.Error("it is held as the request that was approved")
	}
	w.state(r.ID, spend.Canceled)
	w.resolve(got.ID, true)
	w.begin(got.ID, graver, spend.Forward)
}

// While an update may still be carried out, neither a payment with its object nor
// the update itself is sent; afterwards the update stays in doubt.
func TestAnUpdateOfUnknownOutcomeKeepsItsObjectForAWhile(t *testing.T) {
	for name, lose := range map[string]func(w *world, id spend.ID){
		"the gateway gave up": func(w *world, id spend.ID) { w.finish(id, spend.Outcome{Result: spend.Uncertain}) },
		"outgo was killed":    func(w *world, _ spend.ID) { w.restart() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			up, confirm := update("pi_1", "u"), charge(1000, "c")
			confirm.Object = up.Object
			r := w.authorize(up, spend.Forward)
			lose(w, r.ID)
			w.pass(2*time.Minute - time.Second)
			w.sweep()
			w.authorize(confirm, spend.Busy)
			w.authorize(up, spend.Follow) // there is no flight: the proxy answers that nobody knows
			w.authorize(update("pi_1", ""), spend.Busy)
			w.used(0)
			w.pass(time.Second)
			w.sweep()
			w.state(r.ID, spend.Settled)
			w.authorize(confirm, spend.Forward)
			w.authorize(up, spend.Doubt)
			w.used(1000)
		})
	}
}

func TestABusyObjectSaysNothingOfAnotherAgent(t *testing.T) {
	w := newWorld(t, daily())
	in := charge(6000, "a")
	in.Object, in.Claims.Reason = "payment_intents/pi_1", "secret"
	own := w.authorize(in, spend.Await)
	in.DedupKey, in.Fingerprint = "key-b", "another call"
	if got := w.authorize(in, spend.Busy); got.ID != own.ID {
		t.Errorf("the agent's own request in its way is %q, want %q", got.ID, own.ID)
	}
	in.Agent = "other"
	if got := w.authorize(in, spend.Busy); !reflect.DeepEqual(got, spend.Request{}) {
		t.Errorf("another agent sees %+v", got)
	}
}

// backward turns the clock back after the next read.
type backward struct {
	store.Store
	armed atomic.Bool
	turn  func()
}

func (b *backward) View(ctx context.Context, fn func(store.Reader) error) error {
	err := b.Store.View(ctx, fn)
	if b.armed.CompareAndSwap(true, false) {
		b.turn()
	}
	return err
}

// A hold that a sweep finds due, by a clock that is then set back, must still
// fall due later.
func TestASweepWhileTheClockGoesBackForgetsNothing(t *testing.T) {
	w := newWorld(t, daily())
	back := &backward{Store: w.store, turn: func() { w.now.Store(noon.UnixNano()) }}
	w.Engine.Close()
	w.store = back
	w.start()
	r := w.authorize(charge(6000, "a"), spend.Await)
	w.pass(time.Hour + time.Second)
	back.armed.Store(true)
	w.sweep()
	w.state(r.ID, spend.Held)
	w.used(6000)
	w.pass(2 * time.Hour)
	w.sweep()
	w.state(r.ID, spend.Expired)
	w.used(0)
}

func TestADamagedRequestDoesNotStopTheSweep(t *testing.T) {
	p := daily()
	p.Daily = usd(100000)
	w := newWorld(t, p)
	w.Engine.Close()
	w.store = struct{ store.Store }{w.store} // one that others may write to
	w.start()
	damaged := w.authorize(charge(6000, "a"), spend.Await)
	w.pass(time.Second) // so that it falls due before the other one
	other := w.authorize(charge(5900, "b"), spend.Await)
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return tx.Put("v1/main/request/"+string(damaged.ID), []byte("\x09"))
	})
	if err != nil {
		t.Fatal(err)
	}
	w.used(11900)
	w.pass(2 * time.Hour)
	if err := w.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), string(damaged.ID)) {
		t.Errorf("%v, want an error that names the damaged request", err)
	}
	w.state(other.ID, spend.Expired)
	w.used(6000) // what nobody can read stays counted
}

func TestUpdatesCountAsNoPayments(t *testing.T) {
	three := 3
	w := newWorld(t, policy.Policy{Name: "p", Unit: "USD", Active: true, PerMinute: &three})
	for i := range 5 {
		up := w.authorize(update(fmt.Sprint("pi_", i), ""), spend.Forward)
		w.finish(up.ID, spend.Outcome{Result: spend.Happened})
	}
	for i := range 3 {
		w.authorize(charge(1, fmt.Sprint(i)), spend.Forward)
	}
	if r := w.authorize(charge(1, "last"), spend.Refuse); r.Verdict.Code != spend.VelocityLimitMinute {
		t.Errorf("denied for %s", r.Verdict.Code)
	}
}

func TestANewPolicyCountsNoCallsOutsideItsScope(t *testing.T) {
	one := 1
	all := policy.Policy{Name: "all", Unit: "USD", Active: true}
	w := newWorld(t, all)
	w.authorize(charge(1, "a"), spend.Forward) // of bot, and still open
	narrow := policy.Policy{Name: "narrow", Unit: "USD", Active: true, PerMinute: &one, Scope: policy.Scope{Agents: []string{"other"}}}
	w.policies(all, narrow)
	in := charge(2, "b")
	in.Agent = "other"
	w.authorize(in, spend.Forward)
	in.DedupKey, in.Fingerprint = "key-c", "another call"
	w.authorize(in, spend.Refuse)
}

func TestAFailedChangeOfAPolicyIsNotInForce(t *testing.T) {
	one := 1
	w := newWorld(t)
	p, err := w.CreatePolicy(t.Context(), policy.Policy{
		Name: "own", Unit: "USD", Active: true, PerMinute: &one, BlockedMerchants: []string{"evil.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.authorize(charge(1, "a"), spend.Forward)
	_, err = w.ChangePolicy(t.Context(), p.ID, func(p *policy.Policy) error {
		*p.PerMinute = 1000
		p.BlockedMerchants[0] = "x.example"
		p.Capabilities = "perhaps"
		return nil
	})
	if !errors.Is(err, spend.Invalid) || !strings.Contains(err.Error(), "perhaps") {
		t.Errorf("a change to what is no choice: %v, want Invalid", err)
	}
	w.authorize(charge(1, "b"), spend.Refuse)
	in := charge(1, "c")
	in.Legs[0].Merchant = "evil.example"
	if r := w.authorize(in, spend.Refuse); r.Verdict.Code != spend.BlockedMerchant {
		t.Errorf("denied for %s, want %s", r.Verdict.Code, spend.BlockedMerchant)
	}
}

// A call that is known to have stopped waiting is not in the way of the next one,
// however soon that comes.
func TestACallThatHasLeftIsNotInTheWay(t *testing.T) {
	w := newWorld(t, anyDay())
	a := w.authorize(charge(6000, "a"), spend.Await)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := w.Wait(ctx, a.ID); err != nil || r.Next != spend.Await {
		t.Fatalf("wait: %s, %v", r.Next, err)
	}
	if b := w.authorize(charge(6000, "b"), spend.Await); b.ID != a.ID {
		t.Error("the next call did not attach to the hold that nobody waits on")
	}
	if c := w.authorize(charge(6000, "c"), spend.Await); c.ID == a.ID {
		t.Error("a third call attached while the second had just come")
	}
}

// A caller without a flight is told to ask again while SDKs do so, and the third
// time that nobody knows: the count of its attempts says which.
func TestRepeatsOfAnUnknownOutcomeAreCounted(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(100, "a"), spend.Forward)
	w.finish(r.ID, spend.Outcome{Result: spend.Uncertain})
	for want := 2; want <= 4; want++ {
		if got := w.authorize(charge(100, "a"), spend.Follow); got.Attempts != want {
			t.Errorf("attempt %d is counted as %d", want, got.Attempts)
		}
	}
	w.used(100)
}
