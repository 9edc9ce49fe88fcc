package stripe

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// The operations in this file move a balance, or what a card of the account's own
// may take of it, and say so in a way of their own.

// createOutbound reads a payment or a transfer out of a financial account.
func createOutbound(f *form) (effect, error) {
	amount, err := f.price(spend.Payout)
	if err != nil {
		return effect{}, err
	}
	from, err := f.id("financial_account")
	if err != nil {
		return effect{}, err
	}
	if from == "" {
		return effect{}, rails.Refusef(spend.Malformed, "financial_account", "financial_account is missing")
	}
	payee, err := outboundPayee(f)
	if err != nil {
		return effect{}, err
	}
	e := spends(spend.Leg{Kind: spend.Payout, Amount: amount, Payee: payee})
	e.object = "treasury/financial_accounts/" + from
	return e, nil
}

// outboundPayee returns where money goes: an instrument on file, a financial
// account, or a bank account of which the call gives the numbers; "" is the default
// of the customer, if it names one.
func outboundPayee(f *form) (string, error) {
	method, err := f.either("destination_payment_method", "destination_payment_method_data[financial_account]")
	if err != nil {
		return "", err
	}
	bank, err := bankAccount(f, "destination_payment_method_data[us_bank_account]")
	if err != nil {
		return "", err
	}
	if method != "" && bank != "" {
		return "", rails.Refusef(spend.Ambiguous, "destination_payment_method", "the call names two destinations; send one")
	}
	if method+bank != "" {
		return method + bank, nil
	}
	return f.id("customer")
}

// bankAccount names a bank account without giving its number away: by the bank, the
// last four digits, and a digest by which the same account is known again. "" without
// one.
func bankAccount(f *form, hash string) (string, error) {
	if !f.isHash(hash) {
		return "", nil
	}
	var numbers [2]string
	for i, name := range []string{"routing_number", "account_number"} {
		value, _, err := f.scalar(hash + "[" + name + "]")
		if err != nil {
			return "", err
		}
		if !isIndex(value) || len(value) > 34 {
			return "", rails.Refusef(spend.Malformed, hash, "%s is missing or has no digits alone", hash+"["+name+"]")
		}
		numbers[i] = value
	}
	routing, account := numbers[0], numbers[1]
	digest := sha256.Sum256([]byte("us_bank_account:" + routing + ":" + account))
	return "us_bank_account:" + routing + ":" + account[max(0, len(account)-4):] + ":" + hex.EncodeToString(digest[:8]), nil
}

// closeFinancialAccount pays out all that a financial account holds: a leg for each
// currency.
func closeFinancialAccount(x *reading, f *form) (effect, error) {
	payee, err := f.either("forwarding_settings[payment_method]", "forwarding_settings[financial_account]")
	if err != nil {
		return effect{}, err
	}
	target := "/v1/treasury/financial_accounts/" + x.id
	e := spends(spend.Leg{Kind: spend.Payout, Payee: payee})
	e.object = "treasury/financial_accounts/" + x.id
	account, err := x.look(target, "treasury.financial_account", x.id)
	if err != nil {
		return effect{}, err
	}
	if account == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	balance, err := objectOf(account.get("balance"))
	if err != nil {
		return effect{}, fmt.Errorf("read balance of %s: %w: %w", account.what(), err, spend.Unavailable)
	}
	if e.legs, err = sweep(balance.get("cash"), payee); err != nil {
		return effect{}, fmt.Errorf("read balance of %s: %w", account.what(), err)
	}
	if len(e.legs) == 0 {
		e.class = spend.Other // it is empty
	}
	return e, nil
}

// sweep makes a payout of each currency of a balance; none of one that is empty.
func sweep(cash gjson.Result, payee string) ([]spend.Leg, error) {
	amounts, err := objectOf(cash)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, spend.Unavailable)
	}
	var legs []spend.Leg
	for name := range cash.Map() {
		unit, ok := parseCurrency(name)
		if !ok {
			return nil, fmt.Errorf("%.20q is no currency: %w", name, spend.Unavailable)
		}
		n, err := amounts.signed(name)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			legs = append(legs, spend.Leg{Kind: spend.Payout, Amount: spend.NewAmount(unit, n), Payee: payee})
		}
	}
	slices.SortFunc(legs, func(a, b spend.Leg) int { return strings.Compare(a.Amount.Unit(), b.Amount.Unit()) })
	return legs, nil
}

// approveAuthorization lets a card of the account's own be charged. Who charges it,
// and under which merchant category code, the card network tells: the one place in
// Stripe's API where the merchant is a fact.
func approveAuthorization(x *reading, f *form) (effect, error) {
	n, stated, err := f.number("amount")
	if err != nil {
		return effect{}, err
	}
	target := "/v1/issuing/authorizations/" + x.id
	e := spends(spend.Leg{Kind: spend.Charge})
	e.object = "issuing/authorizations/" + x.id
	asked, err := x.look(target, "issuing.authorization", x.id)
	if err != nil {
		return effect{}, err
	}
	if asked == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	pending, err := objectOf(asked.get("pending_request"))
	if err != nil {
		return effect{}, rails.Refusef(spend.Malformed, "", "nothing is left to approve on %s", e.object)
	}
	if !stated {
		if n, err = pending.integer("amount"); err != nil {
			return effect{}, err
		}
	}
	unit, err := pending.currency()
	if err != nil {
		return effect{}, err
	}
	if n <= 0 {
		return effect{}, rails.Refusef(spend.Malformed, "", "nothing is left to approve on %s", e.object)
	}
	leg := &e.legs[0]
	leg.Amount = spend.NewAmount(unit, n)
	if merchant, err := objectOf(asked.get("merchant_data")); err == nil {
		leg.Payee, leg.Category = merchant.text("network_id"), merchant.text("category_code")
		leg.Merchant = spend.NormalMerchant(merchant.text("name"))
	}
	return e, nil
}

// createClimateOrder pays for the removal of carbon: so much money, or so many tons
// at the product's price.
func createClimateOrder(x *reading, f *form) (effect, error) {
	n, stated, err := f.number("amount")
	if err != nil {
		return effect{}, err
	}
	tons, weighed, err := f.scalar("metric_tons")
	switch {
	case err != nil:
		return effect{}, err
	case stated == weighed:
		return effect{}, rails.Refusef(spend.Malformed, "amount", "send one of amount and metric_tons")
	}
	unit, err := f.currency()
	if err != nil {
		return effect{}, err
	}
	e, due := spends(spend.Leg{Kind: spend.Charge}), []rails.Lookup(nil)
	if unit == "" {
		if unit, due, err = x.defaultCurrency(); err != nil {
			return effect{}, err
		}
	}
	if weighed {
		product, err := f.id("product")
		if err != nil {
			return effect{}, err
		}
		target := "/v1/climate/products/" + product
		known, err := x.look(target, "climate.product", product)
		switch {
		case err != nil:
			return effect{}, err
		case known == nil:
			due = append(due, rails.Lookup{Target: target})
		case len(due) == 0:
			if n, err = known.tons(tons, unit); err != nil {
				return effect{}, err
			}
		}
	}
	if e.lookups = due; len(due) > 0 {
		return e, nil
	}
	e.legs[0].Amount, err = money("amount", n, unit, spend.Charge)
	return e, err
}

// tons returns what so many metric tons of a climate product cost, rounded up.
func (o *fact) tons(many, unit string) (int64, error) {
	weight, ok := parseParts(many, true)
	if !ok || weight.Sign() == 0 {
		return 0, rails.Refusef(spend.Malformed, "metric_tons", "metric_tons is %.80q, which is no number", many)
	}
	prices, err := objectOf(o.get("current_prices_per_metric_ton"))
	if err != nil {
		return 0, fmt.Errorf("read current_prices_per_metric_ton of %s: %w: %w", o.what(), err, spend.Unavailable)
	}
	price, err := objectOf(prices.get(strings.ToLower(unit)))
	if err != nil {
		return 0, fmt.Errorf("read current_prices_per_metric_ton of %s: none in %s: %w", o.what(), unit, spend.Unavailable)
	}
	each, err := price.integer("amount_total")
	if err != nil {
		return 0, err
	}
	whole, rest := new(big.Int).QuoRem(weight.Mul(weight, big.NewInt(each)), unitParts(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	if !whole.IsInt64() || whole.Sign() == 0 {
		return 0, rails.Refusef(spend.Malformed, "metric_tons", "%.80q metric tons cost nothing, or more than there is", many)
	}
	return whole.Int64(), nil
}

// confirmDelegated pays for what a seller's session asks, on a buyer's behalf.
func confirmDelegated(x *reading, _ *form) (effect, error) {
	target := "/v1/delegated_checkout/requested_sessions/" + x.id
	e := spends(spend.Leg{Kind: spend.Charge})
	e.object = "delegated_checkout/requested_sessions/" + x.id
	session, err := x.look(target, "delegated_checkout.requested_session", x.id)
	if err != nil {
		return effect{}, err
	}
	if session == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	n, err := session.integer("amount_total")
	if err != nil {
		return effect{}, err
	}
	if e, err = e.worth(session, n); err != nil {
		return effect{}, err
	}
	if seller, err := objectOf(session.get("seller_details")); err == nil {
		for _, name := range []string{"network_business_profile", "network_profile", "external_id"} {
			if e.legs[0].Payee == "" {
				e.legs[0].Payee = seller.text(name)
			}
		}
	}
	return e, nil
}

// closeDispute gives up a dispute: the money that its payer asks back is lost.
func closeDispute(x *reading, _ *form) (effect, error) {
	target, object := "/v1/disputes/"+x.id, "disputes/"+x.id
	e := spends(spend.Leg{Kind: spend.Refund})
	var dispute *fact
	var err error
	if strings.HasPrefix(x.op.lookup, "/v1/charges/") { // an alias in Stripe's specification
		target, object = "/v1/charges/"+x.id+"/dispute", "charges/"+x.id
		dispute, err = x.lookAny(target, "dispute")
		if err == nil && dispute != nil {
			var charge string
			if charge, err = dispute.reference("charge"); err == nil && charge != x.id {
				err = fmt.Errorf("look up %s: the answer is of another charge: %w", object, spend.Unavailable)
			}
		}
	} else {
		dispute, err = x.look(target, "dispute", x.id)
	}
	if err != nil {
		return effect{}, err
	}
	if e.object = object; dispute == nil {
		e.lookups = []rails.Lookup{{Target: target}}
		return e, nil
	}
	n, err := dispute.integer("amount")
	if err != nil {
		return effect{}, err
	}
	return e.worth(dispute, n)
}

// lookAny is look for an object whose id is not known before.
func (x *reading) lookAny(target, object string) (*fact, error) {
	for _, f := range x.facts {
		if f.Lookup.Target != target {
			continue
		}
		got, err := parseObject(f.Reply.Body)
		if f.Reply.Status != 200 || err != nil || got.text("object") != object || !isID(got.text("id")) {
			return nil, fmt.Errorf("look up %s: status %d, and no %s: %w", target, f.Reply.Status, object, spend.Unavailable)
		}
		return got, nil
	}
	return nil, nil
}
