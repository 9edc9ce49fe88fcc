package engine_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/engine/store/storetest"
)

// shaken is a world whose store cannot tell, again and again, what became of a
// commit. It knows what was sent.
type shaken struct {
	*world
	rt       *rapid.T
	store    *storetest.Doubtful
	policies []policy.Policy
	sent     map[spend.ID]bool
	n        int
}

// done reports whether an action has succeeded. It may fail for want of the ledger,
// and for having come too late.
func (m *shaken) done(err error) bool {
	if err == nil || errors.Is(err, spend.Unavailable) || errors.Is(err, spend.InvalidState) || errors.Is(err, spend.Lapsed) {
		return err == nil
	}
	m.rt.Fatal(err)
	return false
}

// forward sends what the ledger says is to be sent.
func (m *shaken) forward(r spend.Ruling, err error) {
	if !m.done(err) || r.Next != spend.Forward {
		return
	}
	if m.sent[r.Request.ID] {
		m.rt.Fatalf("request %s is sent twice", r.Request.ID)
	}
	m.sent[r.Request.ID] = true
}

// view reads from a store that something in the background may just have shaken.
func (m *shaken) view(read func() error) {
	var err error
	for range 100 {
		m.readBack()
		if err = read(); err == nil {
			return
		}
	}
	m.rt.Fatal(err)
}

func (m *shaken) all() (found []spend.Request) {
	m.view(func() error {
		page, err := m.Requests(m.t.Context(), engine.Filter{Limit: 200})
		found = page.Requests
		return err
	})
	return found
}

// some returns a request in one of the states, or nil.
func (m *shaken) some(states ...spend.State) *spend.Request {
	of := slices.DeleteFunc(m.all(), func(r spend.Request) bool { return !slices.Contains(states, r.State) })
	if len(of) == 0 {
		return nil
	}
	return &of[rapid.IntRange(0, len(of)-1).Draw(m.rt, "which")]
}

// step does one thing, which the store may fail.
func (m *shaken) step() {
	ctx := m.t.Context()
	what := rapid.SampledFrom([]string{"pay", "pay", "pay", "decide", "send", "finish", "finish", "wait", "restart", "change"}).Draw(m.rt, "step")
	if what != "restart" && rapid.IntRange(0, 3).Draw(m.rt, "fault") == 0 {
		m.store.Fail(rapid.SampledFrom(moments()).Draw(m.rt, "at"), rapid.IntRange(0, 1).Draw(m.rt, "skip"))
	}
	switch what {
	case "pay":
		m.n++
		in := charge(rapid.SampledFrom([]int64{10, 300, 6000}).Draw(m.rt, "amount"), fmt.Sprint(m.n))
		in.Fingerprint = in.DedupKey
		for range 2 { // whoever gets no answer sends it again
			m.forward(m.Authorize(ctx, in))
		}
	case "decide":
		if r := m.some(spend.Held); r != nil {
			_, err := m.Resolve(ctx, r.ID, person, rapid.Bool().Draw(m.rt, "yes"), "")
			m.done(err)
		}
	case "send":
		if r := m.some(spend.Authorized); r != nil {
			m.forward(m.Begin(ctx, r.ID, r.Intent))
		}
	case "finish":
		if r := m.some(spend.Executing, spend.Settled, spend.Failed); r != nil {
			m.done(m.Finish(ctx, r.ID, drawOutcome(m.rt)))
		}
	case "wait":
		m.pass(rapid.SampledFrom([]time.Duration{time.Minute, 11 * time.Hour, 26 * time.Hour}).Draw(m.rt, "later"))
		_ = m.Sweep(ctx) // what fails is swept another time
	case "restart":
		m.store.Fail("", 0)
		m.readBack()
		m.restart()
	case "change":
		p := &m.policies[rapid.IntRange(0, 1).Draw(m.rt, "policy")]
		p.Daily = usd(rapid.SampledFrom([]int64{1_000_000, 2_000_000}).Draw(m.rt, "limit"))
		_, err := m.SyncPolicies(ctx, m.policies)
		m.done(err)
	}
}

func drawOutcome(rt *rapid.T) spend.Outcome {
	o := spend.Outcome{Result: rapid.SampledFrom([]spend.Result{spend.Happened, spend.Happened, spend.DidNot, spend.Uncertain}).Draw(rt, "result")}
	if o.Result == spend.Happened {
		told, tx := rapid.SampledFrom([]int64{10, 300}).Draw(rt, "told"), rapid.SampledFrom([]string{"tx1", "tx2"}).Draw(rt, "tx")
		o.Receipt = spend.Receipt{Source: spend.FromProvider, TransactionID: tx, Amount: usd(told)}
	}
	return o
}

// check holds what was sent against what executes, and the budgets against the
// requests of their windows.
func (m *shaken) check() {
	all := m.all()
	for _, r := range all {
		if r.State == spend.Executing && !m.sent[r.ID] || r.Why == spend.NeverSent && m.sent[r.ID] {
			m.rt.Fatalf("request %s is %s %s, and was sent: %t", r.ID, r.State, r.Why, m.sent[r.ID])
		}
	}
	var v spend.Verdict
	m.view(func() (err error) { v, err = m.Preview(m.t.Context(), charge(1, "")); return err })
	for _, b := range v.Balances {
		p := m.policies[0]
		if b.Policy == m.policies[1].Name {
			p = m.policies[1]
		}
		layout := map[string]string{"day": "2006-01-02", "month": "2006-01"}[b.Period]
		now, want := time.Unix(0, m.now.Load()).In(p.Location()).Format(layout), usd(0)
		for i := range all {
			for _, mv := range movesOf(&all[i]) {
				if mv.at.In(p.Location()).Format(layout) == now {
					want, _ = want.Add(usd(mv.amount))
				}
			}
		}
		if b.Used != want {
			m.rt.Fatalf("the %s of %s holds %s, want %s", b.Period, p.Name, b.Used, want)
		}
	}
}

// movesOf is what a request of the ledger counts. What has lapsed counts until it is
// swept.
func movesOf(r *spend.Request) []movement {
	lapsed := r.State == spend.Expired && len(r.Reservations) > 0
	if r.State.Final() && r.State != spend.Settled && !lapsed {
		return nil
	}
	asked := r.Intent.Legs[0].Amount
	counts := func(at time.Time, told spend.Amount) movement {
		if told.IsZero() {
			told = asked
		}
		n, _ := told.Int64()
		return movement{at: at, amount: n}
	}
	at := r.Began
	if at.IsZero() {
		at = r.Created
	}
	moves := []movement{counts(at, r.Told)}
	for _, again := range r.Again {
		moves = append(moves, counts(again.At, again.Told))
	}
	return moves
}

// However often the store cannot tell, whatever it then holds, nothing is sent twice,
// nothing executes that nobody has sent, what was sent stays counted, and the audit
// chain is whole.
func TestAStoreThatCannotTellLosesAndRepeatsNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		st, err := badgerstore.Open(badgerstore.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		d := &storetest.Doubtful{Store: st}
		m := &shaken{world: &world{t: t, store: d, flags: make(chan engine.Flagged, 1024)}, rt: rt, store: d, sent: map[spend.ID]bool{}}
		m.opt.AnchorPath = filepath.Join(t.TempDir(), "anchor")
		m.now.Store(noon.UnixNano())
		m.start()
		defer func() { m.Engine.Close(); _ = st.Close() }()
		for _, zone := range []string{"America/Los_Angeles", "UTC"} {
			m.policies = append(m.policies, policy.Policy{
				Name: zone, Zone: zone, Unit: "USD", Active: true, Daily: usd(1_000_000), Monthly: usd(9_000_000), RequireApprovalOver: usd(5000),
			})
		}
		m.world.policies(m.policies...)
		for range rapid.IntRange(10, 50).Draw(rt, "steps") {
			m.step()
			m.check()
		}
		var rep engine.Report
		m.view(func() (err error) { rep, err = m.History().Verify(t.Context()); return err })
		if !rep.Sound() {
			rt.Fatalf("the history: %+v", rep)
		}
	})
}
