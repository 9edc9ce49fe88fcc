package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"go.uber.org/zap"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/ca"
)

// Stats is a snapshot of what the proxy has counted since it was made.
type Stats struct {
	Conns       int    // open connections, of tunnels both ends
	Calls       int    // calls under way
	Tunnels     int64  // tunnels open
	Tunneled    uint64 // tunnels that were ever open
	TunnelBytes uint64 // carried through them, both ways, counted when a direction ends
	TurnedAway  uint64 // connections over Options.MaxConns
	Handshakes  uint64 // TLS handshakes with agents that succeeded
	LateFinish  int    // outcomes that the gate has not recorded yet
	LostFinish  uint64 // outcomes that were given up
	HandshakeBy map[string]uint64
}

// counts are the counters behind Stats.
type counts struct {
	tunnels    atomic.Int64
	tunneled   atomic.Uint64
	bytes      atomic.Uint64
	turnedAway atomic.Uint64
	handshakes atomic.Uint64

	mu     sync.Mutex
	failed map[string]uint64 // handshakes, by suspected cause
	warned map[netip.Addr]struct{}
}

// maxWarned bounds the client addresses that are remembered as warned of.
const maxWarned = 1024

// handshakeCauses are why handshakes are suspected to fail, as handshakeCause and
// countSilent say it.
func handshakeCauses() []string {
	return []string{"ca_untrusted_suspected", "name_mismatch", "no_certificate", "timeout", "protocol", "no_request", "other"}
}

// Stats returns the counters. The keys of HandshakeBy are suspected causes, all of
// them, whether or not it has happened: "ca_untrusted_suspected", "name_mismatch",
// "no_certificate", "timeout", "protocol", "no_request" (the handshake succeeded
// and nothing followed) and "other".
func (p *Proxy) Stats() Stats {
	waiting, lost := p.late.counts()
	s := Stats{
		Conns: p.conns.len(), Calls: p.busy.count(), Tunnels: p.counts.tunnels.Load(),
		Tunneled: p.counts.tunneled.Load(), TunnelBytes: p.counts.bytes.Load(),
		TurnedAway: p.counts.turnedAway.Load(), Handshakes: p.counts.handshakes.Load(),
		LateFinish: waiting, LostFinish: lost, HandshakeBy: map[string]uint64{},
	}
	p.counts.mu.Lock()
	defer p.counts.mu.Unlock()
	for _, cause := range handshakeCauses() {
		s.HandshakeBy[cause] = p.counts.failed[cause]
	}
	return s
}

// countHandshake counts a failed handshake and warns once for each client.
func (p *Proxy) countHandshake(from net.Addr, host, cause string, err error) {
	c := &p.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed, c.warned = map[string]uint64{}, map[netip.Addr]struct{}{}
	}
	c.failed[cause]++
	t, ok := from.(*net.TCPAddr)
	if !ok {
		return
	}
	addr := t.AddrPort().Addr().Unmap()
	if _, told := c.warned[addr]; told || len(c.warned) >= maxWarned {
		return
	}
	c.warned[addr] = struct{}{}
	p.log.Warn("TLS handshake with a client failed; if it does not trust outgo's authority, start it with `outgo run` or apply `outgo env`",
		zap.Stringer("client", addr), zap.String("host", host), zap.String("cause", cause), zap.Error(err))
}

// failCause says in one word why a call could not be decided.
func failCause(err error) string {
	switch lookup := (*lookupError)(nil); {
	case errors.Is(err, errDraining):
		return "draining"
	case errors.As(err, &lookup):
		return "lookup"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, spend.Unknown):
		return "timeout"
	case errors.Is(err, spend.Unavailable):
		return "ledger"
	}
	return "internal"
}

// countSilent counts a connection that ended without a request: GnuTLS (git,
// wget) completes the handshake before it rejects the certificate.
func (p *Proxy) countSilent(w *wire) {
	if w.served == 0 && w.secured() {
		p.countHandshake(w.raw.RemoteAddr(), w.host, "no_request", errors.New("the client closed after the handshake"))
	}
}

// handshakeCause guesses why a handshake failed from how it looks on this side:
// OpenSSL 3.0 over TLS 1.3 sends its alert unencrypted, which reads as a bad
// record; Node and Java just hang up.
func handshakeCause(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, ca.ErrServerName):
		return "name_mismatch"
	case errors.Is(err, ca.ErrNotPermitted):
		return "no_certificate"
	case timedOut(err):
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		strings.Contains(text, "bad record MAC"),
		strings.Contains(text, "remote error") && strings.Contains(text, "certificate"):
		return "ca_untrusted_suspected"
	case strings.Contains(text, "protocol version"), strings.Contains(text, "unsupported versions"),
		strings.Contains(text, "cipher suite"), strings.Contains(text, "does not look like"):
		return "protocol"
	}
	return "other"
}
