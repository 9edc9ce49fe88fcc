package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Reconciler asks providers what became of a payment that was sent. It makes reads
// only, whatever it finds.
type Reconciler interface {
	// Ask returns what the provider proves: Uncertain where it proves nothing. It
	// fails with spend.NotFound where nobody can be asked, and otherwise with
	// spend.Unavailable.
	Ask(ctx context.Context, r *spend.Request) (spend.Outcome, error)
}

const (
	lookEvery = 5 * time.Second
	// maxAsking bounds the questions that are open at one time.
	maxAsking = 4
	// maxUnknown bounds the payments that are asked about in one pass, oldest first.
	maxUnknown = 4096
	// bookWithin bounds the recording of one answer.
	bookWithin = 10 * time.Second
)

// askedAt is how long after its begin a payment is asked about: soon, since an
// answer frees the budget and its object, then more and more seldom. From the last
// of these on it is asked hourly, for a day.
func askedAt() []time.Duration {
	return []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, time.Hour}
}

const askedFor = 24 * time.Hour

// nextAsk returns the first time after age at which a payment is asked about, or
// zero when it is no longer.
func nextAsk(age time.Duration) time.Duration {
	steps := askedAt()
	for _, s := range steps {
		if s > age {
			return s
		}
	}
	if next := age.Truncate(time.Hour) + time.Hour; next <= askedFor {
		return next
	}
	return 0
}

// Inquiry settles payments of unknown outcome by what their providers say. What it
// remembers is lost with the process, and every open question is then asked once
// more.
type Inquiry struct {
	e    *Engine
	rec  Reconciler
	next map[spend.ID]time.Time // of every unknown one; zero for no more
	most int                    // asked about in one pass
}

// inquired is what inquiries have come to; see Stats.
type inquired struct {
	unknown                                       atomic.Int64
	settled, failed, unproved, unanswered, nobody atomic.Uint64
}

// Inquire returns an Inquiry that asks rec.
func (e *Engine) Inquire(rec Reconciler) *Inquiry {
	return &Inquiry{e: e, rec: rec, next: map[spend.ID]time.Time{}, most: maxUnknown}
}

// Run makes a pass every few seconds until ctx ends.
func (q *Inquiry) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// A pass that failed is made again at the next tick; until then what is
			// unknown stays counted.
			_ = q.Pass(ctx)
		}
	}
}

// Pass asks about every payment that is due, and records what is proved. It is not
// to be called twice at a time.
func (q *Inquiry) Pass(ctx context.Context) error {
	now := q.e.clock()
	next := make(map[spend.ID]time.Time, len(q.next))
	executing := 0
	due, err := q.e.unknown(ctx, now, q.most, func(id spend.ID, s spend.State) (waits bool) {
		at, known := q.next[id]
		if known && !at.IsZero() && !at.After(now) {
			return false
		}
		if known {
			next[id] = at
			executing += oneIf(s == spend.Executing)
		}
		return known
	})
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	for i := range due {
		r := &due[i]
		executing += oneIf(r.State == spend.Executing)
		next[r.ID] = time.Time{}
		if after := nextAsk(now.Sub(r.Began)); after > 0 {
			next[r.ID] = r.Began.Add(after)
		}
	}
	q.e.inquired.unknown.Store(int64(executing))
	q.next = next

	var wg sync.WaitGroup
	slots := make(chan struct{}, maxAsking)
	failed := make([]error, len(due))
	for i := range due {
		if ctx.Err() != nil {
			break
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			failed[i] = q.ask(ctx, &due[i])
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

func oneIf(is bool) int {
	if is {
		return 1
	}
	return 0
}

// ask asks about one payment and books the answer. Only a failure to book is an
// error: whoever cannot be asked now is asked again.
func (q *Inquiry) ask(ctx context.Context, r *spend.Request) error {
	o, err := q.put(ctx, r)
	n := &q.e.inquired
	switch {
	case errors.Is(err, spend.NotFound):
		n.nobody.Add(1)
		return nil
	case err != nil:
		n.unanswered.Add(1)
		return nil //nolint:nilerr // see above
	case o.Result == spend.DidNot && r.State == spend.Failed:
		n.failed.Add(1) // as the operator said
		return nil
	case o.Result != spend.Happened && o.Result != spend.DidNot:
		n.unproved.Add(1)
		return nil
	}
	o.Receipt.Source, o.Reply = spend.FromProvider, nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookWithin)
	defer cancel()
	if err := q.e.Finish(ctx, r.ID, o); err != nil {
		return fmt.Errorf("reconcile request %s: %w", r.ID, err)
	}
	if o.Result == spend.Happened {
		n.settled.Add(1)
	} else {
		n.failed.Add(1)
	}
	return nil
}

// put asks. A reconciler that panics has proved nothing.
func (q *Inquiry) put(ctx context.Context, r *spend.Request) (o spend.Outcome, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("reconcile request %s: panic: %v: %w", r.ID, v, spend.Unavailable)
		}
	}()
	return q.rec.Ask(ctx, r)
}

// unknown returns the payments that have been executing for longer than a call
// takes, oldest first, and then those that have failed on an operator's word; at
// most so many, and none that waits. Those that wait must not take the place
// of others: after an hour without a provider there are thousands, for good.
func (e *Engine) unknown(ctx context.Context, now time.Time, most int, waits func(spend.ID, spend.State) bool) (found []spend.Request, err error) {
	err = e.view(ctx, func(r store.Reader) error {
		look := func(id spend.ID, s spend.State) error {
			if waits(id, s) || len(found) >= most {
				return nil
			}
			q, err := e.load(r, id)
			if err == nil && q.State == s && q.Intent.Class != spend.Other && now.Sub(q.Began) >= askedAt()[0] {
				found = append(found, q)
			}
			return err
		}
		for l, err := range e.keys.oldest(r, openMark) {
			if err == nil {
				err = look(l.id, spend.Executing)
			}
			if err != nil {
				return err
			}
		}
		for after := ""; ; {
			words, err := r.Scan(e.keys.words(), after, false, 256)
			if err != nil {
				return err
			}
			for _, en := range words {
				after = en.Key
				if err := look(spend.ID(en.Value), spend.Failed); err != nil {
					return err
				}
			}
			if len(words) < 256 {
				break
			}
		}
		return nil
	})
	return found, err
}

// doubtWord has the provider asked about r, which has failed on an operator's word
// alone: its money is given back, and a mistake would let it be spent twice.
func (e *Engine) doubtWord(t *txn, r *spend.Request) error {
	until := r.Began.Add(askedFor)
	if r.Intent.Class == spend.Other || !until.After(t.now) {
		return nil
	}
	if err := t.Put(e.keys.word(r.Seq), []byte(r.ID)); err != nil {
		return err
	}
	return t.Put(e.keys.due(until, dueWord, r.ID), nil)
}

// expectReceipt has r flagged when its receipt is overdue.
func (e *Engine) expectReceipt(t *txn, r *spend.Request) error {
	if r.State != spend.Executing || r.Intent.Class == spend.Other || slices.Contains(r.Anomalies, spend.MissingReceipt) {
		return nil
	}
	return t.Put(e.keys.due(r.Began.Add(e.opt.ReceiptWithin), dueReceipt, r.ID), nil)
}

// miss flags r if it still lacks its receipt.
func (e *Engine) miss(t *txn, r *spend.Request) error {
	if r.State != spend.Executing || slices.Contains(r.Anomalies, spend.MissingReceipt) {
		return nil
	}
	e.flag(t, r, spend.MissingReceipt)
	return e.save(t, r, deed{event: flagged, from: r.State, who: itself, note: string(spend.MissingReceipt)})
}

// flag adds an anomaly to r, unless it has it, and tells of it once it is durable.
func (e *Engine) flag(t *txn, r *spend.Request, a spend.Anomaly) {
	if slices.Contains(r.Anomalies, a) {
		return
	}
	r.Anomalies = append(r.Anomalies, a)
	if e.opt.Flagged != nil {
		id, rail, agent := r.ID, r.Intent.Rail, r.Intent.Agent
		t.then(func() { e.opt.Flagged(Flagged{Request: id, Rail: rail, Agent: agent, Anomaly: a}) })
	}
}

// Flagged is an anomaly that was found on a request.
type Flagged struct {
	Request spend.ID
	Rail    string
	Agent   string
	Anomaly spend.Anomaly
}
