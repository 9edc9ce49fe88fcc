package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// How long an idempotency key is remembered, and for how long a call that has
// just attached to a hold counts as waiting although it has not begun to: until
// it is known to have left.
const (
	dedupKept   = 35 * 24 * time.Hour
	attachGrace = 2 * time.Second
	maxLeft     = 1024 // calls that are remembered to have left, before those past their grace are dropped
)

// Authorize rules on a call. What repeats an earlier call is joined to its
// request; anything else is evaluated, and an allowed payment has begun,
// durably and with its money reserved, when Authorize returns Forward. An error
// means that nothing may be sent. Of a capability that is Maskable nothing is written,
// and the ruling is Pass or Withhold.
func (e *Engine) Authorize(ctx context.Context, in spend.Intent) (spend.Ruling, error) {
	if in.Maskable && in.Class == spend.Capability {
		return e.glance(ctx, in), nil
	}
	in.Maskable = false
	c := e.keys.newCall(spend.NewID(e.clock()), in)
	if err := e.mustKnow(ctx, e.authorizing(c)); err != nil {
		return spend.Ruling{}, fmt.Errorf("authorize: %w", err)
	}
	return c.ruling(), nil
}

// authorizing is the action of Authorize, which leaves its ruling in c.
func (e *Engine) authorizing(c *call) action {
	return func(t *txn) error { return e.authorize(t, c) }
}

// mustKnow runs an action that may begin a payment. Its caller must learn what
// came of it, so that nothing is left begun that nobody will send: once queued,
// it is waited for however long the commit takes.
func (e *Engine) mustKnow(ctx context.Context, act action) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", spend.Unavailable, err)
	}
	return e.commit.do(context.Background(), act)
}

func (e *Engine) authorize(t *txn, c *call) error {
	if e.filling.Load() > 0 {
		return errFilling
	}
	earlier, reused, err := e.earlier(t, c)
	if err != nil {
		return err
	}
	if reused {
		c.next, c.request = spend.Reused, earlier
		return nil
	}
	if earlier != nil {
		c.request = earlier
		c.next, err = e.repeat(t, earlier, c)
		return err
	}
	busy, err := e.claimObject(t, &c.Intent)
	if err != nil {
		return err
	}
	if busy != nil {
		c.next, c.request = spend.Busy, busy
		return nil
	}
	if c.request, err = e.evaluate(t, c, 1); err == nil {
		c.next = opening(c.request)
	}
	return err
}

// opening is what the call that made r does.
func opening(r *spend.Request) spend.Next {
	if r.State == spend.Executing {
		return spend.Forward
	}
	return after(r.State)
}

// earlier finds the request that in repeats, if there is one: that of the same
// idempotency key, or a held or approved one of the same fingerprint for which
// no other live call waits. reused means the same key with another content.
func (e *Engine) earlier(t *txn, in *call) (r *spend.Request, reused bool, err error) {
	if in.DedupKey != "" && !e.seen.isNew(in.DedupKey) {
		d, err := readDedup(t, in.dedupKey)
		switch {
		case err == nil && t.now.Sub(d.At) < dedupKept:
			q, err := e.load(t, d.Request)
			if err != nil {
				return nil, false, err
			}
			if q.Intent.Fingerprint != in.Fingerprint {
				return &q, true, nil
			}
			if s := q.StateAt(t.now); s.Final() && s != spend.Settled {
				return nil, false, nil // evaluated anew
			}
			return &q, false, nil
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return nil, false, err
		}
	}
	if in.Fingerprint == "" {
		return nil, false, nil
	}
	if n, err := waiting(t, in.waitsKey); err != nil || n == 0 {
		return nil, false, err
	}
	last, err := t.Get(e.keys.print(&in.Intent))
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	q, err := e.load(t, spend.ID(last))
	if err != nil {
		return nil, false, err
	}
	s := q.StateAt(t.now)
	// A call without a key is never the same call as another one without.
	fresh := (q.AttachedKey != in.DedupKey || in.DedupKey == "") && t.now.Sub(q.AttachedAt) < attachGrace && !e.hasLeft(&q)
	if (s != spend.Held && s != spend.Authorized) || fresh || e.attended(q.ID, in.DedupKey) {
		return nil, false, nil
	}
	return &q, false, nil
}

// repeat joins a call to the request that it repeats, and says what it does then.
func (e *Engine) repeat(t *txn, r *spend.Request, in *call) (spend.Next, error) {
	next := after(r.State)
	if next == spend.Replay && (r.Why == spend.OutcomeUnknown ||
		slices.Contains(r.Anomalies, spend.LateReceipt) || slices.Contains(r.Anomalies, spend.UnauthorizedPayment)) {
		// Nobody knows what came of it, or it was proved without having been sent
		// from here: the provider does not know it under this call's key.
		next = spend.Doubt
	}
	if next == spend.Replay && e.unfit() != "" {
		// While the clock is not believed, nobody knows whether the provider still
		// remembers the key, or would take the same call for a new payment.
		if _, err := t.Get(e.keys.reply(r.ID, r.Changed)); errors.Is(err, store.ErrNotFound) {
			next = spend.Doubt
		} else if err != nil {
			return "", err
		}
	}
	if next == spend.Follow {
		r.Attempts++ // by which a caller without a flight learns when to stop asking
		if err := e.save(t, r, deed{event: attach, from: r.State, who: in.who}); err != nil {
			return "", err
		}
	}
	if next == spend.Await || next == spend.Begin {
		r.Attempts++
		r.AttachedKey, r.AttachedAt = in.DedupKey, t.now
		if err := e.remember(t, r, in); err != nil {
			return "", err
		}
		if err := e.save(t, r, deed{event: attach, from: r.State, who: in.who}); err != nil {
			return "", err
		}
	}
	return next, nil
}

// remember lets later calls of the same key find r, and those of the same
// fingerprint, while r is one that they may join.
func (e *Engine) remember(t *txn, r *spend.Request, in *call) error {
	if in.DedupKey != "" {
		e.seen.add(in.DedupKey)
		d := dedup{Request: r.ID, At: t.now}
		if err := t.Put(in.dedupKey, d.stored()); err != nil {
			return err
		}
	}
	if in.Fingerprint != "" && (r.State == spend.Held || r.State == spend.Authorized) {
		return t.Put(e.keys.print(&in.Intent), []byte(r.ID))
	}
	return nil
}

// claimObject serialises writes on the provider's object that in acts on. It
// returns the request that has the object, when in must wait for it. A write
// that moves no money and is let through calls off whatever was held or approved
// on the object, for it may change what the person has seen.
func (e *Engine) claimObject(t *txn, in *spend.Intent) (busy *spend.Request, err error) {
	if in.Object == "" {
		return nil, nil
	}
	last, err := t.Get(e.keys.object(in))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	r, err := e.load(t, spend.ID(last))
	if err != nil {
		return nil, err
	}
	s := r.StateAt(t.now)
	if s.Final() {
		if !in.LookedUp.IsZero() && !r.Changed.Before(in.LookedUp) {
			return busyWith(&r, in), nil // it may have changed what was looked up
		}
		return nil, nil
	}
	if s == spend.Executing || in.Class != spend.Other || r.Intent.Agent != in.Agent {
		return busyWith(&r, in), nil
	}
	from := r.State
	if err := e.move(t, &r, cancel); err != nil {
		return nil, err
	}
	r.Why = spend.ObjectBusy
	return nil, e.save(t, &r, deed{event: cancel, from: from, who: agentName(in.Agent)})
}

// busyWith is what an agent may know of the request in its way: of another
// agent's, nothing.
func busyWith(r *spend.Request, in *spend.Intent) *spend.Request {
	if r.Intent.Agent != in.Agent {
		return &spend.Request{}
	}
	return r
}

// evaluate judges a call anew and opens its request: denied, held or begun. attempts is
// how many calls it stands for. The request is the engine's own and must not be
// changed; nor must what it points to, by whoever is given a copy.
func (e *Engine) evaluate(t *txn, c *call, attempts int) (*spend.Request, error) {
	r := &spend.Request{
		ID: c.id, Seq: t.next(), Origin: spend.Wire, Enforcement: spend.Wired, Intent: c.Intent,
		Created: t.now, Changed: t.now, Attempts: attempts, AttachedKey: c.DedupKey, AttachedAt: t.now,
	}
	set, err := e.readPolicies(t)
	if err != nil {
		return nil, err
	}
	if r.Verdict, err = e.judge(t, set, &r.Intent, r.Origin, false); err != nil {
		return nil, err
	}
	switch r.Verdict.Decision {
	case spend.Allow:
		r.State, r.Began = spend.Executing, t.now
		t.begun = append(t.begun, r.ID)
	case spend.RequireApproval:
		if err := e.hold(t, r); err != nil {
			return nil, err
		}
	case spend.Deny:
		r.State = spend.Denied
	}
	if r.State == spend.Executing {
		if err := e.noteTwin(t, set, r, &r.Verdict); err != nil {
			return nil, err
		}
	}
	if r.State != spend.Denied {
		if err := e.reserve(t, set, r, true); err != nil {
			return nil, err
		}
		if c.Object != "" {
			if err := t.Put(e.keys.object(&c.Intent), []byte(c.id)); err != nil {
				return nil, err
			}
		}
	}
	if err := e.keys.enlist(t, r.Seq, c.id, marksOf(r)); err != nil {
		return nil, err
	}
	if err := e.remember(t, r, c); err != nil {
		return nil, err
	}
	t.recordDeed(r, deed{event: authorize, who: c.who})
	return r, e.keep(t, c.requestKey, r, requestBody{intent: c.form})
}

// marksOf are those of a new request.
func marksOf(r *spend.Request) marks {
	switch {
	case r.State.Final():
		return 0
	case slices.ContainsFunc(r.Intent.Legs, func(l spend.Leg) bool { return l.Kind == spend.Allowance }):
		return openMark | agelessMark
	}
	return openMark
}

// approvalDigest binds an approval to what was approved and shown: the bytes that
// will be sent (by their fingerprint), what was looked up or claimed, and the
// policies at their versions.
func approvalDigest(in *spend.Intent, refs []spend.PolicyRef) string {
	h := sha256.New()
	put := func(s string) { fmt.Fprintf(h, "%d:%s,", len(s), s) }
	put("approval/2")
	put(in.Fingerprint)
	put(string(in.Class)) // The same bytes may be a graver call than they were.
	put(in.Object)
	for _, l := range in.Legs {
		put(string(l.Kind))
		put(l.Amount.String())
		put(l.Payee)
		put(l.Merchant)
		put(l.Category)
	}
	put("policies")
	for _, p := range refs {
		put(string(p.ID))
		put(fmt.Sprint(p.Version))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// judge evaluates in against the policies and what their counters hold now.
// counted says that this payment's velocity has been counted already.
func (e *Engine) judge(r store.Reader, set *policySet, in *spend.Intent, origin spend.Origin, counted bool) (spend.Verdict, error) {
	now := e.timeOf(r)
	if in.Class == spend.Other || in.Class == spend.Read {
		return spend.Verdict{Decision: spend.Allow, Code: spend.OK, At: now}, nil
	}
	twins, failed := e.twins(r, set, in, now)
	unmatched := e.opt.Unmatched[origin]
	if unmatched == "" {
		unmatched = spend.Deny
	}
	v := policy.Evaluate(policy.Input{
		Intent: in, Policies: set.list, Now: now, Counted: counted, FeeCap: e.opt.FeeCap,
		Frozen: set.control.frozen(in), Unfit: e.unfit(), Unmatched: unmatched, Twins: twins,
		Usage: func(id spend.ID) policy.Usage {
			u, err := e.usage(r, set, id, now)
			failed = errors.Join(failed, err)
			return u
		},
	})
	if failed != nil {
		return spend.Verdict{}, fmt.Errorf("read budgets and twins: %w", failed)
	}
	return v, nil
}

// timeOf is the batch's time inside an action, and the clock's outside of one.
func (e *Engine) timeOf(r store.Reader) time.Time {
	if t, ok := r.(*txn); ok {
		return t.now
	}
	return e.clock()
}
