package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// script is a connection whose peer has said everything in pieces of one size.
type script struct {
	net.Conn
	text []byte
	size int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.size)], s.text)
	s.text = s.text[n:]
	return n, nil
}

func (s *script) SetReadDeadline(time.Time) error { return nil }

// readAll reads a connection as the server does: first one byte, then more, and
// returns what the server would see and what wire has found.
func readAll(text []byte, size int) (seen []byte, messages []string, fault *rails.Refusal) {
	times := Timeouts{}
	times.fill()
	w := &wire{Conn: &script{text: text, size: size}, maxBody: 1 << 10, times: &times, busy: &tally{}, whole: true}
	for {
		served := w.served
		p := make([]byte, 1+len(seen)%700)
		n, err := w.Read(p)
		seen = append(seen, p[:n]...)
		if w.served > served {
			messages = append(messages, fmt.Sprint(w.head.method, " ", w.head.target, " ", w.head.fields))
		}
		if err != nil {
			w.rest()
			return seen, messages, w.fault
		}
	}
}

// readEach reads a connection as a guarded tunnel does, message by message, and returns
// their bodies as well.
func readEach(text []byte, size int) (messages, bodies []string, fault *rails.Refusal) {
	times := Timeouts{}
	times.fill()
	w := &wire{Conn: &script{text: text, size: size}, maxBody: 1 << 10, times: &times, busy: &tally{}, whole: true}
	defer w.rest()
	for w.next() == nil {
		messages = append(messages, fmt.Sprint(w.head.method, " ", w.head.target, " ", w.head.fields))
		body, err := w.readBody()
		if err != nil {
			return messages, bodies, w.fault
		}
		bodies = append(bodies, string(body))
	}
	return messages, bodies, nil
}

func TestBytesArriveInAnyPieces(t *testing.T) {
	text := []byte("POST /a HTTP/1.1\r\nHost: x\r\nA:  b \r\nContent-Length: 3\r\n\r\nabc" +
		"PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\n" +
		"HEAD /c?d HTTP/1.1\r\nHost: x\r\n\r\n")
	want := "POST / HTTP/1.1\r\nHost: outgo\r\nContent-Length: 3\r\n\r\nabc" +
		"POST / HTTP/1.1\r\nHost: outgo\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\n" +
		"HEAD / HTTP/1.1\r\nHost: outgo\r\nContent-Length: 0\r\n\r\n"
	for size := 1; size < len(text)+1; size += 1 + size/3 {
		seen, messages, fault := readAll(bytes.Clone(text), size)
		if string(seen) != want || fault != nil {
			t.Fatalf("in pieces of %d the server sees %q, fault %v", size, seen, fault)
		}
		if len(messages) != 3 || messages[0] != "POST /a [{Host x} {A b} {Content-Length 3}]" || !strings.HasPrefix(messages[2], "HEAD /c?d ") {
			t.Fatalf("in pieces of %d the heads are %q", size, messages)
		}
		each, bodies, fault := readEach(bytes.Clone(text), size)
		if fmt.Sprint(each) != fmt.Sprint(messages) || fmt.Sprintf("%q", bodies) != `["abc" "0123456789!" ""]` || fault != nil {
			t.Fatalf("in pieces of %d a tunnel has %q of %q, fault %v", size, bodies, each, fault)
		}
	}
}

// FuzzWire checks that what the server sees is always well formed, whatever the
// agent says, and that the size of the pieces changes nothing.
func FuzzWire(f *testing.F) {
	for _, seed := range []string{
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
		"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n",
		"GET /a HTTP/1.1\nHost: x\r\n\r\n", "\r\n\r\n", "GET / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
		"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", "POST / HTTP/1.1\r\nA : b\r\n\r\n",
	} {
		f.Add([]byte(seed), uint8(7))
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		seen, messages, fault := readAll(bytes.Clone(text), 1<<16)
		again, messagesAgain, faultAgain := readAll(bytes.Clone(text), int(size)+1)
		if fmt.Sprint(messages, fault) != fmt.Sprint(messagesAgain, faultAgain) || !bytes.Equal(seen, again) {
			t.Fatalf("in other pieces %q %q %v becomes %q %q %v", seen, messages, fault, again, messagesAgain, faultAgain)
		}
		if each, bodies, alone := readEach(bytes.Clone(text), int(size)+1); fmt.Sprint(each, alone) != fmt.Sprint(messages, fault) || len(bodies) > len(each) {
			t.Fatalf("a server reads %q %v, a tunnel %q %v", messages, fault, each, alone)
		}
		for i, head := range bytes.SplitAfter(seen, []byte("Host: outgo\r\n")) {
			if i == 0 && len(head) > 0 && !bytes.HasPrefix(head, []byte("POST / HTTP/1.1\r\n")) && !bytes.HasPrefix(head, []byte("HEAD / HTTP/1.1\r\n")) {
				t.Fatalf("the server sees %q first", head)
			}
		}
	})
}

func TestKeptRepliesComeBackAsTheyWere(t *testing.T) {
	r := upstream.Reply{Status: 402, Body: []byte("body"), Fields: []rails.Field{
		{Name: "x-one", Value: "1"}, {Name: "X-Two", Value: ""}, {Name: "x-one", Value: "2"}, {Name: "date", Value: "now"},
		{Name: "Outgo-Decision", Value: "forged"}, {Name: "Keep-Alive", Value: "5"}, {Name: "content-length", Value: "4"},
	}}
	sift(&r)
	kept, _, _ := keep(&r, nil)
	got, err := unkeep(kept)
	if err != nil || got.Status != 402 || string(got.Body) != "body" {
		t.Fatalf("reply = %+v, %v", got, err)
	}
	if s := fmt.Sprint(got.Header); !strings.Contains(s, "{x-one 1} {X-Two } {x-one 2}") || s != "[{x-one 1} {X-Two } {x-one 2}]" {
		t.Errorf("fields = %s", s)
	}
	for i := range len(kept) - len("body") {
		if _, err := unkeep(kept[:i]); err == nil {
			t.Errorf("the first %d bytes of %d are read as a reply", i, len(kept))
		}
	}
}

func TestReplyOfManyFieldsIsKept(t *testing.T) {
	for _, n := range []int{0, 127, 128, 300} {
		r := upstream.Reply{Status: 200, Body: []byte("body")}
		for i := range n {
			r.Fields = append(r.Fields, rails.Field{Name: fmt.Sprintf("X-%d", i), Value: strings.Repeat("v", i)})
		}
		kept, _, _ := keep(&r, nil)
		if got, err := unkeep(kept); err != nil || len(got.Header) != n || string(got.Body) != "body" || cap(kept) > len(kept)+len(kept)/2+64 {
			t.Errorf("of %d fields %d come back: %v", n, len(got.Header), err)
		}
	}
}

func FuzzUnkeep(f *testing.F) {
	f.Add([]byte{1, 200, 1, 1, 1, 'a', 1, 'b', 'c'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := unkeep(b); err == nil && len(r.Body) > len(b) {
			t.Error("the body is longer than the whole")
		}
	})
}

func TestCompressedRepliesAreReadUnderABound(t *testing.T) {
	bomb := rails.Reply{Header: []rails.Field{{Name: "content-encoding", Value: "gzip"}}, Body: fasthttp.AppendGzipBytes(nil, make([]byte, maxInflated+1))}
	if _, err := inflate(bomb); err == nil {
		t.Error("a bomb was inflated")
	}
	bomb.Body = fasthttp.AppendGzipBytes(nil, []byte("receipt"))
	if r, err := inflate(bomb); err != nil || string(r.Body) != "receipt" {
		t.Errorf("reply = %q, %v", r.Body, err)
	}
	bomb.Body = []byte("no gzip")
	if _, err := inflate(bomb); err == nil {
		t.Error("garbage was inflated")
	}
}

func TestFlightsThatEndedAreForgottenInTime(t *testing.T) {
	var s flights
	now := time.Now()
	for i := range 3 * lingering {
		id := spend.ID(fmt.Sprint(i))
		s.land(id, s.open(id), landed, nil, now)
	}
	if n := len(s.byID); n != lingering {
		t.Errorf("%d flights are remembered", n)
	}
	s.land("last", s.open("last"), landed, nil, now.Add(lingeringFor+1))
	if n := len(s.byID); n != 1 {
		t.Errorf("%d flights are remembered later", n)
	}
	long := make([]byte, maxReply)
	for i := range lingering {
		id := spend.ID(fmt.Sprint("long", i))
		s.land(id, s.open(id), landed, long, now.Add(lingeringFor+1))
	}
	if n := len(s.byID); n != lingeringBytes/maxReply || s.bytes != lingeringBytes {
		t.Errorf("%d flights with long replies are remembered, of %d bytes", n, s.bytes)
	}
	s.land("last", s.open("last"), landed, nil, now.Add(2*lingeringFor+2))
	if n := len(s.byID); n != 1 || s.bytes != 0 {
		t.Errorf("%d flights are remembered in the end, of %d bytes", n, s.bytes)
	}
}

func TestAFollowerMayComeBeforeItsFlight(t *testing.T) {
	var s flights
	found, ended := make(chan *flight), make(chan struct{})
	go func() {
		f, done := s.find(context.Background(), "x")
		found <- f
		<-done
		close(ended)
	}()
	s.open("other")
	want := s.open("x")
	if got := <-found; got != want || !s.flying("x") {
		t.Errorf("found %v, want the one that was opened and is under way", got)
	}
	s.land("x", want, landed, []byte("reply"), time.Now())
	<-ended
	f, done := s.find(context.Background(), "x")
	<-done // a follower may also come after the end
	if f != want || f.how != landed || string(f.reply) != "reply" || s.flying("x") {
		t.Errorf("found %v after its end", f)
	}
}

func TestRoutesPreferTheExactName(t *testing.T) {
	coin, closed := rails.Closed("coin"), rails.Closed("closed")
	table, err := newTable([]Route{{Rail: coin, Hosts: []string{"*.a.test", "b.test"}}, {Rail: closed, Hosts: []string{"x.a.test", "*.deep.a.test"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]rails.Rail{
		"a.test": nil, "y.a.test": coin, "x.a.test": closed, "z.deep.a.test": closed, "deep.a.test": coin,
		"b.test": coin, "c.b.test": nil, "notb.test": nil, "test": nil, "": nil,
	} {
		r := table.find(host)
		if (r == nil) != (want == nil) || r != nil && r.Rail != want {
			t.Errorf("%q belongs to %v", host, r)
		}
	}
}

func TestAuthoritiesAreReadOneWay(t *testing.T) {
	for s, want := range map[string]string{
		"Api.Test:443": "api.test 443", "api.test.:1": "api.test 1", "[::1]:8080": "[::1] 8080", "api.test": "api.test 80",
		"[::1]": "[::1] 80", "api.test:": "", "api.test:0": "", "api.test:65536": "", "api.test:+1": "", "api.test:01": "",
		"a@b.test:1": "", "::1:80": "", "": "", ":80": "", "127.1:80": "",
	} {
		host, port, err := splitAuthority(s, 80)
		if got := fmt.Sprint(host, " ", port); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q is read as %q, %v; want %q", s, got, err, want)
		}
	}
}

func TestAPeerThatHasGoneIsNoticedWithoutReading(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	there, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	io.WriteString(there, "unread")
	if isGone(here) {
		t.Error("a peer that is there counts as gone")
	}
	there.Close()
	for end := time.Now().Add(5 * time.Second); !isGone(here); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a peer that has gone counts as there")
		}
	}
	here.Close()
	if !isGone(here) {
		t.Error("a closed socket counts as there")
	}
}
