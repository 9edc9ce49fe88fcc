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
// has the address addr, as the kernel tells in /proc/net; false for a peer on
// another host.
func peerUID(addr netip.AddrPort) (uint32, bool) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		uid, ok := findUID(bufio.NewScanner(f), addr)
		_ = f.Close() // it was only read
		if ok {
			return uid, true
		}
	}
	return 0, false
}

// findUID looks for the row whose local address is addr. Its columns are number,
// local address, remote address, state, queues, timer, retransmits, uid.
func findUID(rows *bufio.Scanner, addr netip.AddrPort) (uint32, bool) {
	plain, mapped := procAddr(addr.Addr().Unmap(), addr.Port()), procAddr(netip.AddrFrom16(addr.Addr().As16()), addr.Port())
	for rows.Scan() {
		f := strings.Fields(rows.Text())
		if len(f) < 8 || f[1] != plain && f[1] != mapped {
			continue
		}
		if uid, err := strconv.ParseUint(f[7], 10, 32); err == nil {
			return uint32(uid), true
		}
	}
	return 0, false
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
