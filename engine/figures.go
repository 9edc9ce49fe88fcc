package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// A Tally counts measurements by size without a float: bucket i holds those of at
// most Bounds[i], and the last one, which has no bound, the rest.
type Tally struct {
	Bounds []int64
	Counts []uint64 // one more than Bounds
	Sum    int64
}

func newTally(bounds ...int64) Tally {
	return Tally{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
}

func (t *Tally) add(n int64) {
	i := 0
	for i < len(t.Bounds) && n > t.Bounds[i] {
		i++
	}
	t.Counts[i]++
	t.Sum += n
}

// Count returns how many measurements there were.
func (t *Tally) Count() (n uint64) {
	for _, c := range t.Counts {
		n += c
	}
	return n
}

func (t *Tally) clone() Tally {
	return Tally{Bounds: t.Bounds, Counts: append([]uint64(nil), t.Counts...), Sum: t.Sum}
}

// add counts one batch. The buckets go from a commit in memory to one on a disk
// that is overwhelmed, and from a lone action to a full batch.
func (s *commitStats) add(actions, bytes int, took time.Duration) {
	if s.sizes.Counts == nil {
		s.latency = newTally(50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000)
		s.sizes = newTally(1, 2, 4, 8, 16, 32, 64, maxBatchActions)
	}
	s.bytes += uint64(bytes) //nolint:gosec // not negative
	s.latency.add(took.Microseconds())
	s.sizes.add(int64(actions))
}

// Budgets returns what every limited budget of the active policies holds now, in
// the order of the policies.
func (e *Engine) Budgets(ctx context.Context) ([]spend.Balance, error) {
	var out []spend.Balance
	err := e.view(ctx, func(r store.Reader) error {
		set, err := e.readPolicies(r)
		if err != nil {
			return err
		}
		for _, p := range set.list {
			if !p.Active {
				continue
			}
			u, err := e.usage(r, set, p.ID, e.clock())
			if err != nil {
				return err
			}
			out = p.AppendBalances(out, &u)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read budgets: %w", err)
	}
	return out, nil
}

// Holds is how many requests wait for a person, and since when the oldest does;
// zero for none.
type Holds struct {
	Held   int
	Oldest time.Time
}

// Holds counts what waits for a person, among the oldest requests that are open;
// it looks at some thousands of them at most.
func (e *Engine) Holds(ctx context.Context) (h Holds, err error) {
	now := e.clock()
	err = e.view(ctx, func(r store.Reader) error {
		looked := 0
		for l, err := range e.keys.oldest(r, openMark) {
			if err != nil {
				return err
			}
			if looked++; looked > maxLooked {
				return nil
			}
			q, err := e.load(r, l.id)
			if err != nil {
				return err
			}
			if q.StateAt(now) != spend.Held {
				continue
			}
			if h.Held++; h.Held == 1 {
				h.Oldest = q.Created
			}
		}
		return nil
	})
	return h, err
}
