package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/elazarl/goproxy"
	"go.uber.org/zap"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/dial"
)

// connection is one CONNECT that has been hijacked.
type connection struct {
	p      *Proxy
	client *prefixed
	peer   Peer
	agent  string
	host   string // canonical
	port   uint16
	start  time.Time
}

// rejection is the answer to a CONNECT that is not followed.
type rejection struct {
	status   int
	decision string
	code     spend.Code
	text     string
}

// onConnect takes a connection over from goproxy. It does not keep the request:
// its goroutine and buffers are released while the tunnel lives on.
func (p *Proxy) onConnect(r *http.Request, c net.Conn, _ *goproxy.ProxyCtx) {
	client, ok := c.(*prefixed)
	if !ok {
		c.Close() //nolint:errcheck // hijacker returns nothing else
		return
	}
	body := r.ContentLength != 0 || len(r.TransferEncoding) > 0
	authority, credentials := strings.Clone(r.RequestURI), r.Header.Values("Proxy-Authorization")
	go p.serveConnect(&connection{p: p, client: client, start: p.clock()}, authority, credentials, body)
}

// serveConnect serves a tunnel. Its frame, and those of guard and inspect, lie below
// the wait for the next call of a connection: while they are small, the runtime
// gives back the half of the stack that the last call needed.
func (p *Proxy) serveConnect(t *connection, authority string, credentials []string, body bool) {
	defer p.conns.drop(t.client.Conn)
	defer t.catch()
	r, ok := t.open(authority, credentials, body)
	switch {
	case !ok: // it was answered
	case r != nil:
		t.guard(r)
	case p.opt.UnknownHosts == Inspect:
		t.inspect()
	default:
		t.tunnel()
	}
}

// catch keeps a panic to its tunnel.
func (t *connection) catch() {
	if v := recover(); v != nil {
		t.p.log.Error("panic in a tunnel", zap.String("host", t.host), zap.Any("panic", v), zap.Stack("stack"))
	}
}

// open finds out who asks for which host, and whether a rail guards it. It is false
// when the CONNECT is not followed, which it has then answered.
func (t *connection) open(authority string, credentials []string, body bool) (*route, bool) {
	p := t.p
	peer, agent, ok := p.identify(credentials, t.client)
	if !ok {
		t.reject(rejection{407, "refused", "", whoAreYou})
		return nil, false
	}
	host, port, err := splitAuthority(authority, 0)
	if err != nil || body {
		t.reject(rejection{400, "refused", spend.Malformed, "CONNECT wants host:port and no body"})
		return nil, false
	}
	t.peer, t.agent, t.host, t.port = peer, agent, host, port
	if p.draining() {
		t.reject(rejection{503, "unavailable", spend.GuardUnavailable, "outgo is shutting down"})
		return nil, false
	}
	r := p.table.find(host)
	switch {
	case r == nil && p.opt.UnknownHosts == Deny:
		t.reject(rejection{403, "denied", spend.HostDenied, fmt.Sprintf("outgo is configured to let agents reach listed hosts only, and %s is not one; an operator can add it to `rails`, or set `proxy.unknown_hosts: tunnel`", host)})
		return nil, false
	case r != nil && port != 443 && port != 80 && !p.table.plain(host, r):
		t.reject(rejection{403, "denied", spend.HostDenied, fmt.Sprintf("calls to %s are judged, which outgo does on ports 443 and 80, not on %d", host, port)})
		return nil, false
	}
	return r, true
}

// guard serves the requests inside a tunnel to a host that a rail guards.
func (t *connection) guard(r *route) {
	if w := t.wire(r); w != nil {
		t.p.serveGuarded(w)
		t.p.countSilent(w)
	}
}

// inspect serves the requests inside a tunnel to a host that no rail guards.
func (t *connection) inspect() {
	if w := t.wire(nil); w != nil {
		t.p.open.ServeConn(w) //nolint:errcheck // what went wrong was answered or counted
		t.p.countSilent(w)
	}
}

// wire accepts the tunnel and makes of it what a server can serve; nil when the
// client is not there, or cannot be talked to.
func (t *connection) wire(r *route) *wire {
	if !t.accept() {
		return nil
	}
	w := &wire{
		Conn: t.client, raw: t.client.Conn, host: t.host, port: t.port, peer: t.peer, agent: t.agent,
		times: t.p.times, busy: &t.p.busy, crowd: t.p.crowd,
	}
	if r != nil {
		w.route, w.maxBody, w.whole = r, int64(r.MaxBody), true
	}
	if !t.secure(w) {
		return nil
	}
	return w
}

// secure looks at the first byte inside the tunnel: TLS is ended here under a
// certificate for the host, anything else is taken for plain HTTP.
func (t *connection) secure(w *wire) bool {
	if len(t.client.pre) == 0 {
		b := make([]byte, 1)
		if t.client.SetReadDeadline(time.Now().Add(t.p.times.Idle)) != nil {
			return false
		}
		if _, err := io.ReadFull(t.client, b); err != nil {
			return false
		}
		t.client.pre = b
	}
	if t.client.pre[0] != recordHandshake {
		w.plain = true
		return true
	}
	secured := tls.Server(t.client, t.p.opt.Authority.TLSConfig(bare(t.host)))
	if t.client.SetDeadline(time.Now().Add(t.p.times.Handshake)) != nil {
		return false
	}
	if err := secured.Handshake(); err != nil {
		t.p.countHandshake(t.client.RemoteAddr(), t.host, handshakeCause(err), err)
		return false
	}
	if t.client.SetDeadline(time.Time{}) != nil {
		return false
	}
	t.p.counts.handshakes.Add(1)
	w.Conn, t.client.arm = secured, w.arm
	return true
}

func (t *connection) accept() bool {
	if t.client.SetWriteDeadline(time.Now().Add(t.p.times.Write)) != nil {
		return false
	}
	_, err := io.WriteString(t.client, "HTTP/1.1 200 Connection established\r\n\r\n")
	return err == nil
}

// reject answers a CONNECT and closes: what an agent sent behind it is never
// read as another request (RFC 9931).
func (t *connection) reject(r rejection) {
	text := r.text
	if !strings.HasSuffix(text, "\n") {
		text = "outgo: " + text + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	if r.status == http.StatusProxyAuthRequired {
		b.WriteString("Proxy-Authenticate: " + challenge + "\r\n")
	}
	fmt.Fprintf(&b, "Outgo-Decision: %s\r\n", r.decision)
	if r.code != "" {
		fmt.Fprintf(&b, "Outgo-Code: %s\r\n", r.code)
	}
	fmt.Fprintf(&b, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
	if t.client.SetWriteDeadline(time.Now().Add(t.p.times.Write)) == nil {
		if _, err := io.WriteString(t.client, b.String()); err == nil {
			linger(t.client.Conn, t.client.Conn)
		}
	}
	t.observe(r.decision, r.code, r.status, nil)
}

func (t *connection) observe(decision string, code spend.Code, status int, err error) {
	l := Line{
		Agent: t.agent, Host: t.host, Method: http.MethodConnect, Decision: decision, Code: code,
		Status: status, Total: t.p.clock().Sub(t.start),
	}
	if err != nil {
		l.Err = err.Error()
	}
	t.p.opt.Observe(l)
}

// rejectDial words the answer when a host could not be reached.
func rejectDial(err error) rejection {
	if denied := (*dial.Denied)(nil); errors.As(err, &denied) {
		return rejection{403, "denied", spend.HostDenied, denied.Error()}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return rejection{504, "unavailable", spend.UpstreamFailed, "the host did not answer in time"}
	}
	return rejection{502, "unavailable", spend.UpstreamFailed, err.Error()}
}
