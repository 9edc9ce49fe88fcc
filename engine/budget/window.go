package budget

import (
	"sort"
	"time"
)

// windows are the calendar day and month that contain one instant.
type windows struct {
	y    int
	m    time.Month
	d    int
	zone *time.Location
}

func (a Account) windowsAt(t time.Time) windows {
	zone := a.Zone
	if zone == nil {
		zone = time.UTC
	}
	y, m, d := t.In(zone).Date()
	return windows{y, m, d, zone}
}

// day and month name the windows so that later ones sort behind earlier ones.

func (w windows) day() string { return w.noon().Format("2006-01-02") }

func (w windows) month() string { return w.noon().Format("2006-01") }

// noon is a carrier of the date alone.
func (w windows) noon() time.Time { return time.Date(w.y, w.m, w.d, 12, 0, 0, 0, time.UTC) }

func (w windows) dayEnds() time.Time { return dayStart(w.y, w.m, w.d+1, w.zone) }

func (w windows) monthEnds() time.Time { return dayStart(w.y, w.m+1, 1, w.zone) }

// dayStart returns the first instant whose date in zone is not before y-m-d.
// That is midnight, unless the clocks skip it, or the whole day, or pass it
// twice, as they do in zones that change their offset around midnight; there
// time.Date promises only an answer near by.
func dayStart(y int, m time.Month, d int, zone *time.Location) time.Time {
	guess := time.Date(y, m, d, 0, 0, 0, 0, zone)
	if zone == time.UTC {
		return guess
	}
	want := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()
	const reach = 26 * 60 * 60 // seconds; more than any zone has ever jumped
	from := guess.Add(-reach * time.Second)
	n := sort.Search(2*reach, func(i int) bool {
		y, m, d := from.Add(time.Duration(i) * time.Second).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() >= want
	})
	return from.Add(time.Duration(n) * time.Second)
}
