package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

// key makes an API key of a role and returns the file that holds it.
func (s *sidecar) key(t *testing.T, role, agent string) string {
	t.Helper()
	prefix, plaintext, digest, err := s.ledger.mint()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ledger.engine.AddAPIKey(context.Background(), engine.Actor{}, engine.APIKey{Prefix: prefix, Role: role, Agent: agent, Digest: digest}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), role+".key")
	if err := os.WriteFile(file, []byte(plaintext), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// An operator's word ends an unknown outcome, in a running outgo with an admin key
// only, and in a stopped one; it is recorded with who gave it and why.
func TestAnOperatorsWordOnAnUnknownOutcome(t *testing.T) {
	f := newFlaky(t)
	cfg := loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: {url: %q}}\npolicies: [{name: one, unit: USD, dailyLimit: 5000}]\n", f.url))
	s, _ := startLogged(t, cfg)
	paid, unpaid, later := string(f.lose(t, s, 1200, "a")), string(f.lose(t, s, 1300, "b")), string(f.lose(t, s, 1400, "c"))
	admin := s.key(t, "admin", "")
	run := func(status int, args ...string) string {
		t.Helper()
		stdout, stderr, got := outgo(t, "", append(args, "--config", cfg.File())...)
		if got != status {
			t.Errorf("%v: status %d, want %d: %s%s", args, got, status, stdout, stderr)
		}
		return stdout + stderr
	}
	for _, role := range []string{"approver", "agent"} {
		agent := map[string]string{"agent": "default"}[role]
		if out := run(1, "requests", "fail", paid, "--key-file", s.key(t, role, agent)); !strings.Contains(out, "a key of role "+role+" may not do this") {
			t.Errorf("%s: %s", role, out)
		}
	}
	if out := run(1, "requests", "fail", paid); !strings.Contains(out, "no API key") {
		t.Errorf("without a key: %s", out)
	}
	if out := run(0, "requests", "settle", paid, "--note", "on the dashboard", "--key-file", admin); !strings.Contains(out, paid+" 12.00 USD for default is settled: it counts as paid (outgo_") || !strings.Contains(out, ": on the dashboard)") {
		t.Errorf("settle: %s", out)
	}
	if out := run(0, "requests", "fail", unpaid, "--note", "not there", "--key-file", admin); !strings.Contains(out, "13.00 USD for default is failed: it was not paid, and is given back to its budgets (outgo_") {
		t.Errorf("fail: %s", out)
	}
	if out := run(1, "requests", "settle", unpaid, "--key-file", admin); !strings.Contains(out, "only an executing request has an unknown outcome") {
		t.Errorf("a second word: %s", out)
	}
	if out := run(1, "requests", "settle", "nonesuch", "--key-file", admin); !strings.Contains(out, "not found") {
		t.Errorf("a request that is none: %s", out)
	}
	s.stop()

	if out := run(0, "requests", "settle", later, "--note", "asked them"); !strings.Contains(out, "is settled: it counts as paid (local operator: asked them)") {
		t.Errorf("while it is stopped: %s", out)
	}
	out := run(0, "requests", "show", later)
	for _, want := range []string{"settled", "local operator: asked them", "operator"} {
		if !strings.Contains(out, want) {
			t.Errorf("show says nothing of %q:\n%s", want, out)
		}
	}
	led, err := openLedger(context.Background(), cfg, listeners{alarm: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer led.close()
	v, err := led.engine.Preview(context.Background(), spend.Intent{
		Agent: "default", Rail: "stripe", Class: spend.Spend, Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1)}},
	})
	if err != nil || v.Balances[0].Used != spend.NewAmount("USD", 2600) {
		t.Errorf("%+v, %v", v.Balances, err)
	}
}
