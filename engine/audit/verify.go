package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// pageSize is how many keys are read at a time.
const pageSize = 256

// Scope says what a verification looks at, and what the anchor said before the
// snapshot that is looked at was taken: an anchor read later may be ahead of it.
type Scope struct {
	// Whole asks for every entry and every value. Otherwise it is the entries
	// since the last checkpoint whose MAC is right, and what these wrote.
	Whole     bool
	Anchor    Mark  // what Anchor.Read returned
	AnchorErr error // or its error
	// Unanchored says that the chain has no anchor by design, as in memory.
	Unanchored bool
}

// Inspect verifies the chain in s against the anchor a, nil for none. An error means that it
// could not be done; what is wrong with the ledger is in the report. It holds
// one snapshot of s all along, and ends early when ctx does.
func (c *Chain) Inspect(ctx context.Context, s store.Store, a *Anchor, whole bool) (Report, error) {
	scope := Scope{Whole: whole, Unanchored: a == nil}
	if a != nil {
		scope.Anchor, scope.AnchorErr = a.Read()
	}
	var rep Report
	err := s.View(ctx, func(r store.Reader) (err error) { rep, err = c.Verify(ctx, r, scope); return err })
	return rep, err
}

// Verify is Inspect on one snapshot.
func (c *Chain) Verify(ctx context.Context, r store.Reader, scope Scope) (Report, error) {
	v := &verifier{Chain: c, ctx: ctx, r: r, scope: scope, rep: Report{Whole: scope.Whole, Anchor: scope.Anchor}}
	if err := v.run(); err != nil {
		return Report{}, fmt.Errorf("verify audit chain: %w", err)
	}
	v.rep.sort()
	return v.rep, nil
}

// verifier is one verification under way.
type verifier struct {
	*Chain
	ctx   context.Context
	r     store.Reader
	scope Scope
	rep   Report
	ended bool // rep.Head is the chain's true end

	next    uint64 // sequence that comes next
	last    Entry  // the sound entry before it, if linked
	linked  bool   // last.Hash is what the next entry must carry
	beyond  uint64 // first entry behind the end
	trusted uint64 // the last entry that a signed mark vouches for
	met     bool   // the anchor's entry was walked and is the right one
}

func (v *verifier) fault(seq uint64, request spend.ID, kind FaultKind, format string, args ...any) {
	v.rep.add(Fault{Seq: seq, Request: request, Kind: kind, Text: fmt.Sprintf(format, args...)})
}

func (v *verifier) run() error {
	begun, err := v.readHead()
	if err != nil {
		return err
	}
	if !begun {
		return v.withoutChain()
	}
	var from Mark
	if !v.scope.Whole {
		if from, err = v.checkpointBefore(); err != nil {
			return err
		}
	}
	if err := v.walk(from); err != nil {
		return err
	}
	if err := v.holdAnchor(from); err != nil {
		return err
	}
	if !v.rep.chainSound() {
		return nil // what the entries say of the values is worth nothing
	}
	if v.scope.Whole {
		return v.compareAll()
	}
	return v.compareSince(from)
}

// readHead reads the chain's end, and reports whether there is a chain at all.
func (v *verifier) readHead() (begun bool, err error) {
	value, err := v.r.Get(v.prefix + headKey)
	if errors.Is(err, store.ErrNotFound) {
		page, err := v.r.Scan(v.prefix+entryPrefix, "", false, 1)
		if err == nil && len(page) > 0 {
			v.fault(0, "", HeadBad, "the chain's head is missing: where the ledger ended is not known")
		}
		return len(page) > 0, err
	} else if err != nil {
		return false, err
	}
	m, err := decodeMark(value)
	switch {
	case err != nil:
		v.fault(0, "", HeadBad, "the chain's head was damaged: %v", err)
	case !v.signed(m, labelHead):
		v.rep.Head = m
		v.fault(0, "", HeadBad, "the chain's head, at entry %d, was altered, or the ledger was written with another key", m.Seq)
	default:
		v.rep.Head, v.ended = m, true
	}
	return true, nil
}

// withoutChain judges a ledger that has not one entry.
func (v *verifier) withoutChain() error {
	page, _, err := v.covered(v.r, "", pageSize)
	if err != nil {
		return err
	}
	if len(page) > 0 {
		v.fault(0, "", NoChain, "the ledger has records but no audit chain: the chain was deleted, or a version without one wrote it")
	}
	switch {
	case v.scope.Unanchored:
	case v.scope.AnchorErr == nil:
		v.fault(1, "", RolledBack, "the ledger has no audit chain but was at entry %d when it was last anchored (%s): it was deleted or exchanged",
			v.scope.Anchor.Seq, stamp(v.scope.Anchor.At))
	case !errors.Is(v.scope.AnchorErr, fs.ErrNotExist):
		v.fault(0, "", AnchorBad, "%v", v.scope.AnchorErr)
	}
	return nil
}

// checkpointBefore returns the last checkpoint of this chain, or the zero Mark.
func (v *verifier) checkpointBefore() (Mark, error) {
	for after := ""; ; {
		page, err := v.r.Scan(v.prefix+markPrefix, after, true, 16)
		if err != nil || len(page) == 0 {
			return Mark{}, err
		}
		for _, en := range page {
			after = en.Key
			m, err := decodeMark(en.Value)
			if err == nil && v.signed(m, labelCheckpoint) && en.Key == v.markKey(m.Seq) &&
				(!v.ended || m.Seq <= v.rep.Head.Seq && m.Ledger == v.rep.Head.Ledger) {
				return m, nil
			}
		}
	}
}

// walk looks at every entry behind from, and at the chain's end.
func (v *verifier) walk(from Mark) error {
	v.next, v.trusted = from.Seq+1, from.Seq
	v.last, v.linked = Entry{Seq: from.Seq, Hash: from.Hash}, true
	for s, err := range v.stored(v.r, from.Seq) {
		if err == nil {
			err = v.ctx.Err()
		}
		if err == nil {
			err = v.look(&s)
		}
		if err != nil {
			return err
		}
	}
	head := v.rep.Head.Seq
	switch {
	case v.beyond > 0:
		v.fault(v.beyond, "", EntryBeyond, "entry %d and what follows it are behind the chain's end, at entry %d: the head was set back", v.beyond, head)
	case !v.ended:
	case v.next <= head:
		v.missing(v.next, head)
	case v.linked && v.last.Hash != v.rep.Head.Hash:
		v.replaced(v.last, "the chain's head is another")
	}
	return nil
}

// look looks at one entry.
func (v *verifier) look(s *stored) error {
	v.rep.Entries++
	seq := s.seq
	if seq == 0 {
		v.fault(0, "", EntryMisplaced, "%.80q stands where an entry should and is none", s.key)
		return nil
	}
	if v.ended && seq > v.rep.Head.Seq {
		if v.beyond == 0 {
			v.beyond = seq
		}
		return nil
	}
	if seq < v.next && s.err == nil {
		v.fault(seq, s.request(), EntryMisplaced, "%s stands twice, the second time behind entry %d", entryName(seq, s.request()), v.next-1)
		return nil
	}
	if seq > v.next {
		v.missing(v.next, seq-1)
		v.linked = false
	}
	v.next = max(v.next, seq+1)
	switch {
	case s.err != nil:
		v.fault(seq, "", EntryAltered, "entry %d was altered: it cannot be read (%v)", seq, s.err)
	case !s.sound():
		v.fault(seq, s.Request, EntryAltered, "%s was altered: its content does not give its hash", entryName(seq, s.Request))
	case s.Seq != seq:
		v.fault(seq, "", EntryMisplaced, "entry %d was altered: entry %d stands in its place", seq, s.Seq)
	default:
		return v.follow(s.Entry)
	}
	v.linked = false
	return nil
}

// follow holds an entry that is sound in itself against what it must follow from
// and against the marks at its place.
func (v *verifier) follow(e Entry) error {
	if v.linked && e.Prev != v.last.Hash {
		if e.Seq == 1 {
			v.fault(1, e.Request, EntryReplaced, "%s was replaced: it is not the beginning of a chain", entryName(1, e.Request))
		} else {
			v.replaced(v.last, fmt.Sprintf("entry %d does not follow from it", e.Seq))
		}
	}
	v.last, v.linked = e, true
	if v.anchored() && e.Seq == v.scope.Anchor.Seq {
		if v.met = e.Hash == v.scope.Anchor.Hash; v.met {
			v.trusted = e.Seq
		}
	}
	if e.Seq%v.step != 0 {
		return nil
	}
	value, err := v.r.Get(v.markKey(e.Seq))
	if errors.Is(err, store.ErrNotFound) {
		v.fault(e.Seq, "", CheckpointBad, "the checkpoint at entry %d is missing", e.Seq)
		return nil
	} else if err != nil {
		return err
	}
	m, err := decodeMark(value)
	switch {
	case err != nil || m.Seq != e.Seq || !v.signed(m, labelCheckpoint):
		v.fault(e.Seq, "", CheckpointBad, "the checkpoint at entry %d was altered", e.Seq)
	case m.Hash != e.Hash:
		v.replaced(e, "its checkpoint is of another")
	default:
		v.trusted = e.Seq
	}
	return nil
}

// missing reports entries that are not there.
func (v *verifier) missing(from, to uint64) {
	v.fault(from, "", EntryMissing, "%s %s missing", span(from, to), are(from, to))
	v.linked = false
}

// replaced reports an entry that is sound in itself, and yet not the one that was
// written. Who computes one hash anew can compute those before it as well, so
// the entries since the last signed mark are in doubt with it.
func (v *verifier) replaced(e Entry, because string) {
	f := Fault{Seq: e.Seq, Request: e.Request, Kind: EntryReplaced}
	perhaps := ""
	if f.From = v.trusted + 1; f.From < e.Seq {
		perhaps = fmt.Sprintf(", and perhaps others back to entry %d", f.From)
	} else {
		f.From = 0
	}
	f.Text = fmt.Sprintf("%s was replaced%s: %s", entryName(e.Seq, e.Request), perhaps, because)
	v.rep.add(f)
}

// anchored reports whether there is an anchor to hold the chain against, and it
// is of this ledger as far as can be told.
func (v *verifier) anchored() bool {
	return !v.scope.Unanchored && v.scope.AnchorErr == nil && (v.rep.Head.Ledger.IsZero() || v.rep.Head.Ledger == v.scope.Anchor.Ledger)
}

// holdAnchor holds the chain, walked from the mark from, against the anchor.
func (v *verifier) holdAnchor(from Mark) error {
	a, end := v.scope.Anchor, v.rep.Head.Seq
	if !v.ended {
		end = v.next - 1
	}
	switch {
	case v.scope.Unanchored:
		return nil
	case errors.Is(v.scope.AnchorErr, fs.ErrNotExist):
		if end > 1 { // outgo stops between its first commit and its first anchor at most
			v.fault(0, "", AnchorMissing, "the anchor file is missing: whether the ledger, at entry %d, was set back cannot be told", end)
		}
		return nil
	case v.scope.AnchorErr != nil:
		v.fault(0, "", AnchorBad, "%v", v.scope.AnchorErr)
		return nil
	case !v.anchored():
		v.fault(0, "", OtherLedger, "this is another ledger than the one that was anchored (%s): the database was exchanged, or the anchor file was", stamp(a.At))
		return nil
	case a.Seq > end:
		v.fault(end+1, "", RolledBack, "the ledger ends at entry %d but was at entry %d when it was last anchored (%s): it was rolled back, or its end was cut off", end, a.Seq, stamp(a.At))
		return nil
	case v.met:
		return nil
	}
	// The entry was not walked, or is another one, or is bad, which was said.
	s, err := v.entryAt(v.r, a.Seq)
	switch {
	case err != nil:
		return err
	case s.seq == 0:
		if a.Seq <= from.Seq {
			v.missing(a.Seq, a.Seq)
		}
	case s.sound() && s.Hash == a.Hash:
	case s.sound() && s.Seq == a.Seq:
		v.fault(a.Seq, s.Request, Parted, "%s is not the one that was anchored (%s): the ledger was set back, and written anew since", entryName(a.Seq, s.Request), stamp(a.At))
	case a.Seq <= from.Seq:
		v.fault(a.Seq, "", EntryAltered, "entry %d was altered: it is not the one that was anchored", a.Seq)
	}
	return nil
}

// sequenceOf reads the end of an entry's key.
func sequenceOf(s string) (uint64, bool) {
	if len(s) != digits || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n > 0
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
