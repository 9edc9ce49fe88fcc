package main

import (
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/outgo/outgo/proxy"
)

// The fields of the decision line, one name each, wherever they appear.
const (
	fieldAgent     = "agent"
	fieldRail      = "rail"
	fieldClass     = "class"
	fieldOperation = "operation"
	fieldHost      = "host"
	fieldMethod    = "method"
	fieldPath      = "path"
	fieldDecision  = "decision"
	fieldCode      = "code"
	fieldRequest   = "request"
	fieldAmounts   = "amounts"
	fieldStatus    = "status"
	fieldHeld      = "held"
	fieldUpstream  = "upstream"
	fieldTotal     = "total"
	fieldAdded     = "added_us" // what outgo took, without holds and without the provider
	fieldCause     = "cause"
	fieldError     = "error"
	fieldAnomaly   = "anomaly"
)

// newLog writes JSON lines to standard error.
func newLog() *zap.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.EncodeTime, enc.EncodeDuration = "time", zapcore.ISO8601TimeEncoder, zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(enc), zapcore.Lock(os.Stderr), zap.InfoLevel)
	return zap.New(core)
}

// observe logs and counts one call: the canonical decision line.
func (s *sidecar) observe(l proxy.Line) {
	s.metrics.count(&l)
	s.log.Info("call",
		zap.String(fieldAgent, l.Agent), zap.String(fieldRail, l.Rail), zap.String(fieldClass, string(l.Class)),
		zap.String(fieldOperation, l.Operation), zap.String(fieldHost, l.Host), zap.String(fieldMethod, l.Method),
		zap.String(fieldPath, l.Path), zap.String(fieldDecision, l.Decision), zap.String(fieldCode, string(l.Code)),
		zap.String(fieldRequest, string(l.Request)), zap.Strings(fieldAmounts, l.Amounts), zap.Int(fieldStatus, l.Status),
		zap.Duration(fieldHeld, l.Held), zap.Duration(fieldUpstream, l.Upstream), zap.Duration(fieldTotal, l.Total),
		zap.Int64(fieldAdded, l.Added().Microseconds()), zap.String(fieldCause, l.Cause), zap.String(fieldError, l.Err))
}
