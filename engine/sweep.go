package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Sweeping gives back in time what lapsed, and drops what is kept no longer. It
// changes no answer: whoever reads a request computes its expiry from the clock.
const (
	sweepEvery = time.Second
	sweepPage  = 64
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

// Sweep expires every request whose deadline has passed, and drops replies that
// have been kept long enough.
func (e *Engine) Sweep(ctx context.Context) error {
	for {
		var due []store.Entry
		now := e.clock()
		err := e.view(ctx, func(r store.Reader) (err error) {
			due, err = r.Scan(e.keys.dues(), "", false, sweepPage)
			return err
		})
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		swept := 0
		for _, d := range due {
			at, what, id, err := e.keys.readDue(d.Key)
			if err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
			if at.After(now) {
				return nil
			}
			if err := e.commit.do(ctx, func(t *txn) error { return e.fallDue(t, d.Key, what, id) }); err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
			swept++
		}
		if swept < sweepPage {
			return nil
		}
	}
}

func (e *Engine) fallDue(t *txn, key, what string, id spend.ID) error {
	if err := t.Delete(key); err != nil {
		return err
	}
	if what == dueReply {
		return t.Delete(e.keys.reply(id))
	}
	r, err := e.load(t, id)
	if errors.Is(err, spend.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.State == spend.Expired || r.StateAt(t.now) != spend.Expired {
		return nil // it has moved on
	}
	if err := e.move(t, &r, lapse); err != nil {
		return err
	}
	r.Why = spend.ApprovalExpired
	return e.save(t, &r)
}
