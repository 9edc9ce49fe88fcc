package engine_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store/badgerstore"
)

// A tallied is what a plain reading of the rules says that one request counts.
type tallied struct {
	id       spend.ID
	in       spend.Intent
	state    spend.State
	deadline time.Time
	moved    []movement // its own, and further ones that were proved
}

type movement struct {
	at     time.Time
	amount int64
	tx     string
}

// ledgerModel does to a world what the dice say, and knows what its budgets hold.
type ledgerModel struct {
	*world
	rt       *rapid.T
	policies [2]policy.Policy
	all      []*tallied
	n        int
}

func (m *ledgerModel) clock() time.Time { return time.Unix(0, m.now.Load()).UTC() }

// pick returns one of the requests in a state, or nil.
func (m *ledgerModel) pick(states ...spend.State) *tallied {
	var of []*tallied
	for _, r := range m.all {
		for _, s := range states {
			if r.state == s {
				of = append(of, r)
			}
		}
	}
	if len(of) == 0 {
		return nil
	}
	return rapid.SampledFrom(of).Draw(m.rt, "which")
}

func (m *ledgerModel) authorize() {
	m.n++
	in := charge(rapid.SampledFrom([]int64{10, 300, 6000}).Draw(m.rt, "amount"), fmt.Sprint(m.n))
	in.Fingerprint = in.DedupKey
	if rapid.IntRange(0, 3).Draw(m.rt, "allowance") == 0 {
		in.Class, in.Legs[0].Kind = spend.Capability, spend.Allowance
	}
	r, err := m.Authorize(m.t.Context(), in)
	if err != nil {
		m.rt.Fatal(err)
	}
	q := r.Request
	if q.State != spend.Denied {
		cents, _ := in.Legs[0].Amount.Int64()
		m.all = append(m.all, &tallied{q.ID, in, q.State, q.Deadline, []movement{{m.clock(), cents, ""}}})
	}
}

func (m *ledgerModel) decide() {
	if r := m.pick(spend.Held); r != nil {
		yes := rapid.Bool().Draw(m.rt, "approve")
		q, err := m.Resolve(m.t.Context(), r.id, person, yes, "")
		if errors.Is(err, spend.Lapsed) {
			return
		} else if err != nil {
			m.rt.Fatal(err)
		}
		r.state, r.deadline = q.State, q.Deadline
	}
}

func (m *ledgerModel) send() {
	r := m.pick(spend.Authorized)
	if r == nil {
		return
	}
	got, err := m.Begin(m.t.Context(), r.id, r.in)
	if err != nil {
		m.rt.Fatal(err)
	}
	if got.Request.ID != r.id { // another request takes its place
		r.state = spend.Canceled
		cents, _ := r.in.Legs[0].Amount.Int64()
		if s := got.Request.State; s != spend.Denied {
			m.all = append(m.all, &tallied{got.Request.ID, r.in, s, got.Request.Deadline, []movement{{m.clock(), cents, ""}}})
		}
		return
	}
	r.state, r.deadline = got.Request.State, time.Time{}
	r.moved[0].at = m.clock()
}

func (m *ledgerModel) finish() {
	r := m.pick(spend.Executing, spend.Executing, spend.Settled, spend.Failed)
	if r == nil {
		return
	}
	o := spend.Outcome{Result: rapid.SampledFrom([]spend.Result{spend.Happened, spend.Happened, spend.DidNot, spend.Uncertain}).Draw(m.rt, "result")}
	if o.Result == spend.Happened {
		told, tx := rapid.SampledFrom([]int64{10, 300, 4000}).Draw(m.rt, "told"), rapid.SampledFrom([]string{"tx1", "tx2"}).Draw(m.rt, "tx")
		o.Receipt = spend.Receipt{Source: spend.FromProvider, TransactionID: tx, Amount: usd(told)}
	}
	err := m.Finish(m.t.Context(), r.id, o)
	switch {
	case o.Result == spend.DidNot && r.state == spend.Settled:
		if !errors.Is(err, spend.InvalidState) {
			m.rt.Fatalf("a settled request fails: %v", err)
		}
		return
	case err != nil:
		m.rt.Fatal(err)
	case o.Result == spend.DidNot:
		r.state = spend.Failed
		return
	case o.Result == spend.Uncertain:
		return
	}
	told, _ := o.Receipt.Amount.Int64()
	if r.state == spend.Failed {
		r.moved[0].at = m.clock()
	}
	r.state = spend.Settled
	for i := range r.moved {
		if p := &r.moved[i]; p.tx == "" || p.tx == o.Receipt.TransactionID {
			p.tx, p.amount = o.Receipt.TransactionID, told
			return
		}
	}
	r.moved = append(r.moved, movement{m.clock(), told, o.Receipt.TransactionID})
}

func (m *ledgerModel) later() {
	m.pass(rapid.SampledFrom([]time.Duration{time.Minute, 2 * time.Hour, 11 * time.Hour, 26 * time.Hour, 9 * 24 * time.Hour}).Draw(m.rt, "later"))
	if rapid.Bool().Draw(m.rt, "restart") {
		m.restart()
	}
	if err := m.Sweep(m.t.Context()); err != nil {
		m.rt.Fatal(err)
	}
	for _, r := range m.all {
		if !r.deadline.IsZero() && !m.clock().Before(r.deadline) && !r.state.Final() {
			r.state = spend.Expired
		}
	}
}

func (m *ledgerModel) change() {
	p := &m.policies[rapid.IntRange(0, 1).Draw(m.rt, "policy")]
	p.Zone = rapid.SampledFrom([]string{"", "America/Los_Angeles", "Pacific/Kiritimati"}).Draw(m.rt, "zone")
	p.Scope.Agents = rapid.SampledFrom([][]string{nil, nil, {"bot"}, {"another"}}).Draw(m.rt, "agents")
	p.Daily = usd(rapid.SampledFrom([]int64{1_000_000, 2_000_000}).Draw(m.rt, "limit"))
	if _, err := m.SyncPolicies(m.t.Context(), m.policies[:]); err != nil {
		m.rt.Fatal(err)
	}
}

// check holds every balance against the sum of what counts in its window.
func (m *ledgerModel) check() {
	v, err := m.Preview(m.t.Context(), charge(1, ""))
	if err != nil {
		m.rt.Fatal(err)
	}
	for _, b := range v.Balances {
		p := m.policies[0]
		if b.Policy == m.policies[1].Name {
			p = m.policies[1]
		}
		layout := map[string]string{"day": "2006-01-02", "month": "2006-01", "exposure": ""}[b.Period]
		now, want := m.clock().In(p.Location()).Format(layout), int64(0)
		for _, r := range m.all {
			if r.state.Final() && r.state != spend.Settled {
				continue
			}
			for _, mv := range r.moved {
				if b.Period == "exposure" {
					if r.in.Legs[0].Kind == spend.Allowance {
						cents, _ := r.in.Legs[0].Amount.Int64()
						want += cents
					}
					continue
				}
				if mv.at.In(p.Location()).Format(layout) == now {
					want += mv.amount
				}
			}
		}
		if b.Used != usd(want) {
			m.rt.Fatalf("at %s the %s of %s (%q) holds %s, want %d", m.clock(), b.Period, p.Name, p.Zone, b.Used, want)
		}
	}
}

// Whatever happens to payments, however time goes, and whenever policies and zones
// are changed and outgo is started again, a budget holds what its window has seen.
func TestABudgetHoldsWhatItsWindowHasSeen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		st, err := badgerstore.Open(badgerstore.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		m := &ledgerModel{world: &world{t: t, store: st, flags: make(chan engine.Flagged, 1024)}, rt: rt}
		m.now.Store(noon.UnixNano())
		m.start()
		defer func() { m.Engine.Close(); _ = st.Close() }()
		for i, name := range []string{"one", "two"} {
			m.policies[i] = policy.Policy{
				Zone: rapid.SampledFrom([]string{"", "America/Los_Angeles", "Pacific/Kiritimati"}).Draw(rt, "zone"),
				Name: name, Unit: "USD", Active: true, Daily: usd(1_000_000), Monthly: usd(9_000_000), MaxExposure: usd(9_000_000), Capabilities: "allow", RequireApprovalOver: usd(5000),
			}
		}
		m.world.policies(m.policies[:]...)
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"authorize", "authorize", "authorize", "decide", "send", "finish", "finish", "later", "change"}).Draw(rt, "step") {
			case "authorize":
				m.authorize()
			case "decide":
				m.decide()
			case "send":
				m.send()
			case "finish":
				m.finish()
			case "later":
				m.later()
			case "change":
				m.change()
			}
			m.check()
		}
	})
}
