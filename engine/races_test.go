package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// together has acts wait for one batch, in their order, and returns their errors.
func together(t *testing.T, c *committer, g *gated, acts ...func() error) []error {
	t.Helper()
	g.gate, g.entered = make(chan struct{}), make(chan struct{}, 100)
	errs := make([]error, len(acts))
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.do(context.Background(), put("first", "1")) })
	<-g.entered // the first caller leads a batch of its own
	for i, act := range acts {
		wg.Go(func() { errs[i] = act() })
		waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.queue) == i+1 })
	}
	close(g.gate)
	wg.Wait()
	return errs
}

// A key that is revoked while it is being rotated stays revoked: the second
// action of a batch must see the first.
func TestAKeyEndedTwiceInOneBatch(t *testing.T) {
	const revoke, rotate = time.Duration(0), 24 * time.Hour
	for name, c := range map[string]struct {
		first, second time.Duration
		opens         bool
		err           error
	}{
		"revoked, then rotated": {revoke, rotate, false, spend.InvalidState},
		"rotated, then revoked": {rotate, revoke, false, nil},
		"revoked twice":         {revoke, revoke, false, spend.InvalidState},
		"rotated twice":         {rotate, rotate, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { goleak.VerifyNone(t) })
			st, err := badgerstore.Open(badgerstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = st.Close() })
			g := &gated{Store: st}
			e, err := Open(t.Context(), Options{Store: g, Sealer: seal.FromBytes([32]byte{1})})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.Close)
			k, err := e.AddAPIKey(t.Context(), Actor{}, APIKey{Prefix: "outgo_ABcd1234", Role: "admin", Digest: "d"})
			if err != nil {
				t.Fatal(err)
			}
			end := func(grace time.Duration) func() error {
				return func() error { _, err := e.EndAPIKey(context.Background(), Actor{}, string(k.ID), grace); return err }
			}
			errs := together(t, e.commit, g, end(c.first), end(c.second))
			if errs[0] != nil || !errors.Is(errs[1], c.err) {
				t.Errorf("got %v, want none and then %v", errs, c.err)
			}
			if _, err := e.Authenticate("d"); (err == nil) != c.opens {
				t.Errorf("the key opens: %t (%v), want %t", err == nil, err, c.opens)
			}
		})
	}
}

// A store that panics once, at the given commit.
type panicky struct {
	store.Store
	at, commits int
}

func (p *panicky) Update(ctx context.Context, fn func(store.Tx) error) error {
	if p.commits++; p.commits == p.at {
		panic("out of order")
	}
	return p.Store.Update(ctx, fn)
}

// Nobody knows what a store that panics has written. Every caller gets an answer,
// those of the batch and those that come later, and none of them is left waiting.
func TestAStoreThatPanicsStopsTheLedger(t *testing.T) {
	c, g := testCommitter(t)
	g.Store = &panicky{Store: g.Store, at: 2}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	try := func(key string) func() error {
		return func() (err error) {
			defer func() {
				if r := recover(); r != nil { // the proxy recovers, and goes on
					err = fmt.Errorf("panic: %v", r)
				}
			}()
			return c.do(ctx, put(key, "1"))
		}
	}
	for i, err := range append(together(t, c, g, try("a"), try("b")), try("later")()) {
		if !errors.Is(err, spend.Unavailable) || !errors.Is(err, store.ErrUnknown) {
			t.Errorf("caller %d: %v, want Unavailable, for an unknown outcome", i, err)
		}
	}
	if value(t, g, "first") != "1" || value(t, g, "later") != "" {
		t.Errorf("first=%q later=%q, want what was committed before, and nothing after", value(t, g, "first"), value(t, g, "later"))
	}
}
