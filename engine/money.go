package engine

import (
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/budget"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// account is where the money of one policy is counted.
func (e *Engine) account(p *policy.Policy) budget.Account {
	return budget.Account{Prefix: e.keys.prefix, Policy: p.ID, Unit: p.Unit, Zone: p.Location()}
}

// usage reads what the counters of a policy hold.
func (e *Engine) usage(r store.Reader, set *policySet, id spend.ID, now time.Time) (policy.Usage, error) {
	i := set.index(id)
	if i < 0 {
		return policy.Usage{}, fmt.Errorf("policy %s: %w", id, spend.NotFound)
	}
	p := set.list[i]
	s, err := set.accounts[i].Read(r, now, bound(p.PerMinute), bound(p.PerHour))
	return policy.Usage(s), err
}

func bound(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// reserve counts r's money in every policy that covers a leg of it, in the
// windows that contain now. Velocity is counted once, when a payment is first
// authorized, and never given back.
func (e *Engine) reserve(t *txn, set *policySet, r *spend.Request, velocity bool) error {
	if len(r.Reservations) > 0 {
		return fmt.Errorf("reserve for %s: it holds a reservation already", r.ID)
	}
	for i, p := range set.list {
		if !p.Matches(&r.Intent) {
			continue
		}
		a := set.accounts[i]
		total, covers, err := p.Charge(&r.Intent)
		if err != nil {
			return err
		}
		exposed, exposes, err := p.Exposure(&r.Intent)
		if err != nil {
			return err
		}
		if exposes { // an allowance may become a payment on any day, so it counts in this one too
			if total, err = plus(total, exposed); err != nil {
				return err
			}
		}
		if covers || exposes {
			rs, err := a.Reserve(t, t.now, total)
			if err != nil {
				return fmt.Errorf("reserve: %w", err)
			}
			r.Reservations = joined(r.Reservations, rs)
		}
		if exposes {
			rs, err := a.Expose(t, exposed)
			if err != nil {
				return fmt.Errorf("reserve: %w", err)
			}
			r.Reservations = joined(r.Reservations, rs)
		}
		if velocity && (covers || exposes || len(r.Intent.Legs) == 0 && r.Intent.Class != spend.Other) {
			if err := a.Count(t, t.now); err != nil {
				return fmt.Errorf("count: %w", err)
			}
		}
	}
	return nil
}

// joined is a with b behind it, which nobody else has.
func joined(a, b []spend.Reservation) []spend.Reservation {
	if len(a) == 0 {
		return b
	}
	return append(a, b...)
}

// plus adds two amounts of which either may be none.
func plus(a, b spend.Amount) (spend.Amount, error) {
	switch {
	case a.IsZero():
		return b, nil
	case b.IsZero():
		return a, nil
	}
	return a.Add(b)
}

// move takes r through an event: its state, its money, and the indexes that
// follow from its state. The caller saves r.
func (e *Engine) move(t *txn, r *spend.Request, ev event) error {
	if ev != lapse && r.StateAt(t.now) == spend.Expired && r.State != spend.Expired {
		return fmt.Errorf("%s request %s: %w: its time ended at %s", ev, r.ID, spend.Lapsed, r.Deadline.UTC().Format(time.RFC3339))
	}
	next, eff, err := step(r.State, ev, r.Enforcement)
	if err != nil {
		return fmt.Errorf("request %s: %w", r.ID, err)
	}
	if err := e.settleMoney(t, r, eff); err != nil {
		return err
	}
	if r.State == spend.Held {
		if _, err := e.countHeld(t, r, -1); err != nil {
			return err
		}
	}
	if waits(r.State) && !waits(next) {
		if err := e.countWaiting(t, r, -1); err != nil {
			return err
		}
	}
	if !r.Deadline.IsZero() {
		if err := t.Delete(e.keys.due(r.Deadline, dueRequest, r.ID)); err != nil {
			return err
		}
		r.Deadline = time.Time{}
	}
	r.State, r.Changed = next, t.now
	r.Transitions++
	if next.Final() {
		if err := e.keys.remark(t, r.Seq, 0, openMark); err != nil {
			return err
		}
	}
	if next == spend.Authorized {
		r.Deadline = t.now.Add(e.opt.Keep)
		if err := t.Put(e.keys.due(r.Deadline, dueRequest, r.ID), nil); err != nil {
			return err
		}
	}
	return nil
}

// settleMoney does to r's reservations what an effect says.
func (e *Engine) settleMoney(t *txn, r *spend.Request, eff effect) error {
	switch eff {
	case keep:
		return nil
	case void, rereserve:
		if err := budget.Void(t, r.Reservations); err != nil {
			return fmt.Errorf("void: %w", err)
		}
		r.Reservations = nil
		return nil
	case presume:
		e.flag(t, r, spend.MissingReceipt)
	case post:
	}
	if err := budget.Post(t, r.Reservations); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	return nil
}
