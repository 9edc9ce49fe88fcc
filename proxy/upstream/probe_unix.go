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

	one  [1]byte
	peek func(fd uintptr)
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

// look is the callback that peeks at one byte.
func (o *probe) look(fd uintptr) {
	_, _, o.err = syscall.Recvfrom(int(fd), o.one[:], syscall.MSG_PEEK)
}

// isSilent reports whether the socket is open and holds nothing to be read.
func (w *wire) isSilent() bool {
	if w.raw == nil {
		return false
	}
	o := &w.probe
	if o.peek == nil {
		o.peek = o.look
	}
	err := w.raw.Control(o.peek)
	return err == nil && (errors.Is(o.err, syscall.EAGAIN) || errors.Is(o.err, syscall.EWOULDBLOCK))
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
