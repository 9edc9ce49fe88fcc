package engine

import (
	"context"
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/store"
)

// seen knows of idempotency keys, or of fingerprints, that they are new, which nearly all are, without
// a look into every level of the store. It never says so of one that the ledger
// knows: a key is taken in before an action writes it, and those that were written in
// earlier lives are read, in the background, before it says anything at all. That holds
// on a store that nobody else writes to, and on no other.
//
// It is a Bloom filter of one word for each key, so that a look costs one access to
// memory. It is wrong about a new key, which then costs a look into the store, less
// than once in a hundred times up to about four hundred thousand keys.
type seen struct {
	seed  maphash.Seed
	words []uint64 // changed and read atomically; none = it knows nothing
	most  int      // keys of earlier lives, beyond which it would know too little
	all   atomic.Bool
}

// seenWords is how many words there are, 512 KiB of them, since all that lives makes the
// collector leave as much garbage; a power of two.
const seenWords = 1 << 16

// newSeen returns one that knows nothing, unless st is written to by nobody else.
func newSeen(st store.Store) *seen {
	if x, ok := st.(store.Exclusive); !ok || !x.Exclusive() {
		return new(seen)
	}
	return &seen{seed: maphash.MakeSeed(), words: make([]uint64, seenWords), most: 16 * seenWords}
}

// place returns the word of a key, and five bits of it.
func (s *seen) place(digest string) (word *uint64, bits uint64) {
	h := maphash.String(s.seed, digest)
	word = &s.words[h%seenWords]
	for h >>= 64 - 5*6; h > 0; h >>= 6 {
		bits |= 1 << (h % 64)
	}
	return word, bits
}

// add takes in a key that is about to be written.
func (s *seen) add(digest string) {
	if len(s.words) > 0 {
		word, bits := s.place(digest)
		atomic.OrUint64(word, bits)
	}
}

// isNew reports whether no action has written the key, ever. False says nothing.
func (s *seen) isNew(digest string) bool {
	if !s.all.Load() {
		return false
	}
	word, bits := s.place(digest)
	return atomic.LoadUint64(word)&bits != bits
}

// seenPage is how many keys are read at a time.
const seenPage = 1024

// readSeen takes in the keys that are in the store. Those that are written meanwhile
// are added by who writes them. When a read fails, or there are too many, seen goes on
// knowing nothing.
func (e *Engine) readSeen(ctx context.Context) {
	e.seen.read(ctx, e, e.keys.dedup(""), "")
}

// readPrints is readSeen for the fingerprints of the payments that policies look back
// to now. Should they look further some day, prints is not asked.
func (e *Engine) readPrints(ctx context.Context) {
	since := dayOf(e.clock().Add(-policy.DefaultDuplicateWindow))
	if set := e.policies.Load(); set != nil {
		since = min(since, dayOf(e.clock().Add(-set.recall)))
	}
	e.printsSince.Store(since)
	e.prints.read(ctx, e, e.keys.twins(), e.keys.twinsOf(since))
}

// read takes in the last part of each key that begins with prefix and stands behind
// after.
func (s *seen) read(ctx context.Context, e *Engine, prefix, after string) {
	if len(s.words) == 0 {
		return
	}
	for read := 0; read <= s.most; read += seenPage {
		var page []store.Entry
		err := e.view(ctx, func(r store.Reader) (err error) {
			page, err = r.Scan(prefix, after, false, seenPage)
			return err
		})
		if err != nil || ctx.Err() != nil {
			return
		}
		for _, en := range page {
			after = en.Key
			s.add(en.Key[strings.LastIndexByte(en.Key, '/')+1:])
		}
		if len(page) < seenPage {
			s.all.Store(true)
			return
		}
	}
}
