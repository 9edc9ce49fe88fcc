package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

// A reload takes over policies, names whatever else has changed and waits for a
// restart, and changes nothing on a file with a mistake.
func TestAReloadNamesWhatNeedsARestart(t *testing.T) {
	cfg := loadText(t, "policies: [{name: one, unit: USD, dailyLimit: 5000}]\n")
	s, logs := startLogged(t, cfg)
	before, err := os.ReadFile(cfg.File())
	if err != nil {
		t.Fatal(err)
	}
	reload := func(more string) string {
		t.Helper()
		text := strings.Replace(string(before), "5000", "6000", 1) + more
		if err := os.WriteFile(cfg.File(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		logs.TakeAll()
		s.reload(context.Background(), &options{file: cfg.File()})
		var out strings.Builder
		for _, e := range logs.TakeAll() {
			fmt.Fprintln(&out, e.Level, e.Message, e.ContextMap())
		}
		return out.String()
	}
	limit := func() string {
		t.Helper()
		ps, err := s.ledger.engine.Policies(context.Background())
		if err != nil || len(ps) != 1 {
			t.Fatal(ps, err)
		}
		return ps[0].Daily.String()
	}
	if out := reload("proxy: {no: such}\n"); !strings.Contains(out, "config not reloaded") || limit() != "5000 USD" {
		t.Errorf("a mistake: %s, limit %s", out, limit())
	}
	if out := reload(""); strings.Contains(out, "next start") || limit() != "6000 USD" {
		t.Errorf("a policy: %s, limit %s", out, limit())
	}
	out := reload("proxy: {auth: required}\nagents: [{name: a, token: hunter2}]\n")
	if !strings.Contains(out, "warn these settings have changed") || !strings.Contains(out, "agents proxy.auth") || strings.Contains(out, "hunter2") {
		t.Errorf("other settings: %s", out)
	}
}
