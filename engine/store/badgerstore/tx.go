package badgerstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/outgo/outgo/engine/store"
)

// The bounds on one entry. Badger has its own, but its errors quote the first
// kilobyte of what was too long, and that may be a secret. maxValue stays below
// the threshold at which Badger would move a value to its value log, whose
// failed syncs it only logs.
const (
	maxKey   = 4 << 10
	maxValue = 512 << 10
)

// reserved begins the keys that Badger keeps for itself.
const reserved = "!badger!"

// errEnded is what a transaction answers after its fn has returned.
var errEnded = errors.New("use of a store transaction after its function has returned")

// reader is a store.Reader on one Badger transaction.
type reader struct {
	txn   *badger.Txn
	err   error // why nothing more can be done with it, if so
	wrote bool  // something, by a tx
}

// tx is a store.Tx. A failed write sets err for good: Badger would commit what
// came before the failure, half of what fn meant.
type tx struct {
	reader
	rooms *sync.Pool // of *[chunk]byte
	own   []byte     // room for copies of what is written
	used  []*[chunk]byte
}

var (
	_ store.Reader = (*reader)(nil)
	_ store.Tx     = (*tx)(nil)
)

func (r *reader) end() { r.err = errEnded }

// Get returns a copy of the value at key.
func (r *reader) Get(key string) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	item, err := r.txn.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	// What Badger hands out is the item's own copy, but for what this transaction
	// has written: that is Badger's until the commit.
	var value []byte
	err = item.Value(func(v []byte) error { value = v; return nil })
	if err == nil && r.wrote {
		value = slices.Clone(value)
	}
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return value, nil
}

// Scan reads one page. It holds no iterator between pages, so a page costs one seek.
func (r *reader) Scan(prefix, after string, reverse bool, limit int) ([]store.Entry, error) {
	if r.err != nil || limit <= 0 {
		return nil, r.err
	}
	feed := newTableFeed(r.txn, span{prefix, after, reverse})
	defer feed.it.Close()
	var page []store.Entry
	for len(page) < limit {
		e, err := feed.next()
		if err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		if e == nil {
			break
		}
		page = append(page, store.Entry{Key: e.key, Value: e.value})
	}
	return page, nil
}

// Put keeps a copy: Badger reads key and value again at the commit.
func (x *tx) Put(key string, value []byte) error {
	if x.err != nil {
		return x.err
	}
	err := checkKey(key)
	switch {
	case err != nil:
	case len(value) > maxValue:
		err = tooLong(value)
	default:
		err = x.txn.Set(copied(x, key), copied(x, value))
	}
	return x.written("put", err)
}

// chunk is how much room is made for copies at a time: a commit of many small
// values would otherwise make thousands of small ones.
const chunk = 64 << 10

// copied returns a copy that lives until release.
func copied[T string | []byte](x *tx, v T) []byte {
	if len(v) > chunk/2 {
		return append([]byte(nil), v...)
	}
	if cap(x.own)-len(x.own) < len(v) {
		room, ok := x.rooms.Get().(*[chunk]byte)
		if !ok {
			room = new([chunk]byte)
		}
		x.used, x.own = append(x.used, room), room[:0]
	}
	from := len(x.own)
	x.own = append(x.own, v...)
	return x.own[from:len(x.own):len(x.own)]
}

// release gives back the room of the copies, once Badger has done with them: it
// copies keys and values into its log and its memory table before a commit returns.
func (x *tx) release() {
	for _, room := range x.used {
		x.rooms.Put(room)
	}
	x.used, x.own = nil, nil
}

// Delete removes key, which may be absent.
func (x *tx) Delete(key string) error {
	if x.err != nil {
		return x.err
	}
	err := checkKey(key)
	if err == nil {
		err = x.txn.Delete(copied(x, key))
	}
	return x.written("delete", err)
}

// written notes the outcome of a write and poisons the transaction if it failed.
func (x *tx) written(verb string, err error) error {
	x.wrote = true
	if errors.Is(err, badger.ErrTxnTooBig) {
		err = store.ErrTooLarge
	}
	if err != nil {
		x.err = fmt.Errorf("%s: %w", verb, err)
	}
	return x.err
}

func tooLong(value []byte) error {
	return fmt.Errorf("%w: a value of %d bytes, at most %d are allowed", store.ErrTooLarge, len(value), maxValue)
}

func checkKey(key string) error {
	switch {
	case key == "":
		return errors.New("the key is empty")
	case len(key) > maxKey:
		return fmt.Errorf("%w: a key of %d bytes, at most %d are allowed", store.ErrTooLarge, len(key), maxKey)
	case strings.HasPrefix(key, reserved), key == noteKey:
		return fmt.Errorf("keys that begin with %s belong to the database, as does %s", reserved, noteKey)
	}
	return nil
}
