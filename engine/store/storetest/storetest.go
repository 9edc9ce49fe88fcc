// Package storetest is what it means to be a store.Store: one suite that every
// backend runs from a test of its own.
//
//	func TestContract(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { … })
//	}
//
// Each test opens an empty store and closes it. A backend may find conflicts at
// the commit or keep rivals waiting: the suite holds it to the outcome. Every
// backend must take values of 256 KiB, refuse a transaction of 64 MiB, and order
// keys by byte, whatever bytes they hold. That two transactions which each found
// an empty Scan may both commit is not tested: the contract allows it.
package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/outgo/outgo/engine/store"
)

// An opener opens one empty store for t.
type opener func(t *testing.T) store.Store

// Run holds the stores that open returns to the contract. Each call of open must
// return an empty store, which Run closes; open must not close it itself, unless
// it ignores the error of closing twice.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		sentence string
		test     func(*testing.T, opener)
	}{
		{"an absent key is not found", absentKey},
		{"a value comes back as it was put", roundTrip},
		{"values handed over either way are copies", valuesAreCopies},
		{"a transaction reads its own writes", ownWrites},
		{"a scan pages strictly beyond its last key in byte order", scanPages},
		{"a view is one snapshot", viewIsOneSnapshot},
		{"an error of fn rolls back and is returned", errorRollsBack},
		{"a panic of fn rolls back and passes through", panicRollsBack},
		{"too large a transaction commits nothing", tooLarge},
		{"fn runs again when a key it read has changed", runsAgain},
		{"no update of a hot key is lost", hotKey},
		{"an absent key has one winner", oneWinner},
		{"two transactions cannot each miss the other's write", noWriteSkew},
		{"a context that is done stops it before fn", doneContext},
		{"a context that ends in fn leaves no doubt", contextEndsInside},
		{"a closed store answers with errors", useAfterClose},
	} {
		t.Run(c.sentence, func(t *testing.T) { c.test(t, open) })
	}
}

// fresh opens a store and closes it when t ends.
func (open opener) fresh(t *testing.T) store.Store {
	t.Helper()
	s := open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s
}

func put(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, []byte(value)) }); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// get returns the value at key and whether there is one.
func get(t *testing.T, s store.Store, key string) (value string, ok bool) {
	t.Helper()
	err := s.View(context.Background(), func(r store.Reader) error {
		v, err := r.Get(key)
		value = string(v)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("get %q: %v", key, err)
	}
	return value, err == nil
}

// wantAbsent fails t if any of keys is in s.
func wantAbsent(t *testing.T, s store.Store, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if v, ok := get(t, s, k); ok {
			t.Errorf("%q is there (%d bytes), want it absent", k, len(v))
		}
	}
}
