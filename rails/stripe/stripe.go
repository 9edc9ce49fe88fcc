// Package stripe reads Stripe's API calls (rails.Rail). In the order in which
// the data flows: route names the operation by method and path; readHead admits
// the headers and takes from them mode, acting account, key and claims; parseForm
// admits the one bucket of query and body parameters if it has exactly one
// reading; an operation makes a leg of it, or the lookups without which the
// amount is unknown; facts are read strictly; outcome reads the receipt off the
// reply; Refuse words outgo's own answers so that the SDKs raise them.
//
// A write that is not listed in operations.go is of class Unrecognised: nothing
// is guessed from a likeness to a known path.
package stripe

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// replayable is how long Stripe answers a key with the reply that it gave
// first, an hour short of the 24 that its documentation promises.
const replayable = 23 * time.Hour

// Options are what an operator may say about Stripe.
type Options struct {
	// Categories names the category of an operation ("payouts.create": "payout")
	// where the call claims none.
	Categories map[string]string
	// Hosts serve the API besides api.stripe.com, such as a gateway in front of it.
	Hosts []string
}

// Rail understands Stripe. It holds no state and is safe for concurrent use.
type Rail struct {
	categories map[string]string
	hosts      []string
}

var _ rails.Rail = (*Rail)(nil)

// New returns the rail.
func New(o Options) *Rail {
	r := &Rail{categories: map[string]string{}, hosts: append([]string{"api.stripe.com"}, o.Hosts...)}
	for operation, category := range o.Categories {
		r.categories[operation] = normalCategory(category)
	}
	return r
}

// Name returns "stripe".
func (r *Rail) Name() string { return "stripe" }

// siblings are the hosts of Stripe that take calls but not those of the API
// proper (its SDKs' base addresses, and its MCP server).
func siblings() []string {
	return []string{"files.stripe.com", "connect.stripe.com", "meter-events.stripe.com", "mcp.stripe.com"}
}

// Match says Read for a GET or HEAD on a canonical path of a known host whose query
// names no other method, the class of the operation for a write that is listed, and
// Unrecognised otherwise.
// A payment intent is created with or without a charge, so its creation is a
// Spend here.
func (r *Rail) Match(c *rails.Call) spend.Class {
	api := slices.Contains(r.hosts, c.Host)
	if !api && !slices.Contains(siblings(), c.Host) || c.WebSocket {
		return spend.Unrecognised
	}
	if _, _, _, err := rails.CanonicalTarget(c.Path); err != nil {
		return spend.Unrecognised
	}
	if c.Method == "GET" || c.Method == "HEAD" {
		if namesMethod(c.Query) {
			return spend.Unrecognised
		}
		return spend.Read
	}
	if op, _, err := route(c.Method, c.Path); api && err == nil {
		return op.class
	}
	return spend.Unrecognised
}

// Intent reads a whole call; see rails.Rail. Beside a *rails.Refusal it returns
// errors of kind spend.Unavailable, for a fact that does not say what it should.
func (r *Rail) Intent(c *rails.Call, facts []rails.Fact) (rails.Judgement, error) {
	op, id, err := r.admit(c)
	if err != nil {
		return rails.Judgement{}, err
	}
	j := rails.Judgement{Intent: spend.Intent{Rail: "stripe", Network: "stripe", Operation: op.name, Class: op.class}}
	if op.class == spend.Read {
		j.Query, j.Body = c.Query, c.Body
		return j, nil
	}
	var h head
	if err := h.read(c); err != nil {
		return rails.Judgement{}, err
	}
	var room [usualPairs]pair
	f, err := parseForm(room[:0], c.Query, string(c.Body))
	if err != nil {
		return rails.Judgement{}, err
	}
	if err := f.refuseReserved(); err != nil {
		return rails.Judgement{}, err
	}
	if err := mergeClaims(&h.claims, &f); err != nil {
		return rails.Judgement{}, err
	}
	in := &j.Intent
	in.Mode, in.ActingAccount, in.Claims = h.mode, h.account, h.claims
	// Bytes that equal the canonical encoding are the agent's own.
	j.Query, j.Body, j.Canonical = encode(f.query, c.Query), encode(f.body, c.Body), f.appendCanonical(c.Room[:0])
	j.Key, j.KeyHeader, j.Version, j.Replayable = h.key, "Idempotency-Key", h.version, replayable
	if op.class != spend.Unrecognised {
		x := reading{id: id, version: h.version, facts: facts}
		e, err := x.effect(op.name, &f)
		if err != nil {
			return rails.Judgement{}, err
		}
		in.Class, in.Object, in.Legs, j.Lookups = e.class, e.object, e.legs, e.lookups
		r.describe(in)
	}
	if len(c.Body) > maxShared {
		unshare(in)
	}
	return j, nil
}

// maxShared is the longest body, in bytes, that an intent may keep in memory by
// being made of parts of it.
const maxShared = 4 << 10

// unshare gives an intent memory of its own for what comes from the body.
func unshare(in *spend.Intent) {
	c := &in.Claims
	c.Merchant, c.Category, c.Request = strings.Clone(c.Merchant), strings.Clone(c.Category), spend.ID(strings.Clone(string(c.Request)))
	for i := range in.Legs {
		leg := &in.Legs[i]
		leg.Payee, leg.Merchant, leg.Category = strings.Clone(leg.Payee), strings.Clone(leg.Merchant), strings.Clone(leg.Category)
	}
}

// admit refuses what is no call to Stripe at all and names the operation of the
// rest, with the id in its path.
func (r *Rail) admit(c *rails.Call) (operation, string, error) {
	target := c.Path
	if c.HasQuery || c.Query != "" {
		target += "?" + c.Query
	}
	if path, _, _, err := rails.CanonicalTarget(target); err != nil {
		return operation{}, "", err
	} else if path != c.Path {
		return operation{}, "", rails.Refusef(spend.Malformed, "", "the path %.80q holds a query", c.Path)
	}
	api := slices.Contains(r.hosts, c.Host)
	switch {
	case c.WebSocket:
		return operation{}, "", rails.Refusef(spend.UnrecognisedCall, "", "Stripe has no WebSocket API")
	case !api && !slices.Contains(siblings(), c.Host):
		return operation{}, "", rails.Refusef(spend.UnrecognisedCall, "", "the host %.80q is not known to serve Stripe's API; use api.stripe.com", c.Host)
	case (c.Method == "GET" || c.Method == "HEAD") && namesMethod(c.Query):
		return operation{}, "", rails.Refusef(spend.Ambiguous, "_method", "the query of a %s names another method, with which some servers carry it out; leave out _method", c.Method)
	case c.Method == "GET" || c.Method == "HEAD":
		return operation{name: "read", class: spend.Read}, "", nil
	case !slices.Contains([]string{"POST", "DELETE", "PUT", "PATCH"}, c.Method):
		return operation{}, "", rails.Refusef(spend.UnrecognisedCall, "", "Stripe's API has no method %.20q", c.Method)
	case !api:
		return unrecognised(), "", nil
	}
	return route(c.Method, c.Path)
}

// namesMethod reports whether a query has a parameter _method, however it is spelled.
// The first Stripe.js could send nothing but GETs, and made its writes of them so.
func namesMethod(query string) bool {
	for rest := query; rest != ""; {
		segment := rest
		if i := strings.IndexAny(rest, "&;"); i >= 0 {
			segment, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		name, _, _ := strings.Cut(segment, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		name = strings.TrimLeft(name, "[? \t\r\n")
		if i := strings.IndexAny(name, "[] \t\r\n\x00"); i >= 0 {
			name = name[:i]
		}
		if strings.EqualFold(name, "_method") {
			return true
		}
	}
	return false
}

// describe fills in what the operation does not tell of its legs from the wire.
func (r *Rail) describe(in *spend.Intent) {
	for i := range in.Legs {
		leg := &in.Legs[i]
		if in.Claims.Merchant != "" {
			leg.Merchant, leg.ClaimedMerchant = in.Claims.Merchant, true
		}
		if in.Claims.Category != "" {
			leg.Category, leg.ClaimedCategory = in.Claims.Category, true
		} else {
			leg.Category = r.categories[in.Operation]
		}
		if leg.Kind == spend.Charge && leg.Payee == "" {
			// A Connect call charges for the account that acts, the last of a context.
			leg.Payee = in.ActingAccount[strings.LastIndexByte(in.ActingAccount, '/')+1:]
		}
	}
}

func normalCategory(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
