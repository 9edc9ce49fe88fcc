package engine

import (
	"errors"
	"slices"

	"github.com/outgo/outgo/engine/store"
)

// maxWarm bounds the bytes of each of the two generations that warm keeps.
const maxWarm = 1 << 20

// warm remembers the stored values that one action after another reads: what is
// frozen, the counters, the requests under way. Only the committer uses it, and
// only on a store that nobody else writes to: it takes in what was committed,
// and forgets everything when a commit has failed, so it always holds what the
// store would answer.
type warm struct {
	covers     func(key string) bool
	young, old map[string][]byte // nil = absent; old is dropped when young is full
	bytes      int               // of young
}

// newWarm returns nil, which remembers nothing, unless st is written to by nobody
// else.
func newWarm(st store.Store, covers func(key string) bool) *warm {
	if x, ok := st.(store.Exclusive); !ok || !x.Exclusive() {
		return nil
	}
	return &warm{covers: covers}
}

func (w *warm) get(key string) (value []byte, ok bool) {
	if value, ok = w.young[key]; ok {
		return value, true
	}
	if value, ok = w.old[key]; ok {
		w.put(key, value)
	}
	return value, ok
}

func (w *warm) put(key string, value []byte) {
	if w.young == nil || w.bytes > maxWarm {
		w.young, w.old, w.bytes = make(map[string][]byte), w.young, 0
	}
	w.young[key] = value
	w.bytes += len(key) + len(value) + 64 // and the map's own share
}

// committed takes in what a commit has written.
func (w *warm) committed(list []written) {
	if w == nil {
		return
	}
	for i := range list {
		key, value := list[i].key, list[i].value
		if !w.covers(key) {
			continue
		}
		if list[i].lent {
			value = slices.Clone(value)
		}
		w.put(key, value)
	}
}

func (w *warm) forget() {
	if w != nil {
		w.young, w.old, w.bytes = nil, nil, 0
	}
}

// over returns a Reader that asks r only for what w does not remember.
func (w *warm) over(r store.Reader) store.Reader {
	if w == nil {
		return r
	}
	return warmReader{r, w}
}

type warmReader struct {
	store.Reader
	warm *warm
}

func (r warmReader) Get(key string) ([]byte, error) {
	if !r.warm.covers(key) {
		return r.Reader.Get(key)
	}
	value, ok := r.warm.get(key)
	if !ok {
		var err error
		value, err = r.Reader.Get(key)
		switch {
		case errors.Is(err, store.ErrNotFound):
			value = nil
		case err != nil:
			return nil, err
		case value == nil:
			value = []byte{} // there, and empty
		}
		r.warm.put(key, value)
	}
	if value == nil {
		return nil, store.ErrNotFound
	}
	return value, nil
}
