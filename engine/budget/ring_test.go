package budget

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
)

// within counts the times in the window of 60 steps that ends at now, exactly.
func within(calls []time.Time, now time.Time, window time.Duration) int {
	n := 0
	for _, c := range calls {
		if c.After(now.Add(-window)) && !c.After(now) {
			n++
		}
	}
	return n
}

func TestARingNeverCountsTooFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, tx, clock := account(), memory{}, noon
		var calls []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "moves") {
			longest := rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, 2 * time.Minute, 2 * time.Hour}).Draw(t, "scale")
			clock = clock.Add(time.Duration(rapid.Int64Range(0, int64(longest)).Draw(t, "wait")))
			if rapid.Bool().Draw(t, "call") {
				if err := a.Count(tx, clock); err != nil {
					t.Fatal(err)
				}
				calls = append(calls, clock)
			}
			s := read(t, a, tx, clock)
			for _, ring := range []struct {
				name string
				got  int
				step time.Duration
			}{{"minute", s.Minute, time.Second}, {"hour", s.Hour, time.Minute}} {
				low, high := within(calls, clock, 60*ring.step), within(calls, clock, 61*ring.step)
				if ring.got < low || ring.got > high {
					t.Fatalf("%s counts %d, want %d to %d", ring.name, ring.got, low, high)
				}
			}
		}
	})
}

func TestAFullRingSaysWhenACallFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, tx, clock := account(), memory{}, noon
		for range rapid.IntRange(0, 12).Draw(t, "calls") {
			clock = clock.Add(time.Duration(rapid.Int64Range(0, int64(40*time.Second)).Draw(t, "wait")))
			if err := a.Count(tx, clock); err != nil {
				t.Fatal(err)
			}
		}
		clock = clock.Add(time.Duration(rapid.Int64Range(-int64(time.Minute), int64(time.Minute)).Draw(t, "skew")))
		bound := rapid.IntRange(0, 4).Draw(t, "bound")
		s, err := a.Read(tx, clock, bound, bound)
		if err != nil {
			t.Fatal(err)
		}
		for name, ring := range map[string]struct {
			count func(State) int
			free  time.Time
		}{
			"minute": {func(s State) int { return s.Minute }, s.MinuteFree},
			"hour":   {func(s State) int { return s.Hour }, s.HourFree},
		} {
			if fits := ring.count(s) < bound || bound == 0; fits != ring.free.IsZero() {
				t.Fatalf("%s holds %d of %d and says %v", name, ring.count(s), bound, ring.free)
			}
			if ring.free.IsZero() {
				continue
			}
			then, before := read(t, a, tx, ring.free), read(t, a, tx, ring.free.Add(-1))
			if !ring.free.After(clock) || ring.count(then) >= bound || ring.count(before) < bound {
				t.Fatalf("%s frees a slot of %d at %v: %d before, %d then", name, bound, ring.free, ring.count(before), ring.count(then))
			}
		}
	})
}

func TestAClockSetBackLosesNoCalls(t *testing.T) {
	tests := map[string]struct {
		back         time.Duration
		minute, hour int // after four calls, the last two of them later
	}{
		"by some seconds":    {7 * time.Second, 4, 4},
		"by a minute":        {time.Minute, 4, 4},
		"by more than rings": {3 * time.Hour, 4, 4},
		"by a year":          {365 * 24 * time.Hour, 4, 4},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, tx := account(), memory{}
			for _, at := range []time.Time{noon, noon.Add(time.Second), noon.Add(-tt.back), noon.Add(-tt.back)} {
				if err := a.Count(tx, at); err != nil {
					t.Fatal(err)
				}
			}
			s, err := a.Read(tx, noon.Add(-tt.back), 1, 1)
			if err != nil {
				t.Fatal(err)
			}
			if s.Minute != tt.minute || s.Hour != tt.hour {
				t.Errorf("counts %d a minute, %d an hour", s.Minute, s.Hour)
			}
			if want := noon.Add(62 * time.Second); s.MinuteFree != want {
				t.Errorf("free at %v, want %v", s.MinuteFree, want)
			}
		})
	}
}

func TestARingTurnsOver(t *testing.T) {
	a, tx := account(), memory{}
	for i := range 500 { // one call a second, more than eight turns
		if err := a.Count(tx, noon.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	s := read(t, a, tx, noon.Add(499*time.Second))
	if s.Minute != 61 || s.Hour != 500 {
		t.Errorf("counts %d a minute, %d an hour, want 61 and 500", s.Minute, s.Hour)
	}
	s = read(t, a, tx, noon.Add(499*time.Second+61*time.Second))
	if s.Minute != 0 || s.Hour != 500 {
		t.Errorf("a minute later it counts %d and %d, want 0 and 500", s.Minute, s.Hour)
	}
}

func TestADamagedRingIsAnError(t *testing.T) {
	a, good := account(), memory{}
	if err := a.Count(good, noon); err != nil {
		t.Fatal(err)
	}
	key := a.ringKey(perSecond)
	for name, value := range map[string][]byte{
		"an empty value":             {},
		"another format":             append([]byte{2}, good[key][1:]...),
		"a value cut short":          good[key][:len(good[key])-1],
		"a value with more behind":   append(append([]byte{}, good[key]...), 0),
		"a value of the format only": {format},
	} {
		t.Run(name, func(t *testing.T) {
			tx := good.clone()
			tx[key] = value
			if _, err := a.Read(tx, noon, 0, 0); err == nil {
				t.Error("it was read")
			}
			if err := a.Count(tx, noon); err == nil {
				t.Error("it was counted on")
			}
		})
	}
	for _, step := range []time.Duration{perSecond, perMinuteOfHour} {
		tx := broken{good, a.ringKey(step)}
		if _, err := a.Read(tx, noon, 0, 0); !errors.Is(err, errDisk) {
			t.Errorf("read from a broken store: %v", err)
		}
		if err := a.Count(tx, noon); !errors.Is(err, errDisk) || errors.Is(err, spend.Invalid) {
			t.Errorf("count in a broken store: %v", err)
		}
	}
}
