package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/outgo/outgo/rails"
)

// canonicalFields are the fields of a reply, sorted, with their names in small letters and
// only the last line of those that fasthttp knows one of.
func canonicalFields(r *Reply) (all []string) {
	single := map[string]string{}
	for _, f := range r.Fields {
		switch name := strings.ToLower(f.Name); name {
		case "server", "content-type", "content-encoding":
			single[name] = f.Value
		case "connection", "transfer-encoding", "trailer", "content-length":
		default:
			all = append(all, name+": "+f.Value)
		}
	}
	for name, value := range single {
		if value != "" {
			all = append(all, name+": "+value)
		}
	}
	slices.Sort(all)
	return all
}

// FuzzHead holds the reading of a reply's head against fasthttp's: what the transport
// takes, fasthttp reads the same.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		okReply, "HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\nX: y\r\n\r\n", "HTTP/1.0 404 Not  Found \r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 402 Payment Required\r\nserver: a\r\nServer:\t b \r\ncontent-type:\r\nSet-Cookie: a=b\r\nset-cookie: c\r\nX-A: 1\r\nx-a: \xff2 \r\nDate: x\r\nContent-Length: 002\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\nX: y\r\n\r\n2\r\nok\r\n0\r\nX: z\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789", "HTTP/1.1 200 OK\r\nX: \x7f\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream ; a\r\n\r\ndata: a\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tr := New(Options{Dial: func(context.Context, Key) (net.Conn, error) { return canned{r: bytes.NewReader(text)}, nil }})
		defer tr.Close()
		var r Reply
		req := Request{Method: "POST", Head: []byte("POST / HTTP/1.1\r\nHost: x\r\n")}
		if _, err := tr.Send(t.Context(), Key{Host: "x"}, req, &r, Mode{}); err != nil {
			if errors.Is(err, ErrNotSent) || r.Status != 0 || len(r.Fields) > 0 || len(r.Body) > 0 {
				t.Fatalf("%v, and still %+v", err, r)
			}
			return
		}
		var fast fasthttp.Response
		fast.Header.DisableNormalizing()
		fast.Header.SetNoDefaultContentType(true)
		if err := fast.Header.Read(bufio.NewReaderSize(strings.NewReader(r.text), len(r.text)+16)); err != nil {
			if bytes.Contains(bytes.ToLower(text), []byte("trailer")) {
				return // fasthttp looks into what is dropped here
			}
			t.Fatalf("fasthttp does not read %q: %v", r.text, err)
		}
		var theirs Reply
		for name, value := range fast.Header.All() {
			theirs.Fields = append(theirs.Fields, rails.Field{Name: string(name), Value: string(value)})
		}
		if got, want := canonicalFields(&r), canonicalFields(&theirs); !slices.Equal(got, want) {
			t.Errorf("of %q the fields are %q, to fasthttp %q", r.text, got, want)
		}
		if r.Status != fast.StatusCode() || r.Reason != string(fast.Header.StatusMessage()) {
			t.Errorf("of %q the status is %d %q, to fasthttp %d %q", r.text, r.Status, r.Reason, fast.StatusCode(), fast.Header.StatusMessage())
		}
		if n := fast.Header.ContentLength(); r.Length != n {
			t.Errorf("of %q the length is %d, to fasthttp %d", r.text, r.Length, n)
		}
	})
}

func TestAReplyLeavesNothingToTheNext(t *testing.T) {
	p := serve(t, replies(
		"HTTP/1.1 402 No\r\nContent-Type: text/event-stream\r\nX-Secret: s\r\nContent-Length: 6\r\n\r\nsecret",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "HTTP/1.1 204 None\r\nContent-Length: 3\r\n\r\n"))
	tr := transport(t, Options{})
	var r Reply
	var first string
	for _, want := range []struct {
		status, length, fields int
		reason, body           string
		events                 bool
	}{
		{402, 6, 3, "No", "secret", true},
		{200, -1, 1, "OK", "ok", false},
		{204, 3, 1, "None", "", false},
	} {
		req := Request{Method: "POST", Head: []byte("POST / HTTP/1.1\r\nHost: x\r\n")}
		if _, err := tr.Send(t.Context(), p.key(false), req, &r, Mode{}); err != nil {
			t.Fatal(err)
		}
		if r.Status != want.status || r.Length != want.length || len(r.Fields) != want.fields || r.Reason != want.reason || string(r.Body) != want.body || r.Events != want.events || r.Stream != nil {
			t.Errorf("reply = %+v, want %+v", r, want)
		}
		if first == "" {
			first = r.Fields[1].Value
		}
	}
	if first != "s" {
		t.Errorf("what was read of the first reply is now %q", first)
	}
	r.Reset()
	if r.Status != 0 || len(r.Fields) > 0 || r.text != "" || slices.ContainsFunc(r.Fields[:cap(r.Fields)], func(f rails.Field) bool { return f.Name != "" }) {
		t.Errorf("after Reset: %+v", r)
	}
}
