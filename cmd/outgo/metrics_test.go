package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// check runs promtool with in as its standard input.
func check(t *testing.T, in []byte, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, need(t, "promtool", "apt-get install prometheus has it"), append([]string{"check"}, args...)...)
	cmd.Stdin = bytes.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("error")) {
		t.Errorf("promtool check %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// scrape returns what Prometheus gets.
func (s *sidecar) scrape(t *testing.T) []byte {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + s.about.Control + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d, %v: %s", resp.StatusCode, err, page)
	}
	return page
}

// own returns outgo's own series with their values.
func own(page []byte) map[string]string {
	out := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(page))
	for lines.Scan() {
		if i := strings.LastIndexByte(lines.Text(), ' '); i > 0 && strings.HasPrefix(lines.Text(), "outgo_") {
			out[lines.Text()[:i]] = lines.Text()[i+1:]
		}
	}
	return out
}

// startMeasured starts a sidecar with a budget, and makes calls of each kind.
func startMeasured(t *testing.T) *sidecar {
	t.Helper()
	up := httptest.NewServer(sandbox.New(sandbox.Options{}))
	t.Cleanup(up.Close)
	s := startTest(t, loadText(t, fmt.Sprintf(`
proxy: {unknown_hosts: deny, hold: {wait: {stripe: 50ms}}}
rails: {stripe: {webhook_secrets: [whsec_0123456789abcdef]}}
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: one, unit: USD, dailyLimit: 5000, monthlyLimit: 100000, requireApprovalOver: 1500}]
`, up.URL)))
	c := s.client(t)
	for i, cents := range []int64{1000, 1200, 1600, 4000} {
		if _, _, _, err := pay(c, cents, fmt.Sprint("k", i)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestMetricsSayWhatHappened(t *testing.T) {
	s := startMeasured(t)
	page := s.scrape(t)
	got := own(page)
	for series, want := range map[string]string{
		`outgo_calls_total{class="spend",code="",decision="forwarded",rail="stripe"}`:                 "2",
		`outgo_calls_total{class="spend",code="EXCEEDS_DAILY_LIMIT",decision="denied",rail="stripe"}`: "1",
		`outgo_calls_total{class="spend",code="APPROVAL_PENDING",decision="held",rail="stripe"}`:      "1",
		`outgo_added_seconds_count{class="spend",rail="stripe"}`:                                      "4",
		`outgo_upstream_seconds_count{rail="stripe"}`:                                                 "2",
		`outgo_hold_seconds_count{rail="stripe"}`:                                                     "1",
		`outgo_held_requests`: "1",
		`outgo_budget_limit{period="day",policy="one",unit="USD"}`:  "5000",
		`outgo_budget_used{period="day",policy="one",unit="USD"}`:   "3800",
		`outgo_budget_left{period="day",policy="one",unit="USD"}`:   "1200",
		`outgo_budget_left{period="month",policy="one",unit="USD"}`: "96200",
		`outgo_ledger_stopped`:                     "0",
		`outgo_frozen`:                             "0",
		`outgo_outcomes_unknown`:                   "0",
		`outgo_fail_closed_total{cause="ledger"}`:  "0",
		`outgo_reconciled_total{result="settled"}`: "0",
		`outgo_commit_failures_total`:              "0",
		// What has not happened yet counts from nought.
		`outgo_anomalies_total{anomaly="DUPLICATE_PAYMENT",rail="stripe"}`:      "0",
		`outgo_client_handshake_failures_total{cause="ca_untrusted_suspected"}`: "0",
	} {
		if got[series] != want {
			t.Errorf("%s is %q, want %s", series, got[series], want)
		}
	}
	for _, name := range []string{"outgo_build_info{", "outgo_commit_seconds_bucket{", "outgo_commit_actions_bucket{", "outgo_commit_bytes_total", "outgo_held_oldest_seconds", "outgo_tunnels", "outgo_client_handshakes_total"} {
		if !bytes.Contains(page, []byte("\n"+name)) {
			t.Errorf("there is no %s", name)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if !bytes.Contains(page, []byte("\n"+name)) {
			t.Errorf("there is no %s", name)
		}
	}

	if err := s.ledger.store.Close(); err != nil { // what happens when the ledger is out of reach
		t.Fatal(err)
	}
	if status, _, _, err := pay(s.client(t), 900, "after"); err != nil || status != 503 {
		t.Fatalf("without a ledger: %d, %v", status, err)
	}
	if n := own(s.scrape(t))[`outgo_fail_closed_total{cause="ledger"}`]; n != "1" {
		t.Errorf("failed closed %s times", n)
	}
}

func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	check(t, startMeasured(t).scrape(t), "metrics")
}

// What an agent sends makes no series: neither the names that it gives itself, nor
// hosts, paths, methods, operations or merchants.
func TestHostileInputMakesNoSeries(t *testing.T) {
	s := startMeasured(t)
	c := s.client(t)
	send := func(i int) {
		tag := fmt.Sprintf("evil%d", i)
		for _, target := range []string{
			"https://api.stripe.com/v1/" + tag, "https://api.stripe.com/v1/payment_intents/" + tag + "/confirm",
			"https://" + tag + ".example/", "https://" + tag + ".stripe.com/v1/charges", "http://" + tag + ".example/" + tag,
		} {
			for _, method := range []string{"GET", "POST", "PURGE" + tag} {
				req, err := http.NewRequest(method, target, strings.NewReader("amount="+tag+"&currency="+tag))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer sk_test_"+tag)
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				req.Header.Set("Outgo-Merchant", tag)
				req.Header.Set("Outgo-Code", tag)
				if resp, err := c.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}
		}
		u, _ := url.Parse("http://" + tag + ":pass" + tag + "@" + s.about.Proxy)
		named := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(u)}, Timeout: 5 * time.Second}
		if resp, err := named.Get("http://api.stripe.com/v1/charges"); err == nil {
			_ = resp.Body.Close()
		}
		named.CloseIdleConnections()
	}
	send(0)
	before := own(s.scrape(t))
	for i := range 5 {
		send(i + 1)
	}
	after := own(s.scrape(t))
	for series := range after {
		if _, ok := before[series]; !ok || strings.Contains(series, "evil") {
			t.Errorf("new: %s", series)
		}
	}
	if len(before) < 50 || before[`outgo_calls_total{class="refuse",code="UNRECOGNISED",decision="refused",rail="stripe"}`] == after[`outgo_calls_total{class="refuse",code="UNRECOGNISED",decision="refused",rail="stripe"}`] {
		t.Errorf("%d series, and the calls were not counted", len(before))
	}
}

// Even if every call were of its own kind, there would be an end to it.
func TestKindsOfCallAreBounded(t *testing.T) {
	m := newMetrics(&sidecar{})
	for i := range 3 * maxSeries {
		m.count(&proxy.Line{Rail: "stripe", Class: spend.Spend, Code: spend.Code(fmt.Sprint(i)), Total: time.Second})
	}
	if n := len(*m.series.Load()); n > maxSeries+1 {
		t.Errorf("%d kinds of call", n)
	}
}

func TestCountingACallAllocatesNothing(t *testing.T) {
	m := newMetrics(&sidecar{})
	l := &proxy.Line{Rail: "stripe", Class: spend.Spend, Decision: "forwarded", Code: spend.OK, Total: time.Second, Upstream: time.Millisecond}
	m.count(l)
	if n := testing.AllocsPerRun(100, func() { m.count(l) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCountACall(b *testing.B) {
	m := newMetrics(&sidecar{})
	l := &proxy.Line{Rail: "stripe", Class: spend.Spend, Decision: "forwarded", Code: spend.OK, Total: time.Second, Upstream: time.Millisecond}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.count(l)
		}
	})
}

func TestTheAlertsOfTheExamplesAreSound(t *testing.T) {
	file := filepath.Join("..", "..", "examples", "prometheus", "alerts.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(startMeasured(t).scrape(t))
	names := regexp.MustCompile(`outgo_[a-z_]+`).FindAllString(string(raw), -1)
	for _, name := range names {
		if !strings.Contains(page, name) {
			t.Errorf("there is no metric %s", name)
		}
	}
	if len(names) < 10 {
		t.Errorf("only %d metrics are named", len(names))
	}
	check(t, nil, "rules", file)
}
