package engine

import (
	"context"
	"fmt"

	"github.com/outgo/outgo/engine/budget"
	"github.com/outgo/outgo/engine/spend"
)

// Begin asks to send an approved call, as judged just now with what was looked
// up just now. What was approved must be what will be sent: a difference, up or
// down, or a policy that has changed since, calls the approval off and is
// evaluated as a request of its own. Otherwise every denial is looked for again,
// freezes included, and the money moves from the windows of the approval to
// those of now; if it no longer fits, it is denied, whatever was approved.
func (e *Engine) Begin(ctx context.Context, id spend.ID, in spend.Intent) (spend.Ruling, error) {
	in.Maskable = false
	fresh := spend.NewID(e.clock())
	var out spend.Ruling
	err := e.mustKnow(ctx, func(t *txn) (err error) {
		out, err = e.begin(t, id, fresh, in)
		return err
	})
	if err != nil {
		return spend.Ruling{}, fmt.Errorf("begin: %w", err)
	}
	return out, nil
}

func (e *Engine) begin(t *txn, id, fresh spend.ID, in spend.Intent) (spend.Ruling, error) {
	if e.filling.Load() > 0 {
		return spend.Ruling{}, errFilling
	}
	r, err := e.load(t, id)
	if err != nil {
		return spend.Ruling{}, err
	}
	if in.Agent != r.Intent.Agent {
		return spend.Ruling{}, fmt.Errorf("request %s: %w", id, spend.NotFound)
	}
	for r.State == spend.Canceled && r.ReplacedBy != "" && r.Intent.DedupKey == in.DedupKey {
		// Another caller of the same call was first, and found that what was
		// approved is not what would be sent. Both go on with what replaced it.
		if r, err = e.load(t, r.ReplacedBy); err != nil {
			return spend.Ruling{}, err
		}
	}
	if s := r.StateAt(t.now); s != spend.Authorized {
		r.State = s
		return spend.Ruling{Next: after(s), Request: r}, nil
	}
	if why := e.unfit(); why != "" { // which is no reason to lose an approval
		return spend.Ruling{}, fmt.Errorf("%w: %s", spend.Unavailable, why)
	}
	set, err := e.readPolicies(t)
	if err != nil {
		return spend.Ruling{}, err
	}
	if r.Approval == nil || r.Approval.Digest != approvalDigest(&in, set.refs(&in)) {
		return e.replace(t, &r, fresh, in)
	}
	// Its own reservation must not stand in its way.
	if err := budget.Void(t, r.Reservations); err != nil {
		return spend.Ruling{}, err
	}
	r.Reservations = nil
	v, err := e.judge(t, set, &in, r.Origin, true)
	if err != nil {
		return spend.Ruling{}, err
	}
	if v.Decision == spend.Deny {
		r.Why, r.Recheck = v.Code, &v
		if err := e.move(t, &r, refuse); err != nil {
			return spend.Ruling{}, err
		}
		return spend.Ruling{Next: spend.Refuse, Request: r}, e.save(t, &r, deed{event: refuse, from: spend.Authorized, who: agentName(in.Agent)})
	}
	if err := e.move(t, &r, begin); err != nil {
		return spend.Ruling{}, err
	}
	t.begun = append(t.begun, r.ID)
	if t.now.Sub(r.Created) > sentLate {
		if err := e.keys.remark(t, r.Seq, agelessMark, 0); err != nil {
			return spend.Ruling{}, err
		}
	}
	r.Intent, r.Began = in, t.now
	r.Intent.Claims.Authorization = ""
	if err := e.noteTwin(t, set, &r, &v); err != nil {
		return spend.Ruling{}, err
	}
	if err := e.reserve(t, set, &r, false); err != nil {
		return spend.Ruling{}, err
	}
	return spend.Ruling{Next: spend.Forward, Request: r}, e.save(t, &r, deed{event: begin, from: spend.Authorized, who: agentName(in.Agent)})
}

// replace calls an approval off, because what would be sent is not what was
// approved, and evaluates it as a new request.
func (e *Engine) replace(t *txn, r *spend.Request, fresh spend.ID, in spend.Intent) (spend.Ruling, error) {
	from := r.State
	if err := e.move(t, r, cancel); err != nil {
		return spend.Ruling{}, err
	}
	r.ReplacedBy, r.Why = fresh, spend.ClaimMismatch
	if err := e.save(t, r, deed{event: cancel, from: from, who: itself, note: "replaced by " + string(fresh)}); err != nil {
		return spend.Ruling{}, err
	}
	q, err := e.evaluate(t, e.keys.newCall(fresh, in), r.Attempts)
	if err != nil {
		return spend.Ruling{}, err
	}
	return spend.Ruling{Next: opening(q), Request: q.Clone()}, nil
}
