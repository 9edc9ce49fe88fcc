package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Bounds of a chunked body's lines.
const (
	maxChunkLine = 256
	maxTrailers  = 16 << 10
)

type framing int

const (
	noBody framing = iota
	fixed
	chunkedBody
	untilClose
)

// frame is how far the body of the current reply has been read.
type frame struct {
	kind framing
	left int  // of the body or of the current chunk
	done bool // the body's end was read
}

// frameBody decides, after the head, how the body ends.
func (c *conn) frameBody(r *Reply, isHead bool) {
	switch n := r.Length; {
	case isHead || Bodiless(r.Status):
		c.frame = frame{kind: noBody, done: true}
	case n >= 0:
		c.frame = frame{kind: fixed, left: n, done: n == 0}
	case n == inChunks:
		c.frame = frame{kind: chunkedBody}
	default:
		c.frame = frame{kind: untilClose}
		c.keep = false
	}
}

// receiveBody reads the body whole within mode.MaxReply. What is larger, and an
// event stream, which may never end, becomes a stream where mode allows it.
func (c *conn) receiveBody(ctx context.Context, r *Reply, mode Mode) error {
	size := -1
	if c.frame.kind == fixed {
		size = c.frame.left
	}
	if !c.frame.done && mode.Stream && (size > mode.MaxReply || mode.MaxReply <= 0 || r.Events) {
		return c.toStream(ctx, r, nil)
	}
	if size > mode.MaxReply {
		return fmt.Errorf("%w: body of %d bytes, at most %d are read", ErrTooLarge, size, mode.MaxReply)
	}
	if size < 0 || c.br.Buffered() < size {
		if err := c.setReadDeadline(ctx, c.pool.transport.timeouts.Body); err != nil {
			return err
		}
	}
	// The reply's own memory is filled: in the steady state nothing is allocated.
	buf, whole, err := c.readWhole(r.room[:0], size, mode.MaxReply)
	if err != nil {
		return err
	}
	if !whole {
		if !mode.Stream {
			return fmt.Errorf("%w: body over %d bytes", ErrTooLarge, mode.MaxReply)
		}
		return c.toStream(ctx, r, buf)
	}
	r.room, r.Body = buf, buf
	if c.frame.kind == untilClose && c.nc != net.Conn(c.wire) {
		r.Length = len(buf) // TLS has told that this is all
	}
	c.finish()
	return nil
}

// readWhole appends the body to buf until it ends or exceeds limit; size is its
// announced length or -1.
func (c *conn) readWhole(buf []byte, size, limit int) (_ []byte, whole bool, err error) {
	const firstGuess = 64 << 10 // An announced length is not proof of as many bytes.
	if size > cap(buf) {
		buf = make([]byte, 0, min(size, firstGuess))
	}
	for !c.frame.done {
		if len(buf) > limit {
			return buf, false, nil
		}
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), max(2*cap(buf), 4096))
			copy(grown, buf)
			buf = grown
		}
		n, err := c.readBody(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil && !errors.Is(err, io.EOF) {
			return buf, false, err
		}
	}
	return buf, len(buf) <= limit, nil
}

// readBody reads bytes of the body. It returns io.EOF at the body's end and
// io.ErrUnexpectedEOF when the connection ends before it. p is not empty.
func (c *conn) readBody(p []byte) (n int, err error) {
	if c.frame.done {
		return 0, io.EOF
	}
	if c.frame.kind == chunkedBody && c.frame.left == 0 {
		if c.frame.left, err = c.chunkSize(); err != nil {
			return 0, noEOF(err)
		}
		if c.frame.left == 0 {
			if err = c.skipTrailers(); err != nil {
				return 0, noEOF(err)
			}
			c.frame.done = true
			return 0, io.EOF
		}
	}
	if c.frame.kind == untilClose {
		n, err = c.br.Read(p)
		if errors.Is(err, io.EOF) && c.wire.cut(c.nc) {
			return n, io.ErrUnexpectedEOF
		}
		c.frame.done = errors.Is(err, io.EOF)
		return n, err
	}
	n, err = c.br.Read(p[:min(len(p), c.frame.left)])
	c.frame.left -= n
	if err != nil {
		return n, noEOF(err)
	}
	if c.frame.left == 0 {
		if c.frame.kind == fixed {
			c.frame.done = true
		} else if err = c.crlf(); err != nil {
			return n, noEOF(err)
		}
	}
	return n, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// textLine reads a line of a chunked body, without its CRLF. It is valid until
// the next read.
func (c *conn) textLine(limit int) ([]byte, error) {
	b, err := c.br.ReadSlice('\n')
	if err != nil && len(b) <= limit {
		return nil, err
	}
	if len(b) > limit || len(b) < 2 || b[len(b)-2] != '\r' {
		return nil, fmt.Errorf("%w: line of a chunked body", ErrMalformed)
	}
	return b[:len(b)-2], nil
}

func (c *conn) crlf() error {
	for _, want := range [2]byte{'\r', '\n'} {
		if got, err := c.br.ReadByte(); err != nil {
			return err
		} else if got != want {
			return fmt.Errorf("%w: chunk longer than its size", ErrMalformed)
		}
	}
	return nil
}

// chunkSize reads the line in front of a chunk. Extensions are passed over.
func (c *conn) chunkSize() (int, error) {
	b, err := c.textLine(maxChunkLine)
	if err != nil {
		return 0, err
	}
	size, digits := 0, 0
	for digits < len(b) {
		d := hexDigit(b[digits])
		if d < 0 {
			break
		}
		if digits++; digits > 15 {
			return 0, fmt.Errorf("%w: chunk size", ErrMalformed)
		}
		size = size<<4 | d
	}
	rest := bytes.TrimLeft(b[digits:], " \t")
	if digits == 0 || len(rest) > 0 && rest[0] != ';' || bytes.IndexByte(rest, '\r') >= 0 {
		return 0, fmt.Errorf("%w: chunk size", ErrMalformed)
	}
	return size, nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func (c *conn) skipTrailers() error {
	for left := maxTrailers; left > 0; {
		b, err := c.textLine(c.br.Size())
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return nil
		}
		left -= len(b) + 2
	}
	return fmt.Errorf("%w: trailers over %d bytes", ErrTooLarge, maxTrailers)
}

// stream is a body on its way. Read and Close may run in different goroutines:
// Close then fails the Read.
type stream struct {
	c        *conn
	pre      []byte // read before the body was found too large
	framed   bool
	err      error // what Read ended with
	released atomic.Bool
}

// toStream hands the rest of the body, behind what was read of it, to r.
func (c *conn) toStream(ctx context.Context, r *Reply, pre []byte) error {
	if !c.unwatch() {
		return ctx.Err()
	}
	r.room = nil // pre is the stream's now
	r.Stream = &stream{c: c, pre: pre, framed: c.frame.kind != untilClose || c.nc != net.Conn(c.wire)}
	return nil
}

func (s *stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.released.Load() {
		return 0, os.ErrClosed
	}
	if len(s.pre) > 0 {
		n := copy(p, s.pre)
		s.pre = s.pre[n:]
		return n, nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	s.c.readBy = time.Now().Add(s.c.pool.transport.timeouts.Stream)
	err := s.c.nc.SetReadDeadline(s.c.readBy)
	n := 0
	if err == nil {
		n, err = s.c.readBody(p)
	}
	if err != nil {
		s.err = err
		if s.released.CompareAndSwap(false, true) {
			if errors.Is(err, io.EOF) {
				s.c.finish()
			} else {
				s.c.close()
			}
		}
	}
	return n, err
}

// Framed implements Framed. TLS tells the end of what has no length.
func (s *stream) Framed() bool { return s.framed }

// Close cuts the connection unless Read has seen the body's end.
func (s *stream) Close() error {
	if s.released.CompareAndSwap(false, true) {
		s.c.close()
	}
	return nil
}
