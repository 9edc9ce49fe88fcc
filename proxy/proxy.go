// Package proxy is how agents' traffic comes in and how it goes out. Serve
// accepts connections: a CONNECT goes to goproxy and is hijacked (connect.go),
// anything else is absolute-form HTTP. Tunnels to hosts that no rail guards are
// spliced or inspected (tunnel.go); inside a guarded one, TLS ends here and request
// after request (guarded.go) is read under a strict grammar (wire.go, head.go,
// validate.go).
//
// Every guarded call then goes through exchange: matched and judged by its rail
// (judge.go), ruled on by the Gate, held if a person must decide (hold.go),
// forwarded once and finished (send.go, flight.go), or answered in the rail's own
// error format (answer.go). Reads are streamed (pass.go). Before a payment has
// begun an error means that nothing was sent, and the answer says so; after it an
// error means that nobody knows, and the agent's connection is cut.
package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/outgo/outgo/proxy/ca"
	"github.com/outgo/outgo/proxy/dial"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// The treatments of hosts that no rail guards.
const (
	Tunnel  = "tunnel"  // bytes pass unread
	Inspect = "inspect" // TLS ends here; calls pass as they are
	Deny    = "deny"    // no traffic
)

// Route gives hosts to a rail.
type Route struct {
	Rail rails.Rail
	// Hosts are names ("api.stripe.com") and subdomains ("*.infura.io", which
	// does not cover infura.io itself).
	Hosts []string
	// Wait is how long a held call waits for a person before it is handed
	// over, below the time-out of the rail's SDKs.
	Wait time.Duration
	// MaxBody is the longest request body, in bytes, that is judged; 1 MiB when 0.
	MaxBody int
	// Plain admits calls without TLS between agent and outgo. It is implied for
	// a host with an entry in Options.Upstreams.
	Plain bool
}

// Upstream is where the calls to a host really go.
type Upstream struct {
	URL        string         // "https://host[:port]", or "http://…" to loopback
	RootCAs    *x509.CertPool // nil for the system's
	ServerName string         // the name in the certificate; the URL's host when ""
}

// Peer is what is known of who opened a connection.
type Peer struct {
	User, Password string // from Proxy-Authorization
	HasCredentials bool
	Addr           netip.AddrPort // its end of the connection
	Local          netip.AddrPort // ours
}

// Timeouts bound what the proxy waits for. Zero means the default.
type Timeouts struct {
	Idle      time.Duration // for the next request on a connection; 120 s
	Head      time.Duration // from a request's first byte to the end of its head; 10 s
	Body      time.Duration // for a judged body as a whole, or one read of a streamed one; 30 s
	Write     time.Duration // for one write to the agent; 30 s
	Handshake time.Duration // for TLS with the agent; 10 s
	Decide    time.Duration // for an answer of the gate that waits for no person; 10 s
	Lookup    time.Duration // for all lookups of one call; 2 s
	Reply     time.Duration // for the provider's reply to a judged call; 100 s
	Stream    time.Duration // between two parts of a streamed reply; 60 s
	Drain     time.Duration // for calls under way when Drain's context has no end; 30 s
}

// Options configure a Proxy. Routes may be empty; Authority, Dialer, Identify,
// Digest and Gate are required.
type Options struct {
	Routes       []Route
	Authority    *ca.Authority
	Dialer       *dial.Dialer
	Upstreams    map[string]Upstream // by canonical host
	UnknownHosts string              // Tunnel (when ""), Inspect or Deny
	// HoldUnrecognised sends writes that a rail does not know to the gate, which
	// holds or denies them; otherwise they are refused.
	HoldUnrecognised bool
	// Pages are what the listener itself hands out to whoever asks, such as the
	// authority's certificate, by path ("/ca.pem"). None may be secret.
	Pages map[string][]byte
	// Identify names the agent behind a peer. An error is answered with 407.
	Identify     func(Peer) (agent string, err error)
	AuthRequired bool
	// Digest is a keyed digest, in hex of at least 40 characters, under which
	// equal parts give equal digests for equal labels only. It does not keep parts.
	Digest func(label string, parts ...string) string
	Gate   Gate
	Clock  func() time.Time // time.Now when nil
	Log    *zap.Logger      // silent when nil
	// Observe receives one Line for each call, from the goroutine that served
	// it; nil for none.
	Observe  func(Line)
	Timeouts Timeouts
	MaxConns int // connections at one time; 8192 when 0
}

// Proxy serves agents. It is safe for concurrent use.
type Proxy struct {
	opt     Options
	log     *zap.Logger
	clock   func() time.Time
	times   *Timeouts
	table   table
	front   http.Handler // goproxy
	connect *http.Server
	inbox   *inbox
	open    *fasthttp.Server // for what is not inside a guarded tunnel
	up      *upstream.Transport
	flights flights
	late    late
	conns   conns
	busy    tally
	crowd   int // see wire
	counts  counts

	serving context.Context // ends when Drain begins
	stop    context.CancelFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
}

// New makes a Proxy. It fails on routes and upstreams that could not work.
func New(o Options) (*Proxy, error) {
	if o.Authority == nil || o.Dialer == nil || o.Identify == nil || o.Digest == nil || o.Gate == nil {
		return nil, errors.New("make proxy: Authority, Dialer, Identify, Digest and Gate are required")
	}
	if n := len(o.Digest("upstream-key", "check")); n < keyDigits {
		return nil, fmt.Errorf("make proxy: Digest gives %d characters, want at least %d", n, keyDigits)
	}
	switch o.UnknownHosts {
	case "":
		o.UnknownHosts = Tunnel
	case Tunnel, Inspect, Deny:
	default:
		return nil, fmt.Errorf("make proxy: unknown hosts are to be %q: want %s, %s or %s", o.UnknownHosts, Tunnel, Inspect, Deny)
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(Line) {}
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 8192
	}
	o.Timeouts.fill()
	p := &Proxy{opt: o, log: o.Log, clock: o.Clock, listeners: make(map[net.Listener]struct{})}
	p.times = &p.opt.Timeouts
	var err error
	if p.table, err = newTable(o.Routes, o.Upstreams); err != nil {
		return nil, fmt.Errorf("make proxy: %w", err)
	}
	p.serving, p.stop = context.WithCancel(context.Background())
	p.conns.limit, p.crowd = o.MaxConns, upstream.Crowd()
	p.up = upstream.New(upstream.Options{
		Dial: p.dialUpstream, Trust: p.trust, Timeouts: upstream.Timeouts{Stream: p.times.Stream},
	})
	p.late.gate, p.late.log = o.Gate, o.Log
	p.makeServers()
	return p, nil
}

func (t *Timeouts) fill() {
	set := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	set(&t.Idle, 120*time.Second)
	set(&t.Head, 10*time.Second)
	set(&t.Body, 30*time.Second)
	set(&t.Write, 30*time.Second)
	set(&t.Handshake, 10*time.Second)
	set(&t.Decide, 10*time.Second)
	set(&t.Lookup, 2*time.Second)
	set(&t.Reply, 100*time.Second)
	set(&t.Stream, 60*time.Second)
	set(&t.Drain, 30*time.Second)
}

// Serve accepts connections from ln until ln fails or Drain is called; then it
// returns nil. Several listeners may be served at once.
func (p *Proxy) Serve(ln net.Listener) error {
	p.mu.Lock()
	p.listeners[ln] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.listeners, ln)
		p.mu.Unlock()
	}()
	if p.draining() {
		ln.Close() //nolint:errcheck // it was never used
		return nil
	}
	for pause := time.Duration(0); ; {
		c, err := ln.Accept()
		if err == nil {
			pause = 0
			if p.conns.admit(c) {
				go p.greet(c)
			} else {
				p.counts.turnedAway.Add(1)
				c.Close() //nolint:errcheck // nothing was said on it
			}
			continue
		}
		if p.draining() || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if temporary := (interface{ Temporary() bool })(nil); !errors.As(err, &temporary) || !temporary.Temporary() {
			return fmt.Errorf("accept connection: %w", err)
		}
		// Out of descriptors: connections that end will give some back.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-p.serving.Done():
		}
	}
}

func (p *Proxy) draining() bool { return p.serving.Err() != nil }

// Drain stops the proxy: it accepts nothing more, begins no payment, hands waiting
// calls over, waits for the calls under way, and closes every connection. It
// returns an error when calls were still under way at the end of ctx or, if ctx
// has none, of Timeouts.Drain.
func (p *Proxy) Drain(ctx context.Context) error {
	p.stop()
	p.mu.Lock()
	for ln := range p.listeners {
		ln.Close() //nolint:errcheck // Serve returns either way
	}
	p.mu.Unlock()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.times.Drain)
		defer cancel()
	}
	err := p.busy.wait(ctx)
	p.inbox.close()
	p.connect.Close() //nolint:errcheck // its listener is the inbox
	p.conns.closeAll()
	if lerr := p.late.stop(ctx); err == nil {
		err = lerr
	}
	p.up.Close()
	if err != nil {
		return fmt.Errorf("drain proxy: %w", err)
	}
	return nil
}
