package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// A batch ends before what one transaction holds, and what was left over goes with
// the next one.
func TestABatchEndsBeforeTheBoundOfItsTransaction(t *testing.T) {
	for name, c := range map[string]struct {
		each    int // bytes that an action writes
		actions int
		commits int64 // of them all, behind the first
	}{
		"far below":                        {100, 100, 1},
		"just below":                       {maxBatchBytes/64 - 2048, 64, 1},
		"just above":                       {maxBatchBytes/64 + 64, 64, 2},
		"as large as a value may be":       {maxValueBytes, 6, 6},
		"more actions than a batch may be": {10, maxBatchActions + 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			cm, g := testCommitter(t)
			errs := make([]func() error, c.actions)
			value := string(make([]byte, c.each))
			for i := range errs {
				errs[i] = func() error { return cm.do(context.Background(), put(fmt.Sprint("k", i), value)) }
			}
			for i, err := range together(t, cm, g, errs...) {
				if err != nil {
					t.Errorf("action %d: %v", i, err)
				}
			}
			if n := g.commits.Load() - 1; n != c.commits {
				t.Errorf("%d commits, want %d", n, c.commits)
			}
			for i := range errs {
				if len(stored(t, g, fmt.Sprint("k", i))) != c.each {
					t.Errorf("k%d is not as it was written", i)
				}
			}
		})
	}
}

func stored(t *testing.T, s store.Store, key string) (v []byte) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) (err error) { v, err = r.Get(key); return err })
	if err != nil {
		t.Error(err)
	}
	return v
}

// One action that is larger than any transaction is refused, definitely and alone,
// and so is a value over its bound, however they come.
func TestAnActionTooLargeForAnyTransactionIsRefusedAlone(t *testing.T) {
	cm, g := testCommitter(t)
	huge := func(tx *txn) error {
		for i := range 400 { // 100 MiB
			if err := tx.Put(fmt.Sprintf("huge/%d", i), make([]byte, maxValueBytes)); err != nil {
				return err
			}
		}
		return nil
	}
	errs := together(t, cm, g,
		func() error { return cm.do(context.Background(), put("a", "1")) },
		func() error { return cm.do(context.Background(), huge) },
		func() error { return cm.do(context.Background(), put("b", string(make([]byte, maxValueBytes+1)))) },
		func() error { return cm.do(context.Background(), func(*txn) error { panic("in an action") }) },
		func() error { return cm.do(context.Background(), put("c", "1")) },
	)
	for i, want := range []error{nil, store.ErrTooLarge, spend.Invalid, spend.Unavailable, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("action %d: %v, want %v", i, errs[i], want)
		}
	}
	if value(t, g, "a") != "1" || value(t, g, "c") != "1" || value(t, g, "b") != "" || value(t, g, "huge/0") != "" {
		t.Error("what was refused is there, or what was not is missing")
	}
	if err := cm.standing(); err != nil {
		t.Errorf("the ledger has stopped: %v", err)
	}
	if err := cm.do(t.Context(), put("d", "1")); err != nil {
		t.Errorf("an action after it: %v", err)
	}
}
