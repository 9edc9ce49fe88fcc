package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Filter picks requests. Empty fields pick everything.
type Filter struct {
	Agent    string
	Merchant string // normal form; equal or a subdomain
	Decision spend.Decision
	State    spend.State
	From, To time.Time // of creation; To is exclusive
	Text     string    // in ids, operation, payee, merchant, reason, receipts; any case
	Held     bool      // only what waits for a person
	Where    func(*spend.Request) bool
	Cursor   string // opaque, from the page before
	Limit    int    // 0 = 50, at most 200
}

// Page is one page of requests, newest first, and the cursor of the next page,
// "" at the end.
type Page struct {
	Requests []spend.Request
	Next     string
}

// maxLooked bounds how many requests one call looks at; a page that ends there may
// be short, or empty, and yet have a next one.
const maxLooked = 5000

// Requests lists requests, newest first.
func (e *Engine) Requests(ctx context.Context, f Filter) (Page, error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 200)
	with, below := anyMark, uint64(latest)
	if f.Held { // every held request is an open one
		with = openMark
	}
	if f.Cursor != "" {
		var err error
		below, err = strconv.ParseUint(f.Cursor, 10, 64)
		if err != nil || ordered(below) != f.Cursor {
			return Page{}, fmt.Errorf("list requests: cursor %.40q: %w: take it from the page before", f.Cursor, spend.Invalid)
		}
	}
	var page Page
	looked := 0
	err := e.view(ctx, func(r store.Reader) error {
		for l, err := range e.keys.newest(r, with, below) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			if looked++; looked > maxLooked {
				page.Next = ordered(l.seq + 1)
				return nil
			}
			q, err := e.load(r, l.id)
			if err != nil {
				return err
			}
			q = e.shown(q)
			if !f.From.IsZero() && q.Created.Before(f.From) {
				return nil // older ones only from here on
			}
			if !f.picks(&q) {
				continue
			}
			if len(page.Requests) == f.Limit {
				// This one opens the next page: its cursor is just newer.
				last := page.Requests[f.Limit-1]
				page.Next = ordered(last.Seq)
				return nil
			}
			page.Requests = append(page.Requests, q)
		}
		return nil
	})
	return page, err
}

func (f *Filter) picks(q *spend.Request) bool {
	switch {
	case f.Agent != "" && q.Intent.Agent != f.Agent,
		f.Decision != "" && q.Verdict.Decision != f.Decision,
		f.State != "" && q.State != f.State,
		f.Held && q.State != spend.Held,
		f.Where != nil && !f.Where(q),
		!f.To.IsZero() && !q.Created.Before(f.To):
		return false
	}
	if f.Merchant != "" && !f.atMerchant(q) {
		return false
	}
	return f.Text == "" || strings.Contains(strings.ToLower(haystack(q)), strings.ToLower(f.Text))
}

func (f *Filter) atMerchant(q *spend.Request) bool {
	want := spend.NormalMerchant(f.Merchant)
	for _, l := range q.Intent.Legs {
		if m := spend.NormalMerchant(l.Merchant); m == want || strings.HasSuffix(m, "."+want) {
			return true
		}
	}
	return false
}

// haystack is the text that a search looks through.
func haystack(q *spend.Request) string {
	parts := []string{string(q.ID), q.Intent.Agent, q.Intent.Operation, q.Intent.Object, q.Intent.Claims.Reason, q.Intent.Claims.Task}
	for _, l := range q.Intent.Legs {
		parts = append(parts, l.Payee, l.Merchant, l.Category, l.Amount.String())
	}
	for _, rc := range q.Receipts {
		parts = append(parts, rc.TransactionID, rc.RequestID)
	}
	return strings.Join(parts, "\n")
}

// Preview is the verdict that in would get now. It changes nothing.
func (e *Engine) Preview(ctx context.Context, in spend.Intent) (v spend.Verdict, err error) {
	err = e.view(ctx, func(r store.Reader) error {
		set, err := e.readPolicies(r)
		if err != nil {
			return err
		}
		v, err = e.judge(r, set, &in, spend.Wire, false)
		return err
	})
	return v, err
}

// Stats is a snapshot for metrics.
type Stats struct {
	Batches  uint64 // commits
	Failures uint64 // commits that failed
	Bytes    uint64 // written by those that did not
	Latency  Tally  // of commits, in microseconds
	Sizes    Tally  // of commits, in actions
	Waiting  int    // live calls that wait for a person
	Stopped  bool   // the ledger refuses everything
	Frozen   bool   // all or some spending is frozen
	Unfit    string // why outgo itself has stopped all spending; "" = it has not
	// Unknown is how many payments had been executing for longer than a call
	// takes when the last Inquiry looked, and Reconciled what the questions about
	// them came to: "settled", "failed", "unproved", "unanswered" (the provider
	// gave no usable answer) or "nobody" (there is nobody to ask).
	Unknown    int
	Reconciled map[string]uint64
}

// Stats returns counters since the start.
func (e *Engine) Stats() Stats {
	c := e.commit
	c.mu.Lock()
	s := Stats{
		Batches: c.stats.sizes.Count(), Failures: c.stats.failures, Bytes: c.stats.bytes, Stopped: c.stopped != nil,
		Latency: c.stats.latency.clone(), Sizes: c.stats.sizes.clone(),
	}
	c.mu.Unlock()
	q := &e.inquired
	s.Unknown = int(q.unknown.Load())
	s.Reconciled = map[string]uint64{
		"settled": q.settled.Load(), "failed": q.failed.Load(), "unproved": q.unproved.Load(),
		"unanswered": q.unanswered.Load(), "nobody": q.nobody.Load(),
	}
	if set := e.policies.Load(); set != nil {
		c := set.control
		s.Frozen = c.Frozen || len(c.FrozenAgents) > 0 || len(c.FrozenRails) > 0
	}
	s.Unfit = e.unfit()
	s.Frozen = s.Frozen || s.Unfit != ""
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.waiters {
		s.Waiting += len(w)
	}
	return s
}
