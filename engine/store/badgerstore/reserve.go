package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Badger writes its logs through memory maps of files that are all holes, where a
// full disk is no error but the end of the process. So every log that it can come
// to write has its blocks beforehand: the one in use, and the next one, which is
// made here, empty and with its blocks behind its end, under the name that Badger
// will open. A commit, and each transaction of a fold, is admitted only while both have
// them, so that a disk that fills up in the middle of one does no harm.

// logRoom is how many bytes of a log Badger can come to use: it begins another
// after a memory table's size, and one transaction may go beyond that by 15 %
// and the framing of its entries.
const logRoom = memTable + memTable/4

// manifestRoom is how far the manifest may grow until the next log is begun.
const manifestRoom = 1 << 20

const (
	logSuffix   = ".mem"
	tableSuffix = ".sst"
	valueSuffix = ".vlog"
)

// reserve keeps the logs of a directory provided.
type reserve struct {
	dir      string
	allocate func(*os.File, int64) error

	mu   sync.Mutex
	next string // the log made ahead
}

// provide makes sure that the logs have their blocks, or fails with
// syscall.ENOSPC or EDQUOT. It costs one look at a file while they have.
func (r *reserve) provide() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != "" {
		if info, err := os.Stat(r.next); err == nil && info.Size() == 0 {
			return nil
		}
	}
	last, _, err := lastLog(r.dir)
	if err != nil {
		return err
	}
	r.next = ""
	if err := r.fill(logName(r.dir, last), 0, logRoom); err != nil {
		return err
	}
	manifest := filepath.Join(r.dir, "MANIFEST")
	info, err := os.Stat(manifest)
	if err != nil {
		return fmt.Errorf("look at manifest: %w", err)
	}
	if err := r.fill(manifest, 0, info.Size()+manifestRoom); err != nil {
		return err
	}
	next := logName(r.dir, last+1)
	if err := r.fill(next, os.O_CREATE, logRoom); err != nil {
		_ = os.Remove(next) // without its blocks it is of no use
		return err
	}
	r.next = next
	return nil
}

// fill gives a file the blocks for its first n bytes.
func (r *reserve) fill(name string, flags int, n int64) error {
	f, err := os.OpenFile(name, os.O_RDWR|flags, 0o600) //nolint:gosec // a file of the store's own directory
	if err != nil {
		return fmt.Errorf("reserve room: %w", err)
	}
	if err := errors.Join(r.allocate(f, n), f.Close()); err != nil {
		return fmt.Errorf("reserve %d MiB in %s: %w", n>>20, r.dir, err)
	}
	return nil
}

// release drops the log that was made ahead and not used.
func (r *reserve) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if info, err := os.Stat(r.next); err == nil && info.Size() == 0 {
		_ = os.Remove(r.next) // the next open drops it otherwise
	}
	r.next = ""
}

// lastLog returns the highest number of a log that has been begun, and how many have.
func lastLog(dir string) (last, begun int, err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("list logs: %w", err)
	}
	for _, e := range names {
		number, ok := strings.CutSuffix(e.Name(), logSuffix)
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
			continue // it has just been written to a table, or was made ahead
		}
		if n, aerr := strconv.Atoi(number); err == nil && aerr == nil {
			last = max(last, n)
			begun++
		}
	}
	if last == 0 {
		return 0, 0, fmt.Errorf("list logs: there is none in %s", dir)
	}
	return last, begun, nil
}

func logName(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%05d%s", n, logSuffix))
}

// dropEmpty removes the logs of no length: one that was made ahead, and one that
// a process had begun when it was killed, which Badger refuses to open.
func dropEmpty(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	for _, e := range names {
		if ext := filepath.Ext(e.Name()); ext != logSuffix && ext != valueSuffix && !strings.HasPrefix(e.Name(), trialPrefix) {
			continue
		}
		if info, err := e.Info(); err != nil || info.Size() > 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("drop empty log: %w", err)
		}
	}
	return nil
}
