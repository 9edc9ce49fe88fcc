package engine

import (
	"errors"
	"iter"
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
		r := touched[o.Request]
		r.Reservations = slices.DeleteFunc(slices.Clone(r.Reservations), a.Owns)
		r.Reservations = append(r.Reservations, o.Reservations...)
		if err := e.save(t, r); err != nil {
			return err
		}
	}
	return nil
}

// facts yields what p sees of the ledger: the payments since its month began,
// whatever is still open, and allowances of any age. An error ends the sequence
// and is left in failed.
func (e *Engine) facts(t *txn, p *policy.Policy, touched map[spend.ID]*spend.Request, failed *error) iter.Seq[budget.Fact] {
	// A month's start in any zone lies within a day of UTC's, and a hold may have
	// begun before the month in which it was sent.
	since := time.Date(t.now.Year(), t.now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -1).Add(-e.opt.Expire - e.opt.Keep)
	return func(yield func(budget.Fact) bool) {
		for _, index := range []string{e.keys.opens(), e.keys.exposures(), e.keys.sequences()} {
			for r, err := range e.indexed(t, index) {
				if err != nil {
					*failed = err
					return
				}
				if index == e.keys.sequences() && r.Created.Before(since) {
					break // the rest is older still
				}
				if _, seen := touched[r.ID]; seen {
					continue
				}
				touched[r.ID] = r
				f, n, err := factOf(p, r)
				if err != nil {
					*failed = err
					return
				}
				for range n {
					if !yield(f) {
						return
					}
				}
			}
		}
	}
}

// indexed walks an index of request ids, newest first.
func (e *Engine) indexed(t *txn, index string) iter.Seq2[*spend.Request, error] {
	return func(yield func(*spend.Request, error) bool) {
		for after := ""; ; {
			page, err := t.Scan(index, after, true, 256)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, en := range page {
				after = en.Key
				r, err := e.load(t, spend.ID(en.Value))
				if !yield(&r, err) {
					return
				}
			}
			if len(page) < 256 {
				return
			}
		}
	}
}

// factOf is what p counts of r, and how often: not at all for what came to
// nothing or lies outside of its scope, and once more for each payment that the
// provider proved to have happened again.
func factOf(p *policy.Policy, r *spend.Request) (f budget.Fact, n int, err error) {
	presumed := slices.Contains(r.Anomalies, spend.MissingReceipt)
	f = budget.Fact{Request: r.ID, At: r.Began, Posted: r.State == spend.Settled || presumed && r.State.Final()}
	if f.At.IsZero() {
		f.At = r.Created
	}
	if r.State.Final() && !f.Posted || r.State == spend.Denied {
		return f, 0, nil
	}
	covers, exposes := false, false
	if p.Matches(&r.Intent) {
		if f.Amount, covers, err = p.Charge(&r.Intent); err != nil {
			return f, 0, err
		}
		if f.Exposure, exposes, err = p.Exposure(&r.Intent); err != nil {
			return f, 0, err
		}
	}
	if !covers {
		f.Amount = spend.Amount{}
	}
	if !exposes {
		f.Exposure = spend.Amount{}
	}
	if f.Amount, err = plus(f.Amount, f.Exposure); err != nil {
		return f, 0, err
	}
	if covers && !r.Adjusted.IsZero() && r.Adjusted.Unit() == f.Amount.Unit() {
		if f.Amount, err = f.Amount.Add(r.Adjusted); err != nil {
			return f, 0, err
		}
	}
	n = 1
	for _, a := range r.Anomalies {
		if a == spend.DuplicatePayment {
			n++
		}
	}
	if f.Posted && !covers && !exposes {
		n = 0
	}
	return f, n, nil
}
