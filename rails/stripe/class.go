package stripe

import (
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/spend"
)

// condition says of which class a call is that has a parameter, or one below it, or
// has it with a value. The parameter "*" is always there, and before with all API
// versions below the value.
type condition struct {
	class        spend.Class
	param, value string
}

// classOf says of which class a call of the operation is that has these parameters
// and this Stripe-Version, "" without one: then it is the account's, which may be of
// any age. A parameter that Stripe does not describe makes it what the operation is
// at worst: older API versions have others, such as account_balance for balance.
func (l *listing) classOf(all []pair, version string) spend.Class {
	if len(l.when) == 0 {
		return l.class
	}
	if l.when[0].param == expansion {
		return l.class // A read is taken for this one by what readQuery has found.
	}
	class := spend.Other
	for i := range l.when {
		if c := &l.when[i]; c.met(all, version) {
			class = c.class
			break
		}
	}
	if class == l.class || l.known == nil {
		return class
	}
	for i := range all {
		if _, known := slices.BinarySearch(l.known, all[i].top()); !known {
			return l.class
		}
	}
	return class
}

const (
	expansion = "expand[]" // the parameter that asks for more of an object than is shown
	before    = "version<"
)

// met reports whether a call with these parameters and this version is meant.
func (c *condition) met(all []pair, version string) bool {
	switch c.param {
	case "*":
		return true
	case before:
		return version < c.value
	}
	for i := range all {
		p := &all[i]
		switch {
		case p.isWithin(c.param):
			if c.value == "" {
				return true
			}
		case p.name != c.param:
		case c.value != "":
			return p.text() == c.value
		case p.kind != jsonNone:
			return p.kind != jsonBoolean || p.value != "false" // null may mean the default
		default:
			return p.text() != "" && p.text() != "false"
		}
	}
	return false
}

// reveals reports whether what an expand names shows its reader a card number, the
// code on its back, an account number, or a secret in plain text. Those may be
// reached from any object that leads to them: a charge leads to no issued card, but
// an authorization does.
func reveals(expand string) bool { return secretIn(expand) != "" }

// endsIn reports whether a decoded value of expand[] may be read as a path that ends
// in a field, or a list of paths with such a one: in whatever case, and with anything
// around it but letters.
func endsIn(expand, field string) bool {
	for rest, more := expand, true; more; {
		var path string
		path, rest, more = strings.Cut(rest, ",")
		last := lastOf(strings.TrimFunc(path, func(c rune) bool { return !isLetter(c) }))
		if i := strings.IndexFunc(last, endsWord); i >= 0 {
			last = last[:i]
		}
		if strings.EqualFold(last, field) {
			return true
		}
	}
	return false
}

// secrets are the fields that give away a way to spend, or to make outgo believe what
// Stripe has not said, and are shown to those only who ask for them: by expand[] under
// /v1, by include under /v2.
func secrets() [7]string {
	return [...]string{"number", "cvc", "account_number", "iban", "clabe", "payload", "signing_secret"}
}

// revealing returns the operation that shows a secret, by whichever object it is
// reached.
func revealing(secret string) *listing {
	path := "/v1/issuing/cards"
	switch secret {
	case "account_number", "iban", "clabe":
		path = "/v1/treasury/financial_accounts"
	case "payload", "signing_secret":
		path = "/v1/apps/secrets"
	}
	op, _, _ := find("api.stripe.com", "GET", path)
	return op
}

// lastOf returns what a path of expand[] ends in.
func lastOf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
