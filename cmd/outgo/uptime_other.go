//go:build !linux

package main

import "time"

// uptime returns nil: Go's monotonic clock will do, but for the sleep of a machine,
// which looks like a jump of its clock.
func uptime() func() time.Duration { return nil }
