package stripe

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// A customer's balance is what the customer owes: below zero it is credit towards
// invoices, an allowance that the account gives; above zero it is charged with the
// next invoice. A call that changes it does one of both by the difference.

// createCustomer reads a customer that begins with a balance, which is in the
// default currency of the account.
func createCustomer(x *reading, f *form) (effect, error) {
	n, stated, err := f.balance()
	switch {
	case err != nil:
		return effect{}, err
	case !stated:
		return x.unpaid(f, true) // it spends by what Stripe does not describe
	case n == 0 || x.gives(f):
		return x.unpaid(f, n != 0)
	}
	unit, due, err := x.defaultCurrency()
	if err != nil {
		return effect{}, err
	}
	return owes(-n, unit, "", due)
}

// updateCustomer reads a change of the balance, hidden among those of name and
// address.
func updateCustomer(x *reading, f *form) (effect, error) {
	n, stated, err := f.balance()
	if err != nil {
		return effect{}, err
	}
	if !stated {
		return x.unpaid(f, true)
	}
	target := "/v1/customers/" + x.id
	was, err := x.look(target, "customer", x.id)
	if err != nil {
		return effect{}, err
	}
	e := effect{class: spend.Spend, object: "customers/" + x.id}
	if was == nil {
		e.legs = []spend.Leg{{Kind: spend.Allowance, Payee: x.id}}
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	before, err := was.signed("balance")
	if err != nil {
		return effect{}, err
	}
	change := before - n // what is given: both are far from overflowing
	if change == 0 || x.gives(f) {
		return x.unpaid(f, change != 0)
	}
	unit, due := "", []rails.Lookup(nil)
	if was.has("currency") {
		unit, err = was.currency()
	} else {
		unit, due, err = x.defaultCurrency()
	}
	if err != nil {
		return effect{}, err
	}
	if e, err = owes(change, unit, x.id, due); err == nil {
		e.object = "customers/" + x.id
	}
	return e, err
}

// adjustBalance reads a transaction on a customer's balance.
func adjustBalance(x *reading, f *form) (effect, error) {
	n, err := f.signed("amount")
	if err != nil {
		return effect{}, err
	}
	if n == 0 {
		return effect{}, rails.Refusef(spend.Malformed, "amount", "amount is missing or 0")
	}
	unit, err := f.currency()
	if err != nil {
		return effect{}, err
	}
	if unit == "" {
		return effect{}, rails.Refusef(spend.Malformed, "currency", "currency is missing")
	}
	e, err := owes(-n, unit, x.id, nil)
	e.object = "customers/" + x.id
	return e, err
}

// balance reads the balance that the call sets, which was account_balance until
// 2019.
func (f *form) balance() (n int64, stated bool, err error) {
	for _, name := range []string{"balance", "account_balance"} {
		if _, present, err := f.scalar(name); err != nil || !present {
			if err != nil {
				return 0, false, err
			}
			continue
		}
		if stated {
			return 0, false, rails.Refusef(spend.Ambiguous, name, "the call states two balances; send balance")
		}
		stated = true
		if n, err = f.signed(name); err != nil {
			return 0, false, err
		}
	}
	return n, stated, nil
}

// owes is the effect of giving a customer so much credit or, below zero, of having
// so much charged.
func owes(given int64, unit, customer string, due []rails.Lookup) (effect, error) {
	leg := spend.Leg{Kind: spend.Allowance, Payee: customer}
	if given < 0 {
		given, leg = -given, spend.Leg{Kind: spend.Charge}
	}
	e := effect{class: spend.Spend, legs: []spend.Leg{leg}, lookups: due}
	if len(due) > 0 {
		return e, nil
	}
	amount, err := money("balance", given, unit, leg.Kind)
	e.legs[0].Amount = amount
	return e, err
}

// unpaid is the effect of a call whose balance moves nothing: that of the rest of
// it. One that moves money and gives an instrument as well has no class of its own,
// and goes to a person.
func (x *reading) unpaid(f *form, moves bool) (effect, error) {
	object, err := x.object(f)
	class := spend.Other
	switch {
	case moves:
		class = spend.Unrecognised
	case x.gives(f):
		class = spend.Capability
	}
	return effect{class: class, object: object}, err
}

// gives reports whether the call has a parameter that makes it a capability.
func (x *reading) gives(f *form) bool {
	for i := range x.op.when {
		if c := &x.op.when[i]; c.class == spend.Capability && c.met(f.all, x.version) {
			return true
		}
	}
	return false
}

// defaultCurrency returns the currency of the account that acts, or the lookup that
// tells.
func (x *reading) defaultCurrency() (string, []rails.Lookup, error) {
	const target = "/v1/account"
	for i := range x.facts {
		reply := &x.facts[i].Reply
		if x.facts[i].Lookup.Target != target {
			continue
		}
		account, err := parseObject(reply.Body)
		if reply.Status != 200 || err != nil || account.text("object") != "account" {
			return "", nil, fmt.Errorf("look up the account's currency: status %d, and no account: %w", reply.Status, spend.Unavailable)
		}
		unit, ok := parseCurrency(account.text("default_currency"))
		if !ok {
			return "", nil, fmt.Errorf("look up the account's currency: %.20q is not in Stripe's table: %w", account.text("default_currency"), spend.Unavailable)
		}
		return unit, nil, nil
	}
	return "", []rails.Lookup{{Target: target}}, nil
}

// signed reads a parameter that is a whole number of either sign; 0 without one.
func (f *form) signed(name string) (int64, error) {
	value, present, err := f.scalar(name)
	if err != nil || !present {
		return 0, err
	}
	n, ok := parseSigned(value)
	if !ok {
		return 0, rails.Refusef(spend.Malformed, name, "%s is %.80q; it must be a whole number of the currency's smallest unit", name, value)
	}
	return n, nil
}

// signed returns a field that is a whole number of either sign.
func (o *fact) signed(name string) (int64, error) {
	n, ok := parseSigned(string(o.members.value(name)))
	if !ok {
		return 0, fmt.Errorf("read %s of %s: it is no whole number: %w", name, o.what(), spend.Unavailable)
	}
	return n, nil
}

// parseSigned reads a whole number in the one spelling that all parsers agree on, of
// which any two can be added.
func parseSigned(s string) (int64, bool) {
	digits := strings.TrimPrefix(s, "-")
	if !isIndex(digits) || hasLeadingZero(digits) || s == "-0" {
		return 0, false
	}
	const most = 1 << 61
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= most && n >= -most
}
