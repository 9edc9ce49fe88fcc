package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/outgo/outgo/engine/store"
)

// A transaction that has read a key runs again when another one has changed it since,
// wherever that change has come to stand meanwhile.
func TestAConflictIsFoundWhereverTheKeyIs(t *testing.T) {
	for _, c := range []struct {
		sentence string
		rival    func(t *testing.T, s *Store, g *gate)
	}{
		{"in the live generation", func(t *testing.T, s *Store, _ *gate) { must(t, put(s, "k", "10")) }},
		{"in the frozen generation", func(t *testing.T, s *Store, g *gate) {
			must(t, put(s, "k", "10"))
			freezeNow(t, s)
			<-g.reached
		}},
		{"in Badger", func(t *testing.T, s *Store, g *gate) {
			close(g.goOn)
			must(t, put(s, "k", "10"))
			foldNow(t, s)
		}},
		{"in Badger, two generations ago", func(t *testing.T, s *Store, g *gate) {
			close(g.goOn)
			must(t, put(s, "k", "10"))
			foldNow(t, s)
			must(t, put(s, "other", "v"))
			foldNow(t, s)
		}},
	} {
		for _, before := range []string{"", "1"} {
			t.Run(fmt.Sprintf("%s, after %q", c.sentence, before), func(t *testing.T) {
				s, g := gated(t, t.TempDir(), "begin")
				defer shut(t, s)
				if before != "" {
					must(t, put(s, "k", before))
				}
				runs := 0
				err := s.Update(context.Background(), func(tx store.Tx) error {
					runs++
					v, err := tx.Get("k")
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					if runs == 1 {
						if string(v) != before {
							t.Errorf("k = %q, want %q", v, before)
						}
						c.rival(t, s, g)
						if v, err := tx.Get("k"); err == nil && string(v) != before {
							t.Errorf("again k = %q in one transaction, want %q", v, before)
						}
					}
					return tx.Put("k", append(v, '+'))
				})
				if err != nil || runs != 2 || !has(t, s, "k", "10+") {
					t.Errorf("Update = %v after %d runs, k = %q", err, runs, content(t, s)["k"])
				}
				select {
				case <-g.goOn:
				default:
					close(g.goOn)
				}
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What else is committed is no conflict, even where a generation is dropped.
func TestATransactionIsNotRunAgainForWhatItHasNotRead(t *testing.T) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	must(t, put(s, "k", "v"))
	runs := 0
	err := s.Update(context.Background(), func(tx store.Tx) error {
		runs++
		_, err := tx.Get("k")
		foldNow(t, s) // holds nothing that this transaction has not seen
		return errors.Join(err, put(s, fmt.Sprint("other", runs), "v"), tx.Put("k", []byte("w")))
	})
	if err != nil || runs != 1 {
		t.Errorf("Update = %v after %d runs", err, runs)
	}
}

func TestAViewIsOneSnapshotAcrossFolds(t *testing.T) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	for i := range 20 {
		must(t, put(s, fmt.Sprintf("k/%02d", i), "old"))
	}
	foldNow(t, s)
	for i := range 10 {
		must(t, put(s, fmt.Sprintf("k/%02d", 2*i), "new"))
	}
	must(t, s.Update(context.Background(), func(tx store.Tx) error { return tx.Delete("k/04") }))
	want := content(t, s)
	err := s.View(context.Background(), func(r store.Reader) error {
		look := func(when string) {
			for _, reverse := range []bool{false, true} {
				page, err := r.Scan("k/", "", reverse, 100)
				if err != nil || len(page) != len(want) {
					t.Errorf("%s: %d entries, %v, want %d", when, len(page), err, len(want))
				}
				for _, e := range page {
					if v, err := r.Get(e.Key); err != nil || string(v) != want[e.Key] || string(e.Value) != want[e.Key] {
						t.Errorf("%s: %s = %q and %q, %v, want %q", when, e.Key, e.Value, v, err, want[e.Key])
					}
				}
			}
			if _, err := r.Get("k/04"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: the deleted key: %v", when, err)
			}
		}
		look("at once")
		for i := range 20 {
			must(t, put(s, fmt.Sprintf("k/%02d", i), "later"))
			must(t, put(s, fmt.Sprintf("k/%02d", i), "latest"))
			must(t, put(s, fmt.Sprintf("k/%02d+", i), "added"))
		}
		look("after commits")
		foldNow(t, s)
		look("after a fold")
		must(t, put(s, "k/00", "once more"))
		foldNow(t, s)
		look("after another")
		return nil
	})
	must(t, err)
	if !has(t, s, "k/04", "latest") || !has(t, s, "k/00", "once more") {
		t.Error("what was committed meanwhile is lost")
	}
}

// Whoever writes faster than Badger waits for it, for as long as he likes.
func TestWritersWaitForAFoldThatIsBehind(t *testing.T) {
	s, g := gated(t, t.TempDir(), "begin")
	defer shut(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	value := make([]byte, maxValue)
	n := 0
	var err error
	for ; err == nil && n < 10*generationSegments*segmentSize/maxValue; n++ {
		if n >= 2*generationSegments*segmentSize/maxValue-4 {
			ctx, cancel = context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
		}
		err = s.Update(ctx, func(tx store.Tx) error { return tx.Put(fmt.Sprint("k/", n), value) })
	}
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnknown) || n > 2*generationSegments*segmentSize/maxValue {
		t.Fatalf("after %d commits Update = %v, want it to wait until the deadline", n, err)
	}
	close(g.goOn)
	must(t, put(s, "k", "v"))
	for i := range n - 1 {
		if !has(t, s, fmt.Sprint("k/", i), string(value)) {
			t.Fatalf("key %d is lost", i)
		}
	}
	if has(t, s, fmt.Sprint("k/", n-1), string(value)) {
		t.Error("the refused write is there")
	}
}

func TestWhatTheDiskDoesToACommitIsUnknownAndEndsTheStore(t *testing.T) {
	for sentence, set := range map[string]func(j *journal){
		"a write that fails": func(j *journal) { j.write = func(*os.File, []byte, int64) error { return syscall.EIO } },
		"a write that is cut short": func(j *journal) {
			j.write = func(f *os.File, b []byte, at int64) error {
				return errors.Join(writeAt(f, b[:len(b)-1], at), syscall.ENOSPC)
			}
		},
		"a sync that fails": func(j *journal) { j.sync = func(*os.File) error { return syscall.EIO } },
	} {
		t.Run(sentence, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			must(t, put(s, "before", "v"))
			set(s.journal)
			if err := put(s, "k", "v"); !errors.Is(err, store.ErrUnknown) {
				t.Errorf("Update = %v, want ErrUnknown", err)
			}
			if err := put(s, "k", "w"); err == nil || errors.Is(err, store.ErrUnknown) {
				t.Errorf("the next Update = %v, want a definite error", err)
			}
			shut(t, s)
			s = open(t, dir)
			defer shut(t, s)
			if v := content(t, s); v["before"] != "v" || v["k"] == "w" {
				t.Errorf("then the store holds %v", v)
			}
			must(t, put(s, "k", "x"))
		})
	}
}

// A fold that fails ends the store: of what it was to make durable nobody knows.
func TestAFoldThatFailsEndsTheStore(t *testing.T) {
	dir := t.TempDir()
	s, g := gated(t, dir, "written")
	must(t, put(s, "k", "v"))
	freezeNow(t, s)
	<-g.reached
	spared(t, s)
	s.disk.open = func(string) (*os.File, error) { return nil, &fs.PathError{Op: "open", Err: syscall.EIO} }
	close(g.goOn)
	for end := time.Now().Add(20 * time.Second); s.Ready() == nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if err := put(s, "k", "w"); !errors.Is(err, syscall.EIO) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Update = %v, want a definite EIO", err)
	}
	shut(t, s)
	s = open(t, dir)
	defer shut(t, s)
	if !has(t, s, "k", "v") {
		t.Error("k is lost")
	}
}

func TestWithoutASegmentToSpareNothingIsWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer shut(t, s)
	// Something is in the way of the next one.
	must(t, os.MkdirAll(filepath.Join(dir, unfinished, "x"), 0o700))
	value := strings.Repeat("v", maxValue)
	var err error
	n := 0
	for ; err == nil && n < 3*segmentSize/maxValue; n++ {
		err = put(s, fmt.Sprint("k/", n), value)
	}
	if err == nil || errors.Is(err, store.ErrUnknown) || !strings.Contains(err.Error(), unfinished) || s.Ready() == nil {
		t.Errorf("Update = %v, Ready = %v, want a definite error that names the file", err, s.Ready())
	}
	if has(t, s, fmt.Sprint("k/", n-1), value) {
		t.Error("the refused write is there")
	}
	must(t, os.Remove(filepath.Join(dir, unfinished, "x"))) // the rest of it can be removed
	for end := time.Now().Add(20 * time.Second); s.Ready() != nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	must(t, put(s, "k", value))
	rest(t, s)
	must(t, s.Ready())
}

// What kept a segment from being made may be over long before a commit needs one, which
// is not to be refused for it.
func TestASegmentThatCouldNotBeMadeIsMadeLater(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer shut(t, s)
	j := s.journal
	must(t, os.MkdirAll(filepath.Join(dir, unfinished, "x"), 0o700))
	freezeNow(t, s) // takes the spare
	failed := func() bool {
		j.making.Lock()
		defer j.making.Unlock()
		return j.lack != nil
	}
	for end := time.Now().Add(20 * time.Second); !failed(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("within 20 s no attempt to make a segment has failed")
		}
	}
	must(t, os.Remove(filepath.Join(dir, unfinished, "x"))) // the rest of it can be removed
	spared(t, s)
	must(t, s.Ready())
}

func TestOnDiskItLeaksNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	for range 3 {
		s := open(t, dir)
		must(t, put(s, "k", "v"))
		foldNow(t, s)
		must(t, put(s, "k", "w"))
		freezeNow(t, s) // and do not wait for it
		shut(t, s)
	}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		for _, f := range files {
			if to, err := os.Readlink(filepath.Join("/proc/self/fd", f.Name())); err == nil && strings.HasPrefix(to, dir) {
				t.Errorf("%s is still open", to)
			}
		}
	}
}

// What has been lying for a second is folded, so that the next start is short.
func TestWhatLiesIdleIsFolded(t *testing.T) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	for i := range idleFold/maxValue + 1 {
		must(t, put(s, fmt.Sprint("k/", i), strings.Repeat("v", maxValue)))
	}
	s.journal.mu.RLock()
	g := s.journal.live
	s.journal.mu.RUnlock()
	select {
	case <-g.dropped:
	case <-time.After(20 * time.Second):
		t.Fatal("it is not folded within 20 s")
	}
	if !has(t, s, "k/0", strings.Repeat("v", maxValue)) {
		t.Error("k/0 is lost")
	}
}

// Commits go on through many folds, in segments that are used again and again.
func TestSegmentsAreUsedAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	value := bytes.Repeat([]byte("v"), 100_000)
	want := make(map[string]string)
	for round := range 12 {
		for i := range 50 {
			key, v := fmt.Sprintf("k/%d", (i*7+round)%90), append([]byte(fmt.Sprint(round, i)), value...)
			must(t, s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, v) }))
			want[key] = string(v)
		}
	}
	rest(t, s)
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if limit := 2*generationSegments + 3; err != nil || len(names) > limit {
		t.Errorf("there are %d segments, %v, want at most %d", len(names), err, limit)
	}
	if base := filepath.Base(names[len(names)-1]); base < "00000006" {
		t.Errorf("the last segment is %s: none was used again", base)
	}
	for range 2 {
		if got := content(t, s); len(got) != len(want) {
			t.Errorf("%d keys, want %d", len(got), len(want))
		}
		for key, v := range want {
			if !has(t, s, key, v) {
				t.Errorf("%s differs", key)
			}
		}
		shut(t, s)
		s = open(t, dir)
	}
	shut(t, s)
}
