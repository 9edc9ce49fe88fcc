package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a virtual clock that tests move by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now().Truncate(time.Second)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// systemFile makes a stand-in for the system's roots and points SSL_CERT_FILE
// at it, so that no test depends on the machine's.
func systemFile(t *testing.T) string {
	t.Helper()
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"system.example"}})
	c := *a.rootTemplate()
	c.Subject.Organization = []string{"A System Root"}
	root, err := a.issueRoot(&c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "system.pem")
	if err = os.WriteFile(file, append([]byte("# a comment\n"), certificatePEM(root)...), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	return file
}

func mustLoad(t *testing.T, o Options) *Authority {
	t.Helper()
	a, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// verify checks a leaf for host, minted without regard to the scope, against
// root, as Go's TLS client would.
func verify(t *testing.T, root *x509.Certificate, leaf *x509.Certificate, host string, at time.Time) error {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(root)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: at})
	return err
}

// forge signs a leaf for any host with the authority's key: what a thief of the
// key could do.
func forge(t *testing.T, a *Authority, host string) *x509.Certificate {
	t.Helper()
	b := *a
	b.scope.constrain = false
	c, err := b.mint(host)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func TestFirstUseMakesFilesWithTheirModes(t *testing.T) {
	systemFile(t)
	dir := filepath.Join(t.TempDir(), "data", "ca")
	a := mustLoad(t, Options{Dir: dir, Names: []string{"api.stripe.com"}, Constrain: true})
	for path, want := range map[string]os.FileMode{dir: 0o700, a.keyFile(): 0o600, a.CertFile(): 0o644, a.BundleFile(): 0o644} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 3 {
		t.Errorf("left behind: %v", entries)
	}
	again := mustLoad(t, Options{Dir: dir, Names: []string{"api.stripe.com"}, Constrain: true})
	if !again.cert.Equal(a.cert) || again.Fingerprint() != a.Fingerprint() {
		t.Error("an unchanged authority was issued anew")
	}
	if len(a.Fingerprint()) != 95 {
		t.Errorf("fingerprint %q", a.Fingerprint())
	}
}

func TestAKeyThatOthersCanReadIsRefused(t *testing.T) {
	systemFile(t)
	o := Options{Dir: t.TempDir(), Names: []string{"x.example"}}
	a := mustLoad(t, o)
	for _, mode := range []os.FileMode{0o644, 0o640, 0o606} {
		if err := os.Chmod(a.keyFile(), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestDamagedFilesAreNamed(t *testing.T) {
	systemFile(t)
	for _, name := range []string{"ca.key", "ca.pem"} {
		o := Options{Dir: t.TempDir(), Names: []string{"x.example"}}
		mustLoad(t, o)
		if err := os.WriteFile(filepath.Join(o.Dir, name), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConstraints(t *testing.T) {
	systemFile(t)
	names := []string{"API.Stripe.com.", "*.infura.io", "127.0.0.9"}
	ips := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: names, AllowedIPs: ips, Constrain: true})
	narrow := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true})
	empty := mustLoad(t, Options{Dir: t.TempDir(), Constrain: true})
	open := mustLoad(t, Options{Dir: t.TempDir(), Names: names})
	for _, tc := range []struct {
		what       string
		a          *Authority
		host       string
		minted     bool // by the authority
		verifiable bool // when forged with its key
	}{
		{"an exact name", a, "api.stripe.com", true, true},
		{"its subdomain is not minted, though a constraint cannot exclude it", a, "x.api.stripe.com", false, true},
		{"its parent", a, "stripe.com", false, false},
		{"the name behind a wildcard", a, "infura.io", true, true},
		{"a name below it", a, "mainnet.infura.io", true, true},
		{"two levels below it", a, "a.b.infura.io", true, true},
		{"a name that only ends alike", a, "evilinfura.io", false, false},
		{"a stranger", a, "github.com", false, false},
		{"an address in range", a, "10.1.2.3", true, true},
		{"an address out of range", a, "10.2.0.1", false, false},
		{"an address named as a host", a, "127.0.0.9", true, true},
		{"its neighbour", a, "127.0.0.8", false, false},
		{"an IPv6 address where only IPv4 is allowed", a, "2001:db8::1", false, false},
		{"an address where none is allowed", narrow, "10.1.2.3", false, false},
		{"an IPv6 address where none is allowed", narrow, "::1", false, false},
		{"a name where none is allowed", empty, "api.stripe.com", false, false},
		{"a stranger to an open authority", open, "github.com", true, true},
		{"an address to an open authority", open, "10.2.0.1", true, true},
	} {
		err := tc.a.Permits(tc.host)
		if (err == nil) != tc.minted || err != nil && !errors.Is(err, ErrNotPermitted) {
			t.Errorf("%s (%s): permits says %v", tc.what, tc.host, err)
		}
		if _, err = tc.a.mint(tc.host); (err == nil) != tc.minted {
			t.Errorf("%s (%s): mint says %v", tc.what, tc.host, err)
		}
		err = verify(t, tc.a.cert, forge(t, tc.a, tc.host), tc.host, time.Now())
		if (err == nil) != tc.verifiable {
			t.Errorf("%s (%s): verification says %v", tc.what, tc.host, err)
		}
	}
}

func TestNoHostAtAllIsNeverMinted(t *testing.T) {
	systemFile(t)
	a := mustLoad(t, Options{Dir: t.TempDir()})
	for _, host := range []string{"", ".", "a..b", "*.example.com", "a b", "x\x00y", "host:443", "fe80::1%eth0", "[::1]"} {
		if err := a.Permits(host); !errors.Is(err, ErrNotPermitted) {
			t.Errorf("%q: %v", host, err)
		}
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for what, o := range map[string]Options{
		"no directory":      {},
		"a name with port":  {Dir: t.TempDir(), Names: []string{"x.example:443"}},
		"an empty name":     {Dir: t.TempDir(), Names: []string{""}},
		"a wildcard inside": {Dir: t.TempDir(), Names: []string{"a.*.example"}},
		"a bad range":       {Dir: t.TempDir(), AllowedIPs: []netip.Prefix{{}}},
	} {
		if _, err := Load(o); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

func TestAChangedListReissuesWithTheSameKeyAndSubject(t *testing.T) {
	systemFile(t)
	dir := t.TempDir()
	old := mustLoad(t, Options{Dir: dir, Names: []string{"api.stripe.com"}, Constrain: true})
	wider := mustLoad(t, Options{Dir: dir, Names: []string{"api.stripe.com", "*.infura.io"}, Constrain: true})
	if wider.cert.Equal(old.cert) {
		t.Fatal("the certificate was not issued anew")
	}
	if !wider.key.Equal(old.key) || !bytes.Equal(wider.cert.RawSubject, old.cert.RawSubject) || !bytes.Equal(wider.cert.SubjectKeyId, old.cert.SubjectKeyId) {
		t.Error("key, subject or key identifier changed")
	}
	leaf := func(host string) *x509.Certificate {
		c, err := wider.mint(host)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	if err := verify(t, old.cert, leaf("api.stripe.com"), "api.stripe.com", time.Now()); err != nil {
		t.Errorf("old trust, old name: %v", err)
	}
	if err := verify(t, old.cert, leaf("mainnet.infura.io"), "mainnet.infura.io", time.Now()); err == nil {
		t.Error("old trust covers a new name: its constraints are without effect")
	}
	if err := verify(t, wider.cert, leaf("mainnet.infura.io"), "mainnet.infura.io", time.Now()); err != nil {
		t.Errorf("new trust, new name: %v", err)
	}
	if rs, err := wider.readEarlier(); err != nil || len(rs) != 1 || !rs[0].cert.Equal(old.cert) {
		t.Errorf("record of earlier certificates: %v %v", rs, err)
	}
	if bytes.Contains(wider.Bundle(), old.Certificate()) {
		t.Error("the bundle names two certificates of one key")
	}
	open := mustLoad(t, Options{Dir: dir, Names: []string{"api.stripe.com"}})
	if open.cert.PermittedDNSDomainsCritical || !open.key.Equal(old.key) {
		t.Error("turning Constrain off did not re-issue with the same key")
	}
}

func TestRotateChangesTheKeyAndBundlesBothForSevenDays(t *testing.T) {
	systemFile(t)
	c := newClock()
	o := Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true, Now: c.now}
	old := mustLoad(t, o)
	fresh, err := Rotate(o)
	if err != nil {
		t.Fatal(err)
	}
	if fresh.key.Equal(old.key) || bytes.Equal(fresh.cert.RawSubject, old.cert.RawSubject) {
		t.Error("rotation kept the key or the subject")
	}
	c.advance(6 * 24 * time.Hour)
	if a := mustLoad(t, o); !a.cert.Equal(fresh.cert) || !bytes.Contains(a.Bundle(), old.Certificate()) || !bytes.Contains(a.Bundle(), fresh.Certificate()) {
		t.Error("after six days the bundle does not name both roots")
	}
	c.advance(25 * time.Hour)
	if a := mustLoad(t, o); bytes.Contains(a.Bundle(), old.Certificate()) {
		t.Error("after seven days the bundle still names the old root")
	}
}

func TestARootNearItsEndIsIssuedAnew(t *testing.T) {
	systemFile(t)
	c := newClock()
	o := Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true, Now: c.now}
	old := mustLoad(t, o)
	c.advance(rootLife - rootRenew - time.Hour)
	if a := mustLoad(t, o); !a.cert.Equal(old.cert) {
		t.Error("issued anew too early")
	}
	c.advance(2 * time.Hour)
	a := mustLoad(t, o)
	if a.cert.Equal(old.cert) || !a.key.Equal(old.key) || !a.NotAfter().After(old.NotAfter()) {
		t.Error("not issued anew with the same key")
	}
	c.advance(a.NotAfter().Sub(c.now()) + time.Second)
	if _, err := a.mint("api.stripe.com"); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("a leaf was minted under an ended root: %v", err)
	}
}

func TestTwoFirstUsesAtOnceEndWithOneKey(t *testing.T) {
	systemFile(t)
	o := Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true}
	loaded := make([]*Authority, 8)
	var wg sync.WaitGroup
	for i := range loaded {
		wg.Go(func() {
			a, err := Load(o)
			if err != nil {
				t.Error(err)
				return
			}
			loaded[i] = a
		})
	}
	wg.Wait()
	for _, a := range loaded[1:] {
		if a == nil || !a.key.Equal(loaded[0].key) {
			t.Fatal("keys differ")
		}
	}
}

func TestBundleJoinsTheSystemsRoots(t *testing.T) {
	file := systemFile(t)
	o := Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true}
	a := mustLoad(t, o)
	if a.SystemRoots() != file {
		t.Errorf("system roots read from %q, want %q", a.SystemRoots(), file)
	}
	count := func(b []byte) (n int) {
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			n++
		}
		return n
	}
	if n := count(a.Bundle()); n != 2 {
		t.Errorf("the bundle holds %d certificates, want 2", n)
	}
	// An outgo under another outgo: its roots are not the system's.
	nested := filepath.Join(t.TempDir(), "nested.pem")
	if err := os.WriteFile(nested, a.Bundle(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", nested)
	b := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}})
	if n := count(b.Bundle()); n != 2 || bytes.Contains(b.Bundle(), a.Certificate()) {
		t.Errorf("the nested bundle holds %d certificates or the other outgo's", n)
	}
	t.Setenv("SSL_CERT_FILE", a.BundleFile())
	if again := mustLoad(t, o); again.SystemRoots() == a.BundleFile() {
		t.Error("the bundle was read as the system's roots")
	}
	t.Setenv("SSL_CERT_FILE", filepath.Join(t.TempDir(), "absent"))
	if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("an unusable SSL_CERT_FILE: %v", err)
	}
}

func TestLeafKeyIsItsOwn(t *testing.T) {
	systemFile(t)
	a := mustLoad(t, Options{Dir: t.TempDir(), Names: []string{"*.example"}})
	b := mustLoad(t, Options{Dir: a.dir, Names: []string{"*.example"}})
	if a.leafKey.Equal(b.leafKey) || a.leafKey.Equal(a.key) || a.leafKey.Curve != elliptic.P256() {
		t.Error("the leaf key is shared with another process or with the root, or is not P-256")
	}
	x, err := a.mint("x.example")
	if err != nil {
		t.Fatal(err)
	}
	y, err := a.mint("y.example")
	if err != nil {
		t.Fatal(err)
	}
	if x.Leaf.SerialNumber.Cmp(y.Leaf.SerialNumber) == 0 {
		t.Error("two leaves with one serial number")
	}
	if !x.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(&a.leafKey.PublicKey) {
		t.Error("a leaf with another key")
	}
	if got := x.Leaf.NotAfter.Sub(x.Leaf.NotBefore); got != leafLife {
		t.Errorf("leaf lives %s", got)
	}
	if _, err = newSerial(bytes.NewReader(nil)); err == nil {
		t.Error("a serial number was drawn from an empty source")
	}
	if _, err = newSerial(rand.Reader); err != nil {
		t.Error(err)
	}
}
