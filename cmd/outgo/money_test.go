package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// postForm makes one call to Stripe without an idempotency key.
func postForm(c *http.Client, path string, form url.Values) (status int, header http.Header, body map[string]any, err error) {
	req, err := http.NewRequest("POST", "https://api.stripe.com"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer sk_test_x")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, nil, err
	}
	return resp.StatusCode, resp.Header, body, json.Unmarshal(raw, &body)
}

// newIntent makes a PaymentIntent of one dollar, unconfirmed, and returns its path.
func newIntent(t *testing.T, c *http.Client) string {
	t.Helper()
	status, _, body, err := postForm(c, "/v1/payment_intents", url.Values{
		"amount": {"100"}, "currency": {"usd"}, "payment_method": {"pm_card_visa"}, "payment_method_types[]": {"card"},
	})
	id, _ := body["id"].(string)
	if err != nil || status != 200 || id == "" {
		t.Fatalf("make a PaymentIntent: %d %v %v", status, body, err)
	}
	return "/v1/payment_intents/" + id
}

// wantCode asserts how outgo has answered a call.
func wantCode(t *testing.T, call string, status, wantStatus int, header http.Header, code spend.Code, err error) {
	t.Helper()
	if err != nil || status != wantStatus || header.Get("Outgo-Code") != string(code) {
		t.Errorf("%s: %d %s (%v), want %d %s", call, status, header.Get("Outgo-Code"), err, wantStatus, code)
	}
}

func wantMoved(t *testing.T, provider *sandbox.Server, want int64) {
	t.Helper()
	if moved := provider.Moved()["usd"]; moved != want {
		t.Errorf("the provider moved %d, want %d", moved, want)
	}
}

// An agent comes back for an approved call without its idempotency key, and once
// more with it: the provider knows the payment under another key than the
// agent's, so that sending the call again would be a second payment.
func TestAReplayUnderAnotherKeyIsNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		padding int // bytes added to the provider's replies
		status  int
		code    spend.Code
	}{
		"the reply was kept":           {0, 200, ""},
		"the reply is too long for it": {300 << 10, 403, spend.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := sandbox.New(sandbox.Options{})
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				provider.ServeHTTP(w, r)
				_, _ = w.Write(bytes.Repeat([]byte{' '}, c.padding))
			}))
			t.Cleanup(up.Close)
			// The first call waits for longer than a hold counts as attended after
			// its last call has come.
			s := startTest(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
proxy: {hold: {wait: {stripe: 2100ms}}}
policies: [{name: one, unit: USD, dailyLimit: 10000, requireApprovalOver: 5000}]
`, up.URL)))
			agent := s.client(t)
			status, header, _, err := pay(agent, 6000, "a")
			wantCode(t, "the first call", status, 429, header, spend.ApprovalPending, err)
			id := spend.ID(header.Get("Outgo-Request"))
			if _, err := s.ledger.engine.Resolve(t.Context(), id, engine.Actor{Name: "p", Role: "approver"}, true, ""); err != nil {
				t.Fatal(err)
			}
			status, header, body, err := pay(agent, 6000, "")
			wantCode(t, "the call without its key", status, 200, header, "", err)
			paid := body["id"]
			status, header, body, err = pay(agent, 6000, "a")
			wantCode(t, "the call with its key", status, c.status, header, c.code, err)
			if status == 200 && body["id"] != paid {
				t.Errorf("the replay is of %v, want %v", body["id"], paid)
			}
			wantMoved(t, provider, 6000)
			if r, err := s.ledger.engine.Request(t.Context(), id); err != nil || r.State != spend.Settled || r.Attempts != 2 {
				t.Errorf("the request is %s after %d attempts, %v; want settled after 2", r.State, r.Attempts, err)
			}
		})
	}
}

// A confirm whose amount was looked up just before another call changed it is not
// judged by the amount that was.
func TestAnUpdateBetweenLookupAndDecisionIsNoticed(t *testing.T) {
	provider := sandbox.New(sandbox.Options{})
	gate, asked := make(chan struct{}), make(chan struct{}, 10)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			provider.ServeHTTP(w, r)
			return
		}
		seen := httptest.NewRecorder()
		provider.ServeHTTP(seen, r)
		asked <- struct{}{}
		<-gate // the answer is on its way
		for name, values := range seen.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(seen.Code)
		_, _ = w.Write(seen.Body.Bytes())
	}))
	t.Cleanup(up.Close)
	open := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	s := startTest(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: one, unit: USD, dailyLimit: 1000, maxSingleAmount: 1000}]
`, up.URL)))
	first, second := s.client(t), s.client(t)
	intent := newIntent(t, first)

	confirmed := make(chan struct{})
	go func() {
		defer close(confirmed)
		status, header, _, err := postForm(first, intent+"/confirm", url.Values{})
		wantCode(t, "the confirm", status, 429, header, spend.ObjectBusy, err)
	}()
	select {
	case <-asked:
	case <-confirmed:
		t.Fatal("the confirm was answered without a lookup")
	}
	status, header, _, err := postForm(second, intent, url.Values{"amount": {"90000"}})
	wantCode(t, "the update", status, 200, header, "", err)
	open()
	<-confirmed
	status, header, _, err = postForm(first, intent+"/confirm", url.Values{})
	wantCode(t, "the next confirm", status, 403, header, spend.ExceedsSingleLimit, err)
	wantMoved(t, provider, 0)
}

// A gateway gives up on an update, which is carried out all the same, just before
// the next confirm arrives: that confirm must not go out on what was looked up
// before.
func TestAnUpdateThatTimesOutKeepsItsObject(t *testing.T) {
	provider := sandbox.New(sandbox.Options{})
	var late atomic.Pointer[http.Request]
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.Contains(string(body), "90000") {
			again := r.Clone(context.Background())
			again.Body = io.NopCloser(bytes.NewReader(body))
			late.Store(again)
			w.WriteHeader(http.StatusGatewayTimeout)
			_, _ = w.Write([]byte(`{"error":{"type":"api_error"}}`))
			return
		}
		if again := late.Load(); again != nil && strings.HasSuffix(r.URL.Path, "/confirm") {
			provider.ServeHTTP(httptest.NewRecorder(), again)
		}
		provider.ServeHTTP(w, r)
	}))
	t.Cleanup(up.Close)
	s := startTest(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: one, unit: USD, dailyLimit: 1000, maxSingleAmount: 1000}]
`, up.URL)))
	c := s.client(t)
	intent := newIntent(t, c)
	status, header, _, err := postForm(c, intent, url.Values{"amount": {"90000"}})
	wantCode(t, "the update", status, 504, header, "", err)
	for range 2 {
		status, header, _, err = postForm(c, intent+"/confirm", url.Values{})
		wantCode(t, "the confirm", status, 429, header, spend.ObjectBusy, err)
	}
	status, header, _, err = postForm(c, intent, url.Values{"amount": {"90000"}})
	wantCode(t, "the update again", status, 429, header, spend.ObjectBusy, err)
	wantMoved(t, provider, 0)
}
