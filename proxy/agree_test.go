package proxy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// sink is a provider's connection that keeps what is sent and answers nothing.
type sink struct {
	net.Conn
	sent bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error)      { return s.sent.Write(p) }
func (s *sink) Read([]byte) (int, error)         { return 0, io.EOF }
func (s *sink) Close() error                     { return nil }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// reading is what one reader makes of a request.
type reading struct{ method, target, host, body string }

// byWire reads the first message of text as the guarded server does, up to where a
// rail would see it.
func byWire(text []byte) (h *head, host string, body []byte, ok bool) {
	times := Timeouts{}
	times.fill()
	w := &wire{Conn: &script{text: text, size: 1 << 16}, maxBody: 1 << 10, times: &times, busy: &tally{}, whole: true}
	defer w.rest()
	if w.next() != nil || w.fault != nil {
		return nil, "", nil, false
	}
	body, err := w.readBody()
	if err != nil || w.unread() {
		return nil, "", nil, false
	}
	value, _ := w.head.get("Host")
	host, port, err := splitAuthority(value, 443)
	if err != nil || validate(&w.head, host, port) != nil {
		return nil, "", nil, false
	}
	if _, _, _, err := rails.CanonicalTarget(w.head.target); err != nil {
		return nil, "", nil, false
	}
	return &w.head, host, bytes.Clone(body), true
}

// readWith reads a request with fasthttp, as its server does.
func readWith(req *fasthttp.Request, r io.Reader) error {
	br := bufio.NewReader(r)
	err := req.ReadLimitBody(br, 1<<11)
	if err == nil && req.MayContinue() {
		err = req.ContinueReadBody(br, 1<<11)
	}
	return err
}

// byNetHTTP reads text with net/http, and returns what stands behind the request.
func byNetHTTP(t *testing.T, text []byte) (reading, http.Header, int) {
	t.Helper()
	br := bufio.NewReader(bytes.NewReader(text))
	r, err := http.ReadRequest(br)
	if err != nil {
		t.Fatalf("net/http does not read %q: %v", text, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("net/http does not read the body of %q: %v", text, err)
	}
	rest, _ := io.ReadAll(br)
	return reading{r.Method, r.RequestURI, r.Host, string(body)}, r.Header, len(rest)
}

// FuzzReadersAgree holds the wire's reader against net/http's and fasthttp's: what
// it accepts, they read the same. So is what is forwarded then.
func FuzzReadersAgree(f *testing.F) {
	const post = "POST /v1/charges?a=b HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer x\r\n"
	for i, seed := range []string{
		post + "Content-Length: 8\r\n\r\namount=5", post + "Content-Length: 008\r\n\r\namount=5GET / HTTP/1.1\r\n\r\n",
		post + "transfer-encoding: Chunked\r\n\r\n3\r\namo\r\n05\r\nunt=5\r\n000\r\n\r\n", post + "\r\n",
		post + "Expect: 100-continue\r\nContent-Length: 8\r\n\r\namount=5", post + "X!#$%&'*+-.^_`|~: \t y\xff \r\nContent-Length:8\r\n\r\namount=5",
		"GET /a%20b/...?c=%00&d=[] HTTP/1.1\r\nhOST: API.test.:443\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: [::1]\r\nConnection: close, TE\r\nTE: trailers\r\n\r\n",
		"OPTIONS /x HTTP/1.1\r\nHost: a.b\r\nX:\r\nX: \r\nContent-Type: \r\n\r\n",
		post + "Content-Length: 8\r\nContent-Length: 8\r\n\r\namount=5", post + "Content-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		post + "X: y\r\n z\r\nContent-Length: 0\r\n\r\n", post + "X : y\r\n\r\n", post + "X: y\n\r\n", "POST /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n8;a=b\r\namount=5\r\n0\r\nContent-Length: 5\r\n\r\n",
	} {
		if _, _, _, ok := byWire([]byte(seed)); ok != (i < 9) {
			f.Fatalf("%q is accepted: %v", seed, ok)
		}
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, host, body, ok := byWire(bytes.Clone(text))
		if !ok {
			return
		}
		value, _ := h.get("Host")
		want := reading{h.method, h.target, value, string(body)}
		if got, _, _ := byNetHTTP(t, text); got != want {
			t.Fatalf("of %q the wire reads %q, net/http %q", text, want, got)
		}
		var fast fasthttp.Request
		if err := readWith(&fast, bytes.NewReader(text)); err != nil {
			t.Fatalf("fasthttp does not read %q: %v", text, err)
		}
		got := reading{string(fast.Header.Method()), string(fast.Header.RequestURI()), string(fast.Header.Host()), string(fast.Body())}
		if got != want {
			t.Fatalf("of %q the wire reads %q, fasthttp %q", text, want, got)
		}
		checkForwarded(t, h, host, body)
	})
}

// checkForwarded sends the judged call on, and reads what left with net/http.
func checkForwarded(t *testing.T, h *head, host string, body []byte) {
	t.Helper()
	to := &sink{}
	tr := upstream.New(upstream.Options{Dial: func(context.Context, upstream.Key) (net.Conn, error) { return to, nil }})
	defer tr.Close()
	out := upstream.Request{Method: h.method, Head: appendRequest(nil, host, 443, false, h.method, h.target, h.fields, nil), Body: body}
	if sent, err := tr.Send(context.Background(), upstream.Key{Host: host}, out, new(upstream.Reply), upstream.Mode{}); !sent {
		t.Fatalf("a judged call is not sent: %v", err)
	}
	got, header, rest := byNetHTTP(t, to.sent.Bytes())
	if want := (reading{h.method, h.target, host, string(body)}); got != want || rest > 0 {
		t.Fatalf("judged %q, sent %q and %d bytes more", want, got, rest)
	}
	for name, values := range header {
		var judged []string
		for i := range h.fields {
			if strings.EqualFold(h.fields[i].Name, name) {
				judged = append(judged, h.fields[i].Value)
			}
		}
		if name != "Content-Length" && strings.Join(judged, "\n") != strings.Join(values, "\n") {
			t.Fatalf("judged %s %q, sent %q", name, judged, values)
		}
	}
}
