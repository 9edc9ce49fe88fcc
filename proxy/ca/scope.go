package ca

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ErrNotPermitted is wrapped when a leaf is asked for a host outside the names
// and ranges that the root is constrained to.
var ErrNotPermitted = errors.New("host is outside the authority's names")

// scope is the set of hosts that an authority may speak for.
type scope struct {
	constrain bool
	exact     []string // sorted
	below     []string // sorted; each stands for itself and its subdomains
	ips       []netip.Prefix
}

func newScope(names []string, ips []netip.Prefix, constrain bool) (scope, error) {
	s := scope{constrain: constrain}
	for _, p := range ips {
		if !p.IsValid() {
			return scope{}, fmt.Errorf("allowed address range %q is not valid", p)
		}
		s.ips = append(s.ips, unmapPrefix(p))
	}
	for _, n := range names {
		name, wild := strings.CutPrefix(canonical(n), "*.")
		if ip, err := netip.ParseAddr(name); err == nil && !wild {
			s.ips = append(s.ips, netip.PrefixFrom(ip, ip.BitLen()))
			continue
		}
		switch {
		case !validName(name):
			return scope{}, fmt.Errorf("name %q is not a DNS name, nor one behind \"*.\"", n)
		case wild:
			s.below = append(s.below, name)
		default:
			s.exact = append(s.exact, name)
		}
	}
	for _, l := range []*[]string{&s.exact, &s.below} {
		slices.Sort(*l)
		*l = slices.Compact(*l)
	}
	slices.SortFunc(s.ips, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
	s.ips = slices.Compact(s.ips)
	return s, nil
}

// canonical is the form in which hosts are compared: lower case, no trailing
// dot, IP addresses as netip prints them and without an IPv4 mapping.
func canonical(host string) string {
	h := strings.TrimSuffix(strings.ToLower(host), ".")
	if ip, err := netip.ParseAddr(h); err == nil {
		return ip.Unmap().String()
	}
	return h
}

// unmapPrefix turns a range of IPv4-mapped addresses into the IPv4 range that
// it means.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// permits takes a canonical host. What is no host at all is refused even where
// the root is unconstrained: no certificate can name it.
func (s *scope) permits(host string) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() == "" && (!s.constrain || slices.ContainsFunc(s.ips, func(p netip.Prefix) bool { return p.Contains(ip) })) {
			return nil
		}
		return fmt.Errorf("mint a certificate for %s: %w", host, ErrNotPermitted)
	}
	if !validName(host) {
		return fmt.Errorf("mint a certificate for %q: not a host name: %w", host, ErrNotPermitted)
	}
	if !s.constrain {
		return nil
	}
	if _, ok := slices.BinarySearch(s.exact, host); ok {
		return nil
	}
	for _, n := range s.below {
		if host == n || strings.HasSuffix(host, "."+n) {
			return nil
		}
	}
	return fmt.Errorf("mint a certificate for %s: %w", host, ErrNotPermitted)
}

// validName reports whether a certificate can carry name as a DNS name.
func validName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}
