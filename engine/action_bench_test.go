package engine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/tokens/seal"
)

// shelf is what a store holds that costs next to nothing, for what is measured
// above it.
type shelf map[string][]byte

func (s shelf) Get(key string) ([]byte, error) {
	if v, ok := s[key]; ok {
		return v, nil
	}
	return nil, store.ErrNotFound
}

func (s shelf) Scan(prefix, after string, reverse bool, limit int) ([]store.Entry, error) {
	o := newOverlay(nothing{})
	for k, v := range s {
		if strings.HasPrefix(k, prefix) {
			o.writes.put(written{key: k, value: v})
		}
	}
	return o.Scan(prefix, after, reverse, limit)
}

func (s shelf) Put(key string, value []byte) error {
	s[key] = append([]byte{}, value...)
	return nil
}

// forgetful is a shelf that keeps no payment, so that it does not grow: what is read of
// one again is still warm.
type forgetful struct{ shelf }

func (s forgetful) Put(key string, value []byte) error {
	for _, part := range []string{"/request/", "/dedup/", "/audit/", "/index/", "/open/", "/paid/"} {
		if strings.Contains(key, part) {
			return nil
		}
	}
	return s.shelf.Put(key, value)
}

func (s shelf) Delete(key string) error { delete(s, key); return nil }

// room is a shelf with a lock.
type room struct {
	sync.Mutex
	shelf   shelf
	forgets bool
}

func (r *room) View(_ context.Context, fn func(store.Reader) error) error {
	r.Lock()
	defer r.Unlock()
	return fn(r.shelf)
}

func (r *room) Update(_ context.Context, fn func(store.Tx) error) error {
	r.Lock()
	defer r.Unlock()
	if r.forgets {
		return fn(forgetful{r.shelf})
	}
	return fn(r.shelf)
}

func (r *room) Close() error    { return nil }
func (r *room) Exclusive() bool { return true }

// BenchmarkActions is the processor time of one payment within a batch of 64: its
// Authorize and its Finish, with their share of the audit entries and without the
// store's. All of it but what is done before the action holds up everybody else.
func BenchmarkActions(b *testing.B) {
	st := &room{shelf: make(shelf)}
	e, err := Open(context.Background(), Options{Store: st, Sealer: seal.FromBytes([32]byte{1})})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	often := 1 << 30
	if _, err := e.CreatePolicy(context.Background(), policy.Policy{
		Name: "hot", Unit: "USD", Active: true, PerMinute: &often, PerHour: &often, MaxSingle: spend.NewAmount("USD", 10000),
		Daily: spend.NewAmount("USD", 1<<50), Monthly: spend.NewAmount("USD", 1<<50),
	}); err != nil {
		b.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // until the ledger was verified
	st.forgets = true
	const batch = 64
	var ids [batch]spend.ID
	var calls [batch]*call
	commit := func(act func(i int) action) {
		var ps [batch]*pending
		for i := range ps {
			ps[i] = e.commit.idle.take(act(i))
		}
		for left := ps[:]; len(left) > 0; {
			left = e.commit.commit(left)
		}
		for _, p := range ps {
			if <-p.told; p.err != nil {
				b.Fatal(p.err)
			}
			e.commit.idle.giveBack(p)
		}
	}
	amount, n := spend.NewAmount("USD", 2000), 0
	b.ReportAllocs()
	for b.Loop() {
		if n%batch == 0 {
			commit(func(i int) action {
				in := spend.Intent{
					Agent: "default", Rail: "stripe", Class: spend.Spend, Operation: "payment_intents.create", Network: "stripe", Mode: spend.Test,
					DedupKey: fmt.Sprintf("%064x", n+i), Fingerprint: fmt.Sprintf("%064x", ^uint64(n+i)),
					Legs: []spend.Leg{{Kind: spend.Charge, Amount: amount}},
				}
				ids[i] = spend.NewID(time.Now())
				calls[i] = e.keys.newCall(ids[i], in)
				return e.authorizing(calls[i])
			})
			commit(func(i int) action {
				return e.finishing(ids[i], spend.Outcome{Result: spend.Happened, Receipt: spend.Receipt{
					Source: spend.FromWire, TransactionID: fmt.Sprintf("pi_%024d", n+i), Status: "succeeded", Amount: amount,
					RequestID: "req_benchmarkSuite", HTTPStatus: 200,
				}}, nil, [32]byte{})
			})
		}
		n++
	}
	if next := calls[0].next; next != spend.Forward {
		b.Errorf("payments were ruled on with %s", next)
	}
}

// BenchmarkHandOver is the processor time of one action of 64 callers beside what it
// does itself: of waiting for its batch, and of being answered.
func BenchmarkHandOver(b *testing.B) {
	e, err := Open(context.Background(), Options{Store: &room{shelf: make(shelf)}, Sealer: seal.FromBytes([32]byte{1})})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	nothing := func(*txn) error { return nil }
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		for pb.Next() {
			if err := e.commit.do(ctx, nothing); err != nil {
				b.Error(err)
			}
		}
	})
}
