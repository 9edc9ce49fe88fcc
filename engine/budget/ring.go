package budget

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/outgo/outgo/engine/store"
)

// The steps of the two rings: a minute in seconds, an hour in minutes.
const (
	perSecond       = time.Second
	perMinuteOfHour = time.Minute
)

// slots is how many steps a ring remembers. A window of 60 steps that ends now
// touches 61 of them: part of the present one, 59 whole ones or 60, and part of
// the oldest, which is counted whole. So a ring never counts too few.
const slots = 61

// ring counts calls over a sliding window of 60 steps. Its stored form is the
// format byte and uvarints: head, then the slots from the newest to the oldest.
type ring struct {
	step time.Duration
	head int64         // the newest step, counted from 1970
	n    [slots]uint64 // n[i] is the number of calls in step head-i
}

func (r *ring) stepOf(t time.Time) int64 {
	return max(0, t.Unix()/int64(r.step/time.Second))
}

// add counts one call at t. A time before the head, as after a clock was set
// back, is counted in its own step, or in the oldest that the ring remembers.
func (r *ring) add(t time.Time) {
	step := r.stepOf(t)
	if ahead := step - r.head; ahead > 0 {
		var n [slots]uint64
		if ahead < slots {
			copy(n[ahead:], r.n[:])
		}
		r.n, r.head = n, step
	}
	i := min(r.head-step, slots-1)
	r.n[i]++
}

// recall counts a call at t that is told of only now, if the window that ends
// now still holds it.
func (r *ring) recall(t, now time.Time) {
	if r.stepOf(t) > r.stepOf(now)-slots {
		r.add(t)
	}
}

// count returns the calls in the window that ends at t, and those after t.
func (r *ring) count(t time.Time) int {
	return r.from(r.stepOf(t) - (slots - 1))
}

// from sums the calls in step and all later ones.
func (r *ring) from(step int64) int {
	if r.head < step {
		return 0
	}
	// More than this is more calls than any bound, on every platform.
	const most = math.MaxInt32
	var sum uint64
	for _, n := range r.n[:min(uint64(r.head)-uint64(step), slots-1)+1] { //nolint:gosec // their difference is never negative
		sum += min(n, most)
	}
	return int(min(sum, most)) //nolint:gosec // no more than fits
}

// free returns when one more call will fit under bound calls a window, of which there
// are used; the zero time if it fits already or no call ever will.
func (r *ring) free(used, bound int) time.Time {
	if bound <= 0 || used < bound {
		return time.Time{}
	}
	// The window leaves the step head-i behind when it is 61 steps past.
	for i := int64(slots - 1); i > 0; i-- {
		if r.from(r.head-i+1) < bound {
			return r.start(r.head - i + slots)
		}
	}
	return r.start(r.head + slots)
}

// start returns the first instant of step.
func (r *ring) start(step int64) time.Time {
	return time.Unix(step*int64(r.step/time.Second), 0).UTC()
}

// readRing reads the ring at key into r, which is empty if it is absent.
func readRing(rd store.Reader, key string, step time.Duration, r *ring) error {
	*r = ring{step: step}
	value, err := rd.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read velocity %s: %w", key, err)
	}
	if len(value) == 0 || value[0] != format {
		return fmt.Errorf("read velocity %s: unknown format", key)
	}
	head, rest, ok := cutNumber(value[1:])
	for i := range r.n {
		if len(rest) > 0 && rest[0] < 0x80 { // as nearly all are
			r.n[i], rest = uint64(rest[0]), rest[1:]
		} else if ok {
			r.n[i], rest, ok = cutNumber(rest)
		}
	}
	if !ok || len(rest) > 0 || head > math.MaxInt64 {
		return fmt.Errorf("read velocity %s: damaged", key)
	}
	r.head = int64(head) //nolint:gosec // no greater than MaxInt64
	return nil
}

// cutNumber takes a uvarint off the front of b.
func cutNumber(b []byte) (n uint64, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

func (r *ring) write(tx store.Tx, key string) error {
	room := store.LenderOf(tx)
	value := append(room.Lend(1+binary.MaxVarintLen64+slots+16), format)
	value = binary.AppendUvarint(value, uint64(r.head)) //nolint:gosec // never negative
	for _, n := range r.n {
		if n < 0x80 {
			value = append(value, byte(n))
		} else {
			value = binary.AppendUvarint(value, n)
		}
	}
	if err := room.PutLent(key, value); err != nil {
		return fmt.Errorf("write velocity %s: %w", key, err)
	}
	return nil
}
