// Package engine decides about payments and keeps the ledger. It is a state
// machine over a store: every method is one action, applied in a batch by the
// committer (commit.go), which is the only writer. machine.go alone knows how a
// request moves, package policy alone what is allowed, package budget alone how
// money is counted; keys.go names every key.
//
// The order of one payment: Authorize joins a call to the request that it
// repeats, or evaluates it and reserves its money in the same commit
// (authorize.go); Wait waits for a person, who speaks through Resolve; Begin looks
// again and re-reserves (begin.go); Finish posts or voids with the evidence
// (finish.go). Whatever fails on the way is an error, and an error means no.
package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Sealer keeps secrets at rest; ad binds a sealed value to its place. Seal keeps
// nothing of the plaintext, whose memory is used again. Digest is a
// keyed digest of parts under a label, which nobody without the key can compute.
type Sealer interface {
	Seal(plaintext []byte, ad string) []byte
	Open(sealed []byte, ad string) ([]byte, error)
	Digest(label string, parts ...string) string
}

// Options configure an Engine. Store and Sealer are required.
type Options struct {
	Store     store.Store
	Sealer    Sealer
	Workspace string           // "" = main
	Clock     func() time.Time // nil = time.Now
	// Unmatched says what happens to a payment that no policy covers, by
	// surface; Deny where it says nothing.
	Unmatched map[spend.Origin]spend.Decision
	FeeCap    spend.Amount  // of fee legs that no policy covers
	Expire    time.Duration // how long a person has to decide; 0 = 1 h
	Keep      time.Duration // how long an approved call may take to come back; 0 = 24 h
	MaxHeld   int           // requests of one agent that may be held at a time; 0 = 20
	// MaxHeldAmount is how much of a unit the held requests of one agent may move
	// together; a unit that is not in it has no such bound.
	MaxHeldAmount map[string]spend.Amount
	// ReceiptWithin is how long after its begin a payment may lack its receipt
	// before it is flagged MISSING_RECEIPT; 0 = 15 min.
	ReceiptWithin time.Duration
	// Flagged is told of each anomaly once it is durable; nil for none. It must not
	// wait.
	Flagged func(Flagged)
	// Uptime is the time that has passed since any moment, whatever the clock shows,
	// a suspension of the machine included. By it a clock that jumps is found out;
	// nil = by the monotonic readings of Clock, where it has any.
	Uptime func() time.Duration
	// AnchorPath is a file outside of the store that says how far the ledger had
	// come, so that one that was set back is found out; "" = none.
	AnchorPath string
	// Alarm is told, on a goroutine of its own, what an operator must know and no
	// caller is told: that the ledger was tampered with, or cannot be anchored.
	Alarm func(error)
}

func (o Options) withDefaults() Options {
	if o.Workspace == "" {
		o.Workspace = "main"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Expire = orDefault(o.Expire, time.Hour)
	o.Keep = orDefault(o.Keep, 24*time.Hour)
	o.ReceiptWithin = orDefault(o.ReceiptWithin, 15*time.Minute)
	if o.MaxHeld == 0 {
		o.MaxHeld = 20
	}
	if o.Alarm == nil {
		o.Alarm = func(error) {}
	}
	return o
}

// Engine is the ledger with its decisions. It is safe for concurrent use.
type Engine struct {
	store  store.Store
	sealer Sealer
	keys   keys
	opt    Options
	// controlKey is keys.control, which every action asks for.
	controlKey string

	commit *committer
	time   *timekeeper
	clock  func() time.Time // time.now

	history *History
	broken  atomic.Pointer[error] // why the audit chain is not to be trusted

	policies atomic.Pointer[policySet]
	apiKeys  atomic.Pointer[map[string]APIKey] // by digest
	begun    begun
	seen     *seen // idempotency keys
	prints   *seen // fingerprints of payments that began, by their twins' names
	// printsSince is the day since when prints knows of all.
	printsSince           atomic.Uint64
	filling               atomic.Int32 // changes of policies that are under way
	inquired              inquired
	dropped, droppedTwins dropped
	packing               packing

	mu      sync.Mutex
	waiters map[spend.ID]map[chan struct{}]string // wake-up channel to the dedup key that waits
	left    map[spend.ID]departure                // the last call that stopped waiting
	watch   map[chan spend.Request]struct{}
	closing chan struct{}
	closed  sync.Once

	background sync.WaitGroup
	cancel     context.CancelFunc // ends what runs in the background
}

// Open starts an engine on a store, reads what it needs to decide, and sweeps
// what falls due until Close.
func Open(ctx context.Context, opt Options) (*Engine, error) {
	opt = opt.withDefaults()
	clock := newTimekeeper(opt)
	opt.Clock = clock.now
	k, history := newKeys(opt.Workspace), NewHistory(opt)
	e := &Engine{
		time:  clock,
		store: opt.Store, sealer: opt.Sealer, keys: k, controlKey: k.control(), opt: opt, clock: opt.Clock,
		history: history,
		commit:  newCommitter(opt.Store, opt.Clock, k, history),
		waiters: make(map[spend.ID]map[chan struct{}]string),
		left:    make(map[spend.ID]departure),
		watch:   make(map[chan spend.Request]struct{}),
		closing: make(chan struct{}),
		packing: newPacking(),
		seen:    newSeen(opt.Store),
		prints:  newSeen(opt.Store),
	}
	background, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.commit.durable = e.durable
	e.commit.doubt = func(d doubt) { e.background.Go(func() { e.settleDoubt(background, d) }) }
	if err := e.takeOver(ctx); err != nil {
		e.Close()
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	e.background.Go(e.sweepLoop)
	e.background.Go(func() { e.verifyAll(background) })
	e.background.Go(func() { e.readSeen(background); e.readPrints(background) })
	return e, nil
}

// takeOver looks at what the store holds, reads what decisions need of it, and
// goes on with what an earlier life of the ledger has left.
func (e *Engine) takeOver(ctx context.Context) error {
	if err := e.beginHistory(ctx); err != nil {
		return err
	}
	err := e.store.View(ctx, func(r store.Reader) error {
		h, err := readPosition(r, e.keys.head())
		if err != nil {
			return err
		}
		if err := e.loadAPIKeys(r); err != nil {
			return err
		}
		e.time.startAfter(h.Time)
		_, err = e.readPolicies(r)
		return err
	})
	if err != nil {
		return err
	}
	if err := e.adoptUnsent(ctx); err != nil {
		return err
	}
	if err := e.refillStored(ctx); err != nil {
		return err
	}
	return e.adopt(ctx)
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Close refuses further actions, ends what runs in the background and anchors the
// ledger where it stands. The store stays open; it is its opener's to close. A
// second call does nothing.
func (e *Engine) Close() { e.closed.Do(e.close) }

func (e *Engine) close() {
	e.commit.stop(fmt.Errorf("ledger is closed: %w", spend.Unavailable))
	close(e.closing)
	e.cancel()
	e.background.Wait()
	e.commit.rest()
	if e.history.anchor == nil {
		return
	}
	if err := e.history.anchor.Close(); err != nil {
		e.opt.Alarm(err)
	}
}

// view reads one snapshot.
func (e *Engine) view(ctx context.Context, fn func(store.Reader) error) error {
	if err := e.store.View(ctx, fn); err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	return nil
}

// Request returns one request, its state as of now.
func (e *Engine) Request(ctx context.Context, id spend.ID) (spend.Request, error) {
	var r spend.Request
	err := e.view(ctx, func(rd store.Reader) (err error) { r, err = e.load(rd, id); return err })
	if err != nil {
		return spend.Request{}, err
	}
	return e.shown(r), nil
}

// shown is r as of now.
func (e *Engine) shown(r spend.Request) spend.Request {
	if s := r.StateAt(e.clock()); s != r.State {
		r.State, r.Why = s, spend.ApprovalExpired
	}
	return r
}

// load reads a request, or fails with NotFound. It belongs to the caller.
func (e *Engine) load(r store.Reader, id spend.ID) (q spend.Request, err error) {
	key := e.keys.request(id)
	stored, err := e.readStored(r, id, key)
	if err != nil {
		return q, err
	}
	if q, ok := e.begun.get(id, stored); ok {
		return q, nil
	}
	return e.keys.readRequest(id, key, stored)
}

// borrow is load for an action that keeps to what begun.borrow asks, of a request that
// is found at key. It returns the body of the request, as far as it is known.
func (e *Engine) borrow(t *txn, id spend.ID, key string, q *spend.Request) (body requestBody, err error) {
	stored, err := e.readStored(t, id, key)
	if err != nil {
		return body, err
	}
	if body, ok := e.begun.borrow(id, stored, q); ok {
		return body, nil
	}
	*q, err = e.keys.readRequest(id, key, stored)
	return body, err
}

// readStored returns the stored form of a request, found at key, or NotFound.
func (e *Engine) readStored(r store.Reader, id spend.ID, key string) ([]byte, error) {
	stored, err := r.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("request %.64q: %w", id, spend.NotFound)
	}
	return stored, err
}

// save writes a request with the audit entry of what was done to it, and wakes
// whoever waits for it, once it is durable.
func (e *Engine) save(t *txn, r *spend.Request, d deed) error {
	t.recordDeed(r, d)
	return e.rewrite(t, r)
}

// rewrite is save without an entry of its own.
func (e *Engine) rewrite(t *txn, r *spend.Request) error {
	own := r.Clone() // whose caller gets r, to do with as it likes
	return e.keep(t, e.keys.request(r.ID), &own, requestBody{})
}

// keep writes r at key, which nobody changes any more, and of whose body some may be
// known.
func (e *Engine) keep(t *txn, key string, r *spend.Request, body requestBody) error {
	stored, exact, err := e.keys.storedRequest(r, &body)
	if err != nil {
		return err
	}
	if err := t.Put(key, stored); err != nil {
		return err
	}
	t.kept = append(t.kept, kept{r, stored, body, exact})
	return nil
}

// kept is a request that an action has written, which nobody changes any more, with
// what begun.put asks of it.
type kept struct {
	request *spend.Request
	stored  []byte
	body    requestBody
	exact   bool
}

// durable takes note of a request that is written for good.
func (e *Engine) durable(k kept) {
	e.begun.put(k.request, k.stored, k.body, k.exact)
	e.wake(k.request)
}

// Wait returns once the request is no longer held, or ctx ends. The ruling then
// says what its caller does: Begin once approved, Refuse once denied or expired,
// and Await, without an error, when ctx has ended first.
func (e *Engine) Wait(ctx context.Context, id spend.ID) (spend.Ruling, error) {
	wake := make(chan struct{}, 1)
	first, err := e.Request(context.WithoutCancel(ctx), id)
	if err != nil {
		return spend.Ruling{}, err
	}
	e.attend(id, wake, first.AttachedKey)
	defer e.unattend(id, wake)
	for {
		r, err := e.Request(context.WithoutCancel(ctx), id)
		if err != nil {
			return spend.Ruling{}, err
		}
		if r.State == spend.Canceled && r.ReplacedBy != "" {
			return spend.Ruling{Next: spend.Begin, Request: r}, nil // which goes on with what replaced it
		}
		if r.State != spend.Held {
			return spend.Ruling{Next: after(r.State), Request: r}, nil
		}
		lapse := time.NewTimer(r.Deadline.Sub(e.clock()))
		select {
		case <-wake:
		case <-lapse.C:
		case <-ctx.Done():
			lapse.Stop()
			e.leave(&first)
			return spend.Ruling{Next: spend.Await, Request: r}, nil
		case <-e.closing:
			lapse.Stop()
			return spend.Ruling{Next: spend.Await, Request: r}, nil
		}
		lapse.Stop()
	}
}

// after is what a caller that comes upon a request in state s does with it.
func after(s spend.State) spend.Next {
	switch s {
	case spend.Held:
		return spend.Await
	case spend.Authorized:
		return spend.Begin
	case spend.Executing:
		return spend.Follow
	case spend.Settled:
		return spend.Replay
	case spend.Denied, spend.Failed, spend.Expired, spend.Canceled:
		return spend.Refuse
	}
	return spend.Refuse
}

func (e *Engine) attend(id spend.ID, wake chan struct{}, key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiters[id] == nil {
		e.waiters[id] = make(map[chan struct{}]string)
	}
	e.waiters[id][wake] = key
}

func (e *Engine) unattend(id spend.ID, wake chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.waiters[id], wake)
	if len(e.waiters[id]) == 0 {
		delete(e.waiters, id)
	}
}

// departure is a call that stopped waiting before anybody decided.
type departure struct {
	attempt  int // of those that attached to its request
	attached time.Time
}

// leave notes that the call which attached last to r, as it saw r, waits no more.
func (e *Engine) leave(r *spend.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.left) >= maxLeft {
		now := e.clock()
		maps.DeleteFunc(e.left, func(_ spend.ID, d departure) bool { return now.Sub(d.attached) >= attachGrace })
	}
	e.left[r.ID] = departure{r.Attempts, r.AttachedAt}
}

// hasLeft reports whether the call that attached to r last is known to wait no
// more.
func (e *Engine) hasLeft(r *spend.Request) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.left[r.ID].attempt >= r.Attempts
}

// attended reports whether a live call other than one of key waits for id.
func (e *Engine) attended(id spend.ID, key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.waiters[id] {
		if k != key || key == "" {
			return true
		}
	}
	return false
}

func (e *Engine) wake(r *spend.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := range e.waiters[r.ID] {
		select {
		case w <- struct{}{}:
		default: // it has been woken and has not looked yet
		}
	}
	for w := range e.watch {
		select {
		case w <- r.Clone():
		default: // a watcher that does not keep up misses some; it lists to catch up
		}
	}
}

// Watch sends every request that changes, as it then is, until stop is called, which
// closes the channel.
// A receiver that falls more than 64 behind misses some.
func (e *Engine) Watch() (changes <-chan spend.Request, stop func()) {
	w := make(chan spend.Request, 64)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watch[w] = struct{}{}
	return w, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if _, ok := e.watch[w]; ok {
			delete(e.watch, w)
			close(w)
		}
	}
}
