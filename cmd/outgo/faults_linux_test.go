package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestFaults runs the program itself, as a user would, under payments of several
// agents, and takes away what it stands on: the process, the power, the disk. The
// program is built once, without the race detector.
func TestFaults(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "outgo")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, c := range []struct {
		sentence string
		run      func(t *testing.T, binary string)
	}{
		{"a process that is killed at any moment loses nothing and repeats nothing", killRounds},
		{"a first start that is killed at any moment can be repeated", killedAtStart},
		{"a machine that loses its power loses nothing and repeats nothing", powerRounds},
		{"a disk that fills up stops spending and nothing else", fullRounds},
		{"a disk that is full at the start is named and can be mended", fullAtStart},
		{"a data directory that cannot be written is named", unwritable},
		{"a flood of connections costs the ledger nothing", flooded},
		{"a disk that fails stops spending until the next start", failingDisk},
	} {
		t.Run(c.sentence, func(t *testing.T) { c.run(t, binary) })
	}
}

// rounds is how often a fault strikes: the number in the environment variable
// name, else many where the tests must be whole, else few.
func rounds(t *testing.T, name string, many, few int) int {
	t.Helper()
	if text := os.Getenv(name); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is not a number of rounds", name, text)
		}
		return n
	}
	if os.Getenv("OUTGO_TEST_REQUIRE") == "all" {
		return many
	}
	return few
}

// A daemon is a running `outgo serve`.
type daemon struct {
	cmd     *exec.Cmd
	data    string // its data directory
	proxy   string
	control string
	took    time.Duration // from exec to ready
	log     *lines
	began   time.Time
	serving chan struct{} // closed once proxy and control are set
	exited  chan struct{} // closed once err is set
	err     error
}

// lines is what a daemon has logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
}

// tightLimit is what one tight agent may spend, in cents.
const tightLimit = 6000

// faultConfig writes a configuration with a data directory and returns its path.
// Agent "wide" has no limit; "tight0", "tight1" and so on have one of their own
// each, so that a limit can be met again and again.
func faultConfig(t *testing.T, data, upstream string) string {
	t.Helper()
	var agents, policies strings.Builder
	for i := range 50 {
		fmt.Fprintf(&agents, "  - {name: tight%d, token: %q}\n", i, token(fmt.Sprint("tight", i)))
		fmt.Fprintf(&policies, "  - {name: tight%d, unit: USD, monthlyLimit: %d, scope: {agents: [tight%d]}}\n", i, tightLimit, i)
	}
	text := fmt.Sprintf(`data_dir: %q
listen: {proxy: "127.0.0.1:0", control: "127.0.0.1:0"}
proxy: {auth: required}
upstreams: {api.stripe.com: {url: %q}}
agents:
  - {name: wide, token: %q}
%spolicies:
  - {name: wide, unit: USD, scope: {agents: [wide]}}
%s`, data, upstream, token("wide"), agents.String(), policies.String())
	file := filepath.Join(t.TempDir(), "outgo.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// token is the password of an agent.
func token(agent string) string { return "a-token-for-" + agent }

// begin starts argv, which is outgo or something that runs it, and reads its log.
func begin(t *testing.T, data string, argv ...string) *daemon {
	t.Helper()
	return beginAs(t, data, uint32(os.Geteuid()), argv...)
}

// beginAs is begin as another user.
func beginAs(t *testing.T, data string, uid uint32, argv ...string) *daemon {
	t.Helper()
	d := launch(t, data, uid, argv...)
	select {
	case <-d.serving:
		d.awaitReady(t)
	case <-d.exited:
	case <-time.After(30 * time.Second):
		t.Fatalf("outgo has not begun to serve within 30 s:\n%s", d.log)
	}
	return d
}

// launch starts argv as a user and does not wait for anything.
func launch(t *testing.T, data string, uid uint32, argv ...string) *daemon {
	t.Helper()
	d := &daemon{
		cmd: exec.Command(argv[0], argv[1:]...), data: data, log: &lines{},
		serving: make(chan struct{}), exited: make(chan struct{}),
	}
	d.cmd.Env = []string{"HOME=" + filepath.Dir(data), "PATH=" + os.Getenv("PATH")}
	// A child of the child must not outlive it: they are killed as a group.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if uid != uint32(os.Geteuid()) {
		d.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	out, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.began = time.Now()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	go func() {
		d.read(out)
		d.err = d.cmd.Wait()
		close(d.exited)
	}()
	return d
}

// read takes in the log until it ends, and notes where the daemon listens when it
// says so.
func (d *daemon) read(out io.Reader) {
	in := bufio.NewScanner(out)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		d.log.add(in.Text())
		var l struct{ Msg, Proxy, Control string }
		if json.Unmarshal(in.Bytes(), &l) == nil && l.Msg == "outgo is serving" && d.proxy == "" {
			d.proxy, d.control = l.Proxy, l.Control
			close(d.serving)
		}
	}
	_, _ = io.Copy(io.Discard, out) // a line too long must not stop the child
}

// awaitReady returns once /readyz has answered well, or not for long.
func (d *daemon) awaitReady(t *testing.T) {
	t.Helper()
	var body string
	for time.Since(d.began) < 30*time.Second {
		status, text, err := d.get("/readyz")
		if err == nil && status == http.StatusOK {
			d.took = time.Since(d.began)
			return
		}
		body = fmt.Sprint(status, text, err)
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("outgo is not ready within 30 s: %s\n%s", body, d.log)
}

// get asks the control listener.
func (d *daemon) get(path string) (status int, body string, err error) {
	status, _, b, err := d.do(path)
	return status, string(b), err
}

func (d *daemon) do(path string) (status int, header http.Header, body []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+d.control+path, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	if key, err := os.ReadFile(filepath.Join(d.data, adminKeyFile)); err == nil {
		req.Header.Set("x-api-key", strings.TrimSpace(string(key)))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, body, err
}

// running reports whether the process is still there.
func (d *daemon) running() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// kill ends the process without a word to it, and its children, and waits.
func (d *daemon) kill() {
	if d.running() {
		_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL) // it may have ended just now
	}
	<-d.exited
}

// terminate asks the process to end and returns how it did.
func (d *daemon) terminate(t *testing.T) error {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("signal outgo: %w", err)
	}
	select {
	case <-d.exited:
	case <-time.After(60 * time.Second):
		t.Fatalf("outgo does not end within 60 s of SIGTERM:\n%s", tail(d.log.String(), 40))
	}
	return d.err
}

// tail is the last n lines of text.
func tail(text string, n int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// lastWords is what a daemon has printed beside its log, as the runtime does when
// it gives up.
func (d *daemon) lastWords() string {
	var said []string
	for line := range strings.Lines(d.log.String()) {
		if !strings.HasPrefix(line, "{") && len(said) < 40 {
			said = append(said, line)
		}
	}
	return strings.Join(said, "")
}

// eventually waits until met, for at most limit.
func eventually(t *testing.T, what string, limit time.Duration, met func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		if met() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("within %s: not %s", limit, what)
		}
	}
}
