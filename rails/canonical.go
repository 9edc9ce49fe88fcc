package rails

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/outgo/outgo/engine/spend"
)

// maxHost is the longest name that DNS can carry, in bytes, without a trailing dot.
const maxHost = 253

// CanonicalHost returns the one spelling in which hosts compare: lower case and
// without a trailing dot; IPv4 in dotted and IPv6 in bracketed form, as package
// netip writes them. The caller splits a port off first. What a resolver or a
// server could take for another host (an address in an odd base, a zone, user
// information, letters outside ASCII) is a *Refusal with code Ambiguous, what is
// no host at all one with code Malformed. It is idempotent.
func CanonicalHost(s string) (string, error) {
	if s == "" {
		return "", Refusef(spend.Malformed, "", "the host is empty")
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ' || c == 0x7f:
			return "", Refusef(spend.Malformed, "", "the host %.80q holds a space or a control byte", s)
		case c >= 0x80:
			return "", Refusef(spend.Ambiguous, "", "the host %.80q is not ASCII: write it in punycode", s)
		case c == '@' || c == '%' || c == '\\':
			return "", Refusef(spend.Ambiguous, "", "the host %.80q holds %q, behind which parsers see different hosts", s, c)
		}
	}
	lower := strings.ToLower(s)
	if lower[0] == '[' {
		return canonicalIPv6(lower)
	}
	name := strings.TrimSuffix(lower, ".")
	if len(name) > maxHost {
		return "", Refusef(spend.Malformed, "", "the host is longer than %d bytes", maxHost)
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if err := checkLabel(s, label); err != nil {
			return "", err
		}
	}
	// Browsers and C resolvers read a name whose last label is a number as an
	// IPv4 address, in any base and with any number of parts.
	if isNumber(labels[len(labels)-1]) {
		a, err := netip.ParseAddr(lower)
		if err != nil || a.String() != lower {
			return "", Refusef(spend.Ambiguous, "", "the host %.80q is an address in an odd spelling: write four decimal numbers", s)
		}
	}
	return name, nil
}

func checkLabel(host, label string) error {
	if label == "" {
		return Refusef(spend.Malformed, "", "the host %.80q has an empty label", host)
	}
	if len(label) > 63 {
		return Refusef(spend.Malformed, "", "the host has a label longer than 63 bytes")
	}
	if label[0] == '-' || label[len(label)-1] == '-' {
		return Refusef(spend.Malformed, "", "the host %.80q has a label that starts or ends with a hyphen", host)
	}
	for i := range len(label) {
		c := label[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return Refusef(spend.Malformed, "", "the host %.80q holds %q", host, c)
		}
	}
	return nil
}

// isNumber reports whether label is decimal, octal or hexadecimal, as inet_aton
// takes it.
func isNumber(label string) bool {
	if digits, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// canonicalIPv6 admits "[…]" around an address as netip writes it. An IPv4
// address mapped into IPv6 is the same host under another name, hence refused.
func canonicalIPv6(s string) (string, error) {
	inner, ok := strings.CutSuffix(s[1:], "]")
	a, err := netip.ParseAddr(inner)
	if !ok || err != nil || !a.Is6() {
		return "", Refusef(spend.Malformed, "", "the host %.80q is no bracketed IPv6 address", s)
	}
	if a.Is4In6() || a.String() != inner {
		return "", Refusef(spend.Ambiguous, "", "the host %.80q is an address in an odd spelling", s)
	}
	return s, nil
}

// CanonicalTarget splits the target of a request line in origin form into its
// path and its query, both as they came, and refuses every path that a server
// could route as another: it never rewrites one. A *Refusal with code Ambiguous
// means an alias (empty, dot or encoded segments, backslashes, path parameters,
// needless or double escapes, escapes of what is no UTF-8), one with code Malformed broken bytes. Of the query it
// checks only the bytes, since what they mean is the rail's to say. hasQuery
// tells "/x?" from "/x".
func CanonicalTarget(target string) (path, query string, hasQuery bool, err error) {
	if isPlainPath(target) {
		return target, "", false, nil
	}
	path, query, hasQuery = strings.Cut(target, "?")
	if err := checkPath(path); err != nil {
		return "", "", false, err
	}
	if err := checkQuery(query); err != nil {
		return "", "", false, err
	}
	return path, query, hasQuery, nil
}

func checkPath(path string) error {
	if path == "" || path[0] != '/' {
		return Refusef(spend.Malformed, "", "the request target %.80q does not start with '/'", path)
	}
	escaped := false
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case isUnreserved(c) || c == '/':
		case c == '%':
			if err := checkEscape(path, i); err != nil {
				return err
			}
			escaped = true
			i += 2
		case c == '\\' || c == ';':
			return Refusef(spend.Ambiguous, "", "the path %.80q holds %q, which servers read differently", path, c)
		case strings.IndexByte("!$&'()*+,=:@", c) < 0: // RFC 3986 admits these in a segment, and ';'
			return Refusef(spend.Malformed, "", "the path %.80q holds the byte %q, which must be percent-encoded or left out", path, c)
		}
	}
	if escaped {
		if whole, err := url.PathUnescape(path); err != nil || !utf8.ValidString(whole) {
			return Refusef(spend.Ambiguous, "", "the path %.80q encodes bytes that are no UTF-8, which servers read differently", path)
		}
	}
	for rest, more := path[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if segment == "" && more {
			return Refusef(spend.Ambiguous, "", "the path %.80q has an empty segment", path)
		}
		if segment == "." || segment == ".." {
			return Refusef(spend.Ambiguous, "", "the path %.80q has a dot segment", path)
		}
	}
	return nil
}

// isPlainPath reports whether a target is a path of letters, digits, '_', '-' and
// single slashes, as most are. There is nothing to mistake in those.
func isPlainPath(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	last := byte(0)
	for i := range len(path) {
		c := path[i]
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '_', c == '-':
		case c == '/' && last != '/':
		default:
			return false
		}
		last = c
	}
	return true
}

// checkEscape judges the escape that starts at path[i].
func checkEscape(path string, i int) error {
	if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
		return Refusef(spend.Malformed, "", "the path %.80q has a broken percent-escape", path)
	}
	c := unhex(path[i+1])<<4 | unhex(path[i+2])
	switch {
	case c < 0x20 || c == 0x7f:
		return Refusef(spend.Malformed, "", "the path %.80q holds an encoded control byte", path)
	case isUnreserved(c) || c == '/' || c == '\\':
		return Refusef(spend.Ambiguous, "", "the path %.80q encodes %q, which some servers decode before they route", path, c)
	case c == '%' && i+4 < len(path) && isHex(path[i+3]) && isHex(path[i+4]):
		return Refusef(spend.Ambiguous, "", "the path %.80q is encoded twice", path)
	}
	return nil
}

func checkQuery(query string) error {
	if query == "" {
		return nil
	}
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return Refusef(spend.Malformed, "", "the query holds the byte %q, which must be percent-encoded or left out", c)
		}
	}
	if _, err := url.PathUnescape(query); err != nil {
		return Refusef(spend.Malformed, "", "the query has a broken percent-escape")
	}
	return nil
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
