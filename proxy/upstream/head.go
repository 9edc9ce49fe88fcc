package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/valyala/fasthttp"
)

// Bounds of a reply's head, and of the informational replies before it.
const (
	maxHead         = 64 << 10
	maxInterim      = 8
	maxInterimBytes = 16 << 10
)

// head is what the transport itself reads from a reply's head, before
// fasthttp parses the same bytes. fasthttp lets pass what two readers could
// read differently, and takes "Connection: Close" for a connection that stays.
type head struct {
	status      int
	size        int // bytes, with the empty line
	http10      bool
	close, keep bool // said by Connection
	length      bool // has Content-Length
	chunked     bool // has Transfer-Encoding
}

// readHead waits for a whole head and leaves it in c.br. It returns io.EOF only
// when the connection ends before the first byte.
func (c *conn) readHead() (head, error) {
	var h head
	at := 0 // where the first line that is not checked yet begins
	for {
		b, _ := c.br.Peek(c.br.Buffered())
		if len(b) > 0 && b[0] != 'H' {
			return h, fmt.Errorf("%w: not an HTTP status line", ErrMalformed)
		}
		for {
			i := bytes.IndexByte(b[at:], '\n')
			if i < 0 {
				break
			}
			line := b[at : at+i]
			if i == 0 || line[i-1] != '\r' || bytes.IndexByte(line[:i-1], '\r') >= 0 {
				return h, fmt.Errorf("%w: line without CRLF in the head", ErrMalformed)
			}
			if i == 1 {
				h.size = at + 2
				return h, h.check()
			}
			if err := h.line(line[:i-1], at == 0); err != nil {
				return h, err
			}
			at += i + 1
		}
		bound := maxHead
		if 100 <= h.status && h.status <= 199 {
			bound = maxInterimBytes
		}
		if len(b) >= bound {
			return h, fmt.Errorf("%w: head over %d bytes", ErrTooLarge, bound)
		}
		if len(b) == c.br.Size() {
			c.grow()
		}
		if _, err := c.br.Peek(len(b) + 1); err != nil {
			if errors.Is(err, io.EOF) && len(b) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return h, err
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

// line takes one line of the head, without its CRLF.
func (h *head) line(b []byte, first bool) error {
	if first {
		return h.statusLine(b)
	}
	name, value, ok := bytes.Cut(b, []byte(":"))
	if !ok || !isToken(name) {
		return fmt.Errorf("%w: header field name %.40q", ErrMalformed, name)
	}
	switch {
	case equalFold(name, "connection"):
		h.close = h.close || hasToken(value, "close")
		h.keep = h.keep || hasToken(value, "keep-alive")
	case equalFold(name, "content-length"):
		h.length = true
	case equalFold(name, "transfer-encoding"):
		h.chunked = true
	}
	return nil
}

func (h *head) statusLine(b []byte) error {
	if len(b) < 12 || !bytes.HasPrefix(b, []byte("HTTP/1.")) || b[7] != '0' && b[7] != '1' || b[8] != ' ' || len(b) > 12 && b[12] != ' ' {
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
	case h.length && h.chunked:
		return fmt.Errorf("%w: both Content-Length and Transfer-Encoding", ErrMalformed)
	case h.http10 && h.chunked:
		return fmt.Errorf("%w: Transfer-Encoding under HTTP/1.0", ErrMalformed)
	}
	return nil
}

// receive reads the reply into resp and gives the connection back, unless the
// body is streamed or the protocol changed (true).
func (c *conn) receive(ctx context.Context, resp *fasthttp.Response, mode Mode, closing, upgrade bool) (switched bool, err error) {
	defer func() {
		if err != nil {
			c.unwatch()
			c.close()
		}
	}()
	if err = c.setReadDeadline(ctx, c.pool.transport.timeouts.FirstByte); err != nil {
		return false, err
	}
	if c.crowded {
		runtime.Gosched() // see Crowd
	}
	h, err := c.readFinalHead()
	if err != nil {
		return false, err
	}
	before := c.br.Buffered()
	// Its errors quote the head, which may hold secrets.
	if resp.Header.Read(c.br) != nil || before-c.br.Buffered() != h.size {
		return false, fmt.Errorf("%w: header fields cannot be parsed", ErrMalformed)
	}
	if h.status == fasthttp.StatusSwitchingProtocols {
		if !upgrade {
			return false, ErrSwitched
		}
		if !c.unwatch() {
			return false, ctx.Err()
		}
		return true, nil
	}
	c.keep = !closing && !h.close && (!h.http10 || h.keep)
	c.frameBody(resp)
	return false, c.receiveBody(ctx, resp, mode)
}

// readFinalHead passes over informational replies.
func (c *conn) readFinalHead() (head, error) {
	for range maxInterim + 1 {
		h, err := c.readHead()
		if errors.Is(err, io.EOF) {
			// The connection closed on the request: nothing came back.
			err = io.ErrUnexpectedEOF
		}
		if err != nil || h.status > 199 || h.status == fasthttp.StatusSwitchingProtocols {
			return h, err
		}
		if h.size > maxInterimBytes {
			return h, fmt.Errorf("%w: informational reply over %d bytes", ErrTooLarge, maxInterimBytes)
		}
		if _, err = c.br.Discard(h.size); err != nil {
			return h, err
		}
	}
	return head{}, fmt.Errorf("%w: more than %d informational replies", ErrMalformed, maxInterim)
}
