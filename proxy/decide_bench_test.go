package proxy_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// judge is a gate without a ledger: it evaluates the policies that the engine
// would, against counters that live in memory, and remembers what is under way.
// What it leaves out is all that makes a decision last.
type judge struct {
	policies []*policy.Policy
	seq      atomic.Uint64

	mu    sync.Mutex
	used  []counters // as policies
	begun map[spend.ID]spend.Amount
}

// counters are what one policy has counted in its present windows.
type counters struct {
	dayEnds, monthEnds time.Time
	reserved, spent    [2]spend.Amount
	minute, hour       slots
}

var _ proxy.Gate = (*judge)(nil)

func newJudge(policies ...*policy.Policy) *judge {
	g := &judge{policies: policies, begun: map[spend.ID]spend.Amount{}}
	for _, p := range policies {
		nought := spend.NewAmount(p.Unit, 0)
		g.used = append(g.used, counters{
			reserved: [2]spend.Amount{nought, nought}, spent: [2]spend.Amount{nought, nought},
			minute: slots{step: time.Second}, hour: slots{step: time.Minute},
		})
	}
	return g
}

// Authorize evaluates, and reserves what it allows.
func (g *judge) Authorize(_ context.Context, in spend.Intent) (spend.Ruling, error) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	verdict := policy.Evaluate(policy.Input{
		Intent: &in, Policies: g.policies, Now: now,
		Usage: func(id spend.ID) policy.Usage {
			i := slices.IndexFunc(g.policies, func(p *policy.Policy) bool { return p.ID == id })
			return g.used[i].usage(now)
		},
	})
	var room [32]byte
	r := spend.Request{
		ID: spend.ID(strconv.AppendUint(append(room[:0], "request-"...), g.seq.Add(1), 10)), Origin: spend.Wire, Enforcement: spend.Wired,
		Intent: in, Verdict: verdict, State: spend.Denied, Created: now, Changed: now, Attempts: 1,
	}
	if verdict.Decision != spend.Allow {
		return spend.Ruling{Next: spend.Refuse, Request: r}, nil
	}
	for i, p := range g.policies {
		amount, covers, err := p.Charge(&in)
		if err == nil && covers {
			err = g.used[i].reserve(now, amount)
			g.begun[r.ID] = amount
		}
		if err != nil {
			return spend.Ruling{}, err
		}
	}
	r.State, r.Began = spend.Executing, now
	return spend.Ruling{Next: spend.Forward, Request: r}, nil
}

// Finish posts what was reserved, or gives it back.
func (g *judge) Finish(_ context.Context, id spend.ID, o spend.Outcome) error {
	if o.Result == spend.Uncertain {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	amount, ok := g.begun[id]
	if !ok {
		return fmt.Errorf("finish %s: %w", id, spend.NotFound)
	}
	delete(g.begun, id)
	for i := range g.used {
		if err := g.used[i].end(amount, o.Result == spend.Happened); err != nil {
			return err
		}
	}
	return nil
}

// Wait, Begin and Reply are for payments that waited or were made before, of
// which there are none here.

func (g *judge) Wait(context.Context, spend.ID) (spend.Ruling, error) {
	return spend.Ruling{}, spend.NotFound
}

func (g *judge) Begin(context.Context, spend.ID, spend.Intent) (spend.Ruling, error) {
	return spend.Ruling{}, spend.NotFound
}

func (g *judge) Reply(context.Context, spend.ID) ([]byte, error) { return nil, spend.NotFound }

// usage is what counts at now.
func (c *counters) usage(now time.Time) policy.Usage {
	c.turn(now)
	day, dayErr := c.reserved[0].Add(c.spent[0])
	month, monthErr := c.reserved[1].Add(c.spent[1])
	if dayErr != nil || monthErr != nil {
		day, month = spend.Unlimited(day.Unit()), spend.Unlimited(month.Unit())
	}
	return policy.Usage{
		Day: day, Month: month, DayEnds: c.dayEnds, MonthEnds: c.monthEnds,
		Minute: c.minute.count(now), Hour: c.hour.count(now),
	}
}

// turn empties the windows that have ended.
func (c *counters) turn(now time.Time) {
	if now.Before(c.dayEnds) {
		return // A month ends with a day.
	}
	y, m, d := now.UTC().Date()
	c.dayEnds, c.spent[0] = time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC), spend.NewAmount(c.spent[0].Unit(), 0)
	if !now.Before(c.monthEnds) {
		c.monthEnds, c.spent[1] = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC), spend.NewAmount(c.spent[1].Unit(), 0)
	}
}

func (c *counters) reserve(now time.Time, a spend.Amount) (err error) {
	for i := range c.reserved {
		if c.reserved[i], err = c.reserved[i].Add(a); err != nil {
			return err
		}
	}
	c.minute.add(now)
	c.hour.add(now)
	return nil
}

func (c *counters) end(a spend.Amount, happened bool) (err error) {
	for i := range c.reserved {
		if c.reserved[i], err = c.reserved[i].Sub(a); err != nil {
			return err
		}
		if happened {
			if c.spent[i], err = c.spent[i].Add(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// slots count calls in a sliding window of sixty steps.
type slots struct {
	step time.Duration
	n    [61]int
	at   [61]int64 // which step each slot counts
}

func (s *slots) add(now time.Time) {
	step := now.UnixNano() / int64(s.step)
	i := step % int64(len(s.n))
	if s.at[i] != step {
		s.at[i], s.n[i] = step, 0
	}
	s.n[i]++
}

func (s *slots) count(now time.Time) (sum int) {
	step := now.UnixNano() / int64(s.step)
	for i := range s.n {
		if step-s.at[i] < int64(len(s.n)) {
			sum += s.n[i]
		}
	}
	return sum
}
