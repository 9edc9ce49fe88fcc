// Package spend is the vocabulary of outgo: what a payment is, what was decided
// about it, and what became of it. It imports the standard library only, and
// everything else in outgo imports it.
//
// In the order in which a payment meets them: an Intent (what a call would
// move, in Legs, each with an Amount) is judged by policies, which gives a
// Verdict; the two make a Request, which walks through the States; the gate
// answers a caller with a Ruling; what came back from the provider is an
// Outcome with a Receipt; Compare finds the Anomalies between what was declared,
// requested and settled. Errors that a caller may act on carry a Kind.
package spend

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// ID names a Request, a policy or a key: a UUIDv7 in its usual text form, or
// "" for none. The time in it is a convenience for readers; order is never
// derived from it.
type ID string

// NewID draws an ID for the time now from the system's randomness.
func NewID(now time.Time) ID {
	var b [16]byte
	rand.Read(b[6:]) //nolint:errcheck // crypto/rand.Read never returns an error since Go 1.24
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[:8], b[:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return ID(s[:])
}
