package rails

import (
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// Notice is what a provider has said of its own accord, proved to be its word.
type Notice struct {
	ID   string // the provider's, the same each time it says this
	Type string // the provider's word for it
	// Evidence is what it says of payments, to be booked in this order; none where it
	// is about something else.
	Evidence []spend.Evidence
}

// Notifier is a Rail whose provider tells of its own accord what becomes of payments,
// in calls of its own that prove where they come from.
type Notifier interface {
	Rail

	// Notices reports whether a notice could be proved at all, for which an operator
	// must have named a secret.
	Notices() bool

	// Notice reads a call of the provider's, of which header returns every value of a
	// field. It fails with spend.Unauthenticated unless the call was made by one who
	// has the secret, and about now; and with spend.Invalid where it cannot be
	// understood without doubt. No error says anything of a secret, nor of what the
	// right proof would have been.
	Notice(header func(name string) []string, body []byte, now time.Time) (Notice, error)
}
