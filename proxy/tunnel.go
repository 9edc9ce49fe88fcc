package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// recordHandshake is the first byte of every TLS connection.
const recordHandshake = 0x16

// tunnel joins the agent to a host that no rail guards. Nothing is read but the
// greeting of TLS, since a tunnel to a harmless name could lead to a guarded
// host that is then asked for inside.
func (t *connection) tunnel() {
	server, err := t.p.opt.Dialer.Dial(t.p.serving, bare(t.host), t.port)
	if err != nil {
		r := rejectDial(err)
		t.reject(r)
		return
	}
	defer t.p.conns.drop(server)
	if !t.p.conns.admit(server) {
		t.reject(rejection{503, "unavailable", spend.GuardUnavailable, "outgo has too many connections open"})
		return
	}
	if !t.accept() || t.client.SetDeadline(time.Time{}) != nil {
		return
	}
	t.p.counts.tunnels.Add(1)
	t.p.counts.tunneled.Add(1)
	defer t.p.counts.tunnels.Add(-1)
	back := make(chan struct{})
	go func() {
		defer close(back)
		t.pour(t.client.Conn, server) //nolint:errcheck // forward reports what breaks the tunnel
	}()
	err = t.forward(server)
	if err != nil {
		// The other direction ends with its sockets.
		t.client.Close() //nolint:errcheck // closed again by serveConnect
		server.Close()   //nolint:errcheck // closed again above
	}
	<-back
	code, decision := spend.Code(""), "tunneled"
	if errors.Is(err, errGuardedInside) {
		code, decision = spend.HostMismatch, "refused"
	}
	t.observe(decision, code, 200, err)
}

var errGuardedInside = errors.New("TLS inside the tunnel asked for a guarded host, or did not say for which")

// forward carries the agent's bytes to the server, the greeting first.
func (t *connection) forward(server net.Conn) error {
	seen, name, err := greeting(t.client, t.p.times.Head)
	if err != nil {
		return err
	}
	if len(seen) > 0 && seen[0] == recordHandshake {
		// A server that holds a guarded name may answer for it whatever it is
		// called, so TLS that does not say whom it is for gets no tunnel.
		if host, herr := rails.CanonicalHost(name); name == "" || herr != nil || t.p.table.find(host) != nil {
			return errGuardedInside
		}
	}
	if _, err := server.Write(seen); err != nil {
		return err
	}
	t.p.counts.bytes.Add(uint64(len(seen)))
	return t.pour(server, t.client.Conn)
}

// pour copies until src ends, and passes the end on. Both are raw sockets, so
// that the kernel moves the bytes.
func (t *connection) pour(dst, src net.Conn) error {
	n, err := io.Copy(dst, src)
	t.p.counts.bytes.Add(uint64(n)) //nolint:gosec // not negative
	if half, ok := dst.(*net.TCPConn); ok && err == nil {
		return half.CloseWrite()
	}
	// One direction is broken: the other would wait for nothing.
	dst.Close() //nolint:errcheck // it is closed again by its owner
	src.Close() //nolint:errcheck // as above
	return err
}

// greeting reads the first bytes of a tunnel and, if they begin TLS, all of the
// ClientHello. It returns what it read and the server name asked for, "" if none.
// An agent that ends without a byte, as one does that only listens, is no error.
func greeting(c *prefixed, limit time.Duration) (seen []byte, name string, err error) {
	if len(c.pre) == 0 {
		b := make([]byte, 4<<10)
		n, err := c.Read(b)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, "", err
		}
		if n == 0 {
			return nil, "", nil
		}
		c.pre = b[:n]
	}
	if c.pre[0] != recordHandshake {
		seen, c.pre = c.pre, nil
		return seen, "", nil
	}
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, "", err
	}
	tap := &tapped{Conn: c}
	err = tls.Server(tap, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { //nolint:gosec // no handshake is made
		name = h.ServerName
		return nil, errSeen
	}}).Handshake()
	if !errors.Is(err, errSeen) {
		return nil, "", errors.New("the tunnel begins like TLS and goes on as something else")
	}
	return append(tap.seen, c.pre...), name, c.SetReadDeadline(time.Time{})
}

var errSeen = errors.New("greeting seen")

// tapped keeps what is read and lets nothing be written.
type tapped struct {
	net.Conn
	seen []byte
}

// Read implements net.Conn.
func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.seen = append(t.seen, p[:n]...)
	return n, err
}

// Write drops the alert that ends the handshake.
func (t *tapped) Write(p []byte) (int, error) { return len(p), nil }
