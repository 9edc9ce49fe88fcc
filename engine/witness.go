package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// A Witness books what providers say of payments of their own accord. It is safe for
// concurrent use.
type Witness struct {
	e       *Engine
	sentKey func(*spend.Request) string
}

// Witness returns a Witness. sentKey is the idempotency key under which a provider got
// a request.
func (e *Engine) Witness(sentKey func(*spend.Request) string) *Witness {
	return &Witness{e: e, sentKey: sentKey}
}

// Heard is what came of evidence.
type Heard struct {
	Request spend.ID // that it is about; "" when outgo has made no such payment
	Changed bool     // something new was booked or noted
}

// link is how evidence was found to be about a request, weakest last.
type link int

const (
	byTransaction link = iota // the provider's name of the payment
	byKey                     // outgo's own key for the call, which is under way
	byObject                  // the object that the call, which is under way, acts on
	byName                    // the word of whoever made the payment
)

// Hear books what a provider says of one payment, by the rules for evidence: what is
// proved is booked from every state, the same again changes nothing, and what undoes a
// payment is noted on it without giving budget back. It fails with Unavailable when
// that cannot be recorded now, or when the call may still be under way, and is to be
// told again then.
func (w *Witness) Hear(ctx context.Context, ev spend.Evidence) (Heard, error) {
	id, by, err := w.find(ctx, &ev)
	if err != nil || id == "" {
		return Heard{}, err
	}
	out := Heard{Request: id}
	err = w.e.commit.do(ctx, func(t *txn) error {
		r, err := w.e.load(t, id)
		if err != nil {
			return err
		}
		out.Changed, err = w.apply(t, &r, &ev, by)
		return err
	})
	if err != nil {
		return Heard{}, fmt.Errorf("hear of request %s: %w", id, err)
	}
	return out, nil
}

// finder looks for the request that evidence is about, and says how it was found.
type finder func(store.Reader, *spend.Evidence) (spend.ID, link, error)

// find returns the request that evidence is about, "" for none.
func (w *Witness) find(ctx context.Context, ev *spend.Evidence) (id spend.ID, by link, err error) {
	err = w.e.view(ctx, func(rd store.Reader) error {
		if ev.Reversal != nil {
			r, err := w.e.paymentOf(rd, ev.Rail, ev.Transactions)
			if r != nil && sameMode(r, ev) {
				id = r.ID
			}
			return err
		}
		for _, look := range []finder{w.byTransactionAndKey, w.byKey, w.bySettled, w.byObject, w.byTransaction, w.byName} {
			if id, by, err = look(rd, ev); err != nil || id != "" {
				return err
			}
		}
		return nil
	})
	return id, by, err
}

// byTransactionAndKey finds the call that has caused what is said, among those that had
// a part in the payment.
func (w *Witness) byTransactionAndKey(rd store.Reader, ev *spend.Evidence) (spend.ID, link, error) {
	return w.among(rd, ev, func(r *spend.Request) bool { return ev.Key != "" && w.sentKey(r) == ev.Key })
}

// bySettled finds the last call that has settled the payment.
func (w *Witness) bySettled(rd store.Reader, ev *spend.Evidence) (spend.ID, link, error) {
	return w.among(rd, ev, func(r *spend.Request) bool { return r.State == spend.Settled })
}

// byTransaction finds the last call that had a part in the payment.
func (w *Witness) byTransaction(rd store.Reader, ev *spend.Evidence) (spend.ID, link, error) {
	return w.among(rd, ev, func(*spend.Request) bool { return true })
}

// among finds the last call of which is holds, of those that had a part in the payment.
func (w *Witness) among(rd store.Reader, ev *spend.Evidence, is func(*spend.Request) bool) (id spend.ID, by link, err error) {
	for _, name := range ev.Transactions {
		all, err := w.e.paidBy(rd, ev.Rail, name)
		if err != nil {
			return "", byTransaction, err
		}
		for i := range all {
			if r := &all[i]; sameMode(r, ev) && is(r) {
				id = r.ID
			}
		}
		if id != "" {
			break
		}
	}
	return id, byTransaction, nil
}

// byKey finds the call that is under way by the key that it was sent with. One agent
// can use a key of its own for two accounts: if they cannot be told apart, neither is
// meant.
func (w *Witness) byKey(rd store.Reader, ev *spend.Evidence) (id spend.ID, by link, err error) {
	if ev.Key == "" {
		return "", byKey, nil
	}
	looked := 0
	for l, err := range w.e.keys.newest(rd, openMark, latest) {
		if err != nil {
			return "", byKey, err
		}
		if looked++; looked > maxLooked {
			break
		}
		r, err := w.e.load(rd, l.id)
		if err != nil {
			return "", byKey, err
		}
		if r.State != spend.Executing || r.Intent.Rail != ev.Rail || r.Intent.Mode != ev.Mode ||
			accountOf(&r.Intent) != ev.Account || w.sentKey(&r) != ev.Key {
			continue
		}
		if id != "" {
			return "", byKey, nil
		}
		id = r.ID
	}
	return id, byKey, nil
}

// byObject finds the call that is under way on the object, if it was the last one.
func (w *Witness) byObject(rd store.Reader, ev *spend.Evidence) (spend.ID, link, error) {
	if ev.Object == "" {
		return "", byObject, nil
	}
	id, err := rd.Get(w.e.keys.object(&spend.Intent{Rail: ev.Rail, Object: ev.Object}))
	if errors.Is(err, store.ErrNotFound) {
		return "", byObject, nil
	} else if err != nil {
		return "", byObject, err
	}
	r, err := w.e.load(rd, spend.ID(id))
	if err != nil || r.State != spend.Executing || r.Intent.Mode != ev.Mode || r.Intent.Object != ev.Object {
		return "", byObject, err
	}
	return r.ID, byObject, nil
}

// byName finds the request that whoever made the payment says it is for. That word
// never ends a call that is under way.
func (w *Witness) byName(rd store.Reader, ev *spend.Evidence) (spend.ID, link, error) {
	if ev.Named == "" {
		return "", byName, nil
	}
	r, err := w.e.load(rd, ev.Named)
	if errors.Is(err, spend.NotFound) || err == nil && (r.Intent.Rail != ev.Rail || r.State == spend.Executing || !sameMode(&r, ev)) {
		return "", byName, nil
	}
	return r.ID, byName, err
}

// sameMode keeps what a sandbox says from what is known of real money.
func sameMode(r *spend.Request, ev *spend.Evidence) bool {
	return r.Intent.Mode == "" || ev.Mode == "" || r.Intent.Mode == ev.Mode
}

// accountOf is the account for which a call acts, the last of a path of them.
func accountOf(in *spend.Intent) string {
	return in.ActingAccount[strings.LastIndexByte(in.ActingAccount, '/')+1:]
}

// apply books evidence that was found to be about r, and reports whether it says
// anything new.
func (w *Witness) apply(t *txn, r *spend.Request, ev *spend.Evidence, by link) (changed bool, err error) {
	d := deed{event: undone, from: r.State, who: ev.Rail, note: ev.Type + " " + ev.Event}
	if ev.Reversal != nil {
		v := *ev.Reversal
		v.Event, v.At = ev.Event, ev.At
		if v.Request, err = w.maker(t, ev.Rail, v.Transaction); err != nil || !addReversal(r, v) {
			return false, err
		}
		return true, w.e.save(t, r, d)
	}
	o := ev.Outcome(&r.Intent)
	o.Reply, o.Receipt.Source, o.Receipt.At = nil, spend.FromProvider, ev.At
	switch ok, err := w.proves(t, r, &o, by); {
	case err != nil:
		return false, err
	case !ok:
		return false, nil
	case o.Result == spend.DidNot && r.State == spend.Settled:
		// Perhaps the money comes back; perhaps it is asked for again. It stays counted.
		v := spend.Reversal{Kind: spend.ByFailure, Transaction: o.Receipt.TransactionID, Status: o.Receipt.Status, Event: ev.Event, At: ev.At}
		if !addReversal(r, v) {
			return false, nil
		}
		return true, w.e.save(t, r, d)
	}
	before := trail(r)
	if err := w.e.finish(t, r, o); err != nil {
		return false, err
	}
	if trail(r) == before {
		return false, nil
	}
	d.event = outcomeEvent(d.from, r.State, o.Result)
	return true, w.e.save(t, r, d)
}

// maker is the request that has made what the provider calls a reversal, "" for none.
func (w *Witness) maker(t *txn, rail, transaction string) (id spend.ID, err error) {
	all, err := w.e.paidBy(t, rail, transaction)
	for i := range all {
		if givesBack(&all[i]) {
			id = all[i].ID
		}
	}
	return id, err
}

// trail is what evidence may add to, in numbers.
func trail(r *spend.Request) [6]int {
	return [6]int{r.Transitions, len(r.Receipts), len(r.Again), len(r.Anomalies), len(r.Undone), len(r.Undoes)}
}

// proves reports whether an outcome that a provider told of is to be booked on r.
func (w *Witness) proves(t *txn, r *spend.Request, o *spend.Outcome, by link) (bool, error) {
	lowers, err := lowers(r, o)
	if err != nil {
		return false, err
	}
	// Who is called by the same key in another account is somebody else, and nothing
	// tells whose account a notice is from: only a call that names its object can be
	// given back by it.
	anyone := by != byTransaction && (by != byKey || r.Intent.Object == "")
	switch {
	case o.Result == spend.Uncertain, anyone && lowers,
		by == byObject && r.State != spend.Executing, by == byName && r.State == spend.Executing: // it has moved since
		return false, nil
	case w.underWay(t, r, o):
		return false, fmt.Errorf("the call may still be under way: %w", spend.Unavailable)
	case o.Result == spend.DidNot:
		return (r.State == spend.Executing || r.State == spend.Settled) && by != byName, nil
	case by == byObject:
		sum, err := total(r.Intent.Legs, o.Receipt.Amount.Unit())
		return err == nil && sum == o.Receipt.Amount, err
	}
	return !stale(r, &o.Receipt), nil
}

// underWay reports whether the call of r may still get its reply, or the provider may
// still be at it, so that what is said is not the last word.
func (w *Witness) underWay(t *txn, r *spend.Request, o *spend.Outcome) bool {
	waits := o.Result == spend.DidNot || r.Why != spend.OutcomeUnknown
	return r.State == spend.Executing && waits && t.now.Sub(r.Began) < objectHeld
}

// lowers reports whether less would be counted for r, that is not settled yet, by o
// than by what it was begun with.
func lowers(r *spend.Request, o *spend.Outcome) (bool, error) {
	switch told := o.Receipt.Amount; {
	case o.Result == spend.DidNot:
		return true, nil
	case o.Result != spend.Happened || told.IsZero() || told.IsUnlimited():
		return false, nil
	default:
		asked, err := total(r.Intent.Legs, told.Unit())
		if err != nil || asked.IsZero() {
			return false, err
		}
		rest, err := told.Sub(asked)
		return err == nil && rest.Sign() < 0, err
	}
}

// stale reports whether a receipt says how things stood before another one of the same
// provider about the same transaction, which says something else: what is told in the
// wrong order changes nothing. Of two of the same second, the one with more counts.
func stale(r *spend.Request, rc *spend.Receipt) bool {
	return slices.ContainsFunc(r.Receipts, func(k spend.Receipt) bool {
		if k.Source != spend.FromProvider || k.TransactionID != rc.TransactionID || k.Amount.Unit() != rc.Amount.Unit() || k.Amount == rc.Amount {
			return false
		}
		if !k.At.Equal(rc.At) {
			return k.At.After(rc.At)
		}
		more, err := rc.Amount.Sub(k.Amount)
		return err != nil || more.Sign() <= 0
	})
}
