package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A service is `outgo serve` in a process of its own. It keeps its data directory
// and its addresses over restarts, as a service does.
type service struct {
	t              *testing.T
	dir, bin       string
	config         string
	proxy, control string // addresses
	door           string // where agents connect instead of proxy, if not ""

	cmd    *exec.Cmd
	exited chan error // of cmd
	log    *serviceLog
}

// serviceLog is a log that a process writes while the test reads it.
type serviceLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *serviceLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *serviceLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newService starts outgo with the configuration in text.
func newService(t *testing.T, text string) *service {
	t.Helper()
	d := &service{t: t, dir: t.TempDir(), bin: asOutgo(t), proxy: freeAddress(t), control: freeAddress(t)}
	d.config = filepath.Join(d.dir, "outgo.yaml")
	text = fmt.Sprintf("data_dir: %s/data\nlisten: {proxy: %q, control: %q}\n%s", d.dir, d.proxy, d.control, text)
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start()
	t.Cleanup(func() {
		if d.cmd != nil {
			d.kill()
		}
		if t.Failed() {
			t.Logf("outgo said:\n%s", d.log)
		}
	})
	return d
}

// hasty is the environment of this test, in which a program with the race detector
// does not sleep for a second before it ends.
func hasty() []string { return append(os.Environ(), "GORACE=atexit_sleep_ms=0") }

// freeAddress is one that nobody listens on, from below the range out of which
// systems give ports to clients, so that it stays free while its owner restarts.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// start starts the process and waits until it serves.
func (d *service) start() {
	d.t.Helper()
	if d.log == nil {
		d.log = &serviceLog{}
	}
	d.cmd = exec.Command(d.bin, "serve", "--config", d.config)
	d.cmd.Env, d.cmd.Stderr = hasty(), d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(d.cmd, d.exited)
	for range 400 {
		if resp, err := http.Get("http://" + d.control + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if _, err := os.Stat(filepath.Join(d.dir, "data", adminKeyFile)); err == nil && d.api("GET", "/api-keys", "", nil, nil) == http.StatusOK {
				return
			}
		}
		select {
		case err := <-d.exited:
			d.cmd = nil
			d.t.Fatalf("outgo serve: %v\n%s", err, d.log)
		case <-time.After(25 * time.Millisecond):
		}
	}
	d.t.Fatalf("outgo does not serve after 10 s:\n%s", d.log)
}

// kill ends the process as a crash would.
func (d *service) kill() {
	d.t.Helper()
	_ = d.cmd.Process.Kill() // it may have ended
	<-d.exited
	d.cmd = nil
}

// signal sends a signal; ended says how the process ends.
func (d *service) signal(sig os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.t.Fatal(err)
	}
}

// ended waits for the process to end and returns how long it took and its error.
func (d *service) ended(limit time.Duration) (took time.Duration, err error) {
	d.t.Helper()
	since := time.Now()
	select {
	case err := <-d.exited:
		d.cmd = nil
		return time.Since(since), err
	case <-time.After(limit):
		d.t.Fatalf("outgo still runs after %s:\n%s", limit, d.log)
		return limit, nil
	}
}

// stop ends the process as a service manager would.
func (d *service) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	if _, err := d.ended(20 * time.Second); err != nil {
		d.t.Errorf("outgo serve: %v", err)
	}
}

// outgo runs a command beside the process and returns its standard output.
func (d *service) outgo(args ...string) string {
	d.t.Helper()
	cmd := exec.Command(d.bin, append(args, "--config", d.config)...)
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr = hasty(), &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("outgo %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// api calls the control listener with the administrator's key, or with another.
func (d *service) api(method, path, key string, in, out any) int {
	d.t.Helper()
	if key == "" {
		b, err := os.ReadFile(filepath.Join(d.dir, "data", adminKeyFile))
		if err != nil {
			d.t.Fatal(err)
		}
		key = strings.TrimSpace(string(b))
	}
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			d.t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, "http://"+d.control+"/api/v1"+path, &body)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("x-api-key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	if out != nil && resp.StatusCode < 300 {
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			d.t.Fatal(err)
		}
	}
	return resp.StatusCode
}

// booked is what the ledger says of one request.
type booked struct {
	ID             string
	State          string
	Attempts       int
	AgentID        string
	DecisionReason string
}

// ledger lists every request, newest first.
func (d *service) ledger() []booked {
	d.t.Helper()
	var out []booked
	if status := d.api("GET", "/spend-requests?limit=200", "", nil, &out); status != 200 {
		d.t.Fatalf("list requests: %d", status)
	}
	return out
}

// held waits for a request that is held after so many attempts.
func (d *service) held(attempts int) booked {
	d.t.Helper()
	r, ok := d.heldUnless(attempts, nil)
	if !ok {
		d.t.Fatalf("no request is held after %d attempts", attempts)
	}
	return r
}

// heldUnless is held, but for a time that ends with over.
func (d *service) heldUnless(attempts int, over <-chan struct{}) (booked, bool) {
	d.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		var out []booked
		d.api("GET", "/approvals?status=PENDING", "", nil, &out)
		for _, r := range out {
			if r.Attempts >= attempts {
				return r, true
			}
		}
		select {
		case <-over:
			return booked{}, false
		case <-time.After(15 * time.Millisecond):
		}
	}
	return booked{}, false
}

func (d *service) approve(id string) {
	d.t.Helper()
	if status := d.api("POST", "/approvals/"+id+"/resolve", "", map[string]string{"status": "APPROVED"}, nil); status != 200 {
		d.t.Fatalf("approve: %d", status)
	}
}

// client is an agent's, with connections of its own; user may be nil.
func (d *service) client(user *url.Userinfo) *http.Client {
	d.t.Helper()
	pem, err := os.ReadFile(filepath.Join(d.dir, "data", "ca", "ca.pem"))
	if err != nil {
		d.t.Fatal(err)
	}
	c, err := agentClient(d.proxy, pem)
	if err != nil {
		d.t.Fatal(err)
	}
	if tr, ok := c.Transport.(*http.Transport); ok && user != nil {
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: d.proxy, User: user})
	}
	d.t.Cleanup(c.CloseIdleConnections)
	return c
}

// environ is the environment of an agent that `outgo env` sends through outgo.
func (d *service) environ() []string {
	d.t.Helper()
	vars := map[string]string{}
	if err := json.Unmarshal([]byte(d.outgo("env", "--format", "json")), &vars); err != nil {
		d.t.Fatal(err)
	}
	env := append(os.Environ(), "STRIPE_API_KEY=sk_test_outgo")
	for name, value := range vars {
		if d.door != "" {
			value = strings.ReplaceAll(value, d.proxy, d.door)
		}
		env = append(env, name+"="+value)
	}
	return env
}
