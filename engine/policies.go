package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/budget"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Where a policy comes from. Policies of a file are known by their names and
// follow the file; the others live in the store only.
const (
	FromFile = "file"
	FromAPI  = "api"
)

// Policy and Scope are those of package policy, for who speaks to the engine
// only.
type (
	Policy = policy.Policy
	Scope  = policy.Scope
)

// A policySet is every policy at one revision, decoded once. It is never
// changed after it was made.
type policySet struct {
	control  control
	stored   []byte // what control was decoded from; nil where there was none
	list     []*policy.Policy
	accounts []budget.Account // of each
	recall   time.Duration    // how far back one of them looks for twins of a payment
}

func (s *policySet) byID(id spend.ID) *policy.Policy {
	if i := s.index(id); i >= 0 {
		return s.list[i]
	}
	return nil
}

func (s *policySet) index(id spend.ID) int {
	return slices.IndexFunc(s.list, func(p *policy.Policy) bool { return p.ID == id })
}

// refs names the policies that match in, in the order of a verdict.
func (s *policySet) refs(in *spend.Intent) []spend.PolicyRef {
	var refs []spend.PolicyRef
	for _, p := range s.list {
		if p.Matches(in) {
			refs = append(refs, spend.PolicyRef{ID: p.ID, Name: p.Name, Version: p.Version})
		}
	}
	return refs
}

// readPolicies returns the set as r sees it: the cached one as long as its
// revision is current. A set that an action of the same batch is about to change
// is read afresh and not cached, since the batch may yet fail.
func (e *Engine) readPolicies(r store.Reader) (*policySet, error) {
	stored, err := r.Get(e.controlKey)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	changing := uncommitted(r, e.controlKey)
	if cached := e.policies.Load(); cached != nil && bytes.Equal(cached.stored, stored) && !changing {
		return cached, nil
	}
	set := &policySet{stored: stored}
	if set.control, err = e.readControl(r); err != nil {
		return nil, err
	}
	for after := ""; ; {
		page, err := r.Scan(e.keys.policies(), after, false, 256)
		if err != nil {
			return nil, err
		}
		for _, en := range page {
			p := new(policy.Policy)
			if err := readJSON(en.Key, en.Value, p); err != nil {
				return nil, err
			}
			set.list = append(set.list, p)
			set.accounts = append(set.accounts, e.account(p).Remembering())
			set.recall = max(set.recall, p.Recall())
			after = en.Key
		}
		if len(page) < 256 {
			break
		}
	}
	if !changing {
		e.policies.Store(set)
	}
	return set, nil
}

// uncommitted reports whether key was written in the batch that r belongs to.
func uncommitted(r store.Reader, key string) bool {
	t, ok := r.(*txn)
	if !ok {
		return false
	}
	for o := t.overlay; o != nil; {
		if o.writes.find(key) != nil {
			return true
		}
		o, _ = o.base.(*overlay)
	}
	return false
}

// Policies lists every policy, oldest first.
func (e *Engine) Policies(ctx context.Context) ([]policy.Policy, error) {
	var out []policy.Policy
	err := e.view(ctx, func(r store.Reader) error {
		set, err := e.readPolicies(r)
		for _, p := range set.listed() {
			out = append(out, *p)
		}
		return err
	})
	return out, err
}

func (s *policySet) listed() []*policy.Policy {
	if s == nil {
		return nil
	}
	return s.list
}

// SyncPolicies makes the policies of the file those given: a new name makes a
// policy, a known one with other content a new version, a vanished one is
// deleted. A policy whose Was names a known one takes over its id and counters.
// It returns the names of what it changed.
func (e *Engine) SyncPolicies(ctx context.Context, want []policy.Policy) (changed []string, err error) {
	ids := make([]spend.ID, len(want))
	for i := range want {
		ids[i] = spend.NewID(e.clock())
		if err := want[i].Validate(); err != nil {
			return nil, fmt.Errorf("sync policies: %w", err)
		}
	}
	var put []*policy.Policy
	err = e.change(ctx, func(t *txn) error {
		changed, put = changed[:0], nil
		set, err := e.readPolicies(t)
		if err != nil {
			return err
		}
		known := make(map[string]*policy.Policy)
		for _, p := range set.list {
			if p.Source == FromFile {
				known[p.Name] = p
			}
		}
		for i, w := range want {
			w.Source, w.ID, w.Version, w.Created, w.Updated = FromFile, ids[i], 1, t.now, t.now
			old := known[w.Name]
			if old == nil && w.Was != "" {
				old = known[w.Was]
			}
			if old != nil {
				delete(known, old.Name)
				if sameRules(old, &w) {
					continue
				}
				w.ID, w.Version, w.Created = old.ID, old.Version+1, old.Created
			}
			put = append(put, &w)
			if err := e.putPolicy(t, &w); err != nil {
				return err
			}
			t.recordPolicy(madeOrChanged(old), &w)
			changed = append(changed, w.Name)
		}
		for name, p := range known {
			if err := t.Delete(e.keys.policy(p.ID)); err != nil {
				return err
			}
			t.recordPolicy(policyDeleted, p)
			changed = append(changed, name)
		}
		if len(changed) == 0 {
			return nil
		}
		return e.bumpPolicies(t)
	}, &put)
	if err != nil {
		return nil, fmt.Errorf("sync policies: %w", err)
	}
	slices.Sort(changed)
	return changed, nil
}

func madeOrChanged(old *policy.Policy) string {
	if old == nil {
		return policyMade
	}
	return policyChanged
}

// sameRules compares two policies apart from their identity.
func sameRules(a, b *policy.Policy) bool {
	rules := func(p policy.Policy) []byte {
		p.ID, p.Version, p.Was = "", 0, ""
		p.Created, p.Updated = time.Time{}, time.Time{}
		out, _ := json.Marshal(p) //nolint:errcheck // a policy that was stored or validated marshals
		return out
	}
	return bytes.Equal(rules(*a), rules(*b))
}

// CreatePolicy adds a policy and returns it with its id and version.
func (e *Engine) CreatePolicy(ctx context.Context, p policy.Policy) (policy.Policy, error) {
	if err := p.Validate(); err != nil {
		return p, fmt.Errorf("create policy: %w", err)
	}
	p.ID, p.Version, p.Source = spend.NewID(e.clock()), 1, FromAPI
	put := []*policy.Policy{&p}
	err := e.change(ctx, func(t *txn) error {
		p.Created, p.Updated = t.now, t.now
		if err := e.putPolicy(t, &p); err != nil {
			return err
		}
		t.recordPolicy(policyMade, &p)
		return e.bumpPolicies(t)
	}, &put)
	if err != nil {
		return p, fmt.Errorf("create policy: %w", err)
	}
	return p, nil
}

// ChangePolicy applies edit to a policy made over the API, as its next version.
// A policy of the file is Forbidden: it would come back with the file.
func (e *Engine) ChangePolicy(ctx context.Context, id spend.ID, edit func(*policy.Policy) error) (policy.Policy, error) {
	var out policy.Policy
	var put []*policy.Policy
	err := e.change(ctx, func(t *txn) error {
		p, err := e.ownPolicy(t, id)
		if err != nil {
			return err
		}
		if err := edit(p); err != nil {
			return err
		}
		if err := p.Validate(); err != nil {
			return err
		}
		p.ID, p.Version, p.Updated = id, p.Version+1, t.now
		out, put = *p, []*policy.Policy{p}
		if err := e.putPolicy(t, p); err != nil {
			return err
		}
		t.recordPolicy(policyChanged, p)
		return e.bumpPolicies(t)
	}, &put)
	if err != nil {
		return out, fmt.Errorf("change policy: %w", err)
	}
	return out, nil
}

// DeletePolicy removes a policy made over the API. Its counters stay.
func (e *Engine) DeletePolicy(ctx context.Context, id spend.ID) error {
	err := e.commit.do(ctx, func(t *txn) error {
		p, err := e.ownPolicy(t, id)
		if err != nil {
			return err
		}
		if err := t.Delete(e.keys.policy(id)); err != nil {
			return err
		}
		t.recordPolicy(policyDeleted, p)
		return e.bumpPolicies(t)
	})
	if err != nil {
		return fmt.Errorf("delete policy: %w", err)
	}
	return nil
}

// ownPolicy reads a copy of a policy that the API may change.
func (e *Engine) ownPolicy(t *txn, id spend.ID) (*policy.Policy, error) {
	set, err := e.readPolicies(t)
	if err != nil {
		return nil, err
	}
	p := set.byID(id)
	if p == nil {
		return nil, fmt.Errorf("policy %.64q: %w", id, spend.NotFound)
	}
	if p.Source == FromFile {
		return nil, fmt.Errorf("policy %q: %w: it comes from the config file, change it there", p.Name, spend.Forbidden)
	}
	own := new(policy.Policy) // decoded afresh: the set's own must never be edited
	return own, getJSON(t, e.keys.policy(id), own)
}

// putPolicy writes a policy and counts what the ledger already holds against it.
func (e *Engine) putPolicy(t *txn, p *policy.Policy) error {
	if strings.TrimSpace(p.Name) == "" {
		return fmt.Errorf("policy: %w: it needs a name", spend.Invalid)
	}
	if err := e.refill(t, p); err != nil {
		return fmt.Errorf("policy %q: %w", p.Name, err)
	}
	if _, err := t.Get(e.keys.filling(p.ID)); err == nil {
		if err := t.Delete(e.keys.filling(p.ID)); err != nil {
			return err
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return putJSON(t, e.keys.policy(p.ID), p)
}

// bumpPolicies makes every cached set stale.
func (e *Engine) bumpPolicies(t *txn) error {
	c, err := e.readControl(t)
	if err != nil {
		return err
	}
	c.Revision++
	return putJSON(t, e.keys.control(), c)
}
