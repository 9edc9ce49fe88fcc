package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// A ballast is a file that fills a disk.
type ballast struct{ file string }

// put fills the disk to the last byte: at once as far as nobody minds, and then
// as fast as a program can write.
func (b ballast) put(t *testing.T) {
	t.Helper()
	f, err := os.Create(b.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const slow = 320 << 20
	size := int64(0)
	if free := freeAt(t, filepath.Dir(b.file)); free > slow {
		size = free - slow
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
			t.Fatalf("allocate %d bytes: %v", size, err)
		}
	}
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		n, err := f.WriteAt(chunk, size)
		size += int64(n)
		if errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			t.Fatalf("fill the disk: %v", err)
		}
	}
}

func (b ballast) remove(t *testing.T) {
	t.Helper()
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
}

func freeAt(t *testing.T, dir string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// fullRounds fills the disk at random moments under load, and makes room again.
// Nothing is restarted meanwhile.
func fullRounds(t *testing.T, binary string) {
	n := rounds(t, "OUTGO_TEST_FULL_DISKS", 20, 2)
	for half, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			disk := newImage(t, kind, 1024)
			bank := newCounter(t)
			bank.padding = member(200 << 10) // replies are kept, so the ledger turns over its files
			dice := rand.New(rand.NewPCG(4, uint64(half)))
			s := &survival{bank: bank, data: filepath.Join(disk.root, "data"), binary: binary}
			s.restart(t, 0)
			weight := ballast{filepath.Join(disk.root, "ballast")}
			for round := range (n + 1) / 2 {
				crowd := load(t, s.daemon, round, 6)
				time.Sleep(time.Duration(100+dice.IntN(900)) * time.Millisecond) // the fault strikes by the clock
				weight.put(t)
				s.isFull(t, round)
				weight.remove(t)
				eventually(t, "ready again", 10*time.Second, func() bool { status, _, _ := s.daemon.get("/readyz"); return status == 200 })
				s.told = append(s.told, crowd.end()...)
				if a := newPurse(t, s.daemon, "wide").pay(fmt.Sprintf("room%d.example", round), 100); a.status != 200 {
					t.Errorf("with room again a payment is answered %+v", a)
				}
				if t.Failed() || !s.daemon.running() {
					t.Fatalf("stopped after round %d: %v\n%s", round, s.daemon.err, tail(s.daemon.log.String(), 10))
				}
			}
			if tables, _ := filepath.Glob(filepath.Join(s.data, "ledger", "*.sst")); len(tables) < 2 {
				t.Logf("the ledger has begun %d tables only", len(tables))
			}
			if err := s.daemon.terminate(t); err != nil {
				t.Errorf("outgo ends with %v after SIGTERM", err)
			}
			s.restart(t, 1)
			s.close(t)
		})
	}
}

// isFull asserts how outgo is while its disk is full.
func (s *survival) isFull(t *testing.T, round int) {
	t.Helper()
	p := newPurse(t, s.daemon, "wide")
	var a answer
	eventually(t, "refusing", 5*time.Second, func() bool {
		a = p.pay(fmt.Sprintf("full%d-%d.example", round, time.Now().UnixNano()), 100)
		return a.code == string(spend.GuardUnavailable) || !s.daemon.running()
	})
	if !s.daemon.running() {
		t.Fatalf("outgo has ended on a full disk: %v\n%s", s.daemon.err, s.daemon.lastWords())
	}
	if arrived, _ := s.bank.of(a.order); arrived != 0 || a.status != http.StatusServiceUnavailable || !strings.Contains(a.message, "Nothing was sent") {
		t.Errorf("on a full disk a payment is answered %+v, and arrived %d times", a, arrived)
	}
	status, body, err := s.daemon.get("/readyz")
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "no space left") {
		t.Errorf("on a full disk /readyz answers %d %q (%v)", status, body, err)
	}
	if status, err := p.read(); err != nil || status != http.StatusNotFound {
		t.Errorf("on a full disk a read is answered %d (%v), want the provider's own 404", status, err)
	}
}
