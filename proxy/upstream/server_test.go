package upstream

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() != "" {
		os.Exit(m.Run()) // the server and client measured against leave goroutines behind
	}
	// fasthttp starts the clock of its Date header once and for ever.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// provider is a server that plays by a script: handle gets each connection and
// its number, from 1.
type provider struct {
	addr     string
	conns    atomic.Int32
	requests atomic.Int32
}

func serve(t testing.TB, handle func(p *provider, n int, c *net.TCPConn)) *provider {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			n := int(p.conns.Add(1))
			wg.Go(func() {
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				handle(p, n, c.(*net.TCPConn))
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return p
}

// replies answers the n-th request of every connection with the n-th text, and
// closes after the last.
func replies(texts ...string) func(*provider, int, *net.TCPConn) {
	return func(p *provider, _ int, c *net.TCPConn) {
		br := bufio.NewReader(c)
		for _, s := range texts {
			if _, err := p.request(br); err != nil {
				return
			}
			if _, err := io.WriteString(c, s); err != nil {
				return
			}
		}
	}
}

// forever answers every request with text.
func forever(text string) func(*provider, int, *net.TCPConn) {
	return func(p *provider, _ int, c *net.TCPConn) { p.loop(c, text) }
}

func (p *provider) loop(c io.ReadWriter, text string) {
	br := bufio.NewReader(c)
	for {
		if _, err := p.request(br); err != nil {
			return
		}
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
	}
}

// request reads one request and returns its body.
func (p *provider) request(br *bufio.Reader) ([]byte, error) {
	req, err := http.ReadRequest(br)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(req.Body)
	if err == nil {
		p.requests.Add(1)
	}
	return b, err
}

func (p *provider) key(secure bool) Key {
	_, port, _ := net.SplitHostPort(p.addr)
	n, _ := strconv.ParseUint(port, 10, 16)
	return Key{Host: "provider.example", Port: uint16(n), TLS: secure}
}

func dialLoopback(ctx context.Context, key Key) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", key.Port))
}

func transport(t testing.TB, o Options) *Transport {
	t.Helper()
	if o.Dial == nil {
		o.Dial = dialLoopback
	}
	tr := New(o)
	t.Cleanup(func() {
		tr.Close()
		if s := tr.Stats(); s.Open != 0 || s.Idle != 0 {
			t.Errorf("connections left: %+v", s)
		}
	})
	return tr
}

// post is a charge of 5000.
func post() *fasthttp.Request {
	var r fasthttp.Request
	r.Header.SetMethod("POST")
	r.Header.SetRequestURI("/v1/charges")
	r.Header.SetHost("provider.example")
	r.SetBodyString("amount=5000&currency=usd")
	return &r
}

const okReply = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"id\":\"c1\"}"

// testCA signs certificates for TLS providers.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t testing.TB) *testCA {
	t.Helper()
	ca := &testCA{}
	ca.cert, ca.key = ca.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return ca
}

func (ca *testCA) sign(t testing.TB, tmpl *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	if tmpl.NotAfter.IsZero() {
		tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, parentKey := ca.cert, ca.key
	if parent == nil {
		parent, parentKey = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// leaf returns what a server for name needs.
func (ca *testCA) leaf(t testing.TB, tmpl *x509.Certificate) tls.Certificate {
	t.Helper()
	if tmpl == nil {
		tmpl = &x509.Certificate{DNSNames: []string{"provider.example"}}
	}
	c, key := ca.sign(t, tmpl)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

func (ca *testCA) trust() func(Key) (Trust, error) {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return func(Key) (Trust, error) { return Trust{Roots: pool}, nil }
}
