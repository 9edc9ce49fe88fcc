package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// holdWait is how long outgo lets one attempt of a held call wait in these tests.
// The SDKs keep their own time-outs and retries.
const holdWait = 1200 * time.Millisecond

// A life is one run of a payment program.
type life struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	out  bytes.Buffer
	errs bytes.Buffer
}

// live starts a payment program behind the service.
func (d *service) live(argv []string, cents int) *life {
	d.t.Helper()
	l := &life{t: d.t, done: make(chan struct{}), cmd: exec.Command(argv[0], append(argv[1:], fmt.Sprint(cents), "usd")...)}
	l.cmd.Env, l.cmd.Stdout, l.cmd.Stderr = d.environ(), &l.out, &l.errs
	if err := l.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		_ = l.cmd.Wait() // what it printed says how it went
		close(l.done)
	}()
	d.t.Cleanup(l.kill)
	return l
}

// ended is closed when the program has ended.
func (l *life) ended() <-chan struct{} { return l.done }

// result waits for the program and returns the line that it printed.
func (l *life) result() result {
	l.t.Helper()
	<-l.done
	var r result
	if jerr := json.Unmarshal(bytes.TrimSpace(l.out.Bytes()), &r); jerr != nil {
		l.t.Fatalf("%q, %v\n%s", l.out.String(), l.cmd.ProcessState, l.errs.String())
	}
	return r
}

func (l *life) kill() {
	_ = l.cmd.Process.Kill() // it may have ended
	<-l.done
}

// A holdCase is a moment at which a person approves, with what the agent has by
// then and gets.
type holdCase struct {
	name     string
	attempts int // of the request, in the end
	// drive lets a payment be held, approved and paid, and returns what the last
	// life of the program printed.
	drive func(t *testing.T, d *service, argv []string, p *program, sent func() int) result
}

// approvedDuring approves while the attempt of that number waits.
func approvedDuring(attempt int) func(*testing.T, *service, []string, *program, func() int) result {
	return func(t *testing.T, d *service, argv []string, _ *program, sent func() int) result {
		agent := d.live(argv, 7500)
		r := d.held(attempt)
		if n := sent(); n != 0 {
			t.Errorf("%d payments were made before the approval", n)
		}
		d.approve(r.ID)
		return agent.result()
	}
}

func holdCases() []holdCase {
	return []holdCase{
		{"the first attempt", 1, approvedDuring(1)},
		{"the second attempt", 2, approvedDuring(2)},
		{"the third attempt", 3, approvedDuring(3)},
		{"no attempt: all of them have ended", 4, func(t *testing.T, d *service, argv []string, p *program, sent func() int) result {
			agent := d.live(argv, 7500)
			r := agent.result()
			if r.OK || r.StatusCode != 403 || r.Type != p.deniedType || p.codeKept && r.Code != "approval_pending" || !strings.Contains(r.Message, "APPROVAL_PENDING") {
				t.Errorf("after its attempts the agent got %+v", r)
			}
			d.approve(d.held(3).ID)
			time.Sleep(100 * time.Millisecond)
			if n := sent(); n != 0 {
				t.Errorf("%d payments were made for nobody", n)
			}
			return d.live(argv, 7500).result()
		}},
		{"no attempt: the client is gone", 2, func(t *testing.T, d *service, argv []string, _ *program, sent func() int) result {
			agent := d.live(argv, 7500)
			r := d.held(1)
			agent.kill()
			d.approve(r.ID)
			time.Sleep(watchEvery) // within which outgo looks whether the client is there
			if n := sent(); n != 0 {
				t.Errorf("%d payments were made for a client that is gone", n)
			}
			time.Sleep(2*time.Second - watchEvery) // for as long the hold counts as attended
			return d.live(argv, 7500).result()
		}},
		{"an attempt after a restart", 2, restarted(false)},
		{"an attempt after a crash", 2, restarted(true)},
	}
}

// restarted approves once outgo has ended and come back, and the SDK's own retry
// has attached to what it had held.
func restarted(crash bool) func(*testing.T, *service, []string, *program, func() int) result {
	return func(t *testing.T, d *service, argv []string, _ *program, sent func() int) result {
		agent := d.live(argv, 7500)
		first := d.held(1)
		if crash {
			d.kill()
		} else {
			d.stop()
		}
		d.start()
		ended := agent.ended()
		r, ok := d.heldUnless(2, ended)
		if !ok {
			// The SDK found nobody listening as often as it tries, and gave up.
			if got := agent.result(); got.OK || got.StatusCode != 0 {
				t.Errorf("while outgo was away the agent got %+v", got)
			}
			time.Sleep(2 * time.Second) // for as long the hold counts as attended
			agent = d.live(argv, 7500)
			r = d.held(2)
		}
		if r.ID != first.ID {
			t.Errorf("the retry made request %s, want it to attach to %s", r.ID, first.ID)
		}
		if n := sent(); n != 0 {
			t.Errorf("%d payments were made before the approval", n)
		}
		d.approve(r.ID)
		return agent.result()
	}
}

// A held payment of an unmodified program is made exactly once, at whatever moment
// it is approved, and only while a client waits for it.
func TestAHeldPaymentIsMadeOnceWheneverItIsApproved(t *testing.T) {
	for _, p := range programs() {
		argv := p.argv(t)
		for _, c := range holdCases() {
			t.Run(p.name+", approved during "+c.name, func(t *testing.T) {
				t.Parallel()
				provider, up := serveSandbox(t)
				sent := func() int { return int(provider.Count()) }
				d := newService(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
proxy: {hold: {wait: {stripe: %s}}}
policies: [{name: shop, unit: USD, maxSingleAmount: 10000, dailyLimit: 50000, requireApprovalOver: 5000}]
`, up, holdWait))
				r := c.drive(t, d, argv, &p, sent)
				if !r.OK || r.Amount != 7500 || r.Status != "succeeded" {
					t.Errorf("the agent got %+v", r)
				}
				if n, moved := sent(), provider.Moved()["usd"]; n != 1 || moved != 7500 {
					t.Errorf("the provider made %d payments of %d in all, want one of 7500", n, moved)
				}
				all := d.ledger()
				if len(all) != 1 || all[0].State != "settled" || all[0].Attempts != c.attempts {
					t.Errorf("the ledger says %+v, want one settled request of %d attempts", all, c.attempts)
				}
				t.Logf("%-34s approved during %-36s attempts %d, executed %d, the agent got %s", p.name, c.name, all[0].Attempts, sent(), r.Status)
			})
		}
	}
}
