package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/outgo/outgo/engine/store"
)

func errorRollsBack(t *testing.T, open opener) {
	s := open.fresh(t)
	put(t, s, "kept", "before")
	boom := errors.New("boom")
	err := s.Update(context.Background(), func(tx store.Tx) error {
		return errors.Join(tx.Put("kept", []byte("after")), tx.Put("added", []byte("x")), boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("Update = %v, want the error of fn", err)
	}
	if errors.Is(err, store.ErrUnknown) {
		t.Error("an error of fn is no unknown outcome")
	}
	if v, _ := get(t, s, "kept"); v != "before" {
		t.Errorf("kept = %q, want it as before", v)
	}
	wantAbsent(t, s, "added")
	if err := s.View(context.Background(), func(store.Reader) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("View = %v, want the error of fn", err)
	}
}

func panicRollsBack(t *testing.T, open opener) {
	s := open.fresh(t)
	for _, call := range []func(){
		func() {
			_ = s.Update(context.Background(), func(tx store.Tx) error {
				if err := tx.Put("half", []byte("x")); err != nil {
					return err
				}
				panic("boom")
			})
		},
		func() { _ = s.View(context.Background(), func(store.Reader) error { panic("boom") }) },
	} {
		func() {
			defer func() {
				if r := recover(); r != "boom" {
					t.Errorf("recovered %v, want the panic of fn", r)
				}
			}()
			call()
		}()
	}
	wantAbsent(t, s, "half")
	put(t, s, "half", "the store goes on")
}

// tooLarge fills a transaction until it is refused, and then does what a
// careless caller would: it returns nil all the same.
func tooLarge(t *testing.T, open opener) {
	s := open.fresh(t)
	value := make([]byte, 256<<10)
	var keys []string
	refused, later := error(nil), error(nil)
	err := s.Update(context.Background(), func(tx store.Tx) error {
		keys, refused = nil, nil
		for i := range (64 << 20) / len(value) {
			keys = append(keys, fmt.Sprintf("big/%04d", i))
			if refused = tx.Put(keys[i], value); refused != nil {
				break
			}
		}
		keys = append(keys, "small")
		later = tx.Put("small", []byte("x"))
		return nil
	})
	if !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Update = %v, want ErrTooLarge", err)
	}
	if refused != nil && !errors.Is(refused, store.ErrTooLarge) {
		t.Errorf("Put = %v, want ErrTooLarge", refused)
	}
	if refused != nil && later == nil {
		t.Error("a Put after a failed one succeeded, want the transaction poisoned")
	}
	if errors.Is(err, store.ErrUnknown) {
		t.Error("ErrTooLarge must be a definite error")
	}
	wantAbsent(t, s, keys...)
	put(t, s, "small", "the store goes on")
}

func doneContext(t *testing.T, open opener) {
	s := open.fresh(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	if err := s.View(ctx, func(store.Reader) error { ran = true; return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("View = %v, want context.Canceled", err)
	}
	err := s.Update(ctx, func(tx store.Tx) error { ran = true; return tx.Put("late", nil) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, want context.Canceled", err)
	}
	if ran {
		t.Error("fn ran under a context that was done")
	}
	wantAbsent(t, s, "late")
}

// contextEndsInside allows both outcomes, but the answer must be the true one.
func contextEndsInside(t *testing.T, open opener) {
	s := open.fresh(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := s.Update(ctx, func(tx store.Tx) error {
		cancel()
		return tx.Put("late", []byte("x"))
	})
	_, there := get(t, s, "late")
	if !errors.Is(err, store.ErrUnknown) && there != (err == nil) {
		t.Errorf("Update = %v, and the write is there: %t", err, there)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, want context.Canceled or nil", err)
	}
}

func useAfterClose(t *testing.T, open opener) {
	s := open(t)
	put(t, s, "k", "v")
	if err := s.Close(); err != nil {
		t.Fatalf("the first Close: %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("the second Close gave no error")
	}
	ran := false
	if err := s.View(context.Background(), func(store.Reader) error { ran = true; return nil }); err == nil {
		t.Error("View of a closed store gave no error")
	}
	err := s.Update(context.Background(), func(tx store.Tx) error { ran = true; return tx.Put("k", nil) })
	if err == nil || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Update of a closed store = %v, want a definite error", err)
	}
	if ran {
		t.Error("fn ran on a closed store")
	}
}
