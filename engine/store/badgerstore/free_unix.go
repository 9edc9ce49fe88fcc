//go:build linux || darwin

package badgerstore

import "syscall"

// freeBytes returns how many bytes this user may still write at dir.
func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec,unconvert // never negative; its type differs by system
}
