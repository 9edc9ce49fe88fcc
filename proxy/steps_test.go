package proxy_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

// An accident is what happens at a moment.
type accident string

// The accidents.
const (
	clientFIN    accident = "client closes"
	clientRST    accident = "client resets"
	crash        accident = "outgo is killed"
	bankReset    accident = "upstream resets"
	bankClose    accident = "upstream closes"
	bankSilence  accident = "upstream is silent"
	bankDown     accident = "upstream is away"
	storeFails   accident = "the store fails"
	storeUnknown accident = "the store cannot tell"
)

// What the agent learns in the end.
const (
	paid        = "paid"        // the provider's reply
	unknown     = "unknown"     // OUTCOME_UNKNOWN
	unavailable = "unavailable" // nothing was sent, and why
)

// A stepRow is one accident at one moment, and what must come of it.
type stepRow struct {
	at       moment
	what     accident
	executed int // by the provider
	learns   string
	state    spend.State // of the request; "" when there is none
}

// stepRows are the whole table.
func stepRows() []stepRow {
	var rows []stepRow
	add := func(at moment, executed int, learns string, state spend.State, what ...accident) {
		for _, w := range what {
			rows = append(rows, stepRow{at, w, executed, learns, state})
		}
	}
	gone := []accident{clientFIN, clientRST}
	all := append(slices.Clone(gone), crash)
	for _, m := range []moment{connected, handshaking, headSent, bodySent, judged, lookedUp, authorizing, waiting, approved, beginning} {
		add(m, 1, paid, spend.Settled, all...) // nothing has begun: the retry is the payment
	}
	for _, m := range []moment{authorized, begun, dialing} {
		add(m, 1, paid, spend.Settled, gone...) // the call goes on, the retry gets its reply
		add(m, 0, unknown, spend.Executing, crash)
	}
	add(lookedUp, 0, unavailable, "", bankReset, bankClose, bankSilence)
	add(dialing, 1, paid, spend.Settled, bankDown)
	for _, m := range []moment{partlyWritten, written} {
		add(m, 1, paid, spend.Settled, gone...)
		add(m, 0, unknown, spend.Executing, bankReset, bankClose, bankSilence)
	}
	add(partlyWritten, 0, unknown, spend.Executing, crash)
	add(written, 1, paid, spend.Settled, crash) // the provider carries it out, and can be asked
	for _, m := range []moment{executed, replyHead, replyBody} {
		add(m, 1, paid, spend.Settled, all...)
		add(m, 1, paid, spend.Settled, bankReset, bankClose, bankSilence)
	}
	for _, m := range []moment{settling, settled, answeredPartly, answered} {
		add(m, 1, paid, spend.Settled, all...)
	}
	add(authorizing, 0, unavailable, "", storeFails)
	add(beginning, 0, unavailable, spend.Authorized, storeFails)
	add(settling, 1, paid, spend.Settled, storeFails)
	add(authorizing, 0, unavailable, spend.Failed, storeUnknown) // read back, and known to be unsent
	add(beginning, 0, unavailable, spend.Failed, storeUnknown)
	add(settling, 1, paid, spend.Settled, storeUnknown)
	return rows
}

// held says that the payment needs an approval at that moment.
func (r *stepRow) held() bool {
	return slices.Contains([]moment{waiting, approved, beginning, begun}, r.at)
}

// stepCents is the amount: over what needs an approval, or not.
func (r *stepRow) cents() int64 {
	if r.held() {
		return 6000
	}
	return 2000
}

// A payment is one call as an SDK sends it, again and again the same.
type payment struct {
	path, form, key string
	credential      string        // Stripe's; sk_test_1 when ""
	agent           *url.Userinfo // who pays; the default agent when nil
}

func (p *payment) raw() string {
	key := ""
	if p.key != "" {
		key = "Idempotency-Key: " + p.key + "\r\n"
	}
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: api.stripe.com\r\nAuthorization: Bearer sk_test_1\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\n%sContent-Length: %d\r\n\r\n%s", p.path, key, len(p.form), p.form)
}

// caller is the agent's end of the first attempt.
type caller struct {
	raw net.Conn
	tls *tls.Conn
}

// answer is what the first attempt got, its status 0 when it was nothing.
func (c *caller) answer() (a answer) {
	resp, err := http.ReadResponse(bufio.NewReader(c.tls), nil)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// vanish ends the connection as a process that ends does, or as one that dies.
func (c *caller) vanish(reset bool) {
	if reset {
		_ = c.raw.(*net.TCPConn).SetLinger(0)
	} else if c.tls != nil {
		_ = c.tls.CloseWrite()
	}
	_ = c.raw.Close()
}

// callOnce makes the first attempt as far as the moment lets it. It returns when
// the moment has come.
func (s *stage) callOnce(t *testing.T, p *payment, at moment) *caller {
	t.Helper()
	raw, br := s.dial("CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n")
	c := &caller{raw: raw}
	if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
		t.Fatalf("CONNECT: %v %v", resp, err)
	}
	switch at {
	case connected:
		return c
	case handshaking:
		_, _ = io.WriteString(raw, "\x16\x03\x01\x02\x00\x01")
		return c
	}
	c.tls = tls.Client(raw, &tls.Config{RootCAs: s.roots, ServerName: "api.stripe.com"})
	if err := c.tls.Handshake(); err != nil {
		t.Fatal(err)
	}
	text := p.raw()
	switch at {
	case headSent:
		text = text[:40]
	case bodySent:
		text = text[:len(text)-5]
	}
	if _, err := io.WriteString(c.tls, text); err != nil {
		t.Fatal(err)
	}
	switch at {
	case headSent, bodySent:
	case answeredPartly:
		if _, err := io.ReadFull(c.tls, make([]byte, 30)); err != nil {
			t.Fatal(err)
		}
	case answered:
		resp, err := http.ReadResponse(bufio.NewReader(c.tls), nil)
		if a := read(t, resp, err); a.status != 200 {
			t.Fatalf("the first attempt: %+v", a)
		}
	default:
		select {
		case <-s.stop.reached:
		case <-time.After(5 * time.Second):
			t.Fatalf("nothing was %s", at)
		}
	}
	return c
}

// try sends the payment once. The answer's status is 0 when there was none.
func (s *stage) try(t *testing.T, p *payment) answer {
	t.Helper()
	req, err := http.NewRequest("POST", "https://api.stripe.com"+p.path, strings.NewReader(p.form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+cmp.Or(p.credential, "sk_test_1"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p.key != "" {
		req.Header.Set("Idempotency-Key", p.key)
	}
	req.GetBody = nil // net/http must not send it again by itself
	resp, err := s.client(p.agent).Do(req)
	if err != nil {
		return answer{}
	}
	return read(t, resp, err)
}

// retryable says what the SDKs send again.
func retryable(a answer) bool {
	told := a.header.Get("Stripe-Should-Retry")
	return a.status == 0 || told == "true" || told == "" && (a.status == 409 || a.status >= 500)
}

// retry sends the payment as an SDK goes on after a first attempt that failed:
// twice more at most, as the answers say. It returns the last answer; its status is
// 0 when there was none.
func (s *stage) retry(t *testing.T, p *payment) (a answer, attempts int) {
	t.Helper()
	for attempts = 1; ; attempts++ {
		a = s.try(t, p)
		if !retryable(a) || attempts == 2 {
			return a, attempts
		}
		time.Sleep(350 * time.Millisecond)
	}
}

// learnt is what an answer tells the agent.
func learnt(a answer) string {
	switch d := a.header.Get("Outgo-Decision"); {
	case a.status == 200 && d == "":
		return paid
	case d == "unknown" && strings.Contains(a.body, "may have been paid"):
		return unknown
	case d == "unavailable" && strings.Contains(a.body, "Nothing was sent"):
		return unavailable
	default:
		return fmt.Sprintf("%d %s %.200s", a.status, d, a.body)
	}
}

// strike lets an accident happen at the moment that the first attempt has reached,
// and everything go on. It returns the stage that a retry finds.
func (r *stepRow) strike(t *testing.T, s *stage, c *caller) *stage {
	t.Helper()
	switch r.what {
	case clientFIN, clientRST:
		c.vanish(r.what == clientRST)
	case crash:
		after := s.crash(t)
		c.vanish(true)
		switch r.at {
		case partlyWritten:
			s.bank.fault.Store("reset")
			s.stop.goOn()
		case written, executed, replyHead, replyBody:
			s.stop.goOn() // the provider lives on
			wait := func() bool { return s.bank.Count() == 1 }
			eventually(t, "execution", wait)
		}
		return after
	case bankReset:
		s.bank.fault.Store("reset")
	case bankClose:
		s.bank.fault.Store("close")
	case bankSilence:
		s.bank.fault.Store("silence")
	case bankDown:
		s.down.Store(true)
	case storeFails:
		s.store.fail.Store(definite)
	case storeUnknown:
		s.store.fail.Store(uncertain)
	}
	s.stop.goOn()
	return s
}

// prepare starts a stage that will stop at the row's moment, and the payment.
func (r *stepRow) prepare(t *testing.T, key string) (*stage, *payment) {
	t.Helper()
	stop := newStopper(r.at)
	wait := unhurried
	if r.what == bankSilence {
		wait.reply = 700 * time.Millisecond
	}
	s := newStage(t, newBank(t, stop), stop, memory(t), wait)
	p := &payment{path: "/v1/charges", form: fmt.Sprintf("%s%d", charge, r.cents()), key: key}
	if r.at == lookedUp {
		made, _ := s.retry(t, &payment{
			path: "/v1/payment_intents", form: fmt.Sprintf("amount=%d&currency=usd&payment_method=pm_card_visa&payment_method_types[]=card", r.cents()),
		})
		var intent struct{ ID string }
		if err := json.Unmarshal([]byte(made.body), &intent); err != nil || intent.ID == "" {
			t.Fatalf("make an intent: %+v", made)
		}
		p.path, p.form = "/v1/payment_intents/"+intent.ID+"/confirm", ""
	}
	stop.armed.Store(true)
	if r.held() && r.at != waiting {
		s.approve(t)
	}
	return s, p
}

// books are what the ledger says of the payments of a stage.
type books struct {
	used   int64 // of the day's budget
	states []spend.State
	// attempts are the calls that have come for the newest payment.
	attempts int
}

// newest is the state of the newest payment, "" where there is none.
func (b *books) newest() spend.State {
	if len(b.states) == 0 {
		return ""
	}
	return b.states[0]
}

func (s *stage) books(t *testing.T) (b books) {
	t.Helper()
	page, err := s.engine.Requests(context.Background(), engine.Filter{Limit: 200})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Requests {
		if r.Intent.Class == spend.Spend {
			if len(b.states) == 0 {
				b.attempts = r.Attempts
			}
			b.states = append(b.states, r.State)
		}
	}
	v, err := s.engine.Preview(context.Background(), spend.Intent{
		Agent: "default", Rail: "stripe", Class: spend.Spend, Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1)}},
	})
	if err != nil || len(v.Balances) != 1 {
		t.Fatalf("%+v %v", v, err)
	}
	if _, err := fmt.Sscan(v.Balances[0].Used.Decimal(), &b.used); err != nil {
		t.Fatal(err)
	}
	return b
}

// At every step of a payment, whatever goes wrong there: when the SDK has made its
// own retries, with the same key and the same body, the provider counts at most one
// payment, the ledger counts it, and the agent has learnt what came of it or that
// nobody knows.
func TestEveryStepFailsSafely(t *testing.T) {
	lines := map[int]string{}
	var mu sync.Mutex
	t.Cleanup(func() {
		table := []string{fmt.Sprintf("%-34s %-21s %-8s %-8s %-12s %-10s %s", "step", "accident", "retries", "executed", "agent learns", "ledger", "budget holds")}
		for i := range stepRows() {
			table = append(table, lines[i])
		}
		t.Log("\n" + strings.Join(table, "\n"))
	})
	for i, r := range stepRows() {
		t.Run(string(r.at)+", "+string(r.what), func(t *testing.T) {
			t.Parallel()
			s, p := r.prepare(t, "key-1")
			first := s.callOnce(t, p, r.at)
			after := r.strike(t, s, first)
			if r.held() {
				after.approve(t)
			}
			var a answer
			attempts := 0
			if !slices.Contains([]accident{clientFIN, clientRST, crash}, r.what) {
				a = first.answer()
			}
			if retryable(a) {
				a, attempts = after.retry(t, p)
			}
			got := learnt(a)
			b := after.books(t)
			for end := time.Now().Add(5 * time.Second); b.newest() != r.state && time.Now().Before(end); b = after.books(t) {
				time.Sleep(5 * time.Millisecond) // a commit in doubt is read back in its own time
			}
			state := b.newest()
			mu.Lock()
			lines[i] = fmt.Sprintf("%-34s %-21s %-8d %-8d %-12s %-10s %d", r.at, r.what, attempts, s.bank.Count(), got, state, b.used)
			mu.Unlock()
			if n := int(s.bank.Count()); n != r.executed || got != r.learns {
				t.Errorf("the provider executed %d, the agent learns %q; want %d and %q", n, got, r.executed, r.learns)
			}
			rest := slices.DeleteFunc(b.states[min(1, len(b.states)):], func(s spend.State) bool { return s == spend.Failed })
			if state != r.state || len(rest) > 0 {
				t.Errorf("the ledger has %v, want %q", b.states, r.state)
			}
			want := int64(0)
			if r.state == spend.Settled || r.state == spend.Executing || r.state == spend.Authorized {
				want = r.cents()
			}
			if b.used != want {
				t.Errorf("the budget counts %d, want %d", b.used, want)
			}
			if r.learns != unavailable {
				return
			}
			// The agent was told that sending it again is safe, and does.
			if a, _ := after.retry(t, p); learnt(a) != paid || s.bank.Count() != 1 {
				t.Errorf("sent again, the agent learns %q, and the provider executed %d; want %q and 1", learnt(a), s.bank.Count(), paid)
			}
		})
	}
}

// moments are all of them, in their order.
func moments() []moment {
	return []moment{
		connected, handshaking, headSent, bodySent, judged, lookedUp, authorizing, authorized, waiting, approved, beginning, begun,
		dialing, partlyWritten, written, executed, replyHead, replyBody, settling, settled, answeredPartly, answered,
	}
}

// byFirst is how many payments the provider makes of a first attempt that ends so,
// when nobody comes back for it.
func (r *stepRow) byFirst() int {
	order := func(m moment) int { return slices.Index(moments(), m) }
	switch {
	case r.what == crash && order(r.at) >= order(written):
		return 1
	case r.what == clientRST && order(r.at) >= order(judged) && r.at != waiting && r.at != approved:
		return 1 // an agent is not known to be gone while its call is under way
	}
	return 0
}

// A retry without a key, or with another one, is a payment of its own once the first
// attempt has begun: that is what a key is for. Before that nothing is paid twice,
// and the budget counts whatever was.
func TestARetryUnderAnotherKeyIsCountedAsAnother(t *testing.T) {
	for style, keys := range map[string][2]string{"no key": {"", ""}, "a new key": {"key-1", "key-2"}} {
		for _, r := range stepRows() {
			if r.at == lookedUp || r.what != crash && (r.what != clientRST || style == "no key") {
				continue
			}
			t.Run(style+": "+string(r.at)+", "+string(r.what), func(t *testing.T) {
				t.Parallel()
				s, p := r.prepare(t, keys[0])
				first := s.callOnce(t, p, r.at)
				after := r.strike(t, s, first)
				if r.held() {
					after.approve(t)
				}
				p.key = keys[1]
				a, _ := after.retry(t, p)
				if got := learnt(a); got != paid {
					t.Errorf("the agent learns %q", got)
				}
				want := 1 + r.byFirst()
				eventually(t, fmt.Sprintf("%d payments", want), func() bool { return int(s.bank.Count()) >= want })
				if n := int(s.bank.Count()); n != want {
					t.Errorf("the provider executed %d, want %d", n, want)
				}
				eventually(t, "end of what is under way", func() bool { return s.proxy.Stats().Calls == 0 || r.what == crash })
				b := after.books(t)
				var counted int64
				for _, state := range b.states {
					if !state.Final() || state == spend.Settled {
						counted += r.cents()
					}
				}
				if b.used != counted || b.used < int64(want)*r.cents() {
					t.Errorf("the budget counts %d for %v, want %d, and at least %d payments", b.used, b.states, counted, want)
				}
			})
		}
	}
}
