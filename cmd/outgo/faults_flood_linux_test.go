package main

import (
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// flooded opens more connections to outgo than it has descriptors, while payments
// turn over the files of its ledger: a file that the ledger cannot open must not
// cost an entry.
func flooded(t *testing.T, binary string) {
	s := &survival{bank: newCounter(t), data: filepath.Join(t.TempDir(), "data"), binary: binary}
	s.bank.padding = member(200 << 10) // of which the ledger keeps each
	config := faultConfig(t, s.data, s.bank.url)
	s.daemon = begin(t, s.data, "/bin/sh", "-c", `ulimit -n 256; exec "$@"`, "sh", binary, "serve", "--config", config)
	if !s.daemon.running() {
		t.Fatalf("outgo does not start: %v\n%s", s.daemon.err, s.daemon.log)
	}
	s.began = time.Now().Add(-time.Second)
	crowd := load(t, s.daemon, 0, 6)
	eventually(t, "paying", 5*time.Second, func() bool { return crowd.count() > 20 })

	stop := make(chan struct{})
	var flood sync.WaitGroup
	for _, addr := range []string{s.daemon.proxy, s.daemon.control} {
		flood.Go(func() { floodWith(addr, 600, stop) })
	}
	before := crowd.count()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end) && s.daemon.running(); time.Sleep(2 * time.Millisecond) {
		if tables, _ := filepath.Glob(filepath.Join(s.data, "ledger", "00000[7-9].sst")); len(tables) > 0 {
			break
		}
	}
	tables, _ := filepath.Glob(filepath.Join(s.data, "ledger", "*.sst"))
	t.Logf("%d orders before the flood, %d during it, then %d tables", before, crowd.count()-before, len(tables))
	s.told = append(s.told, crowd.end()...)
	close(stop)
	flood.Wait()
	if !s.daemon.running() {
		t.Fatalf("outgo has ended under a flood: %v\n%s", s.daemon.err, s.daemon.lastWords())
	}
	broken := 0
	for _, a := range s.told {
		if a.status == 0 || a.code == string(spend.GuardUnavailable) {
			broken++
		}
	}
	if broken > 0 {
		t.Errorf("%d of %d orders of those who were there before the flood were not served\n%s", broken, len(s.told), tail(s.daemon.log.String(), 5))
	}
	s.daemon.kill()
	s.restart(t, 1)
	s.close(t)
}

// floodWith holds as many connections to addr as it gets, up to n, until stop.
func floodWith(addr string, n int, stop chan struct{}) {
	var held []net.Conn
	for {
		select {
		case <-stop:
			for _, c := range held {
				_ = c.Close()
			}
			return
		case <-time.After(time.Millisecond):
		}
		if len(held) == n {
			_ = held[0].Close() // those that were refused make room for others
			held = held[1:]
		}
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			held = append(held, c)
		}
	}
}
