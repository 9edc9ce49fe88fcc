package proxy

import (
	"encoding/base64"
	"net"
	"net/netip"
	"strings"
)

// identify names the agent by what its request says of itself (the values of
// Proxy-Authorization) and by where its connection comes from. It returns false when the
// answer must be 407.
func (p *Proxy) identify(credentials []string, conn net.Conn) (peer Peer, agent string, ok bool) {
	peer = Peer{Addr: addrPort(conn.RemoteAddr()), Local: addrPort(conn.LocalAddr())}
	switch len(credentials) {
	case 0:
		if p.opt.AuthRequired {
			return peer, "", false
		}
	case 1:
		if peer.User, peer.Password, ok = basic(credentials[0]); !ok {
			return peer, "", false
		}
		peer.HasCredentials = true
	default:
		return peer, "", false
	}
	agent, err := p.opt.Identify(peer)
	return peer, agent, err == nil && agent != ""
}

// still reports whether the credentials that a peer came in with name its agent
// now: a key ends while connections that it opened live on.
func (p *Proxy) still(peer *Peer, agent string) bool {
	if !peer.HasCredentials {
		return true
	}
	now, err := p.opt.Identify(*peer)
	return err == nil && now == agent
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// basic reads the credentials of RFC 7617.
func basic(value string) (user, password string, ok bool) {
	scheme, token, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(token))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(raw), ":")
}

const (
	keyRevoked = "the key with which this agent came in has been revoked or has expired"
	challenge  = `Basic realm="outgo"`
	whoAreYou  = "outgo does not know which agent this is, or the key is wrong.\n" +
		"Put the agent's name and key into the proxy address: HTTPS_PROXY=http://AGENT:KEY@HOST:PORT\n" +
		"`outgo keys create --role agent` makes a key; `outgo env` prints the whole environment.\n"
)
