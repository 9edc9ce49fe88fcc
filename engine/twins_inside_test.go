package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// Lists of twins are found by the next life's filter, and dropped when no policy can
// look back to them any more.
func TestTwinsAreRememberedAsLongAsAPolicyCanAsk(t *testing.T) {
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, now := context.Background(), time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	start := func() *Engine {
		e, err := Open(ctx, Options{Store: st, Sealer: seal.FromBytes([32]byte{1}), Clock: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := start()
	p := policy.Policy{Name: "p", Unit: "USD", Active: true, DuplicateWindow: policy.MaxDuplicateWindow}
	if _, err := e.SyncPolicies(ctx, []policy.Policy{p}); err != nil {
		t.Fatal(err)
	}
	const payments = dropPage + 10
	for n := range payments {
		in := spend.Intent{
			Agent: "a", Rail: "stripe", Class: spend.Spend, Operation: "o", Network: "stripe", Fingerprint: fmt.Sprintf("%064x", n),
			Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1)}},
		}
		if r, err := e.Authorize(ctx, in); err != nil || r.Next != spend.Forward {
			t.Fatalf("payment %d: %s, %v", n, r.Next, err)
		}
	}
	count := func() int {
		n, after := 0, ""
		err := e.view(ctx, func(r store.Reader) error {
			for {
				page, err := r.Scan(e.keys.twins(), after, false, 64)
				if err != nil || len(page) == 0 {
					return err
				}
				n, after = n+len(page), page[len(page)-1].Key
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, step := range []struct {
		pass time.Duration
		want int
	}{{0, payments}, {policy.MaxDuplicateWindow - time.Hour, payments}, {25 * time.Hour, 0}} {
		now = now.Add(step.pass)
		e.Close()
		e = start()
		e.readPrints(ctx)
		for n := range payments {
			if step.want > 0 && e.prints.isNew(twinName(fmt.Sprintf("%064x", n))) {
				t.Fatalf("after %s payment %d is taken for one without a twin", step.pass, n)
			}
		}
		if err := e.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if got := count(); got != step.want {
			t.Errorf("after %s more there are %d lists, want %d", step.pass, got, step.want)
		}
	}
	e.Close()
}
