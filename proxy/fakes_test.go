package proxy_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/proxy/ca"
	"github.com/outgo/outgo/proxy/dial"
	"github.com/outgo/outgo/rails"
)

// guardedHost is judged by coinRail; its certificate upstream is httptest's.
const guardedHost = "api.coin.test"

// coinRail is a provider with five routes: GET reads, POST /pay spends what the
// body says, POST /pay/OBJECT what the object says, POST /note moves nothing, and
// POST /panic panics. Anything else it does not know. A reply proves a payment by its
// status, unless it begins with "working".
type coinRail struct{}

func (coinRail) Name() string { return "coin" }

func (coinRail) Previews() []string { return []string{"/preview"} }

func (coinRail) Match(c *rails.Call) spend.Class {
	if c.Method == "GET" || c.Method == "HEAD" {
		return spend.Read
	}
	return spend.Spend
}

func (coinRail) Intent(c *rails.Call, facts []rails.Fact) (rails.Judgement, error) {
	j := rails.Judgement{
		Intent: spend.Intent{Rail: "coin", Class: spend.Spend, Operation: "pay", Network: "coin"},
		Query:  c.Query, Body: c.Body, Canonical: c.Body, Key: c.Get("Idempotency-Key"), KeyHeader: "Idempotency-Key", Replayable: time.Hour,
	}
	amount := strings.TrimPrefix(string(c.Body), "amount=")
	object, named := strings.CutPrefix(c.Path, "/pay/")
	switch {
	case c.Path == "/panic":
		panic("the rail has a bug")
	case c.Path == "/note":
		j.Intent.Class, j.Intent.Operation = spend.Other, "note"
		return j, nil
	case c.Path == "/order" && facts == nil:
		j.Lookups = []rails.Lookup{{Target: "/preview", Body: string(c.Body)}}
		return j, nil
	case c.Path == "/order":
		amount = string(facts[0].Reply.Body)
	case c.Path == "/sneak": // a bug of the rail would have a payment sent as a lookup
		j.Lookups = []rails.Lookup{{Target: "/pay", Body: "amount=1"}}
		return j, nil
	case named && facts == nil:
		j.Lookups = []rails.Lookup{{Target: "/objects/" + object}}
		return j, nil
	case named:
		if facts[0].Reply.Status != 200 {
			return j, rails.Refusef(spend.Malformed, "", "no such object")
		}
		amount = string(facts[0].Reply.Body)
		j.Intent.Object = object
	case c.Path != "/pay":
		j.Intent.Class = spend.Unrecognised
		return j, nil
	}
	a, err := spend.ParseAmount("USD", amount)
	if err != nil {
		return j, rails.Refusef(spend.Malformed, "amount", "the amount is no number")
	}
	j.Intent.Legs = []spend.Leg{{Kind: spend.Charge, Amount: a}}
	return j, nil
}

func (coinRail) Outcome(_ *spend.Intent, r *rails.Reply) spend.Outcome {
	switch {
	case strings.HasPrefix(string(r.Body), "panic"):
		panic("the rail has a bug")
	case strings.HasPrefix(string(r.Body), "working"):
	case r.Status == 200:
		return spend.Outcome{Result: spend.Happened, Receipt: spend.Receipt{TransactionID: string(r.Body)}}
	case r.Status == 402:
		return spend.Outcome{Result: spend.DidNot}
	}
	return spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown}
}

func (coinRail) Refuse(_ *rails.Call, a rails.Answer) rails.Reply {
	status := map[rails.Situation]int{
		rails.Refused: 400, rails.HeldOn: 429, rails.Uncertain: 429, rails.Busy: 429, rails.Unavailable: 503, rails.Unreachable: 502,
	}[a.Situation]
	if status == 0 {
		status = 403
	}
	return rails.Reply{
		Status: status, Header: []rails.Field{{Name: "Content-Type", Value: "application/json"}},
		Body: fmt.Appendf(nil, `{"coin_error":{"situation":%q,"code":%q,"message":%q}}`, a.Situation, a.Code, a.Message),
	}
}

// ledger is a Gate whose rulings a test makes up. Its methods fail the test when
// they are called without a function for it.
type ledger struct {
	t         testing.TB
	authorize func(spend.Intent) (spend.Ruling, error)
	wait      func(context.Context, spend.ID) (spend.Ruling, error)
	begin     func(spend.ID, spend.Intent) (spend.Ruling, error)
	finish    func(spend.ID, spend.Outcome) error
	reply     func(spend.ID) ([]byte, error)

	mu       sync.Mutex
	intents  []spend.Intent
	outcomes []spend.Outcome
}

func (l *ledger) Authorize(_ context.Context, in spend.Intent) (spend.Ruling, error) {
	l.mu.Lock()
	l.intents = append(l.intents, in)
	n := len(l.intents)
	l.mu.Unlock()
	if l.authorize == nil {
		return spend.Ruling{Next: spend.Forward, Request: spend.Request{ID: spend.ID("req-" + strconv.Itoa(n)), Intent: in, State: spend.Executing}}, nil
	}
	return l.authorize(in)
}

func (l *ledger) Wait(ctx context.Context, id spend.ID) (spend.Ruling, error) {
	if l.wait == nil {
		l.t.Errorf("Wait(%s) was called", id)
		return spend.Ruling{}, errors.New("no wait")
	}
	return l.wait(ctx, id)
}

func (l *ledger) Begin(_ context.Context, id spend.ID, in spend.Intent) (spend.Ruling, error) {
	if l.begin == nil {
		l.t.Errorf("Begin(%s) was called", id)
		return spend.Ruling{}, errors.New("no begin")
	}
	return l.begin(id, in)
}

func (l *ledger) Finish(_ context.Context, id spend.ID, o spend.Outcome) error {
	l.mu.Lock()
	l.outcomes = append(l.outcomes, o)
	l.mu.Unlock()
	if l.finish != nil {
		return l.finish(id, o)
	}
	return nil
}

func (l *ledger) Reply(_ context.Context, id spend.ID) ([]byte, error) {
	if l.reply == nil {
		return nil, spend.NotFound
	}
	return l.reply(id)
}

func (l *ledger) finished() []spend.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]spend.Outcome(nil), l.outcomes...)
}

func (l *ledger) asked() []spend.Intent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]spend.Intent(nil), l.intents...)
}

// provider is the upstream of guardedHost. It records what it got.
type provider struct {
	*httptest.Server
	handle http.HandlerFunc

	mu   sync.Mutex
	seen []string // "METHOD target body"
	head []http.Header
}

func newProvider(t testing.TB) *provider {
	u := &provider{}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		u.seen = append(u.seen, r.Method+" "+r.RequestURI+" "+string(body))
		u.head = append(u.head, r.Header.Clone())
		handle := u.handle
		u.mu.Unlock()
		if handle != nil {
			handle(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Provider", "coin")
		fmt.Fprintf(w, "tx %s", r.URL.Path)
	}))
	u.StartTLS()
	t.Cleanup(u.Close)
	return u
}

func (u *provider) got() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.seen...)
}

func (u *provider) header(i int) http.Header {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.head[i]
}

// world is a proxy with everything around it.
type world struct {
	t     testing.TB
	proxy *proxy.Proxy
	addr  string
	gate  *ledger
	up    *provider
	roots *x509.CertPool

	mu    sync.Mutex
	lines []proxy.Line
}

func (w *world) line(l proxy.Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, l)
}

// observed waits for n lines and returns them.
func (w *world) observed(n int) []proxy.Line {
	w.t.Helper()
	var lines []proxy.Line
	eventually(w.t, fmt.Sprintf("%d lines", n), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		lines = append([]proxy.Line(nil), w.lines...)
		return len(lines) >= n
	})
	return lines
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("there was no %s within 5 s", what)
}

// newWorld starts a proxy; change may alter its options first.
func newWorld(t testing.TB, change func(*proxy.Options)) *world {
	t.Helper()
	w := &world{t: t, gate: &ledger{t: t}, up: newProvider(t)}
	o := options(t)
	trusted := x509.NewCertPool()
	trusted.AddCert(w.up.Certificate())
	o.Upstreams[guardedHost] = proxy.Upstream{URL: w.up.URL, RootCAs: trusted, ServerName: "example.com"}
	o.Upstreams["inspected.test"] = o.Upstreams[guardedHost]
	o.Gate, o.Observe = w.gate, w.line
	if change != nil {
		change(&o)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(o.Authority.Certificate())
	var err error
	if w.proxy, err = proxy.New(o); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- w.proxy.Serve(ln) }()
	t.Cleanup(func() {
		if err := w.proxy.Drain(context.Background()); err != nil {
			t.Errorf("Drain: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return w
}

// options work as they are, with a gate that lets everything through.
func options(t testing.TB) proxy.Options {
	t.Helper()
	authority, err := ca.Load(ca.Options{Dir: t.TempDir(), Names: []string{guardedHost, "inspected.test"}, Constrain: true})
	if err != nil {
		t.Fatal(err)
	}
	return proxy.Options{
		Routes:    []proxy.Route{{Rail: coinRail{}, Hosts: []string{guardedHost, "*.wild.test"}, Wait: 2 * time.Second, MaxBody: 1000}},
		Authority: authority,
		Dialer:    dial.New(dial.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Resolver: loopback{}}),
		Upstreams: map[string]proxy.Upstream{},
		Identify: func(p proxy.Peer) (string, error) {
			if p.HasCredentials && (p.User != "alice" || p.Password != "key") {
				return "", spend.Unauthenticated
			}
			if p.HasCredentials {
				return p.User, nil
			}
			return "default", nil
		},
		Digest: func(label string, parts ...string) string {
			m := hmac.New(sha256.New, []byte(label))
			for _, p := range parts {
				fmt.Fprintf(m, "%d:%s", len(p), p)
			}
			return hex.EncodeToString(m.Sum(nil))
		},
		Gate:     &ledger{t: t},
		Timeouts: proxy.Timeouts{Drain: 5 * time.Second},
	}
}

// loopback resolves every name to this machine.
type loopback struct{}

func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// client is an ordinary HTTP client behind the proxy.
func (w *world) client(user *url.Userinfo) *http.Client {
	at := &url.URL{Scheme: "http", Host: w.addr, User: user}
	tr := &http.Transport{Proxy: http.ProxyURL(at), TLSClientConfig: &tls.Config{RootCAs: w.roots}}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// answer is a reply that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

func read(t testing.TB, resp *http.Response, err error) answer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (w *world) post(path, body string, fields ...string) answer {
	w.t.Helper()
	req, err := http.NewRequest("POST", "https://"+guardedHost+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := w.client(nil).Do(req)
	return read(w.t, resp, err)
}

// dial opens a socket to the proxy and says text.
func (w *world) dial(text string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		w.t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// inside opens a tunnel to host:443 and TLS in it.
func (w *world) inside(host string) (*tls.Conn, *bufio.Reader) {
	w.t.Helper()
	c, br := w.dial("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n")
	resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 {
		w.t.Fatalf("CONNECT %s: %v %v", host, resp, err)
	}
	s := tls.Client(c, &tls.Config{RootCAs: w.roots, ServerName: host, NextProtos: []string{"http/1.1"}})
	if err := s.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	return s, bufio.NewReader(s)
}

// say writes raw bytes into a tunnel to the guarded host and reads one reply.
func (w *world) say(raw string) (answer, *tls.Conn, *bufio.Reader) {
	w.t.Helper()
	c, br := w.inside(guardedHost)
	if _, err := io.WriteString(c, raw); err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.ReadResponse(br, nil)
	return read(w.t, resp, err), c, br
}
