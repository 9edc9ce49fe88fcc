package engine

import (
	"fmt"

	"github.com/outgo/outgo/engine/spend"
)

// An event is what can happen to a request.
type event string

const (
	approve event = "approve" // a person says yes
	reject  event = "reject"  // a person says no
	begin   event = "begin"   // a live call is about to be sent
	settle  event = "settle"  // evidence that it happened
	fail    event = "fail"    // proof that it did not
	cancel  event = "cancel"  // called off or replaced
	lapse   event = "expire"  // its deadline has passed
	refuse  event = "refuse"  // the last look before begin finds a reason against it
)

// An effect is what an event does to the money that a request has reserved.
type effect string

const (
	keep      effect = "keep"       // it stays reserved
	void      effect = "void"       // it is given back
	rereserve effect = "re-reserve" // it is given back, and reserved anew in the windows of now
	post      effect = "post"       // it is spent
	// presume counts it as spent for want of evidence: the authorization has
	// left the building, and only the provider or an operator may say that
	// nothing came of it.
	presume effect = "presume"
)

// step is the only place that knows how a request moves. It returns the state
// after e and what happens to the reservation, or InvalidState.
//
// Evidence that money moved is never refused, whatever the state: that is not a
// move of this machine but of book.
func step(s spend.State, e event, enf spend.Enforcement) (spend.State, effect, error) {
	advisory := enf == spend.Advisory
	switch s {
	case spend.Held: // a human decides
		switch e {
		case approve:
			return spend.Authorized, keep, nil
		case reject:
			return spend.Denied, void, nil
		case cancel:
			return spend.Canceled, void, nil
		case lapse:
			return spend.Expired, void, nil
		}
	case spend.Authorized: // the agent may send it
		switch {
		case e == begin:
			return spend.Executing, rereserve, nil
		case e == settle && advisory:
			return spend.Settled, post, nil
		case e == cancel && advisory:
			return spend.Canceled, presume, nil
		case e == cancel:
			return spend.Canceled, void, nil
		case e == lapse && advisory:
			return spend.Expired, presume, nil
		case e == lapse:
			return spend.Expired, void, nil
		case e == refuse:
			return spend.Denied, void, nil
		}
	case spend.Executing: // the provider answers; never expires
		switch e {
		case settle:
			return spend.Settled, post, nil
		case fail:
			return spend.Failed, void, nil
		}
	case spend.Settled, spend.Denied, spend.Failed, spend.Expired, spend.Canceled: // nobody
	}
	return s, keep, badStep(s, e)
}

func badStep(s spend.State, e event) error {
	return fmt.Errorf("%s a request that is %s: %w", e, s, spend.InvalidState)
}
