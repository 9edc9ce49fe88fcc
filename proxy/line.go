package proxy

import (
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
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
	// moves no money), "tunneled", "joined" (another call's reply), "replayed",
	// "gone" (the agent hung up first), "cut", or the value of Outgo-Decision.
	Decision string
	Code     spend.Code
	Request  spend.ID
	Amounts  []string // "5000 USD", one for each leg
	Status   int      // as answered to the agent; 0 when nothing was
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
	err := to.AddArray(FieldAmounts, amounts(l.Amounts))
	to.AddInt(FieldStatus, l.Status)
	to.AddDuration(FieldHeld, l.Held)
	to.AddDuration(FieldUpstream, l.Upstream)
	to.AddDuration(FieldTotal, l.Total)
	to.AddInt64(FieldAdded, l.Added().Microseconds())
	to.AddString(FieldCause, l.Cause)
	to.AddString(FieldError, l.Err)
	return err
}

// amounts are those of a line.
type amounts []string

// MarshalLogArray implements zapcore.ArrayMarshaler.
func (a amounts) MarshalLogArray(to zapcore.ArrayEncoder) error {
	for _, s := range a {
		to.AppendString(s)
	}
	return nil
}

// LogLine writes l as a log's line of its own.
func LogLine(log *zap.Logger, message string, l *Line) {
	if e := log.Check(zap.InfoLevel, message); e != nil {
		e.Write(zap.Inline(l))
	}
}

// LineEncoder returns the encoder of outgo's log: zap's own JSON encoder, which writes
// the same bytes in less time where an entry is made by LogLine. Each call leaves one.
func LineEncoder() zapcore.Encoder {
	c := zap.NewProductionEncoderConfig()
	c.TimeKey, c.EncodeTime, c.EncodeDuration = "time", zapcore.ISO8601TimeEncoder, zapcore.StringDurationEncoder
	return lineEncoder{zapcore.NewJSONEncoder(c)}
}

type lineEncoder struct{ zapcore.Encoder }

// Clone implements zapcore.Encoder. What has a context of its own is zap's to write.
func (e lineEncoder) Clone() zapcore.Encoder { return e.Encoder.Clone() }

// EncodeEntry implements zapcore.Encoder. A line with text that JSON has to escape
// is zap's to write, too.
func (e lineEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	if len(fields) != 1 || fields[0].Type != zapcore.InlineMarshalerType || entry.Stack != "" {
		return e.Encoder.EncodeEntry(entry, fields)
	}
	l, ok := fields[0].Interface.(*Line)
	if !ok || !l.isPlain() {
		return e.Encoder.EncodeEntry(entry, fields)
	}
	b, err := e.Encoder.EncodeEntry(entry, nil)
	if err != nil {
		return b, err
	}
	// Behind the time and the message, in front of what ends the line.
	const end = "}" + zapcore.DefaultLineEnding
	head := b.Bytes()
	b.Reset()
	b.AppendBytes(head[:len(head)-len(end)])
	l.appendTo(b)
	b.AppendString(end)
	return b, nil
}

// appendTo writes the members that MarshalLogObject names.
func (l *Line) appendTo(b *buffer.Buffer) {
	text := func(start, value string) {
		b.AppendString(start)
		b.AppendString(value)
	}
	text(`,"`+FieldAgent+`":"`, l.Agent)
	text(`","`+FieldRail+`":"`, l.Rail)
	text(`","`+FieldClass+`":"`, string(l.Class))
	text(`","`+FieldOperation+`":"`, l.Operation)
	text(`","`+FieldHost+`":"`, l.Host)
	text(`","`+FieldMethod+`":"`, l.Method)
	text(`","`+FieldPath+`":"`, l.Path)
	text(`","`+FieldDecision+`":"`, l.Decision)
	text(`","`+FieldCode+`":"`, string(l.Code))
	text(`","`+FieldRequest+`":"`, string(l.Request))
	b.AppendString(`","` + FieldAmounts + `":[`)
	for i, amount := range l.Amounts {
		if i > 0 {
			b.AppendByte(',')
		}
		text(`"`, amount)
		b.AppendByte('"')
	}
	b.AppendString(`],"` + FieldStatus + `":`)
	b.AppendInt(int64(l.Status))
	text(`,"`+FieldHeld+`":"`, l.Held.String())
	text(`","`+FieldUpstream+`":"`, l.Upstream.String())
	text(`","`+FieldTotal+`":"`, l.Total.String())
	b.AppendString(`","` + FieldAdded + `":`)
	b.AppendInt(l.Added().Microseconds())
	text(`,"`+FieldCause+`":"`, l.Cause)
	text(`","`+FieldError+`":"`, l.Err)
	b.AppendByte('"')
}

// isPlain reports whether all text in l stands in JSON as it is.
func (l *Line) isPlain() bool {
	for _, s := range [...]string{
		l.Agent, l.Rail, string(l.Class), l.Operation, l.Host, l.Method, l.Path, l.Decision, string(l.Code), string(l.Request), l.Cause, l.Err,
	} {
		if !isPlain(s) {
			return false
		}
	}
	return !slices.ContainsFunc(l.Amounts, func(s string) bool { return !isPlain(s) })
}

func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
