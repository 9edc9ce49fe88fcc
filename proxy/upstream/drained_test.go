package upstream

import (
	"crypto/tls"
	"io"
	"testing"
	"time"
)

// TestNothingThatTLSHoldsBackIsOverlooked has a server say more than its reply, in records
// that arrive together or apart, before the connection is wanted again.
func TestNothingThatTLSHoldsBackIsOverlooked(t *testing.T) {
	ca := newCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for what, c := range map[string]struct {
			say     func(c *tls.Conn, g *gather, returned chan struct{})
			drained bool // as far as the transport knows, under TLS 1.3
			reused  bool
		}{
			"nothing": {func(c *tls.Conn, _ *gather, _ chan struct{}) { io.WriteString(c, okReply) }, true, true},
			"a reply of two records": {func(c *tls.Conn, _ *gather, _ chan struct{}) {
				io.WriteString(c, okReply[:40])
				io.WriteString(c, okReply[40:])
			}, false, true},
			"the end with the reply": {func(c *tls.Conn, g *gather, _ chan struct{}) {
				g.hold = true
				io.WriteString(c, okReply)
				c.CloseWrite()
				_ = g.SetWriteDeadline(time.Time{}) // which forbids to write any more
				g.flush()
			}, false, false},
			"more with the reply": {func(c *tls.Conn, g *gather, _ chan struct{}) {
				g.hold = true
				io.WriteString(c, okReply)
				io.WriteString(c, okReply)
				g.flush()
			}, false, false},
			"the end after the reply": {func(c *tls.Conn, _ *gather, returned chan struct{}) {
				io.WriteString(c, okReply)
				<-returned
				c.CloseWrite()
			}, true, false},
			"more after the reply": {func(c *tls.Conn, _ *gather, returned chan struct{}) {
				io.WriteString(c, okReply)
				<-returned
				io.WriteString(c, okReply)
			}, true, false},
			"the end of the socket after the reply": {func(c *tls.Conn, g *gather, returned chan struct{}) {
				io.WriteString(c, okReply)
				<-returned
				g.Close()
			}, true, false},
		} {
			t.Run(tls.VersionName(version)+", "+what, func(t *testing.T) {
				returned := make(chan struct{})
				// A session ticket would be one more record of the first exchange.
				cfg := &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, nil)}, MaxVersion: version, SessionTicketsDisabled: true}
				p := secure(t, cfg, func(p *provider, n int, conn *tls.Conn, g *gather) {
					br := newReader(conn)
					if n == 1 {
						p.request(br)
						c.say(conn, g, returned)
					}
					p.request(br)
					io.WriteString(conn, okReply)
				})
				tr := transport(t, Options{Trust: ca.trust()})
				req := Request{Method: "POST", Head: []byte("POST / HTTP/1.1\r\nHost: x\r\n")}
				var r Reply
				if _, err := tr.Send(t.Context(), p.key(true), req, &r, Mode{}); err != nil {
					t.Fatal(err)
				}
				for _, pool := range tr.pools {
					if len(pool.idle) != 1 || pool.idle[0].drained != (c.drained && version == tls.VersionTLS13) {
						t.Errorf("%d connections are idle, drained: %v", len(pool.idle), pool.idle[0].drained)
					}
				}
				close(returned)
				if c.drained && !c.reused {
					idleGone(t, tr)
				}
				sent, err := tr.Send(t.Context(), p.key(true), req, &r, Mode{})
				if !sent || err != nil || string(r.Body) != `{"id":"c1"}` {
					t.Errorf("the next call: sent %v, %q, %v", sent, r.Body, err)
				}
				if s := tr.Stats(); (s.Dials == 1) != c.reused || (s.Reused == 1) != c.reused {
					t.Errorf("%+v, want that the connection is used again: %v", s, c.reused)
				}
			})
		}
	}
}
