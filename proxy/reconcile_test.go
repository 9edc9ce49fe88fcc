package proxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/rails/stripe"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// readable is a proxy of which only the Reconciler is used, with Stripe's sandbox
// behind TLS, and what it was sent.
func readable(t *testing.T, change func(*proxy.Options, *httptest.Server)) (p *proxy.Proxy, reads, others *atomic.Int64) {
	t.Helper()
	reads, others = &atomic.Int64{}, &atomic.Int64{}
	stand := sandbox.New(sandbox.Options{})
	up := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			reads.Add(1)
		} else {
			others.Add(1)
		}
		stand.ServeHTTP(w, r)
	}))
	t.Cleanup(up.Close)
	w := newWorld(t, func(o *proxy.Options) {
		trusted := x509.NewCertPool()
		trusted.AddCert(up.Certificate())
		o.Routes = []proxy.Route{{Rail: stripe.New(stripe.Options{}), Hosts: []string{"api.stripe.com"}}}
		o.Upstreams = map[string]proxy.Upstream{"api.stripe.com": {URL: up.URL, RootCAs: trusted, ServerName: "example.com"}}
		change(o, up)
	})
	return w.proxy, reads, others
}

func TestWhoIsAskedAboutAPayment(t *testing.T) {
	key := func(agents ...string) proxy.ReadCredential {
		return proxy.ReadCredential{Rail: "stripe", Agents: agents, Secret: "rk_test_reader"}
	}
	live := key()
	live.Secret = "rk_live_reader"
	elsewhere := key()
	elsewhere.Rail = "moonpay"
	same := func(*proxy.Options, *httptest.Server) {}
	for name, c := range map[string]struct {
		credentials []proxy.ReadCredential
		rail        string
		change      func(*proxy.Options, *httptest.Server)
		want        error
		reads       int64
	}{
		"the holder of a key":               {[]proxy.ReadCredential{key()}, "stripe", same, nil, 1},
		"the holder of the agent's own":     {[]proxy.ReadCredential{key("other"), key("bot")}, "stripe", same, nil, 1},
		"the first that sees it":            {[]proxy.ReadCredential{live, key()}, "stripe", same, nil, 1},
		"nobody, without a key":             {nil, "stripe", same, spend.NotFound, 0},
		"nobody, with another rail's key":   {[]proxy.ReadCredential{elsewhere}, "stripe", same, spend.NotFound, 0},
		"nobody, with another agent's key":  {[]proxy.ReadCredential{key("other")}, "stripe", same, spend.NotFound, 0},
		"nobody, with a key for real money": {[]proxy.ReadCredential{live}, "stripe", same, spend.NotFound, 0},
		"nobody on a rail that has no way":  {[]proxy.ReadCredential{key()}, "evm", same, spend.NotFound, 0},
		"nobody under an unknown authority": {[]proxy.ReadCredential{key()}, "stripe", func(o *proxy.Options, up *httptest.Server) {
			o.Upstreams = map[string]proxy.Upstream{"api.stripe.com": {URL: up.URL, ServerName: "example.com"}}
		}, spend.Unavailable, 0},
		"nobody under another name": {[]proxy.ReadCredential{key()}, "stripe", func(o *proxy.Options, up *httptest.Server) {
			u := o.Upstreams["api.stripe.com"]
			u.ServerName = "api.stripe.com"
			o.Upstreams = map[string]proxy.Upstream{"api.stripe.com": u}
		}, spend.Unavailable, 0},
		"a provider that is out of reach": {[]proxy.ReadCredential{key()}, "stripe", func(_ *proxy.Options, up *httptest.Server) { up.Close() }, spend.Unavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, reads, others := readable(t, c.change)
			r := &spend.Request{ID: "r1", State: spend.Executing, Began: time.Now(), Intent: spend.Intent{
				Agent: "bot", Rail: c.rail, Class: spend.Spend, Operation: "charges.create", Mode: spend.Test,
				Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1200)}},
			}}
			o, err := p.Reconciler(c.credentials).Ask(context.Background(), r)
			if !errors.Is(err, c.want) || err == nil && o.Result != spend.Uncertain {
				t.Errorf("%+v, %v; want %v", o, err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "reader") {
				t.Errorf("the error shows the key: %v", err)
			}
			if reads.Load() != c.reads || others.Load() != 0 {
				t.Errorf("%d reads and %d other calls, want %d and none", reads.Load(), others.Load(), c.reads)
			}
		})
	}
}

// While a call is under way its reply is what tells; nobody is asked.
func TestNobodyIsAskedAboutACallUnderWay(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var asked atomic.Int64
	stand := sandbox.New(sandbox.Options{Before: func(r *http.Request) error {
		if r.Method == http.MethodGet {
			asked.Add(1)
			return nil
		}
		close(arrived)
		<-release
		return nil
	}})
	s := newStripeWorldOn(t, stand)
	done := make(chan int, 1)
	go func() {
		status, _, _ := s.call("k1", "/v1/charges", charge+"2000")
		done <- status
	}()
	<-arrived
	rec := s.proxy.Reconciler([]proxy.ReadCredential{{Rail: "stripe", Secret: "rk_test_reader"}})
	r := s.newest()
	if o, err := rec.Ask(context.Background(), &r); err != nil || o.Result != spend.Uncertain || asked.Load() != 0 {
		t.Errorf("%+v, %v, asked %d times", o, err, asked.Load())
	}
	close(release)
	if status := <-done; status != 200 {
		t.Errorf("status %d", status)
	}
	// Once it is over, the same question gets its answer.
	if o, err := rec.Ask(context.Background(), &r); err != nil || o.Result != spend.Happened || asked.Load() != 1 {
		t.Errorf("%+v, %v, asked %d times", o, err, asked.Load())
	}
}

// A key that can only read may be of another account than the one that was called,
// where the agent has made the same idempotency key fail, or pay less. What it shows
// ends a payment, and gives back nothing of one that names no object of its own.
func TestAReadersAccountMayBeAnother(t *testing.T) {
	const sent = "outgo_0123456789"
	cents := func(n int64) []spend.Leg {
		return []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", n)}}
	}
	for name, c := range map[string]struct {
		form   string // of what the agent does in the reader's account
		intent spend.Intent
		state  spend.State
		want   spend.Result
	}{
		"a charge fails there":                {"source=tok_chargeDeclined&amount=2000", spend.Intent{Legs: cents(2000)}, spend.Executing, spend.Uncertain},
		"a charge of less is paid there":      {"source=tok_visa&amount=100", spend.Intent{Legs: cents(2000)}, spend.Executing, spend.Uncertain},
		"a charge of two legs is paid less":   {"source=tok_visa&amount=2000", spend.Intent{Legs: append(cents(1500), cents(1500)...)}, spend.Executing, spend.Uncertain},
		"the charge is paid there":            {"source=tok_visa&amount=2000", spend.Intent{Legs: cents(2000)}, spend.Executing, spend.Happened},
		"a charge of more is paid there":      {"source=tok_visa&amount=2100", spend.Intent{Legs: cents(2000)}, spend.Executing, spend.Happened},
		"it is paid after an operator's word": {"source=tok_visa&amount=100", spend.Intent{Legs: cents(2000)}, spend.Failed, spend.Happened},
	} {
		t.Run(name, func(t *testing.T) {
			var url string
			p, _, _ := readable(t, func(_ *proxy.Options, up *httptest.Server) { url = up.URL })
			req, err := http.NewRequest(http.MethodPost, url+"/v1/charges", strings.NewReader("currency=usd&"+c.form))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer sk_test_agent")
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Idempotency-Key", sent)
			insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // it is the test's own server
			resp, err := insecure.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			in := c.intent
			in.Agent, in.Rail, in.Class, in.Operation, in.Mode, in.SentKey = "bot", "stripe", spend.Spend, "charges.create", spend.Test, sent
			r := &spend.Request{ID: "r1", State: c.state, Began: time.Now(), Intent: in}
			o, err := p.Reconciler([]proxy.ReadCredential{{Rail: "stripe", Secret: "rk_test_reader"}}).Ask(context.Background(), r)
			if err != nil || o.Result != c.want {
				t.Errorf("%+v, %v; want %s", o, err, c.want)
			}
		})
	}
}

// What a repeat adds to the call that it repeats has no say in what the provider
// shows of that.
func TestARepeatAsksWithWhatItHasInCommonWithTheCall(t *testing.T) {
	var drop atomic.Bool
	asked := make(chan http.Header, 1)
	s := newStripeWorldOn(t, sandbox.New(sandbox.Options{
		Before: func(r *http.Request) error {
			if r.Method == http.MethodGet {
				asked <- r.Header.Clone()
			}
			return nil
		},
		After: func(*http.Request) error {
			if drop.Load() {
				return sandbox.ErrDrop
			}
			return nil
		},
	}))
	drop.Store(true)
	s.call("k1", "/v1/charges", charge+"2000")
	drop.Store(false)
	req, err := http.NewRequest(http.MethodPost, "https://api.stripe.com/v1/charges", strings.NewReader(charge+"2000"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer sk_test_123", "Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": "k1",
		"Stripe-Livemode": "false", "X-Extra": "1", "Range": "bytes=0-1", "If-None-Match": "x",
	} {
		req.Header.Set(name, value)
	}
	resp, err := s.client(nil).Do(req)
	if a := read(t, resp, err); a.status != 200 {
		t.Fatalf("answer = %+v", a)
	}
	h := <-asked
	for _, name := range []string{"Idempotency-Key", "Stripe-Livemode", "X-Extra", "Range", "If-None-Match", "Content-Type"} {
		if h.Get(name) != "" {
			t.Errorf("it asked with %s: %s", name, h.Get(name))
		}
	}
	if h.Get("Authorization") != "Bearer sk_test_123" || h.Get("Accept-Encoding") != "identity" {
		t.Errorf("it asked with %v", h)
	}
}
