package stripe

import (
	"net/url"
	"strings"
)

// query is what the query of a read asks for, besides the object that the path names.
// It is read in every way that some server might: whatever has a second reading here
// is taken by the worse one.
type query struct {
	method bool   // to be carried out with another method
	secret string // of what reveals knows, to be shown: "number"; "?" where its spelling is broken
}

// readQuery reads the query of a GET or HEAD. It takes no memory where nothing is
// escaped.
func readQuery(raw string) (q query) {
	for rest := raw; rest != ""; {
		segment := rest
		if i := strings.IndexAny(rest, "&;"); i >= 0 {
			segment, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		name, value, _ := strings.Cut(segment, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		name = strings.TrimLeft(name, "[? \t\r\n")
		if i := strings.IndexAny(name, "[] \t\r\n\x00"); i >= 0 {
			name = name[:i]
		}
		switch {
		case strings.EqualFold(name, "_method"):
			// The first Stripe.js could send nothing but GETs, and made its writes of
			// them so.
			q.method = true
		case strings.EqualFold(name, "expand"), strings.EqualFold(name, "include"):
			if secret := secretIn(value); secret != "" {
				q.secret = secret
			}
		}
	}
	return q
}

// secretIn returns the secret that the value of an expand[] names, as it came.
func secretIn(value string) string {
	decoded, err := url.QueryUnescape(value)
	if err != nil {
		return "?"
	}
	for rest, more := decoded, true; more; {
		var path string
		path, rest, more = strings.Cut(rest, ",")
		last := lastOf(strings.TrimFunc(path, func(c rune) bool { return !isLetter(c) }))
		if i := strings.IndexFunc(last, func(c rune) bool { return c != '_' && !isLetter(c) }); i >= 0 {
			last = last[:i]
		}
		for _, secret := range secrets() {
			if strings.EqualFold(last, secret) {
				return secret
			}
		}
	}
	return ""
}

func isLetter(c rune) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
