package policy

import (
	"cmp"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

const (
	// DefaultDuplicateWindow is as long as Stripe promises to know an idempotency key
	// at least: whoever pays again within it under a new key has left that protection.
	DefaultDuplicateWindow = 24 * time.Hour
	// MaxDuplicateWindow bounds what has to be remembered.
	MaxDuplicateWindow = 31 * 24 * time.Hour
)

// Twin is an earlier payment of the same bytes, by the same credential, as the one
// that is judged: under way, or settled.
type Twin struct {
	Request spend.ID
	Agent   string
	Began   time.Time
}

// Recall is how far back the policy looks for twins: 0 for one that does not.
func (p *Policy) Recall() time.Duration {
	if !p.Active || p.Duplicates == "allow" {
		return 0
	}
	return p.Window()
}

// Window is DuplicateWindow, or what it is by default.
func (p *Policy) Window() time.Duration { return cmp.Or(p.DuplicateWindow, DefaultDuplicateWindow) }

// duplicate judges a spend of which p covers some leg by its latest twin within the
// window. The twin's name is for its own agent only.
func (e *evaluation) duplicate(in *Input, p *Policy) {
	window := p.Recall()
	if window == 0 || len(in.Twins) == 0 || in.Intent.Class != spend.Spend || !p.coversSome(in.Intent) {
		return
	}
	var latest *Twin
	for i := range in.Twins {
		t := &in.Twins[i]
		if p.DuplicatesAcross != "all" && t.Agent != in.Intent.Agent || in.Now.Sub(t.Began) >= window {
			continue
		}
		if latest == nil || t.Began.After(latest.Began) {
			latest = t
		}
	}
	if latest == nil {
		return
	}
	r := spend.Rule{Code: spend.Duplicate, Decision: spend.Deny}
	if latest.Agent == in.Intent.Agent {
		r.Value = string(latest.Request)
	}
	switch p.Duplicates {
	case "", "flag":
		r.Decision = spend.Allow
	case "hold":
		r.Decision, r.Asked = spend.RequireApproval, "duplicate"
	default:
		r.RetryAt = latest.Began.Add(window)
	}
	e.addFor(p, r)
}

// coversSome reports whether p covers a leg of in.
func (p *Policy) coversSome(in *spend.Intent) bool {
	for i := range in.Legs {
		if p.covers(&in.Legs[i]) {
			return true
		}
	}
	return false
}
