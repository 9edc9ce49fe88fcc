package upstream

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// once makes one exchange with a server that sends reply and closes.
func once(t *testing.T, reply string, mode Mode) (*fasthttp.Response, error) {
	t.Helper()
	p := serve(t, replies(reply))
	tr := transport(t, Options{Timeouts: Timeouts{FirstByte: 5 * time.Second, Body: 5 * time.Second}})
	resp := new(fasthttp.Response)
	sent, err := tr.Do(t.Context(), p.key(false), post(), resp, mode)
	if !sent {
		t.Errorf("not sent: %v", err)
	}
	return resp, err
}

func TestReplies(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, strings.Repeat(`{"id":"c1"}`, 100))
	z.Close()
	for _, tc := range []struct {
		what, reply, body string
	}{
		{"with a length", okReply, `{"id":"c1"}`},
		{"in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00A ;x=\"y\"\r\n0123456789\r\n0\r\n\r\n", "abc0123456789"},
		{"in chunks with trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n", "abc"},
		{"until the connection ends", "HTTP/1.1 200 OK\r\n\r\nabc", "abc"},
		{"empty until the connection ends", "HTTP/1.1 200 OK\r\n\r\n", ""},
		{"without reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok"},
		{"with gzip", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", zipped.Len(), zipped.String()), zipped.String()},
		{"after informational ones", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 104 New\r\n\r\n" + okReply, `{"id":"c1"}`},
		{"with a large head", "HTTP/1.1 200 OK\r\nX-Big: " + strings.Repeat("x", 60<<10) + "\r\nContent-Length: 2\r\n\r\nok", "ok"},
		{"with a large head and body", "HTTP/1.1 200 OK\r\nX-Big: " + strings.Repeat("x", 20<<10) + "\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("b", 100000), strings.Repeat("b", 100000)},
	} {
		resp, err := once(t, tc.reply, Mode{})
		if err != nil || string(resp.Body()) != tc.body || resp.StatusCode() != 200 {
			t.Errorf("%s: status %d, %d bytes of body %.40q, %v", tc.what, resp.StatusCode(), len(resp.Body()), resp.Body(), err)
		}
		if n := len(resp.Header.PeekTrailerKeys()); n != 0 || len(resp.Header.Peek("X-Sum")) != 0 {
			t.Errorf("%s: trailers were kept", tc.what)
		}
	}
}

func TestFieldNamesStayAsTheyCame(t *testing.T) {
	resp, err := once(t, "HTTP/1.1 200 OK\r\nrequest-id: a\r\nX-lower-UPPER: b\r\nContent-Length: 0\r\n\r\n", Mode{})
	if err != nil {
		t.Fatal(err)
	}
	head := resp.Header.String()
	for _, want := range []string{"\r\nrequest-id: a\r\n", "\r\nX-lower-UPPER: b\r\n"} {
		if !strings.Contains(head, want) {
			t.Errorf("%q lacks %q", head, want)
		}
	}
	if strings.Contains(head, "Content-Type") {
		t.Errorf("a content type was added: %q", head)
	}
}

func TestMalformedReplies(t *testing.T) {
	interim := "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
	for _, tc := range []struct {
		what, reply string
		want        error
	}{
		{"no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", ErrMalformed},
		{"HTTP/2", "HTTP/2 200 OK\r\n\r\n", ErrMalformed},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"an empty line in front", "\r\n" + okReply, ErrMalformed},
		{"a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"a status of letters", "HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"status 099", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"a NUL in the words of a status", "HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", ErrMalformed},
		{"one bare line feed", "HTTP/1.1 200 OK\r\nContent-Length: 2\nX: y\r\n\r\nok", ErrMalformed},
		{"a bare carriage return", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", ErrMalformed},
		{"a line without colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"a NUL in a value", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"both framings", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ErrMalformed},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", ErrMalformed},
		{"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", ErrMalformed},
		{"a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", ErrMalformed},
		{"a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", ErrMalformed},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", ErrMalformed},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ErrMalformed},
		{"chunks under HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ErrMalformed},
		{"no chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nok\r\n0\r\n\r\n", ErrMalformed},
		{"a chunk size in words", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ntwo\r\nok\r\n0\r\n\r\n", ErrMalformed},
		{"a signed chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n", ErrMalformed},
		{"a chunk size that overflows", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n", ErrMalformed},
		{"an endless chunk line", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 9000) + "\r\nok\r\n0\r\n\r\n", ErrMalformed},
		{"a chunk longer than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n", ErrMalformed},
		{"chunks with bare line feeds", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n", ErrMalformed},
		{"endless trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 4000) + "\r\n", ErrTooLarge},
		{"a flood of informational replies", strings.Repeat(interim, 100) + okReply, ErrMalformed},
		{"one informational reply too many", strings.Repeat(interim, maxInterim+1) + okReply, ErrMalformed},
		{"a huge informational reply", "HTTP/1.1 103 Early Hints\r\nLink: " + strings.Repeat("x", 20<<10) + "\r\n\r\n" + okReply, ErrTooLarge},
		{"informational replies and no other", strings.Repeat(interim, 3), io.ErrUnexpectedEOF},
		{"a huge head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHead) + "\r\nContent-Length: 2\r\n\r\nok", ErrTooLarge},
		{"an endless status line", "HTTP/1.1 200 " + strings.Repeat("x", 2*maxHead), ErrTooLarge},
		{"a change of protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", ErrSwitched},
		{"a body over the bound", "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890", ErrTooLarge},
		{"chunks over the bound", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", ErrTooLarge},
		{"an unframed body over the bound", "HTTP/1.1 200 OK\r\n\r\n01234567890", ErrTooLarge},
		{"a length that nothing holds", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nok", ErrTooLarge},
		{"a length beyond all numbers", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", ErrMalformed},
	} {
		resp, err := once(t, tc.reply, Mode{MaxReply: 10})
		if !errors.Is(err, tc.want) || errors.Is(err, ErrNotSent) {
			t.Errorf("%s: %v, want %v", tc.what, err, tc.want)
		}
		if len(resp.Body()) != 0 || resp.IsBodyStream() {
			t.Errorf("%s: a body was handed out", tc.what)
		}
	}
}

func TestAReplyCutAtAnyByteIsAnError(t *testing.T) {
	texts := map[string]string{
		"with a length":            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"in chunks":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n",
		"after informational ones": "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	}
	for what, text := range texts {
		for _, reset := range []bool{false, true} {
			// One server for all cuts: the n-th connection gets n-1 bytes.
			p := serve(t, func(p *provider, n int, c *net.TCPConn) {
				replies(text[:n-1])(p, n, c)
				if reset {
					_ = c.SetLinger(0)
				}
			})
			tr := transport(t, Options{})
			for cut := range len(text) {
				var resp fasthttp.Response
				sent, err := tr.Do(t.Context(), p.key(false), post(), &resp, Mode{})
				if !sent || err == nil || errors.Is(err, ErrNotSent) {
					t.Fatalf("%s, reset %v, cut after %d bytes: sent %v, %v", what, reset, cut, sent, err)
				}
			}
			if got := int(p.requests.Load()); got != len(text) {
				t.Errorf("%s: %d requests for %d exchanges", what, got, len(text))
			}
		}
	}
}

func TestAStreamCutAtAnyByteIsAnError(t *testing.T) {
	for what, text := range map[string]string{
		"with a length": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"in chunks":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n",
	} {
		p := serve(t, func(p *provider, n int, c *net.TCPConn) { replies(text[:n-1])(p, n, c) })
		tr := transport(t, Options{})
		for cut := range len(text) + 1 {
			var resp fasthttp.Response
			_, err := tr.Do(t.Context(), p.key(false), post(), &resp, Mode{Stream: true})
			var body []byte
			if err == nil {
				body, err = io.ReadAll(resp.BodyStream())
			}
			if (err == nil) != (cut == len(text)) {
				t.Errorf("%s, cut after %d of %d bytes: body %q, %v", what, cut, len(text), body, err)
			}
			_ = resp.CloseBodyStream()
		}
	}
}

func TestRepliesWithoutBody(t *testing.T) {
	for _, tc := range []struct{ what, method, reply string }{
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
		{"HEAD of chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"HEAD without framing", "HEAD", "HTTP/1.1 200 OK\r\n\r\n"},
		{"204", "POST", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"304 with a length", "POST", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"},
	} {
		p := serve(t, forever(tc.reply))
		tr := transport(t, Options{})
		for _, mode := range []Mode{{}, {Stream: true}} {
			req := post()
			req.Header.SetMethod(tc.method)
			if tc.method == "HEAD" {
				req.ResetBody()
			}
			var resp fasthttp.Response
			if _, err := tr.Do(t.Context(), p.key(false), req, &resp, mode); err != nil || resp.IsBodyStream() {
				t.Errorf("%s: stream %v, %v", tc.what, resp.IsBodyStream(), err)
			}
		}
		if s := tr.Stats(); s.Dials != 1 || s.Idle != 1 {
			t.Errorf("%s: %+v", tc.what, s)
		}
	}
}

func TestStreams(t *testing.T) {
	long := strings.Repeat("0123456789", 3000)
	for _, tc := range []struct {
		what, reply string
		max         int
		streamed    bool
		length      int // announced to the reader
		reused      bool
	}{
		{"a short body is read whole", "HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + long, 30000, false, 30000, true},
		{"a long one is streamed", "HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + long, 29999, true, 30000, true},
		{"short chunks are read whole", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7530\r\n" + long + "\r\n0\r\n\r\n", 30000, false, -1, true},
		{"long chunks are streamed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7530\r\n" + long + "\r\n0\r\n\r\n", 29999, true, -1, true},
		{"all is streamed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7530\r\n" + long + "\r\n0\r\n\r\n", 0, true, -1, true},
		{"an event stream is streamed", "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n7530\r\n" + long + "\r\n0\r\n\r\n", 1 << 20, true, -1, true},
		{"a surplus behind a stream is cut", "HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + long + "!", 10, true, 30000, false},
	} {
		p := serve(t, forever(tc.reply))
		tr := transport(t, Options{})
		var resp fasthttp.Response
		if _, err := tr.Do(t.Context(), p.key(false), post(), &resp, Mode{MaxReply: tc.max, Stream: true}); err != nil {
			t.Fatalf("%s: %v", tc.what, err)
		}
		if resp.IsBodyStream() != tc.streamed || resp.Header.ContentLength() != tc.length {
			t.Errorf("%s: streamed %v, length %d", tc.what, resp.IsBodyStream(), resp.Header.ContentLength())
		}
		if got := string(resp.Body()); got != long { // reads the stream and closes it
			t.Errorf("%s: %d bytes of body", tc.what, len(got))
		}
		if s := tr.Stats(); (s.Idle == 1) != tc.reused || s.Open != s.Idle {
			t.Errorf("%s: %+v", tc.what, s)
		}
	}
}

func TestClosingAStreamEarlyCutsTheConnection(t *testing.T) {
	p := serve(t, forever("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"))
	tr := transport(t, Options{})
	for _, readFirst := range []bool{false, true} {
		var resp fasthttp.Response
		if _, err := tr.Do(t.Context(), p.key(false), post(), &resp, Mode{Stream: true}); err != nil {
			t.Fatal(err)
		}
		s := resp.BodyStream()
		if readFirst {
			if _, err := io.ReadFull(s, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(s)
			read <- err
		}()
		// The reader waits for the second half, which never comes.
		if err := resp.CloseBodyStream(); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err == nil {
			t.Error("the read ended as if the body were whole")
		}
		if st := tr.Stats(); st.Open != 0 {
			t.Errorf("%+v", st)
		}
	}
}

func TestSwitch(t *testing.T) {
	p := serve(t, func(p *provider, n int, c *net.TCPConn) {
		if n == 2 {
			forever("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")(p, n, c)
			return
		}
		replies("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nhello ")(p, n, c)
		io.Copy(c, io.LimitReader(c, 5))
	})
	tr := transport(t, Options{})
	var resp fasthttp.Response
	conn, sent, err := tr.Switch(t.Context(), p.key(false), post(), &resp, Mode{})
	if err != nil || !sent || conn == nil || resp.StatusCode() != 101 {
		t.Fatalf("sent %v, status %d, %v", sent, resp.StatusCode(), err)
	}
	if _, err = io.WriteString(conn, "world"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 11)
	if _, err = io.ReadFull(conn, got); err != nil || string(got) != "hello world" {
		t.Errorf("read %q, %v", got, err)
	}
	conn.Close()
	conn.Close()
	if s := tr.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
	conn, _, err = tr.Switch(t.Context(), p.key(false), post(), &resp, Mode{})
	if conn != nil || err != nil || resp.StatusCode() != 403 || string(resp.Body()) != "no" {
		t.Errorf("a refusal: %v, status %d, %v", conn, resp.StatusCode(), err)
	}
}

// secure is serve with TLS.
func secure(t testing.TB, cfg *tls.Config, handle func(p *provider, n int, c *tls.Conn, below *gather)) *provider {
	t.Helper()
	return serve(t, func(p *provider, n int, raw *net.TCPConn) {
		g := &gather{Conn: raw}
		c := tls.Server(g, cfg)
		if c.Handshake() == nil {
			handle(p, n, c, g)
		}
	})
}

// gather holds writes back while hold is set, so that several TLS records leave
// in one segment.
type gather struct {
	net.Conn
	hold bool
	b    []byte
}

func (g *gather) Write(p []byte) (int, error) {
	if g.hold {
		g.b = append(g.b, p...)
		return len(p), nil
	}
	return g.Conn.Write(p)
}

func (g *gather) flush() { g.hold = false; g.Conn.Write(g.b) }

func TestASurplusReplyInsideTLSIsNotTakenForTheNext(t *testing.T) {
	ca := newCA(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, nil)}}
	for _, records := range []int{1, 2} {
		p := secure(t, cfg, func(p *provider, n int, c *tls.Conn, g *gather) {
			if n > 1 {
				p.loop(c, okReply)
				return
			}
			br := newReader(c)
			p.request(br)
			evil := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
			g.hold = true
			if records == 1 {
				io.WriteString(c, okReply+evil)
			} else {
				io.WriteString(c, okReply)
				io.WriteString(c, evil)
			}
			g.flush()
			p.request(br)
		})
		tr := transport(t, Options{Trust: ca.trust()})
		for range 2 {
			var resp fasthttp.Response
			if _, err := tr.Do(t.Context(), p.key(true), post(), &resp, Mode{}); err != nil || string(resp.Body()) != `{"id":"c1"}` {
				t.Errorf("%d records: body %q, %v", records, resp.Body(), err)
			}
		}
		if s := tr.Stats(); s.Surplus != 1 || s.Dials != 2 {
			t.Errorf("%d records: %+v", records, s)
		}
	}
}

func TestAnUnframedReplyUnderTLSMustBeClosedByItsServer(t *testing.T) {
	ca := newCA(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, nil)}}
	for _, says := range []bool{true, false} {
		p := secure(t, cfg, func(p *provider, _ int, c *tls.Conn, _ *gather) {
			p.request(newReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhalf of it")
			if says {
				c.CloseWrite()
			}
		})
		tr := transport(t, Options{Trust: ca.trust()})
		var resp fasthttp.Response
		_, err := tr.Do(t.Context(), p.key(true), post(), &resp, Mode{})
		if (err == nil) != says || !says && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("closure said %v: body %q, %v", says, resp.Body(), err)
		}
	}
}
