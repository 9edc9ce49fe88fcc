package proxy_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/elazarl/goproxy"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/proxy/ca"
	"github.com/outgo/outgo/proxy/dial"
	"github.com/outgo/outgo/rails/stripe"
	"github.com/outgo/outgo/tokens/seal"
)

// payHost is whom the calls of a comparison are for.
const payHost = "api.stripe.com"

// serve starts what the role says.
func (r role) serve(b *testing.B) (where place, stop func()) {
	switch r.Kind {
	case upstreamRole:
		return serveUpstream(b)
	case goproxyRole, tunnelRole:
		return r.serveGoproxy(b)
	case ledgerRole, decisionsRole:
		return r.serveOutgo(b)
	}
	b.Fatalf("there is no role %q", r.Kind)
	return place{}, nil
}

func listenLocal(b *testing.B) net.Listener {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return ln
}

// reply is a payment intent as Stripe renders one, about 2 KB long.
func reply() []byte {
	body := `{"id":"pi_3QLmT2Kk9sVxYz1A0benchmk","object":"payment_intent","amount":2000,"amount_capturable":0,"amount_received":2000,` +
		`"currency":"usd","status":"succeeded","livemode":false,"capture_method":"automatic","confirmation_method":"automatic",` +
		`"created":1795262400,"customer":"cus_NffrFeUfNV2Hib","latest_charge":"ch_3QLmT2Kk9sVxYz1A0benchmk",` +
		`"payment_method":"pm_1QLmT1Kk9sVxYz1AbenchmkZ","payment_method_types":["card"],"receipt_email":"ops@example.com",` +
		`"payment_method_options":{"card":{"installments":null,"mandate_options":null,"network":null,"request_three_d_secure":"automatic"}},` +
		`"amount_details":{"tip":{}},"application":null,"application_fee_amount":null,"automatic_payment_methods":null,"canceled_at":null,` +
		`"cancellation_reason":null,"invoice":null,"last_payment_error":null,"next_action":null,"on_behalf_of":null,"processing":null,` +
		`"review":null,"setup_future_usage":null,"shipping":null,"source":null,"statement_descriptor":null,"transfer_data":null,` +
		`"transfer_group":null,"metadata":{"order":"1795262400"},"description":"`
	return []byte(body + strings.Repeat("API credits. ", (2000-len(body))/13) + `"}`)
}

// serveUpstream is a provider that says yes to everything, as fast as it can, and has
// a name of its own for each payment: the number of the order.
func serveUpstream(b *testing.B) (place, func()) {
	cert, roots := selfSigned(b, payHost, false)
	ln, sink := listenLocal(b), listenLocal(b)
	body, name := reply(), []byte(`"id":"pi_3QLmT2`)
	at := bytes.Index(body, name) + len(name)
	s := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) {
		h := &ctx.Response.Header
		ctx.SetContentType("application/json")
		h.Set("Request-Id", "req_benchmarkSuite")
		h.Set("Stripe-Version", "2025-10-29.clover")
		h.Set("Cache-Control", "no-cache, no-store")
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains; preload")
		h.Set("Access-Control-Allow-Origin", "*")
		order := ctx.PostBody()
		order = order[len(order)-min(len(order), digits):]
		ctx.Response.AppendBody(body[:at])
		ctx.Response.AppendBody(order)
		ctx.Response.AppendBody(body[at+len(order):])
	}}
	secure := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	go acceptAll(ln, func(c net.Conn) {
		_ = s.ServeConn(tls.Server(c, secure)) // a client that hangs up is none of its business
	})
	go acceptAll(sink, func(c net.Conn) {
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 1<<20)) // n says it
		fmt.Fprintf(c, "%d\n", n)                                                                           //nolint:errcheck // the client counts
	})
	return place{Addr: ln.Addr().String(), Sink: sink.Addr().String(), Roots: roots}, func() {
		_ = sink.Close()
		_ = ln.Close()
	}
}

// acceptAll serves connections until ln is closed.
func acceptAll(ln net.Listener, serve func(net.Conn)) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close() //nolint:errcheck // nothing is left to say
			serve(c)
		}()
	}
}

// serveGoproxy is the library at its best: an ECDSA authority of its own, each
// certificate made once, and as many idle connections to the upstream as there
// are clients. It reads bodies whole, as whoever judges them must.
func (r role) serveGoproxy(b *testing.B) (place, func()) {
	authority, roots := selfSigned(b, "benchmark authority", true)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(r.Roots)
	h := goproxy.NewProxyHttpServer()
	h.Logger = log.New(io.Discard, "", 0)
	h.ConnectDial, h.CertStore = nil, &certificates{}
	h.Tr = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableCompression: true, //nolint:gosec // the default version will do
		MaxIdleConnsPerHost: 1024, MaxIdleConns: 4096, IdleConnTimeout: 90 * time.Second,
	}
	if r.Kind == goproxyRole {
		h.Tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.Upstream)
		}
		intercept := &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: goproxy.TLSConfigFromCA(&authority)}
		h.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) { return intercept, host })
		h.OnRequest().DoFunc(func(req *http.Request, _ *goproxy.ProxyCtx) (*http.Request, *http.Response) {
			req.Body = readWhole(req.Body)
			return req, nil
		})
		h.OnResponse().DoFunc(func(resp *http.Response, _ *goproxy.ProxyCtx) *http.Response {
			if resp != nil {
				resp.Body = readWhole(resp.Body)
			}
			return resp
		})
	}
	ln := listenLocal(b)
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(ln) }()
	return place{Addr: ln.Addr().String(), Roots: roots}, func() {
		_ = s.Close()
		h.Tr.CloseIdleConnections()
	}
}

// readWhole takes a body in and looks at it.
func readWhole(body io.ReadCloser) io.ReadCloser {
	all, err := io.ReadAll(body)
	_ = body.Close()
	if err != nil || !bytes.Contains(all, []byte("amount")) {
		return http.NoBody
	}
	return io.NopCloser(bytes.NewReader(all))
}

// certificates keeps what goproxy has signed.
type certificates struct{ byHost sync.Map }

// Fetch implements goproxy.CertStorage.
func (c *certificates) Fetch(host string, sign func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	if known, ok := c.byHost.Load(host); ok {
		return known.(*tls.Certificate), nil //nolint:forcetypeassert // nothing else is put in
	}
	fresh, err := sign()
	if err == nil {
		c.byHost.Store(host, fresh)
	}
	return fresh, err
}

// serveOutgo is the whole path of a payment with one policy that every call
// counts against, and a decision line for each in a file. With the ledger two
// durable commits are a part of it; without, the same policy is evaluated by a
// gate that keeps its counters in memory.
func (r role) serveOutgo(b *testing.B) (place, func()) {
	often := 1 << 30
	hot := policy.Policy{
		Name: "hot", Unit: "USD", Active: true, PerMinute: &often, PerHour: &often,
		MaxSingle: spend.NewAmount("USD", 10000), Daily: spend.NewAmount("USD", 1<<50), Monthly: spend.NewAmount("USD", 1<<50),
	}
	if r.Kind == decisionsRole {
		hot.ID, hot.Version = "hot", 1
		return r.serveProxy(b, newJudge(&hot), seal.FromBytes([32]byte{1}), func() {})
	}
	db, err := badgerstore.Open(badgerstore.Options{Dir: filepath.Join(r.Dir, "ledger")})
	if err != nil {
		b.Fatal(err)
	}
	key := seal.FromBytes([32]byte{1})
	e, err := engine.Open(context.Background(), engine.Options{Store: db, Sealer: key})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := e.CreatePolicy(context.Background(), hot); err != nil {
		b.Fatal(err)
	}
	return r.serveProxy(b, e, key, func() {
		e.Close()
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
}

// serveProxy starts outgo's proxy before a gate; release frees what is behind it.
func (r role) serveProxy(b *testing.B, gate proxy.Gate, key *seal.Key, release func()) (place, func()) {
	authority, err := ca.Load(ca.Options{Dir: filepath.Join(r.Dir, "ca"), Names: []string{payHost}, Constrain: true})
	if err != nil {
		b.Fatal(err)
	}
	lines, err := os.Create(filepath.Join(r.Dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	observe, flush := observeInto(lines)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(r.Roots)
	p, err := proxy.New(proxy.Options{
		Routes:    []proxy.Route{{Rail: stripe.New(stripe.Options{}), Hosts: []string{payHost}, Wait: time.Second}},
		Authority: authority,
		Dialer:    dial.New(dial.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		Upstreams: map[string]proxy.Upstream{payHost: {URL: "https://" + r.Upstream, RootCAs: trusted, ServerName: payHost}},
		Identify:  func(proxy.Peer) (string, error) { return "default", nil },
		Digest:    key.Digest, Gate: gate, Observe: observe,
	})
	if err != nil {
		b.Fatal(err)
	}
	ln := listenLocal(b)
	served := make(chan error, 1)
	go func() { served <- p.Serve(ln) }()
	return place{Addr: ln.Addr().String(), Roots: authority.Certificate()}, func() {
		if err := p.Drain(context.Background()); err != nil {
			b.Error(err)
		}
		if err := <-served; err != nil {
			b.Error(err)
		}
		release()
		if err := errors.Join(flush(), lines.Close()); err != nil {
			b.Error(err)
		}
	}
}

// observeInto writes decision lines as the sidecar does, many at a time and without
// syncing; stop writes the last ones.
func observeInto(f *os.File) (observe func(proxy.Line), stop func() error) {
	buffered := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(struct{ io.Writer }{f}), Size: 64 << 10, FlushInterval: 100 * time.Millisecond}
	to := zap.New(proxy.LineCore(buffered))
	return func(l proxy.Line) { proxy.LogLine(to, "call", &l) }, buffered.Stop
}

// selfSigned makes a P-256 certificate for name, or for an authority.
func selfSigned(b *testing.B, name string, authority bool) (tls.Certificate, []byte) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: authority,
	}
	if authority {
		c.KeyUsage |= x509.KeyUsageCertSign
	} else {
		c.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
