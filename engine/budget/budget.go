// Package budget counts what policies limit, in two phases: an amount is first
// reserved, then posted when it was spent or voided when it was not, each once.
//
// An Account is the counters of one policy: an amount for each calendar day and
// month in the policy's zone, a gauge of exposure that has no window, and two
// rings that count calls over the last minute and the last hour. Reserve and
// Expose return Reservations that name the counters they changed; they are kept
// with the request, and Post, Void and Adjust work on those very counters
// whatever the date has become. Read gives what counts now; Refill builds the
// counters of a new or changed policy from what the ledger knows.
//
// Every decision is made by key, never by Scan, so that the store's promise
// about Get holds for it. What does not add up is an error, and the caller's
// transaction must then not commit.
package budget

import (
	"fmt"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Account names the counters of one policy.
type Account struct {
	Prefix string // of every key, for example "v1/main/"
	Policy spend.ID
	Unit   string         // the policy's unit, in normal form
	Zone   *time.Location // in which days and months are counted; nil for UTC

	names *names // remembered, if not nil
}

// State is what the counters of an account hold at one time. Amounts are
// reserved and posted together, in the account's unit. Its fields are those of
// policy.Usage, so that one converts to the other.
type State struct {
	Day, Month, Exposure spend.Amount
	Minute, Hour         int
	DayEnds, MonthEnds   time.Time
	MinuteFree, HourFree time.Time
}

// Read returns what counts at now. perMinute and perHour are the bounds for
// which MinuteFree and HourFree say when a call will fit again; these are zero
// for no bound, and while a call fits.
func (a Account) Read(r store.Reader, now time.Time, perMinute, perHour int) (State, error) {
	w := a.at(now)
	s := State{DayEnds: w.dayEnds, MonthEnds: w.monthEnds}
	var err error
	if s.Day, err = a.total(r, w.dayKey); err != nil {
		return State{}, err
	}
	if s.Month, err = a.total(r, w.monthKey); err != nil {
		return State{}, err
	}
	if s.Exposure, err = a.total(r, a.exposureKey()); err != nil {
		return State{}, err
	}
	var minute, hour ring
	if err := readRing(r, a.ringKey(perSecond), perSecond, &minute); err != nil {
		return State{}, err
	}
	if err := readRing(r, a.ringKey(perMinuteOfHour), perMinuteOfHour, &hour); err != nil {
		return State{}, err
	}
	s.Minute, s.Hour = minute.count(now), hour.count(now)
	s.MinuteFree, s.HourFree = minute.free(s.Minute, perMinute), hour.free(s.Hour, perHour)
	return s, nil
}

// total returns what counts in the counter at key.
func (a Account) total(r store.Reader, key string) (spend.Amount, error) {
	c, err := readCounter(r, key, a.Unit)
	if err != nil {
		return spend.Amount{}, err
	}
	sum, err := c.total()
	if err != nil {
		return sum, fmt.Errorf("read budget %s: %w", key, err)
	}
	return sum, nil
}

// Reserve counts amount in the day and the month that contain now, until it is
// posted or voided. The amount is in the account's unit and not negative, else
// spend.Invalid is returned; it may be unlimited.
func (a Account) Reserve(tx store.Tx, now time.Time, amount spend.Amount) ([]spend.Reservation, error) {
	w := a.at(now)
	return a.reserve(tx, amount, w.dayKey, w.monthKey)
}

// Expose counts amount in the gauge of exposure, under the rules of Reserve.
func (a Account) Expose(tx store.Tx, amount spend.Amount) ([]spend.Reservation, error) {
	return a.reserve(tx, amount, a.exposureKey())
}

func (a Account) reserve(tx store.Tx, amount spend.Amount, keys ...string) ([]spend.Reservation, error) {
	if err := a.check(amount); err != nil {
		return nil, fmt.Errorf("reserve %s: %w", amount, err)
	}
	rs := make([]spend.Reservation, 0, len(keys))
	for _, key := range keys {
		c, err := readCounter(tx, key, a.Unit)
		if err != nil {
			return nil, err
		}
		if err := c.reserved.add(amount); err != nil {
			return nil, fmt.Errorf("reserve in %s: %w", key, err)
		}
		if err := c.write(tx, key); err != nil {
			return nil, err
		}
		rs = append(rs, spend.Reservation{Counter: key, Amount: amount})
	}
	return rs, nil
}

func (a Account) check(amount spend.Amount) error {
	if a.Unit == "" || amount.Unit() != a.Unit {
		return fmt.Errorf("%w: the account counts in %q", spend.Invalid, a.Unit)
	}
	if amount.Sign() < 0 {
		return fmt.Errorf("%w: negative", spend.Invalid)
	}
	return nil
}

// Count adds one call at now to the velocity rings. Nothing takes it back.
func (a Account) Count(tx store.Tx, now time.Time) error {
	for _, step := range []time.Duration{perSecond, perMinuteOfHour} {
		key := a.ringKey(step)
		var r ring
		if err := readRing(tx, key, step, &r); err != nil {
			return err
		}
		r.add(now)
		if err := r.write(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// Owns reports whether r counts in one of the account's policy, whatever the
// unit and zone that the policy had at the time.
func (a Account) Owns(r spend.Reservation) bool {
	return strings.HasPrefix(r.Counter, a.root())
}

// Local returns what distinguishes a counter from the others of the account's
// policy, for a shorter record of it; ok is false for a counter of another policy.
func (a Account) Local(counter string) (local string, ok bool) {
	policy := escape(string(a.Policy))
	at := len(a.Prefix) + len(root)
	end := at + len(policy)
	if len(counter) <= end || counter[end] != '/' || counter[at:end] != policy ||
		counter[len(a.Prefix):at] != root || counter[:len(a.Prefix)] != a.Prefix {
		return "", false
	}
	return counter[end+1:], true
}

// Counter is the counter of which Local gave local.
func (a Account) Counter(local string) string { return a.root() + local }

// Gauge reports whether r counts in a gauge of exposure, which a difference
// between what was asked and what was settled does not touch.
func Gauge(r spend.Reservation) bool { return strings.HasSuffix(r.Counter, "/exposure") }

// escape makes a unit one part of a key.
func escape(s string) string {
	if strings.IndexByte(s, '/') < 0 && strings.IndexByte(s, ':') < 0 && strings.IndexByte(s, '%') < 0 {
		return s
	}
	return strings.NewReplacer("%", "%25", "/", "%2F", ":", "%3A").Replace(s)
}
