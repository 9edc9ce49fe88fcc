package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/rails"
)

func TestASettledCallIsAnsweredAgain(t *testing.T) {
	w := newWorld(t, nil)
	if a := w.post("/pay", "amount=5", "Idempotency-Key", "k"); a.status != 200 {
		t.Fatalf("answer = %+v", a)
	}
	first := w.gate.finished()[0].Reply
	settled := spend.Request{ID: "req-1", State: spend.Settled, Began: time.Now(), Changed: time.Now()}
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		settled.Intent = in
		return spend.Ruling{Next: spend.Replay, Request: settled}, nil
	}
	w.gate.reply = func(spend.ID) ([]byte, error) { return first, nil }
	if a := w.post("/pay", "amount=5", "Idempotency-Key", "k"); a.status != 200 || a.body != "tx /pay" || a.header.Get("X-Provider") != "coin" || a.header.Get("Content-Type") != "text/plain" {
		t.Errorf("kept answer = %+v", a)
	}
	if n := len(w.up.got()); n != 1 {
		t.Errorf("the provider was called %d times", n)
	}

	w.gate.reply = nil // none was kept, and the provider keeps its own
	if a := w.post("/pay", "amount=5", "Idempotency-Key", "k"); a.status != 200 {
		t.Errorf("the provider's own answer = %+v", a)
	}
	if a, b := w.up.header(0).Get("Idempotency-Key"), w.up.header(1).Get("Idempotency-Key"); a != b {
		t.Errorf("the replay went out under another key: %q, %q", a, b)
	}
	if n := len(w.gate.finished()); n != 1 {
		t.Errorf("%d outcomes were recorded", n)
	}

	for why, began := range map[string]time.Duration{
		"longer ago than the provider promises":    -2 * time.Hour,
		"at a time that is still to come, it says": 2 * time.Hour, // for the clock was set back
	} {
		settled.Began = time.Now().Add(began)
		if a := w.post("/pay", "amount=5", "Idempotency-Key", "k"); a.status != 403 || a.header.Get("Outgo-Code") != string(spend.OutcomeUnknown) {
			t.Errorf("sent %s, answer = %+v", why, a)
		}
		if n := len(w.up.got()); n != 2 {
			t.Errorf("sent %s: the provider was called %d times", why, n)
		}
	}
}

// pricedRail is coinRail, whose provider tells in its replies what it has moved.
type pricedRail struct{ coinRail }

func (r pricedRail) Outcome(in *spend.Intent, reply *rails.Reply) spend.Outcome {
	o := r.coinRail.Outcome(in, reply)
	if reply.Get("X-Provider") != "" {
		o.Receipt.Amount = in.Legs[0].Amount
	}
	return o
}

// A provider that has forgotten the key, and so pays once more, is not overlooked.
func TestAReplayThatPaysAnewIsRecorded(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.Routes[0].Rail = pricedRail{} })
	settled := spend.Request{ID: "req-1", State: spend.Settled, Began: time.Now(), Changed: time.Now()}
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		settled.Intent = in
		return spend.Ruling{Next: spend.Replay, Request: settled}, nil
	}
	for _, known := range []string{"tx /pay", ""} { // it is the same payment; it is not known which one was made
		settled.Transaction = known
		if a := w.post("/pay", "amount=5", "Idempotency-Key", "k"); a.status != 200 {
			t.Fatalf("answer = %+v", a)
		}
		if o := w.gate.finished(); len(o) != 0 {
			t.Errorf("after %q, recorded %+v", known, o)
		}
	}
	settled.Transaction = "tx of yesterday"
	w.up.handle = func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "tx without an amount") }
	if a := w.post("/pay", "amount=5", "Idempotency-Key", "k"); a.status != 200 || len(w.gate.finished()) != 0 {
		t.Errorf("answer = %+v, recorded %+v", a, w.gate.finished())
	}
	w.up.handle = nil
	if a := w.post("/pay", "amount=5", "Idempotency-Key", "k"); a.status != 200 {
		t.Fatalf("answer = %+v", a)
	}
	if o := w.gate.finished(); len(o) != 1 || o[0].Result != spend.Happened || o[0].Receipt.TransactionID != "tx /pay" || o[0].Reply != nil {
		t.Errorf("recorded %+v", o)
	}
}

// A long reply that is given again passes as it comes, and one that breaks off is
// not made to look whole.
func TestALongReplyIsReplayedAsItComes(t *testing.T) {
	w := newWorld(t, nil)
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		return spend.Ruling{Next: spend.Replay, Request: spend.Request{
			ID: "req-1", State: spend.Settled, Transaction: "tx", Began: time.Now(), Intent: in,
		}}, nil
	}
	long := strings.Repeat("0123456789abcdef", 2<<16)
	for name, broken := range map[string]bool{"whole": false, "broken off": true} {
		w.up.mu.Lock()
		w.up.handle = func(rw http.ResponseWriter, _ *http.Request) {
			io.WriteString(rw, long)
			rw.(http.Flusher).Flush()
			if broken {
				panic(http.ErrAbortHandler)
			}
		}
		w.up.mu.Unlock()
		req, err := http.NewRequest("POST", "https://"+guardedHost+"/pay", strings.NewReader("amount=5"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "k")
		resp, err := w.client(nil).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if (err != nil) != broken || err == nil && string(got) != long {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// Who asks for the reply to a payment that was made is never told that nothing was
// sent, for it would be made again.
func TestAReplayThatCannotBeHadDoesNotInviteASecondPayment(t *testing.T) {
	w := newWorld(t, nil)
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		return spend.Ruling{Next: spend.Replay, Request: spend.Request{
			ID: "req-1", State: spend.Settled, Transaction: "tx", Began: time.Now(), Intent: in,
		}}, nil
	}
	w.up.Close()
	a := w.post("/pay", "amount=5", "Idempotency-Key", "k")
	if a.status != 429 || a.header.Get("Outgo-Decision") != "unknown" || a.header.Get("Outgo-Code") != string(spend.UpstreamFailed) {
		t.Errorf("answer = %+v", a)
	}
	if strings.Contains(a.body, "Nothing was sent") || !strings.Contains(a.body, "under the same idempotency key") {
		t.Errorf("it says %s", a.body)
	}
}
