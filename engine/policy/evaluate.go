package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// Usage is what the counters of one policy hold now, before the payment that is
// judged. Amounts are reserved and posted together, in the policy's unit; the
// zero Amount means nothing yet.
type Usage struct {
	Day, Month, Exposure spend.Amount
	Minute, Hour         int       // payments counted in the sliding windows
	DayEnds, MonthEnds   time.Time // when the windows of Day and Month end
	// MinuteFree and HourFree are when a full sliding window frees a slot.
	MinuteFree, HourFree time.Time
}

// Input is all that a verdict depends on.
type Input struct {
	Intent   *spend.Intent
	Policies []*Policy // all there are; those that do not match are left out
	// Usage is asked once for each policy that matches; nil stands for
	// counters that hold nothing.
	Usage  func(spend.ID) Usage
	Now    time.Time
	Frozen bool // an operator has stopped spending
	// Unfit says why outgo itself has stopped spending; "" = it has not.
	Unfit string
	// Unmatched is the decision when no policy covers a leg: RequireApproval,
	// or else Deny.
	Unmatched spend.Decision
	// Counted says that velocity was counted for this payment already and is
	// not to be judged again.
	Counted bool
	// FeeCap bounds, inclusively, the sum of the fee legs that no policy
	// covers; with the zero Amount they need a policy as any other leg does.
	FeeCap spend.Amount
	// Twins are the earlier payments that may make this one a duplicate, in any
	// order; of those that are older than any policy looks back some may be missing.
	Twins []Twin
}

// evaluation is a verdict in the making. What it is made of is handed to each method
// beside it, so that it takes no memory of its own.
type evaluation struct{ v spend.Verdict }

// Evaluate judges in.Intent and returns every rule that applied, with the
// decision drawn from them, and what the limited budgets of the matching
// policies held. Reads and writes that move no money are allowed without rules.
// The order of in.Policies makes no difference.
func Evaluate(in Input) spend.Verdict {
	e := evaluation{spend.Verdict{At: in.Now}}
	if c := in.Intent.Class; c == spend.Read || c == spend.Other {
		e.v.Conclude()
		return e.v
	}
	if in.Frozen || in.Unfit != "" {
		e.add(spend.Rule{Code: spend.Frozen, Decision: spend.Deny, Value: in.Unfit})
	}
	var room [8]*Policy
	matched := appendMatching(room[:0], in.Policies, in.Intent)
	e.coverage(&in, matched)
	if in.Intent.Class == spend.Unrecognised {
		e.add(spend.Rule{Code: spend.RequiresApproval, Decision: spend.RequireApproval, Asked: "unrecognised", Value: cmp.Or(in.Intent.Call, in.Intent.Operation)})
	}
	if len(matched) > 0 {
		e.v.Policies = make([]spend.PolicyRef, 0, len(matched))
	}
	for _, p := range matched {
		var u Usage
		if in.Usage != nil {
			u = in.Usage(p.ID)
		}
		e.v.Policies = append(e.v.Policies, spend.PolicyRef{ID: p.ID, Name: p.Name, Version: p.Version})
		e.lists(in.Intent, p)
		e.capability(in.Intent, p)
		e.duplicate(&in, p)
		e.velocity(&in, p, &u)
		if err := e.money(in.Intent, p, &u); err != nil {
			e.addUncountable(p)
		}
		e.v.Balances = p.AppendBalances(e.v.Balances, &u)
	}
	e.v.Conclude()
	return e.v
}

// appendMatching appends, to none, the policies that apply, in an order that depends
// on them alone, so that two verdicts over the same policies are the same bytes.
func appendMatching(matched, policies []*Policy, in *spend.Intent) []*Policy {
	for _, p := range policies {
		if p.Matches(in) {
			matched = append(matched, p)
		}
	}
	if len(matched) > 1 {
		slices.SortFunc(matched, func(a, b *Policy) int {
			return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
		})
	}
	return matched
}

// add notes a rule, once: two legs at fault in the same way are one finding.
func (e *evaluation) add(r spend.Rule) {
	if !slices.Contains(e.v.Rules, r) {
		e.v.Rules = append(e.v.Rules, r)
	}
}

// addFor notes a rule of p.
func (e *evaluation) addFor(p *Policy, r spend.Rule) {
	r.Policy, r.PolicyID = p.Name, p.ID
	e.add(r)
}

// coverage sees to it that each leg is covered by some policy. A spend that
// does not say what it moves is covered by none; capabilities and unrecognised
// calls may have no legs but need a policy that matches.
func (e *evaluation) coverage(in *Input, matched []*Policy) {
	legs, class := in.Intent.Legs, in.Intent.Class
	if len(legs) == 0 {
		if len(matched) == 0 || class != spend.Capability && class != spend.Unrecognised {
			e.addUnmatched(in, "")
		}
		return
	}
	for i := range legs {
		if !covered(&legs[i], matched) {
			e.uncovered(in, matched)
			return
		}
	}
}

func covered(l *spend.Leg, by []*Policy) bool {
	for _, p := range by {
		if p.covers(l) {
			return true
		}
	}
	return false
}

// uncovered judges legs some of which no policy covers: fees may be.
func (e *evaluation) uncovered(in *Input, matched []*Policy) {
	var fees spend.Amount
	sound := true
	for i := range in.Intent.Legs {
		l := &in.Intent.Legs[i]
		if covered(l, matched) {
			continue
		}
		if l.Kind != spend.Fee || l.Amount.IsZero() || in.FeeCap.IsZero() || len(matched) == 0 {
			e.addUnmatched(in, l.Amount.Unit())
			continue
		}
		if l.Amount.Sign() == 0 {
			continue // Nought fits a cap of any unit.
		}
		fee := l.Amount
		if fee.Unit() != in.FeeCap.Unit() {
			fee = l.Value
		}
		sum, err := orNought(fees, in.FeeCap.Unit()).Add(fee)
		if err != nil || l.Amount.Sign() < 0 {
			sound = false
			e.add(spend.Rule{Code: spend.FeeTooHigh, Decision: spend.Deny, Limit: in.FeeCap, Amount: l.Amount})
			continue
		}
		fees = sum
	}
	if sound && fees.Sign() > 0 && !fees.Fits(in.FeeCap) {
		e.add(spend.Rule{Code: spend.FeeTooHigh, Decision: spend.Deny, Limit: in.FeeCap, Amount: fees})
	}
}

func (e *evaluation) addUnmatched(in *Input, unit string) {
	r := spend.Rule{Code: spend.NoActivePolicy, Decision: spend.Deny, Value: unit}
	if in.Unmatched == spend.RequireApproval {
		r.Decision, r.Asked = spend.RequireApproval, "unmatched"
	}
	e.add(r)
}

// velocity judges the rate of the payments that p covers some leg of, and of
// calls without legs. Waiting does not help where none is allowed at all.
func (e *evaluation) velocity(in *Input, p *Policy, u *Usage) {
	if in.Counted || len(in.Intent.Legs) > 0 && !p.coversSome(in.Intent) {
		return
	}
	if p.PerMinute != nil && u.Minute >= *p.PerMinute {
		e.tooMany(p, spend.VelocityLimitMinute, *p.PerMinute, u.MinuteFree)
	}
	if p.PerHour != nil && u.Hour >= *p.PerHour {
		e.tooMany(p, spend.VelocityLimitHour, *p.PerHour, u.HourFree)
	}
}

func (e *evaluation) tooMany(p *Policy, code spend.Code, bound int, free time.Time) {
	if bound <= 0 {
		free = time.Time{}
	}
	e.addFor(p, spend.Rule{Code: code, Decision: spend.Deny, Count: bound, RetryAt: free})
}
