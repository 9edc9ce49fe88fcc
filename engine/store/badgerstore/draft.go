package badgerstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/outgo/outgo/engine/store"
)

// A draft is a store.Tx whose writes are laid down as the record that they will be.
// A failed write sets err for good: the commit would make durable what came before
// the failure, half of what fn meant.
type draft struct {
	snapshot
	record []byte
	writes []written
	reads  []string       // what was asked of the snapshot
	own    map[string]int // index of the last write of each key, where somebody has asked
	room   *[]byte        // the memory of record, on loan
}

// A written is one write of a draft.
type written struct {
	key      string
	from, to int // where the value stands in the record; 0, 0 for a deletion
}

// value is what was written, in memory that holds the record; nil = deleted.
func (w written) value(record []byte) []byte {
	if w.to == 0 {
		return nil
	}
	return record[w.from:w.to:w.to]
}

var _ store.Tx = (*draft)(nil)

// keptRoom is how large the memory of a record may be that is used again.
const keptRoom = 1 << 20

func (j *journal) draft() *draft {
	room, ok := j.records.Get().(*[]byte)
	if !ok {
		room = new([]byte)
	}
	var head [recordHead]byte
	x := &draft{snapshot: *j.snapshot(), room: room}
	x.record = append((*room)[:0], head[:]...)
	return x
}

// end gives back the memory of the record.
func (x *draft) end() {
	x.snapshot.end()
	if x.room != nil && cap(x.record) <= keptRoom {
		*x.room = x.record[:0]
		x.journal.records.Put(x.room)
	}
	x.room, x.record = nil, nil
}

// Get returns a copy of the value at key.
func (x *draft) Get(key string) ([]byte, error) {
	if x.err == nil && len(x.writes) > 0 {
		if i, ok := x.mine()[key]; ok {
			return present(x.writes[i].value(x.record))
		}
	}
	value, err := x.snapshot.Get(key)
	if err == nil || errors.Is(err, store.ErrNotFound) {
		x.reads = append(x.reads, key)
	}
	return value, err
}

// mine is x.own, which it makes when there is nobody who had asked before.
func (x *draft) mine() map[string]int {
	if x.own == nil {
		x.own = make(map[string]int, len(x.writes))
		for i, w := range x.writes {
			x.own[w.key] = i
		}
	}
	return x.own
}

// Scan reads one page, of what x wrote, too.
func (x *draft) Scan(prefix, after string, reverse bool, limit int) ([]store.Entry, error) {
	s := span{prefix, after, reverse}
	var own []entry
	if x.err == nil && len(x.writes) > 0 {
		for key, i := range x.mine() {
			if s.has(key) {
				own = append(own, entry{key, x.writes[i].value(x.record)})
			}
		}
		slices.SortFunc(own, func(a, b entry) int {
			if s.reverse {
				a, b = b, a
			}
			return cmp.Compare(a.key, b.key)
		})
	}
	return x.scan(s, limit, own)
}

// Put keeps a copy of value.
func (x *draft) Put(key string, value []byte) error {
	if x.err != nil {
		return x.err
	}
	err := checkKey(key)
	if err == nil && len(value) > maxValue {
		err = tooLong(value)
	}
	if err == nil {
		x.record = appendPut(x.record, key, value)
		x.note(written{key: key, from: len(x.record) - len(value), to: len(x.record)})
	}
	return x.checked("put", err)
}

// Delete removes key, which may be absent.
func (x *draft) Delete(key string) error {
	if x.err != nil {
		return x.err
	}
	err := checkKey(key)
	if err == nil {
		x.record = appendDelete(x.record, key)
		x.note(written{key: key})
	}
	return x.checked("delete", err)
}

func (x *draft) note(w written) {
	x.writes = append(x.writes, w)
	if x.own != nil {
		x.own[w.key] = len(x.writes) - 1
	}
}

// checked poisons the transaction when a write has failed, or all of them are too
// much for one record.
func (x *draft) checked(verb string, err error) error {
	if err == nil && len(x.record) > maxRecord {
		err = store.ErrTooLarge
	}
	if err != nil {
		x.err = fmt.Errorf("%s: %w", verb, err)
	}
	return x.err
}
