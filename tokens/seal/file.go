package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Load reads the key file at path: exactly 32 bytes, readable by its owner
// alone. Where there is no file it makes one, and its directory with mode 0700;
// of several processes that do so at once all get the same key. Errors say what
// to do and wrap the cause, such as fs.ErrPermission.
//
// A key that is made anew opens nothing that was sealed before: a caller that
// already has sealed values must check that path exists.
func Load(path string) (*Key, error) {
	k, err := read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create seal key: %w", err)
	}
	return read(path)
}

func read(path string) (*Key, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, fmt.Errorf("read seal key: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written through it
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read seal key: %w", err)
	}
	perm := info.Mode().Perm()
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("read seal key: %s is not a regular file", path)
	case perm&0o077 != 0 && runtime.GOOS != "windows": // whose modes say nothing
		return nil, fmt.Errorf("read seal key: %s may be used by others (mode %04o): run `chmod 600 %s`, and make a new key if somebody may have read it", path, perm, path)
	case info.Size() != Size:
		return nil, fmt.Errorf("read seal key: %s has %d bytes and a key has %d: restore the file from a backup, or name another", path, info.Size(), Size)
	}
	var b [Size]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return nil, fmt.Errorf("read seal key: %w", err)
	}
	return FromBytes(b), nil
}

// create makes a new key file at path, or fails with fs.ErrExist and leaves the
// one that is there. The file appears under its name whole and durable: a link,
// unlike a rename, never replaces the key that another process has just made
// and perhaps used.
func create(path string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".seal-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a left-over is private and harmless
	var b [Size]byte
	rand.Read(b[:]) // which never fails
	_, err = f.Write(b[:])
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name in dir survive a loss of power. Windows has no such
// thing.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
