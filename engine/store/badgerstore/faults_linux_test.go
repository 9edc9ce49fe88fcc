package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/store"
)

// noise is a value that does not compress.
func noise(dice *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(dice.Uint32())
	}
	return string(b)
}

// Whoever is killed, or loses power, while Badger begins a log leaves it empty.
func TestEmptyLogsAreDropped(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := put(s, "k", "v"); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	for _, name := range []string{"00001.mem", "00007.mem", "000009.vlog", trialPrefix + "1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir)
	defer shut(t, s)
	if !has(t, s, "k", "v") {
		t.Error("k is lost")
	}
	if err := put(s, "k", "w"); err != nil {
		t.Error(err)
	}
}

func TestASecondOpenLeavesTheLogsOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer shut(t, s)
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Fatalf("Open = %v, want ErrLocked", err)
	}
	if _, err := os.Stat(s.logs.next); err != nil {
		t.Errorf("the log made ahead: %v", err)
	}
}

// Whoever is killed while Badger writes a table leaves a part of one.
func TestAPartOfATableIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := put(s, "k", "v"); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	for name, content := range map[string]string{"000997.sst": "", "000998.sst": "\xff\xff\xff\xff", "000999.sst": strings.Repeat("\x00", 1<<20)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir)
	defer shut(t, s)
	if !has(t, s, "k", "v") {
		t.Error("k is lost")
	}
}

// Whatever a fold writes to has its blocks, also where it begins another log, so that
// it never meets a full disk.
func TestEveryLogHasItsBlocksBeforehand(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	begun := make(map[string]bool)
	s := openSet(t, dir, func(j *journal) {
		room := j.room
		j.room = func() error { // called before each transaction of a fold
			err := room()
			mu.Lock()
			defer mu.Unlock()
			last, _, gerr := lastLog(dir)
			names, _ := filepath.Glob(filepath.Join(dir, "*"+logSuffix))
			for _, name := range names {
				info, serr := os.Stat(name)
				if serr != nil || info.Size() == 0 && name <= logName(dir, last) {
					continue // it has just become a table, and its blocks are being given back
				}
				if n := blocks(info); n < logRoom {
					t.Errorf("log %s has %d bytes on disk, want %d", name, n, logRoom)
				}
				begun[name] = begun[name] || info.Size() > 0
			}
			return errors.Join(err, gerr)
		}
	})
	defer shut(t, s)
	pour(t, s, 8*segmentSize)
	mu.Lock()
	defer mu.Unlock()
	n := 0
	for _, has := range begun {
		if has {
			n++
		}
	}
	if n < 3 {
		t.Errorf("%d logs were begun, too few to prove anything", n)
	}
	info, err := os.Stat(filepath.Join(dir, "MANIFEST"))
	if err != nil || blocks(info) < manifestRoom {
		t.Errorf("the manifest has %d bytes on disk, want %d (%v)", blocks(info), manifestRoom, err)
	}
}

// pour commits so many bytes of what does not compress, in large values.
func pour(t *testing.T, s *Store, n int) {
	t.Helper()
	value := noise(rand.New(rand.NewPCG(1, 1)), maxValue)
	for i := range n / maxValue {
		if err := put(s, fmt.Sprint("poured/", i), value); err != nil {
			t.Fatal(err)
		}
	}
}

// blocks returns how many bytes of a file have their place on disk.
func blocks(info os.FileInfo) int64 {
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestWithoutRoomForTheNextLogNothingIsWritten(t *testing.T) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	next := s.logs.next
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	s.logs.allocate = func(f *os.File, _ int64) error {
		if f.Name() == next {
			return syscall.EDQUOT
		}
		return nil
	}
	err := put(s, "k", "v")
	if !errors.Is(err, syscall.EDQUOT) || errors.Is(err, store.ErrUnknown) || !errors.Is(s.Ready(), syscall.EDQUOT) {
		t.Errorf("Update = %v, Ready = %v, want a definite EDQUOT", err, s.Ready())
	}
	if _, err := os.Stat(next); err == nil {
		t.Error("a log without its blocks was left for Badger to use")
	}
	s.logs.allocate = allocate
	if err := errors.Join(s.Ready(), put(s, "k", "v")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A compaction that cannot make its table loses what it was made from, without an
// error, or ends the process. So it waits, and so does Close, but not for ever.
func TestACompactionWaitsForRoom(t *testing.T) {
	s := open(t, t.TempDir())
	full := func(string) (uint64, error) { return trialFree - 1, nil }
	s.ear.look(full)
	dice := rand.New(rand.NewPCG(1, 2))
	value := noise(dice, maxValue)
	last := 0
	for deadline := time.Now().Add(30 * time.Second); s.ear.waiting() == 0; last++ {
		if time.Now().After(deadline) {
			t.Fatal("no compaction has come to wait within 30 s: Badger says something else before it writes a table")
		}
		// The smallest key with each value, so that the tables overlap.
		err := s.Update(context.Background(), func(tx store.Tx) error {
			return errors.Join(tx.Put("a", []byte(fmt.Sprint(last))), tx.Put(fmt.Sprintf("k/%05d", last), []byte(value)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Meanwhile what it has written so far belongs to no level yet, whatever other
	// compaction ends; and that is no loss.
	unfinished := filepath.Join(s.disk.dir, "000999.sst")
	if err := os.WriteFile(unfinished, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ear.Debugf(saysDone, "another", 0)
	time.Sleep(5 * strayAge) // both looks
	if err := errors.Join(s.Ready(), notLost(s.disk.dir), os.Remove(unfinished)); err != nil {
		t.Fatalf("a table under way: %v", err)
	}
	s.patience = 50 * time.Millisecond
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "last writes") {
		t.Errorf("Close = %v, want it to give up", err)
	}
	s.ear.look(freeBytes)
	if err := waitClosed(s); err != nil {
		t.Fatal(err)
	}
	s = open(t, s.disk.dir)
	defer shut(t, s)
	for i := range last {
		if !has(t, s, fmt.Sprintf("k/%05d", i), value) {
			t.Fatalf("key %d of %d is lost", i, last)
		}
	}
}

// waitClosed returns once Badger has let go of its directory.
func waitClosed(s *Store) error {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := whileUnlocked(s.disk.dir, func() error { return nil }); err == nil {
			return nil
		}
	}
	return errors.New("Badger has not closed within 20 s of there being room")
}

func (e *ear) waiting() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.parked
}

func (e *ear) look(free func(string) (uint64, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.free = free
}

func TestWhatFailsInTheBackgroundEndsTheStore(t *testing.T) {
	eio := syscall.EIO
	for _, c := range []struct {
		sentence string
		say      func(*ear)
		ends     bool
	}{
		{"a manifest that cannot be written after a compaction", func(e *ear) {
			e.Warningf("[Compactor: %d] LOG Compact FAILED with error: %+v: %+v", 1, errors.New("write MANIFEST: no space left on device"), "def")
		}, true},
		{"a directory that cannot be synced after a compaction", func(e *ear) {
			e.Warningf("[Compactor: %d] LOG Compact FAILED with error: %+v: %+v", 1, fmt.Errorf("while running compactions for: x err: %w", eio), "def")
		}, true},
		{"a compaction that has found other tables than it had thought", func(e *ear) {
			e.Warningf("[Compactor: %d] LOG Compact FAILED with error: %+v: %+v", 1, errors.New("there is a non-empty level 5 above base level 6"), "def")
		}, false},
		{"a table that cannot be made because there are no descriptors", func(e *ear) {
			e.Errorf("error flushing memtable to disk: %v, retrying", fmt.Errorf("error while creating table err: %w", syscall.EMFILE))
		}, false},
		{"a value log that cannot be synced", func(e *ear) { e.Errorf("Error while curlf sync: %v\n", eio) }, true},
		{"a small cache", func(e *ear) { e.Warningf("%s might be too small. Metrics: %s\n", "Block cache", "x") }, false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := open(t, t.TempDir())
			defer shut(t, s)
			c.say(s.ear)
			err := put(s, "k", "v")
			if (err != nil) != c.ends || (s.Ready() != nil) != c.ends || errors.Is(err, store.ErrUnknown) {
				t.Errorf("Update = %v, Ready = %v, want an end: %t", err, s.Ready(), c.ends)
			}
		})
	}
}

// A compaction that has lost a table leaves a file that belongs to no level.
func TestALostTableEndsTheStoreForGood(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	stray := filepath.Join(dir, "000999.sst")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ear.Debugf(saysDone, 0, 0)
	for end := time.Now().Add(20 * time.Second); s.Ready() == nil && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if err := put(s, "k", "v"); err == nil || !strings.Contains(err.Error(), "table 000999") {
		t.Errorf("Update = %v, want the lost table by its name", err)
	}
	shut(t, s)
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("Open = %v, want it to refuse", err)
	}
	if err := os.Remove(filepath.Join(dir, lostFile)); err != nil {
		t.Fatal(err)
	}
	shut(t, open(t, dir))
}

// A table made of a memory table is a file before it belongs to a level, for as long
// as the disk takes or the youngest level is full. Its log says so.
func TestATableThatIsNotEnteredYetIsNotLost(t *testing.T) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	for _, name := range []string{"000999.sst", "00998.mem"} {
		if err := os.WriteFile(filepath.Join(s.disk.dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if found, quiet := s.watch.strays(s.db, s.ear); quiet {
		t.Errorf("%v are lost, while there is a log that is in no table", found)
	}
	if err := os.Remove(filepath.Join(s.disk.dir, "00998.mem")); err != nil {
		t.Fatal(err)
	}
	if found, quiet := s.watch.strays(s.db, s.ear); !quiet || !found[999] {
		t.Errorf("without that log %v are lost (it can be told: %t), want table 999", found, quiet)
	}
	if err := os.Remove(filepath.Join(s.disk.dir, "000999.sst")); err != nil {
		t.Fatal(err)
	}
}

// Compactions that go well, with readers that hold on to the tables of before, are
// not taken for losses.
func TestACompactionThatGoesWellLosesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	defer shut(t, s)
	value := []byte(noise(rand.New(rand.NewPCG(1, 3)), maxValue))
	compactions := make(chan struct{}, 100)
	s.ear.tell(func() {
		s.watch.arm(s.lookForLost)
		select {
		case compactions <- struct{}{}:
		default:
		}
	})
	err := s.View(context.Background(), func(store.Reader) error {
		for i := 0; len(compactions) == 0; i++ {
			err := s.Update(context.Background(), func(tx store.Tx) error {
				return errors.Join(tx.Put("a", []byte(fmt.Sprint(i))), tx.Put(fmt.Sprintf("k/%05d", i), value))
			})
			if err != nil || i > 2000 {
				return fmt.Errorf("after %d writes without a compaction: %w", i, err)
			}
		}
		time.Sleep(4 * strayAge) // both looks
		return nil
	})
	if err := errors.Join(err, s.Ready()); err != nil {
		t.Error(err)
	}
}
