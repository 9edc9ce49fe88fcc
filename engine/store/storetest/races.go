package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/store"
)

// runsAgain lets a rival write while fn is between its Get and its Put. A
// backend that keeps the rival waiting has no conflict; the sum must be right
// in either case.
func runsAgain(t *testing.T, open opener) {
	for _, c := range []struct {
		sentence string
		before   string // "" = absent
		rival    func(store.Tx) error
		want     []string // what the key may hold at the end: rival first, rival last
	}{
		{"from one value to another", "1", add("k", 10), []string{"12", "12"}},
		{"from absent to present", "", add("k", 10), []string{"11", "11"}},
		{"from present to absent", "5", func(tx store.Tx) error { return tx.Delete("k") }, []string{"1", ""}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := open.fresh(t)
			if c.before != "" {
				put(t, s, "k", c.before)
			}
			rival := make(chan error, 1)
			runs, overtaken := 0, false
			err := s.Update(context.Background(), func(tx store.Tx) error {
				if runs++; runs > 1 {
					return add("k", 1)(tx)
				}
				if _, err := tx.Get("k"); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				go func() { rival <- s.Update(context.Background(), c.rival) }()
				select {
				case err := <-rival:
					rival <- err
					overtaken = true
				case <-time.After(500 * time.Millisecond):
				}
				return add("k", 1)(tx)
			})
			if err := errors.Join(err, <-rival); err != nil {
				t.Fatal(err)
			}
			if overtaken && runs < 2 {
				t.Error("fn was overtaken by a rival and did not run again")
			}
			if got, _ := get(t, s, "k"); got != c.want[0] && (overtaken || got != c.want[1]) {
				t.Errorf("k = %q, want one of %q", got, c.want)
			}
		})
	}
}

// add returns a fn that adds n to the decimal number at key, absent = 0.
func add(key string, n int) func(store.Tx) error {
	return func(tx store.Tx) error {
		sum := 0
		b, err := tx.Get(key)
		if err == nil {
			sum, err = strconv.Atoi(string(b))
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return tx.Put(key, []byte(strconv.Itoa(sum+n)))
	}
}

func hotKey(t *testing.T, open opener) {
	s := open.fresh(t)
	const workers, each = 8, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if err := s.Update(context.Background(), add("hot", 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if v, _ := get(t, s, "hot"); v != strconv.Itoa(workers*each) {
		t.Errorf("hot = %s, want %d", v, workers*each)
	}
}

func oneWinner(t *testing.T, open opener) {
	s := open.fresh(t)
	for i := range 25 {
		key := fmt.Sprintf("once/%d", i)
		var wins atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				won := false
				err := s.Update(context.Background(), func(tx store.Tx) error {
					won = false
					if _, err := tx.Get(key); !errors.Is(err, store.ErrNotFound) {
						return err
					}
					won = true
					return tx.Put(key, []byte("x"))
				})
				if err != nil {
					t.Error(err)
				} else if won {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		if n := wins.Load(); n != 1 {
			t.Fatalf("%s has %d winners", key, n)
		}
	}
}

// noWriteSkew has two transactions each write its own key only if the other's
// is absent. They meet after the reads, so that a backend which checks written
// keys alone is sure to let both through.
func noWriteSkew(t *testing.T, open opener) {
	s := open.fresh(t)
	for i := range 10 {
		keys := [2]string{fmt.Sprintf("skew/%d/a", i), fmt.Sprintf("skew/%d/b", i)}
		var met sync.WaitGroup
		met.Add(len(keys))
		both := make(chan struct{})
		go func() { met.Wait(); close(both) }()
		var wg sync.WaitGroup
		for me := range keys {
			wg.Go(func() {
				meet := sync.OnceFunc(func() {
					met.Done()
					select {
					case <-both:
					case <-time.After(500 * time.Millisecond): // the backend keeps one waiting
					}
				})
				err := s.Update(context.Background(), func(tx store.Tx) error {
					_, err := tx.Get(keys[1-me])
					meet()
					if !errors.Is(err, store.ErrNotFound) {
						return err
					}
					return tx.Put(keys[me], []byte("x"))
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		_, a := get(t, s, keys[0])
		_, b := get(t, s, keys[1])
		if a == b {
			t.Fatalf("round %d: a written %t, b written %t, want exactly one", i, a, b)
		}
	}
}
