package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/outgo/outgo/engine/spend"
)

// Actor is who acts on a request from outside the wire: an API key, by its
// prefix, with its role.
type Actor struct {
	Name  string // key prefix
	Agent string // the agent whose key it is; "" for people
	Role  string // "agent", "approver" or "admin"
}

func (a Actor) mayApprove() bool { return a.Role == "approver" || a.Role == "admin" }

// Resolve approves or rejects a held request. It fails with Forbidden for an
// agent's key, NotFound, InvalidState when somebody has decided before, and
// Lapsed when the time to decide is over.
func (e *Engine) Resolve(ctx context.Context, id spend.ID, by Actor, yes bool, note string) (spend.Request, error) {
	if !by.mayApprove() || by.Agent != "" {
		return spend.Request{}, fmt.Errorf("resolve approval: %w: an agent's key cannot approve or reject", spend.Forbidden)
	}
	var out spend.Request
	err := e.commit.do(ctx, func(t *txn) error {
		r, err := e.load(t, id)
		if err != nil {
			return err
		}
		if r.Approval == nil {
			return fmt.Errorf("request %s: %w: no approval was asked for", id, spend.InvalidState)
		}
		ev, status := approve, spend.Approved
		if !yes {
			ev, status = reject, spend.Rejected
		}
		if r.State == spend.Authorized && !yes {
			return fmt.Errorf("request %s: %w: it is approved already; freeze the agent to stop it", id, spend.InvalidState)
		}
		from := r.State
		if err := e.move(t, &r, ev); err != nil {
			return err
		}
		a := *r.Approval
		a.Status, a.By, a.DecidedAt, a.Note = status, by.Name, t.now, note
		r.Approval = &a
		if !yes {
			r.Why = spend.ApprovalRejected
		}
		out = r
		return e.save(t, &r, deed{event: ev, from: from, who: by.who(), note: note})
	})
	if err != nil {
		return spend.Request{}, fmt.Errorf("resolve approval: %w", err)
	}
	return out, nil
}

// Testify is an operator's word on a request whose outcome is unknown: it
// happened, or it did not. It fails with InvalidState unless the request is
// executing. Where it did not, an Inquiry goes on asking the provider for a day, and
// books what it proves after all.
func (e *Engine) Testify(ctx context.Context, id spend.ID, by Actor, happened bool, note string) (spend.Request, error) {
	if by.Role != "admin" {
		return spend.Request{}, fmt.Errorf("settle request: %w: only an admin key may", spend.Forbidden)
	}
	var out spend.Request
	err := e.commit.do(ctx, func(t *txn) error {
		r, err := e.load(t, id)
		if err != nil {
			return err
		}
		if r.State != spend.Executing {
			return fmt.Errorf("request %s is %s: %w: only an executing request has an unknown outcome", id, r.State, spend.InvalidState)
		}
		o := spend.Outcome{Result: spend.DidNot, Receipt: spend.Receipt{Source: spend.FromOperator, Note: strings.TrimSuffix(by.Name+": "+note, ": ")}}
		if happened {
			o.Result = spend.Happened
		}
		from := r.State
		if err := e.finish(t, &r, o); err != nil {
			return err
		}
		if !happened {
			if err := e.doubtWord(t, &r); err != nil {
				return err
			}
		}
		out = r
		return e.save(t, &r, deed{event: outcomeEvent(from, r.State, o.Result), from: from, who: by.who(), note: note})
	})
	if err != nil {
		return spend.Request{}, fmt.Errorf("settle request: %w", err)
	}
	return out, nil
}

// Cancel calls off a held or authorized request. An agent may cancel its own
// only; another's is NotFound to it.
func (e *Engine) Cancel(ctx context.Context, id spend.ID, by Actor) (spend.Request, error) {
	var out spend.Request
	err := e.commit.do(ctx, func(t *txn) error {
		r, err := e.load(t, id)
		if err != nil {
			return err
		}
		if by.Role == "agent" && by.Agent != r.Intent.Agent {
			return fmt.Errorf("request %.64q: %w", id, spend.NotFound)
		}
		from := r.State
		if err := e.move(t, &r, cancel); err != nil {
			return err
		}
		out = r
		return e.save(t, &r, deed{event: cancel, from: from, who: by.who()})
	})
	if err != nil {
		return spend.Request{}, fmt.Errorf("cancel request: %w", err)
	}
	return out, nil
}
