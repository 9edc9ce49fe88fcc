//go:build linux || darwin

package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// freeBytes returns how many bytes this user may still write at dir.
func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec,unconvert // never negative; its type differs by system
}

// whileUnlocked runs fn unless somebody has the database of dir open, by the lock
// that Badger takes: then it fails with ErrLocked.
func whileUnlocked(dir string, fn func() error) error {
	d, err := os.Open(dir) //nolint:gosec // the operator's own path
	if err != nil {
		return fmt.Errorf("lock directory: %w", err)
	}
	defer d.Close() //nolint:errcheck // which gives the lock back
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	} else if err != nil {
		return fmt.Errorf("lock directory: %w", err)
	}
	return fn()
}
