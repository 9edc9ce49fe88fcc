package main

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// A worker is an agent that pays over and over through connections that it keeps.
type worker struct {
	good, bad atomic.Int64
	lastGood  atomic.Int64 // when it was paid last, in Unix nanoseconds
	wrong     atomic.Value // what it was told that it should not have been
}

func (w *worker) work(d *service, c *http.Client, name string, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		got := d.pay(c, 1, fmt.Sprint(name, "-", i))
		switch {
		case got.status == 200:
			w.good.Add(1)
			w.lastGood.Store(time.Now().UnixNano())
		case got.status == 403 && got.header.Get("Outgo-Code") == string(spend.KeyRevoked), got.status == 0:
			w.bad.Add(1) // refused in its tunnel, or at the door
			time.Sleep(time.Millisecond)
		default:
			w.wrong.Store(fmt.Sprint(got.status, got.header))
		}
	}
}

// mint makes a key of role agent and returns it with its prefix.
func (d *service) mint(agent string) (secret, prefix string) {
	d.t.Helper()
	var k struct{ Plaintext, KeyPrefix string }
	if status := d.api("POST", "/api-keys", "", map[string]string{"role": "agent", "agentId": agent}, &k); status != 201 {
		d.t.Fatalf("make a key: %d", status)
	}
	return k.Plaintext, k.KeyPrefix
}

// A key that the command line rotates goes on beside its successor; one that it
// revokes opens nothing within a second, neither the control listener nor the
// proxy, in tunnels that were open before as little as in new ones.
func TestKeysEndUnderLoad(t *testing.T) {
	_, up := serveSandbox(t)
	d := newService(t, fmt.Sprintf(`
proxy: {auth: required}
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: shop, unit: USD, dailyLimit: 100000000, maxTransactionsPerMinute: null}]
`, up))
	old, prefix := d.mint("bot")
	fresh := d.outgo("keys", "rotate", prefix)
	if fresh == old || fresh == "" {
		t.Fatalf("rotation gave %q", fresh)
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	workers := map[string]*worker{"old": {}, "fresh": {}}
	for name, key := range map[string]string{"old": old, "fresh": fresh} {
		for i := range 3 {
			c := d.client(url.UserPassword("bot", key))
			running.Go(func() { workers[name].work(d, c, fmt.Sprint(name, i), stop) })
		}
	}
	end := sync.OnceFunc(func() { close(stop); running.Wait() })
	t.Cleanup(end)
	eventually(t, "payments with both keys", 20*time.Second, func() bool {
		return workers["old"].good.Load() > 20 && workers["fresh"].good.Load() > 20
	})
	for name, key := range map[string]string{"old": old, "fresh": fresh} {
		if status := d.api("GET", "/spend-requests", key, nil, nil); status != 200 {
			t.Errorf("the control listener answers the %s key with %d", name, status)
		}
	}

	d.outgo("keys", "revoke", prefix)
	revoked := time.Now()
	if status := d.api("GET", "/spend-requests", old, nil, nil); status != 401 {
		t.Errorf("the control listener answers the revoked key with %d", status)
	}
	before := workers["fresh"].good.Load()
	eventually(t, "end of payments with the revoked key", 5*time.Second, func() bool {
		return workers["old"].bad.Load() > 20 && time.Since(revoked) > 1200*time.Millisecond
	})
	last := time.Unix(0, workers["old"].lastGood.Load()).Sub(revoked)
	if last > time.Second {
		t.Errorf("a payment with the revoked key was made %s after it", last)
	}
	end()
	if workers["fresh"].good.Load() <= before || workers["fresh"].bad.Load() != 0 {
		t.Errorf("with the successor %d payments were made and %d refused", workers["fresh"].good.Load()-before, workers["fresh"].bad.Load())
	}
	for name, w := range workers {
		if wrong := w.wrong.Load(); wrong != nil {
			t.Errorf("the %s key was told %v", name, wrong)
		}
	}
	if got := d.pay(d.client(url.UserPassword("bot", old)), 1, "new tunnel"); got.status != 0 {
		t.Errorf("a new tunnel with the revoked key was told %d", got.status)
	}
	t.Logf("%d and %d payments; the last one with the revoked key ended %s after the revocation was answered", workers["old"].good.Load(), workers["fresh"].good.Load(), last.Round(time.Millisecond))
}

// What was approved for an agent is not begun once its key is revoked, and is there
// for the agent when it comes back with another.
func TestAnApprovedHoldWaitsForAValidKey(t *testing.T) {
	provider, up := serveSandbox(t)
	d := newService(t, fmt.Sprintf(`
proxy: {auth: required, hold: {wait: {stripe: 20s}}}
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: shop, unit: USD, dailyLimit: 100000, requireApprovalOver: 5000}]
`, up))
	key, prefix := d.mint("bot")
	first := make(chan told, 1)
	go func() { first <- d.pay(d.client(url.UserPassword("bot", key)), 6000, "k") }()
	r := d.held(1)
	d.outgo("keys", "revoke", prefix)
	d.approve(r.ID)
	if got := <-first; got.status != 403 || got.header.Get("Outgo-Code") != string(spend.KeyRevoked) {
		t.Errorf("the waiting call was told %d %v", got.status, got.header)
	}
	other, _ := d.mint("stranger")
	go func() { first <- d.pay(d.client(url.UserPassword("stranger", other)), 6000, "k") }()
	if s := d.held(1); s.ID == r.ID || s.AgentID != "stranger" {
		t.Errorf("another agent was given %+v", s)
	}
	if n := provider.Count(); n != 0 {
		t.Errorf("the provider made %d payments", n)
	}
	again, _ := d.mint("bot")
	if got := d.pay(d.client(url.UserPassword("bot", again)), 6000, "k"); got.status != 200 || provider.Count() != 1 {
		t.Errorf("with a new key the agent was told %d %v, and the provider made %d payments", got.status, got.header, provider.Count())
	}
	d.stop() // hands the stranger over
	<-first
}
