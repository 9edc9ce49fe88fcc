package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/budget"
	"github.com/outgo/outgo/engine/spend"
)

const (
	// objectHeld is how long a write without money whose outcome is unknown
	// keeps its object: longer than any provider takes to carry it out.
	objectHeld = 2 * time.Minute
)

// Finish records how a forwarded call ended. Happened posts what was reserved,
// DidNot gives it back, Uncertain leaves it counted until there is evidence.
// Proof that money moved is booked whatever the state. Finish may be called
// again with the same outcome, which then changes nothing.
func (e *Engine) Finish(ctx context.Context, id spend.ID, o spend.Outcome) error {
	var sealed []byte
	var digest audit.Hash
	if o.Reply != nil {
		sealed, digest = e.packing.sealed(e.sealer, o.Reply, e.keys.sealedReply(id)), audit.Sum(o.Reply)
	}
	if err := e.commit.do(ctx, e.finishing(id, o, sealed, digest)); err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	return nil
}

// finishing is the action of Finish. sealed is the reply that is to be kept, and
// digest that of the reply as it came.
func (e *Engine) finishing(id spend.ID, o spend.Outcome, sealed []byte, digest audit.Hash) action {
	key := e.keys.request(id)
	return func(t *txn) error {
		r := new(spend.Request)
		body, err := e.borrow(t, id, key, r)
		if err != nil {
			return err
		}
		before := r.State
		if err := e.finish(t, r, o); err != nil {
			return err
		}
		if sealed != nil && before == spend.Executing && r.State == spend.Settled {
			if err := e.keepReply(t, r, sealed); err != nil {
				return err
			}
		}
		d := deed{event: outcomeEvent(before, r.State, o.Result), from: before, who: itself, reply: digest}
		if o.Receipt.Source == spend.FromClaim {
			d.who = agentName(r.Intent.Agent)
		}
		t.recordDeed(r, d)
		return e.keep(t, key, r, body)
	}
}

// outcomeEvent names what an outcome did to a request.
func outcomeEvent(before, after spend.State, res spend.Result) event {
	switch {
	case res == spend.Uncertain:
		return doubted
	case before == after:
		return receive
	case after == spend.Failed:
		return fail
	}
	return settle
}

func (e *Engine) finish(t *txn, r *spend.Request, o spend.Outcome) error {
	if o.Receipt.At.IsZero() {
		o.Receipt.At = t.now
	}
	if o.Receipt.Source == spend.FromClaim && (o.Result == spend.DidNot || r.State == spend.Executing) {
		return fmt.Errorf("request %s: %w: an agent's word neither ends nor voids a payment that was sent", r.ID, spend.InvalidState)
	}
	switch o.Result {
	case spend.Uncertain:
		return e.doubt(t, r)
	case spend.DidNot:
		if r.State == spend.Failed {
			return nil
		}
		if err := e.move(t, r, fail); err != nil {
			return err
		}
		r.Why = o.Why
		if err := e.enterPaid(t, r, o.Receipt.TransactionID); err != nil {
			return err
		}
		if o.Receipt.HTTPStatus != 0 || o.Receipt.Note != "" {
			r.Receipts = append(r.Receipts, o.Receipt)
		}
		return nil
	case spend.Happened:
		if err := e.settled(t, r, o.Receipt); err != nil {
			return err
		}
		e.compare(t, r, &o)
		return e.tie(t, r, &o)
	}
	return fmt.Errorf("outcome %q of request %s: %w", o.Result, r.ID, spend.Invalid)
}

// compare flags it where others were paid, or have charged, than was judged. Amounts
// are compared as they are booked: see tellAgain.
func (e *Engine) compare(t *txn, r *spend.Request, o *spend.Outcome) {
	if len(r.Intent.Legs) != 1 {
		return // A receipt names one payee, and which leg it is of is not said.
	}
	leg := &r.Intent.Legs[0]
	judged := spend.Term{Payee: leg.Payee, Merchant: leg.Merchant}
	told := spend.Term{Payee: o.Receipt.Payee, Merchant: o.Merchant}
	for _, a := range spend.Compare(judged, told, spend.Amount{}) {
		e.flag(t, r, a)
	}
}

// doubt notes that nobody knows what came of r. Money stays counted for as long
// as it takes; a write without money keeps its object for a while only.
func (e *Engine) doubt(t *txn, r *spend.Request) error {
	if r.State != spend.Executing {
		return nil
	}
	r.Why, r.Changed = spend.OutcomeUnknown, t.now
	if r.Intent.Class == spend.Other {
		return t.Put(e.keys.due(t.now.Add(objectHeld), dueObject, r.ID), nil)
	}
	return e.expectReceipt(t, r)
}

// settled books a payment that happened: the one that was expected, or another.
func (e *Engine) settled(t *txn, r *spend.Request, rc spend.Receipt) error {
	if _, _, err := step(r.State, settle, r.Enforcement); err == nil {
		if err := e.move(t, r, settle); err != nil {
			return err
		}
		r.Why = ""
		if rc.Source != spend.FromOperator && slices.Contains(r.Anomalies, spend.MissingReceipt) {
			e.flag(t, r, spend.LateReceipt)
		}
		return e.tell(t, r, rc)
	}
	if rc.Source == spend.FromClaim {
		return fmt.Errorf("receipt for request %s, which is %s: %w", r.ID, r.State, spend.InvalidState)
	}
	if r.State != spend.Settled {
		if err := e.book(t, r); err != nil {
			return err
		}
		return e.tell(t, r, rc)
	}
	if rc.TransactionID == "" || r.Transaction == "" || rc.TransactionID == r.Transaction {
		return e.tell(t, r, rc)
	}
	for i := range r.Again {
		if r.Again[i].Transaction == rc.TransactionID {
			return e.tellAgain(t, r, &r.Again[i], rc)
		}
	}
	p := spend.Payment{At: t.now, Transaction: rc.TransactionID}
	var err error
	if p.Reservations, err = e.postNow(t, r); err != nil {
		return err
	}
	if err := e.keys.remark(t, r.Seq, agelessMark, 0); err != nil {
		return err
	}
	if err := e.enterPaid(t, r, rc.TransactionID); err != nil {
		return err
	}
	e.flag(t, r, spend.DuplicatePayment)
	r.Again = append(r.Again, p)
	return e.tellAgain(t, r, &r.Again[len(r.Again)-1], rc)
}

// book settles a request of which the provider proves that money moved although
// no move of the machine leads there.
func (e *Engine) book(t *txn, r *spend.Request) error {
	found := spend.LateReceipt
	if s := r.StateAt(t.now); s == spend.Held || s == spend.Denied {
		found = spend.UnauthorizedPayment
	}
	e.flag(t, r, found)
	if r.State == spend.Held || r.State == spend.Authorized {
		ev := lapse
		if r.StateAt(t.now) != spend.Expired {
			ev = cancel
		}
		if err := e.move(t, r, ev); err != nil {
			return err
		}
	}
	if len(r.Reservations) == 0 { // otherwise it was presumed, and is posted
		var err error
		if r.Reservations, err = e.postNow(t, r); err != nil {
			return err
		}
		r.Began = t.now
	}
	r.State, r.Changed = spend.Settled, t.now
	r.Transitions++
	return e.keys.remark(t, r.Seq, agelessMark, openMark)
}

// postNow counts r's money as spent in the windows of now, and returns where.
func (e *Engine) postNow(t *txn, r *spend.Request) ([]spend.Reservation, error) {
	set, err := e.readPolicies(t)
	if err != nil {
		return nil, err
	}
	fresh := spend.Request{ID: r.ID, Intent: r.Intent}
	if err := e.reserve(t, set, &fresh, false); err != nil {
		return nil, err
	}
	return fresh.Reservations, budget.Post(t, fresh.Reservations)
}

// tell takes in what a receipt says of r's own payment.
func (e *Engine) tell(t *txn, r *spend.Request, rc spend.Receipt) error {
	own := spend.Payment{At: countedAt(r), Transaction: r.Transaction, Told: r.Told, Adjusted: r.Adjusted, Reservations: r.Reservations}
	if own.Transaction == "" && rc.TransactionID != "" {
		own.Transaction = rc.TransactionID
		if err := e.enterPaid(t, r, own.Transaction); err != nil {
			return err
		}
	}
	if err := e.tellAgain(t, r, &own, rc); err != nil {
		return err
	}
	r.Transaction, r.Told, r.Adjusted = own.Transaction, own.Told, own.Adjusted
	return nil
}

// tellAgain takes in what a receipt says of one payment of r: it is kept, and
// where its amount departs from what is booked, the difference is posted to the
// windows of that payment. A receipt that says nothing new changes nothing.
func (e *Engine) tellAgain(t *txn, r *spend.Request, p *spend.Payment, rc spend.Receipt) error {
	for _, k := range r.Receipts {
		if k.TransactionID == rc.TransactionID && (rc.Amount == p.Told || rc.Amount.IsZero()) && k.Amount == rc.Amount &&
			k.Status == rc.Status && k.Source == rc.Source {
			return nil
		}
	}
	r.Receipts = append(r.Receipts, rc)
	if rc.Amount.IsZero() || len(r.Intent.Legs) == 0 {
		return nil
	}
	asked, err := total(r.Intent.Legs, rc.Amount.Unit())
	switch {
	case err != nil:
		return err
	case asked.IsZero():
		e.flag(t, r, spend.CurrencyMismatch)
		return nil
	case asked.IsUnlimited():
		return nil
	case rc.Amount.IsUnlimited() || rc.Amount.Sign() < 0: // no amount that a payment can have
		e.flag(t, r, spend.AmountMismatch)
		return nil
	}
	booked := asked
	if !p.Told.IsZero() {
		booked = p.Told
	}
	diff, err := rc.Amount.Sub(booked)
	if err != nil || diff.Sign() < 0 && rc.Source == spend.FromClaim {
		return err // an agent's word never gives budget back
	}
	p.Told = rc.Amount
	switch diff.Sign() {
	case 0:
		return nil
	case 1:
		e.flag(t, r, spend.Oversettled)
	default:
		e.flag(t, r, spend.AmountMismatch)
	}
	if p.Adjusted, err = plus(p.Adjusted, diff); err != nil {
		return err
	}
	counters, err := e.countersOf(t, r, p)
	if err != nil {
		return err
	}
	return budget.Adjust(t, counters, func(s spend.Reservation) (spend.Amount, error) {
		if s.Amount.Unit() != diff.Unit() || budget.Gauge(s) {
			return spend.NewAmount(s.Amount.Unit(), 0), nil
		}
		return diff, nil
	})
}

// total sums the legs of one unit; the zero Amount when there is none.
func total(legs []spend.Leg, unit string) (sum spend.Amount, err error) {
	for _, l := range legs {
		if l.Amount.Unit() != unit {
			continue
		}
		if sum, err = plus(sum, l.Amount); err != nil {
			return spend.Amount{}, err
		}
	}
	return sum, nil
}
