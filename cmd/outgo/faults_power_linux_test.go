package main

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// powerRounds cuts the power at random moments under load: of a ledger that has
// just been made, and of one that has been through it before.
func powerRounds(t *testing.T, binary string) {
	n := rounds(t, "OUTGO_TEST_POWER_CUTS", 20, 2)
	for half, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			disk := newImage(t, kind, 512)
			bank := newCounter(t)
			dice := rand.New(rand.NewPCG(2, uint64(half)))
			var s *survival
			for round := range (n + 1) / 2 {
				if round%5 == 0 {
					s = s.moveTo(t, &survival{bank: bank, binary: binary, within: startLimit, data: filepath.Join(disk.root, string(rune('a'+round/5)))})
				}
				s.restart(t, round%5)
				crowd := load(t, s.daemon, round, 6)
				if round%5 > 0 || dice.IntN(2) == 0 {
					time.Sleep(time.Duration(dice.IntN(250)) * time.Millisecond) // the fault strikes by the clock
				}
				if err := disk.cut(); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(dice.IntN(20)) * time.Millisecond) // what is acknowledged now must be kept, too
				s.daemon.kill()
				s.told = crowd.end()
				disk.unmount(t)
				disk.mount(t)
				if t.Failed() {
					t.Fatalf("stopped after round %d", round)
				}
			}
			s.moveTo(t, nil)
			disk.check(t)
		})
	}
}

// moveTo looks at the ledger of s a last time, and goes on with next.
func (s *survival) moveTo(t *testing.T, next *survival) *survival {
	t.Helper()
	if s != nil {
		s.restart(t, len(s.starts))
		s.close(t)
	}
	return next
}
