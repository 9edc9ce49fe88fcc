package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

const hookSecret, hookNext = "whsec_secretOfTheTestEndpoint", "whsec_secretThatFollowsIt"

// hooked is a sidecar that takes the events of a stand-in for Stripe.
func hooked(t *testing.T) (*flaky, *sidecar) {
	t.Helper()
	f := newFlaky(t)
	s, logs := startLogged(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
rails: {stripe: {webhook_secrets: [%q, %q]}}
policies: [{name: one, unit: USD, dailyLimit: 9000}]
`, f.url, hookSecret, hookNext)))
	t.Cleanup(func() {
		for _, e := range logs.All() {
			if strings.Contains(fmt.Sprint(e.Message, e.ContextMap()), "whsec_") {
				t.Errorf("the log shows a secret: %v", e)
			}
		}
	})
	return f, s
}

// events are those that the stand-in has kept, newest first, of the given types.
func (f *flaky) events(t *testing.T, kinds ...string) (bodies []string) {
	t.Helper()
	req, err := http.NewRequest("GET", f.url+"/v1/events?limit=100", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+readerKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Data []json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, raw := range list.Data {
		var ev struct{ Type string }
		if err := json.Unmarshal(raw, &ev); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(kinds, ev.Type) {
			bodies = append(bodies, string(raw))
		}
	}
	return bodies
}

// signHook is a Stripe-Signature.
func signHook(secret string, at time.Time, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

// hook posts an event to the control listener.
func (s *sidecar) hook(t *testing.T, body string, signatures ...string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequest("POST", "http://"+s.about.Control+webhookPath("stripe"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header["Stripe-Signature"] = signatures
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (s *sidecar) mustHear(t *testing.T, body string) {
	t.Helper()
	if status, answer := s.hook(t, body, signHook(hookSecret, time.Now(), body)); status != 200 || answer != "{\"received\":true}\n" {
		t.Fatalf("%d %s", status, answer)
	}
}

func (s *sidecar) mustRead(t *testing.T, id spend.ID, want spend.State) spend.Request {
	t.Helper()
	r, err := s.ledger.engine.Request(context.Background(), id)
	if err != nil || r.State != want {
		t.Fatalf("request %s is %s, want %s: %v", id, r.State, want, err)
	}
	return r
}

// A payment whose reply got lost is settled by what Stripe says of its own accord, once,
// however often it says so and whoever else is at it.
func TestAnEventSettlesAPaymentOfUnknownOutcome(t *testing.T) {
	f, s := hooked(t)
	keyed, bare := f.lose(t, s, 1200, "k"), f.lose(t, s, 1300, "")
	posts, moved := f.posts.Load(), f.Count()
	bodies := f.events(t, "payment_intent.succeeded")
	if len(bodies) != 2 {
		t.Fatalf("%d events", len(bodies))
	}
	var all sync.WaitGroup
	for range 4 {
		for _, body := range bodies {
			all.Go(func() {
				if status, answer := s.hook(t, body, signHook(hookNext, time.Now(), body)); status != 200 {
					t.Errorf("%d %s", status, answer)
				}
			})
		}
	}
	all.Wait()
	for id, cents := range map[spend.ID]int64{keyed: 1200, bare: 1300} {
		r := s.mustRead(t, id, spend.Settled)
		if len(r.Receipts) != 1 || r.Receipts[0].Source != spend.FromProvider || r.Receipts[0].Amount != spend.NewAmount("USD", cents) ||
			!strings.HasPrefix(r.Receipts[0].Note, "event evt_") || len(r.Anomalies) != 0 || r.Told != spend.NewAmount("USD", cents) {
			t.Errorf("%+v", r)
		}
	}
	if f.posts.Load() != posts || f.Count() != moved {
		t.Error("an event had something sent")
	}
	if resp, err := s.client(t).Do(payRequest(t, 1200, "k")); err != nil || resp.StatusCode != 200 || f.Count() != moved {
		t.Errorf("the agent's retry: %v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
	shown, _, _ := outgo(t, "", "requests", "show", string(keyed), "--config", s.cfg.File(), "--key-file", s.key(t, "admin", ""))
	if !strings.Contains(shown, "by the provider: pi_") || !strings.Contains(shown, "event evt_") {
		t.Errorf("the request is shown as:\n%s", shown)
	}
	page := string(s.scrape(t))
	for _, want := range []string{`outgo_provider_events_total{rail="stripe",result="booked"} 2`, `outgo_provider_events_total{rail="stripe",result="known"} 6`, `outgo_provider_events_total{rail="stripe",result="refused"} 0`} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

func TestOnlySignedEventsAreTaken(t *testing.T) {
	f, s := hooked(t)
	id := f.lose(t, s, 1200, "k")
	body := f.events(t, "payment_intent.succeeded")[0]
	now := time.Now()
	good := signHook(hookSecret, now, body)
	_, mark, _ := strings.Cut(good, ",")
	for sentence, c := range map[string]struct {
		body       string
		signatures []string
	}{
		"no signature":                  {body, nil},
		"an empty one":                  {body, []string{""}},
		"one of another secret":         {body, []string{signHook("whsec_someOtherSecret000", now, body)}},
		"one of six minutes ago":        {body, []string{signHook(hookSecret, now.Add(-6*time.Minute), body)}},
		"one of in six minutes":         {body, []string{signHook(hookSecret, now.Add(6*time.Minute), body)}},
		"one of another time":           {body, []string{fmt.Sprintf("t=%d,%s", now.Unix()+1, mark)}},
		"a body with a byte changed":    {strings.Replace(body, "1200", "1300", 1), []string{good}},
		"two fields":                    {body, []string{good, good}},
		"what is signed and no event":   {"[]", []string{signHook(hookSecret, now, "[]")}},
		"what is signed and has no end": {body[:100], []string{signHook(hookSecret, now, body[:100])}},
	} {
		if status, answer := s.hook(t, c.body, c.signatures...); status != 400 || strings.Contains(answer, "whsec_") || strings.Contains(answer, mark[3:]) {
			t.Errorf("%s: %d %s", sentence, status, answer)
		}
	}
	s.mustRead(t, id, spend.Executing)
	if status, answer := s.hook(t, body, good+",v1="+strings.Repeat("00", 32)); status != 200 {
		t.Errorf("two signatures of which one is good: %d %s", status, answer)
	}
	s.mustRead(t, id, spend.Settled)
}

func TestWithoutASecretNoEventIsTaken(t *testing.T) {
	s := startTest(t, loadText(t, ""))
	body := `{"id":"evt_1"}`
	if status, answer := s.hook(t, body, signHook("", time.Now(), body)); status != 404 || !strings.Contains(answer, "no secret") {
		t.Errorf("%d %s", status, answer)
	}
	resp, err := http.Post("http://"+s.about.Control+webhookPath("moonpay"), "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 404 {
		t.Errorf("of another provider: %d", resp.StatusCode)
	}
}

// Stripe says again what it was not told that outgo has kept.
func TestAnEventThatCannotBeBookedIsToBeSaidAgain(t *testing.T) {
	f, s := hooked(t)
	f.lose(t, s, 1200, "k")
	body := f.events(t, "payment_intent.succeeded")[0]
	s.ledger.engine.Close()
	if status, answer := s.hook(t, body, signHook(hookSecret, time.Now(), body)); status != 503 || strings.Contains(answer, "ledger") {
		t.Errorf("%d %s", status, answer)
	}
}

// A refund that an agent makes is linked to the payment that it gives back, by its
// reply alone; the events of both, and what others do, only add to what is on record.
func TestARefundIsShownWithWhatItGivesBack(t *testing.T) {
	f, s := hooked(t)
	c := s.client(t)
	_, _, paid, err := pay(c, 1200, "k")
	if err != nil {
		t.Fatal(err)
	}
	payment := newest(t, s).ID
	post := func(base, form string) {
		t.Helper()
		req, err := http.NewRequest("POST", base+"/v1/refunds", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer sk_test_x")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		doer := c
		if base == f.url {
			doer = http.DefaultClient
		}
		resp, err := doer.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("refund %s: %d", form, resp.StatusCode)
		}
	}
	// By its charge, of which the payment's own reply has said nothing to the ledger.
	post("https://api.stripe.com", url.Values{"charge": {fmt.Sprint(paid["latest_charge"])}, "amount": {"300"}}.Encode())
	refund := newest(t, s).ID
	if r := s.mustRead(t, refund, spend.Settled); r.Undoes != payment {
		t.Errorf("the refund undoes %q, want %s: %+v", r.Undoes, payment, r)
	}
	post(f.url, url.Values{"payment_intent": {fmt.Sprint(paid["id"])}, "amount": {"200"}}.Encode()) // by somebody in the dashboard
	for range 2 {
		for _, body := range f.events(t, "refund.created", "payment_intent.succeeded", "charge.refunded") {
			s.mustHear(t, body)
		}
	}
	r := s.mustRead(t, payment, spend.Settled)
	var ours, others int
	for _, v := range r.Undone {
		switch {
		case v.Request == refund && v.Amount == spend.NewAmount("USD", 300):
			ours++
		case v.Request == "" && v.Kind == spend.ByRefund:
			others++
		}
	}
	if ours != 1 || others == 0 || len(r.Anomalies) != 0 || r.Told != spend.NewAmount("USD", 1200) {
		t.Errorf("%+v", r)
	}
	budget, err := s.ledger.engine.Budgets(context.Background())
	if err != nil || budget[0].Used != spend.NewAmount("USD", 1500) {
		t.Errorf("%+v, %v: a payment of 12.00 and a refund of 3.00 are counted, and nothing is given back", budget, err)
	}
	shown, _, _ := outgo(t, "", "requests", "show", string(payment), "--config", s.cfg.File(), "--key-file", s.key(t, "admin", ""))
	if !strings.Contains(shown, "by a refund: re_") || !strings.Contains(shown, "request "+string(refund)) {
		t.Errorf("the payment is shown as:\n%s", shown)
	}
	shown, _, _ = outgo(t, "", "requests", "show", string(refund), "--config", s.cfg.File(), "--key-file", s.key(t, "admin", ""))
	if !strings.Contains(shown, "request "+string(payment)) {
		t.Errorf("the refund is shown as:\n%s", shown)
	}
}

// Stripe's own library makes the signature of its test events.
func TestTheSignatureOfStripesLibraryIsTaken(t *testing.T) {
	node := need(t, "node", "install Node.js 20 or later")
	clients, err := filepath.Abs("testdata/clients")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(clients + "/stripenode/node_modules/stripe"); err != nil {
		lack(t, "stripe-node is not installed; run `npm ci` in cmd/outgo/testdata/clients/stripenode")
	}
	f, s := hooked(t)
	id := f.lose(t, s, 1200, "k")
	body := f.events(t, "payment_intent.succeeded")[0]
	sign := func(secret string) string {
		cmd := exec.Command(node, clients+"/stripenode/sign.mjs")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SECRET=" + secret}
		cmd.Stdin = strings.NewReader(body)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	if status, answer := s.hook(t, body, sign(hookNext+"x")); status != 400 {
		t.Errorf("another secret: %d %s", status, answer)
	}
	if status, answer := s.hook(t, body, sign(hookSecret)); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
	s.mustRead(t, id, spend.Settled)
}
