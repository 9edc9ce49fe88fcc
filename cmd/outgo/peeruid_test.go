//go:build linux

package main

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

func TestAPeersUserIsThatOfItsOwnSocket(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer, local := c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
	if uid, ok := peerUID(peer, local); !ok || int(uid) != os.Getuid() {
		t.Errorf("user %d, %v; want %d", uid, ok, os.Getuid())
	}
	elsewhere := netip.AddrPortFrom(local.Addr(), local.Port()^1)
	if uid, ok := peerUID(peer, elsewhere); ok {
		t.Errorf("a socket connected to another place was taken for the peer's (user %d)", uid)
	}
}

// Two users' sockets may share an address while they are connected to different
// places, and closed connections linger under user 0.
func TestOnlyTheRowOfBothEndsCounts(t *testing.T) {
	peer, local := netip.MustParseAddrPort("127.0.0.1:51102"), netip.MustParseAddrPort("127.0.0.1:8080")
	row := func(from, to netip.AddrPort, state, uid string) string {
		return "1: " + procAddr(from.Addr(), from.Port()) + " " + procAddr(to.Addr(), to.Port()) + " " + state + " 00000000:00000000 00:00000000 00000000 " + uid + " 0 1\n"
	}
	table := row(peer, netip.MustParseAddrPort("127.0.0.1:5432"), "01", "1000") + row(peer, local, "06", "0") + row(peer, local, "01", "1001")
	if uid, ok := findUID(bufio.NewScanner(strings.NewReader(table)), peer, local); !ok || uid != 1001 {
		t.Errorf("user %d, %v; want 1001", uid, ok)
	}
}
