package budget

import (
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"
)

func TestWindows(t *testing.T) {
	tests := map[string]struct {
		zone, at, day, dayEnds, month, monthEnds string
	}{
		"a day in UTC":                                  {"UTC", "2026-11-21T23:59:59Z", "2026-11-21", "2026-11-22T00:00:00Z", "2026-11", "2026-12-01T00:00:00Z"},
		"a year's end in UTC":                           {"UTC", "2026-12-31T10:00:00Z", "2026-12-31", "2027-01-01T00:00:00Z", "2026-12", "2027-01-01T00:00:00Z"},
		"a leap day":                                    {"UTC", "2028-02-28T10:00:00Z", "2028-02-28", "2028-02-29T00:00:00Z", "2028-02", "2028-03-01T00:00:00Z"},
		"Tokyo is a day ahead at night":                 {"Asia/Tokyo", "2026-11-30T15:00:00Z", "2026-12-01", "2026-12-01T15:00:00Z", "2026-12", "2026-12-31T15:00:00Z"},
		"Berlin's day of 23 hours":                      {"Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29", "2026-03-29T22:00:00Z", "2026-03", "2026-03-31T22:00:00Z"},
		"Berlin's day of 25 hours":                      {"Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25", "2026-10-25T23:00:00Z", "2026-10", "2026-10-31T23:00:00Z"},
		"New York's day of 23 hours":                    {"America/New_York", "2026-03-08T05:00:00Z", "2026-03-08", "2026-03-09T04:00:00Z", "2026-03", "2026-04-01T04:00:00Z"},
		"New York's day of 25 hours":                    {"America/New_York", "2026-11-01T04:00:00Z", "2026-11-01", "2026-11-02T05:00:00Z", "2026-11", "2026-12-01T05:00:00Z"},
		"Lord Howe's day of 24 and a half":              {"Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-05", "2026-04-05T13:30:00Z", "2026-04", "2026-04-30T13:30:00Z"},
		"before a midnight that Cairo skips":            {"Africa/Cairo", "2024-04-25T12:00:00Z", "2024-04-25", "2024-04-25T22:00:00Z", "2024-04", "2024-04-30T21:00:00Z"},
		"before a midnight that Havana has twice":       {"America/Havana", "2024-11-02T12:00:00Z", "2024-11-02", "2024-11-03T04:00:00Z", "2024-11", "2024-12-01T05:00:00Z"},
		"between Havana's two midnights":                {"America/Havana", "2024-11-03T04:30:00Z", "2024-11-03", "2024-11-04T05:00:00Z", "2024-11", "2024-12-01T05:00:00Z"},
		"before the day that Samoa left out":            {"Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29", "2011-12-30T10:00:00Z", "2011-12", "2011-12-31T10:00:00Z"},
		"a month that ends between two offsets":         {"America/Asuncion", "2000-09-30T12:00:00Z", "2000-09-30", "2000-10-01T04:00:00Z", "2000-09", "2000-10-01T04:00:00Z"},
		"an instant of another zone is the same window": {"UTC", "2026-11-22T01:00:00+02:00", "2026-11-21", "2026-11-22T00:00:00Z", "2026-11", "2026-12-01T00:00:00Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := account()
			a.Zone = zone(t, tt.zone)
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			w := a.windowsAt(at)
			stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
			if w.day() != tt.day || stamp(w.dayEnds()) != tt.dayEnds {
				t.Errorf("day %s ends %s, want %s, %s", w.day(), stamp(w.dayEnds()), tt.day, tt.dayEnds)
			}
			if w.month() != tt.month || stamp(w.monthEnds()) != tt.monthEnds {
				t.Errorf("month %s ends %s, want %s, %s", w.month(), stamp(w.monthEnds()), tt.month, tt.monthEnds)
			}
		})
	}
}

// Each hour of three days around a change of clocks reserves one cent; the day
// then holds as many cents as hours have passed since it began.
func TestADayHoldsItsHours(t *testing.T) {
	tests := map[string]struct {
		zone, from string
		hours      []int // of the first three days
	}{
		"Berlin in spring":    {"Europe/Berlin", "2026-03-28", []int{24, 23, 24}},
		"Berlin in autumn":    {"Europe/Berlin", "2026-10-24", []int{24, 25, 24}},
		"New York in spring":  {"America/New_York", "2026-03-07", []int{24, 23, 24}},
		"New York in autumn":  {"America/New_York", "2026-10-31", []int{24, 25, 24}},
		"Cairo, at midnight":  {"Africa/Cairo", "2024-04-25", []int{24, 23, 24}},
		"Santiago, in autumn": {"America/Santiago", "2026-04-03", []int{24, 25, 24}},
		"Tokyo, never":        {"Asia/Tokyo", "2026-03-28", []int{24, 24, 24}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, tx := account(), memory{}
			a.Zone = zone(t, tt.zone)
			clock, err := time.ParseInLocation(time.DateOnly, tt.from, a.Zone)
			if err != nil {
				t.Fatal(err)
			}
			for day, hours := range tt.hours {
				ends := read(t, a, tx, clock).DayEnds
				if got := ends.Sub(clock); got != time.Duration(hours)*time.Hour {
					t.Fatalf("day %d has %v, want %d h", day, got, hours)
				}
				for i := range hours {
					if got := read(t, a, tx, clock).Day; got != usd(int64(i)) {
						t.Fatalf("hour %d of day %d: %s", i, day, got)
					}
					reserve(t, a, tx, clock, usd(1))
					clock = clock.Add(time.Hour)
				}
				if got := read(t, a, tx, clock.Add(-time.Nanosecond)).Day; got != usd(int64(hours)) {
					t.Fatalf("day %d held %s in its last moment", day, got)
				}
			}
		})
	}
}

func TestAMonthTurnsWhereItsZoneTurns(t *testing.T) {
	a, tx := account(), memory{}
	a.Zone = zone(t, "America/New_York")
	last := time.Date(2026, 11, 1, 0, 0, 0, 0, a.Zone).Add(-time.Nanosecond) // still October there
	reserve(t, a, tx, last, usd(7))
	if got := read(t, a, tx, last).Month; got != usd(7) {
		t.Errorf("October holds %s", got)
	}
	if got := read(t, a, tx, last.Add(time.Nanosecond)).Month; got != usd(0) {
		t.Errorf("November begins with %s", got)
	}
}

func TestWindowsFitTogether(t *testing.T) {
	names := []string{
		"UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "America/Havana", "America/Santiago",
		"Asia/Beirut", "Pacific/Apia", "Pacific/Kiritimati", "America/Sao_Paulo", "Asia/Kathmandu", "Atlantic/Azores",
	}
	zones := make([]*time.Location, len(names))
	for i, name := range names {
		zones[i] = zone(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		a := account()
		a.Zone = rapid.SampledFrom(zones).Draw(t, "zone")
		at := time.Unix(rapid.Int64Range(946684800, 2208988800).Draw(t, "at"), 0) // 2000 to 2040
		w := a.windowsAt(at)
		for what, window := range map[string]struct {
			ends time.Time
			name func(windows) string
		}{"day": {w.dayEnds(), windows.day}, "month": {w.monthEnds(), windows.month}} {
			before, after := a.windowsAt(window.ends.Add(-1)), a.windowsAt(window.ends)
			if !window.ends.After(at) || window.name(before) != window.name(w) || window.name(after) <= window.name(w) {
				t.Fatalf("%s of %s ends %s, between %s and %s", what, at.In(a.Zone), window.ends, window.name(before), window.name(after))
			}
		}
	})
}
