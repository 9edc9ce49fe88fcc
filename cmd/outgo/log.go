package main

import (
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/outgo/outgo/proxy"
)

// decisionLine is the message of the line that each call leaves in the log.
const decisionLine = "call"

// logDelay is the longest that a decision line waits for others to be written with.
const logDelay = 100 * time.Millisecond

// newLog writes JSON lines to standard error: decision lines many at a time, since
// a system call for each would be felt on every call, and all others at once with
// whatever waits before them. Sync writes what is left.
func newLog() *zap.Logger { return logTo(unsynced{os.Stderr}) }

func logTo(w zapcore.WriteSyncer) *zap.Logger {
	to := &zapcore.BufferedWriteSyncer{WS: w, Size: 64 << 10, FlushInterval: logDelay}
	return zap.New(proxy.LineCore(to))
}

// unsynced is a file whose Sync does nothing: standard error is for reading, not
// for keeping, and cannot be synced on every system.
type unsynced struct{ *os.File }

// Sync implements zapcore.WriteSyncer.
func (unsynced) Sync() error { return nil }
