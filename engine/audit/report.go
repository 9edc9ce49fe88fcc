package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/spend"
)

// FaultKind says what is wrong in one place.
type FaultKind string

// The kinds of fault. Those that AnchorOnly names say that the anchor disagrees
// with a chain that may be sound in itself.
const (
	EntryAltered   FaultKind = "entry-altered"   // its content does not give its hash
	EntryMissing   FaultKind = "entry-missing"   // one entry, or several in a row
	EntryMisplaced FaultKind = "entry-misplaced" // another entry stands in its place
	EntryReplaced  FaultKind = "entry-replaced"  // it is sound, but the chain does not go through it
	EntryBeyond    FaultKind = "entry-beyond"    // it is behind the chain's end
	CheckpointBad  FaultKind = "checkpoint-bad"  // missing, altered, or not on the chain
	HeadBad        FaultKind = "head-bad"        // missing, altered, or not on the chain
	NoChain        FaultKind = "no-chain"        // values, but not one entry
	ValueAltered   FaultKind = "value-altered"   // not what its last entry recorded
	ValueMissing   FaultKind = "value-missing"   // recorded, and gone
	ValueUnknown   FaultKind = "value-unknown"   // there, and never recorded
	RolledBack     FaultKind = "rolled-back"     // the ledger ends before its anchor
	Parted         FaultKind = "parted"          // another entry stands where the anchor was
	OtherLedger    FaultKind = "other-ledger"    // the anchor is of another ledger
	AnchorMissing  FaultKind = "anchor-missing"
	AnchorBad      FaultKind = "anchor-bad" // altered, or of another key
)

// AnchorOnly reports whether the kind is about the anchor, as it is when a
// backup was restored.
func (k FaultKind) AnchorOnly() bool {
	switch k {
	case RolledBack, Parted, OtherLedger, AnchorMissing, AnchorBad:
		return true
	default:
		return false
	}
}

// value reports whether the kind is about a value of the ledger.
func (k FaultKind) value() bool { return k == ValueAltered || k == ValueMissing || k == ValueUnknown }

// Fault is one thing that is wrong, in words for an operator.
type Fault struct {
	Seq     uint64    `json:"sequence"`       // the first entry that is wrong; 0 = the ledger as a whole
	From    uint64    `json:"from,omitempty"` // where those before it may be too, since when
	Request spend.ID  `json:"request,omitempty"`
	Kind    FaultKind `json:"kind"`
	Text    string    `json:"text"`
}

// String returns the text.
func (f Fault) String() string { return f.Text }

// maxFaults bounds a report: the first so many are kept.
const maxFaults = 100

// Report is the result of a verification.
type Report struct {
	Whole   bool    `json:"whole"` // everything was looked at, not what is recent only
	Head    Mark    `json:"head"`  // where the chain stands
	Anchor  Mark    `json:"anchor,omitzero"`
	Entries uint64  `json:"entries"`          // that were walked
	Values  uint64  `json:"values"`           // of the ledger that were compared
	Faults  []Fault `json:"faults,omitempty"` // the first hundred; the first bad entry first
	More    int     `json:"more,omitempty"`   // faults beyond those
}

// Sound reports whether nothing is wrong.
func (r *Report) Sound() bool { return len(r.Faults) == 0 }

// Err returns nil for a sound report, else an error that wraps ErrBroken and
// names the first fault.
func (r *Report) Err() error {
	if r.Sound() {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrBroken, r.Faults[0])
}

// String says the result in a few lines.
func (r *Report) String() string {
	var b strings.Builder
	scope := "since the last checkpoint"
	if r.Whole {
		scope = "in all"
	}
	if r.Sound() {
		fmt.Fprintf(&b, "sound: %d entries and %d values %s; the chain ends at entry %d", r.Entries, r.Values, scope, r.Head.Seq)
		return b.String()
	}
	fmt.Fprintf(&b, "NOT sound: %d found (%d entries and %d values looked at %s)", len(r.Faults)+r.More, r.Entries, r.Values, scope)
	for i, f := range r.Faults {
		if i == 10 {
			fmt.Fprintf(&b, "\n- and %d more", len(r.Faults)+r.More-i)
			break
		}
		b.WriteString("\n- " + f.Text)
	}
	return b.String()
}

// add takes a fault in. Which faults are kept does not depend on the order in
// which they are found.
func (r *Report) add(f Fault) {
	if r.Faults = append(r.Faults, f); len(r.Faults) >= 2*maxFaults {
		r.sort()
	}
}

// sort orders the faults and drops those beyond the bound. What is wrong with
// the ledger as a whole comes first, then the entries in their order, then the
// values in that of the entries that wrote them.
func (r *Report) sort() {
	slices.SortStableFunc(r.Faults, func(a, b Fault) int {
		if a.Kind.value() != b.Kind.value() {
			if a.Kind.value() {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), strings.Compare(a.Text, b.Text))
	})
	if over := len(r.Faults) - maxFaults; over > 0 {
		r.Faults, r.More = r.Faults[:maxFaults], r.More+over
	}
}

// chainSound reports whether every fault is about the anchor.
func (r *Report) chainSound() bool {
	return r.More == 0 && !slices.ContainsFunc(r.Faults, func(f Fault) bool { return !f.Kind.AnchorOnly() })
}

// entryName names an entry and its request.
func entryName(seq uint64, request spend.ID) string {
	if request == "" {
		return fmt.Sprintf("entry %d", seq)
	}
	return fmt.Sprintf("entry %d (request %s)", seq, plain(string(request)))
}

// plain returns an id as it is when it looks like one, else quoted: what was
// altered may hold anything, and is read on a terminal.
func plain(id string) string {
	const ordinary = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	if len(id) <= 64 && strings.Trim(id, ordinary) == "" {
		return id
	}
	return fmt.Sprintf("%.64q", id)
}

// span names entries in a row.
func span(from, to uint64) string {
	if from >= to {
		return fmt.Sprintf("entry %d", from)
	}
	return fmt.Sprintf("entries %d to %d", from, to)
}

// are is the verb for span.
func are(from, to uint64) string {
	if from >= to {
		return "is"
	}
	return "are"
}
