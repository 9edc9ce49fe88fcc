// Package stripe reads Stripe's API calls (rails.Rail). In the order in which
// the data flows: find names the operation by host, method and path, from a table
// made of Stripe's own descriptions and gen/classes.tsv; head.read admits the
// headers and takes from them mode, acting account, key and claims; parseForm
// admits the one bucket of query and body parameters if it has exactly one
// reading, and parseJSON the body of a call to /v2, as the same parameters; these
// say of which class the call is, and effect makes legs of it, or the lookups
// without which the amount is unknown; facts are read strictly; outcome reads the
// receipt off the reply; Refuse words outgo's own answers so that the SDKs raise
// them. A write that is not in the table is of class Unrecognised:
// nothing is guessed from a likeness to a known path.
package stripe

import (
	"errors"
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
	// WebhookSecrets are those of the webhook endpoints that post events to outgo,
	// "whsec_…"; during a rotation there are two of one.
	WebhookSecrets []string
}

// Rail understands Stripe. It holds no state and is safe for concurrent use.
type Rail struct {
	categories map[string]string
	hosts      []string
	// webhookSecrets are the keys of notices, whose text is the key itself.
	webhookSecrets []string
}

var _ rails.Rail = (*Rail)(nil)

// New returns the rail.
func New(o Options) *Rail {
	r := &Rail{categories: map[string]string{}, hosts: append([]string{"api.stripe.com"}, o.Hosts...), webhookSecrets: slices.Clone(o.WebhookSecrets)}
	for operation, category := range o.Categories {
		r.categories[operation] = normalCategory(category)
	}
	return r
}

// Name returns "stripe".
func (r *Rail) Name() string { return "stripe" }

// hostOf returns the host by which the table knows one that serves Stripe's calls:
// its own hosts besides that of the API proper (its SDKs' base addresses, and its MCP
// server, of which nothing is listed), and those that an operator has named.
func (r *Rail) hostOf(host string) (listed string, ok bool) {
	switch host {
	case "files.stripe.com", "connect.stripe.com", "meter-events.stripe.com", "mcp.stripe.com":
		return host, true
	}
	return "api.stripe.com", slices.Contains(r.hosts, host)
}

// Match says of a write the class of its operation at worst: a payment intent is
// created with or without a charge, so its creation is a Spend here. A GET or HEAD
// under /v1/ or /v2/ is a Read, unless it would show what gives away a way to spend.
// Whatever is not known is Unrecognised.
func (r *Rail) Match(c *rails.Call) spend.Class {
	host, ok := r.hostOf(c.Host)
	if !ok || c.WebSocket {
		return spend.Unrecognised
	}
	if _, _, _, err := rails.CanonicalTarget(c.Path); err != nil {
		return spend.Unrecognised
	}
	op, _, err := operationOf(host, c)
	if err != nil {
		return spend.Unrecognised
	}
	return op.class
}

// Intent reads a whole call; see rails.Rail. Beside a *rails.Refusal it returns
// errors of kind spend.Unavailable, for a fact that does not say what it should.
func (r *Rail) Intent(c *rails.Call, facts []rails.Fact) (rails.Judgement, error) {
	op, ids, err := r.admit(c)
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
		return rails.Judgement{}, unreadable(op, c, err)
	}
	if op.test && h.mode != spend.Test {
		return rails.Judgement{}, rails.Refusef(spend.Malformed, "", "%s exists with test keys only, and this call's key is not one; use a key that begins with sk_test_ or rk_test_", op.name)
	}
	var room [usualPairs]pair
	f, err := parse(room[:0], c)
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
	j.Query, j.Body, j.Canonical = encode(f.query, c.Query), f.encodeBody(c.Body), f.appendCanonical(c.Room[:0])
	j.Version = h.version
	if c.Method != "GET" {
		j.Key, j.KeyHeader = h.key, "Idempotency-Key"
	}
	if c.Method == "POST" {
		j.Replayable = replayable // Of other methods Stripe says that a key has no effect.
	}
	if op.class != spend.Unrecognised {
		x := reading{op: op, id: ids[0], id2: ids[1], version: h.version, account: h.account, facts: facts}
		e, err := x.effect(&f)
		if err != nil {
			return rails.Judgement{}, err
		}
		in.Class, in.Object, in.Legs, j.Lookups, j.Doubt = e.class, e.object, e.legs, e.lookups, e.doubt
		r.describe(in)
	}
	if op.class == spend.Capability && c.Method == "GET" && showsItsClient(op) {
		in.Object, in.Maskable, j.Withheld = "", true, []string{"client_secret"}
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
// rest, with the ids in its path.
func (r *Rail) admit(c *rails.Call) (*listing, [2]string, error) {
	var none [2]string
	target := c.Path
	if c.HasQuery || c.Query != "" {
		target += "?" + c.Query
	}
	if path, _, _, err := rails.CanonicalTarget(target); err != nil {
		return nil, none, err
	} else if path != c.Path {
		return nil, none, rails.Refusef(spend.Malformed, "", "the path %.80q holds a query", c.Path)
	}
	host, ok := r.hostOf(c.Host)
	switch {
	case c.WebSocket:
		return nil, none, rails.Refusef(spend.UnrecognisedCall, "", "Stripe has no WebSocket API")
	case !ok:
		return nil, none, rails.Refusef(spend.UnrecognisedCall, "", "the host %.80q is not known to serve Stripe's API; use api.stripe.com, or have an operator add it to rails.stripe.hosts, where its calls are judged as those to the API", c.Host)
	case !slices.Contains([]string{"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH"}, c.Method):
		return nil, none, rails.Refusef(spend.UnrecognisedCall, "", "Stripe's API has no method %.20q", c.Method)
	}
	return operationOf(host, c)
}

// unreadable words err for a call to op: for one that is unknown altogether, no other
// content type would help.
func unreadable(op *listing, c *rails.Call, err error) error {
	var refused *rails.Refusal
	if op.class != spend.Unrecognised || c.Path == "/v1/files" || !errors.As(err, &refused) || refused.Param != "Content-Type" {
		return err
	}
	return rails.Refusef(spend.UnrecognisedCall, "", "outgo does not know what %s %.80q on %s does with money, and does not read the content type of its body, so that no person can be asked either; use another call of Stripe's API", c.Method, c.Path, c.Host)
}

// plainRead and unlisted stand for the reads and writes that the table does not hold.
var (
	plainRead = listing{name: "read", class: spend.Read}
	unlisted  = listing{name: "unrecognised", class: spend.Unrecognised}
)

// operationOf names the operation of a call to one of the table's hosts, with the ids
// in its path.
func operationOf(host string, c *rails.Call) (*listing, [2]string, error) {
	if c.Method != "GET" && c.Method != "HEAD" {
		op, ids, err := find(host, c.Method, c.Path)
		if op == nil {
			op = &unlisted
		}
		return op, ids, err
	}
	asks := readQuery(c.Query)
	if asks.method {
		return nil, [2]string{}, rails.Refusef(spend.Ambiguous, "_method", "the query of a %s names another method, with which some servers carry it out; leave out _method", c.Method)
	}
	if asks.secret == "?" {
		return nil, [2]string{}, rails.Refusef(spend.Malformed, "expand", "an escape in the query is broken")
	}
	op, ids, err := find(host, "GET", c.Path)
	api := strings.HasPrefix(c.Path, "/v1/") || strings.HasPrefix(c.Path, "/v2/")
	if op == nil && err == nil && api { // Other hosts may answer what the API proper does.
		op, ids, err = find("api.stripe.com", "GET", c.Path)
	}
	switch {
	case op == nil && !api || host == "mcp.stripe.com":
		return nil, ids, rails.Refusef(spend.UnrecognisedCall, "", "%.80q on %s is no read of Stripe's API that is known; those below /v1/ and /v2/ are", c.Path, c.Host)
	case err != nil:
		return nil, ids, err
	case api && c.Method == "HEAD":
		return &plainRead, ids, nil // The head of an answer shows nothing.
	case asks.secret != "" && (op == nil || len(op.when) == 0):
		return revealing(asks.secret), ids, nil
	case op != nil && (op.class == spend.Capability && len(op.when) == 0 || len(op.when) > 0 && asks.secret != ""):
		return op, ids, nil
	case asks.client != "":
		return showing(asks.client), ids, nil
	case op == nil || len(op.when) > 0:
		return &plainRead, ids, nil
	}
	return op, ids, nil
}

// showsItsClient reports whether what a read shows that gives away a way to spend is a
// client_secret, with which whoever has a publishable key confirms the object, and
// nothing else. Agents poll these objects to hear how their payments end, so that they
// get them, without it.
func showsItsClient(op *listing) bool {
	switch op.name {
	case "payment_intents.read", "setup_intents.read", "checkout.sessions.read", "events.read", "orders.read", "sources.read",
		"financial_connections.sessions.read":
		return true
	}
	return false
}

// describe fills in what the operation does not tell of its legs from the wire. What
// it does tell, no claim changes.
func (r *Rail) describe(in *spend.Intent) {
	for i := range in.Legs {
		leg := &in.Legs[i]
		if in.Claims.Merchant != "" && leg.Merchant == "" {
			leg.Merchant, leg.ClaimedMerchant = in.Claims.Merchant, true
		}
		switch {
		case leg.Category != "":
		case in.Claims.Category != "":
			leg.Category, leg.ClaimedCategory = in.Claims.Category, true
		default:
			leg.Category = r.categories[in.Operation]
		}
		if leg.Kind == spend.Charge && leg.Payee == "" {
			// A Connect call charges for the account that acts, the last of a context.
			leg.Payee = actor(in.ActingAccount)
		}
	}
}

func normalCategory(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
