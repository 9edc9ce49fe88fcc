package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/store"
)

const (
	// dropPage is how many keys one action drops, and dropScan how many are read at a
	// time to find them: they come with their values, at 256 KiB each or less.
	dropPage = 100
	dropScan = 20
)

// dropped is up to where keys of one kind, which stand in the order of their times,
// were dropped in this life of the ledger: those that are written later stand behind
// it, for the time of a batch never goes back.
type dropped struct {
	mu     sync.Mutex // one sweep at a time
	behind string
}

// sweepReplies drops the replies that have been kept long enough.
func (e *Engine) sweepReplies(ctx context.Context) error {
	return e.drop(ctx, &e.dropped, e.keys.replies(), e.keys.repliesPast(e.clock()), "reply")
}

// sweepTwins drops the lists of twins that no policy can look back to.
func (e *Engine) sweepTwins(ctx context.Context) error {
	return e.drop(ctx, &e.droppedTwins, e.keys.twins(), e.keys.twinsOf(dayOf(e.clock().Add(-policy.MaxDuplicateWindow))), "twin")
}

// drop deletes the keys that begin with prefix and stand before past.
func (e *Engine) drop(ctx context.Context, d *dropped, prefix, past, what string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		due, err := e.before(ctx, prefix, d.behind, past)
		if err == nil && len(due) > 0 {
			err = e.commit.do(ctx, func(t *txn) error {
				t.record(audit.Entry{Event: sweptUp, Who: itself, Note: what})
				for _, key := range due {
					if err := t.Delete(key); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			return fmt.Errorf("sweep %s: %w", what, err)
		}
		if len(due) > 0 {
			d.behind = due[len(due)-1]
		}
		if len(due) < dropPage {
			return nil
		}
	}
}

// before returns the keys between two keys that begin with prefix, a page at most.
func (e *Engine) before(ctx context.Context, prefix, after, past string) (keys []string, err error) {
	err = e.view(ctx, func(r store.Reader) error {
		for len(keys) < dropPage {
			page, err := r.Scan(prefix, after, false, dropScan)
			if err != nil {
				return err
			}
			for _, en := range page {
				if en.Key >= past {
					return nil
				}
				after = en.Key
				keys = append(keys, en.Key)
			}
			if len(page) < dropScan {
				return nil
			}
		}
		return nil
	})
	return keys, err
}
