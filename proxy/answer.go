package proxy

import (
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// fail answers a call that ended before anything was sent.
func (x *exchange) fail(err error) {
	var refusal *rails.Refusal
	var lookup *lookupError
	switch {
	case errors.As(err, &refusal):
		x.answer(rails.Answer{Situation: rails.Refused, Code: refusal.Code, Param: refusal.Param, Request: x.request.ID,
			Message: string(refusal.Code) + ": " + refusal.Reason + ". Nothing was sent."})
	case errors.Is(err, errGone):
		x.line.Decision = "gone"
		x.w.cut()
	case errors.Is(err, handOver{}):
		x.handOver()
	case errors.Is(err, errRevoked):
		x.answer(rails.Answer{Situation: rails.Denied, Code: spend.KeyRevoked, Request: x.request.ID,
			Message: fmt.Sprintf("%s: %s. Nothing was sent. Sending it again will not help before an operator gives this agent a new key.", spend.KeyRevoked, keyRevoked)})
		x.closing = true
	case errors.As(err, &lookup):
		x.line.Err, x.line.Cause = err.Error(), failCause(err)
		x.answer(rails.Answer{Situation: rails.Unavailable, Code: spend.LookupFailed, Request: x.request.ID,
			Message: fmt.Sprintf("outgo asked the provider what this call would move (%s) and got no usable answer. %s", lookup.lookup, sendLater)})
	default:
		x.line.Err, x.line.Cause = err.Error(), failCause(err)
		if !errors.Is(err, errDraining) {
			x.p.log.Error("a call could not be decided", zap.String("rail", x.line.Rail), zap.String("request", string(x.request.ID)), zap.Error(err))
		}
		x.answer(rails.Answer{Situation: rails.Unavailable, Code: spend.GuardUnavailable, Request: x.request.ID,
			Message: "outgo cannot decide on payments at the moment. " + sendLater})
	}
}

// sendLater is for who asks whether to try again while nobody can look into what
// became of earlier attempts.
const sendLater = "Nothing was sent now. Send it again later, with the same idempotency key: an earlier attempt that got no answer may have been paid, and under its own key it is not paid twice."

// refuse answers a call that the gate ruled must not be sent.
func (x *exchange) refuse(next spend.Next) {
	r := &x.request
	a := rails.Answer{Situation: rails.Denied, Request: r.ID}
	switch next {
	case spend.Busy:
		a.Situation, a.Code = rails.Busy, spend.ObjectBusy
		a.Message = fmt.Sprintf("another call on the same object is under way or waits for approval (request %s). Nothing was sent. Send it again when that one has ended.", r.ID)
	case spend.Doubt:
		x.doubt()
		return
	case spend.Reused:
		a.Situation, a.Code = rails.Refused, spend.KeyReused
		a.Message = fmt.Sprintf("this idempotency key belongs to another call (request %s). Nothing was sent. Use a new key for a new payment.", r.ID)
	default:
		a.Code, a.Message = refusalOf(r)
	}
	x.answer(a)
}

// refusalOf says why a request is at an end.
func refusalOf(r *spend.Request) (spend.Code, string) {
	verdict := &r.Verdict
	if r.Recheck != nil {
		verdict = r.Recheck
	}
	switch {
	case r.Why == spend.ApprovalRejected:
		note := ""
		if r.Approval != nil && r.Approval.Note != "" {
			note = ", saying: " + r.Approval.Note
		}
		return r.Why, fmt.Sprintf("%s: a person rejected this payment%s. Nothing was sent. Do not send it again. (request %s)", r.Why, note, r.ID)
	case r.State == spend.Expired || r.Why == spend.ApprovalExpired:
		return spend.ApprovalExpired, fmt.Sprintf("%s: nobody approved this payment in time. Nothing was sent. Sending it again asks anew. (request %s)", spend.ApprovalExpired, r.ID)
	case r.Why == spend.TooManyHolds:
		return r.Why, fmt.Sprintf("%s: too many of this agent's payments, or too much of its money, wait for approval. Nothing was sent. Send it again when some are decided. (request %s)", r.Why, r.ID)
	case verdict.Decision == spend.Deny:
		return verdict.Code, fmt.Sprintf("%s Nothing was sent. (request %s)", verdict.Message(), r.ID)
	case r.Why != "":
		return r.Why, fmt.Sprintf("%s: the request is %s. Nothing was sent. (request %s)", r.Why, r.State, r.ID)
	}
	return verdict.Code, fmt.Sprintf("the request is %s. Nothing was sent. (request %s)", r.State, r.ID)
}

// handedOver is the attempt after which the SDKs send a call no more.
const handedOver = 3

// handOver answers a call that is still held: to be sent again while SDKs do so by
// themselves, and to be taken up later after that.
func (x *exchange) handOver() {
	id := x.request.ID
	a := rails.Answer{Situation: rails.HeldOn, Code: spend.ApprovalPending, Request: id}
	again := "Send the same call again to go on waiting."
	if x.request.Attempts >= handedOver {
		a.Situation = rails.HeldOver
		again = "Stop retrying. Once it is approved, send the same call again, and it will go through once."
	}
	a.Message = fmt.Sprintf("%s: this call waits for a person's approval (request %s): %s. Nothing was sent. To approve it: outgo approvals approve %s. %s",
		spend.ApprovalPending, id, x.request.Verdict.Reason(), id, again)
	x.answer(a)
}

// doubt answers a call that was sent before with an outcome that nobody knows:
// at first to be asked about again, since the reply may still come.
func (x *exchange) doubt() {
	if x.traced() {
		return
	}
	id := x.request.ID
	a := rails.Answer{Situation: rails.Uncertain, Code: spend.OutcomeUnknown, Request: id}
	began := x.request.Began
	if began.IsZero() || x.since(began) > x.p.times.Reply+x.p.times.Decide || x.request.Attempts >= handedOver || x.request.State.Final() {
		a.Situation = rails.Unknown
	}
	a.Message = fmt.Sprintf("%s: this call was sent before and may have been paid (request %s). Do not send it under a new idempotency key. Ask the provider, or an operator (`outgo requests show %s`), what became of it.",
		spend.OutcomeUnknown, id, id)
	x.answer(a)
}

// unreachable answers a call that could not be sent.
func (x *exchange) unreachable(cause error) {
	if cause != nil {
		x.line.Err = cause.Error()
	}
	what := "Nothing was sent."
	if x.reads() {
		what = "It was a read, which changes nothing."
	}
	x.answer(rails.Answer{Situation: rails.Unreachable, Code: spend.UpstreamFailed, Request: x.request.ID,
		Message: fmt.Sprintf("outgo could not reach %s. %s Sending it again is safe.", x.call.Host, what)})
}

// answer sends outgo's own answer in the rail's words.
func (x *exchange) answer(a rails.Answer) {
	reply := x.word(a)
	// Rails that answer 400 to whatever they refuse leave these two to us.
	if reply.Status == http.StatusBadRequest {
		reply.Status = statusOf(a.Code, reply.Status)
	}
	x.say(&reply)
	x.line.Decision, x.line.Code = decision(a), a.Code
	f := append(x.out.Fields, rails.Field{Name: "Outgo-Decision", Value: x.line.Decision}, rails.Field{Name: "Outgo-Code", Value: string(a.Code)})
	if a.Request != "" {
		f = append(f, rails.Field{Name: "Outgo-Request", Value: string(a.Request)})
	}
	x.out.Fields = f
	switch a.Situation {
	case rails.HeldOn, rails.Uncertain, rails.Busy, rails.Unreachable:
		// stripe-node does not read an answer upon which it sends the call again,
		// and its program lives on until that answer's connection has ended.
		x.closing = true
	case rails.Denied, rails.HeldOver, rails.Refused, rails.Unknown, rails.Unavailable:
	}
}

// statusOf returns the status of a refusal, or otherwise where its code has none of
// its own.
func statusOf(code spend.Code, otherwise int) int {
	switch code {
	case spend.TooLarge:
		return http.StatusRequestEntityTooLarge
	case spend.HostMismatch:
		return http.StatusMisdirectedRequest
	}
	return otherwise
}

// word has the rail word an answer, and does without a rail that cannot.
func (x *exchange) word(a rails.Answer) (reply rails.Reply) {
	defer func() {
		if v := recover(); v != nil {
			x.p.log.Error("panic while wording an answer", zap.String("rail", x.line.Rail), zap.Any("panic", v), zap.Stack("stack"))
			reply = rails.ProblemReply(a)
		}
	}()
	return x.rail.Refuse(&x.call, a)
}

// decision is the value of Outgo-Decision.
func decision(a rails.Answer) string {
	switch a.Situation {
	case rails.Denied:
		if a.Code == spend.ApprovalExpired {
			return "expired"
		}
		return "denied"
	case rails.HeldOn, rails.HeldOver:
		return "held"
	case rails.Uncertain, rails.Unknown:
		return "unknown"
	case rails.Unavailable, rails.Unreachable:
		return "unavailable"
	case rails.Refused, rails.Busy:
		return "refused"
	}
	return "refused"
}

// deliver sends an encoded reply of the provider's.
func (x *exchange) deliver(kept []byte) {
	reply, err := unkeep(kept)
	if err != nil {
		x.line.Err = err.Error()
		x.doubt()
		return
	}
	x.say(&reply)
}

// say has the agent get r, whose body is not copied.
func (x *exchange) say(r *rails.Reply) {
	x.dropStream()
	x.out.Reset()
	x.out.Status, x.out.Body, x.out.Length = r.Status, r.Body, len(r.Body)
	if upstream.Bodiless(r.Status) {
		x.out.Length = -2
	}
	x.out.Fields = append(x.out.Fields, r.Header...)
	sift(&x.out)
}

// dropStream ends a reply that is not passed on.
func (x *exchange) dropStream() {
	if x.out.Stream != nil {
		x.out.Stream.Close() //nolint:errcheck // nobody gets it
		x.out.Stream = nil
	}
}
