package spend

// Kind is a class of error that a caller can act on. It is itself an error, so
// errors.Is(err, spend.NotFound) asks for the class of any error that wraps it.
// An error without a Kind is internal and is never shown to a caller.
type Kind string

// The kinds, each with what a caller does about it.
const (
	Invalid         Kind = "invalid"         // mend the input
	Unauthenticated Kind = "unauthenticated" // present a valid key
	Forbidden       Kind = "forbidden"       // ask somebody who may
	NotFound        Kind = "not found"       // check the id
	InvalidState    Kind = "invalid state"   // read the request again
	Conflict        Kind = "conflict"        // use a new idempotency key
	Lapsed          Kind = "lapsed"          // ask again, the time is over
	Refused         Kind = "refused"         // do not send it again
	Unavailable     Kind = "unavailable"     // try again later, nothing happened
	Unknown         Kind = "outcome unknown" // it may have happened, ask an operator
)

func (k Kind) Error() string { return string(k) }
