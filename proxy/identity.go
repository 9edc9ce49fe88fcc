package proxy

import (
	"encoding/base64"
	"net"
	"net/netip"
	"strings"
)

// identify names the agent by what its request says of itself (the values of
// Proxy-Authorization) and by where it comes from. It returns false when the
// answer must be 407.
func (p *Proxy) identify(credentials []string, from net.Addr) (agent string, ok bool) {
	peer := Peer{}
	if t, isTCP := from.(*net.TCPAddr); isTCP {
		a := t.AddrPort()
		peer.Addr = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	switch len(credentials) {
	case 0:
		if p.opt.AuthRequired {
			return "", false
		}
	case 1:
		if peer.User, peer.Password, ok = basic(credentials[0]); !ok {
			return "", false
		}
		peer.HasCredentials = true
	default:
		return "", false
	}
	agent, err := p.opt.Identify(peer)
	return agent, err == nil && agent != ""
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
	challenge = `Basic realm="outgo"`
	whoAreYou = "outgo does not know which agent this is, or the key is wrong.\n" +
		"Put the agent's name and key into the proxy address: HTTPS_PROXY=http://AGENT:KEY@HOST:PORT\n" +
		"`outgo keys create --role agent` makes a key; `outgo env` prints the whole environment.\n"
)
