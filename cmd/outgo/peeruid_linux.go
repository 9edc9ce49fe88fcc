package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// peerUID returns the user id of the local process whose end of a TCP connection
// to local has the address addr, as the kernel tells in /proc/net; false for a peer
// on another host. Both ends count: sockets of two users may share an address when
// they are connected to different places.
func peerUID(addr, local netip.AddrPort) (uint32, bool) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		uid, ok := findUID(bufio.NewScanner(f), addr, local)
		_ = f.Close() // it was only read
		if ok {
			return uid, true
		}
	}
	return 0, false
}

// findUID looks for the row of the peer's socket. Its columns are number, local
// address, remote address, state, queues, timer, retransmits, uid; state 01 is an
// established connection.
func findUID(rows *bufio.Scanner, addr, local netip.AddrPort) (uint32, bool) {
	for rows.Scan() {
		f := strings.Fields(rows.Text())
		if len(f) < 8 || f[3] != "01" || !isProcAddr(f[1], addr) || !isProcAddr(f[2], local) {
			continue
		}
		if uid, err := strconv.ParseUint(f[7], 10, 32); err == nil {
			return uint32(uid), true
		}
	}
	return 0, false
}

// isProcAddr reports whether s is a, as it stands or mapped into IPv6.
func isProcAddr(s string, a netip.AddrPort) bool {
	return a.IsValid() && (s == procAddr(a.Addr().Unmap(), a.Port()) || s == procAddr(netip.AddrFrom16(a.Addr().As16()), a.Port()))
}

// procAddr writes an address as /proc/net does: each 32-bit word in the order of
// the machine, in hex.
func procAddr(a netip.Addr, port uint16) string {
	var b strings.Builder
	raw := a.AsSlice()
	for i := 0; i < len(raw); i += 4 {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(raw[i:]))
	}
	fmt.Fprintf(&b, ":%04X", port)
	return b.String()
}
