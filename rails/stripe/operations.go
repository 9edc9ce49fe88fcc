package stripe

import (
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// operation is one kind of call.
type operation struct {
	name  string
	class spend.Class // what it is at worst; of one that is Unrecognised, nothing more is read
}

// reading is a call under the eyes of its operation.
type reading struct {
	id      string // the object that the path names, or ""
	version string // Stripe-Version, or ""
	facts   []rails.Fact
}

// effect is what one call does.
type effect struct {
	class   spend.Class
	object  string      // see spend.Intent.Object
	legs    []spend.Leg // one, or none where no money moves; without an amount while lookups are due
	lookups []rails.Lookup
}

func unrecognised() operation {
	return operation{"unrecognised", spend.Unrecognised}
}

// route names the operation of a write by method and path, and returns the id
// that the path holds. Paths that are not listed are unrecognised; an id that is
// none is refused as Malformed, a trailing slash, which Stripe ignored until
// 2019, as Ambiguous.
func route(method, path string) (operation, string, error) {
	rest, v1 := strings.CutPrefix(path, "/v1/")
	if strings.HasSuffix(path, "/") {
		return operation{}, "", rails.Refusef(spend.Ambiguous, "", "the path %.80q ends in a slash, which servers read differently", path)
	}
	if !v1 || method != "POST" || strings.Count(rest, "/") > 2 {
		return unrecognised(), "", nil
	}
	pattern, id, deeper := strings.Cut(rest, "/")
	if deeper {
		tail := ""
		if i := strings.IndexByte(id, '/'); i >= 0 {
			id, tail = id[:i], id[i:]
		}
		pattern += "/{id}" + tail
	}
	op, ok := operationOf(pattern)
	if !ok {
		return unrecognised(), "", nil
	}
	if deeper && isLowerWord(id) {
		return unrecognised(), "", nil // another operation, such as payouts/create_all
	}
	if deeper && !isID(id) {
		return operation{}, "", rails.Refusef(spend.Malformed, "", "the id %.80q in the path is none of Stripe's", id)
	}
	return op, id, nil
}

// isLowerWord reports whether s is of lower-case letters and underscores only. All
// ids that Stripe draws have digits or capitals; what is too long for one is refused
// as such.
func isLowerWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// operationOf is the table of operations, by what follows /v1/ in the path. The
// two ways to refund under /v1/charges are in Stripe's specification and in no
// SDK.
func operationOf(pattern string) (operation, bool) {
	switch pattern {
	case "payment_intents":
		return operation{"payment_intents.create", spend.Spend}, true
	case "payment_intents/{id}":
		return operation{"payment_intents.update", spend.Other}, true
	case "payment_intents/{id}/confirm":
		return operation{"payment_intents.confirm", spend.Spend}, true
	case "payment_intents/{id}/capture":
		return operation{"payment_intents.capture", spend.Spend}, true
	case "payment_intents/{id}/increment_authorization":
		return operation{"payment_intents.increment_authorization", spend.Spend}, true
	case "payment_intents/{id}/cancel":
		return operation{"payment_intents.cancel", spend.Other}, true
	case "charges":
		return operation{"charges.create", spend.Spend}, true
	case "charges/{id}":
		return operation{"charges.update", spend.Other}, true
	case "charges/{id}/capture":
		return operation{"charges.capture", spend.Spend}, true
	case "refunds", "charges/{id}/refund", "charges/{id}/refunds":
		return operation{"refunds.create", spend.Spend}, true
	case "refunds/{id}":
		return operation{"refunds.update", spend.Other}, true
	case "refunds/{id}/cancel":
		return operation{"refunds.cancel", spend.Other}, true
	case "transfers":
		return operation{"transfers.create", spend.Spend}, true
	case "transfers/{id}":
		return operation{"transfers.update", spend.Other}, true
	case "payouts":
		return operation{"payouts.create", spend.Spend}, true
	case "payouts/{id}":
		return operation{"payouts.update", spend.Other}, true
	case "payouts/{id}/cancel":
		return operation{"payouts.cancel", spend.Other}, true
	}
	return operation{}, false
}

// effect makes out what one call of an operation does. The form stands beside x and
// not in it, where it would be taken to outlive the call.
func (x *reading) effect(operation string, f *form) (effect, error) {
	switch operation {
	case "payment_intents.create":
		return createPaymentIntent(f)
	case "payment_intents.update":
		return updatePaymentIntent(x, f)
	case "payment_intents.confirm":
		return confirmPaymentIntent(x, f)
	case "payment_intents.capture":
		return capturePaymentIntent(x, f)
	case "payment_intents.increment_authorization":
		return incrementPaymentIntent(x, f)
	case "charges.create":
		return createCharge(f)
	case "charges.capture":
		return captureCharge(x, f)
	case "refunds.create":
		return createRefund(x, f)
	case "transfers.create":
		return createTransfer(x, f)
	case "payouts.create":
		return createPayout(f)
	case "payment_intents.cancel":
		return x.touch("payment_intents"), nil
	case "charges.update":
		return x.touch("charges"), nil
	case "refunds.update", "refunds.cancel":
		return x.touch("refunds"), nil
	case "transfers.update":
		return x.touch("transfers"), nil
	case "payouts.update", "payouts.cancel":
		return x.touch("payouts"), nil
	}
	return effect{class: spend.Unrecognised}, nil
}

// touch is the effect of a write that moves no money. It names its object, because an
// approval already given on that object may not outlive the write.
func (x *reading) touch(collection string) effect {
	return effect{class: spend.Other, object: collection + "/" + x.id}
}

// createPaymentIntent is a spend only with confirm=true, or True as Python's SDK
// wrote it until 2025 (stripe-python, pull request 1499). Stripe's mock takes
// 1, t, T and TRUE for true as well; what else stands for false is not known, so
// everything but these words is refused.
func createPaymentIntent(f *form) (effect, error) {
	amount, err := f.price(spend.Charge)
	if err != nil {
		return effect{}, err
	}
	payee, err := chargePayee(f)
	if err != nil {
		return effect{}, err
	}
	confirm, present, err := f.scalar("confirm")
	switch {
	case err != nil:
		return effect{}, err
	case !present || confirm == "false":
		return effect{class: spend.Other}, nil
	case confirm != "true" && confirm != "True":
		return effect{}, rails.Refusef(spend.Malformed, "confirm", "confirm is %.80q; it must be true or false", confirm)
	}
	return spends(spend.Leg{Kind: spend.Charge, Amount: amount, Payee: payee}), nil
}

// updatePaymentIntent moves nothing, and refuses what would if Stripe took it.
func updatePaymentIntent(x *reading, f *form) (effect, error) {
	if err := f.refuse("confirm", "an update does not confirm; call confirm"); err != nil {
		return effect{}, err
	}
	if _, _, err := f.number("amount"); err != nil {
		return effect{}, err
	}
	if _, err := f.currency(); err != nil {
		return effect{}, err
	}
	return x.touch("payment_intents"), nil
}

// createCharge is a spend with capture=false as well: the money is held.
func createCharge(f *form) (effect, error) {
	amount, err := f.price(spend.Charge)
	if err != nil {
		return effect{}, err
	}
	payee, err := chargePayee(f)
	if err != nil {
		return effect{}, err
	}
	return spends(spend.Leg{Kind: spend.Charge, Amount: amount, Payee: payee}), nil
}

// createTransfer reads a transfer to a connected account. Under versions before
// 2017-04-06 the same path pays out to a bank.
func createTransfer(x *reading, f *form) (effect, error) {
	kind := spend.Transfer
	if x.version != "" && x.version < "2017-04-06" {
		kind = spend.Payout
	}
	amount, err := f.price(kind)
	if err != nil {
		return effect{}, err
	}
	payee, err := f.id("destination")
	if err != nil {
		return effect{}, err
	}
	if payee == "" {
		return effect{}, rails.Refusef(spend.Malformed, "destination", "destination is missing")
	}
	return spends(spend.Leg{Kind: kind, Amount: amount, Payee: payee}), nil
}

// createPayout reads a payout; without a destination it goes to the account's
// default bank account or card, which the call does not name.
func createPayout(f *form) (effect, error) {
	amount, err := f.price(spend.Payout)
	if err != nil {
		return effect{}, err
	}
	payee, err := f.id("destination")
	if err != nil {
		return effect{}, err
	}
	return spends(spend.Leg{Kind: spend.Payout, Amount: amount, Payee: payee}), nil
}

func spends(leg spend.Leg) effect { return effect{class: spend.Spend, legs: []spend.Leg{leg}} }

// chargePayee returns the connected account that a charge is passed on to, ""
// when the charging account keeps it. on_behalf_of only names who is shown to
// the payer.
func chargePayee(f *form) (string, error) {
	names := []string{"transfer_data[destination]", "destination"}
	if f.isHash("destination") {
		names[1] = "destination[account]"
	}
	var payee string
	for _, name := range names {
		id, err := f.id(name)
		if err != nil {
			return "", err
		}
		if payee != "" && id != "" {
			return "", rails.Refusef(spend.Ambiguous, "destination", "transfer_data and destination both name who is paid; send one")
		}
		payee += id
	}
	return payee, nil
}

// id reads the parameter name as an id of Stripe's; "" without one.
func (f *form) id(name string) (string, error) {
	value, present, err := f.scalar(name)
	if err != nil || !present {
		return "", err
	}
	if !isID(value) {
		return "", rails.Refusef(spend.Malformed, name, "%s is %.80q, which is no id of Stripe's", name, value)
	}
	return value, nil
}

// refuse refuses the call if the parameter base is there in any form.
func (f *form) refuse(base, reason string) error {
	if _, present, err := f.scalar(base); err != nil || present || f.isHash(base) {
		return rails.Refusef(spend.Malformed, base, "%s is no parameter of this call: %s", base, reason)
	}
	return nil
}

// Operations returns the names of the operations that policies can be scoped to.
func Operations() []string {
	return []string{
		"payment_intents.create", "payment_intents.update", "payment_intents.confirm", "payment_intents.capture",
		"payment_intents.increment_authorization", "payment_intents.cancel", "charges.create", "charges.update",
		"charges.capture", "refunds.create", "refunds.update", "refunds.cancel", "transfers.create", "transfers.update",
		"payouts.create", "payouts.update", "payouts.cancel", unrecognised().name,
	}
}
