package engine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// maxUndone bounds what is kept of the reversals of one payment.
const maxUndone = 256

// tie ties r, which has given money back, to the payment that the money was from, as
// far as a request of outgo's has made that.
func (e *Engine) tie(t *txn, r *spend.Request, o *spend.Outcome) error {
	if r.Undoes != "" || !givesBack(r) {
		return nil
	}
	names := slices.Clip(o.Undoes)
	if _, id, acts := strings.Cut(r.Intent.Object, "/"); acts {
		names = append(names, id)
	}
	of, err := e.paymentOf(t, r.Intent.Rail, names)
	if err != nil || of == nil {
		return err
	}
	r.Undoes = of.ID
	v := spend.Reversal{
		Kind: spend.ByRefund, Transaction: o.Receipt.TransactionID, Status: o.Receipt.Status, Amount: o.Receipt.Amount,
		Request: r.ID, At: t.now,
	}
	if !addReversal(of, v) {
		return nil
	}
	return e.save(t, of, deed{event: undone, from: of.State, who: itself, note: "by request " + string(r.ID)})
}

// givesBack reports whether r is a refund.
func givesBack(r *spend.Request) bool {
	return slices.ContainsFunc(r.Intent.Legs, func(l spend.Leg) bool { return l.Kind == spend.Refund })
}

// paymentOf returns the request that has made a payment which goes by one of the
// names: the last that is settled, or the last; nil where there is none.
func (e *Engine) paymentOf(r store.Reader, rail string, names []string) (*spend.Request, error) {
	var found *spend.Request
	for _, name := range names {
		all, err := e.paidBy(r, rail, name)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if !givesBack(&all[i]) && (found == nil || found.State != spend.Settled || all[i].State == spend.Settled) {
				found = &all[i]
			}
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, nil
}

// addReversal notes what has undone r, which belongs to the caller. It reports whether
// that is new.
func addReversal(r *spend.Request, v spend.Reversal) bool {
	for i := range r.Undone {
		known := &r.Undone[i]
		switch {
		case !known.Says(&v):
		case known.Request == "" && v.Request != "" || known.Event == "" && v.Event != "":
			known.Request, known.Event = cmp.Or(known.Request, v.Request), cmp.Or(known.Event, v.Event)
			return true
		default:
			return false
		}
	}
	if len(r.Undone) >= maxUndone {
		return false
	}
	r.Undone = append(r.Undone, v)
	return true
}
