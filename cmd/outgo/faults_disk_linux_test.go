package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// failingDisk has one call to the disk fail under load, once and never again: a
// kernel that could not write reports so a single time, so a sync that succeeds
// later proves nothing.
func failingDisk(t *testing.T, binary string) {
	strace := need(t, "strace", "apt-get install strace")
	for _, c := range []struct {
		sentence, fault string
		padding         int // of each reply, of which the ledger keeps all
	}{
		{"a sync of the journal", "fdatasync:error=EIO:when=60", 0},
		{"the sync of the journal after it", "fdatasync:error=EIO:when=61", 0},
		{"every sync of the journal", "fdatasync:error=EIO:when=80+", 0},
		{"a sync of the journal for want of room", "fdatasync:error=ENOSPC:when=70", 0},
		{"a write to the journal", "pwrite64:error=EIO:when=60", 0},
		{"every write to the journal", "pwrite64:error=EIO:when=80+", 0},
		{"a write to the journal for want of room", "pwrite64:error=ENOSPC:when=70", 0},
		{"a sync of the database behind the journal", "msync:error=EIO:when=5", 200 << 10},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s := &survival{bank: newCounter(t), data: filepath.Join(t.TempDir(), "data"), binary: binary}
			if c.padding > 0 {
				s.bank.padding = member(c.padding)
			}
			s.restart(t, 0) // makes the ledger without a fault
			if err := s.daemon.terminate(t); err != nil {
				t.Fatal(err)
			}
			config := faultConfig(t, s.data, s.bank.url)
			call, _, _ := strings.Cut(c.fault, ":")
			s.daemon = begin(t, s.data, strace, "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace="+call,
				"-e", "signal=none", "-e", "inject="+c.fault, binary, "serve", "--config", config)
			if !s.daemon.running() {
				t.Fatalf("outgo does not start under strace: %v\n%s", s.daemon.err, s.daemon.log)
			}
			crowd := load(t, s.daemon, 0, 6)
			var reason string
			eventually(t, "unready", 20*time.Second, func() bool {
				status, body, err := s.daemon.get("/readyz")
				reason = body
				return err == nil && status == http.StatusServiceUnavailable
			})
			if !strings.Contains(reason, "error") && !strings.Contains(reason, "no space left") {
				t.Errorf("/readyz does not say why: %q", reason)
			}
			s.stays(t, 300*time.Millisecond)
			s.told = append(s.told, crowd.end()...)
			if !strings.Contains(s.daemon.log.String(), strings.TrimSpace(syscallError(c.fault))) {
				t.Errorf("the log does not name the error:\n%s", tail(s.daemon.log.String(), 5))
			}
			s.daemon.kill()
			s.restart(t, 1)
			s.close(t)
			if s.acknowledged == 0 {
				t.Error("the fault struck before the load")
			}
		})
	}
}

// stays asserts that for so long no payment is sent and everything else works.
func (s *survival) stays(t *testing.T, long time.Duration) {
	t.Helper()
	p := newPurse(t, s.daemon, "wide")
	for n, end := 0, time.Now().Add(long); time.Now().Before(end); n++ {
		a := p.pay(fmt.Sprintf("broken%d.example", n), 100)
		arrived, _ := s.bank.of(a.order)
		if a.status != http.StatusServiceUnavailable || a.code != string(spend.GuardUnavailable) || arrived != 0 {
			t.Fatalf("on a failed disk a payment is answered %+v and arrived %d times", a, arrived)
		}
		if status, _, err := s.daemon.get("/readyz"); err != nil || status != http.StatusServiceUnavailable {
			t.Fatalf("on a failed disk /readyz answers %d (%v)", status, err)
		}
		if status, err := p.read(); err != nil || status != http.StatusNotFound {
			t.Fatalf("on a failed disk a read is answered %d (%v), want the provider's own 404", status, err)
		}
	}
}

// syscallError is the text of the error that strace is to inject.
func syscallError(fault string) string {
	if strings.Contains(fault, "ENOSPC") {
		return syscall.ENOSPC.Error()
	}
	return syscall.EIO.Error()
}
