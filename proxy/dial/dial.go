// Package dial opens connections to providers and to nothing else. A Dialer
// resolves a name itself, judges every address of the answer by one table
// (Rule), and connects to the address that it judged, so that neither a name
// that points inwards nor one that changes its answer between two queries
// reaches the host's own network, a cloud's metadata service or outgo itself.
// The address is judged once more by the kernel's view of it, in the moment
// before the connection is made.
//
// Dial is for names that come from agents. DialAddr is for the addresses that
// the operator wrote into the configuration: it skips the table and still
// refuses outgo's own listeners.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Timeouts of one Dial: all of it, and the least that one address is given.
const (
	defaultTimeout = 10 * time.Second
	leastAttempt   = 2 * time.Second
	// maxAttempts bounds how many addresses of one answer are tried; all of
	// them are judged.
	maxAttempts = 8
)

// Resolver answers a name with its addresses; *net.Resolver is one. network is
// always "ip".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options configure a Dialer; the zero value dials public addresses only.
type Options struct {
	// Allow names ranges that may be dialled although the table denies them,
	// such as a sandbox in 10.0.0.0/8. Metadata services, unspecified, multicast
	// and broadcast addresses and Self are refused all the same.
	Allow []netip.Prefix
	// Self lists the addresses that outgo listens on. An unspecified address
	// (0.0.0.0, ::) stands for every address of this host.
	Self []netip.AddrPort
	// Resolver is net.DefaultResolver when nil.
	Resolver Resolver
	// Timeout bounds one Dial from the name's lookup on; 10 s when zero.
	Timeout time.Duration
}

// Dialer connects to judged addresses. It is safe for concurrent use.
type Dialer struct {
	allow    []netip.Prefix
	self     []netip.AddrPort
	resolver Resolver
	timeout  time.Duration
}

// New makes a Dialer.
func New(o Options) *Dialer {
	d := &Dialer{resolver: o.Resolver, timeout: o.Timeout}
	for _, p := range o.Allow {
		d.allow = append(d.allow, unmapPrefix(p))
	}
	for _, a := range o.Self {
		d.self = append(d.self, netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()))
	}
	if d.resolver == nil {
		d.resolver = net.DefaultResolver
	}
	if d.timeout <= 0 {
		d.timeout = defaultTimeout
	}
	return d
}

// unmapPrefix turns a range of IPv4-mapped addresses into the IPv4 range that
// it means, for judged addresses are unmapped too.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Denied is the error of a connection that was refused before it was tried.
type Denied struct {
	Host string     // as asked for
	Addr netip.Addr // what it resolved to; the zero Addr when Host is no name at all
	Port uint16
	Rule Rule
}

func (e *Denied) Error() string {
	if !e.Addr.IsValid() {
		return fmt.Sprintf("refuse to dial %q: %s", e.Host, e.Rule)
	}
	return fmt.Sprintf("refuse to dial %s: %s is %s", e.Host, netip.AddrPortFrom(e.Addr, e.Port), e.Rule)
}

// Dial connects to host, a canonical DNS name or an IP address without
// brackets, on port. It returns a *Denied when any address of host is refused:
// an answer that mixes public and internal addresses is an attack or a
// mistake, and neither should be half followed. Addresses are tried in the
// resolver's order, each for a bounded time.
func (d *Dialer) Dial(ctx context.Context, host string, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	addrs, err := d.resolve(ctx, host, port)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if r := d.Check(a, port); r != "" {
			return nil, &Denied{Host: host, Addr: a, Port: port, Rule: r}
		}
	}
	return d.connect(ctx, host, addrs, port, func(a netip.Addr, port uint16) Rule { return d.Check(a, port) })
}

// DialAddr connects to addr, "host:port" from the configuration. It refuses
// outgo's own listeners with a *Denied and nothing else.
func (d *Dialer) DialAddr(ctx context.Context, addr string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", addr, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("dial %q: port %q is not a number from 1 to 65535", addr, portText)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	addrs, err := d.resolve(ctx, host, uint16(port))
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if r := d.checkSelf(a, uint16(port)); r != "" {
			return nil, &Denied{Host: host, Addr: a, Port: uint16(port), Rule: r}
		}
	}
	return d.connect(ctx, host, addrs, uint16(port), d.checkSelf)
}

// resolve returns the addresses of host, unmapped and without duplicates.
func (d *Dialer) resolve(ctx context.Context, host string, port uint16) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return nil, &Denied{Host: host, Addr: a.WithZone(""), Port: port, Rule: Zoned}
		}
		return []netip.Addr{a.Unmap()}, nil
	}
	if !validName(host) {
		return nil, &Denied{Host: host, Port: port, Rule: NotAName}
	}
	// A name with a dot is asked for as it stands: search domains would let
	// whoever controls one of them answer for a provider.
	query := host
	if strings.Contains(host, ".") && !strings.HasSuffix(host, ".") {
		query = host + "."
	}
	found, err := d.resolver.LookupNetIP(ctx, "ip", query)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	var addrs []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("resolve %s: no address", host)
	}
	return addrs, nil
}

// validName admits what DNS and the hosts file can name. A last label that is
// a number is refused: inet_aton reads 127.1 and 0x7f000001 as addresses, and
// which of the two a resolver does depends on the resolver.
func validName(host string) bool {
	name := strings.TrimSuffix(host, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return false
		}
		for i := range len(l) {
			c := l[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	if last[0] < '0' || last[0] > '9' {
		return true
	}
	_, err := strconv.ParseUint(last, 0, 64)
	return err != nil && strings.Trim(last, "0123456789") != ""
}

// connect tries addrs in order. Of several failures the first is returned: it
// belongs to the address that the resolver preferred.
func (d *Dialer) connect(ctx context.Context, host string, addrs []netip.Addr, port uint16, check func(netip.Addr, uint16) Rule) (net.Conn, error) {
	addrs = addrs[:min(len(addrs), maxAttempts)]
	var first error
	for i, a := range addrs {
		c, err := d.attempt(ctx, host, a, port, len(addrs)-i, check)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
		if denied := (*Denied)(nil); errors.As(err, &denied) || ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("connect to %s: %w", host, first)
}

// attempt connects to one address within its share of the time that is left.
func (d *Dialer) attempt(ctx context.Context, host string, a netip.Addr, port uint16, left int, check func(netip.Addr, uint16) Rule) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok {
		share := max(time.Until(end)/time.Duration(left), leastAttempt)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	nd := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		actual, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("read socket address %q: %w", address, err)
		}
		if r := check(actual.Addr().Unmap(), actual.Port()); r != "" {
			return &Denied{Host: host, Addr: actual.Addr().Unmap(), Port: actual.Port(), Rule: r}
		}
		return nil
	}}
	return nd.DialContext(ctx, "tcp", netip.AddrPortFrom(a, port).String())
}
