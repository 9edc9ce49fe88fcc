package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/store"
)

// crashes copies a store's directory at each step of a fold and of making a segment
// ready: as a process leaves it that is killed there, and as a loss of power may, with
// Badger's logs as they were when it was last made sure that they are on the disk.
type crashes struct {
	t      *testing.T
	mu     sync.Mutex
	armed  bool
	dir    string
	synced map[string][]byte // Badger's logs then
	copies map[string]string // directories by step
}

func (c *crashes) step(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed {
		return
	}
	c.copies["killed at "+name+fmt.Sprint(len(c.copies))] = duplicate(c.t, c.dir)
	power := duplicate(c.t, c.dir)
	for file, content := range c.synced {
		if err := os.WriteFile(filepath.Join(power, file), content, 0o600); err != nil { //nolint:gosec // a name just listed
			c.t.Error(err)
		}
	}
	c.copies["power lost at "+name+fmt.Sprint(len(c.copies))] = power
	if name == "durable" || name == "settled" {
		c.sync()
	}
}

func (c *crashes) sync() {
	names, err := filepath.Glob(filepath.Join(c.dir, "*"+logSuffix))
	if err != nil {
		c.t.Error(err)
	}
	c.synced = make(map[string][]byte)
	for _, name := range names {
		b, err := os.ReadFile(name) //nolint:gosec // a name just listed
		if err != nil {
			c.t.Error(err)
		}
		c.synced[filepath.Base(name)] = b
	}
}

func TestNoStepOfAFoldLosesAnything(t *testing.T) {
	dir := t.TempDir()
	c := &crashes{t: t, dir: dir, copies: make(map[string]string)}
	s := open(t, dir)
	for i := range 40 { // some to be changed, some to be deleted, some to stay
		must(t, put(s, fmt.Sprintf("k/%02d", i), "folded before"))
	}
	foldNow(t, s)
	shut(t, s)

	s = openSet(t, dir, func(j *journal) { j.step = c.step })
	for i := range 10 {
		must(t, put(s, fmt.Sprintf("k/%02d", i), strings.Repeat("changed ", 1000*i)))
	}
	must(t, s.Update(context.Background(), func(tx store.Tx) error { return errors.Join(tx.Delete("k/10"), tx.Put("new", nil)) }))
	want := content(t, s)
	spare := <-s.journal.spares // so that the segments of the fold are used again at once
	g := s.journal.live
	c.mu.Lock()
	c.sync()
	c.armed = true
	c.mu.Unlock()
	s.journal.turn.Lock()
	s.journal.freeze(spare)
	s.journal.turn.Unlock()
	<-g.dropped
	rest(t, s)
	c.mu.Lock()
	c.armed = false
	c.mu.Unlock()
	c.copies["at the end"] = duplicate(t, dir)
	shut(t, s)

	for _, at := range slices.Sorted(maps.Keys(c.copies)) {
		for life := range 2 {
			again := open(t, c.copies[at])
			if got := content(t, again); !maps.Equal(got, want) {
				t.Errorf("%s, start %d: %d keys, want %d", at, life, len(got), len(want))
			}
			if life == 1 {
				must(t, put(again, "goes", "on"))
				foldNow(t, again)
				if !has(t, again, "goes", "on") || !has(t, again, "new", "") || has(t, again, "k/10", "folded before") {
					t.Errorf("%s: it does not go on", at)
				}
			}
			shut(t, again)
		}
	}
	for _, name := range []string{"begin", "chunk", "written", "durable", "noted", "settled", "unnamed", "headed", "named"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(c.copies)), func(at string) bool { return strings.Contains(at, "at "+name) }) {
			t.Errorf("no crash at %q", name)
		}
	}
}

// Badger alone holds all that was folded, and its note says how far.
func TestWhatIsFoldedIsInBadger(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, put(s, "gone", "v"))
	foldNow(t, s)
	must(t, put(s, "k", "v"))
	must(t, s.Update(context.Background(), func(tx store.Tx) error { return tx.Delete("gone") }))
	foldNow(t, s)
	n, known, err := readNote(s.db)
	if err != nil || !known || n.folded != 3 || n.first != 3 {
		t.Errorf("the note is %+v, %t, %v", n, known, err)
	}
	shut(t, s)
	db, err := openDatabase(profile(dir))
	must(t, err)
	err = db.View(func(txn *badger.Txn) error {
		if _, err := txn.Get([]byte("gone")); !errors.Is(err, badger.ErrKeyNotFound) {
			t.Errorf("the deleted key: %v", err)
		}
		item, err := txn.Get([]byte("k"))
		if err == nil && item.ValueSize() != 1 {
			t.Errorf("k has %d bytes", item.ValueSize())
		}
		return err
	})
	must(t, errors.Join(err, db.Close()))
}

// The store is an ordered map, whatever is committed, folded, read and reopened in
// whatever order.
func TestTheStoreIsAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		must(t, err)
		s := open(t, dir)
		defer func() { shut(t, s) }()
		model := make(map[string]string)
		keys := rapid.SampledFrom([]string{"a", "a/1", "a/2", "a/\xff", "b", "b/1", "b/2", "c", "\xff", "\xff\xff"})
		values := rapid.SampledFrom([]string{"", "1", "2", strings.Repeat("long", 500)})
		write := func(rt *rapid.T) {
			next := maps.Clone(model)
			n := rapid.IntRange(1, 4).Draw(rt, "writes")
			fails := rapid.IntRange(0, 9).Draw(rt, "fails") == 0
			boom := errors.New("boom")
			err := s.Update(context.Background(), func(tx store.Tx) error {
				for range n {
					key := keys.Draw(rt, "key")
					if rapid.Bool().Draw(rt, "delete") {
						delete(next, key)
						must(t, tx.Delete(key))
					} else {
						next[key] = values.Draw(rt, "value")
						must(t, tx.Put(key, []byte(next[key])))
					}
				}
				agree(rt, tx, next, keys)
				if fails {
					return boom
				}
				return nil
			})
			if fails != errors.Is(err, boom) || !fails && err != nil {
				rt.Fatalf("Update = %v", err)
			}
			if !fails {
				model = next
			}
		}
		look := func(rt *rapid.T) {
			was := maps.Clone(model)
			must(t, s.View(context.Background(), func(r store.Reader) error {
				for range rapid.IntRange(0, 2).Draw(rt, "commits") {
					write(rt)
					if rapid.Bool().Draw(rt, "fold") {
						foldNow(t, s)
					}
				}
				agree(rt, r, was, keys)
				return nil
			}))
		}
		steps := rapid.SampledFrom([]func(*rapid.T){
			write, write, write, look,
			func(*rapid.T) { foldNow(t, s) },
			func(*rapid.T) { freezeNow(t, s) },
			func(*rapid.T) {
				shut(t, s)
				s = open(t, dir)
			},
		})
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			steps.Draw(rt, "step")(rt)
			must(t, s.View(context.Background(), func(r store.Reader) error { agree(rt, r, model, keys); return nil }))
		}
	})
}

// agree compares what r reads with a map: one key, and one page.
func agree(t *rapid.T, r store.Reader, model map[string]string, keys *rapid.Generator[string]) {
	key := keys.Draw(t, "got")
	v, err := r.Get(key)
	want, there := model[key]
	if there != (err == nil) || string(v) != want || err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get(%q) = %q, %v, want %q (there: %t)", key, v, err, want, there)
	}
	prefix := rapid.SampledFrom([]string{"", "a", "a/", "b/", "\xff"}).Draw(t, "prefix")
	after := rapid.SampledFrom([]string{"", "a", "a/1", "b", "b/1", "\xff"}).Draw(t, "after")
	reverse := rapid.Bool().Draw(t, "reverse")
	limit := rapid.IntRange(1, 12).Draw(t, "limit")
	var page []string
	for _, k := range slices.Sorted(maps.Keys(model)) {
		if strings.HasPrefix(k, prefix) && (after == "" || k != after && (k > after) != reverse) {
			page = append(page, k+"="+model[k])
		}
	}
	if reverse {
		slices.Reverse(page)
	}
	page = page[:min(limit, len(page))]
	got, err := r.Scan(prefix, after, reverse, limit)
	var entries []string
	for _, e := range got {
		entries = append(entries, e.Key+"="+string(e.Value))
	}
	if err != nil || !slices.Equal(entries, page) {
		t.Fatalf("Scan(%q, %q, %t, %d) = %.300q, %v, want %.300q", prefix, after, reverse, limit, entries, err, page)
	}
}
