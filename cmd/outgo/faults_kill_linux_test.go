package main

import (
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// startLimit is how long a start may take, with a ledger to be read back.
const startLimit = 2 * time.Second

// killRounds kills outgo at random moments under load, over one data directory
// that grows.
func killRounds(t *testing.T, binary string) {
	n := rounds(t, "OUTGO_TEST_KILLS", 200, 10)
	dice := rand.New(rand.NewPCG(1, 200))
	bank := newCounter(t)
	s := &survival{bank: bank, data: filepath.Join(t.TempDir(), "data"), binary: binary, within: startLimit}
	for round := range n {
		s.restart(t, round)
		crowd := load(t, s.daemon, round, 6)
		time.Sleep(time.Duration(20+dice.IntN(200)) * time.Millisecond) // the fault strikes by the clock
		s.daemon.kill()
		s.told = crowd.end()
		if t.Failed() {
			t.Fatalf("stopped after round %d", round)
		}
	}
	s.restart(t, n)
	s.close(t)
	if s.acknowledged == 0 || n >= 100 && s.denied == 0 {
		t.Errorf("the load has not met both sides of the budget: %d orders were acknowledged, %d denied", s.acknowledged, s.denied)
	}
}

// A survival is one ledger through all its faults.
type survival struct {
	bank   *counter
	data   string
	binary string
	within time.Duration // what a start may take, where that is looked at

	config string // the last one
	daemon *daemon
	began  time.Time
	told   []answer // in the round before
	owed   []owed   // since orders were last sent again

	all                  []answer
	starts               []time.Duration
	acknowledged, denied int
	executing            int
}

// restart starts outgo, and holds what it finds in its ledger against what the
// round before was told.
func (s *survival) restart(t *testing.T, round int) {
	t.Helper()
	s.config = faultConfig(t, s.data, s.bank.url)
	s.daemon = begin(t, s.data, s.binary, "serve", "--config", s.config)
	if !s.daemon.running() {
		t.Fatalf("outgo does not start in round %d: %v\n%s", round, s.daemon.err, tail(s.daemon.log.String(), 20))
	}
	s.starts = append(s.starts, s.daemon.took)
	if s.within > 0 && s.daemon.took > s.within {
		t.Errorf("the start of round %d took %s, want at most %s", round, s.daemon.took, s.within)
	}
	if round > 0 {
		ledger := s.daemon.entries(t, s.began)
		s.executing += reconcile(t, s.bank, ledger, s.told)
		for _, a := range s.told {
			if n := s.bank.repeats(a.order); n > 0 {
				t.Errorf("order %s was sent %d times more, and its agent had not asked for it", a.order, n)
			}
		}
		s.owed = append(s.owed, owing(ledger, s.told)...)
		s.sum()
	}
	if round%5 == 0 {
		again(t, s.daemon, s.bank, s.owed)
		s.owed = nil
	}
	s.began = time.Now().Add(-time.Second)
}

func (s *survival) sum() {
	for _, a := range s.told {
		switch {
		case a.status == http.StatusOK:
			s.acknowledged++
		case a.code == string(spend.ExceedsMonthlyLimit):
			s.denied++
		}
	}
	s.all = append(s.all, s.told...)
	s.told = nil
}

// close ends outgo in peace, and looks at the whole ledger once more.
func (s *survival) close(t *testing.T) {
	t.Helper()
	again(t, s.daemon, s.bank, s.owed)
	ledger := s.daemon.entries(t, time.Time{})
	reconcile(t, s.bank, ledger, s.all)
	full := 0 // budgets
	for agent, cents := range spentBy(ledger) {
		switch {
		case agent == "wide":
		case cents > tightLimit:
			t.Errorf("%s has spent %d of %d cents", agent, cents, tightLimit)
		case cents == tightLimit:
			full++
		}
	}
	if err := s.daemon.terminate(t); err != nil {
		t.Errorf("outgo ends with %v after SIGTERM\n%s", err, tail(s.daemon.log.String(), 20))
	}
	verify := exec.Command(s.binary, "audit", "verify", "--config", s.config)
	verify.Env = []string{"HOME=" + t.TempDir()}
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("outgo audit verify: %v\n%s", err, out)
	}
	slices.Sort(s.starts)
	t.Logf("%d starts: median %s, 99th percentile %s, longest %s; %d orders: %d acknowledged, %d over the budget, %d left executing, %d budgets spent to the last cent",
		len(s.starts), s.starts[len(s.starts)/2], s.starts[len(s.starts)*99/100], s.starts[len(s.starts)-1],
		len(s.all), s.acknowledged, s.denied, s.executing, full)
}
