package engine

import (
	"fmt"
	"sync"
	"time"
)

// How far the clock may move, beyond the time that has passed, before it is not
// believed. A step forward opens new windows and ends holds; a step back lets time
// be counted twice.
const (
	maxForward = time.Hour
	maxBack    = 5 * time.Second
	// maxOff is for how long outgo may have been off. At a start nobody knows how much
	// time has passed, but a machine without a clock of its own may show any year,
	// and what is written under a year to come is the ledger's time until then.
	maxOff = 366 * 24 * time.Hour
	// maxRead is how long a reading of the clock may take.
	maxRead = time.Second
)

// A timekeeper is the engine's clock. It holds the wall clock against the time that
// has passed; where the two part by a jump, it goes on from before the jump, and
// says that the clock jumped until it is back or somebody accepts what it shows.
type timekeeper struct {
	wall  func() time.Time
	up    func() time.Duration // monotonic; nil = by the monotonic readings of wall
	base  time.Time
	alarm func(error)

	mu   sync.Mutex
	at   time.Time // what wall showed when it was last believed
	upAt time.Duration
	jump time.Duration // how far it is off; 0 = it is not
}

func newTimekeeper(opt Options) *timekeeper {
	k := &timekeeper{wall: opt.Clock, up: opt.Uptime, base: opt.Clock(), alarm: opt.Alarm}
	k.at, k.upAt = k.read()
	return k
}

// read returns what the clock shows, and the time that has passed since base.
func (k *timekeeper) read() (wall time.Time, up time.Duration) {
	if k.up == nil {
		wall = k.wall()
		return wall, wall.Sub(k.base)
	}
	// The process may stand still, or the machine sleep, between two readings that
	// belong together: that is no jump.
	for range 10 {
		before := k.up()
		if wall, up = k.wall(), k.up(); up-before <= maxRead {
			break
		}
	}
	return wall, up
}

// now is the time to decide by.
func (k *timekeeper) now() time.Time {
	wall, up := k.read()
	k.mu.Lock()
	expected := k.at.Add(up - k.upAt)
	off := wall.Round(0).Sub(expected.Round(0))
	if off <= maxForward && off >= -maxBack {
		k.at, k.upAt, k.jump = wall, up, 0
		k.mu.Unlock()
		return wall
	}
	news := k.jump == 0
	k.jump = off
	k.mu.Unlock()
	if news {
		go k.alarm(fmt.Errorf("spending is stopped: %s", jumpText(off)))
	}
	return expected
}

// startAfter has the clock be off if it shows an earlier time than the ledger's last,
// or one that is years behind it; zero for a new ledger.
func (k *timekeeper) startAfter(last time.Time) {
	k.mu.Lock()
	if k.at.Before(last.Add(-maxBack)) || !last.IsZero() && k.at.After(last.Add(maxOff)) {
		k.at = last
	}
	k.mu.Unlock()
	k.now()
}

// accept takes what the clock shows for the time.
func (k *timekeeper) accept() {
	wall, up := k.read()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at, k.upAt, k.jump = wall, up, 0
}

// jumped says how the clock is off, or is "".
func (k *timekeeper) jumped() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.jump == 0 {
		return ""
	}
	return jumpText(k.jump)
}

func jumpText(off time.Duration) string {
	way := "forward"
	if off < 0 {
		way, off = "back", -off
	}
	return fmt.Sprintf("the clock has jumped %s %s; set it right, or take it as it is with `outgo unfreeze`", off.Round(time.Second), way)
}
