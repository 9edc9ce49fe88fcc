package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// aged opens an engine in memory whose clock shows what at holds.
func aged(t *testing.T, at *atomic.Int64) *Engine {
	t.Helper()
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	e, err := Open(t.Context(), Options{Store: st, Sealer: seal.FromBytes([32]byte{1}), Clock: func() time.Time { return time.Unix(0, at.Load()).UTC() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// repliesKept counts the replies in the store.
func repliesKept(t *testing.T, e *Engine) (n int) {
	t.Helper()
	err := e.view(t.Context(), func(r store.Reader) error {
		all, err := r.Scan(e.keys.replies(), "", false, 1<<20)
		n = len(all)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAReplyIsKeptForADayWhateverTheSecond(t *testing.T) {
	for _, second := range []int64{0, 1, 599, 600, 601} {
		var now atomic.Int64
		settled := time.Unix(1_795_262_400+second, 1)
		now.Store(settled.UnixNano())
		e := aged(t, &now)
		if _, err := e.CreatePolicy(t.Context(), policy.Policy{Name: "p", Unit: "USD", Active: true}); err != nil {
			t.Fatal(err)
		}
		r, err := e.Authorize(t.Context(), spend.Intent{
			Agent: "a", Rail: "stripe", Class: spend.Spend, Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1)}},
		})
		if err != nil || r.Next != spend.Forward {
			t.Fatal(r.Next, err)
		}
		o := spend.Outcome{Result: spend.Happened, Reply: []byte("paid"), Receipt: spend.Receipt{Source: spend.FromWire, TransactionID: "pi_1"}}
		if err := e.Finish(t.Context(), r.Request.ID, o); err != nil {
			t.Fatal(err)
		}
		id := r.Request.ID
		for _, c := range []struct {
			sentence string
			age      time.Duration
			readable bool
			kept     bool
		}{
			{"a nanosecond before the day is over", replyKept - 1, true, true},
			{"when it is over", replyKept, false, true},
			{"ten minutes later", replyKept + replySpan*time.Second, false, false},
		} {
			now.Store(settled.Add(c.age).UnixNano())
			if err := e.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if b, err := e.Reply(t.Context(), id); (err == nil && string(b) == "paid") != c.readable || err != nil && !errors.Is(err, spend.NotFound) {
				t.Errorf("second %d, %s: %q, %v", second, c.sentence, b, err)
			}
			if kept := repliesKept(t, e) == 1; kept != c.kept {
				t.Errorf("second %d, %s: it is in the store: %t", second, c.sentence, kept)
			}
		}
	}
}

// A day under load leaves more replies than one commit could drop.
func TestManyRepliesAreDroppedInBoundedCommits(t *testing.T) {
	const old, young = 10_000, 7
	var now atomic.Int64
	start := time.Unix(1_795_262_400, 0)
	now.Store(start.UnixNano())
	e := aged(t, &now)
	write := func(n int) {
		for n > 0 {
			err := e.commit.do(t.Context(), func(tx *txn) error {
				for range min(n, 500) {
					if err := tx.Put(e.keys.reply(spend.NewID(tx.now), tx.now), []byte("sealed")); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			n -= min(n, 500)
		}
	}
	write(old)
	now.Store(start.Add(time.Hour).UnixNano())
	write(young)
	now.Store(start.Add(replyKept + time.Minute).UnixNano())
	for range 2 { // the second time there is nothing to do
		before := e.Stats()
		if err := e.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := e.Stats()
		if n := repliesKept(t, e); n != young {
			t.Fatalf("%d replies are kept, want %d", n, young)
		}
		if commits := after.Batches - before.Batches; commits > old/dropPage {
			t.Errorf("%d commits for %d replies", commits, old)
		}
		if most := uint64(dropPage * 300); after.Batches > before.Batches && (after.Bytes-before.Bytes)/(after.Batches-before.Batches) > most {
			t.Errorf("a commit wrote more than %d bytes", most)
		}
	}
	write(1) // what comes later is found as well
	now.Store(start.Add(3 * replyKept).UnixNano())
	if err := e.Sweep(t.Context()); err != nil || repliesKept(t, e) != 0 {
		t.Errorf("%d replies are kept after three days: %v", repliesKept(t, e), err)
	}
	if rep, err := e.History().Verify(context.Background()); err != nil || !rep.Sound() {
		t.Errorf("%v, %v", &rep, err)
	}
}

func TestAReplyComesOutAsItWentIn(t *testing.T) {
	p := newPacking()
	rapid.Check(t, func(rt *rapid.T) {
		reply := bytes.Repeat(rapid.SliceOf(rapid.Byte()).Draw(rt, "piece"), rapid.IntRange(0, 200).Draw(rt, "times"))
		for range rapid.IntRange(0, 4).Draw(rt, "common") {
			from := rapid.IntRange(0, len(commonText)-1).Draw(rt, "from")
			reply = append(reply, commonText[from:min(len(commonText), from+rapid.IntRange(1, 900).Draw(rt, "length"))]...)
		}
		got, err := p.unpack(p.pack(reply))
		if err != nil || !bytes.Equal(got, reply) {
			rt.Fatalf("%d bytes became %d: %v", len(reply), len(got), err)
		}
	})
	noise := make([]byte, 300<<10)
	_, _ = rand.Read(noise)
	for _, long := range [][]byte{noise, bytes.Repeat([]byte(commonText), 50), append(noise[:64<<10], commonText...), append([]byte(commonText), noise...)} {
		if got, err := p.unpack(p.pack(long)); err != nil || !bytes.Equal(got, long) {
			t.Errorf("%d bytes became %d: %v", len(long), len(got), err)
		}
	}
	text := bytes.Repeat([]byte(`  "amount_received": 2000,`+"\n"), 90)
	if n := len(p.pack(text)); n > len(text)/4 {
		t.Errorf("%d bytes of JSON are packed into %d", len(text), n)
	}
}

// Replies that are kept under one number of the form must be read with the text that
// they were packed with.
func TestAnotherTextHasAnotherNumber(t *testing.T) {
	const number, text = 2, "68febe4cbcb84e19144c4157b7ec81cfaaeb695d48899fc1a5cb0d0d595f0bb7"
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(commonText))); packed != number || got != text {
		t.Errorf("replies.txt (%s) or the number %d has changed: change both, here too", got, packed)
	}
	if b := newPacking().pack([]byte("x")); b[0] != packed {
		t.Errorf("%x", b)
	}
}

func FuzzUnpack(f *testing.F) {
	p := newPacking()
	f.Add([]byte{})
	f.Add([]byte("plain"))
	f.Add(p.pack([]byte("HTTP/1.1 200 OK")))
	f.Add([]byte{packed, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		if reply, err := p.unpack(b); err == nil && len(reply) > maxUnpacked {
			t.Fatalf("%d bytes", len(reply))
		}
	})
}
