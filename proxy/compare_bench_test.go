package proxy_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"
)

// The parts of a comparison.
const (
	callsPart = "calls"       // on connections that are kept
	freshPart = "connections" // CONNECT, TLS, one call
	bytesPart = "passthrough" // down a tunnel that nobody reads
	idlePart  = "idle"        // what a connection costs that says nothing
)

// direct is the kind that goes to the upstream without a proxy.
const direct = "direct"

// plan is what is compared, and for how long.
type plan struct {
	rounds int
	cell   time.Duration // of one measurement
	conns  []int
	parts  []string
	kinds  []string // of process; the ratios need goproxy and the tunnel
	// profiles is a directory for profiles of each proxy's life; "" for none. A
	// profile costs time, so the numbers beside it are not to be quoted.
	profiles string
}

// readPlan reads, for example, OUTGO_BENCH="rounds=1 cell=8s conns=64 parts=calls
// kinds=ledger profiles=/tmp/p". What it does not name stays as it is here.
func readPlan(b *testing.B) plan {
	b.Helper()
	p := plan{rounds: 5, cell: 700 * time.Millisecond, conns: []int{1, 16, 64, 256}, parts: []string{callsPart, freshPart, bytesPart, idlePart},
		kinds: []string{direct, goproxyRole, tunnelRole, ledgerRole, decisionsRole}}
	for _, setting := range strings.Fields(os.Getenv("OUTGO_BENCH")) {
		name, value, _ := strings.Cut(setting, "=")
		var err error
		switch name {
		case "rounds":
			p.rounds, err = strconv.Atoi(value)
		case "cell":
			p.cell, err = time.ParseDuration(value)
		case "conns":
			p.conns = p.conns[:0]
			for n := range strings.SplitSeq(value, ",") {
				c, cerr := strconv.Atoi(n)
				if p.conns = append(p.conns, c); cerr != nil || c < 1 {
					err = fmt.Errorf("%q is not a number of connections", n)
				}
			}
		case "parts":
			p.parts = strings.Split(value, ",")
		case "kinds":
			p.kinds = strings.Split(value, ",")
		case "profiles":
			p.profiles = value
		default:
			err = fmt.Errorf("the settings are rounds, cell, conns, parts, kinds and profiles")
		}
		if err != nil || p.rounds < 1 || p.cell <= 0 {
			b.Fatalf("OUTGO_BENCH: %s: %v", setting, err)
		}
	}
	return p
}

// cell is one place in the table.
type cell struct {
	part, kind string
	n          int
}

// comparison is a run: every kind takes its turn in every round, so that what
// the machine does meanwhile concerns all alike.
type comparison struct {
	plan
	upstream *process
	orders   atomic.Uint64
	order    []cell              // as first measured
	samples  map[cell][]sample   // one for each round
	idle     map[string]idleCost // by kind
	awake    bool                // see keepAwake
}

// BenchmarkCompare measures what a payment costs without a proxy, through bare
// interception by goproxy, and through outgo, with a durable ledger and with
// decisions alone. It prints medians over the rounds, and the medians of each round's
// ratio to goproxy, which carry over to other machines better than the rest.
// Load, proxies and upstream share the machine.
func BenchmarkCompare(b *testing.B) {
	if what := os.Getenv(roleEnv); what != "" {
		play(b, what)
		return
	}
	if runtime.GOOS != "linux" {
		if os.Getenv("OUTGO_TEST_REQUIRE") == "all" {
			b.Fatal("processor time and memory are read from /proc: run this on Linux")
		}
		b.Skip("processor time and memory are read from /proc: run this on Linux")
	}
	c := &comparison{plan: readPlan(b), samples: map[cell][]sample{}, idle: map[string]idleCost{}, awake: keepAwake(b)}
	c.upstream = launch(b, role{Kind: upstreamRole}, "")
	defer c.upstream.stop(b)
	for i := range c.rounds {
		c.round(b, i)
	}
	if slices.Contains(c.parts, idlePart) {
		for _, kind := range c.among(goproxyRole, ledgerRole) {
			c.measureIdle(b, kind)
		}
	}
	c.print(os.Stdout)
	c.report(b)
}

// latencyFile is how Linux is told how long a processor may take to wake up.
const latencyFile = "/dev/cpu_dma_latency"

// keepAwake keeps the machine's processors from sleeping until the benchmark ends,
// where it may (Linux, as root), and reports whether it does. On one connection at
// most one process has something to do at a time, and to wake a sleeping virtual
// processor for each takes longer than what it then does.
func keepAwake(b *testing.B) bool {
	b.Helper()
	f, err := os.OpenFile(latencyFile, os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	b.Cleanup(func() { _ = f.Close() }) // which ends it
	_, err = f.Write(make([]byte, 4))   // in µs
	return err == nil
}

// round measures every cell once, on proxies of its own.
func (c *comparison) round(b *testing.B, i int) {
	ways := map[string]way{direct: {target: c.upstream.Addr, trust: trusting(c.upstream.Roots), orders: &c.orders}}
	for _, kind := range c.among(goproxyRole, tunnelRole, ledgerRole, decisionsRole) {
		p, end := c.start(b, kind)
		defer end()
		ways[kind] = c.through(p)
	}
	if slices.Contains(c.parts, callsPart) {
		for _, n := range c.conns {
			for _, kind := range turn(i, c.among(direct, goproxyRole, ledgerRole, decisionsRole)) {
				c.add(cell{callsPart, kind, n}, ways[kind].calls(b, n, c.cell))
			}
		}
	}
	if slices.Contains(c.parts, freshPart) {
		for _, kind := range turn(i, c.among(tunnelRole, goproxyRole, ledgerRole, decisionsRole)) {
			c.add(cell{freshPart, kind, 8}, ways[kind].connections(b, 8, c.cell))
		}
	}
	if slices.Contains(c.parts, bytesPart) {
		for _, kind := range turn(i, c.among(direct, tunnelRole, ledgerRole)) {
			w := ways[kind]
			w.target = c.upstream.Sink
			c.add(cell{bytesPart, kind, 1}, w.pour(b, 512<<20))
		}
	}
}

// among returns those of some kinds that are to take part.
func (c *comparison) among(some ...string) []string {
	return slices.DeleteFunc(some, func(kind string) bool { return !slices.Contains(c.kinds, kind) })
}

// turn gives each round another order.
func turn(round int, kinds []string) []string {
	first := round % max(1, len(kinds))
	return append(slices.Clone(kinds[first:]), kinds[:first]...)
}

// start launches a proxy; end ends it and removes what it wrote.
func (c *comparison) start(b *testing.B, kind string) (p *process, end func()) {
	b.Helper()
	dir := b.TempDir()
	p = launch(b, role{Kind: kind, Dir: dir, Upstream: c.upstream.Addr, Roots: c.upstream.Roots}, c.profiles)
	return p, func() {
		p.stop(b)
		_ = os.RemoveAll(filepath.Join(dir, "ledger"))
	}
}

// through is the way through a proxy. A tunnel cannot lead to another place than
// it names, an intercepted call can.
func (c *comparison) through(p *process) way {
	w := way{proxy: p.Addr, target: payHost + ":443", proc: p, trust: trusting(p.Roots), orders: &c.orders}
	if p.kind == tunnelRole {
		w.target, w.trust = c.upstream.Addr, trusting(c.upstream.Roots)
	}
	return w
}

func (c *comparison) add(at cell, s sample) {
	if c.samples[at] == nil {
		c.order = append(c.order, at)
	}
	c.samples[at] = append(c.samples[at], s)
}

// idleCost is what connections that say nothing cost a proxy.
type idleCost struct {
	rss     float64 // MiB with all of them open
	each    float64 // KiB of resident memory for each
	eachUse float64 // KiB of heap and stacks in use for each
}

// measureIdle opens a thousand connections and looks at the proxy's memory once
// it has come to rest. The calls on them are reads, so that the ledger's own
// memory, which payments fill, is not counted as that of connections.
func (c *comparison) measureIdle(b *testing.B, kind string) {
	const n = 1000
	p, end := c.start(b, kind)
	defer end()
	w := c.through(p)
	for _, k := range w.clients(b, 16, (*client).pay) { // what is made once is not counted
		_ = k.conn.Close()
	}
	use, rss := p.heap(b, true).InUse, p.rss(b)
	cs := w.clients(b, n, (*client).look)
	defer func() {
		for _, k := range cs {
			_ = k.conn.Close()
		}
	}()
	open := p.heap(b, true).InUse
	now := p.rss(b)
	for range 10 { // the runtime gives memory back bit by bit
		time.Sleep(200 * time.Millisecond)
		now = min(now, p.rss(b))
	}
	c.idle[kind] = idleCost{
		rss: float64(now) / (1 << 20), each: float64(now-rss) / n / 1024,
		eachUse: (float64(open) - float64(use)) / n / 1024,
	}
}

// median is that of what of over the samples of a cell.
func (c *comparison) median(at cell, of func(sample) float64) float64 {
	var all []float64
	for _, s := range c.samples[at] {
		all = append(all, of(s))
	}
	return middle(all)
}

// ratio is the median, over the rounds, of at's number over that of its baseline.
func (c *comparison) ratio(at cell, of func(sample) float64) float64 {
	base := c.samples[cell{at.part, baseline(at.part), at.n}]
	var all []float64
	for i, s := range c.samples[at] {
		if i < len(base) && of(base[i]) > 0 {
			all = append(all, of(s)/of(base[i]))
		}
	}
	return middle(all)
}

// baseline is the kind that the others of a part are held against.
func baseline(part string) string {
	if part == callsPart {
		return goproxyRole
	}
	return tunnelRole
}

func middle(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func rate(s sample) float64    { return s.rate }
func p50(s sample) float64     { return s.p50 }
func p99(s sample) float64     { return s.p99 }
func cpu(s sample) float64     { return s.cpu }
func mallocs(s sample) float64 { return s.mallocs }
func perCall(s sample) float64 { return s.bytes }

// print writes the table.
func (c *comparison) print(to io.Writer) {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	sleep := "kept from sleeping"
	if !c.awake {
		sleep = "may sleep, and each wake counts (" + latencyFile + " was not to be had)"
	}
	fmt.Fprintf(to, "\nmedians of %d rounds of %s; ratios to %s (%s), to a plain tunnel (others); processors %s\n",
		c.rounds, c.cell, goproxyRole, callsPart, sleep)
	fmt.Fprintln(t, "part\tkind\tconns\t1/s\tx\tp50 µs\tp99 µs\tp99 x\tCPU µs\tCPU x\tallocs\tKiB\t")
	for _, at := range c.order {
		if at.part == bytesPart {
			fmt.Fprintf(t, "%s\t%s\t%d\t%.2f GB/s\t%.2f\t\t\t\t%.2f s/GB\t%.2f\t\t\t\n", at.part, at.kind, at.n,
				c.median(at, rate)/1e9, c.ratio(at, rate), c.median(at, cpu)/1e6, c.ratio(at, cpu))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%.0f\t%.2f\t%.0f\t%.0f\t%.2f\t%.0f\t%.2f\t%.0f\t%.1f\t\n", at.part, at.kind, at.n,
			c.median(at, rate), c.ratio(at, rate), c.median(at, p50), c.median(at, p99), c.ratio(at, p99),
			c.median(at, cpu), c.ratio(at, cpu), c.median(at, mallocs), c.median(at, perCall)/1024)
	}
	for _, kind := range []string{goproxyRole, ledgerRole} {
		if i, ok := c.idle[kind]; ok {
			fmt.Fprintf(t, "%s\t%s\t1000\t%.0f MiB\t\t%.1f KiB each\t%.1f in use\t\t\t\t\t\t\n", idlePart, kind, i.rss, i.each, i.eachUse)
		}
	}
	t.Flush()
	fmt.Fprintln(to)
}

// report gives the same numbers as benchmark results.
func (c *comparison) report(b *testing.B) {
	result := func(name string, metrics map[string]float64) {
		b.Run(name, func(b *testing.B) {
			b.ReportMetric(0, "ns/op") // it was measured above
			for unit, v := range metrics {
				b.ReportMetric(v, unit)
			}
		})
	}
	for _, at := range c.order {
		name := fmt.Sprintf("%s/%s/conns=%d", at.part, at.kind, at.n)
		if at.part == bytesPart {
			result(name, map[string]float64{"GB/s": c.median(at, rate) / 1e9, "x-tunnel": c.ratio(at, rate), "cpu-s/GB": c.median(at, cpu) / 1e6})
			continue
		}
		result(name, map[string]float64{
			"calls/s": c.median(at, rate), "p50-µs": c.median(at, p50), "p99-µs": c.median(at, p99), "cpu-µs/call": c.median(at, cpu),
			"x-" + baseline(at.part): c.ratio(at, rate), "cpu-x-" + baseline(at.part): c.ratio(at, cpu),
		})
	}
	for kind, i := range c.idle {
		result(idlePart+"/"+kind, map[string]float64{"rss-MiB": i.rss, "rss-KiB/conn": i.each, "heap-KiB/conn": i.eachUse})
	}
}
