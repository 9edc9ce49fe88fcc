package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// slowProvider is a sandbox that answers a payment only when it is let.
func slowProvider(t *testing.T) (provider *sandbox.Server, url string, arrived *atomic.Int64, let func()) {
	t.Helper()
	provider, arrived = sandbox.New(sandbox.Options{}), new(atomic.Int64)
	gate := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			arrived.Add(1)
			<-gate
		}
		provider.ServeHTTP(w, r)
	}))
	let = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(func() { let(); up.CloseClientConnections(); up.Close() })
	return provider, up.URL, arrived, let
}

// A told is what one call was told; the status is 0 when it was cut off.
type told struct {
	status int
	header http.Header
	id     string // of the payment
}

func (d *service) pay(c *http.Client, cents int64, key string) told {
	status, header, body, err := pay(c, cents, key)
	if err != nil {
		return told{}
	}
	id, _ := body["id"].(string)
	return told{status, header, id}
}

// SIGTERM under load: what has begun gets its reply, what waits for a person is
// handed over, nothing new begins; and after the restart every call that is sent
// again finds its request.
func TestATerminationUnderLoadCutsNoPayment(t *testing.T) {
	const flying, holding = 12, 6
	provider, up, arrived, let := slowProvider(t)
	d := newService(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
proxy: {hold: {wait: {stripe: 30s}}}
policies: [{name: shop, unit: USD, dailyLimit: 1000000, requireApprovalOver: 5000}]
`, up))
	flights, holds := make([]told, flying), make([]told, holding)
	var all sync.WaitGroup
	for i := range flights {
		all.Go(func() { flights[i] = d.pay(d.client(nil), 1000+int64(i), fmt.Sprint("flying-", i)) })
	}
	for i := range holds {
		all.Go(func() { holds[i] = d.pay(d.client(nil), 6000+int64(i), fmt.Sprint("held-", i)) })
	}
	eventually(t, "everything under way", 20*time.Second, func() bool {
		return arrived.Load() == flying && strings.Count(fmt.Sprint(d.states()), "held") == holding
	})
	idle := d.client(nil)
	req, err := http.NewRequest(http.MethodGet, "https://api.stripe.com/v1/balance", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_x")
	resp, err := idle.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("a read: %v %v", resp, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	_ = resp.Body.Close()

	d.signal(syscall.SIGTERM)
	eventually(t, "a log line that it stops", 10*time.Second, func() bool { return strings.Contains(d.log.String(), `"stopping"`) })
	late := make(chan told, 1)
	go func() { late <- d.pay(idle, 999, "late") }() // on a connection that is open already
	if l := <-late; l.status == 200 || l.status != 0 && l.header.Get("Outgo-Code") != string(spend.GuardUnavailable) {
		t.Errorf("a payment that came after the signal was told %d %v", l.status, l.header)
	}
	select {
	case err := <-d.exited:
		t.Fatalf("outgo ended (%v) with payments under way", err)
	case <-time.After(300 * time.Millisecond):
	}
	let()
	took, err := d.ended(20 * time.Second)
	if err != nil {
		t.Errorf("outgo ended with %v", err)
	}
	all.Wait()
	for i, f := range flights {
		if f.status != 200 || f.id == "" {
			t.Errorf("payment %d that had begun was told %d %v", i, f.status, f.header)
		}
	}
	for i, h := range holds {
		if h.status != 429 || h.header.Get("Outgo-Code") != string(spend.ApprovalPending) || h.header.Get("Stripe-Should-Retry") != "true" {
			t.Errorf("held call %d was told %d %v", i, h.status, h.header)
		}
	}
	if n := provider.Count(); n != flying {
		t.Errorf("the provider made %d payments, want %d", n, flying)
	}
	t.Logf("with %d payments and %d holds under way it ended %s after the provider had answered", flying, holding, took.Round(time.Millisecond))

	d.start()
	for i := range flights {
		if again := d.pay(d.client(nil), 1000+int64(i), fmt.Sprint("flying-", i)); again.status != 200 || again.id != flights[i].id {
			t.Errorf("payment %d, sent again, was told %d %s, want %s", i, again.status, again.id, flights[i].id)
		}
	}
	for i := range holds {
		all.Go(func() { holds[i] = d.pay(d.client(nil), 6000+int64(i), fmt.Sprint("held-", i)) })
	}
	for range holding {
		d.approve(d.held(2).ID)
	}
	all.Wait()
	for i, h := range holds {
		if h.status != 200 {
			t.Errorf("held call %d, sent again and approved, was told %d %v", i, h.status, h.header)
		}
	}
	if n := provider.Count(); n != flying+holding {
		t.Errorf("the provider made %d payments, want %d", n, flying+holding)
	}
}

// A second signal does not wait for anybody. What it cuts is unknown, and counted.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	provider, up, arrived, let := slowProvider(t)
	d := newService(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: shop, unit: USD, dailyLimit: 1000000}]
`, up))
	first := make(chan told, 1)
	go func() { first <- d.pay(d.client(nil), 1000, "k") }()
	eventually(t, "a payment under way", 10*time.Second, func() bool { return arrived.Load() == 1 })
	d.signal(syscall.SIGTERM)
	eventually(t, "a log line that it stops", 10*time.Second, func() bool { return strings.Contains(d.log.String(), `"stopping"`) })
	time.Sleep(50 * time.Millisecond) // between the line and the default disposition
	d.signal(syscall.SIGTERM)
	took, err := d.ended(5 * time.Second)
	if err == nil {
		t.Error("outgo ended well, although it was cut short")
	}
	if f := <-first; f.status != 0 {
		t.Errorf("the payment under way was told %d", f.status)
	}
	t.Logf("the second signal took %s", took.Round(time.Millisecond))
	let()
	eventually(t, "the payment at the provider", 5*time.Second, func() bool { return provider.Count() == 1 })
	d.start()
	if again := d.pay(d.client(nil), 1000, "k"); again.status != 200 {
		t.Errorf("sent again after the restart it was told %d %v", again.status, again.header)
	}
	if n := provider.Count(); n != 1 {
		t.Errorf("the provider made %d payments, want 1", n)
	}
}

// states are those of every request.
func (d *service) states() (out []string) {
	for _, r := range d.ledger() {
		out = append(out, r.State)
	}
	return out
}
