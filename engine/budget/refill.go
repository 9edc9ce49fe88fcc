package budget

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Fact is one payment as the ledger knows it, seen by the policy whose counters
// are filled. An amount that is the zero Amount counts in no counter; the rings
// count every payment that is recent enough.
type Fact struct {
	Request  spend.ID
	At       time.Time    // when it was last reserved, or begun
	Amount   spend.Amount // what days and months count
	Exposure spend.Amount // what the gauge counts, from whatever time it is
	Posted   bool         // spent, as adjusted since; otherwise reserved and still open
	// Uncounted says that the policy does not cover the request, which then
	// counts as no call either.
	Uncounted bool
}

// Open is a request that still holds reservations after a Refill.
type Open struct {
	Request      spend.ID
	Reservations []spend.Reservation // in place of all that Account.Owns; may be none
}

// Refill sets the counters of a new or changed policy from scratch: the day and
// the month that contain now, the gauge, and the velocity rings, which keep the
// greater of what they held and what facts tell. Facts must name every open
// request that the policy covers or ever reserved for, and every posted one
// since the month began; those of posted exposure may be older. Order does not
// matter, but several facts of one request stand together.
//
// For each fact that is not posted, Refill returns the reservations that the
// request holds from now on, for the caller to store with it in the same
// transaction: a Post or Void of the earlier ones would meet other counters. An
// open request from before today no longer counts in the day it was reserved
// in, which nobody reads again. Posted requests keep the reservations they have;
// these are exact unless unit or zone have changed.
func (a Account) Refill(tx store.Tx, now time.Time, facts iter.Seq[Fact]) ([]Open, error) {
	w := a.windowsAt(now)
	nought := quantity{finite: spend.NewAmount(a.Unit, 0)}
	day := tally{key: a.dayKey(w), c: counter{reserved: nought, posted: nought}}
	month := tally{key: a.monthKey(w), c: day.c}
	gauge := tally{key: a.exposureKey(), c: day.c}
	minute, hour := ring{step: perSecond}, ring{step: perMinuteOfHour}

	var open []Open
	for f := range facts {
		rs := a.counted(w, f)
		for _, r := range rs {
			if err := a.check(r.Amount); err != nil {
				return nil, fmt.Errorf("refill with request %s: %w", f.Request, err)
			}
			for _, to := range []*tally{&day, &month, &gauge} {
				if to.key != r.Counter {
					continue
				}
				if err := to.add(r.Amount, f.Posted); err != nil {
					return nil, fmt.Errorf("refill with request %s: %w", f.Request, err)
				}
			}
		}
		switch last := len(open) - 1; {
		case f.Posted:
		case last >= 0 && open[last].Request == f.Request:
			open[last].Reservations = append(open[last].Reservations, rs...)
		default:
			open = append(open, Open{Request: f.Request, Reservations: rs})
		}
		if !f.Uncounted {
			minute.recall(f.At, now)
			hour.recall(f.At, now)
		}
	}
	for _, t := range []tally{day, month, gauge} {
		if err := t.c.write(tx, t.key); err != nil {
			return nil, err
		}
	}
	if err := a.clearAhead(tx, now); err != nil {
		return nil, err
	}
	return open, a.mergeRings(tx, minute, hour)
}

// Counted returns where a Refill at now would count f, and how much.
func (a Account) Counted(now time.Time, f Fact) []spend.Reservation {
	return a.counted(a.windowsAt(now), f)
}

// counted returns where and with what f counts in the windows w and in the gauge.
func (a Account) counted(w windows, f Fact) (rs []spend.Reservation) {
	at := a.windowsAt(f.At)
	// What was reserved at a later time than now, by a clock that has since been
	// set back, counts now.
	for _, part := range []struct {
		in     bool
		key    string
		amount spend.Amount
	}{
		{at.day() >= w.day(), a.dayKey(w), f.Amount},
		{at.month() >= w.month(), a.monthKey(w), f.Amount},
		{true, a.exposureKey(), f.Exposure},
	} {
		if part.in && !part.amount.IsZero() {
			rs = append(rs, spend.Reservation{Counter: part.key, Amount: part.amount})
		}
	}
	return rs
}

// Shift moves one open request from the reservations that it holds in the account
// to those that a Refill at now would give it, and returns these. facts are what
// is to be counted of it, as of Refill; those that are posted are left to Refill.
func (a Account) Shift(tx store.Tx, now time.Time, held []spend.Reservation, facts []Fact) (rs []spend.Reservation, err error) {
	w := a.windowsAt(now)
	for _, f := range facts {
		if !f.Posted {
			rs = append(rs, a.counted(w, f)...)
		}
	}
	if Same(held, rs) {
		return held, nil
	}
	if err := Void(tx, held); err != nil {
		return nil, fmt.Errorf("shift: %w", err)
	}
	for _, r := range rs {
		if _, err := a.reserve(tx, r.Amount, r.Counter); err != nil {
			return nil, fmt.Errorf("shift: %w", err)
		}
	}
	return rs, nil
}

// Same reports whether two lists hold the same reservations in the same order.
func Same(a, b []spend.Reservation) bool {
	return slices.EqualFunc(a, b, func(a, b spend.Reservation) bool {
		order, err := a.Amount.Cmp(b.Amount)
		return err == nil && order == 0 && a.Counter == b.Counter
	})
}

// tally is a counter in the making.
type tally struct {
	key string
	c   counter
}

func (t *tally) add(amount spend.Amount, posted bool) error {
	if posted {
		return t.c.posted.add(amount)
	}
	return t.c.reserved.add(amount)
}

// clearAhead removes the days and the month that follow: where a policy has
// moved to a zone further west, some of what it counted on a later date lies
// before the windows of that date.
func (a Account) clearAhead(tx store.Tx, now time.Time) error {
	w := a.windowsAt(now)
	ahead := []string{a.monthKey(windows{w.y, w.m + 1, 1, w.zone})}
	for days := 1; days <= 2; days++ { // zones lie up to 26 hours apart
		ahead = append(ahead, a.dayKey(windows{w.y, w.m, w.d + days, w.zone}))
	}
	for _, key := range ahead {
		if _, err := tx.Get(key); errors.Is(err, store.ErrNotFound) {
			continue
		} else if err != nil {
			return fmt.Errorf("read budget %s: %w", key, err)
		}
		if err := tx.Delete(key); err != nil {
			return fmt.Errorf("delete budget %s: %w", key, err)
		}
	}
	return nil
}

// mergeRings stores for each step the greater count. What the ring holds beyond
// the facts are calls that came to nothing; they are never given back.
func (a Account) mergeRings(tx store.Tx, told ...ring) error {
	for _, r := range told {
		key := a.ringKey(r.step)
		var held ring
		if err := readRing(tx, key, r.step, &held); err != nil {
			return err
		}
		if held.head < r.head {
			held, r = r, held
		}
		for i := range r.n {
			if at := held.head - r.head + int64(i); at < slots {
				held.n[at] = max(held.n[at], r.n[i])
			}
		}
		if err := held.write(tx, key); err != nil {
			return err
		}
	}
	return nil
}
