package proxy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

const (
	// askLimit bounds all the reads about one payment, when nobody waits for it.
	askLimit = 30 * time.Second
	// maxAsked bounds how many reads one question takes.
	maxAsked = 25
	// maxAskedReply is the longest answer, in bytes: a hundred events.
	maxAskedReply = 8 << 20
	// failureStands is how old a call must be before it is believed to have failed:
	// a provider may still be at it, and tell of a success later.
	failureStands = 10 * time.Second
)

// reconcileAgent keeps the connections of questions apart from every agent's. No
// agent can have this name.
const reconcileAgent = "\x00reconcile"

// ReadCredential is a provider's secret with which payments of unknown outcome
// are asked about. It should be able to read and nothing else.
type ReadCredential struct {
	Rail   string
	Agents []string // about whose payments; empty for everybody's
	Secret string
}

// Reconciler asks providers what became of payments that were sent and whose
// outcome nobody knows. It holds the reading part of the transport only, so that
// there is no way for it to send a payment. It is safe for concurrent use.
type Reconciler struct {
	read        upstream.Reader
	rails       map[string]rails.Tracer
	credentials []ReadCredential
	key         func(host string) upstream.Key
	sentKey     func(r *spend.Request) string
	flying      func(id spend.ID) bool
	log         *zap.Logger
}

// Reconciler returns what asks about the payments that p has sent.
func (p *Proxy) Reconciler(credentials []ReadCredential) *Reconciler {
	c := &Reconciler{
		read: p.up.Reader(), rails: map[string]rails.Tracer{}, credentials: credentials,
		key:     func(host string) upstream.Key { return p.key(reconcileAgent, host, 443, false) },
		sentKey: p.sentKey, flying: p.flights.flying, log: p.log,
	}
	for _, r := range p.opt.Routes {
		if t, ok := r.Rail.(rails.Tracer); ok {
			c.rails[r.Rail.Name()] = t
		}
	}
	return c
}

// Ask returns what the provider proves of r. The outcome is Uncertain while it
// proves nothing, and while the call of r is still under way. What would give
// budget back counts only for a call that names the object it acts on: otherwise
// nothing tells that the credential is of the very account that was called, and
// in another one the agent could have made the same key fail. It fails with
// spend.NotFound when there is nobody who could be asked, for want of a credential
// or because the rail has no way, and otherwise with spend.Unavailable.
func (c *Reconciler) Ask(ctx context.Context, r *spend.Request) (spend.Outcome, error) {
	rail := c.rails[r.Intent.Rail]
	if rail == nil {
		return spend.Outcome{}, fmt.Errorf("ask about request %s: rail %s cannot be asked: %w", r.ID, r.Intent.Rail, spend.NotFound)
	}
	if c.flying(r.ID) {
		return spend.Outcome{Result: spend.Uncertain}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	for i := range c.credentials {
		cred := &c.credentials[i]
		if cred.Rail != r.Intent.Rail || len(cred.Agents) > 0 && !slices.Contains(cred.Agents, r.Intent.Agent) {
			continue
		}
		host, header, ok := rail.Reader(&r.Intent, cred.Secret)
		if !ok {
			continue
		}
		o, err := trace(rail, sentAs(r, c.sentKey(r)), func(l rails.Lookup) (rails.Reply, error) {
			return c.get(ctx, host, l, header)
		})
		if err != nil {
			c.log.Warn("a provider did not tell what became of a payment; it stays counted, and the question is put again later",
				zap.String("rail", r.Intent.Rail), zap.String("request", string(r.ID)), zap.Error(err))
			return spend.Outcome{}, fmt.Errorf("ask about request %s: %w", r.ID, err)
		}
		if r.Intent.Object == "" && givesBack(r, &o) {
			return spend.Outcome{Result: spend.Uncertain}, nil
		}
		return o, nil
	}
	return spend.Outcome{}, fmt.Errorf("ask about request %s: no credential of rail %s may be used for it: %w", r.ID, r.Intent.Rail, spend.NotFound)
}

// givesBack reports whether less would be counted for r with o than without it.
func givesBack(r *spend.Request, o *spend.Outcome) bool {
	switch {
	case r.State != spend.Executing || o.Result == spend.Uncertain:
		return false
	case o.Result == spend.DidNot:
		return true
	}
	told := o.Receipt.Amount // without one, all that was asked for stays booked
	for i := range r.Intent.Legs {
		leg := r.Intent.Legs[i].Amount
		if told.IsZero() || leg.Unit() != told.Unit() {
			continue
		}
		var err error
		if told, err = told.Sub(leg); err != nil || told.Sign() < 0 {
			return true
		}
	}
	return false
}

func (c *Reconciler) get(ctx context.Context, host string, l rails.Lookup, header []rails.Field) (rails.Reply, error) {
	if _, _, _, err := rails.CanonicalTarget(l.Target); err != nil {
		return rails.Reply{}, err
	}
	head := appendRequest(nil, host, 443, false, l.Method(), l.Target, header, func(name string) bool { return equalsAny(name, "Accept-Encoding") })
	head = appendField(head, "Accept-Encoding", "identity")
	var in upstream.Reply
	if err := c.read.Get(ctx, c.key(host), upstream.Request{Method: l.Method(), Head: head}, &in, maxAskedReply); err != nil {
		return rails.Reply{}, fmt.Errorf("%w: %w", spend.Unavailable, err)
	}
	return readReply(&in)
}

func sentAs(r *spend.Request, key string) rails.Sent {
	return rails.Sent{Intent: &r.Intent, Key: key, Began: r.Began}
}

// trace has a rail ask, read after read, until it has its answer.
func trace(rail rails.Tracer, s rails.Sent, get func(rails.Lookup) (rails.Reply, error)) (spend.Outcome, error) {
	var facts []rails.Fact
	for {
		o, lookups, err := rail.Trace(s, facts)
		if err != nil || len(lookups) == 0 {
			o.Receipt.Source = spend.FromProvider
			return o, err
		}
		for _, l := range lookups {
			if len(facts) == maxAsked {
				return spend.Outcome{}, fmt.Errorf("read %s: more than %d reads: %w", l, maxAsked, spend.Unavailable)
			}
			reply, err := get(l)
			if err != nil {
				return spend.Outcome{}, &lookupError{l, err}
			}
			facts = append(facts, rails.Fact{Lookup: l, Reply: reply})
		}
	}
}

// tellsWho names the fields of a call that say on whose behalf it is made, and how it
// is to be read: those that repeats of it have in common. No other may have a say in
// what the provider shows of an earlier call.
func tellsWho(name string) bool {
	return equalsAny(name, "Authorization", "User-Agent", "Stripe-Account", "Stripe-Context", "Stripe-Version")
}

// traced asks the provider, with the credentials of the call at hand, what became
// of the earlier call that it repeats, and answers it if that is now known. It
// takes no longer than any other look-up, and is tried once for each call.
func (x *exchange) traced() bool {
	rail, ok := x.rail.(rails.Tracer)
	if !ok || x.asked || x.request.State != spend.Executing || x.request.Began.IsZero() || x.p.flights.flying(x.request.ID) {
		return false
	}
	x.asked = true
	ctx, cancel := context.WithTimeout(context.Background(), x.p.times.Lookup)
	defer cancel()
	began := x.p.clock()
	o, err := trace(rail, sentAs(&x.request, x.p.sentKey(&x.request)), func(l rails.Lookup) (rails.Reply, error) {
		return x.get(ctx, l, maxAskedReply, func(name string) bool { return !tellsWho(name) })
	})
	x.line.Upstream += x.since(began)
	if err != nil || o.Result == spend.Uncertain || o.Result == spend.DidNot && x.since(x.request.Began) < failureStands {
		return false
	}
	if err := x.finish(o); err != nil {
		x.line.Err = err.Error()
		return false
	}
	switch o.Result {
	case spend.Happened:
		x.request.State, x.request.Transaction = spend.Settled, o.Receipt.TransactionID
		x.replay()
	case spend.DidNot, spend.Uncertain:
		x.answer(rails.Answer{Situation: rails.Uncertain, Code: spend.UpstreamFailed, Request: x.request.ID,
			Message: fmt.Sprintf("the provider says that the earlier attempt of this call (request %s) did not go through. Nothing was sent now. Sending it again is safe.", x.request.ID)})
	}
	return true
}
