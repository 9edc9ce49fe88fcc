package spend

import (
	"slices"
	"time"
)

// State is where a Request stands. Each says who has the next move; the table
// of moves is in package engine.
type State string

// The states. The last five are final.
const (
	Held       State = "held"       // a human decides
	Authorized State = "authorized" // the agent may send it
	Executing  State = "executing"  // sent or about to be: the provider answers
	Settled    State = "settled"    // it happened, with a receipt
	Denied     State = "denied"     // it may not happen
	Failed     State = "failed"     // it certainly did not happen
	Expired    State = "expired"    // nobody moved in time
	Canceled   State = "canceled"   // called off, or replaced by another request
)

// Final reports whether nobody has a move left.
func (s State) Final() bool {
	switch s {
	case Settled, Denied, Failed, Expired, Canceled:
		return true
	case Held, Authorized, Executing:
		return false
	}
	return false
}

// Origin is the surface on which a Request came in.
type Origin string

// The origins.
const (
	Wire    Origin = "wire"    // an intercepted call
	Pinti   Origin = "pinti"   // declared over the PINTI API
	Guard   Origin = "guard"   // declared over the AI Payment Guard API
	Intents Origin = "intents" // declared over the Spending Intents API
	Managed Origin = "managed" // paid by outgo itself
)

// Enforcement says whether the money can move behind outgo's back.
type Enforcement string

// The enforcements. A declared request that a wire call joins becomes Wired.
const (
	Wired    Enforcement = "wire"     // money moves only through the proxy
	Advisory Enforcement = "advisory" // the authorization has left the building
)

// ApprovalStatus is what a person has said.
type ApprovalStatus string

// The statuses of an approval.
const (
	Pending  ApprovalStatus = "PENDING"
	Approved ApprovalStatus = "APPROVED"
	Rejected ApprovalStatus = "REJECTED"
)

// Approval is a person's part in a Request.
type Approval struct {
	Status    ApprovalStatus `json:"status"`
	Asked     []string       `json:"asked"` // why, from the verdict's rules
	Digest    string         `json:"digest"`
	By        string         `json:"by,omitempty"` // the key that decided, by its prefix
	DecidedAt time.Time      `json:"decidedAt,omitzero"`
	Note      string         `json:"note,omitempty"`
}

// Reservation is an amount counted in one counter, kept with the Request so
// that posting or voiding it later is exact.
type Reservation struct {
	Counter string `json:"counter"` // the counter's key in the store
	Amount  Amount `json:"amount"`
}

// Payment is one more payment that came of a request of which one was expected,
// with the fields of the same names of Request.
type Payment struct {
	At           time.Time     `json:"at"`
	Transaction  string        `json:"transaction,omitempty"`
	Told         Amount        `json:"told,omitzero"`
	Adjusted     Amount        `json:"adjusted,omitzero"`
	Reservations []Reservation `json:"reservations,omitempty"`
}

// Request is one payment and its whole history in outgo. How it is stored is
// written by hand in package engine (stored.go), where a new field needs its line.
type Request struct {
	ID          ID          `json:"id"`
	Seq         uint64      `json:"seq"` // order of creation
	Origin      Origin      `json:"origin"`
	Enforcement Enforcement `json:"enforcement"`
	Intent      Intent      `json:"intent"`
	Verdict     Verdict     `json:"verdict"` // the first one; never rewritten
	// Recheck is what the last look before begin found when it denied what had
	// been approved.
	Recheck  *Verdict  `json:"recheck,omitempty"`
	Approval *Approval `json:"approval,omitempty"`
	State    State     `json:"state"`
	// Why says why a final state was reached when the verdict does not.
	Why      Code      `json:"why,omitempty"`
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"` // when its state moved last, or became doubtful; by it a kept reply is found
	Began    time.Time `json:"began,omitzero"`
	Deadline time.Time `json:"deadline,omitzero"` // when held or authorized lapses
	// Transitions counts the moves since creation; with ID it names each one.
	Transitions int `json:"transitions"`
	// Attempts counts the agent's calls that attached to this request;
	// AttachedKey and AttachedAt are those of the last one.
	Attempts    int       `json:"attempts"`
	AttachedKey string    `json:"attachedKey,omitempty"`
	AttachedAt  time.Time `json:"attachedAt,omitzero"`
	// Reservations are where its money is counted: reserved until it is settled,
	// posted from then on. Transaction, Told and Adjusted are what its receipts
	// have said of it.
	Reservations []Reservation `json:"reservations,omitempty"`
	Transaction  string        `json:"transaction,omitempty"` // the provider's id
	Told         Amount        `json:"told,omitzero"`         // what the last receipt said was moved
	Receipts     []Receipt     `json:"receipts,omitempty"`
	Anomalies    []Anomaly     `json:"anomalies,omitempty"`
	Adjusted     Amount        `json:"adjusted,omitzero"` // posted beyond what was reserved; signed
	Again        []Payment     `json:"again,omitempty"`   // further payments that the provider has proved
	ReplacedBy   ID            `json:"replacedBy,omitempty"`
	// Undoes is the payment that this one gives back, where outgo knows it; Undone is
	// what has undone this one, whoever did.
	Undoes ID         `json:"undoes,omitempty"`
	Undone []Reversal `json:"undone,omitempty"`
}

// Clone returns a copy that shares nothing with r which either could change.
func (r *Request) Clone() Request {
	c := *r
	c.Intent.Legs = slices.Clone(r.Intent.Legs)
	c.Verdict = r.Verdict.clone()
	if r.Recheck != nil {
		v := r.Recheck.clone()
		c.Recheck = &v
	}
	if r.Approval != nil {
		a := *r.Approval
		a.Asked = slices.Clone(a.Asked)
		c.Approval = &a
	}
	c.Reservations = slices.Clone(r.Reservations)
	c.Receipts = slices.Clone(r.Receipts)
	c.Anomalies = slices.Clone(r.Anomalies)
	c.Again = slices.Clone(r.Again)
	c.Undone = slices.Clone(r.Undone)
	for i := range c.Again {
		c.Again[i].Reservations = slices.Clone(c.Again[i].Reservations)
	}
	return c
}

// Clip has whoever appends to a list of r make a list of its own: other requests may
// share their memory with r.
func (r *Request) Clip() {
	r.Intent.Legs = slices.Clip(r.Intent.Legs)
	r.Verdict.Rules = slices.Clip(r.Verdict.Rules)
	r.Verdict.Policies = slices.Clip(r.Verdict.Policies)
	r.Verdict.Balances = slices.Clip(r.Verdict.Balances)
	r.Reservations = slices.Clip(r.Reservations)
	r.Receipts = slices.Clip(r.Receipts)
	r.Anomalies = slices.Clip(r.Anomalies)
	r.Again = slices.Clip(r.Again)
	r.Undone = slices.Clip(r.Undone)
}

func (v *Verdict) clone() Verdict {
	c := *v
	c.Rules = slices.Clone(v.Rules)
	c.Policies = slices.Clone(v.Policies)
	c.Balances = slices.Clone(v.Balances)
	return c
}

// Decisive returns the verdict that stands: that of the recheck where there was
// one.
func (r *Request) Decisive() *Verdict {
	if r.Recheck != nil {
		return r.Recheck
	}
	return &r.Verdict
}

// StateAt returns the state as of now: a held or authorized request whose
// deadline has passed is expired, whether or not anything has written so.
func (r *Request) StateAt(now time.Time) State {
	if (r.State == Held || r.State == Authorized) && !r.Deadline.IsZero() && !now.Before(r.Deadline) {
		return Expired
	}
	return r.State
}

// Next is what a caller does with a call after the gate has ruled on it.
type Next string

// The moves.
const (
	Forward Next = "forward" // begun, durably: this caller and no other sends it
	Refuse  Next = "refuse"  // answer with the verdict or Why
	Await   Next = "await"   // held: wait for a person
	Begin   Next = "begin"   // approved: look again, then ask to begin
	Follow  Next = "follow"  // another live call is sending it: take its reply
	Replay  Next = "replay"  // settled: the same reply is due
	Busy    Next = "busy"    // another write on the same object is under way
	Doubt   Next = "doubt"   // sent before, outcome unknown
	Reused  Next = "reused"  // same idempotency key, other request

	// Those of a Maskable call, of which there is no request.
	Pass     Next = "pass"     // forward it, and its reply as it is
	Withhold Next = "withhold" // forward it, and its reply without what it would give away
)

// Ruling is the gate's answer to a call. The ledger may keep what its request points to:
// lists may be added to, and replaced, but no element of them is to be changed.
type Ruling struct {
	Next    Next
	Request Request
}
