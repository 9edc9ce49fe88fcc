package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// A world is an engine with a clock that the test moves.
type world struct {
	t     *testing.T
	now   atomic.Int64
	store store.Store
	flags chan engine.Flagged
	opt   engine.Options // what a test sets beyond the usual
	*engine.Engine
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, ps ...policy.Policy) *world {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{t: t, store: st, flags: make(chan engine.Flagged, 64)}
	w.now.Store(noon.UnixNano())
	w.start()
	t.Cleanup(func() { w.Engine.Close() })
	w.policies(ps...)
	return w
}

func (w *world) start() {
	w.t.Helper()
	e, err := engine.Open(context.Background(), w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	w.Engine = e
}

func (w *world) options() engine.Options {
	opt := w.opt
	opt.Flagged = func(f engine.Flagged) {
		if f.Anomaly != spend.DuplicateSuspected { // which tests send a lot of: twins_test.go looks at them
			w.flags <- f
		}
	}
	opt.Store, opt.Sealer, opt.MaxHeld = w.store, seal.FromBytes([32]byte{1}), 3
	opt.Clock = func() time.Time { return time.Unix(0, w.now.Load()).UTC() }
	return opt
}

// restart is what a process that ends and starts again does to the engine.
func (w *world) restart() {
	w.Engine.Close()
	w.start()
}

// flagged returns the anomalies that were told of so far.
func (w *world) flagged() []spend.Anomaly {
	var found []spend.Anomaly
	for n := len(w.flags); n > 0; n-- {
		f := <-w.flags
		found = append(found, f.Anomaly)
		w.flags <- f
	}
	return found
}

func (w *world) pass(d time.Duration) { w.now.Add(int64(d)) }

func (w *world) policies(ps ...policy.Policy) {
	w.t.Helper()
	if _, err := w.SyncPolicies(context.Background(), ps); err != nil {
		w.t.Fatal(err)
	}
}

// daily is a policy of 100.00 a day, 60.00 at a time, with approval over 50.00.
func daily() policy.Policy {
	return policy.Policy{
		Name: "daily", Unit: "USD", Active: true, Daily: usd(10000), MaxSingle: usd(6000), RequireApprovalOver: usd(5000),
	}
}

func usd(cents int64) spend.Amount { return spend.NewAmount("USD", cents) }

// charge is an intent of cents with an idempotency key, or without one for "".
func charge(cents int64, key string) spend.Intent {
	in := spend.Intent{
		Agent: "bot", Rail: "stripe", Class: spend.Spend, Operation: "charges.create", Network: "stripe",
		Legs: []spend.Leg{{Kind: spend.Charge, Amount: usd(cents)}}, Fingerprint: fmt.Sprintf("print-%d", cents),
	}
	if key != "" {
		in.DedupKey = "key-" + key
	}
	return in
}

func (w *world) authorize(in spend.Intent, want spend.Next) spend.Request {
	w.t.Helper()
	r, err := w.Authorize(context.Background(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Next != want {
		w.t.Fatalf("authorize: %s (%s, %s), want %s", r.Next, r.Request.State, r.Request.Verdict.Message(), want)
	}
	return r.Request
}

func (w *world) begin(id spend.ID, in spend.Intent, want spend.Next) spend.Request {
	w.t.Helper()
	r, err := w.Begin(context.Background(), id, in)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Next != want {
		w.t.Fatalf("begin: %s (%s, %s), want %s", r.Next, r.Request.State, r.Request.Why, want)
	}
	return r.Request
}

func (w *world) finish(id spend.ID, o spend.Outcome) {
	w.t.Helper()
	if err := w.Finish(context.Background(), id, o); err != nil {
		w.t.Fatal(err)
	}
}

func paid(cents int64) spend.Outcome {
	return spend.Outcome{Result: spend.Happened, Receipt: spend.Receipt{Source: spend.FromWire, TransactionID: "ch_1", Amount: usd(cents)}}
}

var person = engine.Actor{Name: "outgo_person00", Role: "approver"}

func (w *world) resolve(id spend.ID, yes bool) {
	w.t.Helper()
	if _, err := w.Resolve(context.Background(), id, person, yes, "because"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) state(id spend.ID, want spend.State) spend.Request {
	w.t.Helper()
	r, err := w.Request(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.State != want {
		w.t.Fatalf("request is %s (%s), want %s", r.State, r.Why, want)
	}
	return r
}

// used asserts what the day's budget holds.
func (w *world) used(want int64) {
	w.t.Helper()
	v, err := w.Preview(context.Background(), charge(1, ""))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range v.Balances {
		if b.Period == "day" {
			if b.Used != usd(want) && (want != 0 || b.Used.Sign() != 0) {
				w.t.Fatalf("the day holds %s, want %d", b.Used, want)
			}
			return
		}
	}
	w.t.Fatalf("no daily balance in %+v", v.Balances)
}

func TestAnAllowedPaymentHasBegunAndIsReserved(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(4000, "a"), spend.Forward)
	w.state(r.ID, spend.Executing)
	w.used(4000)
	w.finish(r.ID, paid(4000))
	got := w.state(r.ID, spend.Settled)
	w.used(4000)
	if len(got.Receipts) != 1 || got.Receipts[0].TransactionID != "ch_1" || len(got.Anomalies) != 0 {
		t.Errorf("receipts %+v, anomalies %v", got.Receipts, got.Anomalies)
	}
}

func TestWhatCertainlyDidNotHappenIsGivenBack(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(4000, "a"), spend.Forward)
	w.finish(r.ID, spend.Outcome{Result: spend.DidNot, Why: spend.UpstreamFailed})
	w.state(r.ID, spend.Failed)
	w.used(0)
}

func TestAnUnknownOutcomeStaysCountedUntilAnOperatorSpeaks(t *testing.T) {
	w := newWorld(t, daily())
	for i, happened := range []bool{true, false} {
		r := w.authorize(charge(2000, fmt.Sprint(i)), spend.Forward)
		w.finish(r.ID, spend.Outcome{Result: spend.Uncertain})
		w.pass(3 * time.Hour)
		if err := w.Sweep(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.state(r.ID, spend.Executing)
		w.used(2000 + int64(2000*i))
		if _, err := w.Testify(context.Background(), r.ID, person, happened, "x"); !errors.Is(err, spend.Forbidden) {
			t.Errorf("an approver's word: %v, want Forbidden", err)
		}
		if _, err := w.Testify(context.Background(), r.ID, engine.Actor{Name: "k", Role: "admin"}, happened, "looked"); err != nil {
			t.Fatal(err)
		}
	}
	w.used(2000)
}

func TestADenialNamesTheRuleAndWhatIsLeft(t *testing.T) {
	w := newWorld(t, daily())
	w.authorize(charge(5000, "a"), spend.Forward)
	w.authorize(charge(4000, "b"), spend.Forward)
	r := w.authorize(charge(2000, "c"), spend.Refuse)
	if r.Verdict.Code != spend.ExceedsDailyLimit || r.State != spend.Denied {
		t.Fatalf("%s %s", r.Verdict.Code, r.State)
	}
	w.used(9000)
}

func TestWithoutAPolicyEverySpendIsDenied(t *testing.T) {
	w := newWorld(t)
	if r := w.authorize(charge(1, "a"), spend.Refuse); r.Verdict.Code != spend.NoActivePolicy {
		t.Fatal(r.Verdict.Code)
	}
}

func TestAHeldPaymentIsApprovedAndBegunOnce(t *testing.T) {
	w := newWorld(t, daily())
	in := charge(6000, "a")
	r := w.authorize(in, spend.Await)
	w.used(6000)
	if got := w.authorize(in, spend.Await); got.ID != r.ID || got.Attempts != 2 {
		t.Fatalf("the retry got %s (attempt %d), want to attach to %s", got.ID, got.Attempts, r.ID)
	}
	w.resolve(r.ID, true)
	w.state(r.ID, spend.Authorized)
	if got := w.authorize(in, spend.Begin); got.ID != r.ID {
		t.Fatal("another request")
	}
	var forwarded atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := w.Begin(context.Background(), r.ID, in)
			if err != nil {
				t.Error(err)
			}
			if got.Next == spend.Forward {
				forwarded.Add(1)
			} else if got.Next != spend.Follow {
				t.Errorf("a loser is told to %s", got.Next)
			}
		})
	}
	wg.Wait()
	if forwarded.Load() != 1 {
		t.Fatalf("forwarded %d times", forwarded.Load())
	}
	w.used(6000)
	w.finish(r.ID, paid(6000))
	w.used(6000)
	w.authorize(in, spend.Replay)
}

func TestARejectionIsFinalAndGivesBack(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(6000, "a"), spend.Await)
	w.resolve(r.ID, false)
	got := w.state(r.ID, spend.Denied)
	if got.Why != spend.ApprovalRejected || got.Approval.Note != "because" {
		t.Errorf("%+v", got.Approval)
	}
	w.used(0)
	if _, err := w.Resolve(context.Background(), r.ID, person, true, ""); !errors.Is(err, spend.InvalidState) {
		t.Errorf("a second decision: %v, want InvalidState", err)
	}
	w.begin(r.ID, charge(6000, "a"), spend.Refuse)
}

func TestNoAgentKeyApproves(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(6000, "a"), spend.Await)
	for _, a := range []engine.Actor{{Name: "k", Role: "agent", Agent: "bot"}, {Name: "k", Role: "agent", Agent: "other"}, {Name: "k"}, {Name: "k", Role: "approver", Agent: "bot"}} {
		if _, err := w.Resolve(context.Background(), r.ID, a, true, ""); !errors.Is(err, spend.Forbidden) {
			t.Errorf("%+v: %v, want Forbidden", a, err)
		}
	}
	w.state(r.ID, spend.Held)
}

func TestWaitWakesAtOnceAndEndsWithItsContext(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(6000, "a"), spend.Await)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := w.Wait(ctx, r.ID); err != nil || got.Next != spend.Await {
		t.Errorf("an ended context: %s, %v; want to await", got.Next, err)
	}
	got := make(chan spend.Ruling)
	go func() { r, _ := w.Wait(context.Background(), r.ID); got <- r }()
	for w.Stats().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	w.resolve(r.ID, true)
	if r := <-got; r.Next != spend.Begin {
		t.Errorf("after approval: %s", r.Next)
	}
}

func TestHoldsAndApprovalsLapse(t *testing.T) {
	w := newWorld(t, daily())
	held := w.authorize(charge(6000, "a"), spend.Await)
	w.pass(time.Hour)
	w.state(held.ID, spend.Expired) // by the clock, before any sweep
	if _, err := w.Resolve(context.Background(), held.ID, person, true, ""); !errors.Is(err, spend.Lapsed) {
		t.Errorf("approving too late: %v, want Lapsed", err)
	}
	if err := w.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.state(held.ID, spend.Expired)
	w.used(0)
	kept := w.authorize(charge(6000, "b"), spend.Await)
	w.resolve(kept.ID, true)
	w.pass(24*time.Hour - time.Second)
	w.state(kept.ID, spend.Authorized)
	w.pass(time.Second)
	w.begin(kept.ID, charge(6000, "b"), spend.Refuse)
	if err := w.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.used(0)
}

func TestHoldsSurviveARestart(t *testing.T) {
	w := newWorld(t, daily())
	in := charge(6000, "a")
	r := w.authorize(in, spend.Await)
	w.restart()
	w.used(6000)
	if got := w.authorize(in, spend.Await); got.ID != r.ID {
		t.Fatal("the retry after a restart made another request")
	}
	w.resolve(r.ID, true)
	w.restart()
	w.begin(r.ID, in, spend.Forward)
	w.restart()
	w.authorize(in, spend.Follow) // sent before; the proxy knows that it has no flight
}

func TestBeginLooksAgain(t *testing.T) {
	cases := map[string]struct {
		change func(w *world, in *spend.Intent)
		want   spend.Next
		why    spend.Code
	}{
		"nothing has changed":         {func(*world, *spend.Intent) {}, spend.Forward, ""},
		"the amount went up":          {func(_ *world, in *spend.Intent) { in.Legs = []spend.Leg{{Kind: spend.Charge, Amount: usd(5900)}} }, spend.Await, ""},
		"the amount went down":        {func(_ *world, in *spend.Intent) { in.Legs = []spend.Leg{{Kind: spend.Charge, Amount: usd(5000)}} }, spend.Forward, ""},
		"the payee changed":           {func(_ *world, in *spend.Intent) { in.Legs[0].Payee = "acct_2" }, spend.Await, ""},
		"the bytes changed":           {func(_ *world, in *spend.Intent) { in.Fingerprint = "other" }, spend.Await, ""},
		"its object is another":       {func(_ *world, in *spend.Intent) { in.Object = "pi_2" }, spend.Await, ""},
		"a policy has a new version":  {func(w *world, _ *spend.Intent) { p := daily(); p.RequireApprovalOver = usd(5100); w.policies(p) }, spend.Await, ""},
		"spending is frozen":          {func(w *world, _ *spend.Intent) { w.freeze(engine.Freeze{}) }, spend.Refuse, spend.Frozen},
		"the agent is frozen":         {func(w *world, _ *spend.Intent) { w.freeze(engine.Freeze{Agent: "bot"}) }, spend.Refuse, spend.Frozen},
		"another agent is frozen":     {func(w *world, _ *spend.Intent) { w.freeze(engine.Freeze{Agent: "other"}) }, spend.Forward, ""},
		"the day's budget is gone":    {func(w *world, _ *spend.Intent) { w.pass(13 * time.Hour); w.spendDay() }, spend.Refuse, spend.ExceedsDailyLimit},
		"a new day has room for it":   {func(w *world, _ *spend.Intent) { w.pass(13 * time.Hour) }, spend.Forward, ""},
		"no policy covers it anymore": {func(w *world, _ *spend.Intent) { w.policies() }, spend.Refuse, spend.NoActivePolicy},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			in := charge(5500, "a")
			r := w.authorize(in, spend.Await)
			w.resolve(r.ID, true)
			in.Legs = slices.Clone(in.Legs)
			c.change(w, &in)
			got := w.begin(r.ID, in, c.want)
			if c.why != "" && got.Decisive().Code != c.why {
				t.Errorf("denied for %s, want %s", got.Decisive().Code, c.why)
			}
			if got.ID != r.ID {
				if old := w.state(r.ID, spend.Canceled); old.ReplacedBy != got.ID {
					t.Errorf("the old request was replaced by %s, want %s", old.ReplacedBy, got.ID)
				}
			}
		})
	}
}

func (w *world) freeze(f engine.Freeze) {
	w.t.Helper()
	if err := w.SetFrozen(context.Background(), engine.Actor{}, f, true); err != nil {
		w.t.Fatal(err)
	}
}

// spendDay uses up the day, beside what is reserved in earlier days.
func (w *world) spendDay() {
	w.t.Helper()
	for i := range 2 {
		w.authorize(charge(5000, fmt.Sprint("fill", i)), spend.Forward)
	}
}

func TestAFreezeStopsNewSpendingAndIsLifted(t *testing.T) {
	w := newWorld(t, daily())
	w.freeze(engine.Freeze{Rail: "stripe"})
	if r := w.authorize(charge(100, "a"), spend.Refuse); r.Verdict.Code != spend.Frozen {
		t.Fatal(r.Verdict.Code)
	}
	if err := w.SetFrozen(context.Background(), engine.Actor{}, engine.Freeze{}, false); err != nil {
		t.Fatal(err)
	}
	w.authorize(charge(100, "a"), spend.Forward)
}

func TestWhatARepeatGets(t *testing.T) {
	in, other := charge(6000, "a"), charge(6000, "b")
	w := newWorld(t, daily())
	r := w.authorize(in, spend.Await)

	changed := in
	changed.Fingerprint = "something else"
	w.authorize(changed, spend.Reused)

	w.pass(3 * time.Second) // the first caller does not wait any longer
	if got := w.authorize(other, spend.Await); got.ID != r.ID {
		t.Error("a new key with the same fingerprint did not attach to the hold that nobody waits on")
	}
	stranger := in
	stranger.Agent = "other"
	stranger.DedupKey = "key-of-another-agent"
	if got := w.authorize(stranger, spend.Refuse); got.ID == r.ID {
		t.Error("another agent attached to the hold") // it is refused since 60.00 of 100.00 are reserved
	}
	w.resolve(r.ID, false)
	if got := w.authorize(in, spend.Await); got.ID == r.ID {
		t.Error("a repeat of a rejected call was not evaluated anew")
	}
}

func TestTwoLiveCallsOfDifferentKeysAreTwoPayments(t *testing.T) {
	p := daily()
	p.Daily = spend.Amount{}
	w := newWorld(t, p)
	a := w.authorize(charge(6000, "a"), spend.Await)
	if b := w.authorize(charge(6000, "b"), spend.Await); b.ID == a.ID {
		t.Error("the second call attached although the first had just come")
	}
	if c := w.authorize(charge(6000, ""), spend.Await); c.ID == a.ID {
		t.Error("a call without a key attached to a live one")
	}
}

func TestHeldRequestsAreCapped(t *testing.T) {
	p := daily()
	p.Daily = spend.Amount{}
	w := newWorld(t, p)
	var ids []spend.ID
	for i := range 3 {
		ids = append(ids, w.authorize(charge(5001+int64(i), ""), spend.Await).ID)
	}
	if r := w.authorize(charge(5005, ""), spend.Refuse); r.Why != spend.TooManyHolds {
		t.Fatalf("denied for %s, want TOO_MANY_HOLDS", r.Why)
	}
	w.resolve(ids[0], false)
	w.authorize(charge(5005, ""), spend.Await)
}

func TestWritesOnAnObjectAreSerialised(t *testing.T) {
	w := newWorld(t, daily())
	confirm := charge(5500, "a")
	confirm.Object = "payment_intents/pi_1"
	update := spend.Intent{Agent: "bot", Rail: "stripe", Class: spend.Other, Operation: "payment_intents.update", Object: confirm.Object, Fingerprint: "u"}

	held := w.authorize(confirm, spend.Await)
	capture := charge(100, "c")
	capture.Object = confirm.Object
	w.authorize(capture, spend.Busy)
	spelled := capture // the same account may be written in more than one way
	spelled.ActingAccount = "acct_a/acct_b"
	w.authorize(spelled, spend.Busy)
	foreign := update
	foreign.Agent = "other"
	w.authorize(foreign, spend.Busy)

	up := w.authorize(update, spend.Forward) // voids the approval under way
	if r := w.state(held.ID, spend.Canceled); r.Why != spend.ObjectBusy {
		t.Errorf("canceled for %s", r.Why)
	}
	w.used(0)
	w.authorize(capture, spend.Busy)
	w.finish(up.ID, spend.Outcome{Result: spend.Uncertain})
	w.authorize(capture, spend.Busy) // it may still be carried out
	looked := w.now.Load()
	w.pass(2 * time.Minute)
	if err := w.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.state(up.ID, spend.Settled)
	stale := capture
	stale.LookedUp = time.Unix(0, looked)
	w.authorize(stale, spend.Busy) // what was looked up before may not hold any more
	w.authorize(capture, spend.Forward)
	w.authorize(update, spend.Busy)
}

func TestWhatTheProviderProvesIsBooked(t *testing.T) {
	w := newWorld(t, daily())
	proof := func(id string, cents int64) spend.Outcome {
		return spend.Outcome{Result: spend.Happened, Receipt: spend.Receipt{Source: spend.FromProvider, TransactionID: id, Amount: usd(cents)}}
	}
	flagged := func(id spend.ID, want spend.Anomaly) {
		t.Helper()
		if r := w.state(id, spend.Settled); !slices.Contains(r.Anomalies, want) {
			t.Errorf("anomalies %v, want %s", r.Anomalies, want)
		}
	}
	over := w.authorize(charge(1000, "over"), spend.Forward)
	w.finish(over.ID, paid(1500))
	flagged(over.ID, spend.Oversettled)
	w.used(1500)

	under := w.authorize(charge(1000, "under"), spend.Forward)
	w.finish(under.ID, paid(400))
	flagged(under.ID, spend.AmountMismatch)
	w.used(1900)
	w.finish(under.ID, paid(400)) // told again, nothing changes
	w.used(1900)
	w.finish(under.ID, proof("ch_1", 300)) // an adjustment
	w.used(1800)
	w.finish(under.ID, proof("ch_2", 1000)) // paid a second time
	flagged(under.ID, spend.DuplicatePayment)
	w.used(2800)

	denied := w.authorize(charge(9000, "denied"), spend.Refuse)
	w.finish(denied.ID, proof("ch_3", 9000))
	flagged(denied.ID, spend.UnauthorizedPayment)
	w.used(11800) // facts are never refused

	failed := w.authorize(charge(0, "x"), spend.Refuse)
	claim := proof("ch_4", 1)
	claim.Receipt.Source = spend.FromClaim
	if err := w.Finish(context.Background(), failed.ID, claim); !errors.Is(err, spend.InvalidState) {
		t.Errorf("a claim about a denied request: %v, want InvalidState", err)
	}
}

func TestLateProofAfterExpiry(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(6000, "a"), spend.Await)
	w.resolve(r.ID, true)
	w.pass(25 * time.Hour)
	o := paid(6000)
	o.Receipt.Source = spend.FromProvider
	w.finish(r.ID, o)
	got := w.state(r.ID, spend.Settled)
	if !slices.Contains(got.Anomalies, spend.LateReceipt) {
		t.Errorf("anomalies %v", got.Anomalies)
	}
	w.used(6000)
	if err := w.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.used(6000)
}

func TestANewPolicyCountsWhatWasSpentBefore(t *testing.T) {
	w := newWorld(t, daily())
	w.finish(w.authorize(charge(3000, "a"), spend.Forward).ID, paid(3100))
	w.finish(w.authorize(charge(500, "f"), spend.Forward).ID, spend.Outcome{Result: spend.DidNot})
	open := w.authorize(charge(1000, "b"), spend.Forward)
	held := w.authorize(charge(5500, "c"), spend.Await)

	second := daily()
	second.Name, second.Daily, second.MaxSingle, second.RequireApprovalOver = "second", usd(12000), spend.Amount{}, spend.Amount{}
	w.policies(second) // the first one goes
	w.used(9600)
	w.finish(open.ID, spend.Outcome{Result: spend.DidNot})
	w.used(8600)
	w.resolve(held.ID, false)
	w.used(3100)

	renamed := second
	renamed.Name, renamed.Was = "third", "second"
	w.policies(renamed)
	w.used(3100)
}

func TestPoliciesOfTheFileFollowTheFile(t *testing.T) {
	w := newWorld(t, daily())
	ctx := context.Background()
	if changed, err := w.SyncPolicies(ctx, []policy.Policy{daily()}); err != nil || len(changed) != 0 {
		t.Errorf("the same file changed %v, %v", changed, err)
	}
	p := daily()
	p.Daily = usd(20000)
	w.policies(p)
	ps, err := w.Policies(ctx)
	if err != nil || len(ps) != 1 || ps[0].Version != 2 || ps[0].Daily != usd(20000) {
		t.Fatalf("%+v, %v", ps, err)
	}
	if err := w.DeletePolicy(ctx, ps[0].ID); !errors.Is(err, spend.Forbidden) {
		t.Errorf("deleting a policy of the file: %v, want Forbidden", err)
	}
	own, err := w.CreatePolicy(ctx, policy.Policy{Name: "own", Unit: "EUR", Active: true, Daily: spend.NewAmount("EUR", 5)})
	if err != nil {
		t.Fatal(err)
	}
	w.policies()
	if ps, _ := w.Policies(ctx); len(ps) != 1 || ps[0].ID != own.ID {
		t.Errorf("after the file was emptied: %+v", ps)
	}
	changed, err := w.ChangePolicy(ctx, own.ID, func(p *policy.Policy) error { p.Active = false; return nil })
	if err != nil || changed.Version != 2 || changed.Active {
		t.Errorf("%+v, %v", changed, err)
	}
	if err := w.DeletePolicy(ctx, own.ID); err != nil {
		t.Error(err)
	}
}

func TestKeptRepliesAreSealedAndDropped(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(100, "a"), spend.Forward)
	o := paid(100)
	o.Reply = []byte("the provider's words")
	w.finish(r.ID, o)
	if b, err := w.Reply(context.Background(), r.ID); err != nil || string(b) != "the provider's words" {
		t.Errorf("%q, %v", b, err)
	}
	_ = w.store.View(context.Background(), func(rd store.Reader) error {
		all, err := rd.Scan("v1/", "", false, 1000)
		for _, e := range all {
			if slices.Contains([]string{"the provider's words"}, string(e.Value)) {
				t.Errorf("%s holds the reply in the clear", e.Key)
			}
		}
		return err
	})
	// Whatever is learnt of it later, it is found where it was kept.
	w.pass(time.Hour)
	again, more := paid(100), paid(90)
	again.Receipt.TransactionID = "pi_another"
	w.finish(r.ID, again)
	w.finish(r.ID, more)
	w.restart()
	if b, err := w.Reply(context.Background(), r.ID); err != nil || string(b) != "the provider's words" {
		t.Errorf("after further receipts: %q, %v", b, err)
	}
	w.pass(25 * time.Hour)
	if err := w.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Reply(context.Background(), r.ID); !errors.Is(err, spend.NotFound) {
		t.Errorf("after a day: %v, want NotFound", err)
	}
}

func TestAPIKeys(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	k, err := w.AddAPIKey(ctx, engine.Actor{}, engine.APIKey{Prefix: "outgo_ABcd1234", Role: "agent", Agent: "bot", Digest: "d1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []engine.APIKey{{Role: "root"}, {Role: "agent"}, {Role: "admin", Agent: "bot"}} {
		if _, err := w.AddAPIKey(ctx, engine.Actor{}, bad); !errors.Is(err, spend.Invalid) {
			t.Errorf("%+v: %v, want Invalid", bad, err)
		}
	}
	w.restart()
	if got, err := w.Authenticate("d1"); err != nil || got.Agent != "bot" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := w.Authenticate("d2"); !errors.Is(err, spend.Unauthenticated) {
		t.Errorf("an unknown key: %v", err)
	}
	if _, err := w.EndAPIKey(ctx, engine.Actor{}, k.Prefix, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Authenticate("d1"); err != nil {
		t.Errorf("within the overlap: %v", err)
	}
	w.pass(time.Hour)
	if _, err := w.Authenticate("d1"); !errors.Is(err, spend.Unauthenticated) {
		t.Errorf("after the overlap: %v", err)
	}
}

func TestListingPagesAndFilters(t *testing.T) {
	p := daily()
	p.Daily, p.RequireApprovalOver, p.MaxSingle = spend.Amount{}, usd(140), usd(180)
	w := newWorld(t, p)
	ctx := context.Background()
	for i := range 25 { // 0..14 allowed, then held (up to 3) and denied
		in := charge(int64(100+i*4), fmt.Sprint(i))
		in.Legs[0].Merchant = []string{"a.example", "shop.b.example"}[i%2]
		if _, err := w.Authorize(ctx, in); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
	}
	count := func(f engine.Filter) (n int) {
		for {
			page, err := w.Requests(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.Requests)
			if f.Cursor = page.Next; f.Cursor == "" {
				return n
			}
		}
	}
	for name, c := range map[string]struct {
		f    engine.Filter
		want int
	}{
		"everything, in small pages": {engine.Filter{Limit: 4}, 25},
		"held":                       {engine.Filter{Held: true, Limit: 2}, 3},
		"denied":                     {engine.Filter{State: spend.Denied}, 11},
		"allowed":                    {engine.Filter{Decision: spend.Allow}, 11},
		"of a merchant":              {engine.Filter{Merchant: "https://www.b.example/x"}, 12},
		"of another agent":           {engine.Filter{Agent: "nobody"}, 0},
		"in a span of time":          {engine.Filter{From: noon.Add(5 * time.Second), To: noon.Add(8 * time.Second)}, 3},
		"by text":                    {engine.Filter{Text: "SHOP.b"}, 12},
	} {
		if n := count(c.f); n != c.want {
			t.Errorf("%s: %d requests, want %d", name, n, c.want)
		}
	}
	if _, err := w.Requests(ctx, engine.Filter{Cursor: "../x"}); !errors.Is(err, spend.Invalid) {
		t.Errorf("a made-up cursor: %v, want Invalid", err)
	}
}

// Whatever the interleaving of payments, replies, approvals and time, what has
// begun never exceeds the limit, and ends as what was settled or is open.
func TestABudgetIsNeverExceeded(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { raceOneBudget(t, seed) })
	}
}

func raceOneBudget(t *testing.T, seed uint64) {
	t.Helper()
	p := policy.Policy{Name: "p", Unit: "USD", Active: true, Daily: usd(5000), RequireApprovalOver: usd(90)}
	w := newWorld(t, p)
	var begun, given atomic.Int64
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(g)))
			for i := range 40 {
				cents := 1 + rnd.Int64N(100)
				in := charge(cents, fmt.Sprintf("%d-%d-%d", seed, g, i))
				in.Agent = fmt.Sprint("bot", g)
				r, err := w.Authorize(context.Background(), in)
				if err != nil {
					t.Error(err)
					return
				}
				if r.Next == spend.Await {
					if _, err := w.Resolve(context.Background(), r.Request.ID, person, rnd.IntN(2) == 0, ""); err != nil {
						t.Error(err)
					}
					if r, err = w.Begin(context.Background(), r.Request.ID, in); err != nil {
						t.Error(err)
						return
					}
				}
				if r.Next != spend.Forward {
					continue
				}
				if now := begun.Add(cents); now-given.Load() > 5000 {
					t.Errorf("%d have begun, %d were given back: more than 5000", now, given.Load())
				}
				o := paid(cents)
				if rnd.IntN(4) == 0 {
					o = spend.Outcome{Result: spend.DidNot}
					given.Add(cents) // before Finish: the counter frees it no sooner
				}
				if err := w.Finish(context.Background(), r.Request.ID, o); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	w.used(begun.Load() - given.Load())
	w.Engine.Close()
	w.start()
	w.used(begun.Load() - given.Load())
}
