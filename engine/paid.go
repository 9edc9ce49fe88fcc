package engine

import (
	"errors"
	"fmt"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// What a provider calls a payment is found again by a key of its own: the format byte,
// then the 16 bytes of the id of each request that had a part in it, in the order in
// which that became known. There is mostly one; a payment that is put on hold and
// captured by two calls has two.
const (
	formatPaid = 1
	paidEntry  = 16
	// maxPaid bounds the requests of one transaction; the oldest of more are forgotten,
	// but for the first.
	maxPaid = 32
	// maxTransaction is the longest name of a transaction, in bytes, that is found again.
	maxTransaction = 256
)

// enterPaid has r found by what the provider calls its payment.
func (e *Engine) enterPaid(t *txn, r *spend.Request, transaction string) error {
	if transaction == "" || len(transaction) > maxTransaction {
		return nil
	}
	key := e.keys.paid(r.Intent.Rail, transaction)
	known, err := readPaid(t, key)
	if err != nil {
		return err
	}
	for _, id := range known {
		if id == r.ID {
			return nil
		}
	}
	if len(known) == maxPaid {
		known = append(known[:1:1], known[2:]...)
	}
	value := append(make([]byte, 0, 1+(len(known)+1)*paidEntry), formatPaid)
	for _, id := range append(known, r.ID) {
		if value, err = id.AppendRaw(value); err != nil {
			return err
		}
	}
	return t.Put(key, value)
}

// readPaid returns the requests that the key of a transaction names, none where there
// is no such key. It fails on a form that this version does not know.
func readPaid(r store.Reader, key string) ([]spend.ID, error) {
	stored, err := r.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if len(stored) == 0 || stored[0] != formatPaid || (len(stored)-1)%paidEntry != 0 {
		return nil, fmt.Errorf("read %s: the value has a format that this version of outgo does not know", key)
	}
	ids := make([]spend.ID, 0, len(stored)/paidEntry)
	for raw := stored[1:]; len(raw) > 0; raw = raw[paidEntry:] {
		ids = append(ids, spend.RawID([paidEntry]byte(raw)))
	}
	return ids, nil
}

// paidBy returns the requests of a rail that had a part in a provider's transaction,
// in the order in which that became known; none for one that is not known.
func (e *Engine) paidBy(r store.Reader, rail, transaction string) ([]spend.Request, error) {
	if transaction == "" || len(transaction) > maxTransaction {
		return nil, nil
	}
	ids, err := readPaid(r, e.keys.paid(rail, transaction))
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	out := make([]spend.Request, len(ids))
	for i, id := range ids {
		if out[i], err = e.load(r, id); err != nil {
			return nil, err
		}
	}
	return out, nil
}
