package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/outgo/outgo/engine/store"
)

// Moment is when a Doubtful store fails.
type Moment string

// The moments.
const (
	BeforeCommit Moment = "before the commit"    // nothing is kept
	AfterCommit  Moment = "after the commit"     // all is kept
	WithPanic    Moment = "by a panic before it" // nothing is kept
	WhileReading Moment = "by a panic in a read" // nothing is kept
)

// Doubtful is a store of which an Update fails, when told so, with
// store.ErrUnknown or a panic. Like a backend whose sync has failed it then
// refuses everything until Reopen.
type Doubtful struct {
	store.Store

	mu      sync.Mutex
	next    Moment
	skip    int
	failed  bool
	Reopens int
	// Stays is what Reopen fails with; nil = it succeeds.
	Stays error
}

var errFailed = errors.New("the store has failed and was not opened again")

// Fail has the Update behind the next skip ones fail at the given moment.
func (d *Doubtful) Fail(at Moment, skip int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next, d.skip = at, skip
}

// Reopen has the store go on with what it holds.
func (d *Doubtful) Reopen(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Reopens++
	if d.Stays == nil {
		d.failed = false
	}
	return d.Stays
}

// View refuses while the store has failed.
func (d *Doubtful) View(ctx context.Context, fn func(store.Reader) error) error {
	d.mu.Lock()
	failed := d.failed
	d.mu.Unlock()
	if failed {
		return errFailed
	}
	return d.Store.View(ctx, fn)
}

// Update fails once at the moment that it was told.
func (d *Doubtful) Update(ctx context.Context, fn func(store.Tx) error) error {
	at, err := d.turn()
	switch {
	case err != nil:
		return err
	case at == "":
		return d.Store.Update(ctx, fn)
	case at == AfterCommit:
		if err := d.Store.Update(ctx, fn); err != nil {
			return err
		}
		return fmt.Errorf("%w: told to, %s", store.ErrUnknown, at)
	case at == WhileReading:
		return d.Store.Update(ctx, func(tx store.Tx) error { return fn(broken{tx}) })
	}
	err = d.Store.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errFailed
	})
	if at == WithPanic {
		panic("told to")
	}
	return fmt.Errorf("%w: told to, %s: %w", store.ErrUnknown, at, err)
}

func (d *Doubtful) turn() (Moment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.failed:
		return "", errFailed
	case d.next == "":
		return "", nil
	case d.skip > 0:
		d.skip--
		return "", nil
	}
	at := d.next
	d.next, d.failed = "", true
	return at, nil
}

// broken is a transaction of which a read panics.
type broken struct{ store.Tx }

func (broken) Get(string) ([]byte, error) { panic("told to") }
