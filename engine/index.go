package engine

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// The index lists the requests by their numbers. One key holds a chunk of 64 in a
// row, so that a batch writes a key or two however many requests it makes or ends;
// a further key without a value says of a chunk that it may hold an open request,
// or holds an ageless one, so that these are found without a look at all the others.
//
// A chunk is the format byte, the marks of which it has such a key, and an entry
// for each request in the order of their numbers: the last six bits of the number
// with the request's marks above them, then the 16 bytes of the id.
type chunk []byte

// marks are what the index knows of a request beside its id, in the upper bits of a
// byte.
type marks byte

const (
	openMark    marks = 1 << 6 // its state is not final
	agelessMark marks = 1 << 7 // it may count long after it was made
	anyMark     marks = 0      // whichever it has
)

const (
	formatChunk = 1
	chunkBits   = 6
	chunkLength = 1 << chunkBits
	chunkHead   = 2
	chunkEntry  = 1 + 16
	// latest is above every number.
	latest = math.MaxUint64
)

// listed is a request as the index has it.
type listed struct {
	seq   uint64
	id    spend.ID
	marks marks
}

// enlist puts a new request into the index.
func (k keys) enlist(tx store.Tx, seq uint64, id spend.ID, m marks) error {
	return k.changeChunk(tx, seq, func(c chunk) (chunk, error) {
		slot := byte(seq % chunkLength)
		if n := c.len(); n > 0 && c.slot(n-1) >= slot {
			return nil, fmt.Errorf("request %d is listed already, or a later one is", seq)
		}
		return id.AppendRaw(append(c, slot|byte(m)))
	})
}

// remark sets and clears marks of a request in the index.
func (k keys) remark(tx store.Tx, seq uint64, set, clear marks) error {
	return k.changeChunk(tx, seq, func(c chunk) (chunk, error) {
		for i := range c.len() {
			if c.slot(i) == byte(seq%chunkLength) {
				at := &c[chunkHead+i*chunkEntry]
				*at = *at&^byte(clear) | byte(set)
				return c, nil
			}
		}
		return nil, fmt.Errorf("request %d is not listed", seq)
	})
}

// changeChunk writes what change makes of a copy of the chunk that seq is in, and
// the keys that say what is in it.
func (k keys) changeChunk(tx store.Tx, seq uint64, change func(chunk) (chunk, error)) error {
	n := seq >> chunkBits
	key := k.index(n)
	stored, err := k.readChunkAt(tx, key)
	if errors.Is(err, store.ErrNotFound) {
		stored = chunk{formatChunk, 0}
	} else if err != nil {
		return err
	}
	room := store.LenderOf(tx)
	c, err := change(append(room.Lend(len(stored)+chunkEntry), stored...))
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	was := marks(c[1])
	now := c.union()
	if c.len() < chunkLength {
		now |= was & openMark // another one is likely to be open soon
	}
	c[1] = byte(now)
	for _, m := range [...]marks{openMark, agelessMark} {
		switch {
		case now&m != 0 && was&m == 0:
			err = errors.Join(err, tx.Put(k.chunksWith(m)+ordered(n), nil))
		case now&m == 0 && was&m != 0:
			err = errors.Join(err, tx.Delete(k.chunksWith(m)+ordered(n)))
		}
	}
	return errors.Join(err, room.PutLent(key, c))
}

// readChunk reads chunk n, or fails with store.ErrNotFound, or on a form that this
// version does not know. It is the store's own and must not be changed.
func (k keys) readChunk(r store.Reader, n uint64) (chunk, error) {
	return k.readChunkAt(r, k.index(n))
}

func (k keys) readChunkAt(r store.Reader, key string) (chunk, error) {
	c, err := r.Get(key)
	if err != nil {
		return nil, err
	}
	return k.checkChunk(key, c)
}

func (k keys) checkChunk(key string, c chunk) (chunk, error) {
	if len(c) < chunkHead || c[0] != formatChunk || (len(c)-chunkHead)%chunkEntry != 0 || c.len() > chunkLength {
		return nil, fmt.Errorf("read %s: the value has a format that this version of outgo does not know", key)
	}
	for i := 1; i < c.len(); i++ {
		if c.slot(i) <= c.slot(i-1) {
			return nil, fmt.Errorf("read %s: its entries are out of order", key)
		}
	}
	return c, nil
}

// newest yields the requests that have one of the marks m and a number below the
// given one, the newest first. An error ends it.
func (k keys) newest(r store.Reader, m marks, below uint64) iter.Seq2[listed, error] {
	after := ""
	if below < latest {
		after = ordered(below>>chunkBits + 1) // of the chunk behind the one it is in
	}
	return func(yield func(listed, error) bool) {
		for n, c := range k.chunks(r, m, after, true, yield) {
			for i := c.len() - 1; i >= 0; i-- {
				if l := c.at(n, i); l.seq < below && l.has(m) && !yield(l, nil) {
					return
				}
			}
		}
	}
}

// oldest yields the requests that have one of the marks m, the oldest first. An
// error ends it.
func (k keys) oldest(r store.Reader, m marks) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		for n, c := range k.chunks(r, m, "", false, yield) {
			for i := range c.len() {
				if l := c.at(n, i); l.has(m) && !yield(l, nil) {
					return
				}
			}
		}
	}
}

// chunks yields the chunks that may hold requests with one of the marks m, beyond
// the one whose number is after. An error goes to fail, and ends it.
func (k keys) chunks(r store.Reader, m marks, after string, reverse bool, fail func(listed, error) bool) iter.Seq2[uint64, chunk] {
	prefix, page := k.chunksWith(m), chunkLength
	if m == anyMark {
		page = 4 // for these come with their values
	}
	if after != "" {
		after = prefix + after
	}
	return func(yield func(uint64, chunk) bool) {
		for {
			entries, err := r.Scan(prefix, after, reverse, page)
			if err != nil {
				fail(listed{}, err)
				return
			}
			for _, en := range entries {
				after = en.Key
				n, err := strconv.ParseUint(strings.TrimPrefix(en.Key, prefix), 10, 64)
				var c chunk
				switch {
				case err != nil:
				case m == anyMark:
					c, err = k.checkChunk(en.Key, en.Value)
				default:
					c, err = k.readChunk(r, n)
				}
				if err != nil {
					fail(listed{}, fmt.Errorf("read index at %s: %w", en.Key, err))
					return
				}
				if !yield(n, c) {
					return
				}
			}
			if len(entries) < page {
				return
			}
		}
	}
}

func (l listed) has(m marks) bool { return m == anyMark || l.marks&m != 0 }

// len is how many requests the chunk lists.
func (c chunk) len() int { return (len(c) - chunkHead) / chunkEntry }

// slot is the place of entry i among the numbers of the chunk.
func (c chunk) slot(i int) byte { return c[chunkHead+i*chunkEntry] % chunkLength }

// at is entry i of the chunk, which is the nth.
func (c chunk) at(n uint64, i int) listed {
	e := c[chunkHead+i*chunkEntry:][:chunkEntry]
	return listed{seq: n<<chunkBits | uint64(c.slot(i)), id: spend.RawID([16]byte(e[1:])), marks: marks(e[0]) & (openMark | agelessMark)}
}

// union is all that its requests are marked with.
func (c chunk) union() (m marks) {
	for i := range c.len() {
		m |= marks(c[chunkHead+i*chunkEntry])
	}
	return m & (openMark | agelessMark)
}
