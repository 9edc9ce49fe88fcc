package main

import (
	"context"
	"math"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// scrapeTime bounds what a scrape reads from the ledger.
const scrapeTime = 5 * time.Second

// maxBudgets bounds the budgets that a scrape shows.
const maxBudgets = 1000

// figures reads the ledger's and the proxy's snapshots, once for each scrape.
type figures struct {
	s    *sidecar
	desc map[string]*prometheus.Desc
}

func newFigures(s *sidecar) *figures {
	f := &figures{s: s, desc: map[string]*prometheus.Desc{}}
	for _, d := range []struct {
		name, help string
		labels     []string
	}{
		{"outgo_build_info", "The version that runs.", []string{"version", "goversion"}},
		{"outgo_commit_seconds", "How long durable commits of the ledger took.", nil},
		{"outgo_commit_actions", "How many actions shared one commit.", nil},
		{"outgo_commit_bytes_total", "Bytes written by commits.", nil},
		{"outgo_commit_failures_total", "Commits that failed.", nil},
		{"outgo_ledger_stopped", "1 when the ledger refuses everything.", nil},
		{"outgo_frozen", "1 when all or some spending is frozen.", nil},
		{"outgo_holds_waiting", "Live calls that wait for a person.", nil},
		{"outgo_held_requests", "Requests that wait for a person, whether or not their call still does.", nil},
		{"outgo_held_oldest_seconds", "How long the oldest held request has waited; 0 without one.", nil},
		{"outgo_outcomes_unknown", "Payments that were sent and whose outcome nobody knows; their amounts stay counted.", nil},
		{"outgo_reconciled_total", "Questions to providers about such payments, by what they came to.", []string{"result"}},
		{"outgo_outcomes_late", "Outcomes that are known and not yet recorded in the ledger.", nil},
		{"outgo_outcomes_lost_total", "Outcomes that could not be recorded and were given up; the payments stay counted.", nil},
		{"outgo_budget_limit", "The limit of a budget, in the smallest unit of its currency.", budgetLabels()},
		{"outgo_budget_used", "What of a budget is reserved and spent.", budgetLabels()},
		{"outgo_budget_left", "What is left of a budget; negative where a provider took more than was asked.", budgetLabels()},
		{"outgo_connections", "Open connections, of tunnels both ends.", nil},
		{"outgo_connections_refused_total", "Connections over the limit.", nil},
		{"outgo_calls_in_flight", "Calls under way.", nil},
		{"outgo_tunnels", "Open tunnels to hosts that no rail guards.", nil},
		{"outgo_tunnels_total", "Tunnels that were opened.", nil},
		{"outgo_tunnel_bytes_total", "Bytes carried through tunnels, both ways.", nil},
		{"outgo_client_handshakes_total", "TLS handshakes with agents that succeeded.", nil},
		{"outgo_client_handshake_failures_total", "TLS handshakes with agents that failed, by suspected cause.", []string{"cause"}},
	} {
		f.desc[d.name] = prometheus.NewDesc(d.name, d.help, d.labels, nil)
	}
	return f
}

func budgetLabels() []string { return []string{"policy", "unit", "period"} }

// Describe implements prometheus.Collector.
func (f *figures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range f.desc {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read is left out, so that
// its absence shows.
func (f *figures) Collect(ch chan<- prometheus.Metric) {
	f.gauge(ch, "outgo_build_info", 1, version(), runtime.Version())
	if f.s.ledger != nil {
		f.ledger(ch, f.s.ledger.engine)
	}
	if f.s.proxy != nil {
		f.proxy(ch, f.s.proxy.Stats())
	}
}

func (f *figures) gauge(ch chan<- prometheus.Metric, name string, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(f.desc[name], prometheus.GaugeValue, v, labels...)
}

func (f *figures) counter(ch chan<- prometheus.Metric, name string, v uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(f.desc[name], prometheus.CounterValue, float64(v), labels...)
}

// tally shows a tally whose measurements are to be divided by per.
func (f *figures) tally(ch chan<- prometheus.Metric, name string, t engine.Tally, per float64) {
	buckets := make(map[float64]uint64, len(t.Bounds))
	var below uint64
	for i, bound := range t.Bounds {
		below += t.Counts[i]
		buckets[float64(bound)/per] = below
	}
	ch <- prometheus.MustNewConstHistogram(f.desc[name], t.Count(), float64(t.Sum)/per, buckets)
}

func (f *figures) ledger(ch chan<- prometheus.Metric, e *engine.Engine) {
	st := e.Stats()
	f.tally(ch, "outgo_commit_seconds", st.Latency, 1e6)
	f.tally(ch, "outgo_commit_actions", st.Sizes, 1)
	f.counter(ch, "outgo_commit_bytes_total", st.Bytes)
	f.counter(ch, "outgo_commit_failures_total", st.Failures)
	f.gauge(ch, "outgo_ledger_stopped", b2f(st.Stopped))
	f.gauge(ch, "outgo_frozen", b2f(st.Frozen))
	f.gauge(ch, "outgo_holds_waiting", float64(st.Waiting))
	f.gauge(ch, "outgo_outcomes_unknown", float64(st.Unknown))
	for result, n := range st.Reconciled {
		f.counter(ch, "outgo_reconciled_total", n, result)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	if h, err := e.Holds(ctx); err == nil {
		f.gauge(ch, "outgo_held_requests", float64(h.Held))
		age := 0.0
		if h.Held > 0 {
			age = max(0, time.Since(h.Oldest).Seconds())
		}
		f.gauge(ch, "outgo_held_oldest_seconds", age)
	}
	budgets, err := e.Budgets(ctx)
	if err != nil {
		return
	}
	seen := map[[3]string]bool{}
	for _, b := range budgets[:min(len(budgets), maxBudgets)] {
		k := [3]string{b.Policy, b.Limit.Unit(), b.Period}
		if seen[k] { // of two policies of one name, the first
			continue
		}
		seen[k] = true
		f.gauge(ch, "outgo_budget_limit", number(b.Limit), k[:]...)
		f.gauge(ch, "outgo_budget_used", number(b.Used), k[:]...)
		f.gauge(ch, "outgo_budget_left", number(b.Remaining), k[:]...)
	}
}

func (f *figures) proxy(ch chan<- prometheus.Metric, st proxy.Stats) {
	f.gauge(ch, "outgo_outcomes_late", float64(st.LateFinish))
	f.counter(ch, "outgo_outcomes_lost_total", st.LostFinish)
	f.gauge(ch, "outgo_connections", float64(st.Conns))
	f.counter(ch, "outgo_connections_refused_total", st.TurnedAway)
	f.gauge(ch, "outgo_calls_in_flight", float64(st.Calls))
	f.gauge(ch, "outgo_tunnels", float64(st.Tunnels))
	f.counter(ch, "outgo_tunnels_total", st.Tunneled)
	f.counter(ch, "outgo_tunnel_bytes_total", st.TunnelBytes)
	f.counter(ch, "outgo_client_handshakes_total", st.Handshakes)
	for cause, n := range st.HandshakeBy {
		f.counter(ch, "outgo_client_handshake_failures_total", n, cause)
	}
}

// number is an amount for a graph, to which the nearest float is near enough.
func number(a spend.Amount) float64 {
	if a.IsUnlimited() {
		return math.Inf(1)
	}
	v, err := strconv.ParseFloat(a.Decimal(), 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
