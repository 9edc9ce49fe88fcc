package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// keyed is a world whose agent alice has a key that can be revoked.
func keyed(t *testing.T) (*world, *http.Client, *atomic.Bool) {
	t.Helper()
	revoked := new(atomic.Bool)
	w := newWorld(t, func(o *proxy.Options) {
		identify := o.Identify
		o.Identify = func(p proxy.Peer) (string, error) {
			if revoked.Load() {
				return "", spend.Unauthenticated
			}
			return identify(p)
		}
	})
	return w, w.client(url.UserPassword("alice", "key")), revoked
}

// ask makes one call over a connection that it leaves open for the next. last says
// that there will be none.
func ask(t *testing.T, c *http.Client, method, path, body string) (a answer, last bool) {
	t.Helper()
	req, err := http.NewRequest(method, "https://"+guardedHost+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	a = read(t, resp, err)
	return a, resp.Close
}

func TestARevokedKeyEndsTheConnectionsThatItOpened(t *testing.T) {
	for name, call := range map[string][3]string{
		"a payment":                           {"POST", "/pay", "amount=5"},
		"a payment whose amount is looked up": {"POST", "/pay/inv", ""},
		"a write that moves no money":         {"POST", "/note", "x"},
		"a read":                              {"GET", "/things", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, c, revoked := keyed(t)
			if a, last := ask(t, c, "GET", "/things", ""); a.status != 200 || last {
				t.Fatalf("before: %+v", a)
			}
			revoked.Store(true)
			a, last := ask(t, c, call[0], call[1], call[2])
			if a.status != 403 || a.header.Get("Outgo-Code") != string(spend.KeyRevoked) || a.header.Get("Outgo-Decision") != "denied" {
				t.Errorf("after: %+v", a)
			}
			if !last {
				t.Error("the connection stays open")
			}
			if n := len(w.up.got()); n != 1 {
				t.Errorf("the provider was called %d times, want once", n)
			}
			if n := len(w.gate.asked()); n != 0 {
				t.Errorf("the gate was asked %d times", n)
			}
		})
	}
}

// The key may be revoked while the provider is asked for the amount.
func TestAKeyRevokedDuringALookupBeginsNothing(t *testing.T) {
	w, c, revoked := keyed(t)
	w.up.handle = func(rw http.ResponseWriter, _ *http.Request) {
		revoked.Store(true)
		io.WriteString(rw, "5")
	}
	if a, _ := ask(t, c, "POST", "/pay/inv", ""); a.status != 403 || a.header.Get("Outgo-Code") != string(spend.KeyRevoked) {
		t.Errorf("answer = %+v", a)
	}
	if n := len(w.gate.asked()); n != 0 {
		t.Errorf("the gate was asked %d times", n)
	}
}

// What was approved while the key was good is not begun once it has ended.
func TestAHoldOfARevokedAgentIsNotBegun(t *testing.T) {
	w, c, revoked := keyed(t)
	decided := make(chan spend.Next)
	holding(w, decided)
	w.gate.begin = nil // a call to it fails the test
	waiting := make(chan struct{})
	wait := w.gate.wait
	w.gate.wait = func(ctx context.Context, id spend.ID) (spend.Ruling, error) { close(waiting); return wait(ctx, id) }
	done := make(chan answer, 1)
	go func() { a, _ := ask(t, c, "POST", "/pay", "amount=5"); done <- a }()
	<-waiting
	revoked.Store(true)
	decided <- spend.Begin
	a := <-done
	if a.status != 403 || a.header.Get("Outgo-Code") != string(spend.KeyRevoked) || a.header.Get("Outgo-Request") != "held" {
		t.Errorf("answer = %+v", a)
	}
	if n := len(w.up.got()); n != 0 {
		t.Errorf("the provider was called %d times", n)
	}
}
