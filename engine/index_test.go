package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// Whatever is listed and marked, in whatever batches, the index yields what a plain
// list would, and keeps a key of each chunk that may have what is looked for.
func TestTheIndexReadsAsOneList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		st, err := badgerstore.Open(badgerstore.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer st.Close()
		k := newKeys("main")
		next := uint64(rapid.SampledFrom([]int{0, 1, 60, 64 * 999}).Draw(rt, "first"))
		var model []listed
		for range rapid.IntRange(1, 8).Draw(rt, "batches") {
			err := st.Update(context.Background(), func(tx store.Tx) error {
				o := newOverlay(tx)
				for range rapid.IntRange(1, 60).Draw(rt, "changes") {
					if rapid.IntRange(0, 2).Draw(rt, "what") > 0 || len(model) == 0 {
						l := listed{next, spend.NewID(time.Now()), rapid.SampledFrom([]marks{0, openMark, openMark, openMark | agelessMark}).Draw(rt, "marks")}
						if err := k.enlist(o, l.seq, l.id, l.marks); err != nil {
							return err
						}
						model = append(model, l)
						next += uint64(rapid.SampledFrom([]int{1, 1, 1, 1, 1, 1, 1, 2, 70}).Draw(rt, "gap"))
						continue
					}
					l := &model[rapid.IntRange(0, len(model)-1).Draw(rt, "which")]
					set := rapid.SampledFrom([]marks{0, 0, 0, agelessMark, openMark}).Draw(rt, "set")
					if err := k.remark(o, l.seq, set, openMark&^set); err != nil {
						return err
					}
					l.marks = l.marks&^openMark | set
				}
				sameList(rt, k, o, model)
				for _, w := range o.writes.list {
					if w.value == nil {
						_ = tx.Delete(w.key)
					} else {
						_ = tx.Put(w.key, w.value)
					}
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
			_ = st.View(context.Background(), func(r store.Reader) error { sameList(rt, k, r, model); return nil })
		}
	})
}

func sameList(rt *rapid.T, k keys, r store.Reader, model []listed) {
	for _, m := range []marks{anyMark, openMark, agelessMark} {
		var want []listed
		for _, l := range model {
			if m == anyMark || l.marks&m != 0 {
				want = append(want, l)
			}
		}
		var got []listed
		for l, err := range k.oldest(r, m) {
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, l)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("oldest first with %b:\n%v\nwant\n%v", m, got, want)
		}
		below := latest - uint64(0)
		if len(model) > 0 && rapid.Bool().Draw(rt, "bounded") {
			below = rapid.Uint64Range(model[0].seq, model[len(model)-1].seq+2).Draw(rt, "below")
			want = slices.DeleteFunc(want, func(l listed) bool { return l.seq >= below })
		}
		got = nil
		for l, err := range k.newest(r, m, below) {
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, l)
		}
		slices.Reverse(want)
		if !slices.Equal(got, want) {
			rt.Fatalf("newest first below %d with %b:\n%v\nwant\n%v", below, m, got, want)
		}
	}
	chunks := map[uint64][]listed{}
	for _, l := range model {
		chunks[l.seq>>chunkBits] = append(chunks[l.seq>>chunkBits], l)
	}
	for n, ls := range chunks {
		for _, m := range []marks{openMark, agelessMark} {
			has := slices.ContainsFunc(ls, func(l listed) bool { return l.marks&m != 0 })
			_, err := r.Get(k.chunksWith(m) + ordered(n))
			if has && err != nil || !has && err == nil && (len(ls) == chunkLength || m == agelessMark) {
				rt.Fatalf("chunk %d of %v: its key for %b: %v", n, ls, m, err)
			}
		}
	}
}

func TestAnIndexThatCannotBeReadIsRefused(t *testing.T) {
	id := spend.NewID(time.Now())
	k := newKeys("main")
	sound := func() []byte {
		o := newOverlay(nothing{})
		for seq := range uint64(3) {
			if err := k.enlist(o, seq, id, openMark); err != nil {
				t.Fatal(err)
			}
		}
		return o.writes.find(k.index(0)).value
	}
	for _, c := range []struct {
		sentence string
		damage   func([]byte) []byte
	}{
		{"another format", func(b []byte) []byte { b[0] = 2; return b }},
		{"an empty value", func([]byte) []byte { return []byte{} }},
		{"a format byte alone", func(b []byte) []byte { return b[:1] }},
		{"half an entry", func(b []byte) []byte { return b[:len(b)-1] }},
		{"an entry twice", func(b []byte) []byte { return append(b, b[len(b)-chunkEntry:]...) }},
		{"entries out of order", func(b []byte) []byte { b[chunkHead] |= 7; return b }},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			o := newOverlay(nothing{})
			_ = o.Put(k.index(0), c.damage(sound()))
			_ = o.Put(k.chunksWith(openMark)+ordered(0), nil)
			for _, m := range []marks{anyMark, openMark} {
				for _, err := range k.newest(o, m, latest) {
					if err == nil {
						t.Errorf("with %b it was read", m)
					}
				}
			}
			if err := k.remark(o, 1, 0, openMark); err == nil {
				t.Error("it was written")
			}
		})
	}
	o := newOverlay(nothing{})
	_ = o.Put(k.index(0), sound())
	if k.enlist(o, 2, id, 0) == nil || k.enlist(o, 3, "not-an-id", 0) == nil || k.enlist(o, 3, spend.ID(strings.ToUpper(string(id))), 0) == nil || k.remark(o, 9, 0, openMark) == nil {
		t.Error("what cannot be listed was")
	}
}

// nothing is a store that is empty.
type nothing struct{}

func (nothing) Get(string) ([]byte, error) { return nil, store.ErrNotFound }

func (nothing) Scan(string, string, bool, int) ([]store.Entry, error) { return nil, nil }

// A page that ends because enough was looked at misses nothing.
func TestAPageThatEndsEarlyMissesNothing(t *testing.T) {
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx := context.Background()
	e, err := Open(ctx, Options{Store: st, Sealer: seal.FromBytes([32]byte{1})})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	in := spend.Intent{Agent: "first", Rail: "stripe", Class: spend.Spend, Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1)}}}
	first, err := e.Authorize(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	in.Agent = "other"
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range maxLooked / 50 {
				if _, err := e.Authorize(ctx, in); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f := Filter{Agent: "first"}
	var found []string
	for range 3 {
		page, err := e.Requests(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Requests {
			found = append(found, string(r.ID))
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if want := string(first.Request.ID); fmt.Sprint(found) != fmt.Sprint([]string{want}) {
		t.Errorf("found %v, want %s", found, want)
	}
}
