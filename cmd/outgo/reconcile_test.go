package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// flaky is a stand-in for Stripe whose replies to payments can get lost, and which
// counts what it is sent.
type flaky struct {
	*sandbox.Server
	drop        atomic.Bool // replies to payments are lost
	posts, gets atomic.Int64
	foreign     atomic.Int64 // reads with another key than the reader's
	url         string
}

const readerKey = "rk_test_reader"

func newFlaky(t *testing.T) *flaky {
	f := &flaky{}
	f.Server = sandbox.New(sandbox.Options{After: func(r *http.Request) error {
		if f.drop.Load() && r.Method == http.MethodPost {
			return sandbox.ErrDrop
		}
		return nil
	}})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			f.gets.Add(1)
			if r.Header.Get("Authorization") != "Bearer "+readerKey {
				f.foreign.Add(1)
			}
		} else {
			f.posts.Add(1)
		}
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(up.Close)
	f.url = up.URL
	return f
}

// lose pays one payment whose reply gets lost, and returns its request.
func (f *flaky) lose(t *testing.T, s *sidecar, cents int64, key string) spend.ID {
	t.Helper()
	f.drop.Store(true)
	defer f.drop.Store(false)
	c := s.client(t)
	req := payRequest(t, cents, key)
	req.GetBody = nil
	resp, err := c.Do(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatalf("the agent was told %d", resp.StatusCode)
	}
	return newest(t, s).ID
}

func newest(t *testing.T, s *sidecar) spend.Request {
	t.Helper()
	page, err := s.ledger.engine.Requests(context.Background(), engine.Filter{Limit: 1})
	if err != nil || len(page.Requests) != 1 {
		t.Fatalf("%d requests, %v", len(page.Requests), err)
	}
	return page.Requests[0]
}

func payRequest(t *testing.T, cents int64, key string) *http.Request {
	t.Helper()
	form := fmt.Sprintf("amount=%d&currency=usd&confirm=true&payment_method=pm_card_visa&payment_method_types[]=card", cents)
	req, err := http.NewRequest("POST", "https://api.stripe.com/v1/payment_intents", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_x")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return req
}

// startLogged is startTest with what is logged.
func startLogged(t *testing.T, cfg *config.Config) (*sidecar, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	s, err := startSidecar(context.Background(), cfg, zap.New(core), "serve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s, logs
}

// later makes the pass of the sidecar's own inquiry that comes at a later time.
func (s *sidecar) later(t *testing.T, credentials bool) {
	t.Helper()
	cs, err := readCredentials(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !credentials {
		cs = nil
	}
	if err := s.ledger.engine.Inquire(s.proxy.Reconciler(cs)).Pass(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// A payment whose reply got lost is settled by what Stripe says of it, with a key
// that can only read, and without sending anything.
func TestALostReplyIsFoundByReadsAlone(t *testing.T) {
	t.Parallel() // it waits for the first question
	f := newFlaky(t)
	file := filepath.Join(t.TempDir(), "reader.key")
	if err := os.WriteFile(file, []byte(readerKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, logs := startLogged(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: one, unit: USD, dailyLimit: 5000}]
credentials: [{name: reader, rail: stripe, use: reconcile, secret_file: %q}]
`, f.url, file)))
	// An equal payment that another program makes is not taken for the lost one.
	other, err := http.NewRequest("POST", f.url+"/v1/payment_intents", strings.NewReader("amount=1200&currency=usd&confirm=true&payment_method=pm_card_visa&payment_method_types[]=card"))
	if err != nil {
		t.Fatal(err)
	}
	other.Header.Set("Authorization", "Bearer sk_test_x")
	other.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	other.Close = true
	resp, err := http.DefaultClient.Do(other)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()

	keyed, bare := f.lose(t, s, 1200, "k"), f.lose(t, s, 1200, "")
	posts, n := f.posts.Load(), f.Count()
	await(t, 60*time.Second, func() bool {
		for _, id := range []spend.ID{keyed, bare} { // they are asked about side by side
			if r, err := s.ledger.engine.Request(context.Background(), id); err != nil || r.State != spend.Settled {
				return false
			}
		}
		return true
	})
	seen := map[string]bool{}
	for _, id := range []spend.ID{keyed, bare} {
		r, err := s.ledger.engine.Request(context.Background(), id)
		if err != nil || r.State != spend.Settled || len(r.Receipts) != 1 || r.Receipts[0].Source != spend.FromProvider ||
			r.Receipts[0].Amount != spend.NewAmount("USD", 1200) {
			t.Fatalf("%+v, %v", r, err)
		}
		seen[r.Transaction] = true
	}
	if len(seen) != 2 || f.posts.Load() != posts || f.Count() != n || f.gets.Load() == 0 || f.foreign.Load() != 0 {
		t.Errorf("transactions %v; %d calls beyond the payments, %d reads of which %d with another key", seen, f.posts.Load()-posts, f.gets.Load(), f.foreign.Load())
	}
	// The agent's retry gets the reply that it has missed.
	if resp, err = s.client(t).Do(payRequest(t, 1200, "k")); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || f.Count() != n {
		t.Errorf("the retry: %d, money moved %d times, want %d", resp.StatusCode, f.Count(), n)
	}
	for _, e := range logs.All() {
		if strings.Contains(fmt.Sprint(e.Message, e.ContextMap()), readerKey) {
			t.Errorf("the log shows the key: %v", e)
		}
	}
}

func await(t *testing.T, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to pass")
		}
	}
}

// Without a credential nobody is asked: the payment stays counted and is flagged,
// in the log once.
func TestWithoutACredentialAMissingReceiptIsFlagged(t *testing.T) {
	f := newFlaky(t)
	s, logs := startLogged(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: one, unit: USD, dailyLimit: 5000}]
receipts: {expected_within: 100ms}
`, f.url)))
	id := f.lose(t, s, 1200, "k")
	await(t, 20*time.Second, func() bool {
		r, err := s.ledger.engine.Request(context.Background(), id)
		return err == nil && slices.Contains(r.Anomalies, spend.MissingReceipt)
	})
	s.later(t, false)
	if f.gets.Load() != 0 {
		t.Errorf("%d reads without a credential", f.gets.Load())
	}
	list, _, _ := outgo(t, "", "requests", "list", "--config", s.cfg.File(), "--key-file", s.key(t, "admin", ""))
	if !strings.Contains(list, "executing  MISSING_RECEIPT") {
		t.Errorf("the list says nothing of it:\n%s", list)
	}
	if told := logs.FilterMessage("anomaly").FilterField(zap.String(proxy.FieldRequest, string(id))).Len(); told != 1 {
		t.Errorf("the log tells of it %d times", told)
	}
	v, err := s.ledger.engine.Preview(context.Background(), spend.Intent{
		Agent: "default", Rail: "stripe", Class: spend.Spend, Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1)}},
	})
	if err != nil || v.Balances[0].Used != spend.NewAmount("USD", 1200) {
		t.Errorf("%+v, %v", v.Balances, err)
	}
	if _, err := s.ledger.engine.Testify(context.Background(), id, engine.Actor{Name: "op", Role: "admin"}, false, "looked"); err != nil {
		t.Fatal(err)
	}
	r, err := s.ledger.engine.Request(context.Background(), id)
	if err != nil || r.State != spend.Failed || len(r.Receipts) != 1 || r.Receipts[0].Source != spend.FromOperator || r.Receipts[0].Note != "op: looked" {
		t.Errorf("%+v, %v", r, err)
	}
}

// A reply that comes after an operator has given the payment up is booked, late.
func TestAReplyAfterTheOperatorsWordIsBookedLate(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	provider := sandbox.New(sandbox.Options{After: func(r *http.Request) error {
		if r.Method == http.MethodPost {
			close(held)
			<-release
		}
		return nil
	}})
	up := httptest.NewServer(provider)
	t.Cleanup(up.Close)
	s := startTest(t, loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: {url: %q}}\npolicies: [{name: one, unit: USD, dailyLimit: 5000}]\n", up.URL)))
	done := make(chan error, 1)
	go func() {
		_, _, _, err := pay(s.client(t), 1200, "k")
		done <- err
	}()
	<-held
	id := newest(t, s).ID
	_, err := s.ledger.engine.Testify(context.Background(), id, engine.Actor{Name: "op", Role: "admin"}, false, "gave it up")
	close(release)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	r, err := s.ledger.engine.Request(context.Background(), id)
	if err != nil || r.State != spend.Settled || !slices.Equal(r.Anomalies, []spend.Anomaly{spend.LateReceipt}) || r.Receipts[len(r.Receipts)-1].Source != spend.FromWire {
		t.Errorf("%+v, %v", r, err)
	}
}

// A provider that takes more than it was asked for is believed, and flagged.
func TestMoreThanWasAskedForIsBookedAndFlagged(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":1500,"amount_received":1500,"currency":"usd"}`)
	}))
	t.Cleanup(up.Close)
	s, logs := startLogged(t, loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: {url: %q}}\npolicies: [{name: one, unit: USD, dailyLimit: 5000}]\n", up.URL)))
	if status, _, _, err := pay(s.client(t), 1200, "k"); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	if r := newest(t, s); r.State != spend.Settled || !slices.Equal(r.Anomalies, []spend.Anomaly{spend.Oversettled}) || r.Told != spend.NewAmount("USD", 1500) {
		t.Errorf("%+v", r)
	}
	if logs.FilterMessage("anomaly").Len() != 1 {
		t.Error("the log does not tell of it once")
	}
}
