package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answers is a resolver whose n-th query gets the n-th answer, the last one
// for ever.
type answers struct {
	list  [][]string
	asked atomic.Int32
	names []string
}

func (r *answers) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	r.names = append(r.names, host)
	n := min(int(r.asked.Add(1))-1, len(r.list)-1)
	var as []netip.Addr
	for _, s := range r.list[n] {
		as = append(as, netip.MustParseAddr(s))
	}
	if len(as) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return as, nil
}

func TestCheck(t *testing.T) {
	d := New(Options{})
	for _, tc := range []struct {
		addr string
		rule Rule
	}{
		{"1.1.1.1", ""}, {"8.8.8.8", ""}, {"3.18.12.63", ""}, {"54.187.216.72", ""},
		{"2606:4700:4700::1111", ""}, {"2a00:1450:4001:80b::200e", ""}, {"2600:1f18::1", ""},
		{"0.0.0.0", Unspecified}, {"::", Unspecified}, {"::ffff:0.0.0.0", Unspecified},
		{"0.1.2.3", Reserved},
		{"127.0.0.1", Loopback}, {"127.0.0.2", Loopback}, {"127.255.255.254", Loopback},
		{"::1", Loopback}, {"::ffff:127.0.0.1", Loopback},
		{"10.0.0.1", Private}, {"10.255.255.255", Private}, {"9.255.255.255", ""}, {"11.0.0.0", ""},
		{"172.15.255.255", ""}, {"172.16.0.0", Private}, {"172.31.255.255", Private}, {"172.32.0.0", ""},
		{"192.168.0.1", Private}, {"192.167.255.255", ""}, {"192.169.0.0", ""}, {"::ffff:192.168.1.1", Private},
		{"fc00::1", Private}, {"fdff::1", Private},
		{"100.63.255.255", ""}, {"100.64.0.0", SharedSpace}, {"100.127.255.255", SharedSpace}, {"100.128.0.0", ""},
		{"169.254.0.1", LinkLocal}, {"169.253.255.255", ""}, {"fe80::1", LinkLocal}, {"febf::1", LinkLocal}, {"fec0::1", LinkLocal},
		{"169.254.169.254", Metadata}, {"::ffff:169.254.169.254", Metadata}, {"169.254.170.2", Metadata},
		{"fd00:ec2::254", Metadata}, {"fd20:ce::254", Metadata}, {"100.100.100.200", Metadata},
		{"192.0.0.192", Metadata}, {"168.63.129.16", Metadata},
		{"192.0.0.1", Protocol}, {"192.0.0.255", Protocol}, {"192.0.1.0", ""}, {"192.88.99.1", Protocol},
		{"192.0.2.1", Documentation}, {"198.51.100.7", Documentation}, {"203.0.113.9", Documentation}, {"2001:db8::1", Documentation}, {"3fff::1", Documentation},
		{"198.17.255.255", ""}, {"198.18.0.1", Benchmark}, {"198.19.255.255", Benchmark}, {"198.20.0.0", ""}, {"2001:2::1", Benchmark},
		{"224.0.0.1", Multicast}, {"239.255.255.255", Multicast}, {"ff02::1", Multicast},
		{"240.0.0.1", Reserved}, {"255.255.255.254", Reserved}, {"255.255.255.255", Broadcast},
		{"100::1", Reserved}, {"::2", Reserved}, {"::7f00:1", Reserved}, {"64:ff9b:1::1", Reserved}, {"5f00::1", Reserved}, {"4000::1", Reserved}, {"2001:20::1", Reserved},
		{"64:ff9b::7f00:1", Loopback}, {"64:ff9b::a00:1", Private}, {"64:ff9b::a9fe:a9fe", Metadata}, {"64:ff9b::101:101", ""},
		{"2002:7f00:1::1", Loopback}, {"2002:a00:1::1", Private}, {"2002:a9fe:a9fe::1", Metadata}, {"2002:101:101::1", ""},
		{"2001:0:7f00:1:0:0:fefe:fefe", Loopback}, // Teredo with a loopback server
		{"2001:0:101:101::80ff:fffe", Loopback},   // Teredo client 127.0.0.1, inverted
		{"2001:0:101:101::5601:5601", Metadata},   // Teredo client 169.254.169.254, inverted
		{"2001:0:101:101:0:0:fefe:fefe", ""},      // Teredo client 1.1.1.1
		{"2001:0:101:101:0:0:f5ff:fffe", Private}, // Teredo client 10.0.0.1
		{"::ffff:100.64.0.1", SharedSpace},        // mapped
		{"::ffff:8.8.8.8", ""},                    // mapped and public
	} {
		if got := d.Check(netip.MustParseAddr(tc.addr), 443); got != tc.rule {
			t.Errorf("%s: rule %q, want %q", tc.addr, got, tc.rule)
		}
	}
	if got := d.Check(netip.MustParseAddr("fe80::1%eth0"), 443); got != Zoned {
		t.Errorf("zone: rule %q", got)
	}
	if got := d.Check(netip.Addr{}, 443); got == "" {
		t.Error("the zero address passed")
	}
}

func TestAllowLiftsTheTableAndNothingMore(t *testing.T) {
	everything := New(Options{
		Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
		Self:  []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8081"), netip.MustParseAddrPort("[::ffff:10.1.2.3]:8080"), netip.MustParseAddrPort("0.0.0.0:9000")},
	})
	some := New(Options{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:192.168.7.0/120")}})
	for _, tc := range []struct {
		d    *Dialer
		addr string
		rule Rule
	}{
		{everything, "127.0.0.1:8545", ""}, {everything, "10.0.0.1:443", ""}, {everything, "[fd00::1]:443", ""},
		{everything, "169.254.169.254:80", Metadata}, {everything, "[fd00:ec2::254]:80", Metadata}, {everything, "[64:ff9b::a9fe:a9fe]:80", Metadata},
		{everything, "0.0.0.0:443", Unspecified}, {everything, "[::]:443", Unspecified}, {everything, "224.0.0.1:443", Multicast}, {everything, "255.255.255.255:443", Broadcast},
		{everything, "127.0.0.1:8081", Self}, {everything, "[::ffff:127.0.0.1]:8081", Self}, {everything, "0.0.0.0:8081", Self}, {everything, "127.0.0.1:8082", ""},
		{everything, "10.1.2.3:8080", Self}, {everything, "10.1.2.4:8080", ""},
		{everything, "127.0.0.9:9000", Self}, {everything, "[::1]:9000", Self}, {everything, "8.8.8.8:9000", ""},
		{some, "10.1.1.1:443", ""}, {some, "[64:ff9b::a01:101]:443", ""}, {some, "192.168.7.9:443", ""}, {some, "192.168.8.9:443", Private}, {some, "172.16.0.1:443", Private},
	} {
		ap := netip.MustParseAddrPort(tc.addr)
		if got := tc.d.Check(ap.Addr(), ap.Port()); got != tc.rule {
			t.Errorf("%s: rule %q, want %q", tc.addr, got, tc.rule)
		}
	}
}

func TestDialRefusesNamesThatAreNone(t *testing.T) {
	r := &answers{list: [][]string{{"1.1.1.1"}}}
	d := New(Options{Resolver: r})
	for _, host := range []string{"", ".", "127.1", "0x7f000001", "2130706433", "017700000001", "a..b", "a b", "user@host", "a/b", "a\x00b", "[::1]", "host:80", "fe80::1%25lo", "fe80::1%lo", strings.Repeat("a", 64) + ".com", "ex\u00e4mple.com"} {
		_, err := d.Dial(t.Context(), host, 443)
		var denied *Denied
		if !errors.As(err, &denied) {
			t.Errorf("%q: %v, want a *Denied", host, err)
		}
	}
	if n := r.asked.Load(); n != 0 {
		t.Errorf("the resolver was asked %d times", n)
	}
}

func TestOneInternalAddressRefusesTheWholeAnswer(t *testing.T) {
	r := &answers{list: [][]string{{"1.1.1.1", "::ffff:10.0.0.1"}}}
	_, err := New(Options{Resolver: r}).Dial(t.Context(), "mixed.example", 443)
	var denied *Denied
	if !errors.As(err, &denied) || denied.Rule != Private || denied.Addr.String() != "10.0.0.1" {
		t.Fatalf("got %v", err)
	}
	if want := "refuse to dial mixed.example: 10.0.0.1:443 is a private address"; err.Error() != want {
		t.Errorf("message %q, want %q", err, want)
	}
	if r.names[0] != "mixed.example." {
		t.Errorf("resolver was asked for %q: search domains apply", r.names[0])
	}
}

// listen accepts and closes connections, and counts them.
func listen(t *testing.T, addr string) (netip.AddrPort, *atomic.Int32) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("cannot listen on %s: %v", addr, err)
	}
	t.Cleanup(func() { ln.Close() })
	n := new(atomic.Int32)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(ln.Addr().String()), n
}

func TestRebindingNeverReachesTheSecondAnswer(t *testing.T) {
	// The first answer passes, the second points at a service on loopback. The
	// judged address is the dialled one, so the second answer is never used.
	good, _ := listen(t, "127.0.0.2:0")
	r := &answers{list: [][]string{{"127.0.0.2"}, {"127.0.0.1"}}}
	d := New(Options{Resolver: r, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}})
	c, err := d.Dial(t.Context(), "rebind.example", good.Port())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.RemoteAddr().String(); got != good.String() {
		t.Errorf("connected to %s", got)
	}
	c.Close()
	if n := r.asked.Load(); n != 1 {
		t.Errorf("one dial asked the resolver %d times", n)
	}
	var denied *Denied
	if _, err = d.Dial(t.Context(), "rebind.example", good.Port()); !errors.As(err, &denied) || denied.Rule != Loopback {
		t.Errorf("after the answer changed: %v", err)
	}
}

func TestControlJudgesTheActualAddress(t *testing.T) {
	// connect is given an address that the table was never asked about.
	ap, n := listen(t, "127.0.0.1:0")
	d := New(Options{})
	_, err := d.connect(t.Context(), "x.example", []netip.Addr{ap.Addr()}, ap.Port(), d.Check)
	var denied *Denied
	if !errors.As(err, &denied) || denied.Rule != Loopback {
		t.Fatalf("got %v", err)
	}
	if n.Load() != 0 {
		t.Error("a connection was made")
	}
}

func TestDeadAddressesAreSkippedInOrder(t *testing.T) {
	ap, _ := listen(t, "127.0.0.3:0")
	r := &answers{list: [][]string{{"127.0.0.4", "127.0.0.5", "127.0.0.3"}}}
	d := New(Options{Resolver: r, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	c, err := d.Dial(t.Context(), "many.example", ap.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.RemoteAddr().String(); got != ap.String() {
		t.Errorf("connected to %s, want %s", got, ap)
	}
}

func TestDialAddrSkipsTheTableButNotSelf(t *testing.T) {
	ap, _ := listen(t, "127.0.0.1:0")
	c, err := New(Options{}).DialAddr(t.Context(), ap.String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	d := New(Options{Self: []netip.AddrPort{ap}, Resolver: &answers{list: [][]string{{"127.0.0.1"}}}})
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1", "0.0.0.0"} {
		var denied *Denied
		_, err := d.DialAddr(t.Context(), net.JoinHostPort(host, portOf(ap)))
		if !errors.As(err, &denied) || denied.Rule != Self {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, bad := range []string{"nonsense", "host:", "host:0", "host:99999", "host:http"} {
		if _, err := d.DialAddr(t.Context(), bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func portOf(ap netip.AddrPort) string { _, p, _ := net.SplitHostPort(ap.String()); return p }

type slow struct{}

func (slow) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTimeoutCoversTheLookup(t *testing.T) {
	_, err := New(Options{Resolver: slow{}, Timeout: 20 * time.Millisecond}).Dial(t.Context(), "slow.example", 443)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"api.stripe.com", "127.1", "::1", "0x7f.1", "a..b", "1.1.1.1."} {
		f.Add(s)
	}
	d := New(Options{Resolver: &answers{list: [][]string{{"127.0.0.1"}}}})
	f.Fuzz(func(t *testing.T, host string) {
		a, err := netip.ParseAddr(host)
		if err == nil && d.Check(a, 443) == "" {
			return // A public literal: dialling it would leave this host.
		}
		if c, err := d.Dial(t.Context(), host, 443); err == nil {
			c.Close()
			t.Fatalf("%q was dialled although it resolves to loopback", host)
		}
	})
}
