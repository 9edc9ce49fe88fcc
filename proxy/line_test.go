package proxy

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
)

// syncs keeps what is written, and counts how often it is synced.
type syncs struct {
	bytes.Buffer
	synced int
}

func (s *syncs) Sync() error {
	s.synced++
	return nil
}

func TestLineIsWrittenAsZapWritesIt(t *testing.T) {
	plainText := rapid.StringMatching(`[a-zA-Z0-9_./ :-]{0,12}`)
	anyText := rapid.OneOf(rapid.StringMatching(`[ -~]{0,12}`), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	length := rapid.Map(rapid.Int64Range(-1<<20, 1<<45), func(n int64) time.Duration { return time.Duration(n) })
	var out syncs
	ours := LineCore(&out).(*lineCore) //nolint:forcetypeassert // LineCore makes no other
	rapid.Check(t, func(t *rapid.T) {
		text := plainText
		if rapid.Bool().Draw(t, "odd") {
			text = anyText
		}
		leg := rapid.Custom(func(t *rapid.T) spend.Leg {
			return spend.Leg{Amount: spend.NewAmount(text.Draw(t, "unit"), rapid.Int64().Draw(t, "amount")), Payee: "nobody reads it"}
		})
		l := &Line{
			Agent: text.Draw(t, "agent"), Rail: text.Draw(t, "rail"), Class: spend.Class(text.Draw(t, "class")), Operation: text.Draw(t, "operation"),
			Host: text.Draw(t, "host"), Method: text.Draw(t, "method"), Path: text.Draw(t, "path"), Decision: text.Draw(t, "decision"),
			Code: spend.Code(text.Draw(t, "code")), Request: spend.ID(text.Draw(t, "request")), Legs: rapid.SliceOfN(leg, 0, 3).Draw(t, "legs"),
			Status: rapid.IntRange(-1, 999).Draw(t, "status"), Held: length.Draw(t, "held"), Upstream: length.Draw(t, "upstream"), Total: length.Draw(t, "total"),
			Err: text.Draw(t, "error"), Cause: text.Draw(t, "cause"),
		}
		zone := time.FixedZone("", 3600*rapid.IntRange(0, 1).Draw(t, "zone"))
		entry := zapcore.Entry{Level: zapcore.InfoLevel, Message: text.Draw(t, "message"),
			Time: time.Unix(1795262400+rapid.Int64Range(0, 1).Draw(t, "second"), rapid.Int64Range(0, 1e9-1).Draw(t, "time")).In(zone)}
		want, err := zapEncoder().EncodeEntry(entry, []zapcore.Field{zap.Inline(l)})
		if err != nil {
			t.Fatal(err)
		}
		var b lineBuffer
		b.set(entry.Time.Truncate(time.Second), entry.Message, l)
		b.set(entry.Time, entry.Message, l)
		plain := isPlain(entry.Message) && l.isPlain()
		if plain && string(b.text) != want.String() {
			t.Errorf("written\n%sinstead of\n%s", b.text, want)
		}
		out.Reset()
		if wrote := ours.write(entry.Time, entry.Message, l); wrote != plain || wrote && out.String() != want.String() || !wrote && out.Len() > 0 {
			t.Errorf("written: %t, namely\n%sinstead of\n%s", wrote, out.String(), want)
		}
	})
}

func TestEachByteIsPlainWhereJSONTakesItAsItIs(t *testing.T) {
	for _, around := range []int{0, 3, 7, 8, 12, 31} {
		for i := range 256 {
			want := ' ' <= i && i <= '~' && i != '"' && i != '\\'
			for at := range around + 1 {
				s := strings.Repeat("~", at) + string([]byte{byte(i)}) + strings.Repeat(" ", around-at)
				if got := isPlain(s); got != want {
					t.Fatalf("%q is plain: %t, want %t", s, got, want)
				}
			}
		}
	}
}

func TestLogWritesWhatZapWritesAndSyncsAllButLines(t *testing.T) {
	l := &Line{Agent: "a", Legs: []spend.Leg{{Amount: spend.NewAmount("USD", 5)}, {Amount: spend.NewAmount("USD", 6)}}}
	for name, c := range map[string]struct {
		log   func(*zap.Logger)
		syncs int
	}{
		"no field":                  {func(log *zap.Logger) { log.Info("m") }, 1},
		"another field":             {func(log *zap.Logger) { log.Warn("m", zap.String("a", "b")) }, 1},
		"below the level":           {func(log *zap.Logger) { log.Debug("m") }, 0},
		"a line under a name":       {func(log *zap.Logger) { log.Info("m", zap.Object("line", l)) }, 1},
		"a line beside another":     {func(log *zap.Logger) { log.Info("m", zap.Inline(l), zap.Int("n", 1)) }, 1},
		"a line in a context":       {func(log *zap.Logger) { LogLine(log.With(zap.Namespace("within"), zap.String("k", "v")), "m", l) }, 0},
		"a line of a named log":     {func(log *zap.Logger) { LogLine(log.Named("n"), "m", l) }, 0},
		"a line that JSON escapes":  {func(log *zap.Logger) { LogLine(log, "m", &Line{Err: `"`}) }, 0},
		"a message that it escapes": {func(log *zap.Logger) { LogLine(log, "\n", l) }, 0},
		"a line":                    {func(log *zap.Logger) { LogLine(log, "m", l) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var got, want syncs
			c.log(zap.New(LineCore(&got)))
			c.log(zap.New(zapcore.NewCore(zapEncoder(), &want, zap.InfoLevel)))
			if g, w := untimed(got.Bytes()), untimed(want.Bytes()); g != w {
				t.Errorf("written\n%sinstead of\n%s", g, w)
			}
			if got.synced != c.syncs {
				t.Errorf("synced %d times, want %d", got.synced, c.syncs)
			}
		})
	}
}

// untimed is a line of the log without the value of its time.
func untimed(line []byte) string {
	const key = `"time":"`
	i := bytes.Index(line, []byte(key))
	if i < 0 {
		return string(line)
	}
	i += len(key)
	return string(line[:i]) + string(line[i+bytes.IndexByte(line[i:], '"'):])
}

func BenchmarkLine(b *testing.B) {
	l := &Line{
		Agent: "default", Rail: "stripe", Class: spend.Spend, Operation: "payment_intents.create", Host: "api.stripe.com", Method: "POST",
		Path: "/v1/payment_intents", Decision: "forwarded", Request: "0199e5b0-5c3e-7c1a-9d55-2f6d3c1e8a47", Legs: []spend.Leg{{Amount: spend.NewAmount("USD", 2000)}},
		Status: 200, Upstream: 412345, Total: 512345,
	}
	for name, log := range map[string]*zap.Logger{
		"ours": zap.New(LineCore(zapcore.AddSync(io.Discard))), "zap": zap.New(zapcore.NewCore(zapEncoder(), zapcore.AddSync(io.Discard), zap.InfoLevel)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				LogLine(log, "call", l)
			}
		})
	}
}
