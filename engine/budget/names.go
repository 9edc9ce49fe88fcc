package budget

import (
	"sync/atomic"
	"time"
)

// root begins the keys of all counters, behind the prefix.
const root = "bud/"

// names are the keys of an account's counters, made once: they are asked for
// several times by every payment. They stand for the account as it was when
// Remembering made them.
type names struct {
	exposure, minute, hour string
	now                    atomic.Pointer[windowNames]
}

// windowNames are the calendar day and month that contain one date, with the keys
// of their counters.
type windowNames struct {
	windows
	dayKey, monthKey   string
	dayEnds, monthEnds time.Time
}

// Remembering returns a that makes its keys once. Its fields must not be changed
// from then on.
func (a Account) Remembering() Account {
	a.names = nil
	a.names = &names{exposure: a.exposureKey(), minute: a.ringKey(perSecond), hour: a.ringKey(perMinuteOfHour)}
	return a
}

// at returns the names of the windows that contain t.
func (a Account) at(t time.Time) *windowNames {
	w := a.windowsAt(t)
	if a.names != nil {
		if last := a.names.now.Load(); last != nil && last.windows == w {
			return last
		}
	}
	n := &windowNames{windows: w, dayKey: a.dayKey(w), monthKey: a.monthKey(w), dayEnds: w.dayEnds(), monthEnds: w.monthEnds()}
	if a.names != nil {
		a.names.now.Store(n)
	}
	return n
}

func (a Account) root() string { return a.Prefix + root + escape(string(a.Policy)) + "/" }

// The keys of counters carry the unit, so that amounts of two units never meet;
// those of the rings do not, since calls have none.

func (a Account) dayKey(w windows) string {
	return a.root() + escape(a.Unit) + "/day/" + w.day()
}

func (a Account) monthKey(w windows) string {
	return a.root() + escape(a.Unit) + "/month/" + w.month()
}

func (a Account) exposureKey() string {
	if a.names != nil {
		return a.names.exposure
	}
	return a.root() + escape(a.Unit) + "/exposure"
}

func (a Account) ringKey(step time.Duration) string {
	switch {
	case a.names != nil && step == perSecond:
		return a.names.minute
	case a.names != nil:
		return a.names.hour
	case step == perSecond:
		return a.root() + "calls/minute"
	}
	return a.root() + "calls/hour"
}
