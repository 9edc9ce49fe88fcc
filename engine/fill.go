package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// fillPage is how many open requests one action of a fill moves.
const fillPage = 64

// errFilling refuses what may begin a payment while counters are in between.
var errFilling = fmt.Errorf("a changed policy is being counted, try again in a moment: %w", spend.Unavailable)

// change commits an action that puts policies. put is what the last run of it has
// put. Where so many requests are open that one transaction does not hold what is
// to be written of them, they are moved page by page first, so that the action has
// little left to write. Meanwhile nothing begins and the old policies stand; each
// page moves money from one reservation to the other at once, so that all of it is
// counted in one of them at any time.
func (e *Engine) change(ctx context.Context, act action, put *[]*policy.Policy) error {
	err := e.commit.do(ctx, act)
	if !errors.Is(err, store.ErrTooLarge) {
		return err
	}
	e.filling.Add(1)
	defer e.filling.Add(-1)
	for range 3 { // again if a day has ended in between
		for _, p := range slices.Clone(*put) {
			if err = e.fill(ctx, p); err != nil {
				return e.undoFill(ctx, err)
			}
		}
		if err = e.commit.do(ctx, act); !errors.Is(err, store.ErrTooLarge) {
			break
		}
	}
	if err != nil {
		return e.undoFill(ctx, err)
	}
	return nil
}

// undoFill counts again for the policies that stay in force, since a fill has
// failed with err, which it returns. Where that fails as well, nothing begins until
// the next start has done it.
func (e *Engine) undoFill(ctx context.Context, err error) error {
	if again := e.refillStored(context.WithoutCancel(ctx)); again != nil {
		e.filling.Add(1)
		err = errors.Join(err, fmt.Errorf("%w: policies could not be counted again: %w", ErrStopped, again))
		e.opt.Alarm(err)
	}
	return err
}

// fill moves the reservations of every open request to those of p, which is not
// in force yet.
func (e *Engine) fill(ctx context.Context, p *policy.Policy) error {
	a := e.account(p)
	for below := uint64(latest); below > 0; {
		var next uint64
		err := e.commit.do(ctx, func(t *txn) (err error) {
			next, err = e.eachOpen(t, below, fillPage, func(r *spend.Request) error {
				facts, err := factsOf(p, r)
				if err != nil {
					return err
				}
				rs, err := a.Shift(t, t.now, owned(a, r), facts)
				if err != nil {
					return err
				}
				return e.reassign(t, a, r, rs)
			})
			if err != nil {
				return err
			}
			t.record(audit.Entry{Event: recounted, Who: itself, Policies: []spend.PolicyRef{{ID: p.ID, Name: p.Name, Version: p.Version}}})
			// From the first page on, a start must know that it has to count again.
			return t.Put(e.keys.filling(p.ID), nil)
		})
		if err != nil {
			return fmt.Errorf("count open requests of policy %q: %w", p.Name, err)
		}
		below = next
	}
	return nil
}

// refillStored counts again for the policies that are in force what a fill has left
// unfinished, in this life of the ledger or in an earlier one.
func (e *Engine) refillStored(ctx context.Context) error {
	var ids []spend.ID
	var set *policySet
	err := e.view(ctx, func(r store.Reader) (err error) {
		page, err := r.Scan(e.keys.fillings(), "", false, 1000)
		for _, en := range page {
			ids = append(ids, spend.ID(strings.TrimPrefix(en.Key, e.keys.fillings())))
		}
		if err == nil {
			set, err = e.readPolicies(r)
		}
		return err
	})
	for _, id := range ids {
		if err != nil {
			return err
		}
		p := set.byID(id)
		if p == nil { // it never came into force, and nobody reads its counters
			err = e.commit.do(ctx, func(t *txn) error { return t.Delete(e.keys.filling(id)) })
			continue
		}
		if err = e.fill(ctx, p); err == nil {
			err = e.commit.do(ctx, func(t *txn) error { return errors.Join(e.refill(t, p), t.Delete(e.keys.filling(id))) })
		}
	}
	return err
}
