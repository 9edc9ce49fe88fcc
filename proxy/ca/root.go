package ca

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"time"
)

// The life of a root. It is re-issued by the first Load within rootRenew of its
// end; it begins a day back for clients whose clock is behind.
const (
	rootLife  = 365 * 24 * time.Hour
	rootRenew = 60 * 24 * time.Hour
	rootBack  = 24 * time.Hour
)

// organization marks roots made by outgo, so that they are not taken for the
// system's when a bundle is read back.
const organization = "outgo local authority"

func isOurs(c *x509.Certificate) bool { return slices.Contains(c.Subject.Organization, organization) }

// rootTemplate is the root as it should be now. The subject is derived from the
// key: a re-issue keeps it, and two installations never share it, which matters
// to libraries that look issuers up by subject alone.
func (a *Authority) rootTemplate() *x509.Certificate {
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		panic("ca: public key of a generated key has no encoding: " + err.Error())
	}
	id := sha256.Sum256(point)
	now := a.now().Truncate(time.Second)
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: fmt.Sprintf("outgo %x", id[:4]), Organization: []string{organization}},
		SubjectKeyId:          id[:20],
		NotBefore:             now.Add(-rootBack),
		NotAfter:              now.Add(rootLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if a.scope.constrain {
		constrainTo(t, &a.scope)
	}
	return t
}

// constrainTo writes the scope into t. A kind of name without any constraint is
// wide open (a root constrained to DNS names alone vouches for every IP
// address), so that both address families are always either listed or excluded,
// and an empty list of names becomes one that nothing can have.
func constrainTo(t *x509.Certificate, s *scope) {
	t.PermittedDNSDomainsCritical = true
	t.PermittedDNSDomains = append(slices.Clone(s.exact), s.below...)
	if len(t.PermittedDNSDomains) == 0 {
		t.PermittedDNSDomains = []string{"nothing.invalid"}
	}
	slices.Sort(t.PermittedDNSDomains)
	t.PermittedDNSDomains = slices.Compact(t.PermittedDNSDomains)
	var v4, v6 bool
	for _, p := range s.ips {
		if p.Addr().Is4() {
			v4 = true
		} else {
			v6 = true
		}
		t.PermittedIPRanges = append(t.PermittedIPRanges, ipNet(p))
	}
	if !v4 {
		t.ExcludedIPRanges = append(t.ExcludedIPRanges, ipNet(netip.MustParsePrefix("0.0.0.0/0")))
	}
	if !v6 {
		t.ExcludedIPRanges = append(t.ExcludedIPRanges, ipNet(netip.MustParsePrefix("::/0")))
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// sameRoot reports whether have still does what want asks for, with key.
func sameRoot(have, want *x509.Certificate, key *ecdsa.PublicKey, now time.Time) bool {
	return publicKeyEqual(have, key) &&
		have.NotAfter.Sub(now) > rootRenew && !have.NotBefore.After(now) &&
		have.PermittedDNSDomainsCritical == want.PermittedDNSDomainsCritical &&
		slices.Equal(have.PermittedDNSDomains, want.PermittedDNSDomains) &&
		sameRanges(have.PermittedIPRanges, want.PermittedIPRanges) &&
		sameRanges(have.ExcludedIPRanges, want.ExcludedIPRanges)
}

func publicKeyEqual(c *x509.Certificate, key *ecdsa.PublicKey) bool {
	pub, ok := c.PublicKey.(*ecdsa.PublicKey)
	return ok && pub.Equal(key)
}

func sameRanges(a, b []*net.IPNet) bool {
	return slices.EqualFunc(a, b, func(x, y *net.IPNet) bool { return x.String() == y.String() })
}

// issueRoot signs t with its own key.
func (a *Authority) issueRoot(t *x509.Certificate) (*x509.Certificate, error) {
	serial, err := newSerial(a.rand)
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial
	der, err := x509.CreateCertificate(a.rand, t, t, &a.key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign root: %w", err)
	}
	return x509.ParseCertificate(der)
}

// newSerial draws a positive number of 127 random bits (RFC 5280 allows 159).
func newSerial(r io.Reader) (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b), nil
}
