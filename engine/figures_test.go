package engine

import (
	"slices"
	"testing"
	"time"
)

func TestATallyCountsEachMeasurementOnce(t *testing.T) {
	tally := newTally(1, 10, 100)
	for _, n := range []int64{0, 1, 2, 10, 11, 100, 101, 5000} {
		tally.add(n)
	}
	if !slices.Equal(tally.Counts, []uint64{2, 2, 2, 2}) || tally.Count() != 8 || tally.Sum != 5225 {
		t.Errorf("%+v", tally)
	}
	snapshot := tally.clone()
	tally.add(1)
	if snapshot.Count() != 8 {
		t.Error("a snapshot changes")
	}
	var s commitStats
	s.add(3, 400, 1500*time.Microsecond)
	if s.bytes != 400 || s.sizes.Sum != 3 || s.latency.Sum != 1500 || s.latency.Counts[5] != 1 {
		t.Errorf("%+v", s)
	}
}
