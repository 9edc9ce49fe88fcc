package proxy

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// exchange is what every guarded call goes through, whatever way it came in. A
// call is forwarded only by pass, which sends what moves no money, by withhold, which
// does so with what shows a secret, and by send, on a ruling to forward.
func (p *Proxy) exchange(x *exchange) {
	defer x.end()
	x.line.Class = x.rail.Match(&x.call)
	if !x.p.still(&x.w.peer, x.agent) {
		x.fail(errRevoked)
		return
	}
	if x.line.Class == spend.Read {
		x.pass(x.call.Query, x.call.Body)
		return
	}
	err := x.judge()
	if err == nil && !x.gated() {
		x.pass(x.judged.Query, x.judged.Body)
		return
	}
	var next spend.Next
	if err == nil {
		next, err = x.authorize()
	}
	for err == nil {
		switch next {
		case spend.Forward:
			x.send()
			return
		case spend.Pass, spend.Withhold:
			x.glance(next)
			return
		case spend.Await:
			next, err = x.wait()
		case spend.Begin:
			next, err = x.begin()
		case spend.Follow:
			x.follow()
			return
		case spend.Replay:
			x.replay()
			return
		default:
			x.refuse(next)
			return
		}
	}
	x.fail(err)
}

// glance forwards a read that may show a secret, as the gate has ruled. Anything else
// is forwarded by no such ruling.
func (x *exchange) glance(next spend.Next) {
	switch {
	case !x.maskable():
		x.fail(fmt.Errorf("ruled %q on what is recorded", next))
	case next == spend.Pass:
		x.pass(x.judged.Query, x.judged.Body)
	default:
		x.withhold()
	}
}

// exchange is one guarded call on its way.
type exchange struct {
	p     *Proxy
	w     *wire
	route *route
	rail  rails.Rail
	call  rails.Call
	port  uint16
	plain bool // no TLS between agent and outgo
	agent string

	credential string // digest of the call's Authorization
	judged     rails.Judgement
	request    spend.Request // as the last ruling gave it
	turns      int           // of waiting and beginning
	held       time.Time     // when waiting began
	flight     *flight       // open from Forward until its outcome is known
	streamed   *streamed     // the reply, where it is still to be passed on: its Close ends the call
	closing    bool          // the connection ends with the answer
	forwarded  bool          // bytes may have left
	asked      bool          // the provider was asked what became of an earlier call

	start time.Time
	line  Line

	out     upstream.Reply // what the agent gets: the provider's reply, or outgo's own answer
	reply   rails.Reply    // the provider's as the rail reads it
	parts   [5]string      // memory for what is digested
	scratch []byte         // memory for what is hashed, or encoded and copied
	form    []byte         // memory for the canonical form of the call's parameters
}

// exchanges are those that have ended, without anything but memory: every call needs three
// kilobytes of it, and none keeps them.
var exchanges = sync.Pool{New: func() any { return &exchange{form: make([]byte, 0, 1<<10)} }}

// maxScratch is the longest scratch that is kept for another call.
const maxScratch = 16 << 10

// maxTurns bounds how often one call goes from waiting to beginning and back,
// which it does when what was approved is not what would be sent.
const maxTurns = 16

var (
	errDraining = errors.New("outgo is shutting down")
	errGone     = errors.New("the agent has hung up")
	errRevoked  = errors.New(keyRevoked)
)

// handOver is the error of a call that has waited as long as it may.
type handOver struct{}

func (handOver) Error() string { return "still held after the time to wait" }

// newExchange begins a call. Who does so sends x.out to the agent when it has ended,
// and frees it then.
func (p *Proxy) newExchange(w *wire, r *route, host, agent string) *exchange {
	x := exchanges.Get().(*exchange) //nolint:forcetypeassert // nothing else is put in
	x.p, x.w, x.route, x.rail, x.agent = p, w, r, r.Rail, agent
	x.port, x.plain, x.start = w.port, w.plain, p.clock()
	x.call.Host, x.call.Method, x.call.Header, x.call.Room = host, w.head.method, w.head.fields, x.form
	x.line.Agent, x.line.Rail, x.line.Host, x.line.Method = agent, r.Rail.Name(), host, w.head.method
	return x
}

// gated reports whether the judged call needs a ruling.
func (x *exchange) gated() bool {
	in := &x.judged.Intent
	switch in.Class {
	case spend.Read:
		return false
	case spend.Other:
		return in.Object != ""
	case spend.Capability, spend.Spend, spend.Unrecognised:
		return true
	}
	return true
}

// authorize asks for a ruling, unless outgo is shutting down.
func (x *exchange) authorize() (spend.Next, error) {
	if x.p.draining() && !x.maskable() {
		return "", errDraining
	}
	if !x.judged.Intent.LookedUp.IsZero() && !x.p.still(&x.w.peer, x.agent) {
		return "", errRevoked // while the provider was asked
	}
	ctx := newWithin(x.p.times.Decide)
	defer ctx.end()
	r, err := x.p.opt.Gate.Authorize(ctx, x.judged.Intent)
	if err != nil {
		return "", fmt.Errorf("authorize call: %w", err)
	}
	x.request = r.Request
	return r.Next, nil
}

// end writes the call's line, and turns a panic into an answer: into none at all
// when a payment may be under way.
func (x *exchange) end() {
	if v := recover(); v != nil {
		x.line.Err = fmt.Sprintf("panic: %T", v)
		x.p.log.Error("panic while serving a call", zap.String("rail", x.line.Rail), zap.String("operation", x.line.Operation),
			zap.String("request", string(x.request.ID)), zap.Any("panic", v), zap.Stack("stack"))
		if x.streamed != nil {
			x.streamed.abandon()
			x.streamed = nil
		}
		switch {
		case x.flight != nil:
			x.lose(spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown})
		case x.forwarded:
			x.cut()
		default:
			x.line.Cause = "panic"
			x.answer(rails.Answer{
				Situation: rails.Unavailable, Code: spend.GuardUnavailable, Request: x.request.ID,
				Message: "outgo failed while it judged this call. Nothing was sent. Sending it again is safe.",
			})
		}
	}
	if x.w.unread() || x.p.draining() {
		x.closing = true
	}
	if x.streamed == nil {
		x.close()
	}
}

// close writes the call's line.
func (x *exchange) close() {
	x.account()
	x.p.opt.Observe(x.line)
}

// free gives the exchange's memory to another call. Nothing may use x after it.
func (x *exchange) free() {
	scratch, form, out := x.scratch, x.form, x.out
	if cap(scratch) > maxScratch {
		scratch = nil
	}
	*x = exchange{}
	x.scratch, x.form, x.out = scratch, form, out
	x.out.Reset()
	exchanges.Put(x)
}

// account fills in the rest of the call's line.
func (x *exchange) account() {
	l := &x.line
	l.Operation, l.Request = x.judged.Intent.Operation, x.request.ID
	l.Path = x.call.Path
	if x.judged.Intent.Class != "" {
		l.Class = x.judged.Intent.Class
	}
	l.Legs = x.judged.Intent.Legs
	now := x.p.clock()
	if !x.held.IsZero() {
		l.Held = now.Sub(x.held)
	}
	if l.Status == 0 && !x.w.closed.Load() {
		l.Status = x.out.Status
	}
	l.Total = now.Sub(x.start)
}
