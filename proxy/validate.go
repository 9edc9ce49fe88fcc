package proxy

import (
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// validate checks what the grammar of head leaves open and what a guarded call
// may not leave open: one method, one target, one host, one value of each header
// field that changes what the call means.
func validate(h *head, host string, port uint16) *rails.Refusal {
	switch {
	case !isMethod(h.method):
		return rails.Refusef(spend.UnrecognisedCall, "", "the method %.20q is not one of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, in upper case", h.method)
	case h.proto != "HTTP/1.1":
		return rails.Refusef(spend.Malformed, "", "guarded calls are made in HTTP/1.1, not in %s", h.proto)
	case (h.method == "GET" || h.method == "HEAD") && h.length != 0:
		return rails.Refusef(spend.Ambiguous, "Content-Length", "a %s has no body; put parameters into the query", h.method)
	}
	if r := checkHost(h, host, port); r != nil {
		return r
	}
	for i := range h.fields {
		name := h.fields[i].Name
		connection := same(name, "Connection")
		switch {
		case same(name, "Upgrade"), same(name, "HTTP2-Settings"), connection && hasListed(h.fields[i].Value, "upgrade"):
			return rails.Refusef(spend.Malformed, name, "guarded calls cannot change the protocol; leave out %s", name)
		case connection && !IsPlainConnection(h.fields[i].Value):
			// A field that Connection names ends here: it would be judged and not sent.
			return rails.Refusef(spend.Ambiguous, name, "Connection may say close or keep-alive, and names another field here; leave it out")
		case isAlias(name):
			return rails.Refusef(spend.Ambiguous, name, "%s is spelled with an underscore, which some servers take for a hyphen; leave it out", name)
		case isOverride(name):
			return rails.Refusef(spend.Ambiguous, name, "%s says something else than the request line; leave it out", name)
		case isSingle(name):
			if _, n := h.get(name); n > 1 {
				return rails.Refusef(spend.Ambiguous, name, "%s is given %d times; send it once", name, n)
			}
		}
	}
	return nil
}

// isOverride names the fields that change the method or the target.
func isOverride(name string) bool {
	return name[0]|0x20 == 'x' && equalsAny(name, "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL")
}

// isAlias reports whether servers that see fields as CGI's variables would take
// the field for one that frames the call or changes its meaning.
func isAlias(name string) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	taken := strings.ReplaceAll(name, "_", "-")
	return isSingle(taken) || isHop(taken) || isOverride(taken) || equalsAny(taken, "Host", "Content-Length")
}

// IsPlainConnection reports whether a value of Connection speaks of the connection
// only, and names no other field.
func IsPlainConnection(value string) bool {
	for option := range strings.SplitSeq(value, ",") {
		if o := strings.TrimSpace(option); o != "" && !(isToken(o) && equalsAny(o, "close", "keep-alive", "te")) {
			return false
		}
	}
	return true
}

// checkHost compares Host with the host of the tunnel, or of the target.
func checkHost(h *head, host string, port uint16) *rails.Refusal {
	value, n := h.get("Host")
	if n != 1 {
		return rails.Refusef(spend.Ambiguous, "Host", "Host is given %d times; send it once", n)
	}
	if value == host { // which is canonical, so that there is nothing to take apart
		return nil
	}
	named, namedPort, err := splitAuthority(value, port)
	if err != nil || named != host || namedPort != port {
		return rails.Refusef(spend.HostMismatch, "Host", "the call is made to %s, and Host says %.80q; both must be the same", authority(host, port, port == 80), value)
	}
	return nil
}

func isMethod(s string) bool {
	switch s {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}

// isSingle names the fields that may stand once only.
func isSingle(name string) bool {
	switch name[0] | 0x20 { // which tells most names apart
	case 's':
		return hasPrefixFold(name, "Stripe-")
	case 'o':
		return hasPrefixFold(name, "Outgo-")
	case 'c':
		return equalsAny(name, "Content-Type", "Content-Encoding")
	case 'a':
		return same(name, "Authorization")
	case 'i':
		return same(name, "Idempotency-Key")
	case 'e':
		return same(name, "Expect")
	}
	return false
}

// same compares two texts, whatever the case of their letters. One of them is ASCII,
// and so is the other when they are the same.
func same(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

func equalsAny(name string, names ...string) bool {
	for _, n := range names {
		if same(name, n) {
			return true
		}
	}
	return false
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// isHop reports whether a field is between two neighbours only and is never
// passed on: the connection's own, the proxy's, and claims made to outgo.
func isHop(name string) bool {
	if name == "" {
		return false
	}
	// The first letter tells most names apart.
	switch name[0] | 0x20 {
	case 'o':
		return hasPrefixFold(name, "Outgo-")
	case 'p':
		return hasPrefixFold(name, "Proxy-")
	case 'c':
		return same(name, "Connection")
	case 'k':
		return same(name, "Keep-Alive")
	case 't':
		return equalsAny(name, "TE", "Trailer", "Transfer-Encoding")
	case 'u':
		return same(name, "Upgrade")
	case 'h':
		return same(name, "HTTP2-Settings")
	}
	return false
}

// isNamedHop reports whether the values of Connection name a field, which makes
// it one that isHop would know.
func isNamedHop(fields []rails.Field, name string) bool {
	for i := range fields {
		if same(fields[i].Name, "Connection") && hasListed(fields[i].Value, name) {
			return true
		}
	}
	return false
}
