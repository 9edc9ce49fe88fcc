package upstream

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func newReader(c io.Reader) *bufio.Reader { return bufio.NewReader(c) }

func TestOnlyVerifiedServersAreSentAnything(t *testing.T) {
	ca, stranger := newCA(t), newCA(t)
	selfSigned := (&testCA{}).leaf(t, &x509.Certificate{DNSNames: []string{"provider.example"}})
	now := time.Now()
	for _, tc := range []struct {
		what string
		cert tls.Certificate
		set  func(*tls.Config)
		ok   bool
	}{
		{"a good certificate", ca.leaf(t, nil), nil, true},
		{"TLS 1.2", ca.leaf(t, nil), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
		{"an expired one", ca.leaf(t, &x509.Certificate{DNSNames: []string{"provider.example"}, NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}), nil, false},
		{"one of tomorrow", ca.leaf(t, &x509.Certificate{DNSNames: []string{"provider.example"}, NotBefore: now.Add(24 * time.Hour), NotAfter: now.Add(48 * time.Hour)}), nil, false},
		{"another host's", ca.leaf(t, &x509.Certificate{DNSNames: []string{"other.example"}}), nil, false},
		{"an address's", ca.leaf(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}), nil, false},
		{"an unknown authority's", stranger.leaf(t, nil), nil, false},
		{"a self-signed one", selfSigned, nil, false},
		{"one that is for clients", ca.leaf(t, &x509.Certificate{DNSNames: []string{"provider.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), nil, false},
		{"TLS 1.1", ca.leaf(t, nil), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false},
		{"a CBC suite", ca.leaf(t, nil), func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, false},
	} {
		cfg := &tls.Config{Certificates: []tls.Certificate{tc.cert}}
		if tc.set != nil {
			tc.set(cfg)
		}
		p := secure(t, cfg, func(p *provider, _ int, c *tls.Conn, _ *gather) { p.loop(c, okReply) })
		tr := transport(t, Options{Trust: ca.trust()})
		sent, err := tr.Do(t.Context(), p.key(true), post(), new(fasthttp.Response), Mode{})
		if sent != tc.ok || (err == nil) != tc.ok || !tc.ok && !errors.Is(err, ErrNotSent) {
			t.Errorf("%s: sent %v, %v", tc.what, sent, err)
		}
		if got := p.requests.Load() == 1; got != tc.ok {
			t.Errorf("%s: %d requests arrived", tc.what, p.requests.Load())
		}
	}
}

func TestKeepAliveUnderTLS(t *testing.T) {
	ca := newCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, nil)}, MaxVersion: version}
		p := secure(t, cfg, func(p *provider, _ int, c *tls.Conn, _ *gather) { p.loop(c, okReply) })
		tr := transport(t, Options{Trust: ca.trust()})
		for range 5 {
			if _, err := tr.Do(t.Context(), p.key(true), post(), new(fasthttp.Response), Mode{}); err != nil {
				t.Fatal(err)
			}
		}
		// Session tickets that arrive late are no surplus.
		if s := tr.Stats(); s.Dials != 1 || s.Reused != 4 {
			t.Errorf("TLS %x: %+v", version, s)
		}
	}
}

func TestSessionsResumeWithinOneKeyOnly(t *testing.T) {
	ca := newCA(t)
	var resumed atomic.Int32
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, nil)}}
	p := secure(t, cfg, func(p *provider, _ int, c *tls.Conn, _ *gather) {
		if c.ConnectionState().DidResume {
			resumed.Add(1)
		}
		p.loop(c, okReply)
	})
	tr := transport(t, Options{Trust: ca.trust()})
	for i, agent := range []string{"a", "a", "b", "b"} {
		key := p.key(true)
		key.Agent = agent
		if _, err := tr.Do(t.Context(), key, post(), new(fasthttp.Response), Mode{}); err != nil {
			t.Fatal(err)
		}
		tr.CloseIdle()
		if want := int32((i + 1) / 2); resumed.Load() != want {
			t.Errorf("after connection %d: %d resumed, want %d", i, resumed.Load(), want)
		}
	}
}

func TestTrustGivesServerNameAndClientCertificate(t *testing.T) {
	ca := newCA(t)
	cert := ca.leaf(t, &x509.Certificate{DNSNames: []string{"gateway.example"}})
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	p := secure(t, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients},
		func(p *provider, _ int, c *tls.Conn, _ *gather) { p.loop(c, okReply) })
	own := ca.leaf(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	tr := transport(t, Options{Trust: func(key Key) (Trust, error) {
		trust, _ := ca.trust()(key)
		trust.ServerName = "gateway.example"
		if key.Cert == "own" {
			trust.Certificates = []tls.Certificate{own}
		}
		return trust, nil
	}})
	key := p.key(true)
	key.Cert = "own"
	if _, err := tr.Do(t.Context(), key, post(), new(fasthttp.Response), Mode{}); err != nil {
		t.Error(err)
	}
	if _, err := tr.Do(t.Context(), p.key(true), post(), new(fasthttp.Response), Mode{}); err == nil {
		t.Error("the server took a client without certificate")
	}
}

func TestStalePooledConnectionUnderTLS(t *testing.T) {
	ca := newCA(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, nil)}}
	for what, end := range map[string]func(*tls.Conn, *gather){
		"closure said": func(c *tls.Conn, _ *gather) { c.Close() },
		"cut":          func(_ *tls.Conn, g *gather) { g.Conn.Close() },
	} {
		returned := make(chan struct{})
		p := secure(t, cfg, func(p *provider, n int, c *tls.Conn, g *gather) {
			if n > 1 {
				p.loop(c, okReply)
				return
			}
			p.request(newReader(c))
			io.WriteString(c, okReply)
			<-returned
			end(c, g)
		})
		tr := transport(t, Options{Trust: ca.trust()})
		for i := range 2 {
			if sent, err := tr.Do(t.Context(), p.key(true), post(), new(fasthttp.Response), Mode{}); !sent || err != nil {
				t.Errorf("%s: sent %v, %v", what, sent, err)
			}
			if i == 0 {
				close(returned)
				idleGone(t, tr)
			}
		}
		if s := tr.Stats(); s.Dials != 2 || s.Stale != 1 {
			t.Errorf("%s: %+v", what, s)
		}
	}
}
