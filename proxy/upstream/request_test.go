package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

type recorder struct {
	net.Conn
	b      *bytes.Buffer
	writes *int
}

func (r recorder) Write(p []byte) (int, error) {
	*r.writes++
	r.b.Write(p)
	return r.Conn.Write(p)
}

func recording(t *testing.T) (tr *Transport, b *bytes.Buffer, writes *int) {
	b, writes = new(bytes.Buffer), new(int)
	return transport(t, Options{Dial: func(ctx context.Context, key Key) (net.Conn, error) {
		c, err := dialLoopback(ctx, key)
		return recorder{c, b, writes}, err
	}}), b, writes
}

func TestTheRequestLeavesAsItIs(t *testing.T) {
	p := serve(t, forever(okReply))
	tr, b, writes := recording(t)
	var req fasthttp.Request
	raw := "POST /v1/a/../b//c?x=%2f&y=a+b& HTTP/1.1\r\nhost: Provider.Example:443\r\nidempotency-key: K\r\nx-a: 1\r\nX-A: 2\r\ncontent-length: 3\r\n\r\na=1"
	req.Header.DisableNormalizing()
	if err := req.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		t.Fatal(err)
	}
	_ = req.URI().Path() // which would make fasthttp write the normalised path
	if _, err := tr.Do(t.Context(), p.key(false), &req, new(fasthttp.Response), Mode{}); err != nil {
		t.Fatal(err)
	}
	want := "POST /v1/a/../b//c?x=%2f&y=a+b& HTTP/1.1\r\nHost: Provider.Example:443\r\nContent-Length: 3\r\nidempotency-key: K\r\nx-a: 1\r\nX-A: 2\r\n\r\na=1"
	if b.String() != want || *writes != 1 {
		t.Errorf("wrote %q in %d writes, want %q in one", b, *writes, want)
	}
}

func TestFramingOfRequests(t *testing.T) {
	for _, tc := range []struct {
		what   string
		set    func(*fasthttp.Request)
		tail   string // of what is written
		absent string
	}{
		{"a body that came in chunks leaves with its length", func(r *fasthttp.Request) { r.Header.SetContentLength(-1) }, "Content-Length: 24\r\n\r\namount=5000&currency=usd", "Transfer-Encoding"},
		{"a wrong length is corrected", func(r *fasthttp.Request) { r.Header.SetContentLength(3) }, "Content-Length: 24\r\n\r\namount=5000&currency=usd", ""},
		{"a POST without body says so", func(r *fasthttp.Request) { r.ResetBody() }, "Content-Length: 0\r\n\r\n", ""},
		{"a GET without body says nothing", func(r *fasthttp.Request) { r.Header.SetMethod("GET"); r.ResetBody() }, "Host: provider.example\r\n\r\n", "Content-Length"},
		{"a GET that announced chunks and has none", func(r *fasthttp.Request) {
			r.Header.SetMethod("GET")
			r.ResetBody()
			r.Header.SetContentLength(-1)
		}, "Content-Length: 0\r\n\r\n", "Transfer-Encoding"},
		{"a streamed body of unknown length", func(r *fasthttp.Request) { r.SetBodyStream(strings.NewReader("abc"), -1) }, "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "Content-Length"},
		{"a streamed body of known length", func(r *fasthttp.Request) { r.SetBodyStream(strings.NewReader("abc"), 3) }, "Content-Length: 3\r\n\r\nabc", "Transfer-Encoding"},
	} {
		p := serve(t, forever(okReply))
		tr, b, _ := recording(t)
		req := post()
		tc.set(req)
		if _, err := tr.Do(t.Context(), p.key(false), req, new(fasthttp.Response), Mode{}); err != nil {
			t.Errorf("%s: %v", tc.what, err)
		}
		if got := b.String(); !strings.HasSuffix(got, tc.tail) || tc.absent != "" && strings.Contains(got, tc.absent) || strings.Contains(got, "User-Agent") || strings.Contains(got, "octet-stream") {
			t.Errorf("%s: wrote %q", tc.what, got)
		}
	}
}

func TestLargeBodiesArriveWhole(t *testing.T) {
	for _, size := range []int{1, oneWrite - 200, oneWrite, 1 << 20} {
		var got []byte
		p := serve(t, func(p *provider, _ int, c *net.TCPConn) {
			got, _ = p.request(bufio.NewReader(c))
			io.WriteString(c, okReply)
		})
		for _, streamed := range []bool{false, true} {
			tr, _, writes := recording(t)
			body := make([]byte, size)
			rand.Read(body)
			req := post()
			req.SetBodyRaw(body)
			if streamed {
				req.SetBodyStream(bytes.NewReader(body), -1)
			}
			if _, err := tr.Do(t.Context(), p.key(false), req, new(fasthttp.Response), Mode{}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, body) {
				t.Errorf("%d bytes, streamed %v: the body arrived changed", size, streamed)
			}
			if !streamed && (size < oneWrite-100) != (*writes == 1) {
				t.Errorf("%d bytes left in %d writes", size, *writes)
			}
		}
	}
}

func TestRequestsThatCouldBeReadInTwoWaysAreNotSent(t *testing.T) {
	p := serve(t, forever(okReply))
	for what, set := range map[string]func(*fasthttp.Request){
		"no host":               func(r *fasthttp.Request) { r.Header.SetHost("") },
		"an absolute target":    func(r *fasthttp.Request) { r.Header.SetRequestURI("http://x/y") },
		"a space in the target": func(r *fasthttp.Request) { r.Header.SetRequestURI("/a b") },
		"a break in the target": func(r *fasthttp.Request) { r.Header.SetRequestURIBytes([]byte("/a HTTP/1.1\r\nX: y")) },
		"CONNECT":               func(r *fasthttp.Request) { r.Header.SetMethod("CONNECT") },
		"a second length": func(r *fasthttp.Request) {
			r.Header.DisableSpecialHeader()
			r.Header.Add("Content-Length", "3")
			r.Header.Add("Host", "x")
		},
		"a name with a space": func(r *fasthttp.Request) { r.Header.DisableNormalizing(); r.Header.Add("X Y", "1") },
		"chunks beside a length": func(r *fasthttp.Request) {
			r.Header.DisableSpecialHeader()
			r.Header.Add("Transfer-Encoding", "chunked")
			r.Header.Add("Host", "x")
		},
		"a special head unframed": func(r *fasthttp.Request) { r.Header.DisableSpecialHeader(); r.Header.Add("Host", "x") },
	} {
		tr := transport(t, Options{})
		req := post()
		set(req)
		sent, err := tr.Do(t.Context(), p.key(false), req, new(fasthttp.Response), Mode{})
		if sent || !errors.Is(err, ErrNotSent) {
			t.Errorf("%s: sent %v, %v", what, sent, err)
		}
	}
	if n := p.conns.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestAStreamedRequestThatBreaksOff(t *testing.T) {
	p := serve(t, forever(okReply))
	for what, set := range map[string]func(*fasthttp.Request){
		"short":  func(r *fasthttp.Request) { r.SetBodyStream(strings.NewReader("abc"), 10) },
		"long":   func(r *fasthttp.Request) { r.SetBodyStream(strings.NewReader("abc"), 2) },
		"failed": func(r *fasthttp.Request) { r.SetBodyStream(io.MultiReader(strings.NewReader("abc"), &failing{}), -1) },
	} {
		tr := transport(t, Options{})
		req := post()
		set(req)
		if sent, err := tr.Do(t.Context(), p.key(false), req, new(fasthttp.Response), Mode{}); !sent || err == nil {
			t.Errorf("%s: sent %v, %v", what, sent, err)
		}
	}
	if n := p.requests.Load(); n != 0 {
		t.Errorf("%d broken requests arrived whole", n)
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("agent went away") }
