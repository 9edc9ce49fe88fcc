package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// shared is a buffer that the log writes to from its own goroutine.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestLogKeepsItsOrderAndLetsOnlyDecisionLinesWait(t *testing.T) {
	var out shared
	plain := logTo(zapcore.AddSync(&out))
	for name, log := range map[string]*zap.Logger{"outgo's own": plain, "one with a context": plain.With(zap.String("at", "x"))} {
		t.Run(name, func(t *testing.T) {
			before := len(out.String())
			proxy.LogLine(log, decisionLine, &proxy.Line{Agent: "a", Legs: []spend.Leg{{Amount: spend.NewAmount("USD", 5)}}})
			log.Warn("anomaly")
			first, second, _ := strings.Cut(out.String()[before:], "\n")
			if !strings.Contains(first, `"msg":"call"`) || !strings.Contains(first, `"amounts":["5 USD"]`) || !strings.Contains(second, `"msg":"anomaly"`) {
				t.Fatalf("the log is %q, want the call and then the anomaly", out.String()[before:])
			}
			proxy.LogLine(log, decisionLine, &proxy.Line{Agent: "b"})
			if err := log.Sync(); err != nil || !strings.Contains(out.String()[before:], `"agent":"b"`) {
				t.Errorf("after Sync (%v) the log is %q, want the second call in it", err, out.String()[before:])
			}
		})
	}
}
