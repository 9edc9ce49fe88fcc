package engine

import (
	"context"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// glance rules on a call that changes nothing and can be answered without what makes it
// a capability: it passes whole where the policies allow that, and otherwise, be it
// that nothing can be decided now, without. Agents poll such reads, so that nothing of
// them is written and none counts against a rate.
func (e *Engine) glance(ctx context.Context, in spend.Intent) spend.Ruling {
	out := spend.Ruling{Next: spend.Withhold, Request: spend.Request{Origin: spend.Wire, Intent: in, Why: spend.GuardUnavailable}}
	err := e.view(ctx, func(r store.Reader) error {
		set, err := e.readPolicies(r)
		if err != nil {
			return err
		}
		out.Request.Verdict, err = e.judge(r, set, &in, spend.Wire, true)
		return err
	})
	if err != nil {
		return out
	}
	out.Request.Why = ""
	if out.Request.Verdict.Decision == spend.Allow {
		out.Next = spend.Pass
	}
	return out
}
