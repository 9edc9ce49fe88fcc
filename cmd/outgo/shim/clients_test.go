package shim

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// The programs of testdata/clients know nothing of a proxy: with the environment
// alone they must pay through one, and pay once when the first reply is lost.
func TestOrdinaryStripeProgramsPayThroughTheProxy(t *testing.T) {
	clients, err := filepath.Abs("../testdata/clients")
	if err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string]func(*testing.T) []string{
		"stripe-node": func(t *testing.T) []string {
			dir := filepath.Join(clients, "stripenode")
			if _, err := os.Stat(filepath.Join(dir, "node_modules", "stripe")); err != nil {
				lacking(t, "the packages of cmd/outgo/testdata/clients/stripenode are not installed: run npm ci there")
			}
			return []string{nodes(t)[0], filepath.Join(dir, "pay.mjs")}
		},
		"stripe-go": func(t *testing.T) []string {
			program := filepath.Join(t.TempDir(), "stripego")
			build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
			build.Dir = filepath.Join(clients, "stripego")
			build.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off")
			if out, err := build.CombinedOutput(); err != nil {
				lacking(t, "cmd/outgo/testdata/clients/stripego does not build: run go mod download there ("+lastLine(out)+")")
			}
			return []string{program}
		},
		"Python's standard library": func(t *testing.T) []string {
			return []string{python(t), filepath.Join(clients, "stripepython", "pay.py")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			argv := append(command(t), "1200", "usd")
			for sentence, losses := range map[string]int32{"": 0, "after a lost reply": 1} {
				var lost atomic.Int32
				stripe := sandbox.New(sandbox.Options{After: func(*http.Request) error {
					if lost.Add(1) <= losses {
						return sandbox.ErrDrop
					}
					return nil
				}})
				p := newProxy(t, stripe, "")
				out := program(t, p.env(t, "PYTHONDONTWRITEBYTECODE=1"), argv[0], argv[1:]...)
				var said struct {
					OK     bool
					ID     string
					Status string
					Amount int64
				}
				if err := json.Unmarshal([]byte(out), &said); err != nil {
					t.Fatal(errors.Join(err, errors.New(out)))
				}
				if !said.OK || said.Status != "succeeded" || said.Amount != 1200 {
					t.Errorf("%s: it said %s", sentence, out)
				}
				if stripe.Moved()["usd"] != 1200 || stripe.Count() != 1 {
					t.Errorf("%s: Stripe booked %v", sentence, stripe.Ledger())
				}
				asked := p.asked()
				if others := slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return s == "api.stripe.com:443 agent:to:ken" }); len(others) > 0 || len(asked) == 0 {
					t.Errorf("%s: the proxy was asked for %q", sentence, asked)
				}
			}
		})
	}
}
