package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Payments of one fingerprint are twins: the same bytes by the same credential, under
// another idempotency key or none. Those that began on one day stand under one key, the
// latest last, so that a payment writes one small key and a new fingerprint, as nearly
// all are, needs no look into the store (see seen). What became of a twin is the
// request's to say: one that has failed is none.

const (
	// formatTwins is the first byte of a list of twins; their ids follow, 16 bytes each.
	formatTwins = 1
	// maxTwins bounds the twins of one day, and maxTwinName what of a fingerprint names
	// them; what is found is compared by all of it.
	maxTwins    = 8
	maxTwinName = 32
	day         = 24 * time.Hour
)

func dayOf(t time.Time) uint64 { return uint64(max(0, t.Unix())) / uint64(day/time.Second) }

func twinName(fingerprint string) string {
	return escape(fingerprint[max(0, len(fingerprint)-maxTwinName):])
}

// hasTwins reports whether a policy of the set may ask for twins of in.
func (s *policySet) hasTwins(in *spend.Intent) bool {
	return s.recall > 0 && in.Class == spend.Spend && in.Fingerprint != ""
}

// twins returns the latest twin of in by its own agent, as far back as any policy
// looks, with all that are later.
func (e *Engine) twins(r store.Reader, set *policySet, in *spend.Intent, now time.Time) (found []policy.Twin, err error) {
	if !set.hasTwins(in) {
		return nil, nil
	}
	name, first := twinName(in.Fingerprint), dayOf(now.Add(-set.recall))
	if first >= e.printsSince.Load() && e.prints.isNew(name) {
		return nil, nil
	}
	for d := dayOf(now) + 1; d > first; {
		d--
		ids, err := readTwins(r, e.keys.twin(d, name))
		if err != nil {
			return nil, err
		}
		for _, id := range slices.Backward(ids) {
			q, live, err := e.twin(r, id)
			if err != nil {
				return nil, err
			}
			if !live || q.Intent.Fingerprint != in.Fingerprint {
				continue
			}
			found = append(found, policy.Twin{Request: id, Agent: q.Intent.Agent, Began: q.Began})
			if q.Intent.Agent == in.Agent {
				return found, nil
			}
		}
	}
	return found, nil
}

// twin reads a request that has begun, and reports whether it still counts: whether it
// is under way or settled.
func (e *Engine) twin(r store.Reader, id spend.ID) (q spend.Request, live bool, err error) {
	q, err = e.load(r, id)
	return q, err == nil && (q.State == spend.Executing || q.State == spend.Settled), err
}

// noteTwin lets later payments find r, which begins now. Its verdict may have found
// that it is a duplicate, and still allow it: then it is flagged.
func (e *Engine) noteTwin(t *txn, set *policySet, r *spend.Request, v *spend.Verdict) error {
	if slices.ContainsFunc(v.Rules, func(r spend.Rule) bool { return r.Code == spend.Duplicate && r.Decision == spend.Allow }) {
		e.flag(t, r, spend.DuplicateSuspected)
	}
	if !set.hasTwins(&r.Intent) {
		return nil
	}
	name := twinName(r.Intent.Fingerprint)
	key := e.keys.twin(dayOf(t.now), name)
	var ids []spend.ID
	if !e.prints.isNew(name) {
		var err error
		if ids, err = readTwins(t, key); err != nil {
			return err
		}
	}
	if len(ids) >= maxTwins {
		var err error
		if ids, err = e.thinTwins(t, ids); err != nil {
			return err
		}
	}
	b := make([]byte, 1, 1+16*(len(ids)+1))
	b[0] = formatTwins
	for _, id := range append(ids, r.ID) {
		var err error
		if b, err = id.AppendRaw(b); err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
	}
	e.prints.add(name)
	return t.Put(key, b)
}

// thinTwins drops what tells nothing beside the rest: what counts no more, and of the
// settled ones of an agent all but the latest. If that makes no room, the agent with the
// most loses its oldest, so that no agent makes another's be forgotten.
func (e *Engine) thinTwins(r store.Reader, ids []spend.ID) ([]spend.ID, error) {
	type twin struct {
		id      spend.ID
		agent   string
		settled bool
	}
	var kept []twin // the latest first
	of := make(map[string]int)
	for _, id := range slices.Backward(ids) {
		q, live, err := e.twin(r, id)
		if err != nil {
			return nil, err
		}
		k := twin{id, q.Intent.Agent, q.State == spend.Settled}
		if !live || k.settled && slices.ContainsFunc(kept, func(o twin) bool { return o.settled && o.agent == k.agent }) {
			continue
		}
		kept = append(kept, k)
		of[k.agent]++
	}
	if len(kept) >= maxTwins {
		victim := len(kept) - 1
		for i, k := range kept { // the last one that is found is the oldest
			if v := kept[victim]; of[k.agent] > of[v.agent] || of[k.agent] == of[v.agent] && (v.settled || !k.settled) {
				victim = i
			}
		}
		kept = slices.Delete(kept, victim, victim+1)
	}
	out := make([]spend.ID, 0, len(kept)+1)
	for _, k := range slices.Backward(kept) {
		out = append(out, k.id)
	}
	return out, nil
}

// readTwins reads the list at key, which is empty where there is none. It fails on a
// format that this version does not know.
func readTwins(r store.Reader, key string) ([]spend.ID, error) {
	stored, err := r.Get(key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case len(stored)%16 != 1 || stored[0] != formatTwins:
		return nil, fmt.Errorf("read %s: the value has a format that this version of outgo does not know", key)
	}
	ids := make([]spend.ID, 0, len(stored)/16+1)
	for raw := range slices.Chunk(stored[1:], 16) {
		ids = append(ids, spend.RawID([16]byte(raw)))
	}
	return ids, nil
}
