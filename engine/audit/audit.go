// Package audit makes the ledger's history tamper-evident. Every action of the
// engine appends an Entry to a Chain in its own commit: who did what to which
// request, under which policies, and a digest of every value that it wrote. Each
// Entry carries the SHA-256 of the one before it.
//
// Where the chain ends (Mark, with a MAC) stands at the head key, every 1024
// entries at a checkpoint, and at most a second behind in a file outside of the
// database, the Anchor. Verify holds entries, values and Anchor against each
// other and says in words what is wrong, the first bad entry first. Write exports
// it all; Accept is an operator's word that a shorter ledger is a restored backup.
//
// What it cannot tell: who has the MAC's key can forge all of it, and who sets
// the Anchor back can set the ledger back to it, so keep both away from the
// database. After a crash, up to a second of the end may be missing unnoticed.
package audit

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/outgo/outgo/engine/store"
)

// The keys of a chain, behind its prefix.
const (
	headKey        = "audit-head"
	entryPrefix    = "audit/"
	markPrefix     = "audit-mark/"
	checkpointStep = 1024
	// splitBytes is about how much of records one entry holds, and how much of
	// entries one key; what goes beyond is continued in further ones, so that none
	// comes near the bound that a store has on values.
	splitBytes = 64 << 10
)

// The events of the chain's own entries. Those of requests are the engine's.
const (
	Started   = "started"   // the first entry of a ledger
	Continued = "continued" // further records of the entry before
	Restored  = "restored"  // an operator took a shorter ledger for a restored backup
)

// ErrBroken is wrapped by every error that says that the chain is not as it was
// left. Nothing may be decided on a ledger of which that is said.
var ErrBroken = errors.New("the ledger's audit chain is broken")

// ErrNoChain is wrapped by Start where a ledger has values and no chain: one of
// a version without a chain, or one whose chain was deleted.
var ErrNoChain = fmt.Errorf("the ledger has records but no audit chain: %w", ErrBroken)

// Digest returns a keyed digest of parts under a label: nobody without the key
// can compute it, and the boundaries of the parts count.
type Digest func(label string, parts ...string) string

// Chain is the chain of one workspace. It holds no position of its own: that is
// in the store, so that a transaction that is run again, or never committed,
// leaves no trace. Its methods are safe for concurrent use, but one writer at a
// time must hold the store.
type Chain struct {
	prefix string
	key    []byte // of the MACs; for this prefix alone
	except []string
	step   uint64                 // entries from one checkpoint to the next
	atOnce int                    // values that a verification holds at a time
	known  atomic.Pointer[[]byte] // bytes of a head whose MAC is known to be right
}

// New returns the chain whose keys, and whose ledger's keys, begin with prefix
// ("v1/main/"). Keys that continue with one of except are neither recorded nor
// compared; everything else of the ledger is. digest is asked once,
// for the key of the chain's MACs.
func New(prefix string, digest Digest, except ...string) *Chain {
	key := []byte(digest("outgo audit chain/1", prefix))
	return &Chain{prefix: prefix, key: key, except: slices.Clone(except), step: checkpointStep, atOnce: valuesAtOnce}
}

// Start begins the chain of an empty ledger with its first entry, and does
// nothing where there is a chain. It fails with ErrNoChain where a ledger has
// values already.
func (c *Chain) Start(tx store.Tx, at time.Time, who string) error {
	head, err := c.Head(tx)
	if err != nil || head.Seq > 0 {
		return err
	}
	page, _, err := c.covered(tx, "", 1)
	if err != nil {
		return fmt.Errorf("start audit chain: %w", err)
	}
	if len(page) > 0 {
		return fmt.Errorf("start audit chain: %w", ErrNoChain)
	}
	return c.Append(tx, Entry{At: at, Event: Started, Who: who})
}

// Append adds e to the chain, as a Batch of one entry.
func (c *Chain) Append(tx store.Tx, e Entry) error {
	head, err := c.Head(tx)
	if err != nil {
		return fmt.Errorf("append audit entry: %w", err)
	}
	b := c.Batch(head)
	if err := b.Add(tx, &e); err != nil {
		return err
	}
	_, err = b.Seal(tx)
	return err
}

// split cuts off as many records as one entry holds.
func split(rs []Record) (now, later []Record) {
	size := 0
	for i, r := range rs {
		if size += len(r.Key) + len(r.Digest) + 4; size > splitBytes && i > 0 {
			return rs[:i], rs[i:]
		}
	}
	return rs, nil
}

// Head returns where the chain stands, the zero Mark where there is none. It
// fails with ErrBroken on a head that this chain did not write.
func (c *Chain) Head(r store.Reader) (Mark, error) {
	value, err := r.Get(c.prefix + headKey)
	if errors.Is(err, store.ErrNotFound) {
		return Mark{}, nil
	} else if err != nil {
		return Mark{}, fmt.Errorf("read audit head: %w", err)
	}
	m, err := decodeMark(value)
	if err != nil {
		return Mark{}, fmt.Errorf("read audit head: %w: %w", ErrBroken, err)
	}
	if known := c.known.Load(); known != nil && subtle.ConstantTimeCompare(*known, value) == 1 {
		return m, nil
	}
	if !c.signed(m, labelHead) {
		return Mark{}, fmt.Errorf("read audit head: %w: the head was altered, or written with another key", ErrBroken)
	}
	c.known.Store(&value)
	return m, nil
}

// Record returns what to record of one write, unless the chain does not cover it.
func (c *Chain) Record(key string, value []byte) (r Record, covered bool) {
	key, ok := strings.CutPrefix(key, c.prefix)
	if !ok || !c.covers(key) {
		return Record{}, false
	}
	r = Record{Key: key}
	if value != nil {
		r.Digest = Sum(value)
	}
	return r, true
}

// Sort puts records in the order of an entry.
func Sort(rs []Record) {
	slices.SortFunc(rs, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
}

// covers reports whether key, without the prefix, is of the ledger and recorded.
func (c *Chain) covers(key string) bool {
	if key == headKey || strings.HasPrefix(key, entryPrefix) || strings.HasPrefix(key, markPrefix) {
		return false
	}
	return !slices.ContainsFunc(c.except, func(p string) bool { return strings.HasPrefix(key, p) })
}

// covered reads one page of what the chain covers, keys without the prefix. It
// returns the key after which the next page begins, "" behind the last.
func (c *Chain) covered(r store.Reader, after string, limit int) (page []store.Entry, next string, err error) {
	if after != "" {
		after = c.prefix + after
	}
	all, err := r.Scan(c.prefix, after, false, limit)
	if err != nil {
		return nil, "", err
	}
	for _, en := range all {
		next = strings.TrimPrefix(en.Key, c.prefix)
		if c.covers(next) {
			page = append(page, store.Entry{Key: next, Value: en.Value})
		}
	}
	if len(all) < limit {
		next = ""
	}
	return page, next, nil
}

func (c *Chain) entryKey(seq uint64) string { return c.prefix + entryPrefix + ordered(seq) }
func (c *Chain) markKey(seq uint64) string  { return c.prefix + markPrefix + ordered(seq) }

// digits is how long a number is in a key.
const digits = 20

// ordered writes n so that byte order is number order.
func ordered(n uint64) string {
	var b [digits]byte
	for i := digits - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b[:])
}
