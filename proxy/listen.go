package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/elazarl/goproxy"
	"github.com/valyala/fasthttp"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// prefixed is a socket whose first bytes have been read already.
type prefixed struct {
	net.Conn // the socket as accepted
	pre      []byte
	arm      func() error // called before the socket is read; nil for nothing
}

// Read gives the first bytes, then the socket's. It implements net.Conn.
func (c *prefixed) Read(p []byte) (int, error) {
	if len(c.pre) > 0 {
		n := copy(p, c.pre)
		if c.pre = c.pre[n:]; len(c.pre) == 0 {
			c.pre = nil
		}
		return n, nil
	}
	if c.arm != nil {
		if err := c.arm(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

// greet reads as much of a new connection as tells a CONNECT from anything else.
func (p *Proxy) greet(raw net.Conn) {
	connect := []byte("CONNECT ")
	c := &prefixed{Conn: raw}
	if raw.SetReadDeadline(time.Now().Add(p.times.Head)) != nil {
		p.conns.drop(raw)
		return
	}
	for len(c.pre) < len(connect) && bytes.HasPrefix(connect, c.pre) {
		b := make([]byte, len(connect))
		n, err := raw.Read(b[:len(connect)-len(c.pre)])
		if err != nil {
			p.conns.drop(raw)
			return
		}
		c.pre = append(c.pre, b[:n]...)
	}
	if !bytes.Equal(c.pre, connect) {
		p.serveOpen(&wire{Conn: c, raw: raw, plain: true})
		return
	}
	fault, err := p.readConnect(c)
	if fault != nil {
		t := &connection{p: p, client: c, start: p.clock()}
		t.reject(rejection{statusOf(fault.Code, http.StatusBadRequest), "refused", fault.Code, fault.Reason})
	}
	if fault != nil || err != nil || !p.inbox.put(c) {
		p.conns.drop(raw)
	}
}

// readConnect reads the head of a CONNECT under the grammar that holds for every
// other request, and puts it back for net/http, which then finds nothing to
// answer in words of its own.
func (p *Proxy) readConnect(c *prefixed) (*rails.Refusal, error) {
	w := &wire{Conn: c, raw: c.Conn, times: p.times}
	end, fault, err := w.findHead()
	if err != nil {
		return nil, err
	}
	c.pre = append(bytes.Clone(w.buf), c.pre...)
	if fault == nil {
		fault = w.head.parse(string(c.pre[:end]))
	}
	w.use(len(w.buf))
	w.rest()
	if fault != nil {
		return fault, nil
	}
	host, hosts := w.head.get("Host")
	if _, _, err := splitAuthority(w.head.target, 0); err != nil || w.head.length != 0 {
		return rails.Refusef(spend.Malformed, "", "CONNECT wants host:port and no body"), nil
	}
	if hosts > 1 || host != "" && (!isVisible(host) || strings.ContainsAny(host, "/\\@?#<>^`{|}\"")) {
		return rails.Refusef(spend.Ambiguous, "Host", "Host is given %d times, or names no host; send it once", hosts), nil
	}
	return nil, nil
}

// inbox is a listener whose connections are put in by greet.
type inbox struct {
	once sync.Once
	ch   chan net.Conn
	done chan struct{}
}

func newInbox() *inbox { return &inbox{ch: make(chan net.Conn), done: make(chan struct{})} }

func (l *inbox) put(c net.Conn) bool {
	select {
	case l.ch <- c:
		return true
	case <-l.done:
		return false
	}
}

// Accept implements net.Listener.
func (l *inbox) Accept() (net.Conn, error) {
	select {
	case c := <-l.ch:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *inbox) Close() error { l.close(); return nil }

func (l *inbox) close() { l.once.Do(func() { close(l.done) }) }

// Addr implements net.Listener.
func (l *inbox) Addr() net.Addr { return &net.TCPAddr{} }

// makeServers makes two servers: goproxy behind net/http for CONNECT, and fasthttp's
// for all but guarded tunnels. That one has no time-outs of its own: see wire.
func (p *Proxy) makeServers() {
	p.inbox = newInbox()
	p.front = p.newFront()
	p.connect = &http.Server{
		Handler:           http.HandlerFunc(p.serveFront),
		ReadHeaderTimeout: p.times.Head,
		ReadTimeout:       p.times.Head,
		IdleTimeout:       p.times.Head,
		MaxHeaderBytes:    MaxHead,
		ErrorLog:          log.New(discard{}, "", 0),
		ConnState: func(c net.Conn, s http.ConnState) {
			if pre, ok := c.(*prefixed); ok && s == http.StateClosed {
				p.conns.drop(pre.Conn)
			}
		},
	}
	p.open = &fasthttp.Server{
		Handler:                       p.handleOpen,
		ErrorHandler:                  p.answerBroken,
		Concurrency:                   p.opt.MaxConns,
		NoDefaultServerHeader:         true,
		NoDefaultContentType:          true,
		DisableHeaderNamesNormalizing: true,
		DisablePreParseMultipartForm:  true,
		ReduceMemoryUsage:             true,
		WriteBufferSize:               16 << 10,
		Logger:                        discard{},
		StreamRequestBody:             true,
		MaxRequestBodySize:            64 << 10, // what is read ahead of the handler; wire enforces each route's bound
	}
	go p.connect.Serve(p.inbox) //nolint:errcheck // it ends when Drain closes the inbox
}

// newFront returns goproxy as an acceptor of CONNECT and nothing else: its
// certificate authority, its transport and the proxy settings it takes from the
// environment are never used.
func (p *Proxy) newFront() http.Handler {
	g := goproxy.NewProxyHttpServer()
	g.Logger = discard{}
	g.ConnectDial = nil
	g.Tr = &http.Transport{}
	g.NonproxyHandler = http.NotFoundHandler()
	hijack := &goproxy.ConnectAction{Action: goproxy.ConnectHijack, Hijack: p.onConnect}
	g.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		return hijack, host
	})
	return g
}

func (p *Proxy) serveFront(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only CONNECT is served here", http.StatusBadRequest)
		return
	}
	p.front.ServeHTTP(hijacker{w}, r)
}

// hijacker keeps the bytes that the agent sent right behind its CONNECT: goproxy
// drops the buffered reader in which net/http holds them.
type hijacker struct{ http.ResponseWriter }

// Hijack implements http.Hijacker; the connection is a *prefixed.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	under, ok := h.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("hijack connection: not supported")
	}
	c, rw, err := under.Hijack()
	if err != nil {
		return nil, nil, err
	}
	pre, ok := c.(*prefixed)
	if !ok {
		c.Close() //nolint:errcheck // nobody will use it
		return nil, nil, errors.New("hijack connection: not one of ours")
	}
	ahead, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		c.Close() //nolint:errcheck // as above
		return nil, nil, err
	}
	return &prefixed{Conn: pre.Conn, pre: append(bytes.Clone(ahead), pre.pre...)}, rw, nil
}

// discard takes what the servers would log: their messages quote what agents
// sent, secrets included.
type discard struct{}

func (discard) Printf(string, ...any)       {}
func (discard) Write(p []byte) (int, error) { return len(p), nil }
