package main

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/outgo/outgo/engine"
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
	s.metrics.count(l)
	s.log.Info("call",
		zap.String(fieldAgent, l.Agent), zap.String(fieldRail, l.Rail), zap.String(fieldClass, string(l.Class)),
		zap.String(fieldOperation, l.Operation), zap.String(fieldHost, l.Host), zap.String(fieldMethod, l.Method),
		zap.String(fieldPath, l.Path), zap.String(fieldDecision, l.Decision), zap.String(fieldCode, string(l.Code)),
		zap.String(fieldRequest, string(l.Request)), zap.Strings(fieldAmounts, l.Amounts), zap.Int(fieldStatus, l.Status),
		zap.Duration(fieldHeld, l.Held), zap.Duration(fieldUpstream, l.Upstream), zap.Duration(fieldTotal, l.Total),
		zap.String(fieldError, l.Err))
}

// metrics is what Prometheus may scrape. No label value comes from an agent.
type metrics struct {
	registry *prometheus.Registry
	handler  fasthttp.RequestHandler
	calls    *prometheus.CounterVec
	held     *prometheus.HistogramVec
	added    *prometheus.HistogramVec
	flagged  *prometheus.CounterVec
}

func newMetrics(s *sidecar) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outgo_calls_total", Help: "Proxied calls by rail, class, decision and reason.",
		}, []string{"rail", "class", "decision", "code"}),
		held: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "outgo_hold_seconds", Help: "How long calls waited for a person.",
			Buckets: []float64{1, 5, 15, 30, 60, 120, 300},
		}, []string{"rail"}),
		added: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "outgo_added_seconds", Help: "Time that outgo added to a call, without holds and without the provider.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1},
		}, []string{"rail", "class"}),
	}
	m.flagged = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "outgo_anomalies_total", Help: "Disagreements found between what was asked and what was settled, missing receipts included.",
	}, []string{"rail", "anomaly"})
	m.registry.MustRegister(m.calls, m.held, m.added, m.flagged)
	m.registry.MustRegister(gauges(s)...)
	m.handler = fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return m
}

func (m *metrics) serve(ctx *fasthttp.RequestCtx) { m.handler(ctx) }

func (m *metrics) count(l proxy.Line) {
	m.calls.WithLabelValues(l.Rail, string(l.Class), l.Decision, string(l.Code)).Inc()
	if l.Held > 0 {
		m.held.WithLabelValues(l.Rail).Observe(l.Held.Seconds())
	}
	m.added.WithLabelValues(l.Rail, string(l.Class)).Observe(max(0, l.Total-l.Held-l.Upstream).Seconds())
}

func (m *metrics) anomaly(f engine.Flagged) {
	m.flagged.WithLabelValues(f.Rail, string(f.Anomaly)).Inc()
}

// gauges read snapshots when scraped.
func gauges(s *sidecar) []prometheus.Collector {
	counter := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read)
	}
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	}
	return []prometheus.Collector{
		counter("outgo_commits_total", "Durable commits of the ledger.", func() float64 { return float64(s.ledger.engine.Stats().Batches) }),
		counter("outgo_commit_actions_total", "Actions in those commits.", func() float64 { return float64(s.ledger.engine.Stats().Actions) }),
		counter("outgo_commit_failures_total", "Commits that failed.", func() float64 { return float64(s.ledger.engine.Stats().Failures) }),
		counter("outgo_commit_seconds_total", "Time spent in commits.", func() float64 { return s.ledger.engine.Stats().CommitTime.Seconds() }),
		gauge("outgo_holds_waiting", "Live calls that wait for a person.", func() float64 { return float64(s.ledger.engine.Stats().Waiting) }),
		gauge("outgo_frozen", "1 when all or some spending is frozen.", func() float64 { return b2f(s.ledger.engine.Stats().Frozen) }),
		gauge("outgo_ledger_stopped", "1 when the ledger refuses everything.", func() float64 { return b2f(s.ledger.engine.Stats().Stopped) }),
	}
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
