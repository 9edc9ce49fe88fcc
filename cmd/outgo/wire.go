package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/rails"
)

// The rules in this file are those of the proxy's grammar for what a call says
// before any rail looks at it, applied to a call that did not come over a wire.

// location is a URL taken apart, its path and query untouched.
type location struct {
	tls    bool
	host   string // canonical
	port   string // "" where the URL has none
	target string // as it would stand on the request line
}

// locate takes a URL apart by hand, because a library would mend what is to be
// judged.
func locate(url string, webSocket bool) (location, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return location{}, rails.Refusef(spend.Malformed, "", "%.80q is not an absolute URL", url)
	}
	var l location
	switch scheme = strings.ToLower(scheme); {
	case scheme == "https", scheme == "wss" && webSocket:
		l.tls = true
	case scheme == "http", scheme == "ws" && webSocket:
	default:
		return location{}, rails.Refusef(spend.Malformed, "", "%.20q is not a scheme that outgo knows", scheme)
	}
	end := strings.IndexAny(rest, `/?#\`)
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if l.target = rest[end:]; l.target == "" {
		l.target = "/"
	}
	var err error
	l.host, l.port, err = splitHost(authority)
	return l, err
}

// splitHost splits "host" or "host:port" and canonicalises the host.
func splitHost(authority string) (host, port string, err error) {
	name := authority
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && i > strings.LastIndexByte(authority, ']') {
		name, port = authority[:i], authority[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
			return "", "", rails.Refusef(spend.Malformed, "", "%.80q does not end in a port from 1 to 65535", authority)
		}
	}
	host, err = rails.CanonicalHost(name)
	return host, port, err //nolint:wrapcheck // a refusal says it all
}

// hostHeader returns the canonical host that the Host header names, and its port,
// both "" without one.
func hostHeader(c *seenCall) (host, port string, err error) {
	hosts := values(c.header, "Host")
	switch len(hosts) {
	case 0:
		return "", "", nil
	case 1:
		return splitHost(hosts[0])
	}
	return "", "", rails.Refusef(spend.Ambiguous, "Host", "the request has %d Host header fields; it must have one", len(hosts))
}

// values returns every value of the header field name.
func values(header []rails.Field, name string) []string {
	c := rails.Call{Header: header}
	return c.Values(name)
}

// single names the fields of which a second line could be read instead of the
// first.
func single(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "stripe-") || strings.HasPrefix(name, "outgo-") || slices.Contains([]string{
		"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "authorization",
		"idempotency-key", "expect",
	}, name)
}

// checkHead judges method and header fields.
func checkHead(c *seenCall) error {
	if !isToken(c.method) {
		return rails.Refusef(spend.Malformed, "", "%.40q is not the name of a method", c.method)
	}
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, c.method) {
		return rails.Refusef(spend.UnrecognisedCall, "", "the method %.40q is not accepted on a guarded host; methods are written in capital letters", c.method)
	}
	if coded := len(values(c.header, "Transfer-Encoding")) > 0; (c.method == "GET" || c.method == "HEAD") && (len(c.body) > 0 || coded) && !c.webSocket {
		return rails.Refusef(spend.Ambiguous, "", "a %s has no body; put parameters into the query", c.method)
	}
	size := len(c.url)
	for _, f := range c.header {
		size += len(f.Name) + len(f.Value) + len(": \r\n")
	}
	if len(c.header) > proxy.MaxFields || size > proxy.MaxHead {
		return rails.Refusef(spend.TooLarge, "", "the head has %d fields and about %d bytes; at most %d and %d are read", len(c.header), size, proxy.MaxFields, proxy.MaxHead)
	}
	seen := make(map[string]bool)
	for _, f := range c.header {
		if !isToken(f.Name) {
			return rails.Refusef(spend.Malformed, "", "%.40q is not the name of a header field", f.Name)
		}
		for i := range len(f.Value) {
			if b := f.Value[i]; b < ' ' && b != '\t' || b == 0x7f {
				return rails.Refusef(spend.Malformed, f.Name, "the header field %.40q contains a control character", f.Name)
			}
		}
		name := strings.ToLower(f.Name)
		if seen[name] && single(name) {
			return rails.Refusef(spend.Ambiguous, f.Name, "the header field %.40q is given more than once", f.Name)
		}
		seen[name] = true
		switch name {
		case "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url":
			return rails.Refusef(spend.Ambiguous, f.Name, "%s says something else than the request line; leave it out", f.Name)
		case "trailer":
			return rails.Refusef(spend.Ambiguous, f.Name, "trailer fields are not accepted; send them in the head")
		case "upgrade", "http2-settings", "connection":
			if !c.webSocket && (name != "connection" || strings.Contains(strings.ToLower(f.Value), "upgrade")) {
				return rails.Refusef(spend.Malformed, f.Name, "guarded calls cannot change the protocol; leave out %s", f.Name)
			}
			if !c.webSocket && !proxy.IsPlainConnection(f.Value) {
				return rails.Refusef(spend.Ambiguous, f.Name, "Connection names another header field, which would end here; leave it out")
			}
		case "expect":
			if !strings.EqualFold(f.Value, "100-continue") {
				return rails.Refusef(spend.Malformed, f.Name, "the only Expect understood is 100-continue")
			}
		}
	}
	return checkFraming(c)
}

// checkFraming judges what the header says about the end of the body.
func checkFraming(c *seenCall) error {
	lengths, codings := values(c.header, "Content-Length"), values(c.header, "Transfer-Encoding")
	switch {
	case len(lengths) > 0 && len(codings) > 0:
		return rails.Refusef(spend.Ambiguous, "Transfer-Encoding", "the request has both Content-Length and Transfer-Encoding; send one")
	case len(codings) > 0 && !strings.EqualFold(codings[0], "chunked"):
		return rails.Refusef(spend.Ambiguous, "Transfer-Encoding", "the only Transfer-Encoding understood is \"chunked\", once")
	case len(lengths) == 0:
		return nil
	}
	n, err := strconv.ParseUint(lengths[0], 10, 62)
	if err != nil {
		return rails.Refusef(spend.Malformed, "Content-Length", "Content-Length %.30q is not a number of bytes", lengths[0])
	}
	if n != uint64(len(c.body)) {
		return rails.Refusef(spend.Ambiguous, "Content-Length", "Content-Length is %d, but the body has %d bytes", n, len(c.body))
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
