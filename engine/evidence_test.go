package engine_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
)

var operator = engine.Actor{Name: "outgo_operator", Role: "admin"}

// proof is the provider's word that cents were moved in transaction id.
func proof(id string, cents int64) spend.Outcome {
	return spend.Outcome{Result: spend.Happened, Receipt: spend.Receipt{
		Source: spend.FromProvider, TransactionID: id, Amount: usd(cents),
	}}
}

// claimed is the agent's word for o.
func claimed(o spend.Outcome) spend.Outcome {
	o.Receipt.Source = spend.FromClaim
	return o
}

// recounted asserts what the day holds, and that it holds the same once the
// policy has changed and its counters were filled anew from the ledger.
func (w *world) recounted(want int64) {
	w.t.Helper()
	w.used(want)
	p := daily()
	p.MaxSingle = usd(5999)
	w.policies(p)
	w.used(want)
}

func (w *world) sweep() {
	w.t.Helper()
	if err := w.Sweep(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhatIsToldOfAPaymentIsCountedOnce(t *testing.T) {
	unlimited := proof("ch_1", 0)
	unlimited.Receipt.Amount = spend.Unlimited("USD")
	euros := proof("ch_1", 0)
	euros.Receipt.Amount = spend.NewAmount("EUR", 400)
	over, less, twice, currency := spend.Oversettled, spend.AmountMismatch, spend.DuplicatePayment, spend.CurrencyMismatch

	for name, c := range map[string]struct {
		told  []spend.Outcome // of a payment of 10.00
		used  int64
		flags []spend.Anomaly
	}{
		"the reply, and a webhook that agrees":            {[]spend.Outcome{paid(1000), proof("ch_1", 1000)}, 1000, nil},
		"more than was asked":                             {[]spend.Outcome{paid(1500)}, 1500, []spend.Anomaly{over}},
		"less than was asked, and told again":             {[]spend.Outcome{paid(400), paid(400)}, 400, []spend.Anomaly{less}},
		"an amount that comes back to what it was":        {[]spend.Outcome{proof("ch_1", 1000), proof("ch_1", 400), proof("ch_1", 1000)}, 1000, []spend.Anomaly{less, over}},
		"a correction that names no transaction":          {[]spend.Outcome{paid(1000), proof("", 400)}, 400, []spend.Anomaly{less}},
		"a second payment":                                {[]spend.Outcome{paid(1000), proof("ch_2", 1000)}, 2000, []spend.Anomaly{twice}},
		"a second payment, told twice":                    {[]spend.Outcome{paid(1000), proof("ch_2", 1000), proof("ch_2", 1000)}, 2000, []spend.Anomaly{twice}},
		"a second payment, corrected":                     {[]spend.Outcome{paid(1000), proof("ch_2", 1000), proof("ch_2", 400)}, 1400, []spend.Anomaly{twice, less}},
		"a second payment, and the first is corrected":    {[]spend.Outcome{paid(1000), proof("ch_2", 1000), proof("ch_1", 400)}, 1400, []spend.Anomaly{twice, less}},
		"a smaller payment, then a second one in full":    {[]spend.Outcome{paid(400), proof("ch_2", 1000)}, 1400, []spend.Anomaly{less, twice}},
		"a smaller payment, then a second one, corrected": {[]spend.Outcome{paid(400), proof("ch_2", 1000), proof("ch_2", 700)}, 1100, []spend.Anomaly{less, twice}},
		"two smaller payments":                            {[]spend.Outcome{paid(400), proof("ch_2", 400)}, 800, []spend.Anomaly{less, twice}},
		"three payments":                                  {[]spend.Outcome{paid(1000), proof("ch_2", 1000), proof("ch_3", 900)}, 2900, []spend.Anomaly{twice, less}},
		"a negative amount, which no payment has":         {[]spend.Outcome{paid(-5000)}, 1000, []spend.Anomaly{less}},
		"a negative amount of a second payment":           {[]spend.Outcome{paid(1000), proof("ch_2", -5000)}, 2000, []spend.Anomaly{twice, less}},
		"an amount without a bound, which no payment has": {[]spend.Outcome{unlimited}, 1000, []spend.Anomaly{less}},
		"an amount in a currency that was not asked for":  {[]spend.Outcome{euros}, 1000, []spend.Anomaly{currency}},
		"nobody knows, and then the provider does":        {[]spend.Outcome{{Result: spend.Uncertain}, proof("ch_1", 1000)}, 1000, nil},
		"nobody knows after the provider has said it":     {[]spend.Outcome{paid(1000), {Result: spend.Uncertain}}, 1000, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			r := w.authorize(charge(1000, "a"), spend.Forward)
			for _, o := range c.told {
				w.finish(r.ID, o)
			}
			got := w.state(r.ID, spend.Settled)
			if !slices.Equal(got.Anomalies, c.flags) {
				t.Errorf("anomalies %v, want %v", got.Anomalies, c.flags)
			}
			w.recounted(c.used)
		})
	}
}

func TestAnotherPayeeOrMerchantThanWasJudgedIsFlagged(t *testing.T) {
	told := func(payee, merchant string) spend.Outcome {
		o := paid(1000)
		o.Receipt.Payee, o.Merchant = payee, merchant
		return o
	}
	for name, c := range map[string]struct {
		payee, merchant string // as judged
		told            spend.Outcome
		flags           []spend.Anomaly
	}{
		"the same payee and merchant": {"acct_1", "aws", told("acct_1", "AWS EMEA"), nil},
		"nobody is named":             {"acct_1", "aws", told("", ""), nil},
		"nobody was judged":           {"", "", told("acct_1", "aws"), nil},
		"another payee":               {"acct_1", "", told("acct_2", ""), []spend.Anomaly{spend.PayeeMismatch}},
		"another merchant":            {"acct_1", "aws", told("acct_1", "casino.example"), []spend.Anomaly{spend.MerchantMismatch}},
		"both, and another amount":    {"acct_1", "aws", spend.Outcome{Result: spend.Happened, Merchant: "x", Receipt: spend.Receipt{Source: spend.FromWire, TransactionID: "ch_1", Amount: usd(900), Payee: "acct_2"}}, []spend.Anomaly{spend.AmountMismatch, spend.MerchantMismatch, spend.PayeeMismatch}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			in := charge(1000, "k")
			in.Legs[0].Payee, in.Legs[0].Merchant = c.payee, c.merchant
			r := w.authorize(in, spend.Forward)
			w.finish(r.ID, c.told)
			if got := w.state(r.ID, spend.Settled); !slices.Equal(got.Anomalies, c.flags) {
				t.Errorf("flagged %v, want %v", got.Anomalies, c.flags)
			}
		})
	}
}

func TestWhatIsProvedIsBookedFromEveryState(t *testing.T) {
	second := daily()
	second.Name = "second"
	approved := func(w *world) spend.ID {
		r := w.authorize(charge(6000, "a"), spend.Await)
		w.resolve(r.ID, true)
		return r.ID
	}
	for name, c := range map[string]struct {
		make  func(w *world) spend.ID
		cents int64
		want  spend.Anomaly
	}{
		"held":     {func(w *world) spend.ID { return w.authorize(charge(6000, "a"), spend.Await).ID }, 6000, spend.UnauthorizedPayment},
		"approved": {approved, 6000, spend.LateReceipt},
		"approved, and not begun in time": {func(w *world) spend.ID {
			defer w.pass(25 * time.Hour)
			return approved(w)
		}, 6000, spend.LateReceipt},
		"approved in another month": {func(w *world) spend.ID {
			id := approved(w)
			w.pass(60 * 24 * time.Hour)
			w.sweep()
			return id
		}, 6000, spend.LateReceipt},
		"approved under a policy that is deleted since": {func(w *world) spend.ID {
			w.policies(daily(), second)
			defer w.policies(daily())
			return approved(w)
		}, 6000, spend.LateReceipt},
		"approved before a policy that is new": {func(w *world) spend.ID {
			defer w.policies(daily(), second)
			return approved(w)
		}, 6000, spend.LateReceipt},
		"rejected": {func(w *world) spend.ID {
			r := w.authorize(charge(6000, "a"), spend.Await)
			w.resolve(r.ID, false)
			return r.ID
		}, 6000, spend.UnauthorizedPayment},
		"denied at once": {func(w *world) spend.ID { return w.authorize(charge(9000, "a"), spend.Refuse).ID }, 9000, spend.UnauthorizedPayment},
		"failed": {func(w *world) spend.ID {
			r := w.authorize(charge(1000, "a"), spend.Forward)
			w.finish(r.ID, spend.Outcome{Result: spend.DidNot})
			return r.ID
		}, 1000, spend.LateReceipt},
		"canceled": {func(w *world) spend.ID {
			id := approved(w)
			if _, err := w.Cancel(w.t.Context(), id, operator); err != nil {
				w.t.Fatal(err)
			}
			return id
		}, 6000, spend.LateReceipt},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			id := c.make(w)
			for range 2 { // the second time changes nothing
				w.finish(id, proof("ch_1", c.cents))
				got := w.state(id, spend.Settled)
				if !slices.Equal(got.Anomalies, []spend.Anomaly{c.want}) {
					t.Errorf("anomalies %v, want %s alone", got.Anomalies, c.want)
				}
				w.used(c.cents)
				w.sweep()
			}
			w.recounted(c.cents)
			w.finish(id, proof("ch_1", c.cents-100))
			w.used(c.cents - 100)
		})
	}
}

// Neither is in the month's own list of requests: what counts is when the
// evidence came.
func TestASecondPaymentCountsWhenItIsProved(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(1000, "a"), spend.Forward)
	w.finish(r.ID, paid(1000))
	w.pass(60 * 24 * time.Hour)
	w.used(0)
	w.finish(r.ID, proof("ch_2", 1000))
	w.recounted(1000)
}

// A policy that cannot be changed any more could not be tightened either.
func TestAPolicyCanBeTightenedAfterTwoSmallerPayments(t *testing.T) {
	w := newWorld(t, daily())
	r := w.authorize(charge(1000, "a"), spend.Forward)
	w.finish(r.ID, paid(400))
	w.finish(r.ID, proof("ch_2", 400))
	p := daily()
	p.Daily = usd(1)
	w.policies(p)
	w.used(800)
	w.authorize(charge(1, "b"), spend.Refuse)
}

func TestAnOperatorsWordAndTheProvidersAreOnePayment(t *testing.T) {
	for name, c := range map[string]struct {
		happened bool
		before   int64
		flags    []spend.Anomaly
	}{
		"it happened": {true, 1000, nil},
		"it did not, which the provider disproves": {false, 0, []spend.Anomaly{spend.LateReceipt}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			r := w.authorize(charge(1000, "a"), spend.Forward)
			w.finish(r.ID, spend.Outcome{Result: spend.Uncertain})
			if _, err := w.Testify(t.Context(), r.ID, operator, c.happened, "seen in the dashboard"); err != nil {
				t.Fatal(err)
			}
			w.used(c.before)
			w.finish(r.ID, proof("ch_1", 1000))
			got := w.state(r.ID, spend.Settled)
			if !slices.Equal(got.Anomalies, c.flags) || got.Transaction != "ch_1" {
				t.Errorf("anomalies %v of transaction %q, want %v of ch_1", got.Anomalies, got.Transaction, c.flags)
			}
			w.recounted(1000)
		})
	}
}

// For how long a provider repeats its reply depends on when the call was sent;
// an operator's word, a day later, does not make it younger.
func TestAnOperatorsWordDoesNotChangeWhenAPaymentBegan(t *testing.T) {
	w := newWorld(t, daily())
	in := charge(1000, "a")
	r := w.authorize(in, spend.Forward)
	w.finish(r.ID, spend.Outcome{Result: spend.Uncertain})
	w.pass(30 * time.Hour)
	if _, err := w.Testify(t.Context(), r.ID, operator, true, "seen"); err != nil {
		t.Fatal(err)
	}
	if got := w.authorize(in, spend.Replay); !got.Began.Equal(noon) || !got.Changed.Equal(noon.Add(30*time.Hour)) {
		t.Errorf("began %s and changed %s, want to have begun at %s", got.Began, got.Changed, noon)
	}
}

func TestAnUnlimitedAllowanceIsSettledByAnyAmount(t *testing.T) {
	w := newWorld(t, policy.Policy{Name: "p", Unit: "USD", Active: true, Capabilities: "allow"})
	in := charge(1, "a")
	in.Class = spend.Capability
	in.Legs = []spend.Leg{{Kind: spend.Allowance, Amount: spend.Unlimited("USD")}}
	r := w.authorize(in, spend.Forward)
	w.finish(r.ID, paid(500))
	if got := w.state(r.ID, spend.Settled); len(got.Anomalies) != 0 {
		t.Errorf("anomalies %v, want none", got.Anomalies)
	}
}

// An allowance may be taken long after the month in which it was given.
func TestAnAllowanceStaysInTheGauge(t *testing.T) {
	for name, c := range map[string]struct {
		capabilities string
		next         spend.Next
	}{
		"allowed, and given": {"allow", spend.Forward},
		"denied, and proved": {"deny", spend.Refuse},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy.Policy{Name: "p", Unit: "USD", Active: true, Capabilities: c.capabilities, MaxExposure: usd(1000)}
			w := newWorld(t, p)
			in := charge(500, "a")
			in.Class = spend.Capability
			in.Legs = []spend.Leg{{Kind: spend.Allowance, Amount: usd(500)}}
			r := w.authorize(in, c.next)
			w.finish(r.ID, proof("x", 500))
			w.pass(60 * 24 * time.Hour)
			for _, limit := range []int64{1000, 900} { // the second one fills the gauge anew
				p.MaxExposure = usd(limit)
				w.policies(p)
				v, err := w.Preview(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(v.Balances, func(b spend.Balance) bool { return b.Period == "exposure" })
				if i < 0 || v.Balances[i].Used != usd(500) {
					t.Errorf("with a limit of %d: balances %+v, want an exposure of 500", limit, v.Balances)
				}
			}
		})
	}
}

func TestAWriteThatNobodyUnderstandsStaysUnknown(t *testing.T) {
	w := newWorld(t, daily())
	in := spend.Intent{
		Agent: "bot", Rail: "stripe", Class: spend.Unrecognised, Operation: "unrecognised", Network: "stripe",
		Object: "things/1", Fingerprint: "u", DedupKey: "key-a",
	}
	r := w.authorize(in, spend.Await)
	w.resolve(r.ID, true)
	w.begin(r.ID, in, spend.Forward)
	w.finish(r.ID, spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown})
	w.pass(3 * time.Hour)
	w.sweep()
	if got := w.state(r.ID, spend.Executing); got.Why != spend.OutcomeUnknown {
		t.Errorf("unknown for %q, want %s", got.Why, spend.OutcomeUnknown)
	}
}

func TestAnAgentsWordNeitherEndsNorMakesAPayment(t *testing.T) {
	for _, result := range []spend.Result{spend.Happened, spend.DidNot} {
		t.Run(string(result), func(t *testing.T) {
			w := newWorld(t, daily())
			sent := w.authorize(charge(1000, "a"), spend.Forward)
			settled := w.authorize(charge(500, "c"), spend.Forward)
			w.finish(settled.ID, paid(500))
			denied := w.authorize(charge(9000, "b"), spend.Refuse)
			word := claimed(proof("ch_1", 1))
			word.Result = result
			for _, id := range []spend.ID{sent.ID, settled.ID, denied.ID} {
				if err := w.Finish(t.Context(), id, word); !errors.Is(err, spend.InvalidState) {
					t.Errorf("%v, want InvalidState", err)
				}
			}
			w.state(sent.ID, spend.Executing)
			w.state(denied.ID, spend.Denied)
			w.used(1500)
		})
	}
}
