package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// roleEnv tells this test binary to be one of the processes of a comparison
// instead of running it. Its value is a role in JSON.
const roleEnv = "OUTGO_BENCH_ROLE"

// The kinds of process that take part. Each proxy has one of its own, so that
// its processor time and its memory can be read apart from those of the load.
const (
	upstreamRole  = "upstream"  // the provider, and a sink for bytes
	goproxyRole   = "goproxy"   // interception that reads bodies and decides nothing
	tunnelRole    = "tunnel"    // goproxy that passes bytes unread
	ledgerRole    = "ledger"    // outgo, two durable commits a call
	decisionsRole = "decisions" // outgo, policies evaluated on counters in memory
)

// role is what one process is to be.
type role struct {
	Kind     string
	Dir      string // of its own, empty
	Upstream string // host:port
	Roots    []byte // PEM, what the upstream is verified by
}

// place is what a process says once it serves.
type place struct {
	Addr  string
	Sink  string // of the upstream: takes bytes in the clear and counts them
	Roots []byte // PEM, what its certificates are verified by
}

// heap is what a process says of its memory when asked.
type heap struct {
	Mallocs, Bytes uint64 // allocated since the start
	InUse          uint64 // bytes of heap and stacks in use
}

// process is a child. It ends when its standard input does, so it never outlives
// the benchmark.
type process struct {
	place
	kind string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *os.File
	said *json.Decoder
	diag bytes.Buffer
}

// launch starts a process and waits until it serves. profiles, when not "", is a
// directory for a processor and an allocation profile of its life.
func launch(b *testing.B, r role, profiles string) *process {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	what, err := json.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	args := []string{"-test.run=^$", "-test.bench=^BenchmarkCompare$", "-test.benchtime=1x"}
	if profiles != "" {
		name := filepath.Join(profiles, r.Kind)
		args = append(args, "-test.cpuprofile="+name+".cpu", "-test.memprofile="+name+".mem", "-test.memprofilerate=65536")
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	p := &process{kind: r.Kind, cmd: exec.Command(self, args...), out: out, said: json.NewDecoder(bufio.NewReader(out))} //nolint:gosec // this very program
	p.cmd.Env = append(os.Environ(), roleEnv+"="+string(what))
	p.cmd.ExtraFiles = []*os.File{theirs}
	p.cmd.Stdout, p.cmd.Stderr = &p.diag, &p.diag
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	err = p.cmd.Start()
	_ = theirs.Close()
	if err != nil {
		b.Fatal(err)
	}
	p.hear(b, &p.place)
	return p
}

// hear reads one answer.
func (p *process) hear(b *testing.B, v any) {
	b.Helper()
	_ = p.out.SetReadDeadline(time.Now().Add(20 * time.Second))
	if err := p.said.Decode(v); err != nil {
		p.stop(b)
		b.Fatalf("%s process: %v\n%s", p.kind, err, p.diag.String())
	}
}

// stop ends the process and complains if it did not end well. A process that
// does not end by itself is killed.
func (p *process) stop(b *testing.B) {
	b.Helper()
	_ = p.in.Close()
	kill := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	kill.Stop()
	_ = p.out.Close()
	if err != nil {
		b.Errorf("%s process: %v\n%s", p.kind, err, p.diag.String())
	}
}

// heap asks for the process's memory, collected first if collect is set.
func (p *process) heap(b *testing.B, collect bool) heap {
	b.Helper()
	ask := "heap\n"
	if collect {
		ask = "collect\n"
	}
	if _, err := io.WriteString(p.in, ask); err != nil {
		b.Fatal(err)
	}
	var h heap
	p.hear(b, &h)
	return h
}

// cpu is the processor time that the process has used, to a tick of 10 ms.
func (p *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	// The name in parentheses may hold spaces; utime and stime are the 12th and
	// 13th fields behind it.
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// rss is the process's resident memory in bytes.
func (p *process) rss(b *testing.B) int64 {
	b.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// play is the life of a child: it serves, answers what it is asked, and stops
// when its standard input ends.
func play(b *testing.B, what string) {
	var r role
	if err := json.Unmarshal([]byte(what), &r); err != nil {
		b.Fatal(err)
	}
	where, stop := r.serve(b)
	defer stop()
	answers := json.NewEncoder(os.NewFile(3, "answers"))
	if err := answers.Encode(where); err != nil {
		b.Fatal(err)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "collect" {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if err := answers.Encode(heap{Mallocs: m.Mallocs, Bytes: m.TotalAlloc, InUse: m.HeapInuse + m.StackInuse}); err != nil {
			b.Fatal(err)
		}
	}
}
