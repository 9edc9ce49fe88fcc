package proxy_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/proxy/ca"
	"github.com/outgo/outgo/rails/stripe"
	"github.com/outgo/outgo/rails/stripe/sandbox"
	"github.com/outgo/outgo/tokens/seal"
)

var _ proxy.Gate = (*engine.Engine)(nil)

// stripeWorld is the real engine and the real Stripe rail around a proxy, with
// Stripe's sandbox upstream.
type stripeWorld struct {
	*world
	engine  *engine.Engine
	sandbox *sandbox.Server
	later   atomic.Int64 // how far the proxy's clock is ahead
	drop    *atomic.Bool // the sandbox hangs up once it has moved the money
}

func newStripeWorld(t *testing.T) *stripeWorld {
	t.Helper()
	drop := &atomic.Bool{}
	s := newStripeWorldOn(t, sandbox.New(sandbox.Options{Seed: [32]byte{1}, After: func(*http.Request) error {
		if drop.Load() {
			return sandbox.ErrDrop
		}
		return nil
	}}))
	s.drop = drop
	return s
}

// newStripeWorldOn has a sandbox of the test's own.
func newStripeWorldOn(t *testing.T, stand *sandbox.Server) *stripeWorld {
	t.Helper()
	s := &stripeWorld{sandbox: stand}
	up := httptest.NewTLSServer(s.sandbox)
	t.Cleanup(up.Close)
	s.open(t, policy.Policy{
		Name: "default", Unit: "USD", Active: true,
		MaxSingle: spend.NewAmount("USD", 10000), RequireApprovalOver: spend.NewAmount("USD", 5000),
	})
	s.world = newWorld(t, func(o *proxy.Options) {
		trusted := x509.NewCertPool()
		trusted.AddCert(up.Certificate())
		s.guard(t, o)
		o.Upstreams = map[string]proxy.Upstream{"api.stripe.com": {URL: up.URL, RootCAs: trusted, ServerName: "example.com"}}
	})
	return s
}

// open starts the engine with one policy.
func (s *stripeWorld) open(t *testing.T, p policy.Policy) {
	t.Helper()
	db, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s.engine, err = engine.Open(context.Background(), engine.Options{Store: db, Sealer: seal.FromBytes([32]byte{1})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.engine.Close)
	if _, err = s.engine.CreatePolicy(context.Background(), p); err != nil {
		t.Fatal(err)
	}
}

// guard puts the engine and the rail into a proxy's options.
func (s *stripeWorld) guard(t *testing.T, o *proxy.Options) {
	t.Helper()
	authority, err := ca.Load(ca.Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true})
	if err != nil {
		t.Fatal(err)
	}
	o.Authority, o.Gate = authority, s.engine
	o.Clock = func() time.Time { return time.Now().Add(time.Duration(s.later.Load())) }
	o.Routes = []proxy.Route{{Rail: stripe.New(stripe.Options{}), Hosts: []string{"api.stripe.com"}, Wait: 5 * time.Second}}
}

// call makes a call as an SDK does, and returns the status and the body. The
// status is 0 when the connection was cut.
func (s *stripeWorld) call(key, path, form string) (int, map[string]any, http.Header) {
	s.t.Helper()
	req, err := http.NewRequest("POST", "https://api.stripe.com"+path, strings.NewReader(form))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_123")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Idempotency-Key", key)
	req.GetBody = nil // or the client would send it again when it is cut off
	resp, err := s.client(nil).Do(req)
	if err != nil {
		return 0, nil, nil
	}
	a := read(s.t, resp, err)
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		s.t.Fatalf("%s: %v: %s", path, err, a.body)
	}
	return a.status, v, a.header
}

// newest is the request that was made last.
func (s *stripeWorld) newest() spend.Request {
	s.t.Helper()
	page, err := s.engine.Requests(context.Background(), engine.Filter{Limit: 1})
	if err != nil || len(page.Requests) != 1 {
		s.t.Fatalf("%d requests, %v", len(page.Requests), err)
	}
	return page.Requests[0]
}

func codeOf(v map[string]any) any {
	e, _ := v["error"].(map[string]any)
	return e["code"]
}

const charge = "currency=usd&source=tok_visa&amount="

func TestStripeIsPaidUnderPolicy(t *testing.T) {
	s := newStripeWorld(t)
	status, first, _ := s.call("k1", "/v1/charges", charge+"2000")
	if status != 200 || first["amount"] != 2000.0 {
		t.Fatalf("an allowed charge: %d %v", status, first)
	}
	status, again, header := s.call("k1", "/v1/charges", charge+"2000")
	if status != 200 || again["id"] != first["id"] || header.Get("Outgo-Decision") != "" {
		t.Errorf("the same charge again: %d %v", status, again)
	}
	if status, v, _ := s.call("k1", "/v1/charges", charge+"2001"); status != 400 {
		t.Errorf("another charge under the same key: %d %v", status, v)
	}
	status, v, header := s.call("k2", "/v1/charges", charge+"10001")
	if status != 403 || codeOf(v) != "spend_policy_denied" || header.Get("Outgo-Code") != string(spend.ExceedsSingleLimit) || header.Get("Outgo-Request") == "" {
		t.Errorf("a charge over the limit: %d %v %v", status, v, header)
	}
	if n := s.sandbox.Count(); n != 1 {
		t.Errorf("money moved %d times", n)
	}
}

func TestStripeIsPaidOnceApproved(t *testing.T) {
	s := newStripeWorld(t)
	changes, stop := s.engine.Watch()
	defer stop()
	approved := make(chan error, 1)
	go func() {
		for r := range changes {
			if r.State == spend.Held {
				_, err := s.engine.Resolve(context.Background(), r.ID, engine.Actor{Name: "boss", Role: "approver"}, true, "")
				approved <- err
				return
			}
		}
	}()
	status, v, _ := s.call("k1", "/v1/charges", charge+"6000")
	if err := <-approved; err != nil || status != 200 || v["amount"] != 6000.0 {
		t.Fatalf("an approved charge: %v, %d %v", err, status, v)
	}
	if l := s.observed(1)[0]; l.Decision != "forwarded" || l.Held <= 0 {
		t.Errorf("line = %+v", l)
	}
	r, err := s.engine.Request(context.Background(), s.observed(1)[0].Request)
	if err != nil || r.State != spend.Settled || len(r.Receipts) != 1 || r.Receipts[0].TransactionID != v["id"] {
		t.Errorf("request = %+v, %v", r, err)
	}
}

func TestStripesObjectsAreLookedUpBeforeTheyArePaid(t *testing.T) {
	s := newStripeWorld(t)
	status, intent, _ := s.call("k1", "/v1/payment_intents", "amount=1500&currency=usd&payment_method=pm_card_visa&payment_method_types[]=card")
	if status != 200 {
		t.Fatalf("an intent: %d %v", status, intent)
	}
	status, v, _ := s.call("k2", "/v1/payment_intents/"+intent["id"].(string)+"/confirm", "")
	if status != 200 || v["status"] != "succeeded" {
		t.Fatalf("its confirmation: %d %v", status, v)
	}
	if l := s.observed(2)[1]; l.Decision != "forwarded" || len(l.Legs) != 1 || l.Legs[0].Amount.String() != "1500 USD" {
		t.Errorf("line = %+v", l)
	}
}

func TestStripeMayHaveBeenPaidWhenItHangsUp(t *testing.T) {
	s := newStripeWorld(t)
	s.drop.Store(true)
	if status, v, _ := s.call("k1", "/v1/charges", charge+"2000"); status != 0 {
		t.Fatalf("the agent was told %d %v", status, v)
	}
	// Stripe does not answer the look-up either, so nobody knows.
	status, v, header := s.call("k1", "/v1/charges", charge+"2000")
	if status != 429 && status != 403 || header.Get("Outgo-Decision") != "unknown" {
		t.Errorf("the same charge again: %d %v", status, v)
	}
	if n := s.sandbox.Count(); n != 1 {
		t.Errorf("money moved %d times", n)
	}
	id := spend.ID(header.Get("Outgo-Request"))
	r, err := s.engine.Request(context.Background(), id)
	if err != nil || r.State != spend.Executing {
		t.Errorf("request = %+v, %v", r, err)
	}

	// Once it answers, it says by the key of the call that it was paid, and the
	// agent gets the reply that it has missed.
	s.drop.Store(false)
	status, v, _ = s.call("k1", "/v1/charges", charge+"2000")
	if status != 200 || v["amount"] != 2000.0 || s.sandbox.Count() != 1 {
		t.Errorf("the same charge at last: %d %v, money moved %d times", status, v, s.sandbox.Count())
	}
	r, err = s.engine.Request(context.Background(), id)
	if err != nil || r.State != spend.Settled || len(r.Receipts) != 1 || r.Receipts[0].Source != spend.FromProvider || r.Receipts[0].TransactionID != v["id"] {
		t.Errorf("request = %+v, %v", r, err)
	}
}

// A card that was declined behind a cut connection has not paid, and the same call
// may be made anew.
func TestStripeSaysThatAnEarlierAttemptDidNotGoThrough(t *testing.T) {
	s := newStripeWorld(t)
	declined := "currency=usd&source=tok_chargeDeclined&amount=2000"
	s.drop.Store(true)
	if status, v, _ := s.call("k1", "/v1/charges", declined); status != 0 {
		t.Fatalf("the agent was told %d %v", status, v)
	}
	s.drop.Store(false)
	// So soon after the call, Stripe could still be at it.
	status, v, header := s.call("k1", "/v1/charges", declined)
	if status != 429 || header.Get("Outgo-Code") != string(spend.OutcomeUnknown) {
		t.Fatalf("the same charge again: %d %v %v", status, v, header)
	}
	s.later.Store(int64(11 * time.Second))
	status, v, header = s.call("k1", "/v1/charges", declined)
	if status != 429 || header.Get("Outgo-Code") != string(spend.UpstreamFailed) {
		t.Fatalf("the same charge again: %d %v %v", status, v, header)
	}
	r, err := s.engine.Request(context.Background(), spend.ID(header.Get("Outgo-Request")))
	if err != nil || r.State != spend.Failed || len(r.Receipts) != 1 || r.Receipts[0].Source != spend.FromProvider {
		t.Errorf("request = %+v, %v", r, err)
	}
	if status, v, _ = s.call("k1", "/v1/charges", declined); status != 402 || s.sandbox.Count() != 0 {
		t.Errorf("the third attempt: %d %v, money moved %d times", status, v, s.sandbox.Count())
	}
}
