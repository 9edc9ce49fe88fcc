package proxy

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/outgo/outgo/engine/spend"
)

// LineCore returns the core of outgo's log, from level info on, as JSON. The lines
// that LogLine writes may wait in out for others; all other entries are synced at
// once, with whatever waits before them.
func LineCore(out zapcore.WriteSyncer) zapcore.Core {
	buffers := &sync.Pool{New: func() any { return new(lineBuffer) }}
	return &lineCore{zapcore.NewCore(zapEncoder(), out, zap.InfoLevel), out, buffers}
}

// zapEncoder says what the log looks like.
func zapEncoder() zapcore.Encoder {
	c := zap.NewProductionEncoderConfig()
	c.TimeKey, c.EncodeTime, c.EncodeDuration = "time", zapcore.ISO8601TimeEncoder, zapcore.StringDurationEncoder
	return zapcore.NewJSONEncoder(c)
}

// lineCore is zap's own core, past which LogLine writes: each call leaves a line, and
// to write the same bytes costs a fraction of making an entry for zap.
type lineCore struct {
	zapcore.Core
	out     zapcore.WriteSyncer // nil where the core has a context, which is zap's to write
	buffers *sync.Pool          // of *lineBuffer
}

// With implements zapcore.Core.
func (c *lineCore) With(fields []zapcore.Field) zapcore.Core {
	return &lineCore{Core: c.Core.With(fields)}
}

// Check implements zapcore.Core.
func (c *lineCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core.
func (c *lineCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if err := c.Core.Write(e, fields); err != nil {
		return err
	}
	if len(fields) == 1 && fields[0].Type == zapcore.InlineMarshalerType {
		if _, waits := fields[0].Interface.(*Line); waits {
			return nil
		}
	}
	return c.Sync()
}

// LogLine writes l as a log's line of its own. It does not keep l.
func LogLine(log *zap.Logger, message string, l *Line) {
	if c, ok := log.Core().(*lineCore); ok && c.out != nil && log.Name() == "" && c.write(time.Now(), message, l) {
		return
	}
	if e := log.Check(zap.InfoLevel, message); e != nil {
		own := *l
		e.Write(zap.Inline(&own))
	}
}

// write writes a line as zap would. It reports false where it has not: what JSON has
// to escape is zap's to write, and an error to complain of.
func (c *lineCore) write(at time.Time, message string, l *Line) bool {
	if !isPlain(message) || !l.isPlain() {
		return false
	}
	b := c.buffers.Get().(*lineBuffer) //nolint:forcetypeassert // nothing else is put in
	b.set(at, message, l)
	_, err := c.out.Write(b.text)
	c.buffers.Put(b)
	return err == nil
}

// lineBuffer is memory for a line.
type lineBuffer struct {
	text   []byte
	stamp  []byte         // the time of the last line
	second int64          // that it is of, in Unix time
	zone   *time.Location // that it is in
}

// set makes text the line.
func (b *lineBuffer) set(at time.Time, message string, l *Line) {
	b.text = append(b.text[:0], `{"level":"info","time":"`...)
	b.text = append(b.text, b.stampOf(at)...)
	b.text = append(b.text, `","msg":"`...)
	b.text = append(b.text, message...)
	b.text = l.appendTo(append(b.text, '"'))
	b.text = append(b.text, "}"+zapcore.DefaultLineEnding...)
}

// stampOf is a time as zapcore.ISO8601TimeEncoder writes it. Of one second only the
// milliseconds differ.
func (b *lineBuffer) stampOf(at time.Time) []byte {
	if at.Unix() != b.second || at.Location() != b.zone {
		b.second, b.zone, b.stamp = at.Unix(), at.Location(), at.AppendFormat(b.stamp[:0], "2006-01-02T15:04:05.000Z0700")
		return b.stamp
	}
	ms, point := at.Nanosecond()/int(time.Millisecond), bytes.IndexByte(b.stamp, '.')
	for i := point + 3; i > point; i-- {
		b.stamp[i] = '0' + byte(ms%10) //nolint:gosec // a digit
		ms /= 10
	}
	return b.stamp
}

// appendTo appends the members that MarshalLogObject names.
func (l *Line) appendTo(b []byte) []byte {
	text := func(start, value string) { b = append(append(b, start...), value...) }
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
	b = appendAmounts(append(b, `","`+FieldAmounts+`":[`...), l.Legs)
	b = append(b, `],"`+FieldStatus+`":`...)
	b = strconv.AppendInt(b, int64(l.Status), 10)
	text(`,"`+FieldHeld+`":"`, l.Held.String())
	text(`","`+FieldUpstream+`":"`, l.Upstream.String())
	text(`","`+FieldTotal+`":"`, l.Total.String())
	b = append(b, `","`+FieldAdded+`":`...)
	b = strconv.AppendInt(b, l.Added().Microseconds(), 10)
	text(`,"`+FieldCause+`":"`, l.Cause)
	text(`","`+FieldError+`":"`, l.Err)
	return append(b, '"')
}

func appendAmounts(b []byte, legs []spend.Leg) []byte {
	for i := range legs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b, _ = legs[i].Amount.AppendText(b) //nolint:errcheck // it never fails
		b = append(b, '"')
	}
	return b
}

// isPlain reports whether all text in l stands in JSON as it is.
func (l *Line) isPlain() bool {
	for i := range l.Legs {
		if !isPlain(l.Legs[i].Amount.Unit()) {
			return false
		}
	}
	return isPlain(l.Agent) && isPlain(l.Rail) && isPlain(string(l.Class)) && isPlain(l.Operation) &&
		isPlain(l.Host) && isPlain(l.Method) && isPlain(l.Path) && isPlain(l.Decision) &&
		isPlain(string(l.Code)) && isPlain(string(l.Request)) && isPlain(l.Cause) && isPlain(l.Err)
}

// isPlain reports whether s is ASCII without quotes, backslashes and control
// characters. It looks at eight bytes at once, and at the last eight again.
func isPlain(s string) bool {
	if len(s) < 8 {
		for i := range len(s) {
			if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
				return false
			}
		}
		return true
	}
	const each, high = 0x0101010101010101, 0x8080808080808080
	b := []byte(s)
	for i := 0; i < len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[min(i, len(b)-8):])
		// What is not wanted leaves its highest bit: quotes and control characters
		// (turning a bit puts the quote, 0x22, right behind those), backslashes, and
		// what is above the tilde.
		quote, slash := (w^each*2)-each*('"'-1), (w^each*'\\')-each
		if (quote|slash|(w+each)|w)&high != 0 {
			return false
		}
	}
	return true
}
