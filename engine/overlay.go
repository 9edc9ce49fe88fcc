package engine

import (
	"errors"
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/store"
)

// An overlay is a store.Tx over another Reader: it keeps its writes to itself
// until somebody merges them. One action writes to one overlay, a batch of
// actions to the overlay below it, and what is left at the end goes to the
// store, each key once. The lowest one remembers what the store has answered, so
// what Get returns is shared by all who read it and must not be changed.
type overlay struct {
	base   store.Reader
	writes writes
	reads  map[string][]byte // what base has answered; nil = not found
	bytes  int
}

var _ store.Tx = (*overlay)(nil)

// writesExpected is about how many keys one action writes.
const writesExpected = 16

// maxReads bounds the answers that an overlay remembers: an action that counts a month
// of payments reads them all.
const maxReads = 4096

// newOverlay returns an overlay that remembers what base answers, which must
// therefore stay the same until reset.
func newOverlay(base store.Reader) *overlay {
	return &overlay{base: base, reads: make(map[string][]byte, 8*writesExpected)}
}

// above returns an overlay for one action after another, reset in between.
// Others may write to o meanwhile, so it remembers nothing of o.
func (o *overlay) above() *overlay {
	return &overlay{base: o}
}

func (o *overlay) Get(key string) ([]byte, error) {
	if w := o.writes.find(key); w != nil {
		if w.value == nil {
			return nil, store.ErrNotFound
		}
		return w.value, nil
	}
	v, ok := o.reads[key]
	if !ok {
		var err error
		v, err = o.base.Get(key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil && v == nil {
			v = []byte{} // there, and empty
		}
		if o.reads != nil && len(o.reads) < maxReads {
			o.reads[key] = v
		}
	}
	if v == nil {
		return nil, store.ErrNotFound
	}
	return v, nil
}

// reset forgets what was written and read.
func (o *overlay) reset() {
	o.writes.reset()
	clear(o.reads)
	o.bytes = 0
}

func (o *overlay) Put(key string, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	o.bytes += len(key) + len(value)
	o.writes.put(written{key: key, value: value})
	return nil
}

func (o *overlay) Delete(key string) error {
	o.bytes += len(key)
	o.writes.put(written{key: key})
	return nil
}

// merge takes over what above wrote, as the action of the given number.
func (o *overlay) merge(above *overlay, by int) {
	for i := range above.writes.list {
		w := above.writes.list[i]
		w.by = by
		o.writes.put(w)
	}
	o.bytes += above.bytes
}

func (o *overlay) Scan(prefix, after string, reverse bool, limit int) ([]store.Entry, error) {
	var mine []string
	deleted := 0
	for i := range o.writes.list {
		k := o.writes.list[i].key
		if !strings.HasPrefix(k, prefix) || (after != "" && (!reverse && k <= after || reverse && k >= after)) {
			continue
		}
		if mine = append(mine, k); o.writes.list[i].value == nil {
			deleted++
		}
	}
	if len(mine) == 0 {
		return o.base.Scan(prefix, after, reverse, limit)
	}
	// Every entry below that a write hides costs one entry of the page, so the
	// page asked for is that much longer.
	below, err := o.base.Scan(prefix, after, reverse, limit+len(mine))
	if err != nil {
		return nil, err
	}
	out := make([]store.Entry, 0, len(below)+len(mine)-deleted)
	for _, e := range below {
		if o.writes.find(e.Key) == nil {
			out = append(out, e)
		}
	}
	for _, k := range mine {
		if v := o.writes.find(k).value; v != nil {
			out = append(out, store.Entry{Key: k, Value: v})
		}
	}
	slices.SortFunc(out, func(a, b store.Entry) int {
		if reverse {
			return strings.Compare(b.Key, a.Key)
		}
		return strings.Compare(a.Key, b.Key)
	})
	// Beyond the last entry read below, entries of the store are missing, so
	// nothing of ours beyond it may be listed either.
	if len(below) == limit+len(mine) {
		last := below[len(below)-1].Key
		out = slices.DeleteFunc(out, func(e store.Entry) bool {
			return !reverse && e.Key > last || reverse && e.Key < last
		})
	}
	return out[:min(limit, len(out))], nil
}
