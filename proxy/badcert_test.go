package proxy_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// signer is a certificate with its key.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// sign makes a certificate under s, or one signed by itself when s is nil.
func (s *signer) sign(t *testing.T, c x509.Certificate, bits int) *signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if bits > 0 {
		key, err = rsa.GenerateKey(rand.Reader, bits)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	if s == nil {
		s = &signer{&c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, s.cert, key.Public(), s.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{made, key}
}

func authority(name string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
}

func leaf() x509.Certificate {
	return x509.Certificate{DNSNames: []string{"api.stripe.com"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
}

// chain is what a server shows: its own certificate first.
func chain(certs ...*signer) tls.Certificate {
	c := tls.Certificate{PrivateKey: certs[0].key}
	for _, s := range certs {
		c.Certificate = append(c.Certificate, s.cert.Raw)
	}
	return c
}

// TestNoCallLeavesToAServerThatIsNotProven pays through the real engine and the
// real rail to servers that anybody could have put in the way.
func TestNoCallLeavesToAServerThatIsNotProven(t *testing.T) {
	root := (*signer)(nil).sign(t, authority("root"), 2048)
	sub := root.sign(t, authority("sub"), 0)
	with := func(change func(*x509.Certificate)) x509.Certificate {
		c := leaf()
		change(&c)
		return c
	}
	hours := func(from, to int) x509.Certificate {
		return with(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(time.Duration(from)*time.Hour), time.Now().Add(time.Duration(to)*time.Hour)
		})
	}
	notCA := root.sign(t, x509.Certificate{Subject: pkix.Name{CommonName: "no authority"}, BasicConstraintsValid: true}, 0)
	narrow := authority("narrow")
	narrow.PermittedDNSDomainsCritical, narrow.PermittedDNSDomains = true, []string{"example.com"}
	constrained := root.sign(t, narrow, 0)
	shallow := authority("shallow")
	shallow.MaxPathLen, shallow.MaxPathLenZero = 0, true
	tooShallow := root.sign(t, shallow, 0)
	beneath := tooShallow.sign(t, authority("beneath"), 0)
	forMail := root.sign(t, with(func(c *x509.Certificate) {
		*c = authority("mail")
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
	}), 0)
	stranger := (*signer)(nil).sign(t, authority("root"), 0)
	good := chain(sub.sign(t, leaf(), 0), sub)
	for name, c := range map[string]struct {
		cert tls.Certificate
		set  func(*tls.Config)
	}{
		"an expired certificate":               {chain(root.sign(t, hours(-2, -1), 0)), nil},
		"one of tomorrow":                      {chain(root.sign(t, hours(24, 48), 0)), nil},
		"another host's":                       {chain(root.sign(t, with(func(c *x509.Certificate) { c.DNSNames = []string{"api.stripe.com.evil.test"} }), 0)), nil},
		"one for a subdomain's wildcard":       {chain(root.sign(t, with(func(c *x509.Certificate) { c.DNSNames = []string{"*.api.stripe.com"} }), 0)), nil},
		"a name in the subject only":           {chain(root.sign(t, with(func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "api.stripe.com" }), 0)), nil},
		"one signed by itself":                 {chain((*signer)(nil).sign(t, leaf(), 0)), nil},
		"an unknown authority of the name":     {chain(stranger.sign(t, leaf(), 0), stranger), nil},
		"one for clients":                      {chain(root.sign(t, with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), 0)), nil},
		"a short key":                          {chain(root.sign(t, leaf(), 1024)), nil},
		"a SHA-1 signature":                    {chain(root.sign(t, with(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }), 0)), nil},
		"an issuer that is no authority":       {chain(notCA.sign(t, leaf(), 0), notCA), nil},
		"an issuer constrained to other names": {chain(constrained.sign(t, leaf(), 0), constrained), nil},
		"an issuer too far down":               {chain(beneath.sign(t, leaf(), 0), beneath, tooShallow), nil},
		"an issuer for mail":                   {chain(forMail.sign(t, leaf(), 0), forMail), nil},
		"a missing issuer":                     {chain(sub.sign(t, leaf(), 0)), nil},
		"TLS 1.1":                              {good, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }},
		"a CBC suite": {good, func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}},
		"a client certificate wanted":              {good, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }},
		"a client certificate wanted, TLS 1.2":     {good, func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }},
		"a good one":                               {good, nil},
		"a good one, a client certificate welcome": {good, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }},
	} {
		t.Run(name, func(t *testing.T) {
			config := &tls.Config{Certificates: []tls.Certificate{c.cert}, MinVersion: tls.VersionTLS10} //nolint:gosec // a bad server
			if c.set != nil {
				c.set(config)
			}
			p := startImpostor(t, config)
			roots := x509.NewCertPool()
			roots.AddCert(root.cert)
			s := newStripeWorldAt(t, proxy.Upstream{URL: "https://" + p.addr, RootCAs: roots, ServerName: "api.stripe.com"}, nil)
			status, v, header := s.call("k1", "/v1/charges", charge+"2000")
			if strings.HasPrefix(name, "a good one") {
				if status != 200 || p.requests.Load() != 1 {
					t.Errorf("answer = %d %v", status, v)
				}
				return
			}
			s.voided(t, header)
			message, _ := v["error"].(map[string]any)["message"].(string)
			if status != 502 && status != 503 || header.Get("Outgo-Code") != string(spend.UpstreamFailed) || !strings.Contains(message, "Nothing was sent") {
				t.Errorf("answer = %d %v", status, v)
			}
			if n := p.bytes.Load(); n != 0 {
				t.Errorf("%d bytes of the call left", n)
			}
		})
	}
}

// impostor is a TLS server that answers requests and counts what it is sent.
type impostor struct {
	addr            string
	bytes, requests atomic.Int64
}

func startImpostor(t *testing.T, config *tls.Config) *impostor {
	p := &impostor{}
	port := listen(t, func(raw *net.TCPConn) {
		c := tls.Server(raw, config)
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return
		}
		b := make([]byte, 4096)
		for text := ""; ; {
			n, err := c.Read(b)
			p.bytes.Add(int64(n))
			if err != nil {
				return
			}
			if text += string(b[:n]); strings.HasSuffix(text, charge+"2000") {
				p.requests.Add(1)
				text = ""
				c.Write([]byte(whole(paidCharge)))
			}
		}
	})
	p.addr = "127.0.0.1:" + port
	return p
}

// voided checks that the payment a header names has failed and counts for nothing.
func (s *stripeWorld) voided(t *testing.T, header map[string][]string) {
	t.Helper()
	id := header["Outgo-Request"]
	if len(id) != 1 {
		t.Fatalf("the answer names no request: %v", header)
	}
	r, err := s.engine.Request(context.Background(), spend.ID(id[0]))
	if err != nil || r.State != spend.Failed || r.Why != spend.UpstreamFailed {
		t.Errorf("request = %+v, %v", r, err)
	}
	s.counted(t, 0)
}

// counted checks how much the budget of the day holds.
func (s *stripeWorld) counted(t *testing.T, cents int64) {
	t.Helper()
	v, err := s.engine.Preview(context.Background(), spend.Intent{
		Agent: "default", Rail: "stripe", Class: spend.Spend, Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1)}},
	})
	if err != nil || len(v.Balances) != 1 || v.Balances[0].Used != spend.NewAmount("USD", cents) {
		t.Errorf("the budget holds %+v, %v; want %d cents", v.Balances, err, cents)
	}
}

// newStripeWorldAt is newStripeWorld with another upstream and a budget for the day.
func newStripeWorldAt(t *testing.T, up proxy.Upstream, change func(*proxy.Options)) *stripeWorld {
	t.Helper()
	s := &stripeWorld{}
	s.open(t, policy.Policy{Name: "day", Unit: "USD", Active: true, Daily: spend.NewAmount("USD", 10_000_000)})
	s.world = newWorld(t, func(o *proxy.Options) {
		s.guard(t, o)
		o.Upstreams = map[string]proxy.Upstream{"api.stripe.com": up}
		if change != nil {
			change(o)
		}
	})
	return s
}
