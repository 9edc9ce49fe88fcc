package main

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/rails"
)

// metrics is what Prometheus may scrape. No label value comes from an agent: rails
// and policies are the operator's, and everything else is a word of outgo's own.
type metrics struct {
	handler  fasthttp.RequestHandler
	calls    *prometheus.CounterVec
	held     *prometheus.HistogramVec
	added    *prometheus.HistogramVec
	upstream *prometheus.HistogramVec
	closed   *prometheus.CounterVec
	flagged  *prometheus.CounterVec
	events   *prometheus.CounterVec

	// series holds what a call of one kind counts in, so that counting it looks
	// nothing up by name. It is replaced whole under mu.
	series atomic.Pointer[map[callKind]*callSeries]
	mu     sync.Mutex
}

// callKind is all that metrics tell calls apart by.
type callKind struct{ rail, class, decision, code string }

type callSeries struct {
	calls           prometheus.Counter
	added, upstream prometheus.Observer
}

// maxSeries bounds the kinds of call that are told apart, far above those that
// there are. Beyond it they are counted as kind "other".
const maxSeries = 2000

func newMetrics(s *sidecar) *metrics {
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		calls: counter("outgo_calls_total", "Calls by rail, class, decision and reason; tunnels and inspected hosts have no rail.",
			"rail", "class", "decision", "code"),
		held: histogram("outgo_hold_seconds", "How long calls waited for a person.",
			[]float64{1, 5, 15, 30, 60, 120, 300}, "rail"),
		added: histogram("outgo_added_seconds", "Time that outgo added to a call, without holds and without the provider.",
			[]float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}, "rail", "class"),
		upstream: histogram("outgo_upstream_seconds", "Time that calls waited for the provider, look-ups included.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 100}, "rail"),
		closed:  counter("outgo_fail_closed_total", "Calls that were not sent because outgo could not decide, by cause.", "cause"),
		flagged: counter("outgo_anomalies_total", "Disagreements between what was asked and what was settled, missing receipts included.", "rail", "anomaly"),
		events:  counter("outgo_provider_events_total", "What providers have said of their own accord, by what it came to.", "rail", "result"),
	}
	for _, cause := range []string{"draining", "lookup", "ledger", "timeout", "panic", "internal"} {
		m.closed.WithLabelValues(cause)
	}
	// An alert on the increase of a series misses its first step if that makes the
	// series: it grows from nothing, not from nought.
	if s.cfg != nil {
		for _, r := range routesOf(s.cfg) {
			for _, a := range spend.Anomalies() {
				m.flagged.WithLabelValues(r.Rail.Name(), string(a))
			}
			if n, ok := r.Rail.(rails.Notifier); ok && n.Notices() {
				for _, result := range eventResults() {
					m.events.WithLabelValues(n.Name(), result)
				}
			}
		}
	}
	m.series.Store(&map[callKind]*callSeries{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.calls, m.held, m.added, m.upstream, m.closed, m.flagged, m.events, newFigures(s),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return m
}

func (m *metrics) serve(ctx *fasthttp.RequestCtx) { m.handler(ctx) }

// count counts one call.
func (m *metrics) count(l *proxy.Line) {
	k := callKind{l.Rail, string(l.Class), l.Decision, string(l.Code)}
	s := (*m.series.Load())[k]
	if s == nil {
		s = m.meet(k)
	}
	s.calls.Inc()
	if l.Cause != "" {
		m.closed.WithLabelValues(l.Cause).Inc()
	}
	if l.Rail == "" { // the time of a tunnel is not outgo's
		return
	}
	s.added.Observe(l.Added().Seconds())
	if l.Upstream > 0 {
		s.upstream.Observe(l.Upstream.Seconds())
	}
	if l.Held > 0 {
		m.held.WithLabelValues(l.Rail).Observe(l.Held.Seconds())
	}
}

// meet makes the series of a kind of call that is new.
func (m *metrics) meet(k callKind) *callSeries {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := *m.series.Load()
	if len(known) >= maxSeries {
		k = callKind{"other", "other", "other", "other"}
	}
	if s := known[k]; s != nil {
		return s
	}
	s := &callSeries{calls: m.calls.WithLabelValues(k.rail, k.class, k.decision, k.code)}
	if k.rail != "" {
		s.added, s.upstream = m.added.WithLabelValues(k.rail, k.class), m.upstream.WithLabelValues(k.rail)
	}
	more := maps.Clone(known)
	more[k] = s
	m.series.Store(&more)
	return s
}

// event counts something that a provider has said.
func (m *metrics) event(rail, result string) { m.events.WithLabelValues(rail, result).Inc() }

func (m *metrics) anomaly(f engine.Flagged) {
	m.flagged.WithLabelValues(f.Rail, string(f.Anomaly)).Inc()
}
