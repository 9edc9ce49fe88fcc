package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
)

// Bounds of a reply's head, and of the informational replies before it.
const (
	maxHead         = 64 << 10
	maxInterim      = 8
	maxInterimBytes = 16 << 10
)

// head is what the transport reads from a reply's head, line by line as it comes,
// under a grammar with one reading.
type head struct {
	status      int
	size        int // bytes, with the empty line
	http10      bool
	close, keep bool    // said by Connection
	length      int     // of the body, as Content-Length has it; noLength without one
	chunked     bool    // has Transfer-Encoding
	events      bool    // is of an event stream
	fields      []place // where they stand
}

// place is where a field stands in a head: its name's begin and end, and its
// value's.
type place struct{ name, nameEnd, value, valueEnd int }

// readHead waits for a whole head and leaves it in c.br. It returns io.EOF only
// when the connection ends before the first byte.
func (c *conn) readHead(h *head) error {
	*h = head{length: noLength, fields: h.fields[:0]}
	at := 0 // where the first line that is not checked yet begins
	for {
		b, _ := c.br.Peek(c.br.Buffered())
		if len(b) > 0 && b[0] != 'H' {
			return fmt.Errorf("%w: not an HTTP status line", ErrMalformed)
		}
		for {
			i := bytes.IndexByte(b[at:], '\n')
			if i < 0 {
				break
			}
			line := b[at : at+i]
			if i == 0 || line[i-1] != '\r' {
				return fmt.Errorf("%w: line without CRLF in the head", ErrMalformed)
			}
			if i == 1 {
				h.size = at + 2
				return h.check()
			}
			if err := h.line(line[:i-1], at); err != nil {
				return err
			}
			at += i + 1
		}
		bound := maxHead
		if 100 <= h.status && h.status <= 199 {
			bound = maxInterimBytes
		}
		if len(b) >= bound {
			return fmt.Errorf("%w: head over %d bytes", ErrTooLarge, bound)
		}
		if len(b) == c.br.Size() {
			c.grow()
		}
		if _, err := c.br.Peek(len(b) + 1); err != nil {
			if errors.Is(err, io.EOF) && len(b) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// grow replaces the reader by one that holds the largest head. What is buffered
// is read again through pre.
func (c *conn) grow() {
	b, _ := c.br.Peek(c.br.Buffered())
	c.pre = bytes.Clone(b)
	c.br = bufio.NewReaderSize(c, maxHead)
}

// line takes the line of the head that begins at at, without its CRLF.
func (h *head) line(b []byte, at int) error {
	if at == 0 {
		return h.statusLine(b)
	}
	colon := bytes.IndexByte(b, ':')
	if colon < 0 || !isToken(b[:colon]) {
		return fmt.Errorf("%w: header field name %.40q", ErrMalformed, b[:max(colon, 0)])
	}
	from, to := colon+1, len(b)
	for from < to && isSpace(b[from]) {
		from++
	}
	for from < to && isSpace(b[to-1]) {
		to--
	}
	name, value := b[:colon], b[from:to]
	if holdsControl(value) {
		return fmt.Errorf("%w: control character in the field %.40q", ErrMalformed, name)
	}
	h.fields = append(h.fields, place{at, at + colon, at + from, at + to})
	switch name[0] | 0x20 { // which tells most names apart
	case 'c':
		return h.aboutBody(name, value)
	case 't':
		if equalFold(name, "transfer-encoding") {
			if h.chunked || !equalFold(value, "chunked") {
				return fmt.Errorf("%w: Transfer-Encoding is not \"chunked\", once", ErrMalformed)
			}
			h.chunked = true
		}
	}
	return nil
}

// aboutBody takes a field whose name begins with a C.
func (h *head) aboutBody(name, value []byte) error {
	switch {
	case equalFold(name, "connection"):
		h.close = h.close || hasToken(value, "close")
		h.keep = h.keep || hasToken(value, "keep-alive")
	case equalFold(name, "content-type"):
		media, _, _ := bytes.Cut(value, []byte(";"))
		h.events = equalFold(bytes.TrimSpace(media), "text/event-stream")
	case equalFold(name, "content-length"):
		n, err := strconv.ParseUint(string(value), 10, strconv.IntSize-1)
		if err != nil || h.length != noLength {
			return fmt.Errorf("%w: Content-Length is not a number of bytes, once", ErrMalformed)
		}
		h.length = int(n) //nolint:gosec // it has one bit less
	}
	return nil
}

func (h *head) statusLine(b []byte) error {
	if len(b) < 12 || !bytes.HasPrefix(b, []byte("HTTP/1.")) || b[7] != '0' && b[7] != '1' || b[8] != ' ' ||
		len(b) > 12 && b[12] != ' ' || holdsControl(b) {
		return fmt.Errorf("%w: status line %.40q", ErrMalformed, b)
	}
	h.http10 = b[7] == '0'
	for _, d := range b[9:12] {
		if d < '0' || d > '9' {
			return fmt.Errorf("%w: status line %.40q", ErrMalformed, b)
		}
		h.status = h.status*10 + int(d-'0')
	}
	if h.status < 100 {
		return fmt.Errorf("%w: status %d", ErrMalformed, h.status)
	}
	return nil
}

// check refuses heads that frame their body in two ways.
func (h *head) check() error {
	switch {
	case h.status == 0:
		return fmt.Errorf("%w: no status line", ErrMalformed)
	case h.length != noLength && h.chunked:
		return fmt.Errorf("%w: both Content-Length and Transfer-Encoding", ErrMalformed)
	case h.http10 && h.chunked:
		return fmt.Errorf("%w: Transfer-Encoding under HTTP/1.0", ErrMalformed)
	}
	return nil
}

// receive reads the reply and gives the connection back, unless the body is
// streamed or the protocol changed (true).
func (c *conn) receive(ctx context.Context, r *Reply, mode Mode, out *outgoing, upgrade bool) (switched bool, err error) {
	if err = c.setReadDeadline(ctx, c.pool.transport.timeouts.FirstByte); err != nil {
		return false, err
	}
	if c.crowded {
		runtime.Gosched() // see Crowd
	}
	h := &r.head
	if err = c.readFinalHead(h); err != nil {
		return false, err
	}
	b, err := c.br.Peek(h.size)
	if err != nil {
		return false, err
	}
	r.read(string(b))
	if _, err = c.br.Discard(h.size); err != nil {
		return false, err
	}
	if h.status == http.StatusSwitchingProtocols {
		if !upgrade {
			return false, ErrSwitched
		}
		if !c.unwatch() {
			return false, ctx.Err()
		}
		return true, nil
	}
	c.keep = !out.closing && !h.close && (!h.http10 || h.keep)
	c.frameBody(r, out.isHead)
	return false, c.receiveBody(ctx, r, mode)
}

// readFinalHead passes over informational replies.
func (c *conn) readFinalHead(h *head) error {
	for range maxInterim + 1 {
		err := c.readHead(h)
		if errors.Is(err, io.EOF) {
			// The connection closed on the request: nothing came back.
			err = io.ErrUnexpectedEOF
		}
		if err != nil || h.status > 199 || h.status == http.StatusSwitchingProtocols {
			return err
		}
		if h.size > maxInterimBytes {
			return fmt.Errorf("%w: informational reply over %d bytes", ErrTooLarge, maxInterimBytes)
		}
		if _, err = c.br.Discard(h.size); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: more than %d informational replies", ErrMalformed, maxInterim)
}
