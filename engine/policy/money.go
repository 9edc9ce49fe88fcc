package policy

import (
	"slices"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// largest is the greatest number that amounts count to, 2^256-1.
const largest = "115792089237316195423570985008687907853269984665640564039457584007913129639935"

// money judges the amounts that p covers. Allowances count at full size beside
// charges, since whoever holds one may take it today, and against the exposure
// limit as well. An error means that something cannot be added up or compared.
func (e *evaluation) money(in *spend.Intent, p *Policy, u *Usage) error {
	total, charged, err := p.Charge(in)
	if err != nil {
		return err
	}
	allowed, exposed, err := p.Exposure(in)
	if err != nil {
		return err
	}
	switch {
	case !charged && !exposed:
		return nil
	case !charged:
		total = allowed
	case exposed:
		if total, err = total.Add(allowed); err != nil {
			return err
		}
	}

	if over, err := exceeds(&total, &p.MaxSingle); err != nil {
		return err
	} else if over {
		e.addLimit(p, spend.ExceedsSingleLimit, spend.Deny, "", &p.MaxSingle, &total)
	}
	if over, err := exceeds(&total, &p.RequireApprovalOver); err != nil {
		return err
	} else if over {
		e.addLimit(p, spend.RequiresApproval, spend.RequireApproval, "amount", &p.RequireApprovalOver, &total)
	}
	if err := e.budget(p, spend.ExceedsDailyLimit, &p.Daily, &u.Day, &total, u.DayEnds); err != nil {
		return err
	}
	if err := e.budget(p, spend.ExceedsMonthlyLimit, &p.Monthly, &u.Month, &total, u.MonthEnds); err != nil {
		return err
	}
	if exposed {
		return e.budget(p, spend.ExposureLimit, &p.MaxExposure, &u.Exposure, &allowed, time.Time{})
	}
	return nil
}

// addLimit notes that amount is over a limit for one payment.
func (e *evaluation) addLimit(p *Policy, code spend.Code, decision spend.Decision, asked string, limit, amount *spend.Amount) {
	e.addFor(p, spend.Rule{Code: code, Decision: decision, Asked: asked, Limit: *limit, Amount: *amount})
}

// budget judges amount on top of what a counter holds. The sum is made even
// where there is no limit, because the counter must be able to hold it.
func (e *evaluation) budget(p *Policy, code spend.Code, limit, used, amount *spend.Amount, ends time.Time) error {
	held := orNought(*used, p.Unit)
	sum, err := held.Add(*amount)
	if err != nil {
		return err
	}
	over, err := exceeds(&sum, limit)
	if over {
		e.addBudget(p, code, limit, &held, amount, ends)
	}
	return err
}

// addBudget notes that amount is over what remains of a limit.
func (e *evaluation) addBudget(p *Policy, code spend.Code, limit, held, amount *spend.Amount, ends time.Time) {
	if !amount.Fits(*limit) {
		ends = time.Time{} // It would not fit an empty window either.
	}
	e.addFor(p, spend.Rule{
		Code: code, Decision: spend.Deny,
		Limit: *limit, Amount: *amount, Remaining: left(*limit, *held), RetryAt: ends,
	})
}

// addUncountable denies for p what cannot be added up: it is more than any
// limit.
func (e *evaluation) addUncountable(p *Policy) {
	limit := p.MaxSingle
	if limit.IsZero() {
		limit, _ = spend.ParseAmount(p.Unit, largest)
	}
	e.addFor(p, spend.Rule{Code: spend.ExceedsSingleLimit, Decision: spend.Deny, Limit: limit, Amount: spend.Unlimited(p.Unit)})
}

// AppendBalances appends what each limited budget of p holds.
func (p *Policy) AppendBalances(found []spend.Balance, u *Usage) []spend.Balance {
	found = slices.Grow(found, p.limits())
	found = p.appendBalance(found, "day", &p.Daily, &u.Day, u.DayEnds)
	found = p.appendBalance(found, "month", &p.Monthly, &u.Month, u.MonthEnds)
	return p.appendBalance(found, "exposure", &p.MaxExposure, &u.Exposure, time.Time{})
}

func (p *Policy) appendBalance(found []spend.Balance, period string, limit, used *spend.Amount, resets time.Time) []spend.Balance {
	if limit.IsZero() {
		return found
	}
	holds := orNought(*used, p.Unit)
	return append(found, spend.Balance{
		Policy: p.Name, PolicyID: p.ID, Period: period,
		Limit: *limit, Used: holds, Remaining: left(*limit, holds), Resets: resets,
	})
}

// limits is how many of p's budgets are limited.
func (p *Policy) limits() (n int) {
	for _, limit := range [...]*spend.Amount{&p.Daily, &p.Monthly, &p.MaxExposure} {
		if !limit.IsZero() {
			n++
		}
	}
	return n
}

// exceeds reports whether a is more than limit, which Unlimited always is,
// unless there is no limit. It fails where their units differ.
func exceeds(a, limit *spend.Amount) (bool, error) {
	if limit.IsZero() {
		return false, nil
	}
	c, err := a.Cmp(*limit)
	return err == nil && (c > 0 || a.IsUnlimited()), err
}

// left returns what used leaves of limit; negative where more was settled than
// was judged, nought where used is past counting.
func left(limit, used spend.Amount) spend.Amount {
	rest, err := limit.Sub(used)
	if err != nil {
		return spend.NewAmount(limit.Unit(), 0)
	}
	return rest
}

// orNought gives the zero Amount a number.
func orNought(a spend.Amount, unit string) spend.Amount {
	if a.IsZero() {
		return spend.NewAmount(unit, 0)
	}
	return a
}
