package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

const defaultMaxBody = 1 << 20

// route is a Route with its defaults.
type route struct {
	Route
	surface  string   // of the rail, in keys that tell repeats: "wire:stripe"
	previews []string // of the rail
}

// override is an Upstream, taken apart.
type override struct {
	addr  string // host:port
	tls   bool
	trust upstream.Trust
}

// table finds what is configured for a canonical host.
type table struct {
	exact     map[string]*route
	suffix    map[string]*route    // of "*.infura.io" under ".infura.io"
	overrides map[string]*override // by host without brackets
}

func newTable(routes []Route, upstreams map[string]Upstream) (table, error) {
	t := table{exact: map[string]*route{}, suffix: map[string]*route{}, overrides: map[string]*override{}}
	for _, r := range routes {
		if r.Rail == nil {
			return table{}, fmt.Errorf("read route of %q: it has no rail", r.Hosts)
		}
		if r.MaxBody <= 0 {
			r.MaxBody = defaultMaxBody
		}
		if r.Wait <= 0 {
			r.Wait = 25 * time.Second
		}
		entry := &route{Route: r, surface: "wire:" + r.Rail.Name()}
		if p, ok := r.Rail.(rails.Previewer); ok {
			entry.previews = p.Previews()
		}
		for _, name := range r.Hosts {
			in, rest := t.exact, name
			prefix := ""
			if wild, ok := strings.CutPrefix(name, "*."); ok {
				in, rest, prefix = t.suffix, wild, "."
			}
			host, err := rails.CanonicalHost(rest)
			if err != nil {
				return table{}, fmt.Errorf("read host %q of rail %s: %w", name, r.Rail.Name(), err)
			}
			if other, ok := in[prefix+host]; ok {
				return table{}, fmt.Errorf("read host %q of rail %s: it belongs to rail %s already", name, r.Rail.Name(), other.Rail.Name())
			}
			in[prefix+host] = entry
		}
	}
	for name, u := range upstreams {
		host, err := rails.CanonicalHost(name)
		if err != nil {
			return table{}, fmt.Errorf("read upstream of %q: %w", name, err)
		}
		if t.overrides[bare(host)], err = newOverride(u); err != nil {
			return table{}, fmt.Errorf("read upstream of %q: %w", name, err)
		}
	}
	return t, nil
}

func newOverride(u Upstream) (*override, error) {
	at, err := url.Parse(u.URL)
	if err != nil || at.Hostname() == "" || at.User != nil || strings.Trim(at.Path, "/") != "" || at.RawQuery != "" {
		return nil, fmt.Errorf("%q is not scheme://host[:port]", u.URL)
	}
	o := &override{}
	port := at.Port()
	switch at.Scheme {
	case "https":
		if port == "" {
			port = "443"
		}
		o.tls, o.trust = true, upstream.Trust{Roots: u.RootCAs, ServerName: u.ServerName}
		if u.ServerName == "" {
			o.trust.ServerName = at.Hostname()
		}
	case "http":
		if port == "" {
			port = "80"
		}
		if ip, err := netip.ParseAddr(at.Hostname()); at.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("%q carries credentials in the clear; use https, or a loopback address", u.URL)
		}
	default:
		return nil, fmt.Errorf("%q is neither http nor https", u.URL)
	}
	o.addr = net.JoinHostPort(at.Hostname(), port)
	return o, nil
}

// find returns the route that guards host, the most specific one, or nil.
func (t *table) find(host string) *route {
	if r := t.exact[host]; r != nil {
		return r
	}
	for rest := host; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			return nil
		}
		if r := t.suffix[rest[i:]]; r != nil {
			return r
		}
		rest = rest[i+1:]
	}
}

// plain reports whether calls to a guarded host may come without TLS.
func (t *table) plain(host string, r *route) bool { return r.Plain || t.overrides[bare(host)] != nil }

// key says which pool of connections a call uses.
func (p *Proxy) key(agent, host string, port uint16, plain bool) upstream.Key {
	k := upstream.Key{Host: bare(host), Port: port, TLS: !plain, Agent: agent}
	if o := p.table.overrides[k.Host]; o != nil {
		k.TLS = o.tls
	}
	return k
}

// dialUpstream connects to where the calls of a key really go.
func (p *Proxy) dialUpstream(ctx context.Context, k upstream.Key) (net.Conn, error) {
	if o := p.table.overrides[k.Host]; o != nil {
		return p.opt.Dialer.DialAddr(ctx, o.addr)
	}
	return p.opt.Dialer.Dial(ctx, k.Host, k.Port)
}

// trust says by what a provider is verified.
func (p *Proxy) trust(k upstream.Key) (upstream.Trust, error) {
	if o := p.table.overrides[k.Host]; o != nil {
		return o.trust, nil
	}
	return upstream.Trust{}, nil
}

// bare takes the brackets off an IPv6 address.
func bare(host string) string { return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]") }

// splitAuthority reads "host:port", or "host" where a default port is given, into
// a canonical host and a port.
func splitAuthority(s string, otherwise uint16) (string, uint16, error) {
	name, digits := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && i > strings.LastIndexByte(s, ']') {
		name, digits = s[:i], s[i+1:]
		if digits == "" {
			return "", 0, fmt.Errorf("%.80q ends in a colon", s)
		}
	}
	host, err := rails.CanonicalHost(name)
	if err != nil {
		return "", 0, err
	}
	if digits == "" {
		if otherwise == 0 {
			return "", 0, fmt.Errorf("%.80q names no port", s)
		}
		return host, otherwise, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || digits[0] < '1' || digits[0] > '9' {
		return "", 0, fmt.Errorf("%.80q names no port from 1 to 65535", s)
	}
	return host, uint16(n), nil
}
