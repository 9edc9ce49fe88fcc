package shim

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxy is an intercepting CONNECT proxy: whatever host a client asks for, it
// answers itself, with a certificate of its own authority.
type proxy struct {
	url    string
	ca     string // PEM file
	caCert *x509.Certificate
	caKey  *ecdsa.PrivateKey
	leaf   *ecdsa.PrivateKey
	conns  chan net.Conn
	done   chan struct{}
	// refuse, when set, is the whole answer to every CONNECT.
	refuse string

	mu       sync.Mutex
	connects []string // the targets asked for, with " agent:token" where credentials came
}

// newProxy starts a proxy whose every host is answered by origin.
func newProxy(t *testing.T, origin http.Handler, refuse string) *proxy {
	t.Helper()
	p := &proxy{conns: make(chan net.Conn), done: make(chan struct{}), refuse: refuse, ca: filepath.Join(t.TempDir(), "ca.pem")}
	p.authority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.url = "http://" + l.Addr().String()
	srv := &http.Server{Handler: origin, ReadHeaderTimeout: 10 * time.Second}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(p) })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(p.done)
		_ = srv.Close()
		wg.Wait()
	})
	return p
}

func (p *proxy) authority(t *testing.T) {
	t.Helper()
	var err error
	if p.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if p.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shim test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &p.caKey.PublicKey, p.caKey)
	if err != nil {
		t.Fatal(err)
	}
	if p.caCert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve answers one CONNECT and hands the connection to the origin.
func (p *proxy) serve(c net.Conn) {
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil || req.Method != http.MethodConnect {
		_ = c.Close()
		return
	}
	asked := req.Host
	if basic, ok := strings.CutPrefix(req.Header.Get("Proxy-Authorization"), "Basic "); ok {
		userinfo, _ := base64.StdEncoding.DecodeString(basic)
		asked += " " + string(userinfo)
	}
	p.mu.Lock()
	p.connects = append(p.connects, asked)
	p.mu.Unlock()
	if p.refuse != "" {
		_, _ = io.WriteString(c, p.refuse)
		_ = c.Close()
		return
	}
	host, _, _ := net.SplitHostPort(req.Host)
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{p.certify(host)}}
	cfg.SetSessionTicketKeys([][32]byte{{1}}) // one for all connections, so that sessions resume
	secured := tls.Server(c, cfg)
	select {
	case p.conns <- secured:
	case <-p.done:
		_ = c.Close()
	}
}

func (p *proxy) certify(host string) tls.Certificate {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	} else {
		tmpl.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.caCert, &p.leaf.PublicKey, p.caKey)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: p.leaf}
}

// Accept, Close and Addr make the proxy the listener of its origin.
func (p *proxy) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *proxy) Close() error   { return nil }
func (p *proxy) Addr() net.Addr { return &net.TCPAddr{} }

// asked returns the targets of every CONNECT so far.
func (p *proxy) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.connects)
}

// env is the environment that outgo would give a program under this proxy.
func (p *proxy) env(t *testing.T, base ...string) []string {
	t.Helper()
	paths, err := Write(filepath.Join(t.TempDir(), "with a space"))
	if err != nil {
		t.Fatal(err)
	}
	base = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, base...)
	return Environ(Options{
		Proxy: strings.Replace(p.url, "://", "://agent:to%3Aken@", 1), CA: p.ca, Bundle: p.ca,
		NodePreload: paths.NodePreload, PythonDir: paths.PythonDir, NoProxy: lookup(base, "NO_PROXY"), Base: base,
	})
}

// echo says what came: method, host, path, length of the body, and whether the
// TLS session was resumed.
func echo(w http.ResponseWriter, r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	_, _ = fmt.Fprintf(w, "%s %s%s %d %v", r.Method, r.Host, r.URL.Path, n, r.TLS.DidResume)
}

// program runs a command to its end, and fails the test if it does not end by
// itself.
func program(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// lacking skips a test for something that the machine does not have.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("OUTGO_TEST_REQUIRE") == "all" {
		t.Fatal(what)
	}
	t.Skip(what)
}
