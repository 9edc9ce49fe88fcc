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
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/goleak"

	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/storetest"
)

func TestContract(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store { return open(t, "") })
	})
	t.Run("on disk", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
	})
}

func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(s *Store, key, value string) error {
	return s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, []byte(value)) })
}

// has reports whether key is there with value.
func has(t testing.TB, s *Store, key, value string) bool {
	t.Helper()
	var got []byte
	err := s.View(context.Background(), func(r store.Reader) (err error) { got, err = r.Get(key); return err })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil && string(got) == value
}

func TestReopenKeepsWhatWasCommitted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "ledger")
	s := open(t, dir)
	large := strings.Repeat("x", maxValue)
	for key, value := range map[string]string{"kept": "v", "empty": "", "large": large, "gone": "v"} {
		if err := put(s, key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Delete("gone") }); err != nil {
		t.Fatal(err)
	}
	// Twice: what the first Close flushed to a table is read from there.
	for range 2 {
		shut(t, s)
		s = open(t, dir)
		if !has(t, s, "kept", "v") || !has(t, s, "empty", "") || !has(t, s, "large", large) || has(t, s, "gone", "v") {
			t.Error("the reopened store differs")
		}
	}
	shut(t, s)
}

// A copy of the files of a running store is what a killed process leaves.
func TestCommittedWritesOutliveTheProcess(t *testing.T) {
	dir, left := t.TempDir(), t.TempDir()
	s := open(t, dir)
	defer shut(t, s)
	for i := range 20 {
		if err := put(s, fmt.Sprintf("k/%02d", i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(dir, n.Name())) //nolint:gosec // a name just listed
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(left, n.Name()), b, 0o600); err != nil { //nolint:gosec // a name just listed
			t.Fatal(err)
		}
	}
	again := open(t, left)
	defer shut(t, again)
	for i := range 20 {
		if key := fmt.Sprintf("k/%02d", i); !has(t, again, key, "v") {
			t.Errorf("%s was acknowledged and is lost", key)
		}
	}
}

func TestCloseUnderLoadLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	acked := make([][]string, 4)
	var wg, started sync.WaitGroup
	started.Add(len(acked))
	for w := range acked {
		wg.Go(func() {
			for i := range 100_000 {
				key := fmt.Sprintf("%d/%05d", w, i)
				err := put(s, key, "v")
				if i == 0 {
					started.Done()
				}
				if err != nil {
					if !errors.Is(err, fs.ErrClosed) || errors.Is(err, store.ErrUnknown) {
						t.Errorf("Update during Close = %v, want a definite fs.ErrClosed", err)
					}
					return
				}
				acked[w] = append(acked[w], key)
			}
		})
	}
	started.Wait()
	shut(t, s)
	wg.Wait()
	s = open(t, dir)
	defer shut(t, s)
	for _, keys := range acked {
		for _, key := range keys {
			if !has(t, s, key, "v") {
				t.Errorf("%s was acknowledged and is lost", key)
			}
		}
	}
}

func TestCloseWaitsForTheTransactionUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "")
		inside, goOn := make(chan struct{}), make(chan struct{})
		updated, closed := make(chan error, 1), make(chan error, 1)
		go func() {
			updated <- s.Update(context.Background(), func(tx store.Tx) error {
				close(inside)
				<-goOn
				return tx.Put("k", []byte("v"))
			})
		}()
		<-inside
		go func() { closed <- s.Close() }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Errorf("Close = %v while a transaction was under way, want it to wait", err)
		default:
		}
		if err := put(s, "late", "v"); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("a new Update while closing = %v, want fs.ErrClosed", err)
		}
		close(goOn)
		if err := errors.Join(<-updated, <-closed); err != nil {
			t.Error(err)
		}
	})
}

// A loss of power cannot be had in a test, so what survives one is held to its
// settings.
func TestTheProfileOnDiskIsDurable(t *testing.T) {
	o := profile(t.TempDir())
	if o.InMemory || o.BypassLockGuard {
		t.Errorf("InMemory %t, BypassLockGuard %t", o.InMemory, o.BypassLockGuard)
	}
	if o.ValueThreshold <= maxValue {
		t.Errorf("values of %d bytes would go to the value log, whose failed syncs are not reported", maxValue)
	}
}

func TestASecondOpenIsRefusedWithErrLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(Options{Dir: dir})
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("Open = %v, want ErrLocked", err)
	}
	if pid := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(err.Error(), pid) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open = %q, want it to name the directory and %s", err, pid)
	}
	shut(t, s)
	shut(t, open(t, dir))
}

func TestTheDirectoryBelongsToTheStore(t *testing.T) {
	mode := func(dir string) fs.FileMode {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	parent := t.TempDir()

	created := filepath.Join(parent, "a", "b")
	shut(t, open(t, created))
	if m := mode(created); m != 0o700 {
		t.Errorf("a created directory has mode %o, want 700", m)
	}
	if err := os.Chmod(created, 0o755); err != nil { //nolint:gosec // the mistake under test
		t.Fatal(err)
	}
	shut(t, open(t, created))
	if m := mode(created); m != 0o700 {
		t.Errorf("a database that others could read has mode %o after Open, want 700", m)
	}

	other := filepath.Join(parent, "other")
	if err := os.Mkdir(other, 0o755); err != nil { //nolint:gosec // the mistake under test
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: other}); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("Open of a directory with other files = %v, want an error that names one", err)
	}
	if m := mode(other); m != 0o755 {
		t.Errorf("a refused directory has mode %o, want it untouched", m)
	}
	if _, err := Open(Options{Dir: filepath.Join(other, "thesis.txt")}); err == nil {
		t.Error("Open of a file gave no error")
	}

	halfMade := filepath.Join(parent, "half")
	if err := os.Mkdir(halfMade, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(halfMade, "LOCK"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shut(t, open(t, halfMade))
}

func TestADamagedTableIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 200 {
		if err := put(s, fmt.Sprintf("k/%03d", i), strings.Repeat("v", 200)); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, s)
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no table to damage: %v", err)
	}
	whole, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 10, len(whole) / 4, len(whole) / 2, len(whole) * 9 / 10, len(whole) - 20, len(whole) - 1} {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		if err := os.WriteFile(tables[0], bad, 0o600); err != nil { //nolint:gosec // a name just listed
			t.Fatal(err)
		}
		s, err := Open(Options{Dir: dir})
		if err == nil {
			t.Errorf("a table with a flipped bit at byte %d was opened: %v", at, s.Close())
		} else if errors.Is(err, ErrLocked) {
			t.Errorf("Open = %v: the attempt before left the directory locked", err)
		} else if !strings.Contains(err.Error(), filepath.Base(tables[0])+" is damaged") {
			t.Errorf("a table with a flipped bit at byte %d: %v, want it by its name", at, err)
		}
	}
	if err := os.WriteFile(tables[0], whole, 0o600); err != nil { //nolint:gosec // a name just listed
		t.Fatal(err)
	}
	s = open(t, dir)
	if !has(t, s, "k/100", strings.Repeat("v", 200)) {
		t.Error("the mended store differs")
	}
	shut(t, s)
}

func TestWhatIsOverTheLimitsIsRefusedCleanly(t *testing.T) {
	const secret = "sk_live_secret"
	long := strings.Repeat(secret, maxValue/len(secret)+1)
	for _, c := range []struct {
		sentence string
		write    func(store.Tx) error
		tooLarge bool
	}{
		{"a value over the limit", func(tx store.Tx) error { return tx.Put("k", []byte(long)) }, true},
		{"a value over Badger's own limit", func(tx store.Tx) error { return tx.Put("k", []byte(strings.Repeat(long, 40))) }, true},
		{"a key over the limit", func(tx store.Tx) error { return tx.Put(long, nil) }, true},
		{"the deletion of a key over the limit", func(tx store.Tx) error { return tx.Delete(long) }, true},
		{"an empty key", func(tx store.Tx) error { return tx.Put("", []byte(secret)) }, false},
		{"the deletion of an empty key", func(tx store.Tx) error { return tx.Delete("") }, false},
		{"a key of Badger's", func(tx store.Tx) error { return tx.Put("!badger!txn", []byte(secret)) }, false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := open(t, "")
			defer shut(t, s)
			var refused error
			err := s.Update(context.Background(), func(tx store.Tx) error {
				if err := tx.Put("first", []byte("v")); err != nil {
					return err
				}
				refused = c.write(tx)
				return nil
			})
			for _, err := range []error{refused, err} {
				if err == nil || errors.Is(err, store.ErrTooLarge) != c.tooLarge || errors.Is(err, store.ErrUnknown) {
					t.Errorf("got %.200v, want a definite error, ErrTooLarge: %t", err, c.tooLarge)
				}
				if err != nil && (strings.Contains(err.Error(), secret) || len(err.Error()) > 200) {
					t.Errorf("the error quotes what it refused: %.200q", err)
				}
			}
			if has(t, s, "first", "v") {
				t.Error("the write before the refused one was committed")
			}
			if err := put(s, "k", long[:maxValue]); err != nil {
				t.Errorf("a value of exactly the limit: %v", err)
			}
		})
	}
}

func TestATransactionEndsWithItsFunction(t *testing.T) {
	s := open(t, "")
	defer shut(t, s)
	var kept store.Tx
	if err := s.Update(context.Background(), func(tx store.Tx) error { kept = tx; return tx.Put("k", nil) }); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Get("k"); !errors.Is(err, errEnded) {
		t.Errorf("Get = %v, want errEnded", err)
	}
	if _, err := kept.Scan("", "", false, 1); !errors.Is(err, errEnded) {
		t.Errorf("Scan = %v, want errEnded", err)
	}
	if err := errors.Join(kept.Put("k", nil), kept.Delete("k")); !errors.Is(err, errEnded) {
		t.Errorf("Put and Delete = %v, want errEnded", err)
	}
}

func TestACommitThatMayHaveReachedTheDiskIsUnknownAndEndsTheStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	eio := errors.New("input/output error")
	s.journal.sync = func(f *os.File) error { return errors.Join(syncData(f), eio) }
	err := put(s, "maybe", "v")
	if !errors.Is(err, store.ErrUnknown) || !errors.Is(err, eio) {
		t.Fatalf("Update = %v, want ErrUnknown and the cause", err)
	}
	s.journal.sync = syncData
	ran := false
	err = s.Update(context.Background(), func(store.Tx) error { ran = true; return nil })
	if verr := s.View(context.Background(), func(store.Reader) error { ran = true; return nil }); err == nil || verr == nil || ran {
		t.Errorf("after an unknown outcome Update = %v, View = %v, fn ran: %t", err, verr, ran)
	}
	if errors.Is(err, store.ErrUnknown) {
		t.Errorf("the refused Update = %v, want a definite error", err)
	}
	shut(t, s)
	s = open(t, dir)
	defer shut(t, s)
	if !has(t, s, "maybe", "v") {
		t.Error("the write did reach the disk, and is lost on reopening")
	}
}

func TestASyncCountsOnlyWhileTheDiskStands(t *testing.T) {
	for name, c := range map[string]struct {
		looks error
		want  error
	}{
		"the file system was shut down":     {syscall.EIO, store.ErrUnknown},
		"the file system went read-only":    {syscall.EROFS, store.ErrUnknown},
		"the directory is no longer there":  {syscall.ENOENT, store.ErrUnknown},
		"this process has no file to spare": {syscall.EMFILE, nil},
		"the machine has no file to spare":  {syscall.ENFILE, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			defer shut(t, s)
			s.disk.open = func(string) (*os.File, error) { return nil, &fs.PathError{Op: "open", Err: c.looks} }
			if err := put(s, "k", "v"); !errors.Is(err, c.want) {
				t.Errorf("Update = %v, want %v", err, c.want)
			}
			if err := put(s, "k", "w"); (err == nil) != (c.want == nil) {
				t.Errorf("the next Update = %v", err)
			}
		})
	}
}

func TestWhatBadgerRefusesBeforeWritingIsDefinite(t *testing.T) {
	for _, c := range []struct {
		sentence string
		err      error
		want     error
		runs     int
	}{
		{"a transaction too big only at the commit", badger.ErrTxnTooBig, store.ErrTooLarge, 1},
		{"writes that are blocked by closing", badger.ErrBlockedWrites, fs.ErrClosed, 1},
		{"a conflict on each try", badger.ErrConflict, errContended, maxTries},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, "")
				defer shut(t, s)
				s.commit = func(*badger.Txn) error { return c.err }
				runs := 0
				err := s.Update(context.Background(), func(tx store.Tx) error { runs++; return tx.Put("k", nil) })
				if !errors.Is(err, c.want) || errors.Is(err, store.ErrUnknown) {
					t.Errorf("Update = %v, want a definite %v", err, c.want)
				}
				if runs != c.runs {
					t.Errorf("fn ran %d times, want %d", runs, c.runs)
				}
				s.commit = (*badger.Txn).Commit
				if err := put(s, "k", "v"); err != nil {
					t.Errorf("the store does not go on: %v", err)
				}
			})
		})
	}
}

func TestAContextBoundsTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, "")
		defer shut(t, s)
		s.commit = func(*badger.Txn) error { return badger.ErrConflict }
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
		defer cancel()
		err := s.Update(ctx, func(tx store.Tx) error { return tx.Put("k", nil) })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Update = %v, want context.DeadlineExceeded", err)
		}
	})
}

func TestAFullDiskIsRefusedBeforeBadgerMeetsIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer shut(t, s)
	s.disk.free = func(string) (uint64, error) { return minFree - 1, nil }
	err := put(s, "k", "v")
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Update = %v, want a definite ENOSPC", err)
	}
	if err := s.Ready(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Ready = %v, want ENOSPC", err)
	}
	elsewhere := disk{dir: t.TempDir(), free: s.disk.free}
	if err := elsewhere.prepare(profile(elsewhere.dir)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("prepare, as Open calls it, = %v, want ENOSPC", err)
	}
	if has(t, s, "k", "v") {
		t.Error("the refused write is there")
	}
	if err := s.Update(context.Background(), func(tx store.Tx) error { _, err := tx.Scan("", "", false, 1); return err }); err != nil {
		t.Errorf("an Update that writes nothing needs no room: %v", err)
	}
	s.disk.free = freeBytes
	if err := errors.Join(s.Ready(), put(s, "k", "v")); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if free, err := freeBytes(dir); err != nil || free == 0 {
		t.Errorf("freeBytes = %d, %v", free, err)
	}
}

// In memory nothing is compacted, so nothing may wait for a compaction.
func TestInMemoryItTakesMoreThanItsMemoryTables(t *testing.T) {
	s := open(t, "")
	defer shut(t, s)
	value := strings.Repeat("v", maxValue)
	for i := range 120 { // 60 MiB, in tables of 8
		if err := put(s, fmt.Sprintf("k/%03d", i), value); err != nil {
			t.Fatal(err)
		}
		if err := put(s, "hot", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if !has(t, s, "k/000", value) || !has(t, s, "k/119", value) || !has(t, s, "hot", "119") {
		t.Error("a value is lost")
	}
}

// Several bubbles and none in turn: Badger pools objects across databases, and
// they must not stay tied to the bubble that first used them.
func TestInMemoryItFitsASynctestBubbleAndLeaksNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			s := open(t, "")
			for i := range 50 {
				if err := put(s, fmt.Sprintf("k/%d", i), "v"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(24 * time.Hour)
			if !has(t, s, "k/7", "v") {
				t.Error("k/7 is lost")
			}
			shut(t, s)
			if d := time.Since(start); d < 24*time.Hour || d > 24*time.Hour+time.Second {
				t.Errorf("the bubble's clock moved by %v, want a day", d)
			}
		})
		s := open(t, "")
		if err := put(s, "outside", "v"); err != nil {
			t.Fatal(err)
		}
		shut(t, s)
	}
}

func BenchmarkUpdateOnePut(b *testing.B) {
	for _, c := range []struct{ name, dir string }{{"durable", b.TempDir()}, {"memory", ""}} {
		b.Run(c.name, func(b *testing.B) {
			s := open(b, c.dir)
			defer shut(b, s)
			value := make([]byte, 400)
			for i := 0; b.Loop(); i++ {
				key := fmt.Sprintf("k/%08d", i)
				err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, value) })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
