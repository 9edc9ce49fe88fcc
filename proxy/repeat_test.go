package proxy_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
)

// A repeater is a stage on which one payment is made again and again.
type repeater struct {
	*stage
	t *testing.T
}

// small and large are payments that are allowed, and held.
func small(key string) *payment {
	return &payment{path: "/v1/charges", form: charge + "2000", key: key}
}
func large(key string) *payment {
	return &payment{path: "/v1/charges", form: charge + "6000", key: key}
}

// want sends a payment once and asserts the answer: its status and Outgo-Code.
func (s *repeater) want(p *payment, status int, code spend.Code) answer {
	s.t.Helper()
	a := s.try(s.t, p)
	if a.status != status || a.header.Get("Outgo-Code") != string(code) {
		s.t.Fatalf("answer = %d %s %.300s; want %d %s", a.status, a.header.Get("Outgo-Code"), a.body, status, code)
	}
	return a
}

// paid asserts how many payments the bank has made, and how many writes it has got.
func (s *repeater) paid(payments, writes int64) {
	s.t.Helper()
	if n := int64(s.bank.Count()); n != payments || s.bank.posts.Load() != writes {
		s.t.Errorf("the provider made %d payments upon %d writes, want %d upon %d", n, s.bank.posts.Load(), payments, writes)
	}
}

// used asserts what the day's budget holds.
func (s *repeater) used(cents int64) {
	s.t.Helper()
	if b := s.books(s.t); b.used != cents {
		s.t.Errorf("the budget counts %d, want %d", b.used, cents)
	}
}

// start sends a payment and does not wait for the answer.
func (s *repeater) start(p *payment) <-chan answer {
	done := make(chan answer, 1)
	go func() { done <- s.try(s.t, p) }()
	return done
}

// awaited waits until so many calls wait for a person.
func (s *repeater) awaited(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d waiting calls", n), func() bool { return s.engine.Stats().Waiting == n })
}

// held returns the only request that is held.
func (s *repeater) held() spend.Request {
	s.t.Helper()
	page, err := s.engine.Requests(context.Background(), engine.Filter{Held: true})
	if err != nil || len(page.Requests) != 1 {
		s.t.Fatalf("%d requests are held, %v; want 1", len(page.Requests), err)
	}
	return page.Requests[0]
}

func (s *repeater) resolve(id spend.ID, yes bool) {
	s.t.Helper()
	if _, err := s.engine.Resolve(context.Background(), id, engine.Actor{Name: "boss", Role: "approver"}, yes, ""); err != nil {
		s.t.Fatal(err)
	}
}

// handedOver has a payment wait until it is handed over.
func (s *repeater) handedOver(p *payment) spend.Request {
	s.t.Helper()
	s.want(p, 429, spend.ApprovalPending)
	return s.held()
}

// A repeatCell is one of the table: a test, with how long a held call waits in it.
type repeatCell struct {
	wait time.Duration
	test func(s *repeater)
}

const (
	short = 250 * time.Millisecond
	long  = 20 * time.Second
)

// repeats is the table of what a repeat gets, cell by cell.
func repeats() map[string]repeatCell {
	both := func(s *repeater, a, b <-chan answer) {
		s.t.Helper()
		x, y := <-a, <-b
		if x.status != 200 || y.status != 200 || x.body != y.body {
			s.t.Errorf("the answers are %d and %d, their bodies equal: %v", x.status, y.status, x.body == y.body)
		}
	}
	late := func(key string) func(s *repeater) {
		return func(s *repeater) {
			r := s.handedOver(large("a"))
			s.resolve(r.ID, true)
			s.paid(0, 0) // for nobody
			s.want(large(key), 200, "")
			s.paid(1, 1)
			s.used(6000)
		}
	}
	return map[string]repeatCell{
		"held, same key: it attaches, and the one reply goes to both": {long, func(s *repeater) {
			a := s.start(large("a"))
			s.awaited(1)
			b := s.start(large("a"))
			s.awaited(2)
			s.resolve(s.held().ID, true)
			both(s, a, b)
			s.paid(1, 1)
			s.used(6000)
		}},
		"held, new key, nobody waits: it attaches": {short, func(s *repeater) {
			r := s.handedOver(large("a"))
			b := s.start(large("b"))
			s.awaited(1)
			s.resolve(r.ID, true)
			if got := <-b; got.status == 429 { // it was handed over just before
				s.want(large("b"), 200, "")
			} else if got.status != 200 {
				s.t.Errorf("answer = %+v", got)
			}
			s.paid(1, 1)
		}},
		"held, new key, somebody waits: a request of its own": {long, func(s *repeater) {
			a := s.start(large("a"))
			s.awaited(1)
			first := s.held().ID
			b := s.start(large("b"))
			s.awaited(2)
			s.resolve(first, true)
			if got := <-a; got.status != 200 {
				s.t.Errorf("answer = %+v", got)
			}
			s.paid(1, 1)
			s.resolve(s.held().ID, true)
			<-b
			s.paid(2, 2)
			s.used(12000)
		}},
		"approved late, same key: the first live caller begins": {short, late("a")},
		"approved late, new key: the first live caller begins":  {short, late("b")},
		"approved late, both keys at once: one begins, the other follows": {short, func(s *repeater) {
			r := s.handedOver(large("a"))
			s.resolve(r.ID, true)
			both(s, s.start(large("a")), s.start(large("a")))
			s.paid(1, 1)
			s.used(6000)
		}},
		"executing, same key: the one reply goes to all": {short, func(s *repeater) {
			s.stop.armed.Store(true)
			first := s.start(small("a"))
			<-s.stop.reached
			var rest []<-chan answer
			for range 5 {
				rest = append(rest, s.start(small("a")))
			}
			eventually(s.t, "six calls", func() bool { return s.books(s.t).attempts == 6 })
			s.stop.goOn()
			one := <-first
			for _, c := range rest {
				if got := <-c; got.status != 200 || got.body != one.body {
					s.t.Errorf("answer = %+v, want that of the first", got)
				}
			}
			s.paid(1, 1)
			s.used(2000)
		}},
		"executing, new key: a request of its own": {short, func(s *repeater) {
			s.stop.armed.Store(true)
			first := s.start(small("a"))
			<-s.stop.reached
			s.want(small("b"), 200, "")
			s.stop.goOn()
			<-first
			s.paid(2, 2)
			s.used(4000)
		}},
		"settled, same key: the kept reply": {short, func(s *repeater) {
			one := s.want(small("a"), 200, "")
			s.ahead.Store(int64(23*time.Hour + 30*time.Minute))
			again := s.want(small("a"), 200, "")
			if again.body != one.body || again.header.Get("Request-Id") != one.header.Get("Request-Id") {
				s.t.Errorf("again = %+v, want %+v", again, one)
			}
			s.paid(1, 1)
		}},
		"settled, same key, a day later: outcome unknown": {short, func(s *repeater) {
			s.want(small("a"), 200, "")
			s.ahead.Store(int64(25 * time.Hour))
			if err := s.engine.Sweep(context.Background()); err != nil {
				s.t.Fatal(err)
			}
			s.want(small("a"), 403, spend.OutcomeUnknown)
			s.paid(1, 1)
		}},
		"settled, same key, a reply too long to keep: the provider's own, nothing posted": {short, func(s *repeater) {
			s.bank.pad.Store(300 << 10)
			one := s.want(small("a"), 200, "")
			s.ahead.Store(int64(22 * time.Hour))
			if again := s.want(small("a"), 200, ""); again.body != one.body {
				s.t.Error("the replay is of something else")
			}
			s.paid(1, 2)
			s.ahead.Store(int64(23*time.Hour + time.Minute))
			s.want(small("a"), 403, spend.OutcomeUnknown)
			s.paid(1, 2)
			if b := s.books(s.t); len(b.states) != 1 {
				s.t.Errorf("the ledger has %v, want one request", b.states)
			}
		}},
		"settled, same key of another credential: a payment of its own": {short, func(s *repeater) {
			one := s.want(small("a"), 200, "")
			p := small("a")
			p.credential = "sk_test_2"
			if a := s.want(p, 200, ""); a.body == one.body {
				s.t.Error("it got the reply to another credential's payment")
			}
			s.paid(2, 2)
		}},
		"settled, same key of another agent: a payment of its own": {short, func(s *repeater) {
			one := s.want(small("a"), 200, "")
			p := small("a")
			p.agent = url.UserPassword("alice", "key")
			if a := s.want(p, 200, ""); a.body == one.body {
				s.t.Error("it got the reply to another agent's payment")
			}
			s.paid(2, 2)
		}},
		"settled, new key: a request of its own": {short, func(s *repeater) {
			s.want(small("a"), 200, "")
			s.want(small("b"), 200, "")
			s.paid(2, 2)
			s.used(4000)
		}},
		"same key, another payment: refused": {short, func(s *repeater) {
			s.want(small("a"), 200, "")
			p := small("a")
			p.form += "1"
			s.want(p, 400, spend.KeyReused)
			s.paid(1, 1)
		}},
		"denied, same key and new key: evaluated anew": {short, func(s *repeater) {
			s.policies(policy.Policy{MaxSingle: spend.NewAmount("USD", 1000)})
			s.want(small("a"), 403, spend.ExceedsSingleLimit)
			s.want(small("a"), 403, spend.ExceedsSingleLimit)
			s.policies(policy.Policy{})
			s.want(small("a"), 200, "")
			s.want(small("b"), 200, "")
			s.paid(2, 2)
		}},
		"failed, same key: evaluated anew": {short, func(s *repeater) {
			s.down.Store(true)
			s.want(small("a"), 503, spend.UpstreamFailed)
			s.used(0)
			s.want(small("a"), 200, "")
			s.paid(1, 1)
			s.used(2000)
		}},
		"rejected, same key: held anew": {short, func(s *repeater) {
			r := s.handedOver(large("a"))
			s.resolve(r.ID, false)
			if q := s.handedOver(large("a")); q.ID == r.ID {
				s.t.Error("it attached to what a person had rejected")
			}
			s.paid(0, 0)
		}},
		"expired, same key: held anew": {short, func(s *repeater) {
			r := s.handedOver(large("a"))
			s.ahead.Store(int64(61 * time.Minute))
			if q := s.handedOver(large("a")); q.ID == r.ID {
				s.t.Error("it attached to a hold that had lapsed")
			}
		}},
		"canceled, same key: held anew": {short, func(s *repeater) {
			r := s.handedOver(large("a"))
			if _, err := s.engine.Cancel(context.Background(), r.ID, engine.Actor{Name: "boss", Role: "admin"}); err != nil {
				s.t.Fatal(err)
			}
			if q := s.handedOver(large("a")); q.ID == r.ID {
				s.t.Error("it attached to what was called off")
			}
		}},
		"the third attempt is handed over, and so is each one after it": {short, func(s *repeater) {
			r := s.handedOver(large("a"))
			s.want(large("a"), 429, spend.ApprovalPending)
			for range 3 {
				if a := s.want(large("a"), 403, spend.ApprovalPending); !strings.Contains(a.body, "approval_pending") || a.header.Get("Stripe-Should-Retry") != "false" {
					s.t.Errorf("answer = %+v", a)
				}
			}
			s.resolve(r.ID, true)
			s.paid(0, 0)
			s.want(large("a"), 200, "")
			s.want(large("a"), 200, "")
			s.paid(1, 1)
			s.used(6000)
		}},
		"of twenty that wait with one key, one begins and all are told": {long, func(s *repeater) {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if a := s.try(s.t, large("a")); a.status != 200 {
						s.t.Errorf("answer = %d %.200s", a.status, a.body)
					}
				})
			}
			s.awaited(20)
			s.resolve(s.held().ID, true)
			all.Wait()
			s.paid(1, 1)
			s.used(6000)
		}},
	}
}

// policies replaces the stage's policy by one with its limits and those of p.
func (s *repeater) policies(p policy.Policy) {
	s.t.Helper()
	p.Name, p.Unit, p.Active = "default", "USD", true
	p.Daily, p.RequireApprovalOver = spend.NewAmount("USD", 50000), spend.NewAmount("USD", 5000)
	if _, err := s.engine.SyncPolicies(context.Background(), []policy.Policy{p}); err != nil {
		s.t.Fatal(err)
	}
}

func TestWhatARepeatGets(t *testing.T) {
	for name, c := range repeats() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stop := newStopper(written)
			c.test(&repeater{newStage(t, newBank(t, stop), stop, memory(t), stageTimes{held: c.wait, reply: unhurried.reply}), t})
		})
	}
}
