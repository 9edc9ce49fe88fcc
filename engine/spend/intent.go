package spend

import (
	"strings"
	"time"
)

// Class says what a call can do, from harmless to grave. Unrecognised is graver
// than a spend because nothing is known of it.
type Class string

// The classes.
const (
	Read         Class = "read"       // changes nothing
	Other        Class = "other"      // a write that moves no money
	Capability   Class = "capability" // gives away future spending power
	Spend        Class = "spend"      // moves money or binds to move it
	Unrecognised Class = "refuse"     // a write on a money route that no rail knows
)

// LegKind says how a leg of a payment moves money.
type LegKind string

// The kinds of leg.
const (
	Charge    LegKind = "charge"    // a payer's instrument is charged or held
	Transfer  LegKind = "transfer"  // balance moves to another account or address
	Payout    LegKind = "payout"    // balance leaves to a bank account
	Refund    LegKind = "refund"    // money received is given back
	Allowance LegKind = "allowance" // somebody may take up to the amount later
	Fee       LegKind = "fee"       // what the network or provider takes for it
)

// Leg is one movement of money within a payment.
type Leg struct {
	Kind   LegKind `json:"kind"`
	Amount Amount  `json:"amount"`
	// Value is Amount in a fiat unit, rounded up, where the asset table knows
	// one; otherwise the zero Amount.
	Value    Amount `json:"value,omitzero"`
	Payee    string `json:"payee,omitempty"`    // account, bank account or address that receives
	Merchant string `json:"merchant,omitempty"` // normal form of NormalMerchant
	Category string `json:"category,omitempty"` // lower case, or an MCC
	// ClaimedMerchant and ClaimedCategory say that the field is the agent's
	// word and not a fact of the wire.
	ClaimedMerchant bool `json:"claimedMerchant,omitempty"`
	ClaimedCategory bool `json:"claimedCategory,omitempty"`
}

// Claims is what an agent says about a call, in headers or in metadata. It is
// checked against the wire where the wire says something, and marked as claimed
// where it does not.
type Claims struct {
	Merchant      string `json:"merchant,omitempty"`
	Category      string `json:"category,omitempty"`
	Reason        string `json:"reason,omitempty"`
	Task          string `json:"task,omitempty"`
	Request       ID     `json:"request,omitempty"` // a request declared earlier
	Authorization string `json:"-"`                 // a spend authorization token; never stored
}

// Mode tells real money from a provider's sandbox.
type Mode string

// The modes. The empty Mode is unknown.
const (
	Live Mode = "live"
	Test Mode = "test"
)

// Intent is what one call would do, as read off the wire by a rail, or as
// declared over an API.
type Intent struct {
	Agent         string `json:"agent"`
	Rail          string `json:"rail"`
	Class         Class  `json:"class"`
	Operation     string `json:"operation"`               // "payment_intents.create"
	Network       string `json:"network"`                 // "stripe", or CAIP-2
	ActingAccount string `json:"actingAccount,omitempty"` // on whose behalf, where the call says so
	Mode          Mode   `json:"mode,omitempty"`
	// Object is the provider's object that the call acts on and that other
	// calls could change ("payment_intents/pi_1"); writes on it are serialised.
	Object string `json:"object,omitempty"`
	Legs   []Leg  `json:"legs,omitempty"`
	// DedupKey is a keyed digest of the agent's idempotency key with its scope
	// (agent, surface, credential, acting account), in hex; empty when the
	// agent sent none.
	DedupKey string `json:"dedupKey,omitempty"`
	// SentKey is the idempotency key that the provider gets, by which it can be
	// asked later; empty where it is made of the request's id. Like DedupKey it is
	// a keyed digest of the agent's.
	SentKey string `json:"sentKey,omitempty"`
	// Fingerprint is a SHA-256, in hex, of everything that will be sent and by
	// whom; never of values looked up.
	Fingerprint string `json:"fingerprint,omitempty"`
	Claims      Claims `json:"claims,omitzero"`
	// LookedUp is when the first of the lookups began that the legs rest on;
	// zero where the call itself says all. What has changed the object since
	// makes them stale.
	LookedUp time.Time `json:"-"`
	// Call is the method, host and path of an Unrecognised call, by which the verdict
	// tells the person who decides on it what it is ("POST api.stripe.com/v1/x").
	Call string `json:"-"`
	// Maskable says that the call changes nothing and can be answered without what
	// makes it a Capability: it is ruled on with Pass or Withhold, and not recorded.
	Maskable bool `json:"-"`
}

// NormalMerchant gives a merchant's name the form in which names compare: lower
// case, without scheme, port, path and "www.".
func NormalMerchant(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	s, _, _ = strings.Cut(s, "/")
	if host, port, ok := strings.Cut(s, ":"); ok && strings.Trim(port, "0123456789") == "" {
		s = host
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "www."), ".")
}
