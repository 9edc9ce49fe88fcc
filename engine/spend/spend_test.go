package spend_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

func TestIDsAreUUIDv7(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	at := time.UnixMilli(0x0123456789ab)
	seen := map[spend.ID]bool{}
	for range 1000 {
		id := spend.NewID(at)
		if !shape.MatchString(string(id)) || !strings.HasPrefix(string(id), "01234567-89ab-") || seen[id] {
			t.Fatal(id)
		}
		seen[id] = true
	}
}

func TestMerchantsHaveOneForm(t *testing.T) {
	for in, want := range map[string]string{
		"OpenAI.com": "openai.com", "https://www.openai.com:443/v1?x": "openai.com", " www.a.example. ": "a.example",
		"AWS": "aws", "": "", "http://10.0.0.1:8080": "10.0.0.1", "Acme: Tools": "acme: tools",
	} {
		if got := spend.NormalMerchant(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestAVerdictIsDecidedByTheFirstRuleInOrder(t *testing.T) {
	deny := func(c spend.Code) spend.Rule { return spend.Rule{Code: c, Decision: spend.Deny} }
	hold := spend.Rule{Code: spend.RequiresApproval, Decision: spend.RequireApproval, Asked: "amount"}
	for name, c := range map[string]struct {
		rules    []spend.Rule
		decision spend.Decision
		code     spend.Code
		codes    []spend.Code
	}{
		"no rule":         {nil, spend.Allow, spend.OK, []spend.Code{spend.OK}},
		"an approval":     {[]spend.Rule{hold}, spend.RequireApproval, spend.RequiresApproval, []spend.Code{spend.RequiresApproval}},
		"denials and one": {[]spend.Rule{hold, deny(spend.ExceedsDailyLimit), deny(spend.BlockedMerchant)}, spend.Deny, spend.BlockedMerchant, []spend.Code{spend.BlockedMerchant, spend.ExceedsDailyLimit, spend.RequiresApproval}},
	} {
		v := spend.Verdict{Rules: slices.Clone(c.rules)}
		v.Conclude()
		if v.Decision != c.decision || v.Code != c.code || !slices.Equal(v.Codes(), c.codes) {
			t.Errorf("%s: %s %s %v", name, v.Decision, v.Code, v.Codes())
		}
	}
}

func TestAMessageNamesRuleAmountPolicyAndWhatIsLeft(t *testing.T) {
	usd := func(n int64) spend.Amount { return spend.NewAmount("USD", n) }
	v := spend.Verdict{
		Rules: []spend.Rule{{
			Code: spend.ExceedsDailyLimit, Decision: spend.Deny, Policy: "small", PolicyID: "p", Amount: usd(900), Limit: usd(1000),
			RetryAt: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		}},
		Balances: []spend.Balance{{Policy: "small", PolicyID: "p", Period: "day", Limit: usd(1000), Used: usd(800), Remaining: usd(200)}},
	}
	v.Conclude()
	for _, want := range []string{"EXCEEDS_DAILY_LIMIT", "900 USD", "1000 USD", `"small"`, "200 of 1000 USD left this day", "2026-11-22T00:00:00Z"} {
		if !strings.Contains(v.Message(), want) {
			t.Errorf("%q does not say %q", v.Message(), want)
		}
	}
	for _, c := range spend.Order() {
		r := spend.Verdict{Rules: []spend.Rule{{Code: c, Decision: spend.Deny}}}
		r.Conclude()
		if m := r.Message(); !strings.HasPrefix(m, string(c)+": ") || strings.Contains(m, ": .") {
			t.Errorf("%s: %q", c, m)
		}
	}
}

func TestAMessageOnACallWithoutAmountSaysWhatItIsAndNothingOfBudgets(t *testing.T) {
	left := []spend.Balance{{Policy: "p", PolicyID: "1", Period: "day", Limit: spend.NewAmount("USD", 10), Remaining: spend.NewAmount("USD", 5)}}
	for want, r := range map[string]spend.Rule{
		`REQUIRES_APPROVAL: accounts.create gives away spending power and needs a person's approval (policy "p").`: {
			Code: spend.RequiresApproval, Decision: spend.RequireApproval, Asked: "capability", Value: "accounts.create", Policy: "p", PolicyID: "1"},
		"REQUIRES_APPROVAL: outgo cannot tell what money POST api.stripe.com/v1/new moves, and a person must approve it.": {
			Code: spend.RequiresApproval, Decision: spend.RequireApproval, Asked: "unrecognised", Value: "POST api.stripe.com/v1/new"},
		`CAPABILITY_NOT_ALLOWED: accounts.create gives away spending power, which is not allowed (policy "p"). Sending it again will not help.`: {
			Code: spend.CapabilityNotAllowed, Decision: spend.Deny, Value: "accounts.create", Policy: "p", PolicyID: "1"},
	} {
		v := spend.Verdict{Rules: []spend.Rule{r}, Balances: left}
		v.Conclude()
		if got := v.Message(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestCompareFindsWhatDeparts(t *testing.T) {
	usd := func(n int64) spend.Amount { return spend.NewAmount("USD", n) }
	term := func(a spend.Amount, m, p string) spend.Term { return spend.Term{Amount: a, Merchant: m, Payee: p} }
	for name, c := range map[string]struct {
		a, b      spend.Term
		tolerance spend.Amount
		want      []spend.Anomaly
	}{
		"the same":                       {term(usd(5), "aws", ""), term(usd(5), "AWS Inc", ""), spend.Amount{}, nil},
		"more":                           {term(usd(5), "", ""), term(usd(6), "", ""), spend.Amount{}, []spend.Anomaly{spend.AmountMismatch}},
		"more, within the tolerance":     {term(usd(5), "", ""), term(usd(6), "", ""), usd(1), nil},
		"less, beyond the tolerance":     {term(usd(5), "", ""), term(usd(3), "", ""), usd(1), []spend.Anomaly{spend.AmountMismatch}},
		"a tolerance in another unit":    {term(usd(5), "", ""), term(usd(6), "", ""), spend.NewAmount("EUR", 9), []spend.Anomaly{spend.AmountMismatch}},
		"another currency":               {term(usd(5), "", ""), term(spend.NewAmount("EUR", 5), "", ""), usd(9), []spend.Anomaly{spend.CurrencyMismatch}},
		"another merchant and payee":     {term(usd(5), "aws", "a"), term(usd(5), "gcp", "b"), spend.Amount{}, []spend.Anomaly{spend.MerchantMismatch, spend.PayeeMismatch}},
		"what is not said never differs": {spend.Term{}, term(usd(5), "gcp", "b"), spend.Amount{}, nil},
	} {
		if got := spend.Compare(c.a, c.b, c.tolerance); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestHeldAndAuthorizedExpireByTheClock(t *testing.T) {
	now := time.Now()
	for _, s := range []spend.State{spend.Held, spend.Authorized, spend.Executing, spend.Settled} {
		r := spend.Request{State: s, Deadline: now}
		want := s
		if s == spend.Held || s == spend.Authorized {
			want = spend.Expired
		}
		if got := r.StateAt(now); got != want {
			t.Errorf("%s at its deadline is %s, want %s", s, got, want)
		}
		if got := r.StateAt(now.Add(-1)); got != s {
			t.Errorf("%s before its deadline is %s", s, got)
		}
	}
}
