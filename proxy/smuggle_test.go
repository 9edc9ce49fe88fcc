package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/rails"
)

// mirror is a rail that keeps every call as it judged it, and admits all: what is
// refused under it was refused by the proxy.
type mirror struct {
	coinRail
	mu     sync.Mutex
	judged []rails.Call
}

func (m *mirror) Match(c *rails.Call) spend.Class {
	kept := *c
	kept.Body = slices.Clone(c.Body)
	kept.Header = slices.Clone(c.Header)
	m.mu.Lock()
	m.judged = append(m.judged, kept)
	m.mu.Unlock()
	return m.coinRail.Match(c)
}

func (m *mirror) Intent(c *rails.Call, _ []rails.Fact) (rails.Judgement, error) {
	return rails.Judgement{
		Intent: spend.Intent{Rail: "coin", Class: spend.Spend, Operation: "pay"},
		Query:  c.Query, Body: c.Body, Canonical: c.Body, Key: c.Get("Idempotency-Key"), KeyHeader: "Idempotency-Key",
	}, nil
}

func (m *mirror) take() []rails.Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	calls := m.judged
	m.judged = nil
	return calls
}

// transport is a way in. Mutations are written for the inside of a tunnel; start
// turns them into what means the same on this way.
type transport struct {
	name   string
	prefix string // of a target
	open   func(*world) (net.Conn, *bufio.Reader)
	tunnel bool
	never  bool // nothing may come through
}

func transports() []transport {
	listener := func(w *world) (net.Conn, *bufio.Reader) { return w.dial("") }
	return []transport{
		{name: "TLS in CONNECT", tunnel: true, open: func(w *world) (net.Conn, *bufio.Reader) { return w.inside(guardedHost) }},
		{name: "plain in CONNECT", tunnel: true, open: func(w *world) (net.Conn, *bufio.Reader) {
			c, br := w.dial("CONNECT " + guardedHost + ":80 HTTP/1.1\r\nHost: " + guardedHost + ":80\r\n\r\n")
			if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
				w.t.Fatalf("CONNECT: %v %v", resp, err)
			}
			return c, br
		}},
		{name: "absolute form", prefix: "http://" + guardedHost, open: listener},
		{name: "raw to the listener", never: true, open: listener},
	}
}

// smuggling is one way in with one upstream behind.
type smuggling struct {
	*world
	way    transport
	rail   *mirror
	tap    *tap
	last   int // the number of the upstream's last view
	broken int // what the upstream could not read
	// counts, for the table
	tried, forwarded, refusals, hangups, requests int
}

// TestNoReaderDownstreamSeesAnotherRequest sends every mutation by every way in
// to real servers. What they read is what was judged, request by request, and of
// what was refused they get no byte.
func TestNoReaderDownstreamSeesAnotherRequest(t *testing.T) {
	all := mutations()
	names := map[string]bool{}
	for _, m := range all {
		if names[m.name] {
			t.Fatalf("two mutations are called %q", m.name)
		}
		names[m.name] = true
	}
	var mu sync.Mutex
	var table []string
	t.Run("group", func(t *testing.T) {
		for name, start := range map[string]func(*testing.T) string{
			"nginx": startNginx, "haproxy": startHAProxy,
			"node":         func(t *testing.T) string { return startNode(t, "strict") },
			"node lenient": func(t *testing.T) string { return startNode(t, "lenient") },
		} {
			for _, way := range transports() {
				t.Run(way.name+" to "+name, func(t *testing.T) {
					t.Parallel()
					s := newSmuggling(t, way, start(t))
					for _, m := range all {
						s.try(t, m)
					}
					mu.Lock()
					defer mu.Unlock()
					table = append(table, fmt.Sprintf("%-20s %-13s %9d %9d %8d %8d %9d", way.name, name,
						s.tried, s.forwarded, s.refusals, s.hangups, s.requests))
				})
			}
		}
	})
	slices.Sort(table)
	verdict := "none was read differently"
	if t.Failed() {
		verdict = "some failed"
	}
	t.Logf("%d mutations; %s\n%-20s %-13s %9s %9s %8s %8s %9s\n%s", len(all), verdict,
		"way in", "upstream", "mutations", "forwarded", "refused", "cut off", "requests", strings.Join(table, "\n"))
}

func newSmuggling(t *testing.T, way transport, socket string) *smuggling {
	t.Helper()
	s := &smuggling{way: way, rail: &mirror{}, tap: newTap(t, socket)}
	s.world = newWorld(t, func(o *proxy.Options) {
		o.Routes[0].Rail = s.rail
		o.Upstreams[guardedHost] = proxy.Upstream{URL: "http://" + s.tap.addr}
		o.UnknownHosts = proxy.Deny
	})
	s.ordinary(t, "before the first") // learns where the upstream's count begins
	return s
}

// patience is how long the proxy may take to answer or to close.
const patience = 10 * time.Second

// try sends one mutation and checks what came of it on both sides.
func (s *smuggling) try(t *testing.T, m mutation) {
	if m.inside && !s.way.tunnel {
		return
	}
	s.tried++
	want := m.sent
	if s.way.never {
		want = 0
	}
	raw := strings.NewReplacer("{t}", s.way.prefix, "{h}", guardedHost, "{H}", strings.ToUpper(guardedHost)).Replace(m.raw)
	s.tap.take()
	s.rail.take()
	c, br := s.way.open(s.world)
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, raw); err != nil {
		t.Errorf("%s: write: %v", m.name, err)
		return
	}
	// An agent that has said all it has to say may say so. Where a refusal is
	// due it does not, since the proxy must close by itself.
	if m.stalls || !m.refused && !s.way.never {
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	}
	answers, err := readAnswers(br, strings.HasPrefix(raw, "HEAD"))
	if err != nil {
		t.Errorf("%s: after %d answers: %v", m.name, len(answers), err)
		return
	}
	bytes, judged := s.tap.take(), s.rail.take()
	if n, err := requestsIn(bytes); n != want || err != nil {
		t.Errorf("%s: %d requests left, want %d; %v\n%q", m.name, n, want, err, bytes)
		return
	}
	if want == 0 && len(bytes) > 0 {
		t.Errorf("%s: %q left", m.name, bytes)
	}
	if len(answers) < want {
		t.Errorf("%s: %d answers for %d requests", m.name, len(answers), want)
		return
	}
	for i := range want {
		s.compare(t, m, &judged[i], readView(t, answers[i].header))
	}
	s.refusal(t, m, answers[want:], len(judged) > want)
	s.requests += want
	if want > 0 {
		s.forwarded++
		s.ordinary(t, m.name)
	}
}

// refusal checks the answers that are outgo's own.
func (s *smuggling) refusal(t *testing.T, m mutation, answers []answer, judged bool) {
	switch {
	case judged:
		t.Errorf("%s: a refused call was judged", m.name)
	case len(answers) > 1, len(answers) == 1 && !m.refused && !s.way.never, len(answers) == 0 && m.refused && !m.stalls:
		t.Errorf("%s: outgo's own answers are %+v", m.name, answers)
	case len(answers) == 0 && m.sent == 0:
		s.hangups++
	case len(answers) == 1:
		a := answers[0]
		if a.status/100 != 4 || a.header.Get("Outgo-Decision") != "refused" || a.header.Get("Outgo-Code") == "" {
			t.Errorf("%s: refused with %+v", m.name, a)
		}
		if s.way.tunnel && !strings.HasPrefix(m.raw, "HEAD") && !strings.Contains(a.body, `"coin_error"`) {
			t.Errorf("%s: not refused in the rail's words: %+v", m.name, a)
		}
		s.refusals++
	}
}

// readAnswers reads all that the proxy says until it closes.
func readAnswers(br *bufio.Reader, head bool) ([]answer, error) {
	var all []answer
	for {
		if _, err := br.Peek(1); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return all, nil
		}
		method := "POST"
		if head && len(all) == 0 {
			method = "HEAD"
		}
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return all, err
		}
		if resp.StatusCode == 100 {
			continue
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return all, err
		}
		all = append(all, answer{resp.StatusCode, resp.Header, string(b)})
	}
}

// compare holds the upstream's reading of a request against the judged one.
func (s *smuggling) compare(t *testing.T, m mutation, c *rails.Call, v view) {
	t.Helper()
	differs := func(what string, judged, read any) {
		t.Helper()
		t.Errorf("%s: %s: judged %q, the upstream reads %q", m.name, what, judged, read)
	}
	target := c.Path
	if c.HasQuery {
		target += "?" + c.Query
	}
	if v.Method != c.Method {
		differs("method", c.Method, v.Method)
	}
	if v.Target != target && v.Target+"?" != target {
		differs("target", target, v.Target)
	}
	if body := decoded(v.Body); body != string(c.Body) {
		differs("body", c.Body, body)
	}
	if hosts := v.values("Host"); len(hosts) != 1 || hosts[0] != guardedHost {
		differs("host", guardedHost, hosts)
	}
	for _, name := range []string{"Authorization", "Content-Type", "Content-Encoding", "Stripe-Account", "Stripe-Version", "Cookie", "Range", "If-Match", "X-Note", "X-Forwarded-Host"} {
		// Servers may join the lines of a field that is a list.
		if judged, read := strings.Join(c.Values(name), ";"), strings.Join(v.values(name), ";"); strings.ReplaceAll(judged, "; ", ";") != strings.ReplaceAll(read, "; ", ";") {
			differs(name, judged, read)
		}
	}
	keys := v.values("Idempotency-Key")
	if spends := c.Method != "GET" && c.Method != "HEAD"; spends && (len(keys) != 1 || !strings.HasPrefix(keys[0], "outgo_")) {
		differs("idempotency key", "one of outgo's", keys)
	}
	s.compareNames(t, m, c, v)
	s.compareFront(t, m, c, v, target)
	if v.Seq != s.last+1 || v.Broken != s.broken {
		t.Errorf("%s: the upstream has read %d requests and broken off %d, want %d and %d", m.name, v.Seq, v.Broken, s.last+1, s.broken)
	}
	s.last, s.broken = v.Seq, v.Broken
}

// compareNames looks for fields that the upstream reads and nobody judged, and for
// those that must not get there.
func (s *smuggling) compareNames(t *testing.T, m mutation, c *rails.Call, v view) {
	t.Helper()
	fold := func(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "-")) }
	known := map[string]bool{"host": true, "content-length": true, "connection": true, "accept-encoding": true, "idempotency-key": true, "view-method": true, "view-target": true, "view-path": true, "view-length": true, "user-agent": true}
	for _, f := range c.Header {
		known[fold(f.Name)] = true
	}
	for _, f := range v.Headers {
		switch name := fold(f.Name); name {
		case "transfer-encoding", "trailer", "te", "upgrade", "http2-settings", "expect", "keep-alive", "proxy-connection", "proxy-authorization", "outgo-merchant":
			t.Errorf("%s: the upstream reads %s: %q", m.name, f.Name, decoded(f.Value))
		default:
			if !known[name] {
				t.Errorf("%s: nobody judged %s: %q", m.name, f.Name, decoded(f.Value))
			}
		}
	}
}

// compareFront checks what the server in front of the backend made of the request.
func (s *smuggling) compareFront(t *testing.T, m mutation, c *rails.Call, v view, target string) {
	t.Helper()
	if front, ok := v.front["View-Method"]; ok && front != c.Method {
		t.Errorf("%s: judged %s, the server in front reads %s", m.name, c.Method, front)
	}
	if front, ok := v.front["View-Target"]; ok && front != target && front+"?" != target {
		t.Errorf("%s: judged %s, the server in front reads %s", m.name, target, front)
	}
	path, err := url.PathUnescape(c.Path)
	if front, ok := v.front["View-Path"]; ok && (err != nil || front != path) {
		t.Errorf("%s: judged %s, the server in front routes %s", m.name, path, front)
	}
	if front := v.front["View-Length"]; front != "" && front != fmt.Sprint(len(c.Body)) {
		t.Errorf("%s: judged %d bytes, the server in front reads %s", m.name, len(c.Body), front)
	}
}

// ordinary sends a call that nobody could misread, over the connection that the
// call before it used: whatever was left there would come back with it.
func (s *smuggling) ordinary(t *testing.T, after string) {
	t.Helper()
	c, br := transports()[1].open(s.world)
	defer c.Close()
	fmt.Fprintf(c, "PUT /ordinary HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n\r\nok", guardedHost)
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatalf("an ordinary call after %q: %v", after, err)
	}
	resp.Body.Close()
	v := readView(t, resp.Header)
	if s.last > 0 && v.Seq != s.last+1 || v.Broken != s.broken || v.Method != "PUT" || v.Target != "/ordinary" || decoded(v.Body) != "ok" {
		t.Errorf("an ordinary call after %q is read as %+v; the one before was number %d", after, v, s.last)
	}
	s.last = v.Seq
	s.tap.take()
	s.rail.take()
}
