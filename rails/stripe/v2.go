package stripe

import (
	"fmt"
	"strconv"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// Amounts of /v2 are objects of a value, which is a whole number of the currency's
// smallest unit, and a currency. Whole numbers that are quoted stand in settings and
// statistics only (stripe-node marks them int64_string).

// spendV2 is spend for the operations of /v2.
func (x *reading) spendV2(f *form) (effect, error) {
	switch x.op.name {
	case "v2.billing.intents.commit":
		return commitBillingIntent(x)
	case "v2.money_management.outbound_payments.create", "v2.money_management.outbound_transfers.create", "v2.money_management.payout_intents.create":
		return payOutOfAccount(x, f)
	case "v2.money_management.payout_intents.update":
		return changePayoutIntent(x, f)
	case "v2.money_management.payout_intents.confirm":
		return confirmPayoutIntent(x, f)
	case "v2.money_management.inbound_transfers.create":
		return pullIntoAccount(f)
	case "v2.money_management.currency_conversions.create":
		return convert(f)
	case "v2.money_management.financial_accounts.close":
		return closeAccount(x, f)
	}
	return x.evaluate(f)
}

// amount reads the parameter name, which must be there, as such an object.
func (f *form) amount(name string, kind spend.LegKind) (spend.Amount, error) {
	n, present, err := f.number(name + "[value]")
	if err != nil {
		return spend.Amount{}, err
	}
	if !present {
		return spend.Amount{}, rails.Refusef(spend.Malformed, name+"[value]", "%s.value is missing", name)
	}
	unit, err := f.unit(name + "[currency]")
	if err != nil {
		return spend.Amount{}, err
	}
	return money(name+"[value]", n, unit, kind)
}

// unit reads the parameter name, which must be there, as a currency.
func (f *form) unit(name string) (string, error) {
	value, present, err := f.scalar(name)
	if err != nil {
		return "", err
	}
	unit, ok := parseCurrency(value)
	if !present || !ok {
		return "", rails.Refusef(spend.Malformed, name, "%s is %.80q, which Stripe's table of currencies does not hold", name, value)
	}
	return unit, nil
}

// firstID reads the first of some parameters that is there as an id; "" without any.
func (f *form) firstID(names ...string) (string, error) {
	for _, name := range names {
		if id, err := f.id(name); err != nil || id != "" {
			return id, err
		}
	}
	return "", nil
}

// commitBillingIntent starts or changes subscriptions. The total is a text; of one that
// is no positive whole number, or nothing today, nobody can say what it will cost.
func commitBillingIntent(x *reading) (effect, error) {
	target := "/v2/billing/intents/" + x.id
	e := spends(spend.Leg{Kind: spend.Charge})
	e.object = "v2/billing/intents/" + x.id
	o, err := x.look(target, "v2.billing.intent", x.id)
	if err != nil {
		return effect{}, err
	}
	if o == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	unit, known := parseCurrency(o.words("amount_details.currency"))
	n, err := strconv.ParseInt(o.words("amount_details.total"), 10, 64)
	if !known || err != nil || n <= 0 {
		return e.notUnderstood(), nil
	}
	e.legs[0].Amount = spend.NewAmount(unit, n)
	return e, nil
}

// amount returns the amount at a path. It must be positive.
func (o *fact) amount(path string) (spend.Amount, error) {
	in, name := o.at(path)
	if in == nil {
		return spend.Amount{}, fmt.Errorf("read %s of %s: it is not there: %w", path, o.what(), spend.Unavailable)
	}
	of, err := objectOf(in.get(name))
	if err != nil {
		return spend.Amount{}, fmt.Errorf("read %s of %s: %w: %w", path, o.what(), err, spend.Unavailable)
	}
	amount, err := of.valued(o)
	if err == nil && amount.Sign() <= 0 {
		err = fmt.Errorf("read %s of %s: it is nothing: %w", path, o.what(), spend.Unavailable)
	}
	return amount, err
}

// valued returns what o, which is a part of whole, is as an amount.
func (o *fact) valued(whole *fact) (spend.Amount, error) {
	unit, ok := parseCurrency(o.text("currency"))
	n, err := o.integer("value")
	if err != nil || !ok {
		return spend.Amount{}, fmt.Errorf("read an amount of %s: it is not one: %w", whole.what(), spend.Unavailable)
	}
	return spend.NewAmount(unit, n), nil
}
