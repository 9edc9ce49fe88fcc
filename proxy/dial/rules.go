package dial

import (
	"net"
	"net/netip"
)

// Rule says why an address is refused, in words that end the sentence "X is …".
// The empty Rule refuses nothing.
type Rule string

// The rules. Those in the first block hold whatever Options.Allow says.
const (
	Self        Rule = "one of outgo's own listeners"
	Metadata    Rule = "a cloud metadata service"
	Unspecified Rule = "an unspecified address"
	Multicast   Rule = "a multicast address"
	Broadcast   Rule = "the broadcast address"
	Zoned       Rule = "an address with a zone"
	NotAName    Rule = "not a host name or an IP address"

	Loopback      Rule = "a loopback address"
	LinkLocal     Rule = "a link-local address"
	Private       Rule = "a private address"
	SharedSpace   Rule = "in the carrier-grade NAT range 100.64.0.0/10"
	Benchmark     Rule = "in a benchmarking range"
	Protocol      Rule = "in a range kept for protocols (192.0.0.0/24, 192.88.99.0/24)"
	Documentation Rule = "in a documentation range"
	Reserved      Rule = "in a reserved range"
)

// metadata lists the services that hand out credentials to whoever can connect:
// AWS instance, container and pod identity, Alibaba, Oracle, Azure and Google.
// Most lie in denied ranges; all stay denied when such a range is allowed.
func metadata(a netip.Addr) bool {
	switch a {
	case netip.AddrFrom4([4]byte{169, 254, 169, 254}),
		netip.AddrFrom4([4]byte{169, 254, 170, 2}),
		netip.AddrFrom4([4]byte{169, 254, 170, 23}),
		netip.AddrFrom4([4]byte{100, 100, 100, 200}),
		netip.AddrFrom4([4]byte{192, 0, 0, 192}),
		netip.AddrFrom4([4]byte{168, 63, 129, 16}),
		netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 15: 0x23}),
		netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54}),
		netip.AddrFrom16([16]byte{0xfd, 0x20, 0x00, 0xce, 14: 0x02, 15: 0x54}):
		return true
	}
	return false
}

// Check returns the rule that refuses a connection to port at a, or "".
func (d *Dialer) Check(a netip.Addr, port uint16) Rule {
	if !a.IsValid() {
		return NotAName
	}
	if a.Zone() != "" {
		return Zoned
	}
	a = a.Unmap()
	if r := d.checkSelf(a, port); r != "" {
		return r
	}
	if r := never(a); r != "" {
		return r
	}
	for _, p := range d.allow {
		if p.Contains(a) {
			return ""
		}
	}
	if inner, ok := embedded(a); ok {
		// What a translator or a tunnel makes of the address is what is dialled.
		for _, v4 := range inner {
			if r := d.Check(v4, port); r != "" {
				return r
			}
		}
		return ""
	}
	if a.Is4() {
		return table4(a.As4())
	}
	return table6(a.As16())
}

// checkSelf refuses outgo's own listeners. A listener on the unspecified
// address answers on every address that this host has, and on the unspecified
// address itself.
func (d *Dialer) checkSelf(a netip.Addr, port uint16) Rule {
	a = a.Unmap().WithZone("")
	for _, s := range d.self {
		if s.Port() != port {
			continue
		}
		if s.Addr() == a || a.IsUnspecified() || s.Addr().IsUnspecified() && isLocal(a) {
			return Self
		}
	}
	return ""
}

// isLocal reports whether a belongs to this host. When the interfaces cannot be
// listed every address counts as local: it is asked only for ports that outgo
// itself listens on.
func isLocal(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, o := range own {
		if p, err := netip.ParsePrefix(o.String()); err == nil && p.Addr().Unmap().WithZone("") == a {
			return true
		}
	}
	return false
}

// never holds the rules that Options.Allow does not lift. The kernel connects
// the unspecified address to loopback, so allowing it would lift Self as well.
func never(a netip.Addr) Rule {
	switch {
	case metadata(a):
		return Metadata
	case a.IsUnspecified():
		return Unspecified
	case a.IsMulticast():
		return Multicast
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Broadcast
	}
	if inner, ok := embedded(a); ok {
		for _, v4 := range inner {
			if r := never(v4); r != "" {
				return r
			}
		}
	}
	return ""
}

// embedded returns the IPv4 addresses inside an IPv6 address that a translator
// or tunnel would connect to: NAT64 (RFC 6052), 6to4 (RFC 3056), and the server
// and the client of Teredo (RFC 4380; the client is stored inverted).
func embedded(a netip.Addr) ([]netip.Addr, bool) {
	if !a.Is6() {
		return nil, false
	}
	b := a.As16()
	v4 := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(b[at : at+4])) }
	switch {
	case [12]byte(b[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}:
		return []netip.Addr{v4(12)}, true
	case b[0] == 0x20 && b[1] == 0x02:
		return []netip.Addr{v4(2)}, true
	case [4]byte(b[:4]) == [4]byte{0x20, 0x01}:
		for i := 12; i < 16; i++ {
			b[i] = ^b[i]
		}
		return []netip.Addr{v4(4), v4(12)}, true
	}
	return nil, false
}

// table4 is the IANA registry of special IPv4 ranges.
func table4(b [4]byte) Rule {
	switch {
	case b[0] == 0 || b[0] >= 240:
		return Reserved
	case b[0] == 127:
		return Loopback
	case b[0] == 10, b[0] == 172 && b[1]&0xf0 == 16, b[0] == 192 && b[1] == 168:
		return Private
	case b[0] == 100 && b[1]&0xc0 == 64:
		return SharedSpace
	case b[0] == 169 && b[1] == 254:
		return LinkLocal
	case b[0] == 192 && b[1] == 0 && b[2] == 0, b[0] == 192 && b[1] == 88 && b[2] == 99:
		return Protocol
	case b[0] == 192 && b[1] == 0 && b[2] == 2, b[0] == 198 && b[1] == 51 && b[2] == 100, b[0] == 203 && b[1] == 0 && b[2] == 113:
		return Documentation
	case b[0] == 198 && b[1]&0xfe == 18:
		return Benchmark
	}
	return ""
}

// table6 is the IANA registry of special IPv6 ranges. Only 2000::/3 is handed
// out for use on the Internet; what lies outside is refused whole.
func table6(b [16]byte) Rule {
	switch {
	case b == [16]byte{15: 1}:
		return Loopback
	case b[0]&0xfe == 0xfc:
		return Private
	case b[0] == 0xfe && b[1]&0x80 == 0x80: // fe80::/10 and the old site-local fec0::/10
		return LinkLocal
	case b[0]&0xe0 != 0x20:
		return Reserved
	case [4]byte(b[:4]) == [4]byte{0x20, 0x01, 0x0d, 0xb8}, b[0] == 0x3f && b[1] == 0xff && b[2]&0xf0 == 0:
		return Documentation
	case [6]byte(b[:6]) == [6]byte{0x20, 0x01, 0x00, 0x02}:
		return Benchmark
	case b[0] == 0x20 && b[1] == 0x01 && b[2]&0xfe == 0: // the rest of 2001::/23, among it ORCHID
		return Reserved
	}
	return ""
}
