package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// oneWrite is the most that is gathered into the first write: a request of up
// to this size leaves in a single one.
const oneWrite = 64 << 10

// outgoing is a request as it will be written: first, then rest, then stream.
type outgoing struct {
	first   []byte
	rest    []byte
	stream  io.Reader
	size    int // of stream; -1 for chunked
	piece   []byte
	closing bool // the request says "Connection: close"
	isHead  bool // its reply has no body
}

var outgoings = sync.Pool{New: func() any { return new(outgoing) }}

func acquireOutgoing() *outgoing { return outgoings.Get().(*outgoing) }

func (o *outgoing) release() {
	if cap(o.first) > oneWrite+maxHead {
		return
	}
	*o = outgoing{first: o.first[:0], piece: o.piece}
	outgoings.Put(o)
}

// Request is a request without a stream for a body.
type Request struct {
	Method string
	// Head is the request line, of that method and with a target in origin-form, and
	// the fields, each with its CRLF. The framing is added, and all of it is checked.
	Head []byte
	Body []byte
}

// encode frames a request.
func (o *outgoing) encode(r *Request) error {
	if n := len(r.Method); n == 0 || len(r.Head) < n+2 || string(r.Head[:n]) != r.Method || r.Head[n] != ' ' || r.Head[n+1] != '/' {
		return errors.New("the head is of another method, or its target is not in origin-form")
	}
	o.isHead = r.Method == http.MethodHead
	o.first = append(o.first[:0], r.Head...)
	if len(r.Body) > 0 || !o.isHead && r.Method != http.MethodGet {
		o.first = append(o.first, "Content-Length: "...)
		o.first = strconv.AppendInt(o.first, int64(len(r.Body)), 10)
		o.first = append(o.first, "\r\n"...)
	}
	o.first = append(o.first, "\r\n"...)
	return o.add(r.Body)
}

// add checks the head, and puts the body behind it.
func (o *outgoing) add(body []byte) error {
	if err := o.checkHead(len(body)); err != nil {
		return err
	}
	n := max(0, min(len(body), oneWrite-len(o.first)))
	o.first = append(o.first, body[:n]...)
	o.rest = body[n:]
	return nil
}

// checkHead verifies that first is one head and frames the body that follows.
// What was judged must be what is read at the other end: a line break inside a
// value, or a length that is not the body's, would make it two requests.
func (o *outgoing) checkHead(bodySize int) error {
	hosts, lengths, chunked := 0, 0, 0
	rest := o.first
	for first := true; ; first = false {
		i := bytes.IndexByte(rest, '\n')
		if i < 1 || rest[i-1] != '\r' || bytes.IndexByte(rest[:i-1], '\r') >= 0 {
			return errors.New("line break inside the head")
		}
		line := rest[:i-1]
		rest = rest[i+1:]
		if first {
			if bytes.Count(line, []byte(" ")) != 2 || !bytes.HasSuffix(line, []byte(" HTTP/1.1")) {
				return errors.New("space in the method or target, or another protocol")
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(name) {
			return fmt.Errorf("header field name %q is not a token", name)
		}
		switch {
		case equalFold(name, "host"):
			hosts++
		case equalFold(name, "content-length"):
			want := bodySize
			if o.stream != nil {
				want = o.size
			}
			if n, err := strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || n != want {
				return errors.New("Content-Length is not the body's")
			}
			lengths++
		case equalFold(name, "transfer-encoding"):
			chunked++
		case equalFold(name, "connection"):
			o.closing = o.closing || hasToken(value, "close")
		}
	}
	wantLength, wantChunked := bodySize > 0 || o.stream != nil && o.size >= 0, o.stream != nil && o.size < 0
	if hosts != 1 {
		return fmt.Errorf("the head has %d fields of the name Host", hosts)
	}
	if len(rest) != 0 || lengths > 1 || wantLength && lengths == 0 || (chunked == 1) != wantChunked || chunked > 1 || chunked+lengths > 1 {
		return errors.New("the head does not frame the body")
	}
	return nil
}

// write sends out. Each piece of a streamed body gets a deadline of its own.
func (c *conn) write(ctx context.Context, out *outgoing, now time.Time) error {
	for i, b := range [2][]byte{out.first, out.rest} {
		if len(b) == 0 {
			continue
		}
		if i > 0 {
			now = time.Now()
		}
		if err := c.setWriteDeadline(ctx, now, c.pool.transport.timeouts.Write); err != nil {
			return err
		}
		if _, err := c.nc.Write(b); err != nil {
			return err
		}
	}
	if out.stream == nil {
		return nil
	}
	return c.writeStream(ctx, out)
}

// chunkSpace is the room for a chunk's size line in front of its data.
const chunkSpace = 8

func (c *conn) writeStream(ctx context.Context, out *outgoing) error {
	if out.piece == nil {
		out.piece = make([]byte, chunkSpace+32<<10+2)
	}
	total := 0
	for {
		n, err := out.stream.Read(out.piece[chunkSpace : len(out.piece)-2])
		if n > 0 {
			total += n
			if out.size >= 0 && total > out.size {
				return fmt.Errorf("request body is longer than its Content-Length of %d", out.size)
			}
			b := out.piece[chunkSpace : chunkSpace+n]
			if out.size < 0 {
				b = chunk(out.piece, n)
			}
			if err := c.setWriteDeadline(ctx, time.Now(), c.pool.transport.timeouts.Write); err != nil {
				return err
			}
			if _, err := c.nc.Write(b); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && out.size < 0:
			if err = c.setWriteDeadline(ctx, time.Now(), c.pool.transport.timeouts.Write); err == nil {
				_, err = c.nc.Write([]byte("0\r\n\r\n"))
			}
			return err
		case errors.Is(err, io.EOF) && total != out.size:
			return fmt.Errorf("request body ended after %d of %d bytes: %w", total, out.size, io.ErrUnexpectedEOF)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read request body: %w", err)
		}
	}
}

// chunk frames the n bytes that stand behind chunkSpace in piece.
func chunk(piece []byte, n int) []byte {
	var line [chunkSpace]byte
	size := append(strconv.AppendInt(line[:0], int64(n), 16), '\r', '\n')
	from := chunkSpace - len(size)
	copy(piece[from:], size)
	copy(piece[chunkSpace+n:], "\r\n")
	return piece[from : chunkSpace+n+2]
}
