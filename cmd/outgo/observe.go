package main

import (
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

// observe logs and counts one call: the canonical decision line.
func (s *sidecar) observe(l proxy.Line) {
	s.metrics.count(&l)
	if e := s.log.Check(zap.InfoLevel, decisionLine); e != nil {
		e.Write(zap.Inline((*callLine)(&l)))
	}
}

// callLine writes a proxy.Line straight into the log's buffer.
type callLine proxy.Line

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (l *callLine) MarshalLogObject(to zapcore.ObjectEncoder) error {
	to.AddString(fieldAgent, l.Agent)
	to.AddString(fieldRail, l.Rail)
	to.AddString(fieldClass, string(l.Class))
	to.AddString(fieldOperation, l.Operation)
	to.AddString(fieldHost, l.Host)
	to.AddString(fieldMethod, l.Method)
	to.AddString(fieldPath, l.Path)
	to.AddString(fieldDecision, l.Decision)
	to.AddString(fieldCode, string(l.Code))
	to.AddString(fieldRequest, string(l.Request))
	err := to.AddArray(fieldAmounts, amounts(l.Amounts))
	to.AddInt(fieldStatus, l.Status)
	to.AddDuration(fieldHeld, l.Held)
	to.AddDuration(fieldUpstream, l.Upstream)
	to.AddDuration(fieldTotal, l.Total)
	to.AddInt64(fieldAdded, (*proxy.Line)(l).Added().Microseconds())
	to.AddString(fieldCause, l.Cause)
	to.AddString(fieldError, l.Err)
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
