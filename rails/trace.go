package rails

import (
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// Sent is what is known of a call that was sent and whose outcome is not known.
type Sent struct {
	Intent *spend.Intent // as it was judged when it began
	Key    string        // the idempotency key that the provider got
	Began  time.Time     // no byte was sent before
}

// Tracer is a Rail whose provider can be asked later what became of a call. Only
// reads are ever made for it.
type Tracer interface {
	Rail

	// Reader says where the provider is asked about in by the holder of secret,
	// and with which header fields. It reports false where secret cannot see what
	// in has done, such as that of a sandbox for real money.
	Reader(in *spend.Intent, secret string) (host string, header []Field, ok bool)

	// Trace names the next reads, or says what the facts so far prove. It is asked
	// again with one Fact for each read until it names no more. Happened and DidNot
	// need the provider's own word on this very call: a payment that merely looks
	// like it proves nothing, and neither does finding none; both are Uncertain. It
	// fails with spend.Unavailable when the answers cannot be read, or are
	// refusals.
	Trace(s Sent, facts []Fact) (spend.Outcome, []Lookup, error)
}
