//go:build unix

package upstream

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// probe carries one read into the callback of a RawConn, and what came of it
// back; it exists once for each connection so that a look allocates nothing.
type probe struct {
	p   []byte
	n   int
	err error
	do  func(fd uintptr) bool
}

// read is the callback. Sockets of the Go runtime are non-blocking, and true
// says not to wait either.
func (o *probe) read(fd uintptr) bool {
	for {
		if o.n, o.err = syscall.Read(int(fd), o.p); !errors.Is(o.err, syscall.EINTR) {
			return true
		}
	}
}

// readNow reads what the socket holds, without waiting.
func (w *wire) readNow(p []byte) (int, error) {
	if w.raw == nil {
		return w.readByDeadline(p)
	}
	o := &w.probe
	if o.do == nil {
		o.do = o.read
	}
	o.p = p
	err := w.raw.Read(o.do)
	o.p = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(o.err, syscall.EAGAIN) || errors.Is(o.err, syscall.EWOULDBLOCK):
		return 0, errNothing
	case o.err != nil:
		return 0, os.NewSyscallError("read", o.err)
	case o.n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return o.n, nil
}
