package stripe

import (
	"cmp"
	"net/url"
	"strings"
)

// query is what the query of a read asks for, besides the object that the path names.
// It is read in every way that some server might: whatever has a second reading here
// is taken by the worse one.
type query struct {
	method bool   // to be carried out with another method
	secret string // of what reveals knows, to be shown: "number"; "?" where its spelling is broken
	client string // of clients, an object to be shown with its client_secret: "payment_intent"
}

// readQuery reads the query of a GET or HEAD. It takes no memory where nothing is
// escaped.
func readQuery(raw string) (q query) {
	q.read(raw, "&;")
	if strings.Contains(raw, ";") {
		q.read(raw, "&") // for some servers a ';' is a part of the value
	}
	return q
}

// read adds what a query asks for whose parameters these separators part.
func (q *query) read(raw, separators string) {
	for rest := raw; rest != ""; {
		segment := rest
		if i := strings.IndexAny(rest, separators); i >= 0 {
			segment, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		name, value, _ := strings.Cut(segment, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		// Servers strip what is no letter from around a name, or end it there.
		name = strings.TrimLeftFunc(name, endsWord)
		sub := ""
		if i := strings.IndexFunc(name, endsWord); i >= 0 {
			name, sub = name[:i], name[i:]
		}
		switch {
		case strings.EqualFold(name, "_method"):
			// The first Stripe.js could send nothing but GETs, and made its writes of
			// them so.
			q.method = true
		case strings.EqualFold(name, "expand"), strings.EqualFold(name, "include"):
			secret, client := shownBy(value)
			q.secret, q.client = cmp.Or(secret, secretIn(sub), q.secret), cmp.Or(client, q.client)
		}
	}
}

// shownBy returns what the value of an expand[] names, as it came: a secret, where a
// path ends in one, and an object with a client_secret, wherever one is on the way.
func shownBy(value string) (secret, client string) {
	decoded, err := url.QueryUnescape(value)
	if err != nil {
		return "?", ""
	}
	return secretIn(decoded), clientOn(decoded)
}

// secretIn returns a secret that a value of expand[], decoded, names; "" for none.
func secretIn(expand string) string {
	for _, s := range secrets() {
		if endsIn(expand, s) {
			return s
		}
	}
	return ""
}

// clients are the fields of objects that show a client_secret when they are expanded.
// An invoice's confirmation_secret is its payment intent's.
func clients() [5]string {
	return [...]string{"payment_intent", "confirmation_secret", "setup_intent", "pending_setup_intent", "checkout_session"}
}

// clientOn returns the first of clients that paths of an expand[] go through.
func clientOn(path string) string {
	for rest := path; rest != ""; {
		n := strings.IndexFunc(rest, endsWord)
		if n < 0 {
			n = len(rest)
		}
		for _, client := range clients() {
			if strings.EqualFold(rest[:n], client) {
				return client
			}
		}
		rest = rest[min(n+1, len(rest)):]
	}
	return ""
}

// showing returns the operation that shows an object of clients by itself.
func showing(client string) *listing {
	path := "/v1/payment_intents"
	switch client {
	case "setup_intent", "pending_setup_intent":
		path = "/v1/setup_intents"
	case "checkout_session":
		path = "/v1/checkout/sessions"
	}
	op, _, _ := find("api.stripe.com", "GET", path)
	return op
}

// endsWord reports whether a character stands in no name of Stripe's.
func endsWord(c rune) bool { return c != '_' && !isLetter(c) }

func isLetter(c rune) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
