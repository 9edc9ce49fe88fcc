package proxy

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
)

func TestLineIsWrittenAsZapWritesIt(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[ -~]{0,12}`), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	length := rapid.Map(rapid.Int64Range(-1<<20, 1<<45), func(n int64) time.Duration { return time.Duration(n) })
	ours := LineEncoder()
	theirs := ours.(lineEncoder).Encoder //nolint:forcetypeassert // LineEncoder makes no other
	rapid.Check(t, func(t *rapid.T) {
		l := &Line{
			Agent: text.Draw(t, "agent"), Rail: text.Draw(t, "rail"), Class: spend.Class(text.Draw(t, "class")), Operation: text.Draw(t, "operation"),
			Host: text.Draw(t, "host"), Method: text.Draw(t, "method"), Path: text.Draw(t, "path"), Decision: text.Draw(t, "decision"),
			Code: spend.Code(text.Draw(t, "code")), Request: spend.ID(text.Draw(t, "request")), Amounts: rapid.SliceOfN(text, 0, 3).Draw(t, "amounts"),
			Status: rapid.IntRange(-1, 999).Draw(t, "status"), Held: length.Draw(t, "held"), Upstream: length.Draw(t, "upstream"), Total: length.Draw(t, "total"),
			Err: text.Draw(t, "error"), Cause: text.Draw(t, "cause"),
		}
		entry := zapcore.Entry{Level: zapcore.InfoLevel, Time: time.Unix(1795262400, rapid.Int64Range(0, 1e9-1).Draw(t, "time")), Message: text.Draw(t, "message")}
		sameBytes(t, ours, theirs, entry, zap.Inline(l))
	})
}

func TestEntriesThatAreNoLinesAreZapsToWrite(t *testing.T) {
	ours := LineEncoder()
	theirs := ours.(lineEncoder).Encoder //nolint:forcetypeassert // LineEncoder makes no other
	entry := zapcore.Entry{Level: zapcore.WarnLevel, Time: time.Unix(1795262400, 0), Message: "m"}
	traced := entry
	traced.Stack = "here"
	l := &Line{Agent: "a", Amounts: []string{"5 USD", "6 USD"}}
	for name, c := range map[string]struct {
		entry  zapcore.Entry
		fields []zapcore.Field
	}{
		"no field":              {entry, nil},
		"another field":         {entry, []zapcore.Field{zap.String("a", "b")}},
		"a line under a name":   {entry, []zapcore.Field{zap.Object("line", l)}},
		"a line beside another": {entry, []zapcore.Field{zap.Inline(l), zap.Int("n", 1)}},
		"a line with a stack":   {traced, []zapcore.Field{zap.Inline(l)}},
	} {
		t.Run(name, func(t *testing.T) { sameBytes(t, ours, theirs, c.entry, c.fields...) })
	}
	t.Run("a line in a context", func(t *testing.T) {
		ours, theirs := ours.Clone(), theirs.Clone()
		for _, e := range []zapcore.Encoder{ours, theirs} {
			e.OpenNamespace("within")
			e.AddString("k", "v")
		}
		sameBytes(t, ours, theirs, entry, zap.Inline(l))
	})
}

func sameBytes(t interface {
	Fatal(args ...any)
	Errorf(format string, args ...any)
}, ours, theirs zapcore.Encoder, entry zapcore.Entry, fields ...zapcore.Field) {
	got, err := ours.EncodeEntry(entry, fields)
	if err != nil {
		t.Fatal(err)
	}
	want, err := theirs.EncodeEntry(entry, fields)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != want.String() {
		t.Errorf("written\n%sinstead of\n%s", got, want)
	}
}

func BenchmarkLine(b *testing.B) {
	l := &Line{
		Agent: "default", Rail: "stripe", Class: spend.Spend, Operation: "payment_intents.create", Host: "api.stripe.com", Method: "POST",
		Path: "/v1/payment_intents", Decision: "forwarded", Request: "0199e5b0-5c3e-7c1a-9d55-2f6d3c1e8a47", Amounts: []string{"2000 USD"},
		Status: 200, Upstream: 412345, Total: 512345,
	}
	ours := LineEncoder()
	for name, e := range map[string]zapcore.Encoder{"ours": ours, "zap": ours.(lineEncoder).Encoder} { //nolint:forcetypeassert // LineEncoder makes no other
		b.Run(name, func(b *testing.B) {
			fields := []zapcore.Field{zap.Inline(l)}
			entry := zapcore.Entry{Time: time.Unix(1795262400, 5e6), Message: "call"}
			b.ReportAllocs()
			for b.Loop() {
				buf, err := e.EncodeEntry(entry, fields)
				if err != nil {
					b.Fatal(err)
				}
				buf.Free()
			}
		})
	}
}
