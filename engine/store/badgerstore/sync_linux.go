package badgerstore

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes what was written to f durable. Its length does not change and its
// blocks are there, so nothing else need be.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
