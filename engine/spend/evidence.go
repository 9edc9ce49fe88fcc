package spend

import "time"

// Evidence is what a provider says of one payment of its own accord, outside of any
// reply to a call. Whoever makes one has proof that the provider says so.
type Evidence struct {
	Rail  string
	Event string    // the provider's id of what it says, the same each time it is said
	Type  string    // the provider's word for it, e.g. "payment_intent.succeeded"
	At    time.Time // when it came about, by the provider's clock
	// Which payment is meant: Transactions are what the provider calls it, the best
	// first; Key is the idempotency key of the call that has caused this, Account and
	// Mode where that was made; Object is what it has changed, as an Intent names it.
	// Named is a request that whoever made the payment has written to it: a claim.
	Transactions []string
	Key          string
	Account      string
	Mode         Mode
	Object       string
	Named        ID
	// Exactly one of these is there. Outcome reads what this proves of a payment that
	// was judged as in; it is pure, and Uncertain where it proves nothing. Reversal is
	// what undoes the payment.
	Outcome  func(in *Intent) Outcome
	Reversal *Reversal
}

// ReversalKind is how a payment is undone.
type ReversalKind string

// The kinds of reversal.
const (
	ByRefund  ReversalKind = "refund"
	ByDispute ReversalKind = "dispute"
	ByFailure ReversalKind = "failure" // what was under way has failed after all
)

// Reversal is something that undoes a settled payment in part or as a whole. It gives
// no budget back.
type Reversal struct {
	Kind        ReversalKind `json:"kind"`
	Transaction string       `json:"transaction,omitempty"` // the provider's id of the reversal
	Status      string       `json:"status,omitempty"`      // the provider's word
	Amount      Amount       `json:"amount,omitzero"`
	Event       string       `json:"event,omitempty"`   // of the Evidence
	Request     ID           `json:"request,omitempty"` // of outgo's, that has made it
	At          time.Time    `json:"at"`
}

// Says reports whether two reversals say the same, whoever says so and when.
func (v *Reversal) Says(w *Reversal) bool {
	return v.Kind == w.Kind && v.Transaction == w.Transaction && v.Status == w.Status && v.Amount == w.Amount
}
