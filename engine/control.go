package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// control is the one value that every decision reads: what is frozen, and the
// revision of the policies, so that a cached set is known to be the current one.
type control struct {
	Revision     uint64   `json:"revision"`
	Frozen       bool     `json:"frozen,omitempty"`
	FrozenAgents []string `json:"frozenAgents,omitempty"`
	FrozenRails  []string `json:"frozenRails,omitempty"`
}

func (c *control) frozen(in *spend.Intent) bool {
	return c.Frozen || slices.Contains(c.FrozenAgents, in.Agent) || slices.Contains(c.FrozenRails, in.Rail)
}

// readControl returns nought for a store that has none yet.
func (e *Engine) readControl(r store.Reader) (c control, err error) {
	err = getJSON(r, e.keys.control(), &c)
	if errors.Is(err, store.ErrNotFound) {
		return control{}, nil
	}
	return c, err
}

// Freeze names what is stopped: everything, or one agent, or one rail.
type Freeze struct {
	Agent string // "" = all
	Rail  string // "" = all
}

// String says what is named.
func (f Freeze) String() string {
	switch {
	case f.Agent != "":
		return "agent " + f.Agent
	case f.Rail != "":
		return "rail " + f.Rail
	}
	return "everything"
}

// SetFrozen stops or resumes spending on somebody's word, of which the zero Actor
// is outgo's own. What is held or reserved stays so. To resume all of it is also to
// take the clock as it is, where it has jumped.
func (e *Engine) SetFrozen(ctx context.Context, by Actor, f Freeze, on bool) error {
	if broken := e.broken.Load(); broken != nil && !on {
		return fmt.Errorf("unfreeze: %w: %w", spend.InvalidState, *broken)
	}
	err := e.commit.do(ctx, func(t *txn) error {
		c, err := e.readControl(t)
		if err != nil {
			return err
		}
		switch {
		case f.Agent != "" && f.Rail != "":
			return fmt.Errorf("freeze: %w: name an agent or a rail, not both", spend.Invalid)
		case f.Agent != "":
			c.FrozenAgents = toggle(c.FrozenAgents, f.Agent, on)
		case f.Rail != "":
			c.FrozenRails = toggle(c.FrozenRails, f.Rail, on)
		case on:
			c.Frozen = true
		default: // lifting the general freeze lifts the particular ones too
			c.Frozen, c.FrozenAgents, c.FrozenRails = false, nil, nil
		}
		c.Revision++
		t.record(audit.Entry{Event: freezeEvent(on), Who: by.who(), Note: brief(f.String())})
		return putJSON(t, e.keys.control(), c)
	})
	if err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	if f == (Freeze{}) && !on {
		e.time.accept()
	}
	return e.view(ctx, func(r store.Reader) error { _, err := e.readPolicies(r); return err })
}

func freezeEvent(on bool) string {
	if on {
		return frozenBy
	}
	return unfrozenBy
}

func toggle(list []string, name string, on bool) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
	if on {
		list = append(list, name)
	}
	return list
}
