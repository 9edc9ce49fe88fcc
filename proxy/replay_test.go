package proxy_test

import (
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
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

// A provider that has forgotten the key, and so pays once more, is not overlooked.
func TestAReplayThatPaysAnewIsRecorded(t *testing.T) {
	w := newWorld(t, nil)
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
	if a := w.post("/pay", "amount=5", "Idempotency-Key", "k"); a.status != 200 {
		t.Fatalf("answer = %+v", a)
	}
	if o := w.gate.finished(); len(o) != 1 || o[0].Result != spend.Happened || o[0].Receipt.TransactionID != "tx /pay" || o[0].Reply != nil {
		t.Errorf("recorded %+v", o)
	}
}
