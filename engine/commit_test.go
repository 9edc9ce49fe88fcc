package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// A gated store lets a test hold commits back and count or fail them.
type gated struct {
	store.Store
	gate    chan struct{} // one receive per commit when not nil
	entered chan struct{}
	commits atomic.Int64
	fail    atomic.Pointer[error]
}

func (g *gated) Update(ctx context.Context, fn func(store.Tx) error) error {
	if g.entered != nil {
		g.entered <- struct{}{}
	}
	if g.gate != nil {
		<-g.gate
	}
	g.commits.Add(1)
	if e := g.fail.Load(); e != nil {
		return *e
	}
	return g.Store.Update(ctx, fn)
}

// Exclusive is what the store behind it says.
func (g *gated) Exclusive() bool { return true }

func testCommitter(t *testing.T) (*committer, *gated) {
	t.Helper()
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = st.Close()
		goleak.VerifyNone(t)
	})
	g := &gated{Store: st}
	k := keys{}
	history := &History{chain: audit.New(k.prefix, seal.FromBytes([32]byte{1}).Digest)}
	return newCommitter(g, time.Now, k, history), g
}

func put(key, value string) action {
	return func(t *txn) error { return t.Put(key, []byte(value)) }
}

func value(t *testing.T, s store.Store, key string) string {
	t.Helper()
	var v []byte
	_ = s.View(context.Background(), func(r store.Reader) error { v, _ = r.Get(key); return nil })
	return string(v)
}

func TestWhatWaitsIsCommittedTogether(t *testing.T) {
	c, g := testCommitter(t)
	g.gate, g.entered = make(chan struct{}), make(chan struct{}, 100)
	ctx := context.Background()
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.do(ctx, put("first", "1")) })
	<-g.entered // the first caller leads a batch of its own
	for i := range 50 {
		wg.Go(func() {
			if err := c.do(ctx, put(fmt.Sprint("k", i), "1")); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.queue) == 50 })
	close(g.gate)
	wg.Wait()
	if n := g.commits.Load(); n != 2 {
		t.Errorf("51 actions took %d commits, want 2", n)
	}
	for i := range 50 {
		if value(t, g, fmt.Sprint("k", i)) != "1" {
			t.Errorf("k%d is missing", i)
		}
	}
	_ = g.View(ctx, func(r store.Reader) error {
		entries, err := r.Scan("audit/", "", false, 100)
		head, herr := c.chain.Head(r)
		if err != nil || herr != nil || len(entries) != 2 || head.Seq != 51 {
			t.Errorf("the %d audit entries have %d keys, want 51 with 2: %v %v", head.Seq, len(entries), err, herr)
		}
		rep, err := c.chain.Verify(ctx, r, audit.Scope{Whole: true, Unanchored: true})
		if err != nil || !rep.Sound() || rep.Entries != 51 {
			t.Errorf("%s, %v", &rep, err)
		}
		return nil
	})
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 5000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the condition did not come true within 5 s")
}

// One batch is forced, so that the good actions stand beside the bad ones.
func TestABadActionLeavesNoTraceAndHarmsNoOther(t *testing.T) {
	c, g := testCommitter(t)
	g.gate, g.entered = make(chan struct{}), make(chan struct{}, 100)
	ctx := context.Background()
	boom := errors.New("boom")
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.do(ctx, put("first", "1")) })
	<-g.entered
	var ran [6]bool
	acts := []action{
		put("a", "1"),
		func(t *txn) error { _ = t.Put("bad", nil); _ = t.Put("a", []byte("spoilt")); return boom },
		func(t *txn) error { _ = t.Put("bad", nil); panic("at the disco") },
		func(t *txn) error { t.then(func() { ran[3] = true }); return t.Put("b", []byte("1")) },
		func(t *txn) error { return t.Put("bad", make([]byte, maxValueBytes+1)) },
		func(t *txn) error { t.then(func() { ran[5] = true }); return boom },
	}
	errs := make([]error, len(acts))
	for i, a := range acts {
		wg.Go(func() { errs[i] = c.do(ctx, a) })
	}
	waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.queue) == len(acts) })
	close(g.gate)
	wg.Wait()
	for i, want := range []error{nil, boom, spend.Unavailable, nil, spend.Invalid, boom} {
		if !errors.Is(errs[i], want) {
			t.Errorf("action %d: %v, want %v", i, errs[i], want)
		}
	}
	if value(t, g, "a") != "1" || value(t, g, "b") != "1" || value(t, g, "bad") != "" {
		t.Errorf("a=%q b=%q bad=%q", value(t, g, "a"), value(t, g, "b"), value(t, g, "bad"))
	}
	if !ran[3] || ran[5] {
		t.Errorf("hooks ran: %v; want that of the good action only", ran)
	}
}

func TestALeaderThatLeavesIsReplaced(t *testing.T) {
	c, g := testCommitter(t)
	g.gate, g.entered = make(chan struct{}), make(chan struct{}, 100)
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.do(context.Background(), put("first", "1")) })
	<-g.entered
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error)
	go func() { left <- c.do(ctx, put("left", "1")) }()
	waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.queue) == 1 })
	cancel()
	if err := <-left; !errors.Is(err, spend.Unknown) {
		t.Errorf("a caller that leaves is told %v, want Unknown", err)
	}
	close(g.gate)
	wg.Wait()
	// Its action is committed all the same, by a leader that nobody waits for.
	waitFor(t, func() bool { return value(t, g, "left") == "1" })
	if err := c.do(context.Background(), put("later", "1")); err != nil {
		t.Error(err)
	}
}

func TestTheTimeOfABatchNeverGoesBack(t *testing.T) {
	c, _ := testCommitter(t)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	c.clock = func() time.Time { return now }
	at := func() (got time.Time) {
		if err := c.do(context.Background(), func(t *txn) error { got = t.now; return t.Put("x", nil) }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := at()
	now = now.Add(-time.Minute)
	if second := at(); second.Before(first) {
		t.Errorf("a batch at %s came after one at %s", second, first)
	}
}

func TestAnUnknownCommitStopsTheLedger(t *testing.T) {
	c, g := testCommitter(t)
	unknown := fmt.Errorf("sync: %w", store.ErrUnknown)
	g.fail.Store(&unknown)
	for range 2 {
		if err := c.do(context.Background(), put("a", "1")); !errors.Is(err, spend.Unavailable) {
			t.Errorf("got %v, want Unavailable", err)
		}
		g.fail.Store(nil) // a commit would succeed again, and must not be tried
	}
	if n := g.commits.Load(); n != 1 {
		t.Errorf("%d commits, want none after the unknown one", n)
	}
}

func TestADefiniteFailureConcernsItsBatchOnly(t *testing.T) {
	c, g := testCommitter(t)
	definite := errors.New("disk is full")
	g.fail.Store(&definite)
	if err := c.do(context.Background(), put("a", "1")); !errors.Is(err, spend.Unavailable) || !errors.Is(err, definite) {
		t.Errorf("got %v, want Unavailable for the cause", err)
	}
	g.fail.Store(nil)
	if err := c.do(context.Background(), put("a", "2")); err != nil || value(t, g, "a") != "2" {
		t.Errorf("after the failure: %v, a=%q", err, value(t, g, "a"))
	}
}

// A store whose transactions take less than the committer's bounds.
type narrow struct{ store.Store }

func (n narrow) Update(ctx context.Context, fn func(store.Tx) error) error {
	return n.Store.Update(ctx, func(tx store.Tx) error { return fn(&counting{Tx: tx}) })
}

type counting struct {
	store.Tx
	puts int
}

func (c *counting) Put(key string, v []byte) error {
	if c.puts++; c.puts > 4 { // what one action takes
		return store.ErrTooLarge
	}
	return c.Tx.Put(key, v)
}

func TestABatchTooLargeForTheStoreIsSplit(t *testing.T) {
	c, g := testCommitter(t)
	g.gate, g.entered = make(chan struct{}), make(chan struct{}, 100)
	c.store = &gated{Store: narrow{g.Store}, gate: g.gate, entered: g.entered}
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.do(context.Background(), put("first", "1")) })
	<-g.entered // the others are one batch
	for i := range 20 {
		wg.Go(func() {
			if err := c.do(context.Background(), put(fmt.Sprint("k", i), "1")); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.queue) == 20 })
	close(g.gate)
	wg.Wait()
	for i := range 20 {
		if value(t, g, fmt.Sprint("k", i)) != "1" {
			t.Errorf("k%d is missing", i)
		}
	}
}

// What a pending has had of one action is not that of the next which uses its memory,
// whatever became of the first.
func TestTheNextActionFindsNothingOfTheLast(t *testing.T) {
	c, _ := testCommitter(t)
	boom, ran := errors.New("boom"), 0
	for i := range 40 {
		err := c.do(context.Background(), func(t *txn) error {
			if len(t.entries)+len(t.begun)+len(t.kept)+len(t.after)+len(t.writes.list) > 0 {
				panic(fmt.Sprintf("it finds %+v", t))
			}
			t.record(audit.Entry{Event: "test"})
			t.begun, t.kept = append(t.begun, "id"), append(t.kept, kept{})
			t.then(func() { ran++ })
			if err := t.Put("k", []byte{byte(i)}); err != nil {
				return err
			}
			switch i % 3 {
			case 1:
				return boom
			case 2:
				panic("at the disco")
			}
			return nil
		})
		switch {
		case i%3 == 0 && err != nil, i%3 == 1 && !errors.Is(err, boom), i%3 == 2 && !strings.Contains(fmt.Sprint(err), "disco"):
			t.Fatalf("action %d: %v", i, err)
		}
	}
	if ran != 14 {
		t.Errorf("%d hooks ran, want those of the 14 that were kept", ran)
	}
}
