package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// FieldError says what is wrong with one field of a policy, named as it is in
// policy files and over the API ("dailyLimit", "scope.modes"). It is a
// spend.Invalid.
type FieldError struct {
	Policy string // its name, "" if that is what is missing
	Field  string
	Reason string // what is wrong and what to do
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("policy %q: %s: %s", e.Policy, e.Field, e.Reason)
}

// Unwrap returns spend.Invalid.
func (e *FieldError) Unwrap() error { return spend.Invalid }

// Validate returns a *FieldError for the first field that makes no sense. It
// resolves the zone, so that it must not run while others read the policy.
func (p *Policy) Validate() error {
	for _, check := range []func() (field, reason string){p.checkNames, p.checkCapabilities, p.checkDuplicates, p.checkLimits, p.checkLists, p.checkScope} {
		if field, reason := check(); reason != "" {
			return &FieldError{Policy: p.Name, Field: field, Reason: reason}
		}
	}
	return nil
}

func (p *Policy) checkNames() (field, reason string) {
	switch {
	case strings.TrimSpace(p.Name) == "":
		return "name", "is missing; give the policy a name"
	case p.Was == p.Name:
		return "was", "is the present name; write the name from before the rename, or leave it out"
	case p.Unit == "":
		return "unit", "is missing; write a currency (USD) or a CAIP-19 asset id (eip155:1/erc20:0x…)"
	case p.Unit != spend.NormalUnit(p.Unit):
		return "unit", fmt.Sprintf("%q is not in normal form; write %q", p.Unit, spend.NormalUnit(p.Unit))
	case !soundUnit(p.Unit):
		return "unit", fmt.Sprintf("%.80q is no unit; write a currency (USD) or a CAIP-19 asset id (eip155:1/erc20:0x…)", p.Unit)
	}
	if p.Zone == "Local" {
		return "timezone", `"Local" differs from machine to machine; write an IANA name such as Europe/Berlin`
	}
	if p.zone = nil; p.Zone == "" {
		return "", ""
	}
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		return "timezone", fmt.Sprintf("%.80q is unknown; write an IANA name such as Europe/Berlin, or leave it out for UTC", p.Zone)
	}
	p.zone = zone
	return "", ""
}

func (p *Policy) checkCapabilities() (field, reason string) {
	known := func(word string) bool { return word == "allow" || word == "hold" || word == "deny" }
	if p.Capabilities != "" && !known(p.Capabilities) {
		return "capabilities", fmt.Sprintf("%q is unknown; write allow, hold or deny", p.Capabilities)
	}
	for _, pattern := range slices.Sorted(maps.Keys(p.CapabilityRules)) {
		field, word := fmt.Sprintf("capabilities[%q]", pattern), p.CapabilityRules[pattern]
		switch {
		case !soundPattern(pattern):
			return field, fmt.Sprintf("%.80q is no pattern; write an operation, or a family such as accounts.*", pattern)
		case !known(word):
			return field, fmt.Sprintf("%q is unknown; write allow, hold or deny", word)
		}
	}
	return "", ""
}

func (p *Policy) checkDuplicates() (field, reason string) {
	switch p.Duplicates {
	case "", "allow", "flag", "hold", "deny":
	default:
		return "duplicates", fmt.Sprintf("%q is unknown; write allow, flag, hold or deny", p.Duplicates)
	}
	switch p.DuplicatesAcross {
	case "", "agent", "all":
	default:
		return "duplicatesAcross", fmt.Sprintf("%q is unknown; write agent or all", p.DuplicatesAcross)
	}
	if p.DuplicateWindow < 0 || p.DuplicateWindow > MaxDuplicateWindow {
		return "duplicateWindow", fmt.Sprintf("%s is out of bounds; write a duration up to %.0fh", p.DuplicateWindow, MaxDuplicateWindow.Hours())
	}
	return "", ""
}

// soundUnit admits what can be a currency's code or an asset id. A misspelt one
// passes; it covers no leg, and payments are then denied.
func soundUnit(unit string) bool {
	asset := strings.Contains(unit, ":")
	for _, c := range []byte(unit) {
		letter := c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (!asset || c <= ' ' || c >= 0x7f) {
			return false
		}
	}
	return len(unit) <= 255 && (asset || len(unit) >= 3)
}

func (p *Policy) checkLimits() (field, reason string) {
	for _, l := range []struct {
		field string
		limit spend.Amount
	}{
		{"maxSingleAmount", p.MaxSingle},
		{"dailyLimit", p.Daily},
		{"monthlyLimit", p.Monthly},
		{"requireApprovalOver", p.RequireApprovalOver},
		{"maxExposure", p.MaxExposure},
	} {
		switch {
		case l.limit.IsZero():
		case l.limit.IsUnlimited():
			return l.field, "is unlimited; leave it out for no limit"
		case l.limit.Sign() < 0:
			return l.field, fmt.Sprintf("%s is negative; write a whole number from 0, or leave it out for no limit", l.limit.Decimal())
		case l.limit.Unit() != p.Unit:
			return l.field, fmt.Sprintf("is in %s; write it in the policy's unit, %s", l.limit.Unit(), p.Unit)
		}
	}
	if p.PerMinute != nil && *p.PerMinute < 0 {
		return "maxTransactionsPerMinute", fmt.Sprintf("%d is negative; write a whole number from 0, or leave it out for no limit", *p.PerMinute)
	}
	if p.PerHour != nil && *p.PerHour < 0 {
		return "maxTransactionsPerHour", fmt.Sprintf("%d is negative; write a whole number from 0, or leave it out for no limit", *p.PerHour)
	}
	return "", ""
}

func (p *Policy) checkLists() (field, reason string) {
	for _, l := range []struct {
		field   string
		entries []string
	}{{"allowedMerchants", p.AllowedMerchants}, {"blockedMerchants", p.BlockedMerchants}} {
		for i, e := range l.entries {
			if strings.Contains(e, "*") {
				return l.field, fmt.Sprintf("entry %d: %.80q has a wildcard; write the domain alone, its subdomains are included", i+1, e)
			}
			if spend.NormalMerchant(e) == "" {
				return l.field, fmt.Sprintf("entry %d: %.80q names no merchant; write a name or a domain", i+1, e)
			}
		}
	}
	for _, l := range []struct {
		field   string
		entries []string
	}{
		{"allowedCategories", p.AllowedCategories},
		{"blockedCategories", p.BlockedCategories},
		{"allowedPayees", p.AllowedPayees},
		{"scope.agents", p.Scope.Agents},
		{"scope.rails", p.Scope.Rails},
		{"scope.networks", p.Scope.Networks},
		{"scope.operations", p.Scope.Operations},
	} {
		for i, e := range l.entries {
			if e == "" || strings.TrimSpace(e) != e {
				return l.field, fmt.Sprintf("entry %d: %.80q is empty or has spaces around it; remove them", i+1, e)
			}
		}
	}
	return "", ""
}

// soundPattern admits an operation, or a family of them.
func soundPattern(s string) bool {
	name := strings.TrimSuffix(s, ".*")
	return name != "" && name == strings.TrimSpace(name) && !strings.Contains(name, "*")
}

func (p *Policy) checkScope() (field, reason string) {
	for i, o := range p.Scope.Operations {
		if !soundPattern(o) {
			return "scope.operations", fmt.Sprintf("entry %d: %.80q is no pattern; write an operation, or a family such as payouts.*", i+1, o)
		}
	}
	for i, m := range p.Scope.Modes {
		if m != string(spend.Live) && m != string(spend.Test) {
			return "scope.modes", fmt.Sprintf("entry %d: %.80q is unknown; write live or test", i+1, m)
		}
	}
	return "", ""
}
