package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// limit is one bound of a policy, with its field.
type limit struct {
	field string
	value Integer
}

// policies checks what can be seen without evaluating anything: names, units,
// and limits of which one makes another pointless.
func (k *checker) policies() {
	names, former := map[string]string{}, map[string]string{}
	for i := range k.c.Policies {
		p := &k.c.Policies[i]
		at := fmt.Sprintf("policies[%d]", i)
		if strings.TrimSpace(p.Name) == "" {
			k.bad(at+".name", "missing", "give the policy a name: its counters go by it")
		}
		k.unique(names, at+".name", p.Name, "the name")
		k.unique(former, at+".was", p.Was, "the former name")
		k.policyUnit(at, p)
		k.policyLimits(at, p)
		k.policyLists(at, p)
		k.policyScope(at, p)
		k.policyCapabilities(at+".capabilities", p.Capabilities)
		k.policyDuplicates(at, p)
		if p.Timezone != "" && !zone(p.Timezone) {
			k.bad(at+".timezone", fmt.Sprintf("%.80q is not a known time zone", p.Timezone), `write an IANA name such as "Europe/Berlin"`)
		}
	}
	for i, p := range k.c.Policies {
		if _, taken := names[p.Was]; taken && p.Was != "" {
			k.bad(fmt.Sprintf("policies[%d].was", i), fmt.Sprintf("%q is the name of a policy that exists", p.Was),
				"was names what this policy was called before: remove it, or rename the other")
		}
	}
}

func (k *checker) policyCapabilities(at string, c Capabilities) {
	for _, pattern := range slices.Sorted(maps.Keys(c)) {
		field := join(at, pattern)
		if _, written := k.c.marks[field]; !written {
			field = at // the word alone
		}
		if pattern != others && !operation.MatchString(pattern) {
			k.bad(field, fmt.Sprintf("%.80q is not an operation", pattern), `write one such as "accounts.create", "accounts.*", or default`)
			continue
		}
		k.oneOf(field, c[pattern], "allow", "hold", "deny")
	}
}

func (k *checker) policyDuplicates(at string, p *Policy) {
	k.oneOf(at+".duplicates", p.Duplicates, "allow", "flag", "hold", "deny")
	k.oneOf(at+".duplicatesAcross", p.DuplicatesAcross, "agent", "all")
	if p.DuplicateWindow <= 0 {
		k.bad(at+".duplicateWindow", fmt.Sprintf("%s is no time", p.DuplicateWindow), `write a duration such as "24h", or duplicates: allow`)
	}
}

func (k *checker) policyUnit(at string, p *Policy) {
	switch {
	case p.Unit == "":
		k.bad(at+".unit", "missing", `write the currency, such as "USD", or a CAIP-19 asset`)
	case !isoUnit.MatchString(p.Unit) && !caip19.MatchString(p.Unit):
		k.bad(at+".unit", fmt.Sprintf("%.140q is neither an ISO 4217 currency nor a CAIP-19 asset", p.Unit),
			`write "USD", or an asset such as "eip155:1/slip44:60"`)
	}
}

func (k *checker) policyLimits(at string, p *Policy) {
	bounds := []limit{{"maxSingleAmount", p.MaxSingleAmount}, {"dailyLimit", p.DailyLimit}, {"monthlyLimit", p.MonthlyLimit}}
	for i, small := range bounds {
		for _, large := range bounds[i+1:] {
			if small.value != "" && large.value != "" && large.value.Less(small.value) {
				k.bad(at+"."+small.field, fmt.Sprintf("%s is more than %s (%s)", small.value, large.field, large.value),
					"the smaller limit would decide alone: correct one of them")
			}
		}
	}
	if over, most := p.RequireApprovalOver, p.MaxSingleAmount; over != "" && most != "" && most.Less(over) {
		k.bad(at+".requireApprovalOver", fmt.Sprintf("%s is more than maxSingleAmount (%s)", over, most),
			"no payment could ever be held, as larger ones are denied: lower it, or remove one")
	}
	minute, hour := p.MaxTransactionsPerMinute, p.MaxTransactionsPerHour
	if minute != nil && *minute < 0 {
		k.bad(at+".maxTransactionsPerMinute", "negative", "write a whole number, or null for no limit")
	}
	if hour != nil && *hour < 0 {
		k.bad(at+".maxTransactionsPerHour", "negative", "write a whole number, or null for no limit")
	}
	if minute != nil && hour != nil && *minute > *hour {
		k.bad(at+".maxTransactionsPerMinute", fmt.Sprintf("%d is more than maxTransactionsPerHour (%d)", *minute, *hour),
			"the smaller limit would decide alone: correct one of them")
	}
}

func (k *checker) policyLists(at string, p *Policy) {
	for _, l := range []struct {
		field string
		items []string
	}{
		{"allowedMerchants", p.AllowedMerchants}, {"blockedMerchants", p.BlockedMerchants},
		{"allowedCategories", p.AllowedCategories}, {"blockedCategories", p.BlockedCategories},
		{"allowedPayees", p.AllowedPayees},
	} {
		for i, item := range l.items {
			if strings.TrimSpace(item) == "" {
				k.bad(fmt.Sprintf("%s.%s[%d]", at, l.field, i), "empty", "write the name, or remove the item")
			}
		}
	}
	k.disjoint(at+".allowedMerchants", p.AllowedMerchants, p.BlockedMerchants)
	k.disjoint(at+".allowedCategories", p.AllowedCategories, p.BlockedCategories)
}

func (k *checker) disjoint(field string, allowed, blocked []string) {
	for i, a := range allowed {
		if slices.ContainsFunc(blocked, func(b string) bool { return strings.EqualFold(a, b) }) {
			k.bad(fmt.Sprintf("%s[%d]", field, i), fmt.Sprintf("%.80q is blocked as well", a), "remove it from one of the lists")
		}
	}
}

func (k *checker) policyScope(at string, p *Policy) {
	rails := k.c.railNames()
	for i, r := range p.Scope.Rails {
		k.oneOf(fmt.Sprintf("%s.scope.rails[%d]", at, i), r, rails...)
	}
	for i, m := range p.Scope.Modes {
		k.oneOf(fmt.Sprintf("%s.scope.modes[%d]", at, i), m, "live", "test")
	}
	for i, a := range p.Scope.Agents {
		if !agentName.MatchString(a) {
			k.bad(fmt.Sprintf("%s.scope.agents[%d]", at, i), fmt.Sprintf("%.80q is not a name for an agent", a), "")
		}
	}
	for i, n := range p.Scope.Networks {
		if !caip2.MatchString(n) && !railName.MatchString(n) {
			k.bad(fmt.Sprintf("%s.scope.networks[%d]", at, i), fmt.Sprintf("%.80q is not a network", n), `write "stripe", or a CAIP-2 id such as "eip155:1"`)
		}
	}
	for i, o := range p.Scope.Operations {
		if !operation.MatchString(o) {
			k.bad(fmt.Sprintf("%s.scope.operations[%d]", at, i), fmt.Sprintf("%.80q is not an operation", o),
				`write one such as "payouts.create", or "payouts.*"`)
		}
	}
}
