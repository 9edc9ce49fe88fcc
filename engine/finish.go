package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/budget"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// replyKept is how long a reply is kept for repeats of the same call.
const replyKept = 24 * time.Hour

// Finish records how a forwarded call ended. Happened posts what was reserved,
// DidNot gives it back, Uncertain leaves it counted until there is evidence.
// Proof that money moved is booked whatever the state. Finish may be called
// again with the same outcome, which then changes nothing.
func (e *Engine) Finish(ctx context.Context, id spend.ID, o spend.Outcome) error {
	var sealed []byte
	if o.Reply != nil {
		sealed = e.sealer.Seal(o.Reply, e.keys.reply(id))
	}
	err := e.commit.do(ctx, func(t *txn) error {
		r, err := e.load(t, id)
		if err != nil {
			return err
		}
		before := r.State
		if err := e.finish(t, &r, o); err != nil {
			return err
		}
		if sealed != nil && before == spend.Executing && r.State == spend.Settled {
			if err := e.keepReply(t, id, sealed); err != nil {
				return err
			}
		}
		return e.save(t, &r)
	})
	if err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	return nil
}

func (e *Engine) finish(t *txn, r *spend.Request, o spend.Outcome) error {
	if o.Receipt.At.IsZero() {
		o.Receipt.At = t.now
	}
	switch o.Result {
	case spend.Uncertain:
		if len(r.Intent.Legs) == 0 && r.State == spend.Executing {
			// No money hangs on it, and the object must not stay locked.
			return e.settled(t, r, o)
		}
		if r.State == spend.Executing {
			r.Why, r.Changed = spend.OutcomeUnknown, t.now
		}
		return nil
	case spend.DidNot:
		if r.State == spend.Failed {
			return nil
		}
		if err := e.move(t, r, fail); err != nil {
			return err
		}
		r.Why = o.Why
		if o.Receipt.HTTPStatus != 0 || o.Receipt.Note != "" {
			r.Receipts = append(r.Receipts, o.Receipt)
		}
		return nil
	case spend.Happened:
		return e.settled(t, r, o)
	}
	return fmt.Errorf("outcome %q of request %s: %w", o.Result, r.ID, spend.Invalid)
}

// settled books a payment that happened.
func (e *Engine) settled(t *txn, r *spend.Request, o spend.Outcome) error {
	earlier := len(r.Reservations)
	switch _, _, err := step(r.State, settle, r.Enforcement); {
	case err == nil:
		if err := e.move(t, r, settle); err != nil {
			return err
		}
		r.Why = ""
		earlier = 0
	case r.State == spend.Settled && known(r, o.Receipt):
		return nil
	default:
		if err := e.book(t, r, o.Receipt); err != nil {
			return err
		}
	}
	if len(r.Reservations) == earlier {
		earlier = 0 // nothing was added: the receipt speaks of what is there
	}
	r.Receipts = append(r.Receipts, o.Receipt)
	return reconcile(t, r, o.Receipt, r.Reservations[earlier:])
}

// known reports whether r has a receipt that says just the same.
func known(r *spend.Request, rc spend.Receipt) bool {
	for _, k := range r.Receipts {
		if k.TransactionID == rc.TransactionID && k.Amount == rc.Amount {
			return true
		}
	}
	return false
}

// book counts a payment that the provider proves although no move of the machine
// leads there. A claim proves nothing and is refused.
func (e *Engine) book(t *txn, r *spend.Request, rc spend.Receipt) error {
	if rc.Source == spend.FromClaim {
		return fmt.Errorf("receipt for request %s, which is %s: %w", r.ID, r.State, spend.InvalidState)
	}
	found := spend.LateReceipt
	switch r.StateAt(t.now) {
	case spend.Settled:
		if len(r.Receipts) > 0 && r.Receipts[len(r.Receipts)-1].TransactionID == rc.TransactionID {
			return nil // an adjustment: reconcile posts the difference
		}
		r.Anomalies = append(r.Anomalies, spend.DuplicatePayment)
		return e.postNow(t, r)
	case spend.Held, spend.Denied:
		found = spend.UnauthorizedPayment
	case spend.Authorized, spend.Executing, spend.Failed, spend.Expired, spend.Canceled:
	}
	r.Anomalies = append(r.Anomalies, found)
	if r.State == spend.Held || r.State == spend.Authorized {
		ev := lapse
		if r.StateAt(t.now) != spend.Expired {
			ev = cancel
		}
		if err := e.move(t, r, ev); err != nil {
			return err
		}
	}
	if len(r.Reservations) == 0 {
		if err := e.postNow(t, r); err != nil {
			return err
		}
	}
	r.State, r.Changed = spend.Settled, t.now
	r.Transitions++
	return t.Delete(e.keys.open(r.Seq))
}

// postNow counts r's money as spent in the windows of now, beside whatever it
// has posted before.
func (e *Engine) postNow(t *txn, r *spend.Request) error {
	earlier := r.Reservations
	r.Reservations = nil
	set, err := e.readPolicies(t)
	if err != nil {
		return err
	}
	if err := e.reserve(t, set, r, false); err != nil {
		return err
	}
	if err := budget.Post(t, r.Reservations); err != nil {
		return err
	}
	r.Reservations = append(earlier, r.Reservations...)
	return nil
}

// reconcile compares what was requested with what settled, and posts the
// difference to where rs are counted, the windows of begin.
func reconcile(t *txn, r *spend.Request, rc spend.Receipt, rs []spend.Reservation) error {
	if rc.Amount.IsZero() || len(r.Intent.Legs) == 0 {
		return nil
	}
	asked, err := total(r.Intent.Legs, rc.Amount.Unit())
	if err != nil {
		return err
	}
	if asked.IsZero() {
		r.Anomalies = append(r.Anomalies, spend.CurrencyMismatch)
		return nil
	}
	booked := asked
	if n := len(r.Receipts); n > 1 && r.Receipts[n-2].TransactionID == rc.TransactionID && !r.Receipts[n-2].Amount.IsZero() {
		booked = r.Receipts[n-2].Amount
	}
	diff, err := rc.Amount.Sub(booked)
	if err != nil || diff.Sign() == 0 {
		return err
	}
	if diff.Sign() > 0 {
		r.Anomalies = append(r.Anomalies, spend.Oversettled)
	} else {
		if rc.Source == spend.FromClaim {
			return nil // an agent's word never gives budget back
		}
		r.Anomalies = append(r.Anomalies, spend.AmountMismatch)
	}
	if r.Adjusted.Unit() != diff.Unit() {
		r.Adjusted = diff
	} else if r.Adjusted, err = r.Adjusted.Add(diff); err != nil {
		return err
	}
	return budget.Adjust(t, rs, func(s spend.Reservation) (spend.Amount, error) {
		if s.Amount.Unit() != diff.Unit() || budget.Gauge(s) {
			return spend.NewAmount(s.Amount.Unit(), 0), nil
		}
		return diff, nil
	})
}

// total sums the legs of one unit; the zero Amount when there is none.
func total(legs []spend.Leg, unit string) (spend.Amount, error) {
	var sum spend.Amount
	for _, l := range legs {
		if l.Amount.Unit() != unit {
			continue
		}
		if sum.IsZero() {
			sum = l.Amount
			continue
		}
		var err error
		if sum, err = sum.Add(l.Amount); err != nil {
			return spend.Amount{}, err
		}
	}
	return sum, nil
}

func (e *Engine) keepReply(t *txn, id spend.ID, sealed []byte) error {
	if len(sealed) > maxValueBytes {
		return nil
	}
	if err := t.Put(e.keys.reply(id), sealed); err != nil {
		return err
	}
	return t.Put(e.keys.due(t.now.Add(replyKept), dueReply, id), nil)
}

// Reply returns the kept reply of a settled request, or NotFound.
func (e *Engine) Reply(ctx context.Context, id spend.ID) ([]byte, error) {
	var sealed []byte
	err := e.view(ctx, func(r store.Reader) (err error) { sealed, err = r.Get(e.keys.reply(id)); return err })
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("reply of request %.64q: %w", id, spend.NotFound)
	} else if err != nil {
		return nil, err
	}
	return e.sealer.Open(sealed, e.keys.reply(id))
}
