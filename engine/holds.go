package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// hold makes r wait for a person, unless too many of its agent's do already, or too
// much money.
func (e *Engine) hold(t *txn, r *spend.Request) error {
	fits, err := e.countHeld(t, r, +1)
	if err != nil {
		return err
	}
	if !fits {
		r.State, r.Why = spend.Denied, spend.TooManyHolds
		_, err := e.countHeld(t, r, -1)
		return err
	}
	if err := e.countWaiting(t, r, +1); err != nil {
		return err
	}
	r.State, r.Deadline = spend.Held, t.now.Add(e.opt.Expire)
	r.Approval = &spend.Approval{Status: spend.Pending, Digest: approvalDigest(&r.Intent, r.Verdict.Policies)}
	for _, rule := range r.Verdict.Rules {
		if rule.Decision == spend.RequireApproval && !slices.Contains(r.Approval.Asked, rule.Asked) {
			r.Approval.Asked = append(r.Approval.Asked, rule.Asked)
		}
	}
	return t.Put(e.keys.due(r.Deadline, dueRequest, r.ID), nil)
}

// countHeld counts r among what is held of its agent's (by = 1) or no longer does
// (by = -1), and reports whether the number and the sums are within their caps.
func (e *Engine) countHeld(t *txn, r *spend.Request, by int) (fits bool, err error) {
	key := e.keys.holds(r.Intent.Agent)
	var n int
	if err := getJSON(t, key, &n); err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	if n += by; n < 0 {
		return false, fmt.Errorf("count held requests of %q: fewer than none", r.Intent.Agent)
	}
	fits = n <= e.opt.MaxHeld
	for i := range r.Intent.Legs {
		within, err := e.sumHeld(t, r.Intent.Agent, r.Intent.Legs[i].Amount, by)
		if err != nil {
			return false, err
		}
		fits = fits && within
	}
	return fits, putJSON(t, key, n)
}

// waits reports whether a request in this state waits for a person or a call.
func waits(s spend.State) bool { return s == spend.Held || s == spend.Authorized }

// countWaiting counts r among those of its agent's that wait (by = 1), or no longer
// does (by = -1).
func (e *Engine) countWaiting(t *txn, r *spend.Request, by int) error {
	key := e.keys.waits(r.Intent.Agent)
	n, err := waiting(t, key)
	if err != nil {
		return err
	}
	if n += by; n < 0 {
		return fmt.Errorf("count waiting requests of %q: fewer than none", r.Intent.Agent)
	}
	return putJSON(t, key, n)
}

// noneWaits is the stored form of nought.
const noneWaits = string(rune(formatJSON)) + "0"

// waiting is how many requests of an agent wait, as key says. While none does, a call
// need not look for one of its fingerprint: that takes longer than all else it looks for.
func waiting(r store.Reader, key string) (n int, err error) {
	stored, err := r.Get(key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case string(stored) == noneWaits:
		return 0, nil
	}
	err = readJSON(key, stored, &n)
	return n, err
}

// sumHeld adds an amount to what is held of an agent's in its unit, or takes it
// off. Amounts without a bound are not summed: they are over every cap.
func (e *Engine) sumHeld(t *txn, agent string, a spend.Amount, by int) (within bool, err error) {
	limit, capped := e.opt.MaxHeldAmount[a.Unit()]
	if a.IsZero() || a.IsUnlimited() {
		return !capped || a.IsZero(), nil
	}
	key := e.keys.heldAmount(agent, a.Unit())
	sum := spend.NewAmount(a.Unit(), 0)
	if err := getJSON(t, key, &sum); err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	if by < 0 {
		a = a.Neg()
	}
	if sum, err = sum.Add(a); err != nil {
		return false, fmt.Errorf("sum held amounts of %q: %w", agent, err)
	}
	if sum.Sign() < 0 {
		return false, fmt.Errorf("sum held amounts of %q: less than nothing", agent)
	}
	return !capped || sum.Fits(limit), putJSON(t, key, sum)
}
