package ca

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// lookPath finds a program that a test needs, or skips it.
func lookPath(t *testing.T, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		msg := program + " is not installed; install it (apt-get install " + program + ") to run this test"
		if os.Getenv("OUTGO_TEST_REQUIRE") == "all" {
			t.Fatal(msg)
		}
		t.Skip(msg)
	}
	return p
}

// serve answers each connection with one HTTP reply under the configuration
// that config returns for it, and reports every handshake's error.
func serve(t *testing.T, config func() *tls.Config) (addr string, errs <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	out := make(chan error, 256)
	go func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
				c := tls.Server(raw, config())
				err := c.Handshake()
				out <- err
				if err != nil {
					return
				}
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
				}
				c.Close()
			}()
		}
	}()
	return ln.Addr().String(), out
}

// get opens one connection with cfg, makes one request and returns what the
// handshake agreed on.
func get(addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	c, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return tls.ConnectionState{}, err
	}
	// The reply is read so that session tickets, which arrive before it, are kept.
	b, err := io.ReadAll(c)
	if err == nil && !bytes.HasSuffix(b, []byte("ok")) {
		err = fmt.Errorf("reply %q", b)
	}
	return c.ConnectionState(), err
}

func trust(a *Authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func TestSessionsResume(t *testing.T) {
	systemFile(t)
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true})
	addr, _ := serve(t, func() *tls.Config { return a.TLSConfig("API.stripe.com") })
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := &tls.Config{RootCAs: trust(a), ServerName: "api.stripe.com", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4), NextProtos: []string{"h2", "http/1.1"}}
		for i := range 3 {
			st, err := get(addr, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if st.DidResume != (i > 0) {
				t.Errorf("TLS %x, connection %d: resumed %v", version, i, st.DidResume)
			}
			if st.NegotiatedProtocol != "http/1.1" {
				t.Errorf("agreed on protocol %q", st.NegotiatedProtocol)
			}
			if version == tls.VersionTLS13 && i == 0 && st.CurveID != tls.X25519 {
				t.Errorf("agreed on curve %v", st.CurveID)
			}
		}
	}
}

func TestServerName(t *testing.T) {
	systemFile(t)
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"api.stripe.com", "files.stripe.com", "127.0.0.1"}, Constrain: true})
	for _, tc := range []struct {
		what, host, sni string
		want            error
	}{
		{"the host itself", "api.stripe.com", "api.stripe.com", nil},
		{"in other letters", "api.stripe.com", "API.Stripe.COM", nil},
		{"another permitted host", "api.stripe.com", "files.stripe.com", ErrServerName},
		{"none", "api.stripe.com", "", ErrServerName},
		{"an address, for which clients send none", "127.0.0.1", "", nil},
		{"a name on an address", "127.0.0.1", "api.stripe.com", ErrServerName},
		{"a host that is not permitted", "github.com", "github.com", ErrNotPermitted},
	} {
		addr, errs := serve(t, func() *tls.Config { return a.TLSConfig(tc.host) })
		// The client does not verify: the question is what the server does.
		_, err := get(addr, &tls.Config{ServerName: tc.sni, InsecureSkipVerify: true})
		if (err == nil) != (tc.want == nil) {
			t.Errorf("%s: client got %v", tc.what, err)
		}
		if err := <-errs; !errors.Is(err, tc.want) {
			t.Errorf("%s: server got %v, want %v", tc.what, err, tc.want)
		}
	}
}

func TestAResumedSessionCannotChangeItsName(t *testing.T) {
	systemFile(t)
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"*.stripe.com"}, Constrain: true})
	host := "api.stripe.com"
	addr, errs := serve(t, func() *tls.Config { return a.TLSConfig(host) })
	// The cache hands every server the one session it has.
	cache := &oneSession{}
	if _, err := get(addr, &tls.Config{RootCAs: trust(a), ServerName: "api.stripe.com", ClientSessionCache: cache}); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err != nil || cache.s == nil {
		t.Fatalf("no session to try with: %v", err)
	}
	if _, err := get(addr, &tls.Config{ServerName: "files.stripe.com", ClientSessionCache: cache, InsecureSkipVerify: true}); err == nil {
		t.Error("the resumed session was accepted under another name")
	}
	if err := <-errs; !errors.Is(err, ErrServerName) {
		t.Errorf("server got %v", err)
	}
}

type oneSession struct{ s *tls.ClientSessionState }

func (o *oneSession) Get(string) (*tls.ClientSessionState, bool) { return o.s, o.s != nil }
func (o *oneSession) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		o.s = s
	}
}

func TestOnlyModernTLS(t *testing.T) {
	systemFile(t)
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}})
	addr, _ := serve(t, func() *tls.Config { return a.TLSConfig("api.stripe.com") })
	for what, cfg := range map[string]*tls.Config{
		"TLS 1.1":      {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"a CBC suite":  {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		"HTTP/2 alone": {NextProtos: []string{"h2"}},
	} {
		cfg.ServerName, cfg.RootCAs = "api.stripe.com", trust(a)
		if _, err := get(addr, cfg); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

func TestLeavesAreRenewedInsideOneConfig(t *testing.T) {
	systemFile(t)
	c := newClock()
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true, Now: c.now})
	cfg := a.TLSConfig("api.stripe.com")
	current := func() *x509.Certificate {
		got, err := cfg.GetCertificate(&tls.ClientHelloInfo{ServerName: "api.stripe.com"})
		if err != nil {
			t.Fatal(err)
		}
		if err = verify(t, a.cert, got.Leaf, "api.stripe.com", c.now()); err != nil {
			t.Fatalf("at %s: %v", c.now(), err)
		}
		return got.Leaf
	}
	first := current()
	if got := c.now().Sub(first.NotBefore); got != time.Hour {
		t.Errorf("the leaf begins %s ago", got)
	}
	c.advance(17 * time.Hour) // six hours remain
	if !current().Equal(first) {
		t.Error("renewed with six hours left")
	}
	c.advance(time.Second)
	if current().Equal(first) {
		t.Error("not renewed with less than six hours left")
	}
	if a.TLSConfig("api.stripe.com") != cfg {
		t.Error("the configuration changed")
	}
	for range 400 { // a year in steps of a day
		if c.advance(23 * time.Hour); a.NotAfter().Sub(c.now()) < 24*time.Hour {
			break
		}
		current()
	}
}

func TestHostsAreBounded(t *testing.T) {
	systemFile(t)
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"*.example"}, Constrain: true})
	kept := a.TLSConfig("kept.example")
	for i := range 3 * maxHosts {
		a.TLSConfig(fmt.Sprintf("h%d.example", i))
		a.TLSConfig(fmt.Sprintf("h%d.elsewhere", i))
		if i%100 == 0 && a.TLSConfig("kept.example") != kept {
			t.Fatal("a host in use was dropped")
		}
	}
	if n := len(a.hosts.byKey); n != maxHosts || a.hosts.order.Len() != n {
		t.Errorf("%d hosts kept, want %d", n, maxHosts)
	}
}

func TestConcurrentUse(t *testing.T) {
	systemFile(t)
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"*.example"}, Constrain: true})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				host := fmt.Sprintf("h%d.example", (i+w)%10)
				if _, err := a.TLSConfig(host).GetCertificate(&tls.ClientHelloInfo{ServerName: host}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestOpenSSLAgrees(t *testing.T) {
	openssl := lookPath(t, "openssl")
	systemFile(t)
	dir := t.TempDir()
	old := mustLoad(t, Options{Dir: dir, Names: []string{"api.stripe.com"}, Constrain: true})
	oldFile := filepath.Join(t.TempDir(), "old.pem")
	if err := os.WriteFile(oldFile, old.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	a := mustLoad(t, Options{Dir: dir, Names: []string{"api.stripe.com", "*.infura.io", "10.1.0.1"}, Constrain: true})
	for _, tc := range []struct {
		what, roots, host string
		ok                bool
	}{
		{"a permitted name", a.CertFile(), "api.stripe.com", true},
		{"a name below a wildcard", a.BundleFile(), "mainnet.infura.io", true},
		{"a stranger", a.CertFile(), "github.com", false},
		{"a stranger, by the bundle", a.BundleFile(), "github.com", false},
		{"a permitted address", a.CertFile(), "10.1.0.1", true},
		{"another address", a.CertFile(), "10.1.0.2", false},
		{"an IPv6 address", a.CertFile(), "::1", false},
		{"an address under names alone", oldFile, "10.1.0.1", false},
		{"old trust, old name", oldFile, "api.stripe.com", true},
		{"old trust, new name", oldFile, "mainnet.infura.io", false},
	} {
		leafFile := filepath.Join(t.TempDir(), "leaf.pem")
		if err := os.WriteFile(leafFile, certificatePEM(forge(t, a, tc.host)), 0o600); err != nil {
			t.Fatal(err)
		}
		flag := "-verify_hostname"
		if strings.Trim(tc.host, "0123456789.:") == "" {
			flag = "-verify_ip"
		}
		out, err := exec.CommandContext(t.Context(), openssl, "verify", "-no-CApath", "-no-CAstore", "-x509_strict", "-purpose", "sslserver", flag, tc.host, "-CAfile", tc.roots, leafFile).CombinedOutput()
		if (err == nil) != tc.ok {
			t.Errorf("%s (%s): %v: %s", tc.what, tc.host, err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), openssl, "x509", "-in", a.CertFile(), "-noout", "-fingerprint", "-sha256").CombinedOutput()
	if err != nil || !strings.Contains(string(out), a.Fingerprint()) {
		t.Errorf("openssl prints %s, we print %s", out, a.Fingerprint())
	}
}

func TestCurlAgrees(t *testing.T) {
	curl := lookPath(t, "curl")
	systemFile(t)
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true})
	for _, tc := range []struct {
		host string
		ok   bool
	}{{"api.stripe.com", true}, {"github.com", false}, {"127.0.0.1", false}} {
		thief := *a
		thief.scope.constrain = false
		thief.hosts = newHostCache(maxHosts)
		addr, _ := serve(t, func() *tls.Config { return thief.TLSConfig(tc.host) })
		_, port, _ := net.SplitHostPort(addr)
		cmd := exec.CommandContext(t.Context(), curl, "-q", "-sS", "--max-time", "10", "--noproxy", "*", "--cacert", a.BundleFile(),
			"--resolve", tc.host+":"+port+":127.0.0.1", "https://"+net.JoinHostPort(tc.host, port)+"/")
		out, err := cmd.CombinedOutput()
		if (err == nil && string(out) == "ok") != tc.ok {
			t.Errorf("%s: %v: %s", tc.host, err, out)
		}
	}
}
