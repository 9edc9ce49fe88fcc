package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/outgo/outgo/engine/store"
)

// readBack reads the journal in dir, without Badger, in the given room.
func readBack(t *testing.T, dir string, room []byte) (map[string]string, error) {
	t.Helper()
	folder, err := os.Open(dir) //nolint:gosec // a directory of the test's
	must(t, err)
	j := &journal{dir: dir, folder: folder, live: newGeneration(0)}
	r := &replay{journal: j, note: note{first: 1}, known: true, room: room}
	if err := r.run(); err != nil {
		must(t, j.shut())
		return nil, err
	}
	got := make(map[string]string)
	for _, e := range j.live.page(span{}, latest, 1<<30) {
		got[e.key] = string(e.value)
	}
	return got, j.shut()
}

// small makes a journal of four commits and returns its directory, what it holds
// before the last of them, the whole of its one used segment and where the last
// commit stands in it.
func small(t *testing.T) (dir string, before map[string]string, whole []byte, from, to int64) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir)
	for i := range 3 {
		must(t, put(s, fmt.Sprint("k/", i), strings.Repeat("v", 20*i)))
	}
	before = content(t, s)
	tail := s.journal.live.segments[0]
	from = tail.end
	must(t, s.Update(context.Background(), func(tx store.Tx) error {
		for i := range 3 {
			if err := tx.Put(fmt.Sprint("last/", i), []byte(strings.Repeat("w", 20))); err != nil {
				return err
			}
		}
		return nil
	}))
	to = tail.end
	shut(t, s)
	whole, err := os.ReadFile(segmentName(dir, 1))
	must(t, err)
	return dir, before, whole, from, to
}

// Whatever part of the last commit has reached the disk, the store holds what it held
// before it, or all of it.
func TestATornCommitWasNever(t *testing.T) {
	dir, before, whole, from, to := small(t)
	used := from + int64(len(bytes.TrimRight(whole[from:to], "\x00")))
	f, err := os.OpenFile(segmentName(dir, 1), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	room := make([]byte, segmentSize)
	for cut := from; cut < to; cut++ {
		torn := bytes.Clone(whole[from:to])
		clear(torn[cut-from:])
		must(t, writeAt(f, torn, from))
		got, err := readBack(t, dir, room)
		if err != nil {
			t.Fatalf("torn at byte %d of %d: %v", cut-from, to-from, err)
		}
		if whole := cut >= used; whole != (len(got) == len(before)+3) || !whole && !maps.Equal(got, before) {
			t.Errorf("torn at byte %d of %d, the store holds %v", cut-from, to-from, got)
		}
	}
}

// A flipped bit is refused, or in what nobody reads, or it undoes the last commit, as
// a torn write does: the chain of the ledger has that found.
func TestAFlippedBitIsRefusedOrUndoesTheLastCommitOnly(t *testing.T) {
	dir, before, whole, from, to := small(t)
	room := make([]byte, segmentSize)
	all, err := readBack(t, dir, room)
	must(t, err)
	f, err := os.OpenFile(segmentName(dir, 1), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	refused, undone, same := 0, 0, 0
	for at := range to + 200 {
		must(t, writeAt(f, []byte{whole[at] ^ 1<<(at%8)}, at))
		got, err := readBack(t, dir, room)
		must(t, writeAt(f, whole[at:at+1], at))
		switch {
		case err != nil:
			if !strings.Contains(err.Error(), "00000001.journal is damaged at byte") || !strings.Contains(err.Error(), "backup") {
				t.Errorf("at byte %d: %v, want file, place and what to do", at, err)
			}
			refused++
		case maps.Equal(got, all):
			same++
		case at >= from && at < to && maps.Equal(got, before):
			undone++
		default:
			t.Errorf("a flip at byte %d of %d changes what the store holds: %v", at, from, got)
		}
	}
	if refused < 150 || undone < 80 || same < 200 {
		t.Errorf("%d flips refused, %d undo the last commit, %d change nothing", refused, undone, same)
	}
}

// long makes a journal of several segments, none of it folded.
func long(t *testing.T) (dir string, want map[string]string) {
	t.Helper()
	dir = t.TempDir()
	s, g := gated(t, dir, "begin")
	value := strings.Repeat("v", maxValue)
	for i := range 3*segmentSize/maxValue - 4 {
		must(t, put(s, fmt.Sprintf("k/%03d", i), value))
	}
	want = content(t, s)
	left := duplicate(t, dir)
	close(g.goOn)
	shut(t, s)
	return left, want
}

func TestAJournalThatIsNotWholeIsNotOpened(t *testing.T) {
	dir, want := long(t)
	one, two, three := segmentName("", 1), segmentName("", 2), segmentName("", 3)
	flip := func(t *testing.T, name string, at int64) {
		t.Helper()
		b, err := os.ReadFile(name) //nolint:gosec // a file of the test's
		must(t, err)
		b[at] ^= 1
		must(t, os.WriteFile(name, b, 0o600)) //nolint:gosec // a file of the test's
	}
	swap := func(t *testing.T, dir, a, b string) {
		t.Helper()
		tmp := filepath.Join(dir, "tmp")
		must(t, os.Rename(filepath.Join(dir, a), tmp))
		must(t, os.Rename(filepath.Join(dir, b), filepath.Join(dir, a)))
		must(t, os.Rename(tmp, filepath.Join(dir, b)))
	}
	for _, c := range []struct {
		sentence string
		damage   func(t *testing.T, dir string)
		want     []string
	}{
		{"the first segment is gone", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, one))) }, []string{one, "missing"}},
		{"one in the middle is gone", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, two))) }, []string{two, "missing"}},
		{"the last with commits is gone", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, three))) }, []string{three, "missing"}},
		{"all are gone", func(t *testing.T, dir string) {
			for _, name := range globbed(t, dir) {
				must(t, os.Remove(name))
			}
		}, []string{one, "missing"}},
		{"one is empty", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, two), 0)) }, []string{two, "0 bytes"}},
		{"one is short", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, two), 4<<20)) }, []string{two, "4194304 bytes"}},
		{"one is of zeros", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, two), make([]byte, segmentSize), 0o600))
		}, []string{two, "byte 0"}},
		{"two are swapped", func(t *testing.T, dir string) { swap(t, dir, one, two) }, []string{one, "number 2"}},
		{"a head is damaged", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, two), 17) }, []string{two, "byte 0"}},
		{"a commit in the first is damaged", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, one), 100) }, []string{one, "byte 64"}},
		{"the first commit of the second is damaged", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, two), 100) }, []string{one, two, "damaged"}},
		{"the last commit of the first is damaged", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, one), 7<<20) }, []string{one, "damaged"}},
		{"the first is as it was before", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, one)) //nolint:gosec // a file of the test's
			must(t, err)
			clear(b[4<<20:])
			must(t, os.WriteFile(filepath.Join(dir, one), b, 0o600)) //nolint:gosec // a file of the test's
		}, []string{one, "damaged", two}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			d := duplicate(t, dir)
			c.damage(t, d)
			s, err := Open(Options{Dir: d})
			if err == nil {
				shut(t, s)
				t.Fatal("it was opened")
			}
			for _, part := range append(c.want, "backup") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("Open = %v, want it to name %s", err, part)
				}
			}
		})
	}
	s := open(t, duplicate(t, dir))
	defer shut(t, s)
	if got := content(t, s); !maps.Equal(got, want) {
		t.Errorf("whole, it has %d keys, want %d", len(got), len(want))
	}
}

func globbed(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	must(t, err)
	return names
}

// A database of before there was a journal gets one, and keeps what it holds.
func TestADatabaseWithoutAJournalGetsOne(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, put(s, "k", "v"))
	foldNow(t, s)
	must(t, s.db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte(noteKey)) }))
	shut(t, s)
	names := globbed(t, dir)
	must(t, os.Rename(names[len(names)-1], segmentName(dir, 99))) // it has no commits, and the wrong name
	if s, err := Open(Options{Dir: dir}); err == nil {
		shut(t, s)
		t.Error("a journal that nobody knows was taken for the database's")
	}
	for _, name := range globbed(t, dir) {
		must(t, os.Remove(name))
	}
	for i := range 3 {
		s = open(t, dir)
		if !has(t, s, "k", "v") || i > 0 && !has(t, s, fmt.Sprint("k/", i-1), "v") {
			t.Errorf("before commit %d the store holds %v", i, content(t, s))
		}
		must(t, put(s, fmt.Sprint("k/", i), "v"))
		shut(t, s)
	}
}

// A journal of commits that the database does not know of is not mixed with it.
func TestAJournalOfAnotherDatabaseIsNotOpened(t *testing.T) {
	dir, _, _, _, _ := small(t)
	s := open(t, dir)
	must(t, s.db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte(noteKey)) }))
	shut(t, s)
	if s, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another database") {
		t.Errorf("Open = %v, want it to refuse", err)
		if err == nil {
			shut(t, s)
		}
	}
}

// A segment whose name a process gave before it was killed takes commits only once the
// name is on the disk.
func TestTheNamesOfSegmentsAreDurableBeforeTheyAreUsed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, put(s, "k", "v"))
	shut(t, s)
	s, err := openWith(Options{Dir: dir}, func(j *journal) { must(t, j.folder.Close()) })
	if err == nil {
		shut(t, s)
	}
	if !errors.Is(err, fs.ErrClosed) || !strings.Contains(err.Error(), "sync directory") {
		t.Errorf("Open of a directory that cannot be synced = %v, want an error of that", err)
	}
	s = open(t, dir)
	defer shut(t, s)
	if !has(t, s, "k", "v") {
		t.Error("k is lost")
	}
}
