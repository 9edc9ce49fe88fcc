package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// APIKey is what the ledger keeps of a key: never the key itself, only its
// keyed digest.
type APIKey struct {
	ID      spend.ID  `json:"id"`
	Prefix  string    `json:"prefix"` // "outgo_ABcd1234"
	Role    string    `json:"role"`   // "agent", "approver" or "admin"
	Agent   string    `json:"agent,omitempty"`
	Digest  string    `json:"digest"`
	Created time.Time `json:"created"`
	Revoked time.Time `json:"revoked,omitzero"`
	Expires time.Time `json:"expires,omitzero"` // end of the overlap after a rotation
}

// valid reports whether the key opens anything at now.
func (k APIKey) valid(now time.Time) bool {
	return k.Revoked.IsZero() && (k.Expires.IsZero() || now.Before(k.Expires))
}

// loadAPIKeys fills the table that Authenticate reads.
func (e *Engine) loadAPIKeys(r store.Reader) error {
	byDigest := make(map[string]APIKey)
	for after := ""; ; {
		page, err := r.Scan(e.keys.apiKeys(), after, false, 256)
		if err != nil {
			return err
		}
		for _, en := range page {
			var k APIKey
			if err := readJSON(en.Key, en.Value, &k); err != nil {
				return err
			}
			byDigest[k.Digest] = k
			after = en.Key
		}
		if len(page) < 256 {
			break
		}
	}
	e.apiKeys.Store(&byDigest)
	return nil
}

// Authenticate returns the valid key of a digest, or Unauthenticated.
func (e *Engine) Authenticate(digest string) (APIKey, error) {
	k, ok := (*e.apiKeys.Load())[digest]
	if !ok || !k.valid(e.clock()) {
		return APIKey{}, fmt.Errorf("api key: %w: it is unknown or revoked", spend.Unauthenticated)
	}
	return k, nil
}

// AddAPIKey stores a new key's digest on somebody's word, of which the zero Actor
// is outgo's own. The agent is required for the role agent, and refused for the
// others.
func (e *Engine) AddAPIKey(ctx context.Context, by Actor, k APIKey) (APIKey, error) {
	switch {
	case k.Role != "agent" && k.Role != "approver" && k.Role != "admin":
		return k, fmt.Errorf("create key: role %.20q: %w: want agent, approver or admin", k.Role, spend.Invalid)
	case k.Role == "agent" && strings.TrimSpace(k.Agent) == "":
		return k, fmt.Errorf("create key: %w: a key of role agent needs the agent's name", spend.Invalid)
	case k.Role != "agent" && k.Agent != "":
		return k, fmt.Errorf("create key: %w: only a key of role agent belongs to an agent", spend.Invalid)
	}
	k.ID = spend.NewID(e.clock())
	err := e.commit.do(ctx, func(t *txn) error {
		k.Created = t.now
		t.recordKey(keyMade, by, k)
		return e.putAPIKey(t, k)
	})
	if err != nil {
		return k, fmt.Errorf("create key: %w", err)
	}
	return k, nil
}

func (e *Engine) putAPIKey(t *txn, k APIKey) error {
	if err := putJSON(t, e.keys.apiKey(k.ID), k); err != nil {
		return err
	}
	t.then(func() {
		e.mu.Lock() // one writer of the table at a time
		defer e.mu.Unlock()
		table := maps.Clone(*e.apiKeys.Load())
		table[k.Digest] = k
		e.apiKeys.Store(&table)
	})
	return nil
}

// EndAPIKey ends the key whose id or prefix is name: at once, or after a grace
// in which its successor takes over. It fails with NotFound.
func (e *Engine) EndAPIKey(ctx context.Context, by Actor, name string, grace time.Duration) (APIKey, error) {
	var out APIKey
	err := e.commit.do(ctx, func(t *txn) error {
		k, ok := e.findAPIKey(name)
		if !ok {
			return fmt.Errorf("key %.64q: %w", name, spend.NotFound)
		}
		// The table does not know yet what the same batch has done.
		k = APIKey{ID: k.ID}
		if err := getJSON(t, e.keys.apiKey(k.ID), &k); err != nil {
			return err
		}
		if !k.valid(t.now) {
			return fmt.Errorf("key %s: %w: it has ended already", k.Prefix, spend.InvalidState)
		}
		if grace > 0 {
			if end := t.now.Add(grace); k.Expires.IsZero() || end.Before(k.Expires) {
				k.Expires = end // a second rotation gives no further grace
			}
			t.recordKey(keyRotated, by, k)
		} else {
			k.Revoked = t.now
			t.recordKey(keyRevoked, by, k)
		}
		out = k
		return e.putAPIKey(t, k)
	})
	if err != nil {
		return out, fmt.Errorf("revoke key: %w", err)
	}
	return out, nil
}

func (e *Engine) findAPIKey(name string) (APIKey, bool) {
	for _, k := range *e.apiKeys.Load() {
		if string(k.ID) == name || k.Prefix == name {
			return k, true
		}
	}
	return APIKey{}, false
}

// APIKeys lists every key, oldest first.
func (e *Engine) APIKeys() []APIKey {
	keys := slices.Collect(maps.Values(*e.apiKeys.Load()))
	slices.SortFunc(keys, func(a, b APIKey) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return keys
}
