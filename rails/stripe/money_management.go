package stripe

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// The operations in this file move money in and out of financial accounts, under
// /v2/money_management. What counts is the side that is debited: where a call states
// an amount in another currency than that of the account, only a rate that Stripe has
// locked tells what it takes, and without one the call is not understood.

// notUnderstood is the effect of a call of which nobody can say what it costs.
func (e effect) notUnderstood() effect {
	return effect{class: spend.Unrecognised, object: e.object}
}

// payOutOfAccount reads an outbound payment or transfer. The amount is what was asked
// for, in whatever currency; from[currency] is that of the account.
func payOutOfAccount(x *reading, f *form) (effect, error) {
	amount, err := f.amount("amount", spend.Payout)
	if err != nil {
		return effect{}, err
	}
	from, err := f.unit("from[currency]")
	if err != nil {
		return effect{}, err
	}
	payee, err := f.firstID("to[recipient]", "to[payout_method]")
	if err != nil {
		return effect{}, err
	}
	e := spends(spend.Leg{Kind: spend.Payout, Amount: amount, Payee: payee})
	if from == amount.Unit() {
		return e, nil
	}
	quote, err := f.id("outbound_payment_quote")
	if err != nil {
		return effect{}, err
	}
	if quote == "" || x.op.name != "v2.money_management.outbound_payments.create" {
		return e.notUnderstood(), nil // Others are not bound by a quote.
	}
	target := "/v2/money_management/outbound_payment_quotes/" + quote
	o, err := x.look(target, "v2.money_management.outbound_payment_quote", quote)
	if err != nil {
		return effect{}, err
	}
	if o == nil {
		e.legs[0].Amount, e.lookups = spend.Amount{}, []rails.Lookup{{Target: target}}
		return e, nil
	}
	if quoted, err := o.amount("amount"); err != nil || quoted != amount {
		return e.notUnderstood(), err
	}
	return e.exchanged(o, from)
}

// exchanged completes a leg whose amount is in another currency than that of the
// account, by what Stripe says that the account is debited.
func (e effect) exchanged(from *fact, unit string) (effect, error) {
	if from.words("fx_quote.lock_status") != "active" {
		return e.notUnderstood(), nil
	}
	debited, err := from.amount("from.debited")
	if err != nil || debited.Unit() != unit {
		return e.notUnderstood(), err
	}
	e.legs[0].Amount = debited
	return e, nil
}

// confirmPayoutIntent reads the confirmation of a payout, which takes all from the
// object.
func confirmPayoutIntent(x *reading, f *form) (effect, error) {
	for _, name := range []string{"amount", "from", "to"} {
		if err := f.refuse(name, "a confirmation takes it from the payout intent"); err != nil {
			return effect{}, err
		}
	}
	return changePayoutIntent(x, f)
}

// changePayoutIntent reads a change of a payout, which may send what is scheduled to
// somebody else.
func changePayoutIntent(x *reading, f *form) (effect, error) {
	payee, err := f.firstID("to[recipient]", "to[payout_method]")
	if err != nil {
		return effect{}, err
	}
	target := "/v2/money_management/payout_intents/" + x.id
	e := spends(spend.Leg{Kind: spend.Payout, Payee: payee})
	e.object = "v2/money_management/payout_intents/" + x.id
	o, err := x.look(target, "v2.money_management.payout_intent", x.id)
	if err != nil {
		return effect{}, err
	}
	if o == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	leg := &e.legs[0]
	for _, name := range []string{"recipient", "payout_method"} {
		if id := o.words("to." + name); leg.Payee == "" && isID(id) {
			leg.Payee = id
		}
	}
	if leg.Amount, err = o.amount("amount"); err != nil {
		return effect{}, err
	}
	from, ok := parseCurrency(o.words("from.currency"))
	if !ok {
		return effect{}, fmt.Errorf("read from.currency of %s: it is not in Stripe's table: %w", o.what(), spend.Unavailable)
	}
	if from == leg.Amount.Unit() {
		return e, nil
	}
	return e.exchanged(o, from)
}

// pullIntoAccount reads the debit of a bank account.
func pullIntoAccount(f *form) (effect, error) {
	amount, err := f.amount("amount", spend.Charge)
	if err != nil {
		return effect{}, err
	}
	payee, err := f.firstID("to[financial_account]")
	if err != nil {
		return effect{}, err
	}
	if from, present, err := f.scalar("from[currency]"); err != nil || present {
		if unit, ok := parseCurrency(from); err != nil || !ok || unit != amount.Unit() {
			return effect{}.notUnderstood(), err
		}
	}
	return spends(spend.Leg{Kind: spend.Charge, Amount: amount, Payee: payee}), nil
}

// convert reads an exchange within one account. One that states only what it is to
// bring is not understood.
func convert(f *form) (effect, error) {
	if !f.isHash("from[amount]") {
		return effect{}.notUnderstood(), nil
	}
	amount, err := f.amount("from[amount]", spend.Transfer)
	if err != nil {
		return effect{}, err
	}
	payee, err := f.firstID("financial_account")
	if err != nil {
		return effect{}, err
	}
	return spends(spend.Leg{Kind: spend.Transfer, Amount: amount, Payee: payee}), nil
}

// closeAccount reads the end of a financial account, by which all that it holds, or is
// about to receive, is forwarded: a leg for each currency.
func closeAccount(x *reading, f *form) (effect, error) {
	payee, err := f.firstID("forwarding_settings[payout_method]", "forwarding_settings[payment_method]")
	if err != nil {
		return effect{}, err
	}
	target := "/v2/money_management/financial_accounts/" + x.id
	e := spends(spend.Leg{Kind: spend.Payout, Payee: payee})
	e.object = "v2/money_management/financial_accounts/" + x.id
	o, err := x.look(target, "v2.money_management.financial_account", x.id)
	if err != nil {
		return effect{}, err
	}
	if o == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	held, err := o.balances()
	if err != nil {
		return effect{}, err
	}
	e.legs = nil
	for _, amount := range held {
		e.legs = append(e.legs, spend.Leg{Kind: spend.Payout, Amount: amount, Payee: payee})
	}
	if e.legs == nil {
		return effect{class: spend.Other, object: e.object}, nil
	}
	return e, nil
}

// balances returns what a financial account holds and is about to receive, by
// currency, without those of which there is nothing.
func (o *fact) balances() ([]spend.Amount, error) {
	var sums []spend.Amount
	for _, name := range []string{"balance.available", "balance.inbound_pending"} {
		in, last := o.at(name)
		if in == nil || !in.get(last).IsObject() {
			return nil, fmt.Errorf("read %s of %s: it is no map of amounts: %w", name, o.what(), spend.Unavailable)
		}
		var err error
		in.get(last).ForEach(func(_, each gjson.Result) bool {
			var in *fact
			var amount spend.Amount
			if in, err = objectOf(each); err == nil {
				amount, err = in.valued(o)
			}
			if err != nil || amount.Sign() == 0 {
				return err == nil
			}
			i := slices.IndexFunc(sums, func(sum spend.Amount) bool { return sum.Unit() == amount.Unit() })
			if i < 0 {
				sums = append(sums, amount)
				return true
			}
			sums[i], err = sums[i].Add(amount)
			return err == nil
		})
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w: %w", name, o.what(), err, spend.Unavailable)
		}
	}
	slices.SortFunc(sums, func(a, b spend.Amount) int { return cmp.Compare(a.Unit(), b.Unit()) })
	return sums, nil
}
