package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// A moody store now and then runs a transaction twice before it commits it, or fails.
type moody struct {
	store.Store
	draw *rand.Rand // used by one commit after another
}

var errMood = errors.New("not today")

func (m moody) Update(ctx context.Context, fn func(store.Tx) error) error {
	switch mood := m.draw.IntN(10); mood {
	case 0:
		return errMood
	case 1:
		again := errors.New("once more")
		if err := m.Store.Update(ctx, func(tx store.Tx) error { return errors.Join(fn(tx), again) }); !errors.Is(err, again) {
			return err
		}
	}
	return m.Store.Update(ctx, fn)
}

// A trial is an action that leaves a trace wherever one can be left.
type trial struct {
	id                   spend.ID
	fails, panics, early bool // its caller leaves early
	written, after       int  // how often its request and its hook were heard of
	err                  error
}

var errTrial = errors.New("it fails")

func (a *trial) act(t *txn) error {
	t.kept = append(t.kept, kept{request: &spend.Request{ID: a.id}})
	t.begun = append(t.begun, a.id)
	t.then(func() { a.after++ })
	err := t.PutLent("k/"+string(a.id), append(t.Lend(8), a.id...))
	switch {
	case a.panics:
		panic("in an action")
	case a.fails:
		return errTrial
	}
	return err
}

func (a *trial) do(c *committer) {
	ctx := context.Background()
	if a.early {
		short, cancel := context.WithTimeout(ctx, 200*time.Microsecond)
		defer cancel()
		ctx = short
	}
	a.err = c.do(ctx, a.act)
}

// TestActionsInUsedMemoryAreNobodyElses has callers lead, follow, leave and come again
// while actions fail, panic and are run again.
func TestActionsInUsedMemoryAreNobodyElses(t *testing.T) {
	const callers, each = 24, 60
	c, g := testCommitter(t)
	c.store = moody{g.Store, rand.New(rand.NewPCG(1, 2))}
	trials := make(map[spend.ID]*trial, callers*each)
	c.durable = func(k kept) { trials[k.request.ID].written++ }
	for i := range callers * each {
		id := spend.ID(fmt.Sprintf("t%05d", i))
		trials[id] = &trial{id: id, fails: i%7 == 3, panics: i%31 == 5, early: i%5 == 1}
	}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for j := range each {
				trials[spend.ID(fmt.Sprintf("t%05d", i*each+j))].do(c)
			}
		})
	}
	all.Wait()
	waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return !c.leading })
	for _, a := range trials {
		kept := value(t, g, "k/"+string(a.id))
		done := kept == string(a.id) && a.written == 1 && a.after == 1
		undone := kept == "" && a.written == 0 && a.after == 0
		var as bool
		switch {
		case a.err == nil:
			as = done && !a.fails && !a.panics
		case errors.Is(a.err, spend.Unknown): // it left
			as = a.early && (done || undone)
		case errors.Is(a.err, errTrial):
			as = undone && a.fails
		default:
			as = undone && (a.panics || a.early || errors.Is(a.err, errMood))
		}
		if !as {
			t.Errorf("%+v has %q", *a, kept)
		}
	}
}
