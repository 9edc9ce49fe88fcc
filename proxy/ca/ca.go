// Package ca is the authority under which outgo shows itself to agents as their
// provider. Load makes or reloads one root per installation: an ECDSA P-256 key
// that never leaves its directory, and a certificate that clients are told to
// trust. By default the certificate carries critical name constraints, so that
// whoever steals the key can impersonate the guarded and inspected names and
// nothing else.
//
// TLSConfig then gives the server side of one intercepted host: a leaf minted on
// demand, renewed while the configuration stays the same object, so that TLS
// sessions resume. The bundle (the system's roots and this one) is what agents
// are pointed at, for most of their TLS libraries take one file in place of the
// system's.
package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// keepEarlier is how long a replaced root stays in the bundle.
const keepEarlier = 7 * 24 * time.Hour

// Options say where an authority lives and for whom it may speak.
type Options struct {
	// Dir holds the key, the certificate and the bundle. It is made with mode
	// 0700 when missing.
	Dir string
	// Names are the DNS names that may be intercepted: "api.example.com", or
	// "*.example.com" for example.com and every name below it. An IP address
	// among them counts as one of AllowedIPs.
	Names []string
	// Constrain writes Names and AllowedIPs into the root as critical name
	// constraints and refuses leaves for anything else. Without it a leaf is
	// minted for every host.
	Constrain bool
	// AllowedIPs are the address ranges that may be intercepted; all others are
	// excluded by the root.
	AllowedIPs []netip.Prefix
	// Now is time.Now when nil.
	Now func() time.Time
	// Rand gives serial numbers; crypto/rand.Reader when nil. Keys always come
	// from the operating system.
	Rand io.Reader
}

// Authority mints leaves under one root. It is safe for concurrent use.
type Authority struct {
	dir    string
	scope  scope
	now    func() time.Time
	rand   io.Reader
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	bundle []byte
	roots  string

	leafKey *ecdsa.PrivateKey // shared by all leaves: one host's leaf is worth as much as another's
	hosts   *hostCache
}

// Load opens the authority in o.Dir, makes one on first use, and re-issues its
// certificate with the same key and subject when the names, the ranges or
// Constrain changed or its end is near: clients that trust the earlier
// certificate go on accepting leaves for the names that it covers.
func Load(o Options) (*Authority, error) { return load(o, false) }

// Rotate replaces the root by one with a new key. The bundle names both for
// seven days.
func Rotate(o Options) (*Authority, error) { return load(o, true) }

func load(o Options, rotate bool) (*Authority, error) {
	a := &Authority{dir: o.Dir, now: o.Now, rand: o.Rand, hosts: newHostCache(maxHosts)}
	if a.now == nil {
		a.now = time.Now
	}
	if a.rand == nil {
		a.rand = rand.Reader
	}
	var err error
	if a.scope, err = newScope(o.Names, o.AllowedIPs, o.Constrain); err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	if o.Dir == "" {
		return nil, errors.New("load authority: no directory given")
	}
	if err = os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	if err = a.loadRoot(rotate); err != nil {
		return nil, fmt.Errorf("load authority in %s: %w", o.Dir, err)
	}
	if a.leafKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make leaf key: %w", err)
	}
	return a, nil
}

// loadRoot brings the files of Dir up to date: key, certificate, the record of
// earlier certificates, and the bundle made of them.
func (a *Authority) loadRoot(rotate bool) error {
	earlier, err := a.readEarlier()
	if err != nil {
		return err
	}
	old, err := a.readCertificate()
	if err != nil {
		return err
	}
	if a.key, err = a.ensureKey(rotate); err != nil {
		return err
	}
	want := a.rootTemplate()
	if old != nil && sameRoot(old, want, &a.key.PublicKey, a.now()) {
		a.cert = old
	} else {
		if a.cert, err = a.issueRoot(want); err != nil {
			return err
		}
		if old != nil {
			// The record is written first: a crash between the two leaves a
			// certificate named twice, never one that is lost.
			earlier = append(earlier, replaced{old, a.now()})
			if err = a.writeEarlier(earlier); err != nil {
				return err
			}
		}
		if err = writeFile(a.CertFile(), a.Certificate(), 0o644); err != nil {
			return err
		}
	}
	return a.writeBundle(earlier)
}

// writeBundle joins the system's roots, the current root and the roots of
// earlier keys. An earlier certificate of the same key is left out: it has the
// same subject and key identifier as the current one but other constraints, and
// a library that tries only one of the two could pick the wrong one.
func (a *Authority) writeBundle(earlier []replaced) error {
	var b bytes.Buffer
	source, system, err := systemRoots(a.BundleFile())
	if err != nil {
		return err
	}
	a.roots = source
	for _, c := range system {
		if !isOurs(c) {
			b.Write(certificatePEM(c))
		}
	}
	b.Write(a.Certificate())
	for _, r := range earlier {
		if !publicKeyEqual(r.cert, &a.key.PublicKey) {
			b.Write(certificatePEM(r.cert))
		}
	}
	a.bundle = b.Bytes()
	if had, err := os.ReadFile(a.BundleFile()); err == nil && bytes.Equal(had, a.bundle) {
		return nil
	}
	return writeFile(a.BundleFile(), a.bundle, 0o644)
}

// Certificate returns the root as PEM.
func (a *Authority) Certificate() []byte { return certificatePEM(a.cert) }

// Bundle returns the system's roots and the authority's as PEM.
func (a *Authority) Bundle() []byte { return slices.Clone(a.bundle) }

// SystemRoots names the file that the system's roots in the bundle were read
// from; "" when none was found, in which case the bundle holds outgo's root
// alone and agents cannot verify hosts that are not intercepted.
func (a *Authority) SystemRoots() string { return a.roots }

// CertFile is the path of the root as PEM.
func (a *Authority) CertFile() string { return filepath.Join(a.dir, "ca.pem") }

// BundleFile is the path of the bundle as PEM.
func (a *Authority) BundleFile() string { return filepath.Join(a.dir, "bundle.pem") }

func (a *Authority) keyFile() string     { return filepath.Join(a.dir, "ca.key") }
func (a *Authority) earlierFile() string { return filepath.Join(a.dir, "earlier.pem") }

// Fingerprint is the SHA-256 digest of the root in the form that openssl
// prints: upper-case hexadecimal with colons.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	out := make([]byte, 0, 3*len(sum))
	for i, x := range sum {
		if i > 0 {
			out = append(out, ':')
		}
		out = fmt.Appendf(out, "%02X", x)
	}
	return string(out)
}

// NotAfter is when the root ends. Load re-issues it in good time, so that only
// a process that runs for most of a year without a restart meets it.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// Permits returns an error wrapping ErrNotPermitted unless a leaf may be minted
// for host, a DNS name or an IP address.
func (a *Authority) Permits(host string) error { return a.scope.permits(canonical(host)) }

// TLSConfig returns the server side of TLS for connections to host, a DNS name
// or an IP address without brackets. The same host gets the same configuration
// for as long as it is among the last hosts used. A handshake that names
// another server, or none, fails with ErrServerName; one for a host outside the
// authority's names fails with ErrNotPermitted, and nothing is minted or kept.
func (a *Authority) TLSConfig(host string) *tls.Config {
	name := canonical(host)
	if err := a.scope.permits(name); err != nil {
		return &tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, err },
		}
	}
	return a.hosts.get(name, func() *tls.Config { return a.newConfig(name) })
}
