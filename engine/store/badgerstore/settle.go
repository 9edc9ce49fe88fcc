package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// settle makes durable what Badger has been given: by Badger, and by descriptors of
// its own, since Badger syncs no log but the last. Where it has none to spare it waits.
func (j *journal) settle() error {
	if err := j.db.Sync(); err != nil {
		return fmt.Errorf("sync database: %w", err)
	}
	names, err := os.ReadDir(j.dir)
	for errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		if !j.pause(50 * time.Millisecond) {
			return errStopped
		}
		names, err = os.ReadDir(j.dir)
	}
	if err != nil {
		return fmt.Errorf("sync database: %w", err)
	}
	synced := make(map[string]bool)
	for _, f := range names {
		name := f.Name()
		table := filepath.Ext(name) == tableSuffix
		if !table && filepath.Ext(name) != logSuffix && name != badger.ManifestFilename {
			continue
		}
		if !table || !j.synced[name] { // a table is never written to again
			if err := j.syncFile(name); err != nil {
				return err
			}
		}
		synced[name] = table
	}
	j.synced = synced
	if err := j.syncDir(); err != nil {
		return err
	}
	return j.disk.standing()
}

// syncFile syncs a file of Badger's. One that is gone is a log whose table was synced
// before, or a table whose successors were.
func (j *journal) syncFile(name string) error {
	for {
		f, err := os.OpenFile(filepath.Join(j.dir, name), os.O_RDWR, 0)
		switch {
		case err == nil:
			if err = errors.Join(f.Sync(), f.Close()); err != nil {
				return fmt.Errorf("sync database: %w", err)
			}
			return nil
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE):
			return fmt.Errorf("sync database: %w", err)
		}
		if !j.pause(50 * time.Millisecond) {
			return errStopped
		}
	}
}

// syncDir makes the names in the store's directory durable, by a descriptor that is
// there when there is no other to be had. Windows has no such thing.
func (j *journal) syncDir() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	if err := j.folder.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
