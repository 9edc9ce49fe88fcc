package engine

import (
	"errors"
	"iter"
	"path"
	"slices"
	"time"

	"github.com/outgo/outgo/engine/budget"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
)

// refill counts against a new or changed policy what the ledger already holds:
// its current windows start with what was spent in them, not with nought.
func (e *Engine) refill(t *txn, p *policy.Policy) error {
	a := e.account(p)
	touched := make(map[spend.ID]*spend.Request)
	var failed error
	open, err := a.Refill(t, t.now, e.facts(t, p, touched, &failed))
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	for _, o := range open {
		if err := e.reassign(t, a, touched[o.Request], o.Reservations); err != nil {
			return err
		}
	}
	return nil
}

// reassign gives r other reservations in an account, unless it has them already.
func (e *Engine) reassign(t *txn, a budget.Account, r *spend.Request, rs []spend.Reservation) error {
	if budget.Same(owned(a, r), rs) {
		return nil
	}
	r.Reservations = slices.DeleteFunc(slices.Clone(r.Reservations), a.Owns)
	r.Reservations = append(r.Reservations, rs...)
	return e.rewrite(t, r)
}

// owned are the reservations of r in an account.
func owned(a budget.Account, r *spend.Request) (rs []spend.Reservation) {
	for _, s := range r.Reservations {
		if a.Owns(s) {
			rs = append(rs, s)
		}
	}
	return rs
}

// sentLate is how long after it was made a request is sent so late that it counts
// apart from others of its time.
const sentLate = 48 * time.Hour

// facts yields what p sees of the ledger: the payments since its month began,
// whatever is still open, and what counts at any age. An error ends the sequence
// and is left in failed.
func (e *Engine) facts(t *txn, p *policy.Policy, touched map[spend.ID]*spend.Request, failed *error) iter.Seq[budget.Fact] {
	// What is sent later after its making is ageless. A day more is for zones that skip
	// the midnight of a first day.
	local := t.now.In(p.Location())
	since := time.Date(local.Year(), local.Month(), 1, 0, 0, 0, 0, local.Location()).Add(-24*time.Hour - sentLate)
	return func(yield func(budget.Fact) bool) {
		for _, with := range [...]marks{openMark, agelessMark, anyMark} {
			for r, err := range e.indexed(t, with) {
				if err != nil {
					*failed = err
					return
				}
				if with == anyMark && r.Created.Before(since) {
					break // the rest is older still
				}
				if _, seen := touched[r.ID]; seen {
					continue
				}
				if with != anyMark { // what is neither comes once, and may be a million
					touched[r.ID] = r
				}
				facts, err := factsOf(p, r)
				if err != nil {
					*failed = err
					return
				}
				for _, f := range facts {
					if !yield(f) {
						return
					}
				}
			}
		}
	}
}

// indexed walks the requests with a mark, newest first.
func (e *Engine) indexed(t *txn, m marks) iter.Seq2[*spend.Request, error] {
	return func(yield func(*spend.Request, error) bool) {
		for l, err := range e.keys.newest(t, m, latest) {
			var r spend.Request
			if err == nil {
				r, err = e.load(t, l.id)
			}
			if !yield(&r, err) || err != nil {
				return
			}
		}
	}
}

// factsOf is what p counts of r: nothing of what came to nothing, one fact for
// what is open or settled, and one for each further payment that was proved. What
// is open is told even where p does not cover it, so that it lets go of whatever
// an earlier version of p has reserved for it.
func factsOf(p *policy.Policy, r *spend.Request) ([]budget.Fact, error) {
	// What lacked its receipt and has failed after all was given back.
	presumed := r.State != spend.Failed && slices.Contains(r.Anomalies, spend.MissingReceipt)
	posted := r.State == spend.Settled || presumed && r.State.Final()
	if r.State.Final() && !posted {
		return nil, nil
	}
	amount, exposure, err := countedBy(p, &r.Intent)
	if err != nil {
		return nil, err
	}
	counts := !amount.IsZero() || !exposure.IsZero()
	if posted && !counts {
		return nil, nil
	}
	own := budget.Fact{Request: r.ID, At: countedAt(r), Amount: amount, Exposure: exposure, Posted: posted, Uncounted: !counts}
	if own.Amount, err = adjusted(amount, r.Adjusted); err != nil {
		return nil, err
	}
	facts := []budget.Fact{own}
	for _, again := range r.Again {
		f := own
		f.At = again.At
		if f.Amount, err = adjusted(amount, again.Adjusted); err != nil {
			return nil, err
		}
		facts = append(facts, f)
	}
	return facts, nil
}

// countedAt is the time in whose windows r counts.
func countedAt(r *spend.Request) time.Time {
	if r.Began.IsZero() {
		return r.Created
	}
	return r.Began
}

// countersOf are the counters that hold a posted payment of r: those that it was
// reserved in, and the current ones of policies that were made or changed since and
// have counted it from the ledger. In another zone the same date may be another day,
// and one that is still to come.
func (e *Engine) countersOf(t *txn, r *spend.Request, p *spend.Payment) ([]spend.Reservation, error) {
	set, err := e.readPolicies(t)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(p.Reservations)
	for i, pol := range set.list {
		amount, _, err := countedBy(pol, &r.Intent)
		if err != nil {
			return nil, err
		}
		current := set.accounts[i].Counted(t.now, budget.Fact{At: t.now, Amount: amount})
		all = slices.DeleteFunc(all, func(s spend.Reservation) bool {
			return slices.ContainsFunc(current, func(c spend.Reservation) bool {
				return path.Dir(c.Counter) == path.Dir(s.Counter) && c.Counter <= s.Counter
			})
		})
		all = append(all, set.accounts[i].Counted(t.now, budget.Fact{At: p.At, Amount: amount})...)
	}
	return all, nil
}

// countedBy is what p counts of a payment, as reserve does: an allowance counts in
// the windows as well as in the gauge.
func countedBy(p *policy.Policy, in *spend.Intent) (amount, exposure spend.Amount, err error) {
	if !p.Matches(in) {
		return amount, exposure, nil
	}
	charge, covers, err := p.Charge(in)
	if err != nil {
		return amount, exposure, err
	}
	exposed, exposes, err := p.Exposure(in)
	if err != nil {
		return amount, exposure, err
	}
	if covers {
		amount = charge
	}
	if exposes {
		exposure = exposed
		amount, err = plus(amount, exposed)
	}
	return amount, exposure, err
}

// adjusted is an amount with what receipts have changed of it, never below nought.
func adjusted(amount, by spend.Amount) (spend.Amount, error) {
	if amount.IsZero() || by.IsZero() || by.Unit() != amount.Unit() {
		return amount, nil
	}
	sum, err := amount.Add(by)
	if err == nil && sum.Sign() < 0 {
		sum = spend.NewAmount(amount.Unit(), 0)
	}
	return sum, err
}
