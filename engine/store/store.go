// Package store is the one thing the engine asks of a database: an ordered map
// with transactions. Domain logic, indexes and invariants live in the engine,
// once; a backend is about a hundred lines and must pass storetest.
package store

import (
	"context"
	"errors"
)

// ErrNotFound is what Get returns for an absent key.
var ErrNotFound = errors.New("store: key not found")

// ErrUnknown is wrapped by an Update that cannot tell whether it committed. The
// caller must read back before it acts on either assumption.
var ErrUnknown = errors.New("store: commit outcome unknown")

// ErrTooLarge is wrapped by an Update whose writes do not fit in one
// transaction. Nothing of it was committed.
var ErrTooLarge = errors.New("store: transaction too large")

// Entry is one key and its value. The value belongs to the receiver.
type Entry struct {
	Key   string
	Value []byte
}

// Reader reads one consistent snapshot.
type Reader interface {
	// Get returns a copy of the value at key, or ErrNotFound.
	Get(key string) ([]byte, error)
	// Scan returns up to limit entries whose keys begin with prefix, in byte
	// order or, with reverse, against it, strictly beyond the key after ("" for
	// the first page).
	Scan(prefix, after string, reverse bool, limit int) ([]Entry, error)
}

// Tx is a Reader that sees its own writes.
type Tx interface {
	Reader
	// Put and Delete take effect at commit. After either fails the transaction
	// is poisoned: its commit must fail, whatever fn returns.
	Put(key string, value []byte) error
	Delete(key string) error
}

// Exclusive is a Store that may promise to be the only one.
type Exclusive interface {
	// Exclusive reports that while this Store is open nothing but its own Update
	// changes what it holds. Whoever alone calls Update may then remember what it
	// has read and written.
	Exclusive() bool
}

// Store is an ordered map with transactions. It is safe for concurrent use.
type Store interface {
	View(ctx context.Context, fn func(Reader) error) error

	// Update commits what fn wrote only if no key that fn read with Get,
	// present or absent, has since changed. It runs fn again on conflict, so fn
	// must touch nothing but its Tx. Scan takes part in no such promise: list
	// with Scan, decide with Get. Update returns nil, a definite error (nothing
	// committed), or an error wrapping ErrUnknown.
	Update(ctx context.Context, fn func(Tx) error) error

	Close() error
}
