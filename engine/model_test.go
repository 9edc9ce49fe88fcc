package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
)

// A model drives a ledger at random: payments of two agents, approvals, begins,
// outcomes, cancellations, time, and policies whose zone, scope and activity
// change under all of it.
type model struct {
	*world
	rnd  *rand.Rand
	made []item
}

// An item is a request with the intent that its agent's calls bring.
type item struct {
	id spend.ID
	in spend.Intent
}

// allowed fails the test on any error but a refusal that an outsider may be told.
func (m *model) allowed(err error) {
	m.t.Helper()
	var kind spend.Kind
	if err != nil && (!errors.As(err, &kind) || kind == spend.Unavailable) {
		m.t.Fatal(err)
	}
}

// redraw replaces the policies by one or two at random.
func (m *model) redraw() {
	m.t.Helper()
	zones := []string{"", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"}
	var ps []policy.Policy
	for i := range 1 + min(1, m.rnd.IntN(4)) {
		p := policy.Policy{
			Name: fmt.Sprint("p", i), Unit: "USD", Active: m.rnd.IntN(5) > 0, Zone: zones[m.rnd.IntN(len(zones))],
			Daily: usd(50000 + m.rnd.Int64N(9)), RequireApprovalOver: usd(100),
		}
		if m.rnd.IntN(3) == 0 {
			p.Scope.Agents = []string{"bot"}
		}
		ps = append(ps, p)
	}
	m.policies(ps...)
}

// step does one thing at random.
func (m *model) step(i int) {
	m.t.Helper()
	ctx := m.t.Context()
	op := m.rnd.IntN(12)
	if op < 4 || len(m.made) == 0 {
		in := charge(1+m.rnd.Int64N(200), fmt.Sprint(i))
		in.Fingerprint = fmt.Sprint("print-", i)
		in.Agent = []string{"bot", "bot2"}[m.rnd.IntN(2)]
		r, err := m.Authorize(ctx, in)
		m.allowed(err)
		m.made = append(m.made, item{r.Request.ID, in})
		return
	}
	it := m.made[m.rnd.IntN(len(m.made))]
	var err error
	switch {
	case op < 6:
		_, err = m.Resolve(ctx, it.id, person, m.rnd.IntN(4) > 0, "")
	case op < 8:
		var r spend.Ruling
		if r, err = m.Begin(ctx, it.id, it.in); r.Request.ID != it.id && err == nil {
			m.made = append(m.made, item{r.Request.ID, it.in})
		}
	case op < 9:
		o := spend.Outcome{Result: spend.DidNot}
		if m.rnd.IntN(3) > 0 {
			o = paid(0)
			o.Receipt.Amount = it.in.Legs[0].Amount
		}
		err = m.Finish(ctx, it.id, o)
	case op < 10:
		_, err = m.Cancel(ctx, it.id, operator)
	case op < 11:
		m.pass(time.Duration(m.rnd.Int64N(int64(9 * time.Hour))))
		err = m.Sweep(ctx)
	default:
		m.redraw()
	}
	m.allowed(err)
}

// end brings every request to its end: what was sent has failed, what waits has
// lapsed.
func (m *model) end() {
	m.t.Helper()
	ctx := m.t.Context()
	for _, it := range m.made {
		r, err := m.Request(ctx, it.id)
		m.allowed(err)
		if r.State == spend.Executing {
			m.finish(it.id, spend.Outcome{Result: spend.DidNot})
		}
	}
	m.pass(26 * time.Hour)
	m.sweep()
	for f := (engine.Filter{Limit: 200}); ; {
		page, err := m.Requests(ctx, f)
		m.allowed(err)
		for _, r := range page.Requests {
			if !r.State.Final() {
				m.t.Fatalf("request %s is still %s", r.ID, r.State)
			}
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return
		}
	}
}

// counted is what each counter holds, in the order of the policies' names.
func (m *model) counted() []string {
	m.t.Helper()
	var held []string
	v, err := m.Preview(m.t.Context(), charge(1, ""))
	m.allowed(err)
	for _, b := range v.Balances {
		held = append(held, fmt.Sprint(b.Policy, " ", b.Period, " ", b.Used))
	}
	slices.Sort(held)
	return held
}

// Whatever has happened, the counters hold what the ledger tells: filled anew
// from it, they are the same. In particular nothing stays reserved, or is given
// back twice, when a policy changes while payments are open.
func TestTheCountersAgreeWithTheLedger(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := &model{world: newWorld(t), rnd: rand.New(rand.NewPCG(seed, 7))}
			m.redraw()
			for i := range 150 {
				m.step(i)
			}
			m.end()
			ps, err := m.Policies(t.Context())
			m.allowed(err)
			before := m.counted()
			for i := range ps {
				ps[i].MaxSingle = usd(777) // a new version, whose counters are filled anew
				ps[i].Source, ps[i].ID = "", ""
			}
			m.policies(ps...)
			if after := m.counted(); !slices.Equal(before, after) {
				t.Errorf("the counters held %v, and hold %v when filled anew", before, after)
			}
		})
	}
}
