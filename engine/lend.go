package engine

import "github.com/outgo/outgo/engine/store"

var _ store.Lender = (*txn)(nil)

// lent is memory that values are written to which are mostly written again by the next
// action, such as counters. It is good until the batch is over: who keeps such a value
// for longer keeps a copy.
type lent struct{ room []byte }

// The room begins with what an action or two need, and grows to what a full batch does.
const (
	lentFirst = 8 << 10
	lentMost  = 256 << 10
)

// lend returns empty memory for n bytes, which nobody else has.
func (l *lent) lend(n int) []byte {
	if cap(l.room)-len(l.room) < n {
		size := min(max(lentFirst, 2*cap(l.room)), lentMost)
		l.room = make([]byte, 0, max(n, size)) // what was lent before stays where it is
	}
	from := len(l.room)
	l.room = l.room[:from+n]
	return l.room[from:from:len(l.room)]
}

// takeBack ends the use of all that was lent.
func (l *lent) takeBack() { l.room = l.room[:0] }

// Lend implements store.Lender.
func (t *txn) Lend(n int) []byte { return t.lent.lend(n) }

// PutLent implements store.Lender.
func (t *txn) PutLent(key string, value []byte) error {
	t.bytes += len(key) + len(value)
	t.writes.put(written{key: key, value: value, lent: true})
	return nil
}
