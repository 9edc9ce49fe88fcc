package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/spend"
)

// The generators draw from few values, so that rules and payments often meet.

func drawLimit(t *rapid.T, unit, label string) spend.Amount {
	if rapid.Bool().Draw(t, label+" set") {
		return spend.NewAmount(unit, rapid.Int64Range(0, 40).Draw(t, label))
	}
	return spend.Amount{}
}

func drawBound(t *rapid.T, label string) *int {
	if rapid.Bool().Draw(t, label+" set") {
		return count(rapid.IntRange(0, 4).Draw(t, label))
	}
	return nil
}

func drawList(t *rapid.T, label string, of ...string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, 2, rapid.ID[string]).Draw(t, label)
}

func drawPolicy(t *rapid.T, n int) *Policy {
	unit := rapid.SampledFrom([]string{"USD", "EUR", usdc}).Draw(t, "unit")
	p := &Policy{
		ID: spend.ID(fmt.Sprintf("p%d", n)), Name: fmt.Sprintf("policy %d", n), Version: n, Unit: unit,
		MaxSingle: drawLimit(t, unit, "single"), Daily: drawLimit(t, unit, "daily"), Monthly: drawLimit(t, unit, "monthly"),
		RequireApprovalOver: drawLimit(t, unit, "approval"), MaxExposure: drawLimit(t, unit, "exposure"),
		PerMinute: drawBound(t, "minute"), PerHour: drawBound(t, "hour"),
		AllowedMerchants: drawList(t, "allowed merchants", "a.example", "example"), BlockedMerchants: drawList(t, "blocked merchants", "b.example", "a.example"),
		AllowedCategories: drawList(t, "allowed categories", "x", "y"), BlockedCategories: drawList(t, "blocked categories", "x", "z"),
		AllowedPayees: drawList(t, "allowed payees", "acct_1", "acct_2"),
		Capabilities:  rapid.SampledFrom([]string{"", "allow", "hold", "deny"}).Draw(t, "capabilities"),
		Duplicates:    rapid.SampledFrom([]string{"", "allow", "flag", "hold", "deny"}).Draw(t, "duplicates"),

		DuplicateWindow:  time.Duration(rapid.IntRange(0, 3).Draw(t, "window")) * 10 * time.Hour,
		DuplicatesAcross: rapid.SampledFrom([]string{"", "agent", "all"}).Draw(t, "across"),

		IgnoreClaims: rapid.Bool().Draw(t, "ignore claims"),
		Active:       rapid.IntRange(0, 9).Draw(t, "active") > 0,
	}
	p.CapabilityRules = rapid.MapOfN(rapid.SampledFrom([]string{"payouts.*", "payouts.create", "charges.*", "charges.create.*"}),
		rapid.SampledFrom([]string{"allow", "hold", "deny"}), 0, 2).Draw(t, "capability rules")
	p.Scope.Agents = drawList(t, "scope agents", "a1", "a2", "a1 ")
	p.Scope.Operations = drawList(t, "scope operations", "payouts.*", "payouts.create", "charges.*")
	return p
}

func drawPolicies(t *rapid.T) []*Policy {
	policies := make([]*Policy, rapid.IntRange(0, 4).Draw(t, "policies"))
	for i := range policies {
		policies[i] = drawPolicy(t, i)
	}
	return policies
}

func drawLeg(t *rapid.T) spend.Leg {
	unit := rapid.SampledFrom([]string{"USD", "EUR", usdc}).Draw(t, "leg unit")
	n := rapid.Int64Range(0, 30).Draw(t, "leg amount")
	l := spend.Leg{
		Kind:     rapid.SampledFrom([]spend.LegKind{spend.Charge, spend.Transfer, spend.Allowance, spend.Fee}).Draw(t, "kind"),
		Amount:   spend.NewAmount(unit, n),
		Payee:    rapid.SampledFrom([]string{"", "acct_1", "acct_3"}).Draw(t, "payee"),
		Merchant: rapid.SampledFrom([]string{"", "a.example", "b.example", "shop.a.example", "c.test"}).Draw(t, "merchant"),
		Category: rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "category"),
	}
	if l.Kind == spend.Allowance && rapid.IntRange(0, 3).Draw(t, "unlimited") == 0 {
		l.Amount = spend.Unlimited(unit)
	}
	if unit == usdc && !l.Amount.IsUnlimited() && rapid.Bool().Draw(t, "valued") {
		l.Value = spend.NewAmount("USD", n)
	}
	l.ClaimedMerchant = rapid.Bool().Draw(t, "claimed merchant")
	l.ClaimedCategory = rapid.Bool().Draw(t, "claimed category")
	return l
}

func drawTwin(t *rapid.T) Twin {
	return Twin{
		Request: spend.ID(rapid.StringMatching("t[0-9]").Draw(t, "twin")),
		Agent:   rapid.SampledFrom([]string{"a1", "a2"}).Draw(t, "twin's agent"),
		Began:   now.Add(-time.Duration(rapid.IntRange(0, 40).Draw(t, "hours ago")) * time.Hour),
	}
}

func drawInput(t *rapid.T) Input {
	in := payment(rapid.SliceOfN(rapid.Custom(drawLeg), 0, 3).Draw(t, "legs")...)
	in.Class = rapid.SampledFrom([]spend.Class{spend.Spend, spend.Spend, spend.Capability, spend.Unrecognised, spend.Other}).Draw(t, "class")
	in.Operation = rapid.SampledFrom([]string{"payouts.create", "charges.create"}).Draw(t, "operation")
	used := rapid.Int64Range(0, 40).Draw(t, "used")
	policies := drawPolicies(t)
	return Input{
		Intent: in, Policies: policies, Now: now,
		Frozen:    rapid.IntRange(0, 9).Draw(t, "frozen") == 0,
		Counted:   rapid.Bool().Draw(t, "counted"),
		Unmatched: rapid.SampledFrom([]spend.Decision{spend.Deny, spend.RequireApproval}).Draw(t, "unmatched"),
		FeeCap:    drawLimit(t, "EUR", "fee cap"),
		Twins:     rapid.SliceOfN(rapid.Custom(drawTwin), 0, 3).Draw(t, "twins"),
		Usage: func(id spend.ID) Usage {
			unit := "USD"
			for _, p := range policies {
				if p.ID == id {
					unit = p.Unit
				}
			}
			n := used + int64(id[1]) // differs by policy
			a := spend.NewAmount(unit, n%25)
			return Usage{Day: a, Month: a, Exposure: a, Minute: int(n % 5), Hour: int(n % 4), DayEnds: nextDay, MonthEnds: next}
		},
	}
}

func TestADenialOutlivesAnyFurtherPolicy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		before := Evaluate(in)
		in.Policies = append(slices.Clone(in.Policies), drawPolicy(t, 9))
		after := Evaluate(in)
		for _, r := range before.Rules {
			// A policy may well bring the coverage that was missing, and so
			// take the place of a fee cap; it undoes nothing else.
			if r.Decision == spend.Deny && r.Code != spend.NoActivePolicy && r.Code != spend.FeeTooHigh && !slices.Contains(after.Rules, r) {
				t.Fatalf("%+v was undone by %+v: %+v", r, in.Policies[len(in.Policies)-1], after.Rules)
			}
		}
		covered := !slices.Contains(before.Codes(), spend.NoActivePolicy) && !slices.Contains(before.Codes(), spend.FeeTooHigh)
		if covered && before.Decision != spend.Allow && after.Decision == spend.Allow {
			t.Fatalf("%s became %s", before.Decision, after.Decision)
		}
	})
}

func TestTheOrderOfPoliciesMakesNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		want := Evaluate(in)
		in.Policies = rapid.Permutation(in.Policies).Draw(t, "order")
		if got := Evaluate(in); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestAVerdictListsWhatEachRuleSaysAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		v := Evaluate(in)
		var got []string
		for _, r := range v.Rules {
			got = append(got, fmt.Sprint(r.PolicyID, " ", r.Code, " ", r.Value, " ", r.Asked))
		}
		want := naive(in)
		// Two fees in units that the cap does not have are two rules that
		// differ by their amounts.
		slices.Sort(got)
		got = slices.Compact(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("intent %+v\ngot  %q\nwant %q", in.Intent, got, want)
		}
		deny := slices.ContainsFunc(v.Rules, func(r spend.Rule) bool { return r.Decision == spend.Deny })
		mild := !slices.ContainsFunc(v.Rules, func(r spend.Rule) bool { return r.Decision != spend.Allow })
		if deny != (v.Decision == spend.Deny) || mild != (v.Decision == spend.Allow) {
			t.Fatalf("%s does not follow from %+v", v.Decision, v.Rules)
		}
	})
}

// naive is the rules once more, one after the other, in plain int64 sums, as
// "policy CODE value asked". It shares no step with Evaluate.
func naive(in Input) []string {
	it := in.Intent
	if it.Class == spend.Other {
		return nil
	}
	found := map[string]bool{}
	say := func(p spend.ID, code spend.Code, value, asked string) {
		found[fmt.Sprint(p, " ", code, " ", value, " ", asked)] = true
	}
	if in.Frozen {
		say("", spend.Frozen, "", "")
	}
	if it.Class == spend.Unrecognised {
		say("", spend.RequiresApproval, it.Operation, "unrecognised")
	}
	var matched []*Policy
	for _, p := range in.Policies {
		if p.Active && (len(p.Scope.Agents) == 0 || slices.Contains(p.Scope.Agents, "a1")) && naiveOperation(p, it.Operation) {
			matched = append(matched, p)
		}
	}
	asked := ""
	if in.Unmatched == spend.RequireApproval {
		asked = "unmatched"
	}
	if len(it.Legs) == 0 && (it.Class == spend.Spend || len(matched) == 0) {
		say("", spend.NoActivePolicy, "", asked)
	}
	naiveCoverage(in, matched, asked, say)
	for _, p := range matched {
		naivePolicy(in, p, say)
	}
	var list []string
	for s := range found {
		list = append(list, s)
	}
	return list
}

func naiveOperation(p *Policy, operation string) bool {
	for _, o := range p.Scope.Operations {
		if o == operation || o == strings.Split(operation, ".")[0]+".*" {
			return true
		}
	}
	return len(p.Scope.Operations) == 0
}

// naiveShare is a leg's weight for a policy; -1 for none, 1<<40 for unlimited.
func naiveShare(p *Policy, l spend.Leg) int64 {
	for _, a := range []spend.Amount{l.Amount, l.Value} {
		if a.Unit() == p.Unit {
			if a.IsUnlimited() {
				return 1 << 40
			}
			n, _ := a.Int64()
			return n
		}
	}
	return -1
}

func naiveCoverage(in Input, matched []*Policy, asked string, say func(spend.ID, spend.Code, string, string)) {
	var fees int64
	for _, l := range in.Intent.Legs {
		covered := false
		for _, p := range matched {
			covered = covered || naiveShare(p, l) >= 0
		}
		n, _ := l.Amount.Int64()
		switch {
		case covered:
		case l.Kind != spend.Fee || in.FeeCap.IsZero() || len(matched) == 0:
			say("", spend.NoActivePolicy, l.Amount.Unit(), asked)
		case n == 0:
		case l.Amount.Unit() != "EUR": // the unit of the cap; no generated value has it
			say("", spend.FeeTooHigh, "", "")
		default:
			fees += n
		}
	}
	if limit, _ := in.FeeCap.Int64(); fees > limit {
		say("", spend.FeeTooHigh, "", "")
	}
}

func naivePolicy(in Input, p *Policy, say func(spend.ID, spend.Code, string, string)) {
	u := in.Usage(p.ID)
	var total, allowances int64
	covers, allows, capability := false, false, in.Intent.Class == spend.Capability
	for _, l := range in.Intent.Legs {
		capability = capability || l.Kind == spend.Allowance
		n := naiveShare(p, l)
		if n < 0 {
			continue
		}
		covers, total = true, total+n
		if l.Kind == spend.Allowance {
			allows, allowances = true, allowances+n
		}
		naiveLists(p, l, say)
	}
	word := p.Capabilities
	family, _, _ := strings.Cut(in.Intent.Operation, ".")
	for _, pattern := range []string{family + ".*", in.Intent.Operation} {
		if w, ok := p.CapabilityRules[pattern]; ok {
			word = w
		}
	}
	if capability && word == "deny" {
		say(p.ID, spend.CapabilityNotAllowed, in.Intent.Operation, "")
	} else if capability && word != "allow" {
		say(p.ID, spend.RequiresApproval, in.Intent.Operation, "capability")
	}
	if covers {
		naiveDuplicate(in, p, say)
	}
	velocity := !in.Counted && (covers || len(in.Intent.Legs) == 0)
	if p.PerMinute != nil && u.Minute+1 > *p.PerMinute && velocity {
		say(p.ID, spend.VelocityLimitMinute, "", "")
	}
	if p.PerHour != nil && u.Hour+1 > *p.PerHour && velocity {
		say(p.ID, spend.VelocityLimitHour, "", "")
	}
	for _, rule := range []struct {
		applies bool
		limit   spend.Amount
		used    spend.Amount
		amount  int64
		code    spend.Code
		asked   string
	}{
		{covers, p.MaxSingle, spend.Amount{}, total, spend.ExceedsSingleLimit, ""},
		{covers, p.RequireApprovalOver, spend.Amount{}, total, spend.RequiresApproval, "amount"},
		{covers, p.Daily, u.Day, total, spend.ExceedsDailyLimit, ""},
		{covers, p.Monthly, u.Month, total, spend.ExceedsMonthlyLimit, ""},
		{allows, p.MaxExposure, u.Exposure, allowances, spend.ExposureLimit, ""},
	} {
		limit, _ := rule.limit.Int64()
		used, _ := rule.used.Int64()
		if rule.applies && !rule.limit.IsZero() && used+rule.amount > limit {
			say(p.ID, rule.code, "", rule.asked)
		}
	}
}

func naiveDuplicate(in Input, p *Policy, say func(spend.ID, spend.Code, string, string)) {
	window := 24 * time.Hour
	if p.DuplicateWindow != 0 {
		window = p.DuplicateWindow
	}
	found, began := "", time.Time{}
	for _, t := range in.Twins {
		if t.Began.Add(window).After(in.Now) && t.Began.After(began) && (t.Agent == in.Intent.Agent || p.DuplicatesAcross == "all") {
			found, began = "another's", t.Began
			if t.Agent == in.Intent.Agent {
				found = string(t.Request)
			}
		}
	}
	if found == "" || p.Duplicates == "allow" || in.Intent.Class != spend.Spend {
		return
	}
	say(p.ID, spend.Duplicate, strings.TrimPrefix(found, "another's"), map[string]string{"hold": "duplicate"}[p.Duplicates])
}

func naiveLists(p *Policy, l spend.Leg, say func(spend.ID, spend.Code, string, string)) {
	merchant, category := l.Merchant, l.Category
	if p.IgnoreClaims && l.ClaimedMerchant {
		merchant = ""
	}
	if p.IgnoreClaims && l.ClaimedCategory {
		category = ""
	}
	under := func(list []string) bool {
		for _, domain := range list {
			if merchant == domain || strings.HasSuffix(merchant, "."+domain) {
				return true
			}
		}
		return false
	}
	must := func(name string) bool { return l.Kind != spend.Fee || name != "" }
	if under(p.BlockedMerchants) {
		say(p.ID, spend.BlockedMerchant, merchant, "")
	}
	if len(p.AllowedMerchants) > 0 && !under(p.AllowedMerchants) && must(merchant) {
		say(p.ID, spend.MerchantNotAllowed, merchant, "")
	}
	if slices.Contains(p.BlockedCategories, category) {
		say(p.ID, spend.BlockedCategory, category, "")
	}
	if len(p.AllowedCategories) > 0 && !slices.Contains(p.AllowedCategories, category) && must(category) {
		say(p.ID, spend.CategoryNotAllowed, category, "")
	}
	if len(p.AllowedPayees) > 0 && !slices.Contains(p.AllowedPayees, l.Payee) && must(l.Payee) {
		say(p.ID, spend.PayeeNotAllowed, l.Payee, "")
	}
}

func BenchmarkEvaluate(b *testing.B) {
	p := open()
	p.MaxSingle, p.Daily, p.Monthly, p.PerMinute = usd(500), usd(5000), usd(50000), count(10)
	p.BlockedMerchants = []string{"evil.example"}
	l := charge(100)
	l.Merchant = "acme.example"
	in := Input{Intent: payment(l), Policies: []*Policy{p}, Now: now, Usage: func(spend.ID) Usage { return Usage{Day: usd(1)} }}
	b.ReportAllocs()
	for b.Loop() {
		if Evaluate(in).Decision != spend.Allow {
			b.Fatal("denied")
		}
	}
}
