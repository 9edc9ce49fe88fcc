package engine

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Report is what a verification of a ledger's history found.
type Report = audit.Report

// History is a ledger's audit chain with the anchor that stands outside of the
// store. It reads a ledger whether or not an Engine would open it.
type History struct {
	store  store.Store
	chain  *audit.Chain
	anchor *audit.Anchor // nil for none
	clock  func() time.Time
}

// NewHistory returns the history of the ledger that opt describes, without
// looking at it.
func NewHistory(opt Options) *History {
	opt = opt.withDefaults()
	h := &History{
		store: opt.Store, clock: opt.Clock,
		chain: audit.New(newKeys(opt.Workspace).prefix, opt.Sealer.Digest),
	}
	if opt.AnchorPath != "" {
		h.anchor = h.chain.Anchor(opt.AnchorPath, opt.Alarm)
	}
	return h
}

// Verify looks at every entry and every value of the ledger. An error says that
// this could not be done; what is wrong is in the report.
func (h *History) Verify(ctx context.Context) (Report, error) {
	return h.chain.Inspect(ctx, h.store, h.anchor, true)
}

// Export writes every entry to w with what is wrong with it, as "json" or "csv".
// It fails with spend.Invalid on another format.
func (h *History) Export(ctx context.Context, w io.Writer, format string) error {
	rep, err := h.Verify(ctx)
	if err != nil {
		return err
	}
	return h.store.View(ctx, func(r store.Reader) error { return h.chain.Write(w, audit.Format(format), r, &rep) })
}

// Accept takes an operator's word that the ledger is a restored backup: it says so
// in the chain and moves the anchor to where the ledger stands. Nothing else may
// have the ledger open. It fails as audit.Chain.Accept does.
func (h *History) Accept(ctx context.Context, who string) (Report, error) {
	if h.anchor == nil {
		return Report{}, fmt.Errorf("accept restored ledger: %w: it has no anchor", spend.InvalidState)
	}
	found, err := h.Verify(ctx)
	if err != nil {
		return found, err
	}
	at := h.clock()
	err = h.store.Update(ctx, func(tx store.Tx) error { return h.chain.Accept(tx, found, at, who) })
	if err != nil {
		return found, err
	}
	return found, h.writeAnchor(ctx)
}

// writeAnchor puts where the chain stands in the anchor file.
func (h *History) writeAnchor(ctx context.Context) error {
	if h.anchor == nil {
		return nil
	}
	var head audit.Mark
	err := h.store.View(ctx, func(r store.Reader) (err error) { head, err = h.chain.Head(r); return err })
	if err != nil {
		return err
	}
	return h.anchor.Write(head)
}

// look verifies the recent end of the chain, which takes milliseconds. Its error
// tells an operator what is wrong and what to do.
func (h *History) look(ctx context.Context) error {
	rep, err := h.chain.Inspect(ctx, h.store, h.anchor, false)
	if err != nil {
		return err
	}
	return verdictOf(&rep)
}

// verdictOf is nil for a sound report, else what is wrong and what to do.
func verdictOf(rep *Report) error {
	err := rep.Err()
	if err == nil {
		return nil
	}
	todo := "nothing is decided on it; `outgo audit verify` lists all that is wrong; restore the ledger's directory from a backup, and leave the anchor as it is"
	for _, f := range rep.Faults {
		if !f.Kind.AnchorOnly() {
			return fmt.Errorf("%w (%d found in all); %s", err, len(rep.Faults)+rep.More, todo)
		}
	}
	return fmt.Errorf("%w; if you have restored it from a backup yourself, say so with `outgo audit accept --restored`; otherwise %s", err, todo)
}

// History returns the audit chain of the ledger.
func (e *Engine) History() *History { return e.history }

// beginHistory looks at the chain before anything is decided on the ledger, and
// begins one where there is nothing yet.
func (e *Engine) beginHistory(ctx context.Context) error {
	if err := e.history.look(ctx); err != nil {
		return err
	}
	err := e.commit.do(ctx, func(t *txn) error {
		head, err := e.history.chain.Head(t)
		if err != nil || head.Seq > 0 {
			return err
		}
		t.record(audit.Entry{Event: audit.Started, Who: itself})
		return putJSON(t, e.keys.control(), control{})
	})
	if err != nil {
		return err
	}
	return e.history.writeAnchor(ctx)
}

// verifyAll verifies the whole of the ledger while it serves, and stops spending
// when something is wrong or it cannot be read.
func (e *Engine) verifyAll(ctx context.Context) {
	err := e.verifyPatiently(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	why := fmt.Errorf("spending is stopped: %w", err)
	e.broken.CompareAndSwap(nil, &why)
	e.opt.Alarm(why)
	// Also for the next start, which looks at the recent end only before it serves.
	if err := e.SetFrozen(ctx, Actor{}, Freeze{}, true); err != nil && ctx.Err() == nil {
		e.opt.Alarm(err)
	}
}

// verifyPatiently verifies the ledger. Where that cannot be done, as while the store
// is opened again, it tries for another half minute.
func (e *Engine) verifyPatiently(ctx context.Context) error {
	var err error
	for range 30 {
		var rep Report
		if rep, err = e.history.Verify(ctx); err == nil {
			return verdictOf(&rep)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
	return err
}

// unfit says why nothing may be spent whatever the policies say, or is "".
func (e *Engine) unfit() string {
	if e.broken.Load() != nil {
		return "the ledger's audit chain is broken, see outgo's log"
	}
	return e.time.jumped()
}
