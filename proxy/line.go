package proxy

import (
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/outgo/outgo/engine/spend"
)

// Line is what there is to say about one call, or one CONNECT that ended outside
// of a guarded host. Nothing in it is secret.
type Line struct {
	Agent     string
	Rail      string
	Class     spend.Class
	Operation string
	Host      string
	Method    string
	Path      string // without the query
	// Decision is "forwarded" (by a ruling), "passed" (a read, or a write that
	// moves no money), "withheld" (a read that passed without what its reply would
	// have given away), "tunneled", "joined" (another call's reply), "replayed",
	// "gone" (the agent hung up first), "cut", or the value of Outgo-Decision.
	Decision string
	Code     spend.Code
	Request  spend.ID
	Legs     []spend.Leg // of which only the amounts are written
	Status   int         // as answered to the agent; 0 when nothing was
	Held     time.Duration
	Upstream time.Duration // waiting for the provider, lookups included
	Total    time.Duration
	Err      string
	// Cause says why outgo could not decide, in a call that it therefore did not
	// send: "draining", "lookup" (the provider did not tell what the call would
	// move), "ledger", "timeout", "panic" or "internal"; "" otherwise.
	Cause string
}

// Added is the time that outgo itself has taken.
func (l *Line) Added() time.Duration { return max(0, l.Total-l.Held-l.Upstream) }

// The fields of a Line in the log, one name each, wherever they appear.
const (
	FieldAgent     = "agent"
	FieldRail      = "rail"
	FieldClass     = "class"
	FieldOperation = "operation"
	FieldHost      = "host"
	FieldMethod    = "method"
	FieldPath      = "path"
	FieldDecision  = "decision"
	FieldCode      = "code"
	FieldRequest   = "request"
	FieldAmounts   = "amounts"
	FieldStatus    = "status"
	FieldHeld      = "held"
	FieldUpstream  = "upstream"
	FieldTotal     = "total"
	FieldAdded     = "added_us" // what outgo took, in microseconds, without holds and without the provider
	FieldCause     = "cause"
	FieldError     = "error"
)

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (l *Line) MarshalLogObject(to zapcore.ObjectEncoder) error {
	to.AddString(FieldAgent, l.Agent)
	to.AddString(FieldRail, l.Rail)
	to.AddString(FieldClass, string(l.Class))
	to.AddString(FieldOperation, l.Operation)
	to.AddString(FieldHost, l.Host)
	to.AddString(FieldMethod, l.Method)
	to.AddString(FieldPath, l.Path)
	to.AddString(FieldDecision, l.Decision)
	to.AddString(FieldCode, string(l.Code))
	to.AddString(FieldRequest, string(l.Request))
	err := to.AddArray(FieldAmounts, amounts(l.Legs))
	to.AddInt(FieldStatus, l.Status)
	to.AddDuration(FieldHeld, l.Held)
	to.AddDuration(FieldUpstream, l.Upstream)
	to.AddDuration(FieldTotal, l.Total)
	to.AddInt64(FieldAdded, l.Added().Microseconds())
	to.AddString(FieldCause, l.Cause)
	to.AddString(FieldError, l.Err)
	return err
}

// amounts are those of a line's legs: "5000 USD".
type amounts []spend.Leg

// MarshalLogArray implements zapcore.ArrayMarshaler.
func (a amounts) MarshalLogArray(to zapcore.ArrayEncoder) error {
	for i := range a {
		to.AppendString(a[i].Amount.String())
	}
	return nil
}
