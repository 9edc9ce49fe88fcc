package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// uptime returns a clock that nobody sets and that goes on while the machine
// sleeps, which Go's own monotonic clock does not.
func uptime() func() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return nil
	}
	return func() time.Duration {
		var ts unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // it did not fail before
		return time.Duration(ts.Nano())
	}
}
