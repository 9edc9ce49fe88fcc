package badgerstore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/outgo/outgo/engine/store"
)

// errOvertaken ends a transaction that is to run again.
var errOvertaken = errors.New("what the transaction reads has changed meanwhile")

// A snapshot is a store.Reader over the journal and Badger, as they were at one
// moment: the live generation over the frozen one, up to one commit, over Badger.
type snapshot struct {
	journal      *journal
	live, frozen *generation
	at           uint64      // the last commit that it sees
	drops        uint64      // journal.drops when it was made
	txn          *badger.Txn // nil until it is needed
	left         bool
	err          error // why nothing more can be done with it, if so
}

var _ store.Reader = (*snapshot)(nil)

// leave has the generations keep nothing for it any more.
func (r *snapshot) leave() {
	if !r.left {
		r.left = true
		r.journal.open.Add(-1)
	}
}

// end is called when its function has returned.
func (r *snapshot) end() {
	r.leave()
	r.err = errEnded
	if r.txn != nil {
		r.txn.Discard()
		r.txn = nil
	}
}

// Get returns a copy of the value at key.
func (r *snapshot) Get(key string) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	if v, ok := r.recent(key); ok {
		return present(v.value)
	}
	txn, err := r.older()
	if err != nil {
		return nil, err
	}
	item, err := txn.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, store.ErrNotFound
	}
	var value []byte
	if err == nil {
		value, err = item.ValueCopy(nil)
	}
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return value, nil
}

// present is what Get answers for a value, nil = deleted.
func present(value []byte) ([]byte, error) {
	if value == nil {
		return nil, store.ErrNotFound
	}
	return slices.Clone(value), nil
}

// recent returns what the journal knows of key.
func (r *snapshot) recent(key string) (v version, ok bool) {
	r.journal.mu.RLock()
	defer r.journal.mu.RUnlock()
	if v, ok = r.live.get(key, r.at); ok {
		return v, true
	}
	return r.frozen.get(key, r.at)
}

// older returns the transaction that reads what is in Badger. That must be no younger
// than the snapshot, so the live generation must still be the same: once it is frozen,
// Badger may have commits of it that the snapshot does not see, and then the snapshot
// has come too late. What is in Badger of the frozen one the snapshot sees anyway.
func (r *snapshot) older() (*badger.Txn, error) {
	if r.txn == nil {
		txn := r.journal.db.NewTransaction(false)
		if !r.journal.takes(r.live) {
			txn.Discard()
			r.err = errOvertaken
			return nil, r.err
		}
		r.txn = txn
	}
	return r.txn, nil
}

// Scan reads one page. It holds no iterator between pages, so a page costs one seek.
func (r *snapshot) Scan(prefix, after string, reverse bool, limit int) ([]store.Entry, error) {
	return r.scan(span{prefix, after, reverse}, limit, nil)
}

// scan merges what own, the generations and Badger have of a span. The first of them
// that knows a key decides.
func (r *snapshot) scan(s span, limit int, own []entry) ([]store.Entry, error) {
	if r.err != nil || limit <= 0 {
		return nil, r.err
	}
	txn, err := r.older()
	if err != nil {
		return nil, err
	}
	tables := newTableFeed(txn, s)
	defer tables.it.Close()
	feeds := []feed{&listFeed{own}, r.feed(r.live, s), r.feed(r.frozen, s), tables}
	heads := make([]*entry, len(feeds))
	for i, f := range feeds {
		if heads[i], err = f.next(); err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
	}
	var page []store.Entry
	for len(page) < limit {
		n := nearest(heads, s.reverse)
		if n < 0 {
			break
		}
		first := heads[n]
		if first.value != nil {
			value := first.value
			if feeds[n] != feed(tables) { // whose values nobody else has
				value = slices.Clone(value)
			}
			page = append(page, store.Entry{Key: first.key, Value: value})
		}
		for i, f := range feeds {
			if heads[i] == nil || heads[i].key != first.key {
				continue
			}
			if heads[i], err = f.next(); err != nil {
				return nil, fmt.Errorf("scan: %w", err)
			}
		}
	}
	return page, nil
}

// nearest returns which of heads comes first, of several with one key the first; -1
// when all are nil.
func nearest(heads []*entry, reverse bool) int {
	first := -1
	for i, h := range heads {
		if h != nil && (first < 0 || h.key != heads[first].key && (h.key < heads[first].key) != reverse) {
			first = i
		}
	}
	return first
}

// A feed gives entries of a span one by one, deletions among them, then nil.
type feed interface {
	next() (*entry, error)
}

// A listFeed is a sorted list.
type listFeed struct{ rest []entry }

func (f *listFeed) next() (*entry, error) {
	if len(f.rest) == 0 {
		return nil, nil
	}
	first := &f.rest[0]
	f.rest = f.rest[1:]
	return first, nil
}

// A generationFeed reads a generation page by page, so that no commit waits for long.
type generationFeed struct {
	listFeed
	r    *snapshot
	g    *generation
	span span
	more bool
}

const feedPage = 64

func (r *snapshot) feed(g *generation, s span) *generationFeed {
	return &generationFeed{r: r, g: g, span: s, more: g != nil}
}

func (f *generationFeed) next() (*entry, error) {
	if len(f.rest) == 0 && f.more {
		f.r.journal.mu.RLock()
		f.rest = f.g.page(f.span, f.r.at, feedPage)
		f.r.journal.mu.RUnlock()
		if f.more = len(f.rest) == feedPage; f.more {
			f.span.beyond = f.rest[feedPage-1].key
		}
	}
	return f.listFeed.next()
}

// A tableFeed reads what is in Badger.
type tableFeed struct {
	it   *badger.Iterator
	span span
}

// newTableFeed is to have its iterator closed.
func newTableFeed(txn *badger.Txn, s span) *tableFeed {
	// Values are read one by one: pages are short, and Badger's prefetch starts a
	// goroutine for each.
	o := badger.IteratorOptions{Reverse: s.reverse}
	if !s.reverse {
		// With Reverse it would end the iteration at once, on the first key above it.
		o.Prefix = []byte(s.prefix)
	}
	f := &tableFeed{it: txn.NewIterator(o), span: s}
	f.it.Seek([]byte(s.seek()))
	return f
}

func (f *tableFeed) next() (*entry, error) {
	for ; f.it.Valid(); f.it.Next() {
		item := f.it.Item()
		key := string(item.Key())
		in, past := f.span.where(key)
		if past {
			break
		}
		if !in || key == noteKey {
			continue
		}
		value, err := item.ValueCopy(nil)
		if err != nil {
			return nil, err
		}
		if value == nil {
			value = []byte{}
		}
		f.it.Next()
		return &entry{key, value}, nil
	}
	return nil, nil
}
