package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// killedAtStart kills first starts of outgo, each a little later than the one
// before, until one gets through, and starts each again in peace.
func killedAtStart(t *testing.T, binary string) {
	n := rounds(t, "OUTGO_TEST_KILLED_STARTS", 60, 6)
	bank := newCounter(t)
	sample := filepath.Join(t.TempDir(), "data")
	d := begin(t, sample, binary, "serve", "--config", faultConfig(t, sample, bank.url))
	d.kill()
	struck := 0
	for i := range n {
		data := filepath.Join(t.TempDir(), "data")
		first := launch(t, data, uint32(os.Geteuid()), binary, "serve", "--config", faultConfig(t, data, bank.url))
		time.Sleep(d.took * time.Duration(3*i) / time.Duration(2*n)) // the fault strikes by the clock
		first.kill()
		if first.proxy == "" {
			struck++
		}
		afterKill(t, binary, data, bank, fmt.Sprintf("start%d", i))
		if err := os.RemoveAll(data); err != nil { // or the disk is soon full of ledgers
			t.Fatal(err)
		}
	}
	t.Logf("a first start takes %s; %d of %d were killed before they served", d.took, struck, n)
	if struck < n/3 {
		t.Error("too few starts were killed")
	}
}

// afterKill starts outgo on what a start that was killed has left.
func afterKill(t *testing.T, binary, data string, bank *counter, name string) {
	t.Helper()
	d := begin(t, data, binary, "serve", "--config", faultConfig(t, data, bank.url))
	defer d.kill()
	if !d.running() {
		t.Fatalf("%s: outgo does not start: %v\n%s", name, d.err, d.log)
	}
	if status, body, err := d.get("/api/v1/spend-requests"); err != nil || status != 200 {
		t.Errorf("%s: the admin key is answered %d %s (%v)", name, status, body, err)
	}
	if a := newPurse(t, d, "wide").pay(name+".example", 100); a.status != 200 {
		t.Errorf("%s: a payment is answered %+v", name, a)
	}
	if strings.Contains(d.log.String(), `"level":"error"`) {
		t.Errorf("%s: outgo complains:\n%s", name, d.log)
	}
}
