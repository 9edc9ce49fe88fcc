package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// The bounds of one batch: actions, and bytes written. The second is about half
// of what one transaction of the smallest backend profile holds.
const (
	maxBatchActions = 128
	maxBatchBytes   = 512 << 10
	maxValueBytes   = 256 << 10
)

// The committer is the only writer of the store. It takes the actions that wait,
// applies each on its own overlay (one that fails or panics is dropped and told
// so, and leaves no trace), writes each key once, commits once, and then answers
// all. The first waiting caller leads the commit itself: no goroutine stands
// between a lone caller and its fsync.
type committer struct {
	store  store.Store
	clock  func() time.Time
	head   string // key of the last sequence number and batch time
	chain  *audit.Chain
	anchor *audit.Anchor // nil for none
	// durable is told of each request that a commit has written; nil for nobody.
	durable func(kept)
	// doubt is told, within the turn, of a commit of unknown outcome; nothing is
	// committed then until resume.
	doubt func(doubt)

	turn sync.Mutex // held through a commit; guards what stands between here and mu

	warm       *warm
	batch, own *overlay // of the batch and of one action, emptied for each
	lent       lent     // by the batch to its actions
	deeds      []deeds
	records    []audit.Record // of all deeds
	entries    *audit.Batch   // of the batch

	idle  pendings
	taken []*pending // the batch of who leads
	sizes [2]int     // of the last two batches

	mu       sync.Mutex
	queue    []*pending
	leading  bool
	stopped  error         // non-nil while a commit's outcome is unknown, and on close
	closed   bool          // stopped is there to stay
	known    chan struct{} // closed when the doubt ends; nil when there is none
	patience time.Time     // until when actions wait for that

	stats commitStats
}

// deeds are the audit entries of one action of a batch, and the records of what
// it was the last to write.
type deeds struct {
	entries []audit.Entry
	writes  int // of the batch that are its own
	records []audit.Record
}

func newCommitter(st store.Store, clock func() time.Time, k keys, h *History) *committer {
	return &committer{
		store: st, clock: clock, head: k.head(), chain: h.chain, anchor: h.anchor,
		warm:    newWarm(st, k.warm),
		entries: h.chain.Batch(audit.Mark{}),
	}
}

type commitStats struct {
	failures, bytes uint64
	latency, sizes  Tally // in microseconds, and in actions
}

// do runs act in the next batch and returns once it is durable, or its error.
// When ctx ends first, do returns Unknown: the action may still be committed.
func (c *committer) do(ctx context.Context, act action) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit: %w: %w", spend.Unavailable, err)
	}
	p := c.idle.take(act)
	c.mu.Lock()
	if c.closed {
		defer c.mu.Unlock()
		return c.stopped
	}
	c.queue = append(c.queue, p)
	first := !c.leading
	c.leading = true
	c.mu.Unlock()

	if !first && !p.wait(ctx.Done()) && !c.leave(p) {
		return fmt.Errorf("commit: %w: %w", spend.Unknown, ctx.Err())
	}
	if first || p.leads {
		c.leadBatches(p)
	}
	err := p.err
	c.idle.giveBack(p)
	return err
}

// leave marks that p's caller no longer waits. It reports true when p has
// already been told to lead, and so must.
func (c *committer) leave(p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.leads {
		<-p.told
	}
	p.gone = !p.leads
	return p.leads
}

// commit applies and commits one batch and answers its actions, but for those
// that did not fit, which it returns.
func (c *committer) commit(batch []*pending) (left []*pending) {
	if err := c.standing(); err != nil {
		answer(batch, err)
		return nil
	}
	start := c.clock()
	did, err := c.attempt(batch, start)
	if errors.Is(err, store.ErrTooLarge) && len(batch) > 1 {
		// The bounds were too generous for this backend: one at a time.
		for _, p := range batch {
			c.commit([]*pending{p})
		}
		return nil
	}
	if err != nil {
		answer(batch, fmt.Errorf("commit: %w: %w", spend.Unavailable, err))
		return nil
	}
	c.mu.Lock()
	c.stats.add(did.taken, did.size, c.clock().Sub(start))
	c.mu.Unlock()
	for _, p := range batch[:did.taken] {
		c.follow(p)
		p.answer(p.err)
	}
	return batch[did.taken:]
}

// attempt applies and commits one batch. A definite error concerns this batch
// only. An unknown outcome stops the committer, because what the next batch would
// read could be either.
func (c *committer) attempt(batch []*pending, start time.Time) (applied, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	var did applied
	runs := 0
	err := c.update(func(tx store.Tx) (err error) {
		if runs++; runs > 1 {
			c.warm.forget() // the store says that something has changed
		}
		did, err = c.apply(tx, batch, start)
		return err
	})
	if err != nil {
		c.warm.forget()
	}
	switch {
	case err == nil:
		c.warm.committed(c.batch.writes.list)
		if c.anchor != nil && did.size > 0 {
			c.anchor.Moved(did.head)
		}
		return did, nil
	case errors.Is(err, store.ErrTooLarge) && len(batch) > 1:
		return did, err // not a failure yet
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.failures++
	if errors.Is(err, store.ErrUnknown) && c.stopped == nil { // otherwise whoever reads back is told
		c.stopped = fmt.Errorf("%w: the ledger is being read back, because a write may or may not have been kept (%w)", spend.Unavailable, err)
		if c.doubt != nil {
			c.known, c.patience = make(chan struct{}), time.Now().Add(doubtWait)
			c.doubt(did.doubt(batch, err))
		}
	}
	return did, err
}

// doubt is what there is to find out about a batch.
func (a applied) doubt(batch []*pending, cause error) doubt {
	d := doubt{before: a.before, after: a.head, cause: cause}
	for _, p := range batch[:a.taken] {
		if p.err == nil {
			d.kept, d.hooks, d.begun = append(d.kept, p.did.kept...), append(d.hooks, p.did.after...), append(d.begun, p.did.begun...)
		}
	}
	return d
}

// alone commits one action while the committer is stopped, for whoever has been
// told of a doubt.
func (c *committer) alone(act action) error {
	p := &pending{act: act} // whom nobody waits for
	if _, err := c.attempt([]*pending{p}, c.clock()); err != nil {
		return err
	}
	c.follow(p)
	return p.err
}

// follow does what is to happen after the commit of an action. Of one that has failed
// nothing is left.
func (c *committer) follow(p *pending) {
	if c.durable != nil {
		for _, k := range p.did.kept {
			c.durable(k)
		}
	}
	for _, f := range p.did.after {
		f()
	}
}

// update runs one transaction. A store that panics has left nobody knows what.
func (c *committer) update(fn func(store.Tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: panic in the store: %v", store.ErrUnknown, r)
		}
	}()
	return c.store.Update(context.Background(), fn)
}

// applied is what apply has done.
type applied struct {
	taken  int        // actions; a failed one counts, having had its answer
	size   int        // bytes written
	before audit.Mark // where the chain stood
	head   audit.Mark // where it then stands
}

// apply runs the actions of batch over tx and writes the result with the audit
// entries of all.
func (c *committer) apply(tx store.Tx, batch []*pending, start time.Time) (did applied, err error) {
	base, own := c.clean(tx)
	h, err := readPosition(base, c.head)
	if err != nil {
		return did, err
	}
	if did.head, err = c.chain.Head(base); err != nil {
		return did, err
	}
	did.before = did.head
	if start.Before(h.Time) {
		start = h.Time
	}
	h.Time = start.UTC().Round(0)
	for _, p := range batch {
		own.reset()
		t := &p.did
		t.restart(own, &c.lent, h)
		if p.err = run(p.act, t); p.err == nil {
			p.err = t.check()
		}
		if p.err == nil && did.taken > 0 && base.bytes+t.bytes > maxBatchBytes {
			break
		}
		did.taken++
		if p.err != nil {
			t.forget()
			continue
		}
		c.merge(t)
		h.Seq = t.seq
	}
	if len(base.writes.list) == 0 {
		return did, nil
	}
	if err := base.Put(c.head, h.stored()); err != nil {
		return did, err
	}
	if did.head, err = c.enter(did.head); err != nil {
		return did, err
	}
	did.size = base.bytes
	for i := range base.writes.list {
		w := &base.writes.list[i]
		if w.value == nil {
			err = tx.Delete(w.key)
		} else {
			err = tx.Put(w.key, w.value)
		}
		if err != nil {
			return did, fmt.Errorf("write %s: %w", w.key, err)
		}
	}
	return did, nil
}

// clean returns empty overlays for a batch over tx and for one of its actions.
func (c *committer) clean(tx store.Tx) (batch, own *overlay) {
	if c.batch == nil || len(c.batch.writes.list)+len(c.batch.reads) > 8*maxBatchActions*writesExpected {
		c.batch = new(overlay)
		if c.warm == nil { // which remembers as well
			c.batch = newOverlay(nil)
		}
		c.own = c.batch.above()
	}
	c.batch.reset()
	c.lent.takeBack()
	clear(c.deeds)
	c.deeds = c.deeds[:0]
	c.batch.base = c.warm.over(tx)
	return c.batch, c.own
}

// merge takes what an action did into the batch. One that wrote nothing has done
// nothing.
func (c *committer) merge(t *txn) {
	if len(t.writes.list) == 0 {
		return
	}
	if len(t.entries) == 0 {
		t.record(audit.Entry{Event: wrote, Who: itself})
	}
	c.batch.merge(t.overlay, len(c.deeds))
	c.deeds = append(c.deeds, deeds{entries: t.entries})
}

// enter adds the audit entries of all actions to the batch, behind head, and
// returns the head that they make. The last entry of each action has the digests
// of what it wrote, as far as no later action of the batch has written it again:
// what was in between is never stored. The position goes with the last action.
func (c *committer) enter(head audit.Mark) (audit.Mark, error) {
	c.batch.writes.find(c.head).by = len(c.deeds) - 1
	c.recordWrites()
	c.entries.Again(head)
	for _, d := range c.deeds {
		audit.Sort(d.records)
		d.entries[len(d.entries)-1].Records = d.records
		for i := range d.entries {
			if err := c.entries.Add(c.batch, &d.entries[i]); err != nil {
				return head, err
			}
		}
	}
	return c.entries.Seal(c.batch)
}

// recordWrites gives each deed the records of what it was the last to write.
func (c *committer) recordWrites() {
	list := c.batch.writes.list
	for i := range list {
		c.deeds[list[i].by].writes++
	}
	c.records = slices.Grow(c.records[:0], len(list))
	from := 0
	for i := range c.deeds {
		d := &c.deeds[i]
		d.records = c.records[from : from : from+d.writes]
		from += d.writes
	}
	for i := range list {
		w := &list[i]
		if r, covered := c.chain.Record(w.key, w.value); covered {
			d := &c.deeds[w.by]
			d.records = append(d.records, r)
		}
	}
}

// check holds an action to the bound on values, and to what the chain can hold.
func (t *txn) check() error {
	for i := range t.entries {
		if err := t.entries[i].Fits(); err != nil {
			return err
		}
	}
	for _, w := range t.writes.list {
		if len(w.value) > maxValueBytes {
			return fmt.Errorf("write %s: %w: %d bytes are more than the %d that a value may have", w.key, spend.Invalid, len(w.value), maxValueBytes)
		}
	}
	return nil
}

// run runs act and turns a panic into an error.
func run(act action, t *txn) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: panic in an action: %v", spend.Unavailable, r)
		}
	}()
	return act(t)
}

// stop refuses every later action, for good.
func (c *committer) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.stopped, c.closed = err, true
		c.tellWaiting()
	}
}

// resume takes actions again after a doubt.
func (c *committer) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.stopped = nil
		c.tellWaiting()
	}
}

// rest waits for a commit under way. It is called after stop.
func (c *committer) rest() {
	c.turn.Lock()
	defer c.turn.Unlock()
}

func answer(batch []*pending, err error) {
	for _, p := range batch {
		p.did.forget()
		p.answer(err)
	}
}
