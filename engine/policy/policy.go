// Package policy judges payments by rules that the operator wrote. It holds no
// state and touches nothing: Evaluate is a pure function from an intent, the
// policies, what their counters hold and the time to a verdict.
//
// A Policy applies to an intent when it is active and its Scope matches; all
// that apply are asked. Rules about money, velocity, merchants, payees and
// categories judge the legs that the policy covers: those in its own unit, and
// those that the asset table values in it. Every leg needs at least one policy
// that covers it. Capabilities, and the velocity of calls without legs, are
// judged by every policy that applies. Repeats of the same bytes are judged by every
// policy that covers a leg of them. Evaluate never stops at the first
// refusal; any denial denies, else any approval holds, else the payment is
// allowed. What cannot be added up is denied.
package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // A policy's windows must not depend on the zone files of the machine.

	"github.com/outgo/outgo/engine/spend"
)

// Policy is one set of rules. The zero value of a limit means that there is
// none, an empty list means everything.
type Policy struct {
	ID      spend.ID `json:"id"`
	Name    string   `json:"name"`
	Was     string   `json:"was,omitempty"` // the name before a rename, for policies that are known by name
	Version int      `json:"version"`
	Source  string   `json:"source,omitempty"` // "file" or "api"

	Unit string `json:"unit"` // in normal form; the unit of every limit below

	MaxSingle           spend.Amount `json:"maxSingle,omitzero"`           // for one payment, inclusive
	Daily               spend.Amount `json:"daily,omitzero"`               // for a calendar day in Zone, inclusive
	Monthly             spend.Amount `json:"monthly,omitzero"`             // for a calendar month in Zone, inclusive
	RequireApprovalOver spend.Amount `json:"requireApprovalOver,omitzero"` // strictly over it a person decides
	MaxExposure         spend.Amount `json:"maxExposure,omitzero"`         // for allowances not yet revoked, inclusive

	PerMinute *int `json:"perMinute,omitempty"` // payments in any 60 s; nil for no limit
	PerHour   *int `json:"perHour,omitempty"`   // payments in any 60 min; nil for no limit

	// A merchant on a list stands for itself and its subdomains. Payees are
	// compared as written, but for hexadecimal addresses, whose case is only a
	// checksum.
	AllowedMerchants  []string `json:"allowedMerchants,omitempty"`
	BlockedMerchants  []string `json:"blockedMerchants,omitempty"`
	AllowedCategories []string `json:"allowedCategories,omitempty"`
	BlockedCategories []string `json:"blockedCategories,omitempty"`
	AllowedPayees     []string `json:"allowedPayees,omitempty"`

	// Capabilities says what becomes of calls that give away future spending
	// power: "allow", "hold" (also when empty) or "deny". CapabilityRules says so of
	// operations ("issuing.cards.create") and of families of them ("accounts.*"): the
	// most specific one that matches goes before Capabilities.
	Capabilities    string            `json:"capabilities,omitempty"`
	CapabilityRules map[string]string `json:"capabilityRules,omitempty"`

	// Duplicates says what becomes of a spend whose equal has begun less than
	// DuplicateWindow ago and has not failed: "allow", "flag" (also when empty; it is
	// allowed with an anomaly), "hold" or "deny". A window of 0 is
	// DefaultDuplicateWindow. DuplicatesAcross says whose payments are compared: those
	// of the same "agent" (also when empty), or of "all".
	Duplicates       string        `json:"duplicates,omitempty"`
	DuplicateWindow  time.Duration `json:"duplicateWindow,omitempty"`
	DuplicatesAcross string        `json:"duplicatesAcross,omitempty"`

	Scope  Scope `json:"scope,omitzero"`
	Active bool  `json:"active"`
	// IgnoreClaims treats a merchant or category that is only the agent's word
	// as absent.
	IgnoreClaims bool   `json:"ignoreClaims,omitempty"`
	Zone         string `json:"zone,omitempty"` // IANA name; "" is UTC

	Created time.Time `json:"created,omitzero"`
	Updated time.Time `json:"updated,omitzero"`

	// zone is Zone, resolved when the policy was decoded or validated, because
	// reading zone data takes longer than judging a payment.
	zone *time.Location
}

// Scope says which intents a policy applies to. An empty list matches
// everything.
type Scope struct {
	Agents     []string `json:"agents,omitempty"`
	Rails      []string `json:"rails,omitempty"`
	Networks   []string `json:"networks,omitempty"`   // eth:1 is eip155:1
	Operations []string `json:"operations,omitempty"` // "payouts.create", or "payouts.*"
	// Modes lists "live" or "test". An intent whose mode is unknown is taken
	// for live.
	Modes []string `json:"modes,omitempty"`
}

// UnmarshalJSON decodes a stored policy and fails if its zone is unknown here,
// since its windows could not be found again.
func (p *Policy) UnmarshalJSON(data []byte) error {
	type plain Policy
	if err := json.Unmarshal(data, (*plain)(p)); err != nil {
		return err
	}
	p.zone = nil
	if p.Zone == "" {
		return nil
	}
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		return fmt.Errorf("decode policy %q: %w", p.Name, err)
	}
	p.zone = zone
	return nil
}

// Location returns the zone in which the policy's days and months are counted:
// UTC for "" and for a name that Validate refuses. It is cheap for policies that
// were decoded or validated; for others it reads zone data on each call.
func (p *Policy) Location() *time.Location {
	if p.Zone == "" {
		return time.UTC
	}
	if p.zone != nil && p.zone.String() == p.Zone {
		return p.zone
	}
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// Matches reports whether the policy is active and its scope includes in.
func (p *Policy) Matches(in *spend.Intent) bool {
	mode := in.Mode
	if mode == "" {
		mode = spend.Live
	}
	s := &p.Scope
	return p.Active &&
		(len(s.Agents) == 0 || slices.Contains(s.Agents, in.Agent)) &&
		(len(s.Rails) == 0 || slices.Contains(s.Rails, in.Rail)) &&
		(len(s.Modes) == 0 || slices.Contains(s.Modes, string(mode))) &&
		(len(s.Networks) == 0 || slices.ContainsFunc(s.Networks, func(n string) bool {
			return normalNetwork(n) == normalNetwork(in.Network)
		})) &&
		(len(s.Operations) == 0 || slices.ContainsFunc(s.Operations, func(o string) bool {
			return matchesOperation(o, in.Operation)
		}))
}

func normalNetwork(n string) string {
	if rest, ok := strings.CutPrefix(n, "eth:"); ok {
		return "eip155:" + rest
	}
	return n
}

func matchesOperation(pattern, operation string) bool {
	if family, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasSuffix(family, ".") {
		return strings.HasPrefix(operation, family)
	}
	return pattern == operation
}

// Charge returns the sum of the legs of in that the policy covers, allowances
// apart, in the policy's unit; covers is false, and total the zero Amount, when
// it covers none. It fails with spend.Invalid on a negative leg or a sum beyond
// 2^256-1. It does not ask whether the policy matches. Windows count Charge and
// Exposure together.
func (p *Policy) Charge(in *spend.Intent) (total spend.Amount, covers bool, err error) {
	return p.sum(in, false)
}

// Exposure returns, in the manner of Charge, the sum of the allowances among
// the legs of in: what somebody else may take later.
func (p *Policy) Exposure(in *spend.Intent) (total spend.Amount, covers bool, err error) {
	return p.sum(in, true)
}

func (p *Policy) sum(in *spend.Intent, allowances bool) (total spend.Amount, covers bool, err error) {
	for i := range in.Legs {
		l := &in.Legs[i]
		if (l.Kind == spend.Allowance) != allowances {
			continue
		}
		a, ok := p.share(l)
		if !ok {
			continue
		}
		if a.Sign() < 0 {
			return spend.Amount{}, false, fmt.Errorf("sum legs of %s: %w: leg %d is negative", in.Operation, spend.Invalid, i)
		}
		if !covers {
			total, covers = a, true
			continue
		}
		if total, err = total.Add(a); err != nil {
			return spend.Amount{}, false, fmt.Errorf("sum legs of %s: %w", in.Operation, err)
		}
	}
	return total, covers, nil
}

// share returns what a leg weighs in the policy's unit, and whether it has a
// weight in that unit at all. A leg of unknown amount has none.
func (p *Policy) share(l *spend.Leg) (spend.Amount, bool) {
	switch p.Unit {
	case "":
		return spend.Amount{}, false
	case l.Amount.Unit():
		return l.Amount, true
	case l.Value.Unit():
		if l.Amount.IsUnlimited() {
			return spend.Unlimited(p.Unit), true
		}
		if l.Amount.Sign() < 0 {
			return l.Amount, true // Refused by sum, whatever the valuation made of it.
		}
		return l.Value, true
	}
	return spend.Amount{}, false
}

func (p *Policy) covers(l *spend.Leg) bool {
	return p.Unit != "" && (p.Unit == l.Amount.Unit() || p.Unit == l.Value.Unit())
}
