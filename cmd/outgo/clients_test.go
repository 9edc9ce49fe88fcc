package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// need returns the path of a program, or skips the test with a word on how to
// get it; under OUTGO_TEST_REQUIRE=all it fails instead.
func need(t *testing.T, program, how string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		lack(t, "%s is not installed; %s", program, how)
	}
	return path
}

func lack(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("OUTGO_TEST_REQUIRE") == "all" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// asOutgo is this very test binary under the name by which TestMain knows to be
// outgo, so that what is tested was built once, and with the race detector where
// the tests were.
func asOutgo(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "outgo")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// A program is a payment program that knows nothing of outgo.
type program struct {
	name string
	argv func(t *testing.T) []string
	// The exception that a denial raises, as the program prints it.
	deniedType string
	codeKept   bool
}

func programs() []program {
	clients, _ := filepath.Abs("testdata/clients")
	return []program{
		{
			name: "stripe-node", deniedType: "StripePermissionError", codeKept: true,
			argv: func(t *testing.T) []string {
				node := need(t, "node", "install Node.js 20 or later")
				if _, err := os.Stat(clients + "/stripenode/node_modules/stripe"); err != nil {
					lack(t, "stripe-node is not installed; run `npm ci` in cmd/outgo/testdata/clients/stripenode")
				}
				return []string{node, clients + "/stripenode/pay.mjs"}
			},
		},
		{
			name: "stripe-go", deniedType: "invalid_request_error", codeKept: true,
			argv: func(t *testing.T) []string {
				bin := filepath.Join(t.TempDir(), "stripego")
				build := exec.Command("go", "build", "-o", bin, ".")
				build.Dir = clients + "/stripego"
				if out, err := build.CombinedOutput(); err != nil {
					lack(t, "the stripe-go program does not build (its modules may be out of reach): %v\n%s", err, out)
				}
				return []string{bin}
			},
		},
		{
			name: "python shaped like stripe-python", deniedType: "PermissionError", codeKept: true,
			argv: func(t *testing.T) []string {
				return []string{need(t, "python3", "install Python 3"), clients + "/stripepython/pay.py"}
			},
		},
	}
}

// A result is the line that each program prints.
type result struct {
	OK         bool   `json:"ok"`
	ID         string `json:"id"`
	Status     string `json:"status"`
	Amount     int64  `json:"amount"`
	Type       string `json:"type"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	StatusCode int    `json:"statusCode"`
	RequestID  string `json:"requestId"`
}

// A shop is a data directory and a configuration for the built binary.
type shop struct {
	t      *testing.T
	dir    string
	bin    string
	config string
	key    string // an approver's, kept outside of the data directory
}

func newShop(t *testing.T, upstream string) *shop {
	t.Helper()
	s := &shop{t: t, dir: t.TempDir(), bin: asOutgo(t)}
	s.config = filepath.Join(s.dir, "outgo.yaml")
	text := fmt.Sprintf(`data_dir: %s/data
listen: {proxy: "127.0.0.1:0", control: "127.0.0.1:0"}
upstreams: {api.stripe.com: %s}
policies: [{name: shop, unit: USD, maxSingleAmount: 10000, dailyLimit: 50000, requireApprovalOver: 5000}]
`, s.dir, upstream)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.key = strings.TrimSpace(s.outgo(nil, "keys", "create", "--role", "approver"))
	return s
}

// outgo runs one command to its end and returns its standard output.
func (s *shop) outgo(env []string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.bin, append([]string{args[0], "--config", s.config}, args[1:]...)...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("outgo %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// run starts a program under `outgo run` and returns its line.
func (s *shop) run(argv []string, cents int) (result, string, time.Duration) {
	s.t.Helper()
	cmd := exec.Command(s.bin, append([]string{"run", "--config", s.config, "--"}, append(argv, fmt.Sprint(cents), "usd")...)...)
	cmd.Env = append(os.Environ(), "STRIPE_API_KEY=sk_test_outgo", keyVariable+"="+s.key)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	out, err := cmd.Output()
	took := time.Since(start)
	var r result
	if jerr := json.Unmarshal(bytes.TrimSpace(out), &r); jerr != nil {
		s.t.Fatalf("%v: %q, %v\n%s", argv, out, err, stderr.String())
	}
	if exit := cmd.ProcessState.ExitCode(); r.OK && exit != 0 || !r.OK && exit != 1 {
		s.t.Errorf("exit status %d, and the program printed %+v", exit, r)
	}
	return r, stderr.String(), took
}

// settled returns what the ledger says of the newest request.
func (s *shop) newest() shownRequest {
	s.t.Helper()
	var rs []shownRequest
	out := s.outgo([]string{keyVariable + "=" + s.key}, "requests", "list", "--json", "--limit", "1")
	if err := json.Unmarshal([]byte(out), &rs); err != nil || len(rs) != 1 {
		s.t.Fatalf("requests list: %s %v", out, err)
	}
	return rs[0]
}

// approveNext approves the first call that is held, from another process as from
// another terminal.
func (s *shop) approveNext(note string) <-chan error {
	done := make(chan error, 1)
	go func() {
		env := append(os.Environ(), keyVariable+"="+s.key)
		for range 300 {
			cmd := exec.Command(s.bin, "approvals", "--config", s.config, "list", "--json")
			cmd.Env = env
			out, err := cmd.Output()
			var rs []shownRequest
			if err != nil || json.Unmarshal(out, &rs) != nil || len(rs) == 0 {
				time.Sleep(50 * time.Millisecond) // the sidecar may not be up yet
				continue
			}
			cmd = exec.Command(s.bin, "approvals", "--config", s.config, "approve", rs[0].ID, "--note", note)
			cmd.Env = env
			if out, err := cmd.CombinedOutput(); err != nil {
				done <- fmt.Errorf("approve: %w\n%s", err, out)
				return
			}
			done <- nil
			return
		}
		done <- fmt.Errorf("no call was held")
	}()
	return done
}

// counterparts are what stands in for Stripe: the sandbox, stripe-mock, and the
// sandbox over TLS under an authority of its own.
func counterparts(t *testing.T) map[string]func(t *testing.T) (upstream string, count func() int) {
	t.Helper()
	return map[string]func(t *testing.T) (string, func() int){
		"sandbox": func(t *testing.T) (string, func() int) {
			srv, up := serveSandbox(t)
			return fmt.Sprintf("{url: %q}", up), func() int { return int(srv.Count()) }
		},
		"sandbox over TLS": func(t *testing.T) (string, func() int) {
			srv := sandbox.New(sandbox.Options{})
			up, caFile := tlsProvider(t, srv, "api.stripe.com")
			return fmt.Sprintf("{url: %q, ca_file: %q, server_name: api.stripe.com}", up, caFile), func() int { return int(srv.Count()) }
		},
		"stripe-mock": func(t *testing.T) (string, func() int) {
			return fmt.Sprintf("{url: \"http://%s\"}", startStripeMock(t)), nil
		},
	}
}

func serveSandbox(t *testing.T) (*sandbox.Server, string) {
	t.Helper()
	srv := sandbox.New(sandbox.Options{})
	up := httptest.NewServer(srv)
	t.Cleanup(up.Close)
	return srv, up.URL
}

// startStripeMock runs stripe-mock on a free port until the test ends.
func startStripeMock(t *testing.T) string {
	t.Helper()
	bin := need(t, "stripe-mock", "go install github.com/stripe/stripe-mock@v0.203.0, and have $(go env GOPATH)/bin on PATH")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr)
	_ = ln.Close()
	cmd := exec.Command(bin, "-http-addr", addr.String(), "-https-addr", "127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 200 {
		req, _ := http.NewRequest("GET", "http://"+addr.String()+"/v1/balance", nil)
		req.Header.Set("Authorization", "Bearer sk_test_x")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			return addr.String()
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("stripe-mock did not answer within 10 s")
	return ""
}

// Unmodified programs, each against each counterpart: a payment is allowed and
// receipted, denied with the SDK's ordinary exception, and held and approved from
// another process, upon which the original call completes.
func TestRealClients(t *testing.T) {
	for where, counterpart := range counterparts(t) {
		for _, p := range programs() {
			t.Run(p.name+" against "+where, func(t *testing.T) {
				argv := p.argv(t)
				upstream, count := counterpart(t)
				s := newShop(t, upstream)

				r, stderr, _ := s.run(argv, 1200)
				if !r.OK || !strings.HasPrefix(r.ID, "pi_") || r.Amount != 1200 {
					t.Fatalf("allowed: %+v\n%s", r, stderr)
				}
				if got := s.newest(); got.State != "settled" || len(got.Receipts) != 1 || got.Receipts[0].ProviderTransactionID != r.ID || string(got.AmountMinor) != "1200" {
					t.Errorf("allowed: the ledger says %+v", got)
				}
				if !strings.Contains(stderr, "1 settled") || !strings.Contains(stderr, "spent 12.00 USD") {
					t.Errorf("the summary: %s", stderr)
				}

				r, stderr, took := s.run(argv, 25000)
				if r.OK || r.Type != p.deniedType || r.StatusCode != 403 || p.codeKept && r.Code != "spend_policy_denied" {
					t.Errorf("denied: %+v\n%s", r, stderr)
				}
				for _, want := range []string{"EXCEEDS_SINGLE_LIMIT", "25000 USD", "10000 USD", `"shop"`, "48800 of 50000 USD left this day"} {
					if !strings.Contains(r.Message, want) {
						t.Errorf("denied: the message does not say %q: %s", want, r.Message)
					}
				}
				if took > 20*time.Second {
					t.Errorf("the denial took %s: it was retried", took)
				}

				approved := s.approveNext("agreed with finance")
				r, stderr, _ = s.run(argv, 7500)
				if err := <-approved; err != nil {
					t.Error(err)
				}
				if !r.OK || r.Amount != 7500 || !strings.Contains(stderr, "HELD payment_intents.create, 75.00 USD") {
					t.Fatalf("held and approved: %+v\n%s", r, stderr)
				}
				if got := s.newest(); got.State != "settled" || got.Approval == nil || got.Approval.Status != "APPROVED" || *got.Approval.Note != "agreed with finance" {
					t.Errorf("held and approved: the ledger says %+v", got)
				}
				if count != nil && count() != 2 {
					t.Errorf("the provider executed %d payments, want 2", count())
				}
			})
		}
	}
}

// curl needs nothing but HTTPS_PROXY and the authority.
func TestCurl(t *testing.T) {
	curl := need(t, "curl", "install curl")
	_, up := serveSandbox(t)
	cfg := loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: {url: %q}}\npolicies: [{name: shop, unit: USD, maxSingleAmount: 10000}]\n", up))
	s := startTest(t, cfg)
	pay := func(cents string) string {
		cmd := exec.Command(curl, "-sS", "-w", "\n%{http_code} %header{outgo-decision} %header{outgo-code}", "https://api.stripe.com/v1/payment_intents", "-u", "sk_test_x:",
			"-d", "amount="+cents, "-d", "currency=usd", "-d", "confirm=true", "-d", "payment_method=pm_card_visa")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HTTPS_PROXY=http://" + s.about.Proxy, "CURL_CA_BUNDLE=" + s.about.Bundle}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if out := pay("1200"); !strings.Contains(out, `"succeeded"`) || !strings.HasSuffix(out, "\n200  ") {
		t.Errorf("allowed: %s", out)
	}
	if out := pay("99999"); !strings.Contains(out, "spend_policy_denied") || !strings.HasSuffix(out, "\n403 denied EXCEEDS_SINGLE_LIMIT") {
		t.Errorf("denied: %s", out)
	}
}
