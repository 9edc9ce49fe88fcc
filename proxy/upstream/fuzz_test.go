package upstream

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// canned is a connection that takes everything and answers with r.
type canned struct {
	net.Conn
	r io.Reader
}

func (c canned) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (canned) Write(p []byte) (int, error)        { return len(p), nil }
func (canned) Close() error                       { return nil }
func (canned) SetDeadline(time.Time) error        { return nil }
func (c canned) SetReadDeadline(time.Time) error  { return nil }
func (c canned) SetWriteDeadline(time.Time) error { return nil }

// FuzzReply holds the reader against net/http's: what both accept must be one
// status and one body, and whole or streamed must make no difference.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		okReply, okReply + okReply, "HTTP/1.1 100 Continue\r\n\r\n" + okReply,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00A ;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\nabc", "HTTP/1.0 304 No\r\n\r\n", "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Add([]byte("HTTP/1.1 200 \r\nServer: \t a b\r\ncontent-type:\r\nSet-Cookie: a=b\r\nX-A: 1\r\nx-a: \xff2 \r\nContent-Length: 000\r\n\r\n"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		do := func(mode Mode) (int, []byte, error) {
			tr := New(Options{Dial: func(context.Context, Key) (net.Conn, error) { return canned{r: bytes.NewReader(reply)}, nil }})
			defer tr.Close()
			resp := new(fasthttp.Response)
			sent, err := tr.Do(context.Background(), Key{Host: "x"}, post(), resp, mode)
			if !sent {
				t.Fatalf("not sent: %v", err)
			}
			if err != nil || !resp.IsBodyStream() {
				return resp.StatusCode(), resp.Body(), err
			}
			b, err := io.ReadAll(resp.BodyStream())
			return resp.StatusCode(), b, err
		}
		status, body, err := do(Mode{})
		streamedStatus, streamed, streamErr := do(Mode{Stream: true})
		if (err == nil) != (streamErr == nil) || err == nil && (status != streamedStatus || !bytes.Equal(body, streamed)) {
			t.Fatalf("whole: %d %q %v; streamed: %d %q %v", status, body, err, streamedStatus, streamed, streamErr)
		}
		if err != nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(reply))
		for {
			r, err := http.ReadResponse(br, &http.Request{Method: "POST"})
			if err != nil {
				return // net/http is the stricter one here
			}
			if r.StatusCode < 200 {
				continue
			}
			want, err := io.ReadAll(r.Body)
			if err == nil && (r.StatusCode != status || !bytes.Equal(want, body)) {
				t.Fatalf("read %d %q, net/http reads %d %q", status, body, r.StatusCode, want)
			}
			return
		}
	})
}
