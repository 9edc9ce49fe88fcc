package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
)

// Two overlays over a store read as one plain map would.
func TestOverlaysReadAsOneMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		st, err := badgerstore.Open(badgerstore.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer st.Close()
		key := rapid.SampledFrom([]string{"a", "a/", "a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "b", "b/1"})
		model := map[string]string{}
		change := func(tx store.Tx) {
			for range rapid.IntRange(0, 8).Draw(rt, "writes") {
				k := key.Draw(rt, "key")
				if rapid.Bool().Draw(rt, "delete") {
					delete(model, k)
					_ = tx.Delete(k)
					continue
				}
				v := rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(rt, "value")
				model[k] = v
				_ = tx.Put(k, []byte(v))
			}
		}
		if err := st.Update(context.Background(), func(tx store.Tx) error { clear(model); change(tx); return nil }); err != nil {
			rt.Fatal(err)
		}
		_ = st.View(context.Background(), func(r store.Reader) error {
			low := newOverlay(r)
			change(low)
			top := low.above()
			for range rapid.IntRange(0, 3).Draw(rt, "actions before") {
				kept := maps.Clone(model)
				change(top)
				sameKeys(rt, top, model)
				if rapid.Bool().Draw(rt, "it fails") {
					model = kept
				} else {
					low.merge(top, 0)
				}
				top.reset()
				sameKeys(rt, top, model)
			}
			change(top)
			prefix, reverse := rapid.SampledFrom([]string{"a/", "a", "b", ""}).Draw(rt, "prefix"), rapid.Bool().Draw(rt, "reverse")
			after := ""
			if rapid.Bool().Draw(rt, "from the middle") {
				after = prefix + rapid.SampledFrom([]string{"2", "4", "/3"}).Draw(rt, "after")
			}
			limit := rapid.IntRange(1, 6).Draw(rt, "limit")
			got, err := top.Scan(prefix, after, reverse, limit)
			if err != nil {
				rt.Fatal(err)
			}
			want := naiveScan(model, prefix, after, reverse, limit)
			if !slices.EqualFunc(got, want, func(e store.Entry, k string) bool { return e.Key == k && string(e.Value) == model[k] }) {
				rt.Fatalf("scan %q after %q reverse %v limit %d: got %v, want %v", prefix, after, reverse, limit, got, want)
			}
			sameKeys(rt, top, model)
			return nil
		})
	})
}

// sameKeys reads every key twice, since the second answer comes from another place.
func sameKeys(rt *rapid.T, tx store.Tx, model map[string]string) {
	for _, k := range []string{"a", "a/", "a/1", "a/4", "b/1", "nope", "nope", "b/1", "a/4", "a/1", "a/", "a"} {
		v, err := tx.Get(k)
		if m, ok := model[k]; ok != (err == nil) || string(v) != m {
			rt.Fatalf("get %s: %q, %v; want %q, present %v", k, v, err, m, ok)
		}
	}
}

func naiveScan(m map[string]string, prefix, after string, reverse bool, limit int) []string {
	keys := slices.Sorted(maps.Keys(m))
	if reverse {
		slices.Reverse(keys)
	}
	keys = slices.DeleteFunc(keys, func(k string) bool {
		return !strings.HasPrefix(k, prefix) || after != "" && (!reverse && k <= after || reverse && k >= after)
	})
	return keys[:min(limit, len(keys))]
}

// However many keys are written, each is found and stands once, in the order in which
// they came.
func TestWritesAreFoundHoweverManyThereAre(t *testing.T) {
	var w writes
	for range 2 {
		var order []string
		model := map[string]int{}
		for i := range 100 {
			k := fmt.Sprint(i * i % 61)
			if _, known := model[k]; !known {
				order = append(order, k)
			}
			model[k] = i
			w.put(written{key: k, value: []byte(fmt.Sprint(i)), by: i})
			for k, by := range model {
				if got := w.find(k); got == nil || got.by != by || string(got.value) != fmt.Sprint(by) {
					t.Fatalf("after %d writes %s is %+v, want %d", i+1, k, got, by)
				}
			}
			if w.find("none") != nil || len(w.list) != len(order) {
				t.Fatalf("after %d writes there are %d keys, want %d", i+1, len(w.list), len(order))
			}
		}
		for i, k := range order {
			if w.list[i].key != k {
				t.Errorf("key %d is %s, want %s", i, w.list[i].key, k)
			}
		}
		if len(order) <= shortList {
			t.Fatal("too few keys to tell")
		}
		if w.reset(); len(w.list) != 0 || w.find("0") != nil {
			t.Error("it remembers what was before")
		}
	}
}

// An action that reads a month of payments does not hold them all in memory.
func TestAnOverlayRemembersOnlySoMuch(t *testing.T) {
	o := newOverlay(everything{})
	for range 2 {
		for i := range 2 * maxReads {
			k := fmt.Sprint(i)
			if v, err := o.Get(k); err != nil || string(v) != k {
				t.Fatalf("get %s: %q, %v", k, v, err)
			}
		}
	}
	if len(o.reads) != maxReads {
		t.Errorf("it remembers %d, want %d", len(o.reads), maxReads)
	}
}

// everything has every key, with itself for a value.
type everything struct{ store.Reader }

func (everything) Get(key string) ([]byte, error) { return []byte(key), nil }
