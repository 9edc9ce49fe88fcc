package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/store"
)

func absentKey(t *testing.T, open opener) {
	s := open.fresh(t)
	check := func(r store.Reader) {
		if v, err := r.Get("nothing"); !errors.Is(err, store.ErrNotFound) || v != nil {
			t.Errorf("Get = %q, %v, want ErrNotFound", v, err)
		}
		if page, err := r.Scan("nothing", "", false, 10); err != nil || len(page) != 0 {
			t.Errorf("Scan = %v, %v, want no entries", page, err)
		}
	}
	if err := s.View(context.Background(), func(r store.Reader) error { check(r); return nil }); err != nil {
		t.Error(err)
	}
	err := s.Update(context.Background(), func(tx store.Tx) error {
		if err := tx.Delete("nothing"); err != nil {
			t.Errorf("Delete of an absent key: %v", err)
		}
		check(tx)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func roundTrip(t *testing.T, open opener) {
	s := open.fresh(t)
	want := map[string]string{
		"empty":          "",
		"zeros":          "\x00\x00",
		"all ones":       "\xff\xff",
		"not utf-8":      "\xc3\x28\xa0",
		"\x00key":        "a key of any bytes",
		"\xff\xfe\x00":   "and another",
		"k":              "short",
		"as large as it": strings.Repeat("v", 256<<10),
	}
	for k, v := range want {
		put(t, s, k, v)
	}
	put(t, s, "k", "overwritten")
	want["k"] = "overwritten"
	for k, v := range want {
		if got, ok := get(t, s, k); !ok || got != v {
			t.Errorf("%q: got %d bytes (found %t), want %d bytes", k, len(got), ok, len(v))
		}
	}
	err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Delete("k") })
	if err != nil {
		t.Fatal(err)
	}
	wantAbsent(t, s, "k")
}

func valuesAreCopies(t *testing.T, open opener) {
	s := open.fresh(t)
	put(t, s, "old", "before")
	spoil := func(v []byte, err error) {
		if err != nil {
			t.Error(err)
		}
		for i := range v {
			v[i] = '!'
		}
	}
	err := s.Update(context.Background(), func(tx store.Tx) error {
		mine := []byte("before")
		if err := tx.Put("new", mine); err != nil {
			return err
		}
		spoil(mine, nil)
		for _, key := range []string{"old", "new"} {
			spoil(tx.Get(key))
			page, err := tx.Scan(key, "", false, 1)
			if err != nil || len(page) != 1 {
				return fmt.Errorf("scan %s: %d entries, %w", key, len(page), err)
			}
			spoil(page[0].Value, nil)
			if v, err := tx.Get(key); err != nil || string(v) != "before" {
				t.Errorf("inside, %s = %q, %v, want it unspoilt", key, v, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"old", "new"} {
		if err := s.View(context.Background(), func(r store.Reader) error { spoil(r.Get(key)); return nil }); err != nil {
			t.Error(err)
		}
		if v, _ := get(t, s, key); v != "before" {
			t.Errorf("afterwards %s = %q, want it unspoilt", key, v)
		}
	}
}

func ownWrites(t *testing.T, open opener) {
	s := open.fresh(t)
	put(t, s, "o/changed", "old")
	put(t, s, "o/deleted", "old")
	put(t, s, "o/back", "old")
	err := s.Update(context.Background(), func(tx store.Tx) error {
		err := errors.Join(
			tx.Put("o/changed", []byte("new")), tx.Put("o/added", []byte("new")), tx.Delete("o/deleted"),
			tx.Delete("o/back"), tx.Put("o/back", []byte("new")),
			tx.Put("o/gone", []byte("new")), tx.Delete("o/gone"))
		if err != nil {
			return err
		}
		for _, k := range []string{"o/added", "o/back", "o/changed"} {
			if v, err := tx.Get(k); err != nil || string(v) != "new" {
				t.Errorf("Get(%s) = %q, %v, want new", k, v, err)
			}
		}
		for _, k := range []string{"o/deleted", "o/gone"} {
			if v, err := tx.Get(k); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Get(%s) = %q, %v, want ErrNotFound", k, v, err)
			}
		}
		want := []string{"o/added=new", "o/back=new", "o/changed=new"}
		wantScan(t, tx, "o/", "", false, 10, want)
		slices.Reverse(want)
		wantScan(t, tx, "o/", "", true, 10, want)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(context.Background(), func(r store.Reader) error {
		wantScan(t, r, "o/", "", false, 10, []string{"o/added=new", "o/back=new", "o/changed=new"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// scanPages compares Scan with a sorted list for every combination of awkward
// prefixes, positions, directions and limits: on what is committed, and in a
// transaction that has itself written half of it.
func scanPages(t *testing.T, open opener) {
	s := open.fresh(t)
	keys := []string{
		"\x00", "a", "a/", "a/\x00", "a/1", "a/10", "a/2", "a/é", "a/\xff", "a/\xff\x00", "a/\xff\xff", "a/\xff\xff/x",
		"a0", "b", "b/1", "\xfe", "\xff", "\xff\x00", "\xff\xff", "\xff\xff\xff",
	}
	committed, all := map[string]string{}, map[string]string{}
	for i, k := range keys {
		if i%2 == 0 {
			put(t, s, k, "old")
			committed[k] = "old"
		}
		if i%3 == 0 {
			put(t, s, k+"~", "deleted inside")
			committed[k+"~"] = "deleted inside"
		}
	}
	err := s.View(context.Background(), func(r store.Reader) error { scanAll(t, r, keys, committed); return nil })
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(context.Background(), func(tx store.Tx) error {
		all = maps.Clone(committed)
		for i, k := range keys {
			if i%2 == 1 || i%4 == 0 {
				if err := tx.Put(k, []byte("mine")); err != nil {
					return err
				}
				all[k] = "mine"
			}
			if err := tx.Delete(k + "~"); err != nil {
				return err
			}
			delete(all, k+"~")
		}
		scanAll(t, tx, keys, all)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(context.Background(), func(r store.Reader) error { scanAll(t, r, keys, all); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func scanAll(t *testing.T, r store.Reader, keys []string, content map[string]string) {
	t.Helper()
	sorted := slices.Sorted(maps.Keys(content))
	for _, prefix := range append(keys, "", "a/\xff\xff\xff", "zz") {
		for _, after := range append(keys, "", "a/\xff~", "b/", "\xff\xff\xff\xff") {
			for _, reverse := range []bool{false, true} {
				var want []string
				for _, k := range sorted {
					if strings.HasPrefix(k, prefix) && (after == "" || (k > after) != reverse && k != after) {
						want = append(want, k+"="+content[k])
					}
				}
				if reverse {
					slices.Reverse(want)
				}
				for _, limit := range []int{0, 1, 3, 100} {
					wantScan(t, r, prefix, after, reverse, limit, want[:min(limit, len(want))])
				}
			}
		}
	}
}

// wantScan compares one page with entries written key=value.
func wantScan(t *testing.T, r store.Reader, prefix, after string, reverse bool, limit int, want []string) {
	t.Helper()
	page, err := r.Scan(prefix, after, reverse, limit)
	if err != nil {
		t.Fatalf("Scan(%q, %q, %t, %d): %v", prefix, after, reverse, limit, err)
	}
	var got []string
	for _, e := range page {
		got = append(got, e.Key+"="+string(e.Value))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("Scan(%q, %q, %t, %d)\n got %q\nwant %q", prefix, after, reverse, limit, got, want)
	}
}

func viewIsOneSnapshot(t *testing.T, open opener) {
	s := open.fresh(t)
	put(t, s, "s/1", "before")
	err := s.View(context.Background(), func(r store.Reader) error {
		if v, err := r.Get("s/1"); err != nil || !bytes.Equal(v, []byte("before")) {
			t.Errorf("s/1 = %q, %v", v, err)
		}
		put(t, s, "s/1", "after")
		put(t, s, "s/2", "after")
		if v, err := r.Get("s/1"); err != nil || string(v) != "before" {
			t.Errorf("after a write elsewhere s/1 = %q, %v, want what it was", v, err)
		}
		wantScan(t, r, "s/", "", false, 10, []string{"s/1=before"})
		wantScan(t, r, "s/", "", true, 10, []string{"s/1=before"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := get(t, s, "s/1"); v != "after" {
		t.Errorf("a later view sees s/1 = %q, want after", v)
	}
}
