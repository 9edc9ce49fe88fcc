package engine_test

import (
	"context"
	"testing"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
)

// glimpse is a read that shows a secret.
func glimpse() spend.Intent {
	return spend.Intent{
		Agent: "bot", Rail: "stripe", Class: spend.Capability, Operation: "payment_intents.read", Network: "stripe",
		Fingerprint: "read", Maskable: true,
	}
}

func TestAReadThatShowsASecretPassesOrIsMaskedAndLeavesNoTrace(t *testing.T) {
	never := 0
	allowing := func(word string, rules map[string]string) policy.Policy {
		return policy.Policy{Name: "p", Unit: "USD", Active: true, Capabilities: word, CapabilityRules: rules}
	}
	slow := allowing("allow", nil)
	slow.PerMinute = &never
	test := allowing("allow", nil)
	test.Scope.Modes = []string{"test"}
	for name, c := range map[string]struct {
		policies []policy.Policy
		before   func(w *world)
		want     spend.Next
		code     spend.Code
	}{
		"by default it is masked":                      {[]policy.Policy{daily()}, nil, spend.Withhold, spend.RequiresApproval},
		"it passes where capabilities are allowed":     {[]policy.Policy{allowing("allow", nil)}, nil, spend.Pass, spend.OK},
		"it passes where its operation is allowed":     {[]policy.Policy{allowing("deny", map[string]string{"payment_intents.*": "allow"})}, nil, spend.Pass, spend.OK},
		"it is masked where its operation is denied":   {[]policy.Policy{allowing("allow", map[string]string{"payment_intents.read": "deny"})}, nil, spend.Withhold, spend.CapabilityNotAllowed},
		"every policy has to allow it":                 {[]policy.Policy{allowing("allow", nil), {Name: "q", Unit: "USD", Active: true}}, nil, spend.Withhold, spend.RequiresApproval},
		"a policy for test keys does not allow it":     {[]policy.Policy{test}, nil, spend.Withhold, spend.NoActivePolicy},
		"without a policy it is masked":                {nil, nil, spend.Withhold, spend.NoActivePolicy},
		"it counts against no rate, and none holds it": {[]policy.Policy{slow}, nil, spend.Pass, spend.OK},
		"while spending is frozen it is masked": {[]policy.Policy{allowing("allow", nil)}, func(w *world) {
			if err := w.SetFrozen(w.t.Context(), person, engine.Freeze{}, true); err != nil {
				w.t.Fatal(err)
			}
		}, spend.Withhold, spend.Frozen},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.policies...)
			if c.before != nil {
				c.before(w)
			}
			written := w.Stats().Bytes
			for range 3 {
				r := w.authorize(glimpse(), c.want)
				if r.ID != "" || r.Verdict.Code != c.code {
					t.Errorf("request %q, %s; want none, %s", r.ID, r.Verdict.Code, c.code)
				}
			}
			if n := w.Stats().Bytes - written; n != 0 {
				t.Errorf("%d bytes were written", n)
			}
			if page, err := w.Requests(t.Context(), engine.Filter{}); err != nil || len(page.Requests) != 0 {
				t.Errorf("there are requests: %v, %v", page, err)
			}
		})
	}
}

// Only a capability is ruled on so: what moves money begins, whatever it is called.
func TestNothingButACapabilityIsMaskable(t *testing.T) {
	w := newWorld(t, daily())
	in := charge(100, "a")
	in.Maskable = true
	if r := w.authorize(in, spend.Forward); r.State != spend.Executing {
		t.Errorf("the payment is %s", r.State)
	}
}

// A store that does not answer is no reason to show a secret, nor not to answer.
func TestALedgerThatIsGoneMasks(t *testing.T) {
	w := newWorld(t, policy.Policy{Name: "p", Unit: "USD", Active: true, Capabilities: "allow"})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := w.Authorize(ctx, glimpse())
	if err != nil || r.Next != spend.Withhold || r.Request.Why != spend.GuardUnavailable {
		t.Errorf("%s (%s), %v", r.Next, r.Request.Why, err)
	}
}
