package proxy

import (
	"context"
	"errors"
	"fmt"
	"go.uber.org/zap"
	"slices"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// maxReply is the longest reply, in bytes, in which a receipt is looked for; the
// outcome of a longer one is unknown.
const maxReply = 8 << 20

// send forwards a call whose payment has begun, and gives the agent the reply once
// its outcome is recorded. It does not stop when the agent hangs up: the receipt
// is wanted all the same.
func (x *exchange) send() {
	x.flight = x.p.flights.open(x.request.ID)
	sent, err := x.forward()
	switch {
	case err != nil && (!sent || errors.Is(err, upstream.ErrNotSent)):
		x.notSent(err)
	case err != nil:
		x.line.Err = err.Error()
		x.lose(spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown})
	case x.out.Stream != nil:
		x.stream()
	default:
		x.settle()
	}
}

// forward sends the judged bytes and reads the reply into x.out: whole, or as a
// stream where it is long or has no end in sight.
func (x *exchange) forward() (sent bool, err error) {
	target := x.call.Path
	if x.judged.Query != "" {
		target += "?" + x.judged.Query
	}
	x.write(x.call.Method, target, func(name string) bool {
		return same(name, "Accept-Encoding") || x.judged.KeyHeader != "" && same(name, x.judged.KeyHeader)
	})
	x.scratch = appendField(x.scratch, "Accept-Encoding", "identity")
	if x.judged.KeyHeader != "" {
		x.scratch = appendField(x.scratch, x.judged.KeyHeader, x.upstreamKey())
	}
	x.forwarded = true
	return x.ask(x.judged.Body, upstream.Mode{Stream: true, MaxReply: maxBefore, Within: x.p.times.Reply})
}

// ask sends the head in x.scratch with body, and reads the reply into x.out.
func (x *exchange) ask(body []byte, mode upstream.Mode) (sent bool, err error) {
	x.dropStream()
	began := x.p.clock()
	sent, err = x.p.up.Send(context.Background(), x.key(), upstream.Request{Method: x.call.Method, Head: x.scratch, Body: body}, &x.out, mode)
	x.line.Upstream += x.since(began)
	if err == nil {
		sift(&x.out)
	}
	return sent, err
}

// settle reads the receipt off the reply, records it, and passes the reply on.
func (x *exchange) settle() {
	kept, at := x.keep()
	o := x.outcome(kept, at)
	if o.Result == spend.Uncertain && mayBeCut(&x.out) {
		x.line.Err = "the reply may have been cut short"
		x.lose(o)
		return
	}
	if err := x.finish(o); err != nil {
		x.line.Err = err.Error()
		x.p.late.add(x.request.ID, o)
		x.landAs(lost, nil)
		x.cut()
		return
	}
	x.line.Decision = "forwarded"
	x.line.Code = o.Why
	x.landAs(landed, kept)
}

// keep encodes the reply, whose body stands in kept from at on.
func (x *exchange) keep() (kept []byte, at int) {
	kept, at, x.scratch = keep(&x.out, x.scratch)
	return kept, at
}

// mayBeCut reports whether nothing tells that a reply is whole. One that proves
// what became of the payment tells so itself.
func mayBeCut(r *upstream.Reply) bool { return r.Length < -1 && !upstream.Bodiless(r.Status) }

// outcome asks the rail what the reply proves, whose body stands in kept from at on.
func (x *exchange) outcome(kept []byte, at int) spend.Outcome {
	var err error
	reply := &x.reply
	*reply, err = inflate(rails.Reply{Status: x.out.Status, Header: x.out.Fields, Body: kept[at:]})
	if err != nil {
		return spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown, Receipt: spend.Receipt{
			Source: spend.FromWire, At: x.p.clock(), Note: "the reply could not be read: " + err.Error(),
		}}
	}
	o := x.rail.Outcome(&x.judged.Intent, reply)
	r := &o.Receipt
	r.Source = spend.FromWire
	if r.At.IsZero() {
		r.At = x.p.clock()
	}
	if r.HTTPStatus == 0 {
		r.HTTPStatus = reply.Status
	}
	o.Reply = nil
	repeated := x.judged.Intent.DedupKey != "" || x.request.Attempts > 1
	if o.Result == spend.Happened && repeated && len(kept) <= maxKept {
		o.Reply = kept
	}
	return o
}

// finish records an outcome, whether or not the agent is still there.
func (x *exchange) finish(o spend.Outcome) error {
	err := finishSafely(x.p.opt.Gate, x.request.ID, o, x.p.times.Decide)
	if err != nil {
		x.p.log.Error("outcome of a payment was not recorded; it will be tried again",
			zap.String("request", string(x.request.ID)), zap.String("outcome", string(o.Result)), zap.Error(err))
	}
	return err
}

// notSent ends a payment of which no byte has left.
func (x *exchange) notSent(cause error) {
	o := spend.Outcome{Result: spend.DidNot, Why: spend.UpstreamFailed, Receipt: spend.Receipt{
		Source: spend.FromWire, At: x.p.clock(), Note: "nothing was sent",
	}}
	if err := x.finish(o); err != nil {
		x.p.late.add(x.request.ID, o)
	}
	x.landAs(notSent, nil)
	x.unreachable(cause)
}

// lose ends a payment of which nobody knows what became. The agent is told
// nothing, since whatever it was told could be untrue.
func (x *exchange) lose(o spend.Outcome) {
	o.Receipt.Source, o.Receipt.At = spend.FromWire, x.p.clock()
	if err := x.finish(o); err != nil {
		x.p.late.add(x.request.ID, o)
	}
	x.line.Code = o.Why
	x.landAs(lost, nil)
	x.cut()
}

func (x *exchange) landAs(how ending, kept []byte) {
	f := x.flight
	x.flight = nil
	x.p.flights.land(x.request.ID, f, how, kept, x.p.clock())
}

func (x *exchange) cut() {
	x.line.Decision = "cut"
	x.w.cut()
}

// replay gives a settled call its reply again: the kept one, or the provider's,
// where it promises the same reply to the same key and does nothing else.
func (x *exchange) replay() {
	ctx, cancel := context.WithTimeout(context.Background(), x.p.times.Decide)
	defer cancel()
	kept, err := x.p.opt.Gate.Reply(ctx, x.request.ID)
	switch {
	case err == nil:
		x.line.Decision = "replayed"
		x.deliver(kept)
		return
	case !errors.Is(err, spend.NotFound):
		x.fail(fmt.Errorf("read kept reply: %w", err))
		return
	case !x.replayable():
		x.doubt()
		return
	}
	sent, err := x.forward()
	switch {
	case err == nil:
		x.line.Decision = "replayed"
		x.bookAnother()
	case !sent || errors.Is(err, upstream.ErrNotSent):
		// Not "nothing was sent": whoever believes that pays again under a new key.
		x.line.Err = err.Error()
		x.answer(rails.Answer{Situation: rails.Uncertain, Code: spend.UpstreamFailed, Request: x.request.ID,
			Message: fmt.Sprintf("this call was sent before and is settled (request %s), and its reply is with %s, which cannot be reached now. Send it again later under the same idempotency key; under a new one it would be paid twice.",
				x.request.ID, x.call.Host)})
	default:
		x.line.Err = err.Error()
		x.cut()
	}
}

// bookAnother counts what a provider has done that should have repeated its reply
// and tells of another payment instead. A reply that states no amount may name a
// payment by something that others have in common; one that is still to come has
// nothing to be read off.
func (x *exchange) bookAnother() {
	known := x.request.Transaction
	if x.out.Stream != nil {
		return
	}
	o := x.outcome(x.keep())
	if id := o.Receipt.TransactionID; known == "" || o.Result != spend.Happened || o.Receipt.Amount.IsZero() || id == "" || id == known {
		return
	}
	o.Reply = nil
	if err := x.finish(o); err != nil {
		x.p.late.add(x.request.ID, o)
	}
}

// maxSkew is by how much a payment may seem to begin later than now. More than that,
// and the clock has been set back: how old the payment is cannot be told.
const maxSkew = 5 * time.Second

// replayable reports whether the provider would answer the call with the reply to
// the payment that was sent, and do nothing else: it was sent under the very key
// that this call has, and not too long ago.
func (x *exchange) replayable() bool {
	r, age := &x.request, x.since(x.request.Began)
	return x.judged.KeyHeader != "" && r.Intent.DedupKey != "" && r.Intent.DedupKey == x.judged.Intent.DedupKey &&
		!r.Began.IsZero() && age >= -maxSkew && age < x.judged.Replayable
}

// write puts the head of a request to the call's host into x.scratch: the call's own
// fields in their order and spelling, but for those between neighbours and those that
// skip names.
func (x *exchange) write(method, target string, skip func(name string) bool) {
	x.scratch = appendRequest(x.scratch[:0], x.call.Host, x.port, x.plain, method, target, x.call.Header, skip)
}

// appendRequest appends the head of a request, for upstream.Request.
func appendRequest(b []byte, host string, port uint16, plain bool, method, target string, fields []rails.Field, skip func(string) bool) []byte {
	b = append(b, method...)
	b = append(append(append(b, ' '), target...), " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", authority(host, port, plain))
	connection := hasConnection(fields)
	for i := range fields {
		if f := &fields[i]; goesOn(fields, f.Name, connection) && (skip == nil || !skip(f.Name)) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	return b
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

func hasConnection(fields []rails.Field) bool {
	return slices.ContainsFunc(fields, func(f rails.Field) bool { return same(f.Name, "Connection") })
}

// goesOn reports whether a field is for the provider; what the request line and the
// framing say is written anew. connection is what hasConnection says of fields.
func goesOn(fields []rails.Field, name string, connection bool) bool {
	return !isHop(name) && !same(name, "Host") && !same(name, "Content-Length") && !same(name, "Expect") &&
		(!connection || !isNamedHop(fields, name))
}

// authority writes a host with its port, unless that is the scheme's own.
func authority(host string, port uint16, plain bool) string {
	if port == 0 || !plain && port == 443 || plain && port == 80 {
		return host
	}
	return fmt.Sprintf("%s:%d", host, port)
}
