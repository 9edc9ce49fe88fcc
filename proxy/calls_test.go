package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

func TestAllowedPaymentIsForwardedOnceAndSettled(t *testing.T) {
	w := newWorld(t, nil)
	a := w.post("/pay", "amount=500", "Idempotency-Key", "k1", "Authorization", "Bearer secret",
		"Outgo-Merchant", "shop", "Proxy-Connection", "keep-alive", "Accept-Encoding", "gzip", "X-Mine", "kept")
	if a.status != 200 || a.body != "tx /pay" || a.header.Get("X-Provider") != "coin" {
		t.Fatalf("answer = %+v", a)
	}
	if got := w.up.got(); !slices.Equal(got, []string{"POST /pay amount=500"}) {
		t.Errorf("the provider got %q", got)
	}
	h := w.up.header(0)
	if key := h.Get("Idempotency-Key"); !strings.HasPrefix(key, "outgo_") || len(key) != 46 {
		t.Errorf("upstream key = %q", key)
	}
	if h.Get("Outgo-Merchant") != "" || h.Get("Proxy-Connection") != "" || h.Get("Accept-Encoding") != "identity" || h.Get("X-Mine") != "kept" || h.Get("Authorization") != "Bearer secret" {
		t.Errorf("upstream header = %v", h)
	}
	in := w.gate.asked()[0]
	if in.Agent != "default" || in.DedupKey == "" || len(in.Fingerprint) != 64 || strings.Contains(in.DedupKey, "k1") {
		t.Errorf("intent = %+v", in)
	}
	o := w.gate.finished()
	if len(o) != 1 || o[0].Result != spend.Happened || o[0].Receipt.Source != spend.FromWire || o[0].Receipt.HTTPStatus != 200 || o[0].Reply == nil {
		t.Errorf("outcomes = %+v", o)
	}
	l := w.observed(1)[0]
	if l.Decision != "forwarded" || l.Class != spend.Spend || l.Operation != "pay" || len(l.Legs) != 1 || l.Legs[0].Amount.String() != "500 USD" || l.Status != 200 || l.Request != "req-1" || l.Path != "/pay" {
		t.Errorf("line = %+v", l)
	}
}

func TestTheSameCallHasTheSameFingerprintAndOthersHaveOthers(t *testing.T) {
	w := newWorld(t, nil)
	w.post("/pay", "amount=500", "Authorization", "a")
	w.post("/pay", "amount=500", "Authorization", "a")
	w.post("/pay", "amount=501", "Authorization", "a")
	w.post("/pay", "amount=500", "Authorization", "b")
	w.post("/pay/o", "amount=500", "Authorization", "a")
	in := w.gate.asked()
	if in[0].Fingerprint != in[1].Fingerprint {
		t.Error("two equal calls have different fingerprints")
	}
	if in[0].Fingerprint == in[2].Fingerprint || in[0].Fingerprint == in[3].Fingerprint {
		t.Error("different calls have one fingerprint")
	}
	if in[0].DedupKey != "" {
		t.Error("a call without a key has a dedup key")
	}
	if a, b := w.up.header(0).Get("Idempotency-Key"), w.up.header(1).Get("Idempotency-Key"); a == b || a == "" {
		t.Errorf("two payments without a key went out under the keys %q and %q", a, b)
	}
}

func TestReadsAreStreamedUntouchedPastTheGate(t *testing.T) {
	w := newWorld(t, nil)
	first := make(chan struct{})
	w.up.handle = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Outgo-Decision", "forged")
		io.WriteString(rw, strings.Repeat("a", 100<<10))
		rw.(http.Flusher).Flush()
		<-first
		io.WriteString(rw, "end")
	}
	req, _ := http.NewRequest("GET", "https://"+guardedHost+"/things?b=2&a=%31", nil)
	resp, err := w.client(nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 100<<10)); err != nil {
		t.Fatal(err)
	}
	close(first)
	rest, err := io.ReadAll(resp.Body)
	if string(rest) != "end" || err != nil {
		t.Errorf("the rest is %q, %v", rest, err)
	}
	if resp.Header.Get("Outgo-Decision") != "" {
		t.Error("the provider spoke in outgo's name")
	}
	if got := w.up.got()[0]; got != "GET /things?b=2&a=%31 " {
		t.Errorf("the provider got %q", got)
	}
	if len(w.gate.asked()) != 0 {
		t.Error("the gate was asked about a read")
	}
}

func TestWritesThatMoveNoMoneyPass(t *testing.T) {
	w := newWorld(t, nil)
	if a := w.post("/note", "hello"); a.status != 200 {
		t.Errorf("answer = %+v", a)
	}
	if len(w.gate.asked()) != 0 {
		t.Error("the gate was asked")
	}
	if l := w.observed(1)[0]; l.Decision != "passed" || l.Class != spend.Other {
		t.Errorf("line = %+v", l)
	}
}

func TestHeadKeepsItsLength(t *testing.T) {
	w := newWorld(t, nil)
	resp, err := w.client(nil).Head("https://" + guardedHost + "/things")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ContentLength != int64(len("tx /things")) {
		t.Errorf("Content-Length = %d", resp.ContentLength)
	}
}

func TestAmountsLiveInObjectsThatAreLookedUpFirst(t *testing.T) {
	w := newWorld(t, nil)
	w.up.handle = func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			io.WriteString(rw, "700")
			return
		}
		io.WriteString(rw, "paid")
	}
	a := w.post("/pay/inv1", "", "Authorization", "Bearer secret", "Idempotency-Key", "k", "If-Match", "x")
	if a.status != 200 {
		t.Fatalf("answer = %+v", a)
	}
	if got := w.up.got(); !slices.Equal(got, []string{"GET /objects/inv1 ", "POST /pay/inv1 "}) {
		t.Errorf("the provider got %q", got)
	}
	if h := w.up.header(0); h.Get("Authorization") != "Bearer secret" || h.Get("Idempotency-Key") != "" || h.Get("If-Match") != "" {
		t.Errorf("lookup's header = %v", h)
	}
	if in := w.gate.asked()[0]; in.Legs[0].Amount.String() != "700 USD" {
		t.Errorf("intent = %+v", in)
	}
}

// A preview is asked for by POST, as a form, whatever the call's own body is, and never
// under the call's idempotency key.
func TestAmountsAreLookedUpByPreviewToo(t *testing.T) {
	w := newWorld(t, nil)
	w.up.handle = func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/preview" {
			io.WriteString(rw, "700")
			return
		}
		io.WriteString(rw, "paid")
	}
	a := w.post("/order", "item=7", "Authorization", "Bearer secret", "Idempotency-Key", "k", "Content-Type", "text/plain")
	if a.status != 200 {
		t.Fatalf("answer = %+v", a)
	}
	if got := w.up.got(); !slices.Equal(got, []string{"POST /preview item=7", "POST /order item=7"}) {
		t.Errorf("the provider got %q", got)
	}
	if h := w.up.header(0); h.Get("Authorization") != "Bearer secret" || h.Get("Idempotency-Key") != "" || !slices.Equal(h.Values("Content-Type"), []string{"application/x-www-form-urlencoded"}) {
		t.Errorf("lookup's header = %v", h)
	}
	if in := w.gate.asked()[0]; in.Legs[0].Amount.String() != "700 USD" || in.LookedUp.IsZero() {
		t.Errorf("intent = %+v", in)
	}
}

func TestWhatStopsACallBeforeItIsSent(t *testing.T) {
	denied := spend.Request{ID: "r1", State: spend.Denied, Verdict: spend.Verdict{Decision: spend.Deny, Code: spend.ExceedsSingleLimit,
		Rules: []spend.Rule{{Code: spend.ExceedsSingleLimit, Decision: spend.Deny, Amount: spend.NewAmount("USD", 500), Limit: spend.NewAmount("USD", 100)}}}}
	rule := func(r spend.Ruling, err error) func(*ledger) {
		return func(l *ledger) {
			l.authorize = func(spend.Intent) (spend.Ruling, error) { return r, err }
		}
	}
	for name, c := range map[string]struct {
		path, body string
		gate       func(*ledger)
		up         http.HandlerFunc
		status     int
		decision   string
		code       spend.Code
		says       string
	}{
		"a policy denies":              {"/pay", "amount=500", rule(spend.Ruling{Next: spend.Refuse, Request: denied}, nil), nil, 403, "denied", spend.ExceedsSingleLimit, "over the limit"},
		"the engine fails":             {"/pay", "amount=500", rule(spend.Ruling{}, errors.New("disk full")), nil, 503, "unavailable", spend.GuardUnavailable, "Nothing was sent now. Send it again later, with the same idempotency key"},
		"the engine panics":            {"/pay", "amount=500", func(l *ledger) { l.authorize = func(spend.Intent) (spend.Ruling, error) { panic("bug") } }, nil, 503, "unavailable", spend.GuardUnavailable, "Nothing was sent"},
		"the rail panics":              {"/panic", "", nil, nil, 503, "unavailable", spend.GuardUnavailable, "Nothing was sent"},
		"the rail cannot read it":      {"/pay", "amount=1e9", nil, nil, 400, "refused", spend.Malformed, "no number"},
		"the rail does not know it":    {"/other", "", nil, nil, 400, "refused", spend.UnrecognisedCall, "proxy.unrecognised"},
		"the key belongs to another":   {"/pay", "amount=1", rule(spend.Ruling{Next: spend.Reused, Request: denied}, nil), nil, 400, "refused", spend.KeyReused, "new key"},
		"the object is busy":           {"/pay", "amount=1", rule(spend.Ruling{Next: spend.Busy, Request: denied}, nil), nil, 429, "refused", spend.ObjectBusy, "r1"},
		"its outcome is in doubt":      {"/pay", "amount=1", rule(spend.Ruling{Next: spend.Doubt, Request: denied}, nil), nil, 403, "unknown", spend.OutcomeUnknown, "may have been paid"},
		"a person rejected it":         {"/pay", "amount=1", rule(spend.Ruling{Next: spend.Refuse, Request: spend.Request{ID: "r1", State: spend.Denied, Why: spend.ApprovalRejected, Approval: &spend.Approval{Note: "too dear"}}}, nil), nil, 403, "denied", spend.ApprovalRejected, "too dear"},
		"nobody approved it":           {"/pay", "amount=1", rule(spend.Ruling{Next: spend.Refuse, Request: spend.Request{ID: "r1", State: spend.Expired}}, nil), nil, 403, "expired", spend.ApprovalExpired, "in time"},
		"the lookup's answer is large": {"/pay/big", "", nil, func(rw http.ResponseWriter, _ *http.Request) { rw.Write(make([]byte, 1<<20+1)) }, 503, "unavailable", spend.LookupFailed, "/objects/big"},
		"the lookup breaks off": {"/pay/cut", "", nil, func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}, 503, "unavailable", spend.LookupFailed, "/objects/cut"},
		"the lookup would be a payment": {"/sneak", "", nil, nil, 503, "unavailable", spend.LookupFailed, "POST /pay"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if c.gate != nil {
				c.gate(w.gate)
			}
			w.up.handle = c.up
			a := w.post(c.path, c.body)
			if a.status != c.status || a.header.Get("Outgo-Decision") != c.decision || a.header.Get("Outgo-Code") != string(c.code) {
				t.Errorf("answer = %+v", a)
			}
			if !strings.Contains(a.body, "coin_error") || !strings.Contains(a.body, c.says) {
				t.Errorf("body = %s", a.body)
			}
			for _, got := range w.up.got() {
				if strings.HasPrefix(got, "POST") {
					t.Errorf("the provider got %q", got)
				}
			}
			if l := w.observed(1)[0]; l.Decision != c.decision || l.Code != c.code || l.Status != c.status {
				t.Errorf("line = %+v", l)
			}
		})
	}
}

func TestUnrecognisedCallsGoToTheGateWhereConfigured(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.HoldUnrecognised = true })
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		if in.Class != spend.Unrecognised || in.Call != "POST "+guardedHost+"/other" {
			t.Errorf("a person is asked about %s %q", in.Class, in.Call)
		}
		return spend.Ruling{Next: spend.Refuse, Request: spend.Request{ID: "r", State: spend.Denied, Verdict: spend.Verdict{Decision: spend.Deny, Code: spend.NoActivePolicy}}}, nil
	}
	if a := w.post("/other", ""); a.status != 403 || a.header.Get("Outgo-Request") != "r" {
		t.Errorf("answer = %+v", a)
	}
}

func TestAfterTheRequestHasLeftNothingIsInvented(t *testing.T) {
	for name, c := range map[string]struct {
		up     http.HandlerFunc
		finish error
		result spend.Result
	}{
		"the provider hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, spend.Uncertain},
		"the reply breaks off": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100")
			rw.Write([]byte("half"))
		}, nil, spend.Uncertain},
		"the outcome cannot be recorded": {nil, spend.InvalidState, spend.Happened},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.up.handle = c.up
			w.gate.finish = func(spend.ID, spend.Outcome) error { return c.finish }
			resp, err := w.client(nil).Post("https://"+guardedHost+"/pay", "", strings.NewReader("amount=5"))
			if err == nil {
				t.Fatalf("the agent was told %s", resp.Status)
			}
			if o := w.gate.finished(); len(o) == 0 || o[0].Result != c.result {
				t.Errorf("outcomes = %+v", o)
			}
			if n := len(w.up.got()); n != 1 {
				t.Errorf("the provider was called %d times", n)
			}
			if l := w.observed(1)[0]; l.Decision != "cut" || l.Status != 0 || l.Err == "" {
				t.Errorf("line = %+v", l)
			}
		})
	}
}

func TestAnOutcomeThatCouldNotBeRecordedIsTriedAgain(t *testing.T) {
	w := newWorld(t, nil)
	var tries atomic.Int32
	w.gate.finish = func(spend.ID, spend.Outcome) error {
		if tries.Add(1) < 3 {
			return errors.New("disk full")
		}
		return nil
	}
	if resp, err := w.client(nil).Post("https://"+guardedHost+"/pay", "", strings.NewReader("amount=5")); err == nil {
		t.Fatalf("the agent was told %s", resp.Status)
	}
	eventually(t, "third try", func() bool { return tries.Load() == 3 && w.proxy.Stats().LateFinish == 0 })
	if o := w.gate.finished(); o[2].Result != spend.Happened || o[2].Receipt.TransactionID != "tx /pay" {
		t.Errorf("outcomes = %+v", o)
	}
	if len(w.up.got()) != 1 {
		t.Error("the payment was sent again")
	}
}

func TestAProviderThatCannotBeReachedGotNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.up.Close()
	a := w.post("/pay", "amount=5")
	if a.status != 502 || a.header.Get("Outgo-Code") != string(spend.UpstreamFailed) || !strings.Contains(a.body, "Nothing was sent") {
		t.Errorf("answer = %+v", a)
	}
	if o := w.gate.finished(); len(o) != 1 || o[0].Result != spend.DidNot || o[0].Why != spend.UpstreamFailed {
		t.Errorf("outcomes = %+v", o)
	}
}

func TestARefusalOfTheProviderReachesTheAgent(t *testing.T) {
	w := newWorld(t, nil)
	w.up.handle = func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(402)
		io.WriteString(rw, "card declined")
	}
	if a := w.post("/pay", "amount=5"); a.status != 402 || a.body != "card declined" || a.header.Get("Outgo-Decision") != "" {
		t.Errorf("answer = %+v", a)
	}
	if o := w.gate.finished(); len(o) != 1 || o[0].Result != spend.DidNot || o[0].Reply != nil {
		t.Errorf("outcomes = %+v", o)
	}
}

// holding makes a gate that holds every call until it is told how it ends.
func holding(w *world, decided <-chan spend.Next) {
	held := spend.Request{ID: "held", State: spend.Held, Attempts: 1}
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		held.Intent = in
		return spend.Ruling{Next: spend.Await, Request: held}, nil
	}
	w.gate.wait = func(ctx context.Context, _ spend.ID) (spend.Ruling, error) {
		select {
		case next := <-decided:
			return spend.Ruling{Next: next, Request: held}, nil
		case <-ctx.Done():
			return spend.Ruling{Next: spend.Await, Request: held}, nil
		}
	}
	w.gate.begin = func(id spend.ID, in spend.Intent) (spend.Ruling, error) {
		return spend.Ruling{Next: spend.Forward, Request: spend.Request{ID: id, Intent: in, State: spend.Executing}}, nil
	}
}

func TestAnApprovedCallCompletes(t *testing.T) {
	w := newWorld(t, nil)
	decided := make(chan spend.Next, 1)
	holding(w, decided)
	lookups := 0
	w.up.handle = func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			lookups++
			fmt.Fprint(rw, lookups)
			return
		}
		io.WriteString(rw, "paid")
	}
	begun := make(chan spend.Intent, 1)
	begin := w.gate.begin
	w.gate.begin = func(id spend.ID, in spend.Intent) (spend.Ruling, error) { begun <- in; return begin(id, in) }
	go func() { decided <- spend.Begin }()
	if a := w.post("/pay/inv", ""); a.status != 200 || a.body != "paid" {
		t.Fatalf("answer = %+v", a)
	}
	if in := <-begun; in.Legs[0].Amount.String() != "2 USD" {
		t.Errorf("it began with %s, which is not what the provider said last", in.Legs[0].Amount)
	}
	if l := w.observed(1)[0]; l.Decision != "forwarded" || l.Request != "held" {
		t.Errorf("line = %+v", l)
	}
}

func TestAHeldCallIsHandedOver(t *testing.T) {
	for attempts, want := range map[int]int{1: 429, 2: 429, 3: 403} {
		w := newWorld(t, func(o *proxy.Options) { o.Routes[0].Wait = 30 * time.Millisecond })
		holding(w, nil)
		held := spend.Request{ID: "held", State: spend.Held, Attempts: attempts}
		held.Verdict = spend.Verdict{Decision: spend.RequireApproval, Code: spend.Duplicate,
			Rules: []spend.Rule{{Code: spend.Duplicate, Decision: spend.RequireApproval, Value: "before"}}}
		w.gate.wait = func(ctx context.Context, _ spend.ID) (spend.Ruling, error) {
			<-ctx.Done()
			return spend.Ruling{Next: spend.Await, Request: held}, nil
		}
		a := w.post("/pay", "amount=5")
		if a.status != want || a.header.Get("Outgo-Decision") != "held" || a.header.Get("Outgo-Request") != "held" || !strings.Contains(a.body, "outgo approvals approve held") ||
			!strings.Contains(a.body, "the same call has been sent before, as request before") {
			t.Errorf("attempt %d: answer = %+v", attempts, a)
		}
		if len(w.up.got()) != 0 {
			t.Error("it was sent")
		}
	}
}

func TestAnAgentThatHangsUpWhileHeldNeverPays(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.Routes[0].Wait = 20 * time.Second })
	decided := make(chan spend.Next)
	holding(w, decided)
	waiting := make(chan struct{})
	wait := w.gate.wait
	w.gate.wait = func(ctx context.Context, id spend.ID) (spend.Ruling, error) { close(waiting); return wait(ctx, id) }
	w.gate.begin = nil // a call to it fails the test
	c, _ := w.inside(guardedHost)
	io.WriteString(c, "POST /pay HTTP/1.1\r\nHost: "+guardedHost+"\r\nContent-Length: 8\r\n\r\namount=5")
	<-waiting
	c.Close()
	if l := w.observed(1)[0]; l.Decision != "gone" {
		t.Errorf("line = %+v", l)
	}
	if len(w.up.got()) != 0 {
		t.Error("it was sent")
	}
}

func TestACallThatIsReplacedWaitsOnTheNewRequest(t *testing.T) {
	w := newWorld(t, nil)
	decided := make(chan spend.Next, 2)
	decided <- spend.Begin
	decided <- spend.Begin
	holding(w, decided)
	begin := w.gate.begin
	var waited []spend.ID
	wait := w.gate.wait
	w.gate.wait = func(ctx context.Context, id spend.ID) (spend.Ruling, error) {
		waited = append(waited, id)
		r, err := wait(ctx, id)
		r.Request.ID = id
		return r, err
	}
	w.gate.begin = func(id spend.ID, in spend.Intent) (spend.Ruling, error) {
		if id == "held" {
			return spend.Ruling{Next: spend.Await, Request: spend.Request{ID: "other", State: spend.Held}}, nil
		}
		return begin(id, in)
	}
	if a := w.post("/pay", "amount=5"); a.status != 200 {
		t.Fatalf("answer = %+v", a)
	}
	if !slices.Equal(waited, []spend.ID{"held", "other"}) {
		t.Errorf("it waited on %q", waited)
	}
}

// followOne has the gate send the first call and all others follow it. It returns
// how many have come.
func (w *world) followOne() *atomic.Int32 {
	calls := &atomic.Int32{}
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		next := spend.Follow
		if calls.Add(1) == 1 {
			next = spend.Forward
		}
		return spend.Ruling{Next: next, Request: spend.Request{ID: "one", Intent: in, State: spend.Executing}}, nil
	}
	return calls
}

func TestFollowersGetTheOneReply(t *testing.T) {
	w := newWorld(t, nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.up.handle = func(rw http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		rw.Header().Set("X-Provider", "coin")
		io.WriteString(rw, "paid once")
	}
	calls := w.followOne()
	answers := make(chan answer, 3)
	pay := func() { answers <- w.post("/pay", "amount=5", "Idempotency-Key", "k") }
	go pay()
	<-arrived
	go pay()
	go pay()
	eventually(t, "three calls", func() bool { return calls.Load() == 3 })
	close(release)
	for range 3 {
		if a := <-answers; a.status != 200 || a.body != "paid once" || a.header.Get("X-Provider") != "coin" {
			t.Errorf("answer = %+v", a)
		}
	}
	if n := len(w.up.got()); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

func TestAFollowerWithoutAFlightIsToldThatNobodyKnows(t *testing.T) {
	w := newWorld(t, nil)
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		return spend.Ruling{Next: spend.Follow, Request: spend.Request{ID: "gone", State: spend.Executing, Began: time.Now()}}, nil
	}
	if a := w.post("/pay", "amount=5"); a.status != 429 || a.header.Get("Outgo-Decision") != "unknown" {
		t.Errorf("answer = %+v", a)
	}
}

// Under load a flight may be forgotten before one that was sent to follow it looks.
func TestAFollowerWhoseFlightIsForgottenGetsTheKeptReply(t *testing.T) {
	w := newWorld(t, nil)
	w.post("/pay", "amount=5", "Idempotency-Key", "k")
	kept := w.gate.finished()[0].Reply
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		return spend.Ruling{Next: spend.Follow, Request: spend.Request{ID: "forgotten", State: spend.Executing, Began: time.Now()}}, nil
	}
	w.gate.reply = func(id spend.ID) ([]byte, error) {
		if id != "forgotten" {
			return nil, spend.NotFound
		}
		return kept, nil
	}
	if a := w.post("/pay", "amount=5", "Idempotency-Key", "k"); a.status != 200 || a.body != "tx /pay" || a.header.Get("Outgo-Decision") != "" {
		t.Errorf("answer = %+v", a)
	}
	if l := w.observed(2)[1]; l.Decision != "joined" {
		t.Errorf("line = %+v", l)
	}
	if n := len(w.up.got()); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

func TestDrainHandsWaitersOverAndWaitsForFlights(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.Routes[0].Wait = 20 * time.Second })
	arrived, release := make(chan struct{}), make(chan struct{})
	w.up.handle = func(rw http.ResponseWriter, _ *http.Request) { close(arrived); <-release; io.WriteString(rw, "paid") }
	waiting := make(chan struct{})
	w.gate.wait = func(ctx context.Context, id spend.ID) (spend.Ruling, error) {
		close(waiting)
		<-ctx.Done()
		return spend.Ruling{Next: spend.Await, Request: spend.Request{ID: id, State: spend.Held}}, nil
	}
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		if in.Legs[0].Amount.Decimal() == "1" {
			return spend.Ruling{Next: spend.Forward, Request: spend.Request{ID: "flying"}}, nil
		}
		return spend.Ruling{Next: spend.Await, Request: spend.Request{ID: "held"}}, nil
	}
	flying, held := make(chan answer, 1), make(chan answer, 1)
	go func() { flying <- w.post("/pay", "amount=1") }()
	go func() { held <- w.post("/pay", "amount=2") }()
	idle, idleReader := w.inside(guardedHost)
	<-arrived
	<-waiting
	drained := make(chan error, 1)
	go func() { drained <- w.proxy.Drain(context.Background()) }()
	if a := <-held; a.status != 429 || a.header.Get("Outgo-Decision") != "held" {
		t.Errorf("held: %+v", a)
	}
	io.WriteString(idle, "POST /pay HTTP/1.1\r\nHost: "+guardedHost+"\r\nContent-Length: 8\r\n\r\namount=3")
	resp, err := http.ReadResponse(idleReader, nil)
	if a := read(t, resp, err); a.status != 503 || a.header.Get("Outgo-Code") != string(spend.GuardUnavailable) {
		t.Errorf("a call on an open connection: %+v", a)
	}
	for _, in := range w.gate.asked() {
		if in.Legs[0].Amount.Decimal() == "3" {
			t.Error("a new payment was authorized")
		}
	}
	if c, err := net.Dial("tcp", w.addr); err == nil {
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a new connection is served")
		}
		c.Close()
	}
	select {
	case err := <-drained:
		t.Fatalf("Drain returned %v with a payment under way", err)
	case a := <-flying:
		t.Fatalf("answer = %+v", a)
	default:
	}
	close(release)
	if a := <-flying; a.status != 200 || a.body != "paid" {
		t.Errorf("flying: %+v", a)
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("an idle connection stays open")
	}
}

func TestIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		user     *url.Userinfo
		required bool
		agent    string
	}{
		"credentials name the agent":         {url.UserPassword("alice", "key"), false, "alice"},
		"none leave it to the source":        {nil, false, "default"},
		"wrong ones are challenged":          {url.UserPassword("alice", "wrong"), false, ""},
		"none are challenged where required": {nil, true, ""},
		"right ones pass where required":     {url.UserPassword("alice", "key"), true, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *proxy.Options) { o.AuthRequired = c.required })
			resp, err := w.client(c.user).Post("https://"+guardedHost+"/pay", "", strings.NewReader("amount=5"))
			if c.agent == "" {
				if err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
					t.Errorf("err = %v", err)
				}
			} else if read(t, resp, err); w.gate.asked()[0].Agent != c.agent {
				t.Errorf("agent = %q", w.gate.asked()[0].Agent)
			}
			for _, l := range w.observed(1) {
				if strings.Contains(fmt.Sprintf("%+v", l), "wrong") {
					t.Errorf("the key is in the line %+v", l)
				}
			}
		})
	}
	w := newWorld(t, func(o *proxy.Options) { o.AuthRequired = true })
	for _, request := range []string{
		"CONNECT " + guardedHost + ":443 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://" + guardedHost + "/ HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n",
	} {
		_, br := w.dial(request)
		resp, err := http.ReadResponse(br, nil)
		a := read(t, resp, err)
		if a.status != 407 || a.header.Get("Proxy-Authenticate") != `Basic realm="outgo"` || !strings.Contains(a.body, "outgo keys create") {
			t.Errorf("answer = %+v", a)
		}
	}
}
