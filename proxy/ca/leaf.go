package ca

import (
	"container/list"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// ErrServerName fails a handshake whose server name is absent or is not the
// host that the connection was opened to: the name that was judged and the name
// that is spoken for must be one. Clients send no server name for IP addresses,
// so there, and only there, none is needed.
var ErrServerName = errors.New("TLS server name is not the host of this connection")

// The life of a leaf. It is renewed by the first handshake within leafRenew of
// its end.
const (
	leafLife  = 24 * time.Hour
	leafBack  = time.Hour
	leafRenew = 6 * time.Hour
)

// maxHosts bounds the configurations kept. A host that falls out costs its
// clients one full handshake when it comes back.
const maxHosts = 1024

// newConfig makes the configuration of one host. It carries its own session
// ticket keys, which is why it must be reused: a fresh configuration for each
// connection would never resume a session.
func (a *Authority) newConfig(host string) *tls.Config {
	l := &leaf{authority: a, host: host}
	return &tls.Config{
		Time:       a.now,
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		// The client is local: the post-quantum hybrid would cost CPU on every
		// connection and protect nothing that leaves the host.
		CurvePreferences:            []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		NextProtos:                  []string{"http/1.1"},
		DynamicRecordSizingDisabled: true,
		// The name is checked here and not in GetCertificate, which a resumed
		// session never calls.
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { return nil, l.checkName(h.ServerName) },
		GetCertificate:     func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.certificate() },
	}
}

// leaf is the current certificate of one host.
type leaf struct {
	authority *Authority
	host      string

	mu   sync.Mutex
	cert *tls.Certificate
}

func (l *leaf) checkName(sni string) error {
	if sni != "" && canonical(sni) == l.host {
		return nil
	}
	if _, err := netip.ParseAddr(l.host); err == nil && sni == "" {
		return nil
	}
	return fmt.Errorf("client asked for %q on a connection to %s: %w", sni, l.host, ErrServerName)
}

func (l *leaf) certificate() (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cert != nil && l.cert.Leaf.NotAfter.Sub(l.authority.now()) >= leafRenew {
		return l.cert, nil
	}
	c, err := l.authority.mint(l.host)
	if err != nil {
		return nil, err
	}
	l.cert = c
	return c, nil
}

// mint signs a leaf for host. The scope is checked here too: it is the last
// place before the key is used.
func (a *Authority) mint(host string) (*tls.Certificate, error) {
	if err := a.scope.permits(host); err != nil {
		return nil, err
	}
	serial, err := newSerial(a.rand)
	if err != nil {
		return nil, err
	}
	begin := a.now().Truncate(time.Second).Add(-leafBack)
	end := begin.Add(leafLife)
	if a.cert.NotAfter.Before(end) {
		end = a.cert.NotAfter
	}
	if !end.After(a.now()) {
		return nil, fmt.Errorf("mint a certificate for %s: the root ended on %s; restart outgo to re-issue it", host, a.cert.NotAfter.Format(time.DateOnly))
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    begin,
		NotAfter:     end,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		// No common name: OpenSSL would read it as a DNS name and find it
		// outside the root's constraints.
		t.IPAddresses = append(t.IPAddresses, ip.AsSlice())
	} else {
		t.DNSNames = []string{host}
		if len(host) <= 64 { // the bound of a common name
			t.Subject = pkix.Name{CommonName: host}
		}
	}
	der, err := x509.CreateCertificate(a.rand, t, a.cert, &a.leafKey.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("mint a certificate for %s: %w", host, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("mint a certificate for %s: %w", host, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.leafKey, Leaf: parsed}, nil
}

// hostCache keeps the configurations of the hosts used last.
type hostCache struct {
	mu    sync.Mutex
	max   int
	byKey map[string]*list.Element
	order *list.List // of hostEntry, the one used last in front
}

type hostEntry struct {
	host   string
	config *tls.Config
}

func newHostCache(limit int) *hostCache {
	return &hostCache{max: limit, byKey: make(map[string]*list.Element), order: list.New()}
}

// get returns the configuration kept for host, or keeps what fresh makes, which
// must be cheap: minting waits for the first handshake.
func (c *hostCache) get(host string, fresh func() *tls.Config) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[host]; ok {
		c.order.MoveToFront(e)
		return e.Value.(hostEntry).config
	}
	config := fresh()
	c.byKey[host] = c.order.PushFront(hostEntry{host, config})
	if c.order.Len() > c.max {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.byKey, last.Value.(hostEntry).host)
	}
	return config
}
