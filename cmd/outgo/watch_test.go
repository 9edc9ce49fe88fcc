package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// A watch sees the daemon go and come back, keeps nobody from starting, and prints
// each approval once.
func TestAWatchOutlivesTheDaemon(t *testing.T) {
	_, up := serveSandbox(t)
	d := newService(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
proxy: {hold: {wait: {stripe: 100ms}}}
policies: [{name: shop, unit: USD, requireApprovalOver: 5000}]
`, up))
	d.stop()
	var out, notes serviceLog
	watch := exec.Command(d.bin, "approvals", "watch", "--config", d.config)
	watch.Stdout, watch.Stderr = &out, &notes
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- watch.Wait() }()
	t.Cleanup(func() { _ = watch.Process.Kill() })
	printed := func(id string) func() bool {
		return func() bool { return strings.Count(out.String(), "outgo approvals approve "+id) == 1 }
	}
	eventually(t, "a note that nobody serves", 10*time.Second, func() bool { return strings.Contains(notes.String(), "waiting for one") })

	d.start()
	first := d.pay(d.client(nil), 6000, "a").header.Get("Outgo-Request")
	eventually(t, "the first approval", 10*time.Second, printed(first))
	d.kill()
	eventually(t, "a note that outgo is away", 10*time.Second, func() bool { return strings.Contains(notes.String(), "does not answer any more") })
	d.start()
	second := d.pay(d.client(nil), 7000, "b").header.Get("Outgo-Request")
	eventually(t, "the second approval", 10*time.Second, printed(second))
	if !printed(first)() {
		t.Errorf("the first approval was printed again:\n%s", out.String())
	}
	if err := watch.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the watch does not end when it is interrupted")
	}
}

// A key that is refused ends the watch: waiting would not mend it.
func TestAWatchWithAWrongKeyEnds(t *testing.T) {
	d := newService(t, "")
	cmd := exec.Command(d.bin, "approvals", "watch", "--config", d.config)
	cmd.Env = append(os.Environ(), keyVariable+"=outgo_wrong000_wrong")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "valid API key") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestARequestIsShownToAPerson(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	usd := func(cents int64) spend.Amount { return spend.NewAmount("USD", cents) }
	r := spend.Request{
		ID: "0190c5f0", State: spend.Executing, Why: spend.OutcomeUnknown, Attempts: 2, Created: at, Began: at.Add(time.Minute),
		Intent: spend.Intent{
			Agent: "bot\x1b[2J", Operation: "payment_intents.create", Network: "stripe", Mode: spend.Live,
			Legs:   []spend.Leg{{Kind: spend.Charge, Amount: usd(7500), Merchant: "shop.example", ClaimedMerchant: true}},
			Claims: spend.Claims{Reason: "new desk\nRequest forged"},
		},
		Verdict: spend.Verdict{
			Decision: spend.RequireApproval, Code: spend.RequiresApproval,
			Rules:    []spend.Rule{{Code: spend.RequiresApproval, Decision: spend.RequireApproval, Policy: "shop", Amount: usd(7500), Limit: usd(5000)}},
			Balances: []spend.Balance{{Policy: "shop", Period: "day", Limit: usd(50000), Remaining: usd(48800)}},
		},
		Approval: &spend.Approval{Status: spend.Approved, Asked: []string{"amount"}, By: "outgo_boss0000", DecidedAt: at, Note: "agreed"},
		Receipts: []spend.Receipt{{Source: spend.FromWire, TransactionID: "pi_1", Status: "processing", Amount: usd(7500), HTTPStatus: 200, At: at}},
	}
	var out bytes.Buffer
	if err := writeRequest(&out, &r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"State       executing (OUTCOME_UNKNOWN)",
		"Call        payment_intents.create on stripe (live)",
		"Amount      75.00 USD charge, merchant shop.example (claimed)",
		"Budget      shop, day: 488.00 USD of 500.00 USD were left",
		"Approval    APPROVED by outgo_boss0000 at 2026-11-21 12:00:00 UTC (agreed), asked for by amount",
		"Made        2026-11-21 12:00:00 UTC, 2 calls",
		"Receipt     2026-11-21 12:00:00 UTC, by the wire: pi_1, processing, 75.00 USD, HTTP 200",
		"outgo requests settle 0190c5f0",
		"Reason      new desk?Request forged (claimed)",
		"Agent       bot?[2J",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}
