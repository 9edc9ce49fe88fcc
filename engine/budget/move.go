package budget

import (
	"fmt"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Post turns what was reserved into what was spent. It fails with
// ErrNotReserved where a counter does not hold the reservation.
func Post(tx store.Tx, rs []spend.Reservation) error {
	return move(tx, "post", rs, func(c counter, a spend.Amount) (counter, error) {
		if err := c.reserved.take(a); err != nil {
			return c, err
		}
		err := c.posted.add(a)
		return c, err
	})
}

// Void gives back what was reserved. It fails with ErrNotReserved where a
// counter does not hold the reservation.
func Void(tx store.Tx, rs []spend.Reservation) error {
	return move(tx, "void", rs, func(c counter, a spend.Amount) (counter, error) {
		err := c.reserved.take(a)
		return c, err
	})
}

// Release gives back in full what was posted, as when an allowance is revoked.
// Unlike Adjust it can take back an unlimited amount. It fails with
// ErrNotReserved where a counter has not posted as much.
func Release(tx store.Tx, rs []spend.Reservation) error {
	return move(tx, "release", rs, func(c counter, a spend.Amount) (counter, error) {
		err := c.posted.take(a)
		return c, err
	})
}

// Adjust adds to what was posted for each reservation the signed difference
// that diff returns for it, in the window of the reservation; the zero Amount
// or nought changes nothing. What is posted may fall below nought. It fails with
// spend.Invalid on a difference in another unit or without a bound.
func Adjust(tx store.Tx, rs []spend.Reservation, diff func(spend.Reservation) (spend.Amount, error)) error {
	for _, r := range rs {
		d, err := diff(r)
		if err != nil {
			return fmt.Errorf("adjust %s: %w", r.Counter, err)
		}
		if d.Sign() == 0 {
			continue
		}
		if d.IsUnlimited() {
			return fmt.Errorf("adjust %s by %s: %w", r.Counter, d, spend.Invalid)
		}
		one := []spend.Reservation{r}
		err = move(tx, "adjust", one, func(c counter, _ spend.Amount) (counter, error) {
			err := c.posted.add(d)
			return c, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// move changes the counter of each reservation in turn.
func move(tx store.Tx, verb string, rs []spend.Reservation, change func(counter, spend.Amount) (counter, error)) error {
	for _, r := range rs {
		c, err := readCounter(tx, r.Counter, r.Amount.Unit())
		if err != nil {
			return err
		}
		if c, err = change(c, r.Amount); err != nil {
			return fmt.Errorf("%s in %s: %w", verb, r.Counter, err)
		}
		if err := c.write(tx, r.Counter); err != nil {
			return err
		}
	}
	return nil
}
