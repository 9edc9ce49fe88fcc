package audit

import (
	"fmt"
	"iter"
	"slices"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// A Batch is the entries of one transaction. They stand one behind the other under
// one key, that of the first of them, or under a few when they are large: a store
// asks more of a key than of some bytes.
//
// What a batch has written counts once Seal was called; where it was not, it must
// be dropped with the rest of the transaction.
type Batch struct {
	chain *Chain
	head  Mark
	first uint64 // sequence of the first entry in value
	value []byte
	room  []byte // memory for the first value of a transaction
	taken bool   // by that of the present one
}

// entryPage is how many keys of entries are read at a time; most hold few, and none
// much more than splitBytes twice over.
const entryPage = 32

// Batch begins a batch behind head, which Head has returned.
func (c *Chain) Batch(head Mark) *Batch { return &Batch{chain: c, head: head} }

// Again begins the batch of a further transaction behind head, in the memory of the
// one before, whose writes nobody may look at any more.
func (b *Batch) Again(head Mark) { *b = Batch{chain: b.chain, head: head, room: b.room} }

// Add puts e at the end of the chain. It sets Seq, Prev and Hash itself; At must
// not be zero. Records beyond what one entry holds go into further ones.
func (b *Batch) Add(tx store.Tx, e *Entry) error {
	for rest := e.Records; ; {
		e.Records, rest = split(rest)
		if err := b.link(tx, e); err != nil {
			return fmt.Errorf("append audit entry %d: %w", b.head.Seq+1, err)
		}
		if len(rest) == 0 {
			return nil
		}
		e = &Entry{At: e.At, Event: Continued, Request: e.Request, Who: e.Who}
	}
}

// link adds one entry.
func (b *Batch) link(tx store.Tx, e *Entry) error {
	e.Seq, e.Prev = b.head.Seq+1, b.head.Hash
	size := e.size()
	if len(b.value) > 0 && len(b.value)+size > splitBytes {
		if err := b.write(tx); err != nil {
			return err
		}
	}
	if len(b.value) == 0 {
		b.first = e.Seq
		if b.value = nil; !b.taken {
			b.value, b.taken = b.room[:0], true
		}
		b.value = slices.Grow(b.value, size)
	}
	var err error
	if b.value, err = e.append(b.value); err != nil {
		return err
	}
	ledger := b.head.Ledger
	if e.Seq == 1 {
		ledger = e.Hash
	}
	b.head = Mark{Seq: e.Seq, Hash: e.Hash, Ledger: ledger, At: e.At}
	if e.Seq%b.chain.step != 0 {
		return nil
	}
	m := b.head
	b.chain.sign(&m, labelCheckpoint)
	return tx.Put(b.chain.markKey(e.Seq), m.encode())
}

// write writes the entries that are not written yet.
func (b *Batch) write(tx store.Tx) error {
	if len(b.value) == 0 {
		return nil
	}
	err := tx.Put(b.chain.entryKey(b.first), b.value)
	if cap(b.value) > cap(b.room) {
		b.room = b.value[:0] // for the next transaction
	}
	b.value = nil
	return err
}

// Seal writes what is left of the entries, and the signed head that they make,
// which it returns.
func (b *Batch) Seal(tx store.Tx) (Mark, error) {
	if err := b.write(tx); err != nil {
		return b.head, fmt.Errorf("append audit entry %d: %w", b.head.Seq, err)
	}
	b.chain.sign(&b.head, labelHead)
	value := b.head.encode()
	if err := tx.Put(b.chain.prefix+headKey, value); err != nil {
		return b.head, fmt.Errorf("write audit head %d: %w", b.head.Seq, err)
	}
	b.chain.known.Store(&value)
	return b.head, nil
}

// A stored entry is what stands where an entry should.
type stored struct {
	key  string
	seq  uint64 // that it should have; 0 where the key is that of no entry
	form []byte // its stored form
	Entry
	err error // why it cannot be read, and with it nothing more of its key
}

// request is the request that it is about, as far as it can be read.
func (s *stored) request() spend.ID {
	if s.err != nil {
		return ""
	}
	return s.Request
}

// sound reports whether its content gives its hash.
func (s *stored) sound() bool {
	return s.err == nil && Sum(s.form[:len(s.form)-len(s.Hash)]) == s.Hash
}

// stored yields all that stands where entries do, behind entry from. The last pair
// has an error when the store cannot be read.
func (c *Chain) stored(r store.Reader, from uint64) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		prefix, after := c.prefix+entryPrefix, ""
		if from > 0 {
			// The entry may stand under the key of one before it.
			page, err := r.Scan(prefix, c.entryKey(from+2), true, 1)
			if err != nil {
				yield(stored{}, err)
				return
			}
			for _, en := range page {
				if after = en.Key; !c.eachIn(en, from, yield) {
					return
				}
			}
		}
		for {
			page, err := r.Scan(prefix, after, false, entryPage)
			if err != nil {
				yield(stored{}, err)
				return
			}
			for _, en := range page {
				if after = en.Key; !c.eachIn(en, from, yield) {
					return
				}
			}
			if len(page) < entryPage {
				return
			}
		}
	}
}

// eachIn yields the entries of one key, but for those up to entry from that can be
// read. It reports whether to go on.
func (c *Chain) eachIn(en store.Entry, from uint64, yield func(stored, error) bool) bool {
	seq, ok := sequenceOf(en.Key[len(c.prefix)+len(entryPrefix):])
	if !ok {
		return yield(stored{key: en.Key}, nil)
	}
	rest := en.Value
	for first := true; first || len(rest) > 0; first = false {
		s := stored{key: en.Key, seq: seq}
		before := rest
		if s.Entry, rest, s.err = nextEntry(before); s.err != nil {
			s.Entry = Entry{}
			return yield(s, nil)
		}
		s.form = before[:len(before)-len(rest)]
		if seq > from && !yield(s, nil) {
			return false
		}
		seq++
	}
	return true
}

// entryAt returns what stands in the place of an entry; its seq is 0 when nothing
// does.
func (c *Chain) entryAt(r store.Reader, seq uint64) (stored, error) {
	for s, err := range c.stored(r, seq-1) {
		if err != nil || s.seq == seq {
			return s, err
		}
		if s.seq > seq {
			break
		}
	}
	return stored{}, nil
}

// Has reports whether m is a place in the chain.
func (c *Chain) Has(r store.Reader, m Mark) (bool, error) {
	if m.Seq == 0 {
		return false, nil
	}
	s, err := c.entryAt(r, m.Seq)
	if err != nil {
		return false, fmt.Errorf("read audit entry %d: %w", m.Seq, err)
	}
	return s.seq == m.Seq && s.sound() && s.Seq == m.Seq && s.Hash == m.Hash, nil
}
