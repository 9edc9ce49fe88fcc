// Package rails says what it takes to understand one provider's calls: a Rail
// matches a call by host, method and path, turns its whole body into a
// spend.Intent or refuses it, reads the receipt off the provider's reply, and
// words outgo's own answers so that the provider's SDKs raise their ordinary
// exceptions. Rails are pure: they see bytes and facts and touch no network; what
// must be asked of the provider they name as Lookups, and whoever calls them
// performs those and asks again.
//
// To add a rail, implement Rail in a package beside rails/stripe, give it
// fixtures and a fuzz target, and name it in cmd/outgo/serve.go.
package rails

import (
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// Field is one header line as it came, name and value untouched but for the
// spaces around the value.
type Field struct{ Name, Value string }

// Call is one HTTP request as it came off the wire, after the strict grammar of
// the proxy has admitted it. Rails must not change what it points at.
type Call struct {
	Host   string // canonical (see CanonicalHost): lower case, no port, no trailing dot
	Method string
	Path   string // the raw path of the request target, from '/' up to any '?'
	Query  string // the raw query behind the first '?', without it
	// HasQuery tells "/x?" from "/x".
	HasQuery bool
	Header   []Field
	Body     []byte
	// WebSocket marks Body as one WebSocket text message.
	WebSocket bool
	// Room is memory that a Judgement's Canonical may be made in; nil is room
	// enough. What it holds says nothing.
	Room []byte
}

// Get returns the first value of the header field name, whatever its case, or "".
func (c *Call) Get(name string) string {
	for i := range c.Header {
		if equalFold(c.Header[i].Name, name) {
			return c.Header[i].Value
		}
	}
	return ""
}

// Field returns the first value of the header field name, whatever its case, and
// how many lines carry that name.
func (c *Call) Field(name string) (value string, lines int) {
	for i := range c.Header {
		if equalFold(c.Header[i].Name, name) {
			if lines == 0 {
				value = c.Header[i].Value
			}
			lines++
		}
	}
	return value, lines
}

// Values returns every value of the header field name.
func (c *Call) Values(name string) []string {
	var vs []string
	for i := range c.Header {
		if equalFold(c.Header[i].Name, name) {
			vs = append(vs, c.Header[i].Value)
		}
	}
	return vs
}

func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if 'A' <= x && x <= 'Z' {
			x += 'a' - 'A'
		}
		if 'A' <= y && y <= 'Z' {
			y += 'a' - 'A'
		}
		if x != y {
			return false
		}
	}
	return true
}

// Reply is a provider's answer, or outgo's own in a provider's format.
type Reply struct {
	Status int
	Header []Field
	Body   []byte
}

// Get returns the first value of the header field name, whatever its case, or "".
func (r *Reply) Get(name string) string {
	for i := range r.Header {
		if equalFold(r.Header[i].Name, name) {
			return r.Header[i].Value
		}
	}
	return ""
}

// Lookup names a read that the provider must answer before an amount is known.
// It is performed with the call's own credentials, account and version.
type Lookup struct {
	Target string // path and query, on the call's host
	// Body, if there is one, makes it a POST of this form to a path that the rail
	// lists as a preview; without one it is a GET.
	Body string
}

// Method returns "GET" or "POST".
func (l Lookup) Method() string {
	if l.Body != "" {
		return "POST"
	}
	return "GET"
}

// String returns "GET /v1/payment_intents/pi_1", the form shown by explain.
func (l Lookup) String() string { return l.Method() + " " + l.Target }

// Previewer is a Rail whose provider tells by POST what a call would cost. A lookup
// with a body goes to no other path than these.
type Previewer interface {
	// Previews returns the paths to which a POST changes nothing and moves no
	// money, whatever its body.
	Previews() []string
}

// Fact is what a provider answered to a Lookup.
type Fact struct {
	Lookup Lookup
	Reply  Reply
}

// Judgement is what a rail makes of a call.
type Judgement struct {
	// Intent is complete when Lookups is empty. Its Agent, DedupKey and
	// Fingerprint are filled in by the caller from the fields below.
	Intent spend.Intent
	// Lookups are the reads without which the amount, unit or payee is unknown;
	// at most three. The legs then carry no amount.
	Lookups []Lookup
	// Doubt says why the amount of a call that the rail knows cannot be told, where
	// that makes it Unrecognised; "" otherwise.
	Doubt string
	// Query and Body are what must be sent: the agent's own bytes where they
	// equal the canonical encoding, else the canonical encoding.
	Query string
	Body  []byte
	// Canonical is the unambiguous form of the parameters that the fingerprint
	// covers. It may stand in the call's Room.
	Canonical []byte
	// Key is the agent's idempotency key, KeyHeader the header field in which
	// the provider takes one; "" where the provider knows none.
	Key, KeyHeader string
	// Version is the provider's API version that the call asks for.
	Version string
	// Withheld are the members of the reply's JSON objects without which a Maskable
	// intent is harmless; see Withhold.
	Withheld []string
	// Replayable says for how long after a settled call the provider answers
	// the same key and body with the same reply and does nothing else; 0 for
	// never.
	Replayable time.Duration
}

// Refusal is the error of a call that cannot be judged.
type Refusal struct {
	Code   spend.Code // Malformed, Ambiguous, UnrecognisedCall, TooLarge or WrongNetwork
	Reason string     // what is wrong, where, and what to do
	Param  string     // the parameter or header at fault, if one is
}

func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Reason }

// Refusef makes a Refusal.
func Refusef(code spend.Code, param, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Param: param, Reason: fmt.Sprintf(format, args...)}
}

// Situation is why outgo answers a call itself.
type Situation string

// The situations; contracts name the answer to each.
const (
	Denied      Situation = "denied"      // by policy or by a person: final
	HeldOn      Situation = "held"        // still waiting: come back with the same call
	HeldOver    Situation = "pending"     // still waiting after the last retry of the SDK
	Refused     Situation = "refused"     // malformed, ambiguous, unrecognised
	Uncertain   Situation = "uncertain"   // outcome unknown, and a retry may still find it
	Unknown     Situation = "unknown"     // outcome unknown
	Unavailable Situation = "unavailable" // outgo cannot decide; nothing was forwarded
	Busy        Situation = "busy"        // another write on the object is under way
	Unreachable Situation = "unreachable" // the provider cannot be reached; nothing was sent
)

// Answer is what outgo has to say in place of the provider.
type Answer struct {
	Situation Situation
	Code      spend.Code
	Request   spend.ID // "" when no request was made
	Message   string   // for the agent to act on
	Param     string
}

// Rail understands one provider.
type Rail interface {
	// Name is the rail's name in config, policies and metrics.
	Name() string

	// Match says by host, method and path, and by whatever in the query could stand
	// for another method, what a call could be at worst.
	// For Read the body is not looked at and the call is forwarded as it is;
	// for every other class the whole call goes to Intent.
	Match(c *Call) spend.Class

	// Intent reads a whole call. Without facts it may answer with Lookups; it is
	// asked again with one Fact for each. It must not panic, must not keep c, and
	// returns a *Refusal for whatever has not exactly one reading. A write on a
	// money route that the rail does not know gives an Intent of class
	// Unrecognised without legs, provided that its bytes are sound.
	Intent(c *Call, facts []Fact) (Judgement, error)

	// Outcome reads the receipt off the reply to a call that was judged as in, of
	// which it keeps nothing but strings of the header. Only what the provider
	// proves did nothing is spend.DidNot.
	Outcome(in *spend.Intent, r *Reply) spend.Outcome

	// Refuse words an answer in the provider's own error format. It sees the
	// head of the call only, and must cope with any of it missing.
	Refuse(c *Call, a Answer) Reply
}
