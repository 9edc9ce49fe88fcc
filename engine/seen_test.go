package engine

import (
	"context"
	"fmt"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// shared is a store that others may write to.
type shared struct{ store.Store }

func openSeen(t *testing.T, st store.Store) *Engine {
	t.Helper()
	e, err := Open(context.Background(), Options{Store: st, Sealer: seal.FromBytes([32]byte{1})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// No key of an earlier life or of this one is ever taken for a new one, more of them
// than one page holds.
func TestAKeyThatWasUsedIsNeverNew(t *testing.T) {
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, digest := context.Background(), func(n int) string { return fmt.Sprintf("%064x", n) }
	e := openSeen(t, st)
	const before = seenPage + 10
	for n := range before {
		in := spend.Intent{Agent: "a", Rail: "stripe", Class: spend.Other, Operation: "o", Network: "stripe", DedupKey: digest(n), Fingerprint: digest(n)}
		if r, err := e.Authorize(ctx, in); err != nil || r.Next != spend.Forward {
			t.Fatalf("key %d: %s, %v", n, r.Next, err)
		}
	}
	for life := range 2 {
		if life > 0 {
			e.Close()
			e = openSeen(t, st)
		}
		e.readSeen(ctx) // whether the one in the background has come to its end or not
		for n := range before {
			if e.seen.isNew(digest(n)) {
				t.Fatalf("life %d: key %d is taken for a new one", life, n)
			}
		}
		wrong := 0
		for n := range 1000 {
			if !e.seen.isNew(digest(before + n)) {
				wrong++
			}
		}
		if wrong > 10 {
			t.Errorf("life %d: %d of 1000 new keys are looked for in the store", life, wrong)
		}
	}
}

// What cannot be known to be complete says nothing.
func TestWhatOthersWriteToIsAlwaysLookedUp(t *testing.T) {
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	open := openSeen(t, shared{st})
	open.readSeen(context.Background())
	if open.seen.isNew("new") {
		t.Error("a key is taken for a new one on a store that others write to")
	}
	open.seen.add("new") // which must do nothing

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	cut := &Engine{store: st, keys: newKeys("main"), seen: newSeen(st)}
	cut.readSeen(ended)
	if cut.seen.isNew("new") {
		t.Error("a key is taken for a new one although not all were read")
	}
}

// A ledger with more keys than it could tell apart is not read to its end.
func TestTooManyKeysAreLookedUp(t *testing.T) {
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	k := newKeys("main")
	err = st.Update(context.Background(), func(tx store.Tx) error {
		for n := range seenPage + 1 {
			if err := tx.Put(k.dedup(fmt.Sprint(n)), []byte("x")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int]bool{seenPage - 1: false, seenPage: true} {
		e := &Engine{store: st, keys: k, seen: newSeen(st)}
		e.seen.most = most
		if e.readSeen(context.Background()); e.seen.isNew("new") != want {
			t.Errorf("with room for %d of %d keys, a new one is known to be new: %t", most, seenPage+1, !want)
		}
	}
}
