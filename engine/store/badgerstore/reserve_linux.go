package badgerstore

import (
	"errors"
	"os"
	"syscall"
)

// allocate gives f the blocks for its first n bytes, whether or not it is that
// long, and leaves its length alone. File systems that cannot do so leave the
// free space that is asked for before each commit as the only margin.
func allocate(f *os.File, n int64) error {
	const keepSize = 1 // FALLOC_FL_KEEP_SIZE
	for {
		err := syscall.Fallocate(int(f.Fd()), keepSize, 0, n)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return nil
		default:
			return err
		}
	}
}
