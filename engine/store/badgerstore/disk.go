package badgerstore

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// minFree is how many bytes must be free before a commit, and before an open.
// Badger writes through memory maps of files that are all holes, so a full disk
// does not give it an error: it kills the process (SIGBUS), and again at each
// restart. What a commit writes has its blocks beforehand (reserve.go); the margin
// covers the tables that it sets in motion: of the memory tables, and of a
// compaction of all there may be of the youngest level, which looks again before
// each table (ear.go). It must outlast the tenth of a second for which a table is
// under way, whatever else writes to the disk meanwhile.
const minFree = 256 << 20

// memTable is the size of a memory table, and of the log beside it.
const memTable = 16 << 20

// profile is Badger for a sidecar: about 60 MiB of memory, tens of megabytes
// of files. On disk all that is in it was durable in the journal before, and conflicts
// are found there, so Badger need not sync each transaction, nor look for conflicts
// (fold.go). One transaction holds 15 % of MemTableSize, 2.4 MiB, in about 26,000
// entries. Larger memory tables would be compacted less often still, and cost more
// memory.
//
// Tables wait in the youngest level, and the one below it is large, because each
// compaction writes again what is there. Nothing is compressed: digests and sealed
// replies are most of it, and a block that stands in its file as it is read needs no
// cache.
func profile(dir string) badger.Options {
	o := badger.DefaultOptions(dir).
		WithSyncWrites(false).
		WithDetectConflicts(dir == "").
		WithChecksumVerificationMode(options.OnBlockRead). // and all of them once, in checkTables
		WithLogger(nil).
		WithMetricsEnabled(false).
		WithMemTableSize(memTable).
		WithNumMemtables(3).
		WithNumLevelZeroTables(8).
		WithNumLevelZeroTablesStall(12).
		WithBaseLevelSize(64 << 20).
		WithBaseTableSize(8 << 20).
		WithNumCompactors(2).
		WithCompactL0OnClose(false).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(4 << 20).
		WithValueLogFileSize(16 << 20).
		// Above maxValue, so that every value goes through the write-ahead log,
		// where a failed sync is an error, and the value log stays empty.
		WithValueThreshold(1 << 20)
	if dir != "" {
		return o
	}
	// In memory there is nothing to gain from compactors and caches, and their
	// tickers (each 50 ms, each 2 s) make a day of virtual time last half a minute.
	return o.WithInMemory(true).
		WithNumCompactors(0).
		WithNumLevelZeroTablesStall(math.MaxInt32).
		WithIndexCacheSize(0)
}

// disk is the directory of a Store and the room around it.
type disk struct {
	dir  string                           // "" = memory
	free func(dir string) (uint64, error) // bytes free to this user
	open func(name string) (*os.File, error)
}

// prepare makes the directory private, and looks for damage and for room in it before
// Badger opens it with o.
func (d disk) prepare(o badger.Options) error {
	if d.dir == "" {
		return nil
	}
	if err := makePrivate(d.dir); err != nil {
		return err
	}
	if err := notLost(d.dir); err != nil {
		return err
	}
	err := whileUnlocked(d.dir, func() error {
		if err := dropEmpty(d.dir); err != nil {
			return err
		}
		return checkTables(o)
	})
	if err != nil {
		return err
	}
	return d.room()
}

// room fails with syscall.ENOSPC when a write could meet a full disk.
func (d disk) room() error {
	if d.dir == "" {
		return nil
	}
	free, err := d.free(d.dir)
	if err != nil {
		return fmt.Errorf("find free space of %s: %w", d.dir, err)
	}
	if free < minFree {
		return fmt.Errorf("%w: %d MiB are free at %s and writing needs %d MiB; nothing was written, make room and try again",
			syscall.ENOSPC, free>>20, d.dir, uint64(minFree)>>20)
	}
	return nil
}

// standing fails when the file system has been shut down or gone read-only. A sync
// that is under way while ext4 aborts its journal reports success (Linux 6.18),
// though what went to blocks that were not written before is gone with the journal:
// the conversion of such blocks fails in ext4_end_io_end, which tells nobody. To
// open a file fails from that moment on, so a commit counts only when one opens
// after its sync. That nobody can open more files says nothing about the disk.
func (d disk) standing() error {
	if d.dir == "" {
		return nil
	}
	f, err := d.open(filepath.Join(d.dir, "MANIFEST"))
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return nil
	}
	return fmt.Errorf("look whether the disk stands after a sync: %w", err)
}

// makePrivate creates dir with mode 0700. One that exists is given that mode,
// unless it holds somebody else's files: then dir is a mistake, and closing it
// to others would make it worse.
func makePrivate(dir string) error {
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("create directory: %w", err)
		}
		return syncDir(filepath.Dir(dir))
	case !errors.Is(err, os.ErrExist):
		return fmt.Errorf("create directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read directory: %w", err)
	}
	if stranger := foreign(names); stranger != "" {
		return fmt.Errorf("%s holds other files (%s): name an empty directory for the store", dir, stranger)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs its x bit
		return fmt.Errorf("make directory private: %w", err)
	}
	return nil
}

// foreign returns the name of a file that shows a directory not to be a
// database, or "". What a first open leaves behind when it is cut short, and the
// root of a volume, are not foreign.
func foreign(names []os.DirEntry) string {
	stranger := ""
	for _, e := range names {
		switch e.Name() {
		case badger.ManifestFilename:
			return ""
		case "LOCK", "MANIFEST-REWRITE", "lost+found":
		default:
			stranger = e.Name()
		}
	}
	return stranger
}

// syncDir makes a new entry of dir survive a loss of power; Badger does so only
// for the entries of its own directory. Windows has no such thing.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir) //nolint:gosec // the operator's own path
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written through it
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
