package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

var (
	now     = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	nextDay = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	next    = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
)

// shape is a verdict in short: the decision, then each rule as
// "CODE[=value][?asked][ amount/limit][ left remaining][ @retry]", in order.
func shape(v spend.Verdict) string {
	parts := []string{string(v.Decision)}
	for _, r := range v.Rules {
		s := string(r.Code)
		if r.Value != "" {
			s += "=" + r.Value
		}
		if r.Asked != "" {
			s += "?" + r.Asked
		}
		if !r.Limit.IsZero() {
			s += " " + r.Amount.Decimal() + "/" + r.Limit.Decimal()
		}
		if !r.Remaining.IsZero() {
			s += " left " + r.Remaining.Decimal()
		}
		if !r.RetryAt.IsZero() {
			s += " @" + r.RetryAt.Format("2006-01-02T15:04:05")
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

// judge is one row of the tables below: one policy, one payment.
type judge struct {
	change func(p *Policy, in *Input, u *Usage)
	want   string
}

func runJudge(t *testing.T, tests map[string]judge) {
	t.Helper()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := open()
			u := Usage{DayEnds: nextDay, MonthEnds: next, MinuteFree: now.Add(7 * time.Second), HourFree: now.Add(9 * time.Minute)}
			in := Input{Intent: payment(charge(100)), Policies: []*Policy{p}, Now: now}
			in.Usage = func(spend.ID) Usage { return u }
			tt.change(p, &in, &u)
			if got := shape(Evaluate(in)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAmounts(t *testing.T) {
	allowance := spend.Leg{Kind: spend.Allowance, Amount: usd(100)}
	unlimited := spend.Leg{Kind: spend.Allowance, Amount: spend.Unlimited("USD")}
	runJudge(t, map[string]judge{
		"no limits, no rules":                    {func(*Policy, *Input, *Usage) {}, "ALLOW"},
		"a single limit is inclusive":            {func(p *Policy, _ *Input, _ *Usage) { p.MaxSingle = usd(100) }, "ALLOW"},
		"one cent over a single limit is denied": {func(p *Policy, _ *Input, _ *Usage) { p.MaxSingle = usd(99) }, "DENY; EXCEEDS_SINGLE_LIMIT 100/99"},
		"a single limit holds the sum of the legs": {func(p *Policy, in *Input, _ *Usage) {
			p.MaxSingle, in.Intent = usd(150), payment(charge(100), charge(51))
		}, "DENY; EXCEEDS_SINGLE_LIMIT 151/150"},
		"a single limit holds allowances too": {func(p *Policy, in *Input, _ *Usage) {
			p.MaxSingle, in.Intent = usd(150), payment(charge(51), allowance)
		}, "DENY; EXCEEDS_SINGLE_LIMIT 151/150"},
		"a limit of nought lets nought pass":            {func(p *Policy, in *Input, _ *Usage) { p.MaxSingle, in.Intent = usd(0), payment(charge(0)) }, "ALLOW"},
		"a limit of nought is a limit":                  {func(p *Policy, _ *Input, _ *Usage) { p.MaxSingle = usd(0) }, "DENY; EXCEEDS_SINGLE_LIMIT 100/0"},
		"the bound of approval itself passes":           {func(p *Policy, _ *Input, _ *Usage) { p.RequireApprovalOver = usd(100) }, "ALLOW"},
		"strictly over the bound a person decides":      {func(p *Policy, _ *Input, _ *Usage) { p.RequireApprovalOver = usd(99) }, "REQUIRE_APPROVAL; REQUIRES_APPROVAL?amount 100/99"},
		"a daily limit is inclusive":                    {func(p *Policy, _ *Input, u *Usage) { p.Daily, u.Day = usd(150), usd(50) }, "ALLOW"},
		"over the daily limit, tomorrow it may fit":     {func(p *Policy, _ *Input, u *Usage) { p.Daily, u.Day = usd(150), usd(51) }, "DENY; EXCEEDS_DAILY_LIMIT 100/150 left 99 @2026-11-22T00:00:00"},
		"what no day can hold is not worth waiting for": {func(p *Policy, _ *Input, _ *Usage) { p.Daily = usd(99) }, "DENY; EXCEEDS_DAILY_LIMIT 100/99 left 99"},
		"an overspent day leaves less than nothing":     {func(p *Policy, _ *Input, u *Usage) { p.Daily, u.Day = usd(150), usd(200) }, "DENY; EXCEEDS_DAILY_LIMIT 100/150 left -50 @2026-11-22T00:00:00"},
		"a monthly limit is inclusive":                  {func(p *Policy, _ *Input, u *Usage) { p.Monthly, u.Month = usd(150), usd(50) }, "ALLOW"},
		"over the monthly limit, next month it may fit": {func(p *Policy, _ *Input, u *Usage) { p.Monthly, u.Month = usd(150), usd(51) }, "DENY; EXCEEDS_MONTHLY_LIMIT 100/150 left 99 @2026-12-01T00:00:00"},
		"allowances fill a day at full size":            {func(p *Policy, in *Input, _ *Usage) { p.Daily, in.Intent = usd(150), payment(charge(51), allowance) }, "DENY; EXCEEDS_DAILY_LIMIT 151/150 left 150"},
		"an exposure limit is inclusive": {func(p *Policy, in *Input, u *Usage) {
			p.MaxExposure, u.Exposure, in.Intent = usd(150), usd(50), payment(allowance)
		}, "ALLOW"},
		"over the exposure limit, waiting does not help": {func(p *Policy, in *Input, u *Usage) {
			p.MaxExposure, u.Exposure, in.Intent = usd(150), usd(51), payment(allowance)
		}, "DENY; EXPOSURE_LIMIT 100/150 left 99"},
		"a charge adds no exposure": {func(p *Policy, _ *Input, u *Usage) { p.MaxExposure, u.Exposure = usd(0), usd(51) }, "ALLOW"},
		"unlimited fits no limit":   {func(p *Policy, in *Input, _ *Usage) { p.MaxExposure, in.Intent = usd(1<<62), payment(unlimited) }, "DENY; EXPOSURE_LIMIT unlimited/4611686018427387904 left 4611686018427387904"},
		"unlimited is over every bound of approval": {func(p *Policy, in *Input, _ *Usage) {
			p.RequireApprovalOver, in.Intent = usd(1<<62), payment(unlimited)
		}, "REQUIRE_APPROVAL; REQUIRES_APPROVAL?amount unlimited/4611686018427387904"},
		"beside an unlimited allowance nothing fits": {func(p *Policy, _ *Input, u *Usage) { p.Daily, u.Day = usd(500), spend.Unlimited("USD") }, "DENY; EXCEEDS_DAILY_LIMIT 100/500 left 0 @2026-11-22T00:00:00"},
		"all limits at once, in the order they decide": {func(p *Policy, _ *Input, u *Usage) {
			p.MaxSingle, p.Daily, p.Monthly, p.RequireApprovalOver = usd(1), usd(1), usd(1), usd(1)
			p.PerMinute, p.PerHour = count(2), count(0)
			u.Minute = 2
		}, "DENY; EXCEEDS_SINGLE_LIMIT 100/1; VELOCITY_LIMIT_MINUTE @2026-11-21T09:00:07; VELOCITY_LIMIT_HOUR; EXCEEDS_DAILY_LIMIT 100/1 left 1; EXCEEDS_MONTHLY_LIMIT 100/1 left 1; REQUIRES_APPROVAL?amount 100/1"},
	})
}

func TestWhatCannotBeAddedUpIsDenied(t *testing.T) {
	huge, err := spend.ParseAmount("USD", largest)
	if err != nil {
		t.Fatal(err)
	}
	const denied = "DENY; EXCEEDS_SINGLE_LIMIT unlimited/" + largest
	runJudge(t, map[string]judge{
		"legs beyond 2^256-1": {func(_ *Policy, in *Input, _ *Usage) {
			in.Intent.Legs = append(in.Intent.Legs, spend.Leg{Kind: spend.Charge, Amount: huge})
		}, denied},
		"allowances beyond 2^256-1": {func(_ *Policy, in *Input, _ *Usage) {
			in.Intent.Legs = append(in.Intent.Legs, spend.Leg{Kind: spend.Allowance, Amount: huge})
		}, denied},
		"a day beyond 2^256-1":               {func(_ *Policy, _ *Input, u *Usage) { u.Day = huge }, denied},
		"a month beyond 2^256-1":             {func(_ *Policy, _ *Input, u *Usage) { u.Month = huge }, denied},
		"an exposure beyond 2^256-1":         {func(_ *Policy, in *Input, u *Usage) { u.Exposure, in.Intent.Legs[0].Kind = huge, spend.Allowance }, denied},
		"a negative leg":                     {func(_ *Policy, in *Input, _ *Usage) { in.Intent.Legs = append(in.Intent.Legs, charge(-1)) }, denied},
		"a counter in another unit":          {func(_ *Policy, _ *Input, u *Usage) { u.Day = spend.NewAmount("EUR", 1) }, denied},
		"a single limit in another unit":     {func(p *Policy, _ *Input, _ *Usage) { p.MaxSingle = spend.NewAmount("EUR", 500) }, "DENY; EXCEEDS_SINGLE_LIMIT unlimited/500"},
		"a bound of approval in another one": {func(p *Policy, _ *Input, _ *Usage) { p.RequireApprovalOver = spend.NewAmount("EUR", 500) }, denied},
		"a daily limit in another unit":      {func(p *Policy, _ *Input, _ *Usage) { p.Daily = spend.NewAmount("EUR", 500) }, denied},
		"a monthly limit in another unit":    {func(p *Policy, _ *Input, _ *Usage) { p.Monthly = spend.NewAmount("EUR", 500) }, denied},
	})
}

func TestVelocity(t *testing.T) {
	runJudge(t, map[string]judge{
		"the last call of a minute passes":             {func(p *Policy, _ *Input, u *Usage) { p.PerMinute, u.Minute = count(3), 2 }, "ALLOW"},
		"the call that would exceed a minute does not": {func(p *Policy, _ *Input, u *Usage) { p.PerMinute, u.Minute = count(3), 3 }, "DENY; VELOCITY_LIMIT_MINUTE @2026-11-21T09:00:07"},
		"the last call of an hour passes":              {func(p *Policy, _ *Input, u *Usage) { p.PerHour, u.Hour = count(3), 2 }, "ALLOW"},
		"the call that would exceed an hour does not":  {func(p *Policy, _ *Input, u *Usage) { p.PerHour, u.Hour = count(3), 3 }, "DENY; VELOCITY_LIMIT_HOUR @2026-11-21T09:09:00"},
		"where none are allowed waiting does not help": {func(p *Policy, _ *Input, _ *Usage) { p.PerMinute = count(0) }, "DENY; VELOCITY_LIMIT_MINUTE"},
		"what was counted is not judged again":         {func(p *Policy, in *Input, u *Usage) { p.PerMinute, u.Minute, in.Counted = count(3), 3, true }, "ALLOW"},
		"a policy of another unit counts other payments": {func(p *Policy, in *Input, u *Usage) {
			p.PerMinute, u.Minute, p.Unit = count(3), 3, "EUR"
			in.Policies = append(in.Policies, &Policy{ID: "p2", Name: "dollars", Unit: "USD", Active: true})
		}, "ALLOW"},
		"a policy of any unit counts calls without legs": {func(p *Policy, in *Input, _ *Usage) {
			p.PerMinute, p.Unit, in.Intent = count(0), "EUR", payment()
			in.Intent.Class = spend.Capability
		}, "DENY; VELOCITY_LIMIT_MINUTE"},
	})
}

func TestLists(t *testing.T) {
	to := func(merchant string) *spend.Intent { l := charge(1); l.Merchant = merchant; return payment(l) }
	in := func(category string) *spend.Intent { l := charge(1); l.Category = category; return payment(l) }
	payee := func(payee string) *spend.Intent { l := charge(1); l.Payee = payee; return payment(l) }
	claimed := func() *spend.Intent {
		return payment(spend.Leg{Kind: spend.Charge, Amount: usd(1), Merchant: "acme.example", Category: "books", ClaimedMerchant: true, ClaimedCategory: true})
	}
	const address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
	runJudge(t, map[string]judge{
		"a blocked merchant is denied": {func(p *Policy, i *Input, _ *Usage) {
			p.BlockedMerchants, i.Intent = []string{"evil.example"}, to("evil.example")
		}, "DENY; BLOCKED_MERCHANT=evil.example"},
		"a blocked merchant's subdomain is denied": {func(p *Policy, i *Input, _ *Usage) {
			p.BlockedMerchants, i.Intent = []string{"evil.example"}, to("pay.evil.example")
		}, "DENY; BLOCKED_MERCHANT=pay.evil.example"},
		"a name that ends alike is another": {func(p *Policy, i *Input, _ *Usage) {
			p.BlockedMerchants, i.Intent = []string{"evil.example"}, to("notevil.example")
		}, "ALLOW"},
		"a list entry is read as a merchant is": {func(p *Policy, i *Input, _ *Usage) {
			p.BlockedMerchants, i.Intent = []string{"https://WWW.Evil.example:443/x"}, to("evil.example")
		}, "DENY; BLOCKED_MERCHANT=evil.example"},
		"an allowed merchant passes": {func(p *Policy, i *Input, _ *Usage) {
			p.AllowedMerchants, i.Intent = []string{"b", "acme.example"}, to("acme.example")
		}, "ALLOW"},
		"an allowed merchant's subdomain passes": {func(p *Policy, i *Input, _ *Usage) {
			p.AllowedMerchants, i.Intent = []string{"acme.example"}, to("eu.acme.example")
		}, "ALLOW"},
		"a parent of an allowed merchant does not": {func(p *Policy, i *Input, _ *Usage) {
			p.AllowedMerchants, i.Intent = []string{"eu.acme.example"}, to("acme.example")
		}, "DENY; MERCHANT_NOT_ALLOWED=acme.example"},
		"no merchant is on no allow list": {func(p *Policy, _ *Input, _ *Usage) { p.AllowedMerchants = []string{"acme.example"} }, "DENY; MERCHANT_NOT_ALLOWED"},
		"no merchant is on no block list": {func(p *Policy, _ *Input, _ *Usage) { p.BlockedMerchants = []string{"acme.example"} }, "ALLOW"},
		"blocked wins over allowed, and both apply": {func(p *Policy, i *Input, _ *Usage) {
			p.BlockedMerchants, p.AllowedMerchants, i.Intent = []string{"a"}, []string{"b"}, to("a")
		}, "DENY; BLOCKED_MERCHANT=a; MERCHANT_NOT_ALLOWED=a"},
		"a blocked category is denied in any case": {func(p *Policy, i *Input, _ *Usage) {
			p.BlockedCategories, i.Intent = []string{"Gambling"}, in("gambling")
		}, "DENY; BLOCKED_CATEGORY=gambling"},
		"a category off the allow list is denied": {func(p *Policy, i *Input, _ *Usage) { p.AllowedCategories, i.Intent = []string{"books"}, in("games") }, "DENY; CATEGORY_NOT_ALLOWED=games"},
		"a category on the allow list passes":     {func(p *Policy, i *Input, _ *Usage) { p.AllowedCategories, i.Intent = []string{"Books"}, in("books") }, "ALLOW"},
		"no category is on no allow list":         {func(p *Policy, _ *Input, _ *Usage) { p.AllowedCategories = []string{"books"} }, "DENY; CATEGORY_NOT_ALLOWED"},
		"an allowed payee passes":                 {func(p *Policy, i *Input, _ *Usage) { p.AllowedPayees, i.Intent = []string{"acct_1"}, payee("acct_1") }, "ALLOW"},
		"accounts differ by case":                 {func(p *Policy, i *Input, _ *Usage) { p.AllowedPayees, i.Intent = []string{"acct_A"}, payee("acct_a") }, "DENY; PAYEE_NOT_ALLOWED=acct_a"},
		"addresses do not": {func(p *Policy, i *Input, _ *Usage) {
			p.AllowedPayees, i.Intent = []string{strings.ToLower(address)}, payee(address)
		}, "ALLOW"},
		"no payee is on no allow list": {func(p *Policy, _ *Input, _ *Usage) { p.AllowedPayees = []string{"acct_1"} }, "DENY; PAYEE_NOT_ALLOWED"},
		"claims are believed by default": {func(p *Policy, i *Input, _ *Usage) {
			p.AllowedMerchants, p.AllowedCategories, i.Intent = []string{"acme.example"}, []string{"books"}, claimed()
		}, "ALLOW"},
		"claims that are not trusted are absent": {func(p *Policy, i *Input, _ *Usage) {
			p.IgnoreClaims, p.AllowedMerchants, p.AllowedCategories, i.Intent = true, []string{"acme.example"}, []string{"books"}, claimed()
		}, "DENY; MERCHANT_NOT_ALLOWED; CATEGORY_NOT_ALLOWED"},
		"facts are no claims": {func(p *Policy, i *Input, _ *Usage) {
			p.IgnoreClaims, p.AllowedMerchants, i.Intent = true, []string{"acme.example"}, to("acme.example")
		}, "ALLOW"},
		"every leg is judged": {func(p *Policy, i *Input, _ *Usage) {
			p.BlockedMerchants, i.Intent = []string{"evil.example"}, payment(charge(1), to("evil.example").Legs[0], to("evil.example").Legs[0])
		}, "DENY; BLOCKED_MERCHANT=evil.example"},
		"a fee need not say who takes it": {func(p *Policy, i *Input, _ *Usage) {
			p.AllowedMerchants, p.AllowedPayees, i.Intent = []string{"a"}, []string{"b"}, payment(spend.Leg{Kind: spend.Fee, Amount: usd(1)})
		}, "ALLOW"},
		"a fee to somebody unlisted is denied": {func(p *Policy, i *Input, _ *Usage) {
			p.AllowedPayees, i.Intent = []string{"b"}, payment(spend.Leg{Kind: spend.Fee, Amount: usd(1), Payee: "c"})
		}, "DENY; PAYEE_NOT_ALLOWED=c"},
		"legs that a policy does not cover are free": {func(p *Policy, i *Input, _ *Usage) {
			p.Unit, p.AllowedMerchants = "EUR", []string{"acme.example"}
			i.Policies = append(i.Policies, &Policy{ID: "p2", Name: "dollars", Unit: "USD", Active: true})
		}, "ALLOW"},
	})
}

func TestCoverage(t *testing.T) {
	euro := spend.Leg{Kind: spend.Charge, Amount: spend.NewAmount("EUR", 5)}
	gas := func(n int64) spend.Leg {
		return spend.Leg{Kind: spend.Fee, Amount: spend.NewAmount("eip155:1/slip44:60", n), Value: spend.NewAmount("CHF", n)}
	}
	wei := spend.NewAmount("eip155:1/slip44:60", 100)
	runJudge(t, map[string]judge{
		"no policy at all":                   {func(_ *Policy, in *Input, _ *Usage) { in.Policies = nil }, "DENY; NO_ACTIVE_POLICY=USD"},
		"no active policy":                   {func(p *Policy, _ *Input, _ *Usage) { p.Active = false }, "DENY; NO_ACTIVE_POLICY=USD"},
		"no policy in scope":                 {func(p *Policy, _ *Input, _ *Usage) { p.Scope.Agents = []string{"b"} }, "DENY; NO_ACTIVE_POLICY=USD"},
		"unmatched may be held":              {func(_ *Policy, in *Input, _ *Usage) { in.Policies, in.Unmatched = nil, spend.RequireApproval }, "REQUIRE_APPROVAL; NO_ACTIVE_POLICY=USD?unmatched"},
		"unmatched is never allowed":         {func(_ *Policy, in *Input, _ *Usage) { in.Policies, in.Unmatched = nil, spend.Allow }, "DENY; NO_ACTIVE_POLICY=USD"},
		"one leg without a policy is enough": {func(_ *Policy, in *Input, _ *Usage) { in.Intent = payment(charge(1), euro, euro) }, "DENY; NO_ACTIVE_POLICY=EUR"},
		"a policy of the valued unit covers": {func(_ *Policy, in *Input, _ *Usage) {
			in.Intent = payment(spend.Leg{Kind: spend.Transfer, Amount: spend.NewAmount(usdc, 9), Value: usd(1)})
		}, "ALLOW"},
		"an unknown amount is not covered": {func(_ *Policy, in *Input, _ *Usage) { in.Intent = payment(spend.Leg{Kind: spend.Charge}) }, "DENY; NO_ACTIVE_POLICY"},
		"an unknown fee is not covered by a cap": {func(_ *Policy, in *Input, _ *Usage) {
			in.FeeCap, in.Intent = usd(9), payment(charge(1), spend.Leg{Kind: spend.Fee})
		}, "DENY; NO_ACTIVE_POLICY"},
		"a spend that moves nothing known":  {func(_ *Policy, in *Input, _ *Usage) { in.Intent = payment() }, "DENY; NO_ACTIVE_POLICY"},
		"fees under the cap need no policy": {func(_ *Policy, in *Input, _ *Usage) { in.FeeCap, in.Intent = wei, payment(charge(1), gas(40), gas(60)) }, "ALLOW"},
		"fees are capped together":          {func(_ *Policy, in *Input, _ *Usage) { in.FeeCap, in.Intent = wei, payment(charge(1), gas(41), gas(60)) }, "DENY; FEE_TOO_HIGH 101/100"},
		"a cap may be in the valued unit": {func(_ *Policy, in *Input, _ *Usage) {
			in.FeeCap, in.Intent = spend.NewAmount("CHF", 9), payment(charge(1), gas(10))
		}, "DENY; FEE_TOO_HIGH 10/9"},
		"a cap in a foreign unit caps at nothing":    {func(_ *Policy, in *Input, _ *Usage) { in.FeeCap, in.Intent = usd(9), payment(charge(1), gas(1)) }, "DENY; FEE_TOO_HIGH 1/9"},
		"nought fits a cap of any unit":              {func(_ *Policy, in *Input, _ *Usage) { in.FeeCap, in.Intent = usd(9), payment(charge(1), gas(0)) }, "ALLOW"},
		"a negative fee does not offset another":     {func(_ *Policy, in *Input, _ *Usage) { in.FeeCap, in.Intent = wei, payment(charge(1), gas(-5), gas(60)) }, "DENY; FEE_TOO_HIGH -5/100"},
		"fees without a cap need a policy":           {func(_ *Policy, in *Input, _ *Usage) { in.Intent = payment(charge(1), gas(1)) }, "DENY; NO_ACTIVE_POLICY=eip155:1/slip44:60"},
		"fees that a policy covers are not capped":   {func(p *Policy, in *Input, _ *Usage) { p.Unit, in.FeeCap, in.Intent = "CHF", wei, payment(gas(500)) }, "ALLOW"},
		"a cap does not stand in for every policy":   {func(p *Policy, in *Input, _ *Usage) { p.Active, in.FeeCap, in.Intent = false, wei, payment(gas(1)) }, "DENY; NO_ACTIVE_POLICY=eip155:1/slip44:60"},
		"frozen is denied, and the rest still named": {func(p *Policy, in *Input, _ *Usage) { in.Frozen, p.MaxSingle = true, usd(1) }, "DENY; FROZEN; EXCEEDS_SINGLE_LIMIT 100/1"},
	})
}

func TestClasses(t *testing.T) {
	class := func(in *Input, c spend.Class) { in.Intent = payment(); in.Intent.Class = c }
	runJudge(t, map[string]judge{
		"a read is allowed even when frozen":       {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Read); in.Frozen, in.Policies = true, nil }, "ALLOW"},
		"a write that moves no money is allowed":   {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Other); in.Policies = nil }, "ALLOW"},
		"a capability is held by default":          {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Capability); p.Capabilities = "" }, "REQUIRE_APPROVAL; REQUIRES_APPROVAL=payment_intents.create?capability"},
		"a capability is held":                     {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Capability); p.Capabilities = "hold" }, "REQUIRE_APPROVAL; REQUIRES_APPROVAL=payment_intents.create?capability"},
		"a capability is denied":                   {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Capability); p.Capabilities = "deny" }, "DENY; CAPABILITY_NOT_ALLOWED=payment_intents.create"},
		"a capability is denied by a word unknown": {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Capability); p.Capabilities = "Allow" }, "DENY; CAPABILITY_NOT_ALLOWED=payment_intents.create"},
		"a rule of the operation goes before the word for all": {func(p *Policy, in *Input, _ *Usage) {
			class(in, spend.Capability)
			p.CapabilityRules = map[string]string{"payment_intents.create": "deny", "payment_intents.*": "hold"}
		}, "DENY; CAPABILITY_NOT_ALLOWED=payment_intents.create"},
		"a rule of the family goes before the word for all": {func(p *Policy, in *Input, _ *Usage) {
			class(in, spend.Capability)
			p.Capabilities, p.CapabilityRules = "deny", map[string]string{"payment_intents.*": "hold", "payment_intents.confirm": "allow"}
		}, "REQUIRE_APPROVAL; REQUIRES_APPROVAL=payment_intents.create?capability"},
		"of two families the narrower one decides": {func(p *Policy, in *Input, _ *Usage) {
			class(in, spend.Capability)
			in.Intent.Operation = "issuing.cards.create"
			p.CapabilityRules = map[string]string{"issuing.*": "deny", "issuing.cards.*": "hold"}
		}, "REQUIRE_APPROVAL; REQUIRES_APPROVAL=issuing.cards.create?capability"},
		"rules for other operations leave the word for all": {func(p *Policy, in *Input, _ *Usage) {
			class(in, spend.Capability)
			p.CapabilityRules = map[string]string{"accounts.*": "deny", "payment_intents": "deny"}
		}, "ALLOW"},
		"a rule with a word unknown denies": {func(p *Policy, in *Input, _ *Usage) {
			class(in, spend.Capability)
			p.CapabilityRules = map[string]string{"payment_intents.*": "sure"}
		}, "DENY; CAPABILITY_NOT_ALLOWED=payment_intents.create"},
		"a capability is allowed":     {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Capability) }, "ALLOW"},
		"a capability needs a policy": {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Capability); p.Active = false }, "DENY; NO_ACTIVE_POLICY"},
		"a capability is judged by policies of any unit": {func(p *Policy, in *Input, _ *Usage) {
			class(in, spend.Capability)
			p.Unit, p.Capabilities = "EUR", "deny"
		}, "DENY; CAPABILITY_NOT_ALLOWED=payment_intents.create"},
		"a spend with an allowance gives a capability away": {func(p *Policy, in *Input, _ *Usage) {
			p.Capabilities = "deny"
			in.Intent.Legs = append(in.Intent.Legs, spend.Leg{Kind: spend.Allowance, Amount: usd(1)})
		}, "DENY; CAPABILITY_NOT_ALLOWED=payment_intents.create"},
		"a plain spend is no capability":                 {func(p *Policy, in *Input, _ *Usage) { p.Capabilities = "deny" }, "ALLOW"},
		"an unrecognised call is for a person":           {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Unrecognised) }, "REQUIRE_APPROVAL; REQUIRES_APPROVAL=payment_intents.create?unrecognised"},
		"an unrecognised call needs a policy too":        {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Unrecognised); in.Policies = nil }, "DENY; NO_ACTIVE_POLICY; REQUIRES_APPROVAL=payment_intents.create?unrecognised"},
		"an unrecognised call counts against velocity":   {func(p *Policy, in *Input, _ *Usage) { class(in, spend.Unrecognised); p.PerHour = count(0) }, "DENY; VELOCITY_LIMIT_HOUR; REQUIRES_APPROVAL=payment_intents.create?unrecognised"},
		"a class that nobody knows is judged as a spend": {func(p *Policy, in *Input, _ *Usage) { class(in, "") }, "DENY; NO_ACTIVE_POLICY"},
	})
}

func TestDuplicates(t *testing.T) {
	twin := func(agent string, ago time.Duration) Twin {
		return Twin{Request: "r" + spend.ID(agent), Agent: agent, Began: now.Add(-ago)}
	}
	runJudge(t, map[string]judge{
		"a twin is flagged by default, and allowed": {func(_ *Policy, in *Input, _ *Usage) { in.Twins = []Twin{twin("a1", time.Hour)} }, "ALLOW; DUPLICATE=ra1"},
		"a twin may be nothing to speak of":         {func(p *Policy, in *Input, _ *Usage) { p.Duplicates, in.Twins = "allow", []Twin{twin("a1", time.Hour)} }, "ALLOW"},
		"a twin may need a person":                  {func(p *Policy, in *Input, _ *Usage) { p.Duplicates, in.Twins = "hold", []Twin{twin("a1", 0)} }, "REQUIRE_APPROVAL; DUPLICATE=ra1?duplicate"},
		"a twin may be denied":                      {func(p *Policy, in *Input, _ *Usage) { p.Duplicates, in.Twins = "deny", []Twin{twin("a1", 0)} }, "DENY; DUPLICATE=ra1 @2026-11-22T09:00:00"},
		"a word unknown denies":                     {func(p *Policy, in *Input, _ *Usage) { p.Duplicates, in.Twins = "Flag", []Twin{twin("a1", 0)} }, "DENY; DUPLICATE=ra1 @2026-11-22T09:00:00"},
		"the window ends after a day": {func(p *Policy, in *Input, _ *Usage) {
			p.Duplicates, in.Twins = "deny", []Twin{twin("a1", 24*time.Hour)}
		}, "ALLOW"},
		"what is younger than the window is in it": {func(p *Policy, in *Input, _ *Usage) {
			p.Duplicates, in.Twins = "deny", []Twin{twin("a1", 24*time.Hour-1)}
		}, "DENY; DUPLICATE=ra1 @2026-11-21T09:00:00"},
		"another window is the policy's own": {func(p *Policy, in *Input, _ *Usage) {
			p.DuplicateWindow, in.Twins = time.Minute, []Twin{twin("a1", time.Minute)}
		}, "ALLOW"},
		"another agent's is no duplicate":            {func(_ *Policy, in *Input, _ *Usage) { in.Twins = []Twin{twin("a2", 0)} }, "ALLOW"},
		"another agent's is one where that is asked": {func(p *Policy, in *Input, _ *Usage) { p.DuplicatesAcross, in.Twins = "all", []Twin{twin("a2", 0)} }, "ALLOW; DUPLICATE"},
		"the latest is named": {func(_ *Policy, in *Input, _ *Usage) {
			in.Twins = []Twin{twin("a1", time.Hour), {Request: "later", Agent: "a1", Began: now}}
		}, "ALLOW; DUPLICATE=later"},
		"a capability is no duplicate": {func(_ *Policy, in *Input, _ *Usage) {
			in.Twins, in.Intent.Class = []Twin{twin("a1", 0)}, spend.Capability
		}, "ALLOW"},
		"a policy that covers no leg says nothing": {func(_ *Policy, in *Input, _ *Usage) {
			in.Twins = []Twin{twin("a1", 0)}
			in.Policies = append(in.Policies, strict("EUR"))
		}, "ALLOW; DUPLICATE=ra1"},
		"the strictest of several policies decides": {func(_ *Policy, in *Input, _ *Usage) {
			in.Twins = []Twin{twin("a1", 0)}
			in.Policies = append(in.Policies, strict("USD"))
		}, "DENY; DUPLICATE=ra1; DUPLICATE=ra1 @2026-11-22T09:00:00"},
		"a duplicate is named beside what denies": {func(p *Policy, in *Input, _ *Usage) { in.Twins, p.MaxSingle = []Twin{twin("a1", 0)}, usd(1) }, "DENY; DUPLICATE=ra1; EXCEEDS_SINGLE_LIMIT 100/1"},
		"what was counted already is still duplicate": {func(p *Policy, in *Input, _ *Usage) {
			p.Duplicates, in.Twins, in.Counted = "deny", []Twin{twin("a1", 0)}, true
		}, "DENY; DUPLICATE=ra1 @2026-11-22T09:00:00"},
	})
}

// strict denies duplicates in its unit.
func strict(unit string) *Policy {
	p := open()
	p.ID, p.Unit, p.Duplicates = "p2", unit, "deny"
	return p
}

func TestADeniedDuplicateSaysWhenAndWhich(t *testing.T) {
	p := open()
	p.Duplicates, p.DuplicatesAcross, p.DuplicateWindow = "deny", "all", time.Hour
	for agent, want := range map[string]string{
		"a1": `DUPLICATE: the same call has been sent before, as request r1, under another idempotency key or none (policy "default"). It can succeed after ` + now.Add(time.Hour).Format(time.RFC3339) + ".",
		"a2": `DUPLICATE: the same call has been sent before (policy "default"). It can succeed after ` + now.Add(time.Hour).Format(time.RFC3339) + ".",
	} {
		v := Evaluate(Input{Intent: payment(charge(100)), Policies: []*Policy{p}, Now: now, Twins: []Twin{{"r1", agent, now}}})
		if got := v.Message(); got != want {
			t.Errorf("of %s's: got  %s\nwant %s", agent, got, want)
		}
	}
}

func TestVerdictNamesPoliciesAndBalances(t *testing.T) {
	b, a, c := open(), open(), open()
	b.ID, b.Name, b.Monthly, b.MaxExposure = "p2", "another", usd(500), usd(70)
	a.Daily = usd(300)
	c.ID, c.Active = "p0", false
	v := Evaluate(Input{
		Intent: payment(charge(100)), Policies: []*Policy{b, a, c}, Now: now,
		Usage: func(id spend.ID) Usage {
			if id == "p1" {
				return Usage{Day: usd(20), DayEnds: nextDay}
			}
			return Usage{Month: usd(600), MonthEnds: next}
		},
	})
	want := spend.Verdict{
		Decision: spend.Deny, Code: spend.ExceedsMonthlyLimit, At: now,
		Rules: []spend.Rule{{
			Code: spend.ExceedsMonthlyLimit, Decision: spend.Deny, Policy: "another", PolicyID: "p2",
			Limit: usd(500), Amount: usd(100), Remaining: usd(-100), RetryAt: next,
		}},
		Policies: []spend.PolicyRef{{ID: "p1", Name: "default", Version: 3}, {ID: "p2", Name: "another", Version: 3}},
		Balances: []spend.Balance{
			{Policy: "default", PolicyID: "p1", Period: "day", Limit: usd(300), Used: usd(20), Remaining: usd(280), Resets: nextDay},
			{Policy: "another", PolicyID: "p2", Period: "month", Limit: usd(500), Used: usd(600), Remaining: usd(-100), Resets: next},
			{Policy: "another", PolicyID: "p2", Period: "exposure", Limit: usd(70), Used: usd(0), Remaining: usd(70)},
		},
	}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got  %+v\nwant %+v", v, want)
	}
}

func TestAnyDenialDeniesAndAnyApprovalHolds(t *testing.T) {
	allow, hold, deny := open(), open(), open()
	hold.ID, hold.RequireApprovalOver = "p2", usd(1)
	deny.ID, deny.MaxSingle = "p3", usd(1)
	for name, tt := range map[string]struct {
		policies []*Policy
		want     spend.Decision
	}{
		"one that allows":              {[]*Policy{allow}, spend.Allow},
		"one that holds among allows":  {[]*Policy{allow, hold}, spend.RequireApproval},
		"one that denies among others": {[]*Policy{allow, hold, deny}, spend.Deny},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Evaluate(Input{Intent: payment(charge(100)), Policies: tt.policies, Now: now}).Decision; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
