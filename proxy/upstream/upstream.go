// Package upstream carries judged requests to providers. It is an HTTP/1.1
// transport that answers one question no client library does: did a byte of this
// request leave? Send says so in its first result, and only that answer decides
// whether a payment failed or has an unknown outcome. Do is Send for the types of
// fasthttp (fast.go).
//
// A request is written whole, exactly as given, once: it is never repeated, save
// on a pooled connection that turns out dead before its first byte. A reply is
// read under bounds, byte for byte, and a connection is used again only when
// nothing stands behind the reply that was asked for. Pools are kept apart by
// agent and client certificate. Addresses are judged by whoever dials (package
// dial); certificates are always verified.
package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Errors that tell what became of a request. All but ErrNotSent come after
// bytes have left.
var (
	// ErrNotSent is wrapped when provably no byte of the request was written.
	ErrNotSent = errors.New("request not sent")
	// ErrMalformed is wrapped when a reply does not have exactly one reading.
	ErrMalformed = errors.New("malformed reply")
	// ErrTooLarge is wrapped when a reply exceeds Mode.MaxReply and may not be
	// streamed, or its head exceeds 64 KiB.
	ErrTooLarge = errors.New("reply too large")
	// ErrSwitched is wrapped when a server changes protocols unasked.
	ErrSwitched = errors.New("server switched protocols")
)

// Defaults of Options and Mode.
const (
	defaultDial      = 10 * time.Second
	defaultWrite     = 30 * time.Second
	defaultFirstByte = 120 * time.Second
	defaultBody      = 120 * time.Second
	defaultStream    = 10 * time.Minute
	defaultMaxConns  = 512
	defaultMaxPools  = 1024
	defaultMaxReply  = 1 << 20
	defaultIdle      = 5 * time.Second
)

// Key says which connections a request may share. Two requests that differ in
// any field never meet on one connection, nor resume each other's TLS sessions.
type Key struct {
	Host  string // DNS name or IP address; the name that a certificate must have
	Port  uint16
	TLS   bool
	Agent string // on whose behalf
	Cert  string // name of the client certificate, "" for none
}

// Mode says how one exchange is to be carried out.
type Mode struct {
	// MaxReply is the number of body bytes read whole; 1 MiB when zero and
	// Stream is not set.
	MaxReply int
	// Stream lets a body that is larger than MaxReply, or is an event stream,
	// pass as Reply.Stream.
	Stream bool
	// Idle is how long a connection may have been unused to be taken for this
	// exchange, and how long it is kept after it; 5 s when zero.
	Idle time.Duration
	// Within bounds the exchange as a deadline of its context would, for less:
	// nothing has to watch for it beside the connection's own deadlines. 0 for no
	// bound.
	Within time.Duration

	began time.Time
	until time.Time // began and Within; zero for no bound
}

// Framed is what a body that passes can be asked: whether its end is told from its
// connection's. Where it is not, a body that was cut looks whole.
type Framed interface{ Framed() bool }

// Timeouts bound the phases of an exchange; the context's deadline, when
// earlier, bounds each of them too. Zero means the default.
type Timeouts struct {
	Dial      time.Duration // connection and TLS handshake: 10 s
	Write     time.Duration // the request, or each piece of a streamed one: 30 s
	FirstByte time.Duration // from the request's end to the end of the reply's head: 120 s
	Body      time.Duration // a body that is read whole: 120 s
	Stream    time.Duration // between two reads of a streamed body: 10 min
}

// Trust is what a host is verified by, and what it is shown.
type Trust struct {
	Roots        *x509.CertPool    // the system's when nil
	ServerName   string            // Key.Host when empty
	Certificates []tls.Certificate // client certificates
}

// Options configure a Transport. Dial is required.
type Options struct {
	// Dial opens the connection below TLS. It judges the address.
	Dial func(ctx context.Context, key Key) (net.Conn, error)
	// Trust is asked once for each Key with TLS; nil means the zero Trust.
	Trust    func(key Key) (Trust, error)
	Timeouts Timeouts
	// MaxConns bounds the open connections of one Key: 512 when zero.
	MaxConns int
}

// Transport carries requests. It is safe for concurrent use.
type Transport struct {
	dialRaw  func(ctx context.Context, key Key) (net.Conn, error)
	trust    func(key Key) (Trust, error)
	timeouts Timeouts
	maxConns int
	maxPools int
	crowd    int

	mu     sync.Mutex
	pools  map[Key]*pool
	open   int
	idle   int
	timer  *time.Timer // runs sweep while connections are idle
	closed bool

	dials, reused, stale, surplus atomic.Uint64
}

// New makes a Transport.
func New(o Options) *Transport {
	t := &Transport{dialRaw: o.Dial, trust: o.Trust, timeouts: o.Timeouts, maxConns: o.MaxConns, maxPools: defaultMaxPools, crowd: Crowd(), pools: make(map[Key]*pool)}
	if t.trust == nil {
		t.trust = func(Key) (Trust, error) { return Trust{}, nil }
	}
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{
		{&t.timeouts.Dial, defaultDial}, {&t.timeouts.Write, defaultWrite}, {&t.timeouts.FirstByte, defaultFirstByte},
		{&t.timeouts.Body, defaultBody}, {&t.timeouts.Stream, defaultStream},
	} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	if t.maxConns <= 0 {
		t.maxConns = defaultMaxConns
	}
	return t
}

// Crowd is how many calls under way keep every processor busy. Beyond it, who has
// asked for something lets others have their turn before it looks for the answer:
// often that saves the wait for it.
func Crowd() int { return 4 * runtime.GOMAXPROCS(0) }

// Send sends req to key and reads the reply into r. sent is false, and err wraps
// ErrNotSent, only when provably no byte of the request was written; with any other
// error the provider may have acted. On an error r is empty. Send keeps nothing of
// req.
//
// ctx ends the exchange until Send returns; after that a streamed body is bounded
// by Timeouts.Stream and by its Close.
func (t *Transport) Send(ctx context.Context, key Key, req Request, r *Reply, mode Mode) (sent bool, err error) {
	out := acquireOutgoing()
	defer out.release()
	if err = out.encode(&req); err != nil {
		r.Reset()
		return false, fmt.Errorf("%w: encode request: %w", ErrNotSent, err)
	}
	_, sent, err = t.exchange(ctx, key, out, r, mode, false)
	return sent, err
}

// exchange returns a connection only when the server switched protocols and
// upgrade allowed it.
func (t *Transport) exchange(ctx context.Context, key Key, out *outgoing, r *Reply, mode Mode, upgrade bool) (up *conn, sent bool, err error) {
	if mode.Idle <= 0 {
		mode.Idle = defaultIdle
	}
	if mode.MaxReply <= 0 && !mode.Stream {
		mode.MaxReply = defaultMaxReply
	}
	mode.began = time.Now()
	if mode.Within > 0 {
		mode.until = mode.began.Add(mode.Within)
	}
	r.Reset()
	c, sent, err := t.send(ctx, key, out, mode)
	if err != nil {
		return nil, sent, err
	}
	c.idleFor = mode.Idle
	switchedTo, err := c.receive(ctx, r, mode, out, upgrade)
	if err != nil {
		c.unwatch()
		c.close()
		r.Reset()
		return nil, true, fmt.Errorf("read reply of %s: %w", key.Host, because(ctx, err))
	}
	if switchedTo {
		return c, true, nil
	}
	return nil, true, nil
}

// send writes out on a pooled connection or a new one. A pooled connection that
// fails before its first byte is replaced by a new one, once.
func (t *Transport) send(ctx context.Context, key Key, out *outgoing, mode Mode) (c *conn, sent bool, err error) {
	if err = ctx.Err(); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	now := mode.began
	p, err := t.poolOf(key, now)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	c = t.takeIdle(p, mode.Idle, now)
	for {
		if c == nil {
			if c, err = t.dial(ctx, p, mode.until); err != nil {
				return nil, false, fmt.Errorf("%w: connect to %s: %w", ErrNotSent, key.Host, because(ctx, err))
			}
			now = time.Now()
		}
		c.watch(ctx)
		c.until = mode.until
		c.wire.got, c.read = 0, 0
		before := c.wire.written
		if err = c.write(ctx, out, now); err == nil {
			return c, true, nil
		}
		err = because(ctx, err)
		c.unwatch()
		c.close()
		if c.wire.written > before {
			return nil, true, fmt.Errorf("write request to %s: %w", key.Host, err)
		}
		if !c.pooled || ctx.Err() != nil {
			return nil, false, fmt.Errorf("%w: write request to %s: %w", ErrNotSent, key.Host, err)
		}
		t.stale.Add(1)
		c = nil
	}
}

// because puts the context's error in front of what it caused.
func because(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// Stats is a snapshot of a Transport's counters.
type Stats struct {
	Dials   uint64 // connections opened
	Reused  uint64 // exchanges that began on a pooled connection
	Stale   uint64 // pooled connections found dead before the first byte
	Surplus uint64 // connections cut because bytes stood behind a reply
	Open    int    // connections open now, idle ones included
	Idle    int
	Pools   int
}

// Stats returns the counters.
func (t *Transport) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Stats{
		Dials: t.dials.Load(), Reused: t.reused.Load(), Stale: t.stale.Load(), Surplus: t.surplus.Load(),
		Open: t.open, Idle: t.idle, Pools: len(t.pools),
	}
}
