package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Sweeping gives back in time what lapsed, and drops what is kept no longer. It
// changes no answer: whoever reads a request computes its expiry from the clock.
const (
	sweepEvery = time.Second
	sweepPage  = 64
	adoptPage  = 512
)

func (e *Engine) sweepLoop() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.closing:
			return
		case <-tick.C:
			// A failed sweep is tried again at the next tick; until then lapsed
			// money stays counted, which errs on the safe side.
			_ = e.Sweep(context.Background())
		}
	}
}

// Sweep expires every request whose deadline has passed, flags those whose receipt
// is overdue, and drops replies and twins that have been kept long enough.
//
// What cannot be swept is reported and does not stand in the way of the rest.
func (e *Engine) Sweep(ctx context.Context) error {
	return errors.Join(e.sweepDue(ctx), e.sweepReplies(ctx), e.sweepTwins(ctx))
}

func (e *Engine) sweepDue(ctx context.Context) error {
	var failed error
	after := ""
	for {
		var due []store.Entry
		now := e.clock()
		err := e.view(ctx, func(r store.Reader) (err error) {
			due, err = r.Scan(e.keys.dues(), after, false, sweepPage)
			return err
		})
		if err != nil {
			return errors.Join(failed, fmt.Errorf("sweep: %w", err))
		}
		for _, d := range due {
			after = d.Key
			at, what, id, err := e.keys.readDue(d.Key)
			if err == nil && at.After(now) {
				return failed
			}
			if err == nil {
				err = e.commit.do(ctx, func(t *txn) error {
					err := e.fallDue(t, d.Key, what, id)
					if len(t.entries) == 0 {
						t.record(audit.Entry{Event: sweptUp, Request: id, Who: itself, Note: what})
					}
					return err
				})
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("sweep: %w", err))
			}
		}
		if len(due) < sweepPage {
			return failed
		}
	}
}

func (e *Engine) fallDue(t *txn, key, what string, id spend.ID) error {
	r, err := e.load(t, id)
	if errors.Is(err, spend.NotFound) {
		return t.Delete(key)
	}
	if err != nil {
		return err
	}
	switch what {
	case dueObject:
		return errors.Join(t.Delete(key), e.letGo(t, &r))
	case dueReceipt:
		return errors.Join(t.Delete(key), e.miss(t, &r))
	case dueWord:
		return errors.Join(t.Delete(key), t.Delete(e.keys.word(r.Seq)))
	}
	if !r.Deadline.IsZero() && key == e.keys.due(r.Deadline, dueRequest, id) && r.StateAt(t.now) != spend.Expired {
		return nil // by the time of this batch it is too early
	}
	if err := t.Delete(key); err != nil {
		return err
	}
	if r.State == spend.Expired || r.StateAt(t.now) != spend.Expired {
		return nil // it has moved on
	}
	from := r.State
	if err := e.move(t, &r, lapse); err != nil {
		return err
	}
	r.Why = spend.ApprovalExpired
	return e.save(t, &r, deed{event: lapse, from: from, who: itself})
}

// letGo ends a write that moves no money and whose outcome nobody has learnt, so
// that its object can be written again. What was looked up before is stale.
func (e *Engine) letGo(t *txn, r *spend.Request) error {
	if r.State != spend.Executing || r.Intent.Class != spend.Other {
		return nil
	}
	from := r.State
	if err := e.move(t, r, settle); err != nil {
		return err
	}
	r.Why = spend.OutcomeUnknown
	return e.save(t, r, deed{event: settle, from: from, who: itself, note: "its outcome was not learnt; it moves no money"})
}

// adopt takes over what an earlier life of this process left executing: a bound
// is put on the writes without money, and the receipts of payments are expected.
func (e *Engine) adopt(ctx context.Context) error {
	for below := uint64(latest); below > 0; {
		var next uint64
		err := e.commit.do(ctx, func(t *txn) (err error) {
			t.record(audit.Entry{Event: resumed, Who: itself})
			next, err = e.eachOpen(t, below, adoptPage, func(r *spend.Request) error { return e.takeUp(t, r) })
			return err
		})
		if err != nil {
			return err
		}
		below = next
	}
	return nil
}

// eachOpen calls f for at most n open requests with numbers below the given one,
// the newest first. The next ones are those below next, if that is not nought.
func (e *Engine) eachOpen(t *txn, below uint64, n int, f func(*spend.Request) error) (next uint64, err error) {
	for l, err := range e.keys.newest(t, openMark, below) {
		if err != nil {
			return 0, err
		}
		if n--; n < 0 {
			return next, nil
		}
		next = l.seq
		r, err := e.load(t, l.id)
		if err != nil {
			return 0, err
		}
		if err := f(&r); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// takeUp is adopt for one request.
func (e *Engine) takeUp(t *txn, r *spend.Request) error {
	if r.State == spend.Executing && r.Intent.Class == spend.Other {
		if err := t.Put(e.keys.due(t.now.Add(objectHeld), dueObject, r.ID), nil); err != nil {
			return err
		}
	}
	return e.expectReceipt(t, r)
}
