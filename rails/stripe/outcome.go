package stripe

import (
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// Outcome reads the receipt off the reply to a call that was judged as in. The
// receipt's time and the kept reply are the caller's to fill in. A call that
// moves no money has Happened, without an amount, with any reply but 409 and 5xx.
//
// Only an error that Stripe gives before it acts, a declined card, or an object
// that is canceled or failed is DidNot. A payment that may still complete by
// itself has Happened, with all it may take.
// Whatever else comes back (409, 5xx, a reused idempotency key, an expansion that
// cannot be made, bytes that are not the object expected) is Uncertain.
func (r *Rail) Outcome(in *spend.Intent, reply *rails.Reply) spend.Outcome {
	if in == nil || reply == nil {
		return spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown}
	}
	receipt := spend.Receipt{Source: spend.FromWire, RequestID: reply.Get("Request-Id"), HTTPStatus: reply.Status}
	if in.Class == spend.Read || in.Class == spend.Other {
		if reply.Status >= 500 || reply.Status == 409 {
			// A write may be carried out after its gateway has given up.
			return spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown, Receipt: receipt}
		}
		return spend.Outcome{Result: spend.Happened, Receipt: receipt}
	}
	var object fact
	switch err := object.read(reply.Body); {
	case err != nil:
	case reply.Status >= 200 && reply.Status <= 299 && !object.has("error"):
		return settle(in, &object, receipt)
	case reply.Status >= 400:
		return fail(reply.Status, &object, receipt)
	}
	return spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown, Receipt: receipt}
}

// fail weighs an error reply.
func fail(status int, object *fact, receipt spend.Receipt) (out spend.Outcome) {
	out.Result, out.Why, out.Receipt = spend.Uncertain, spend.OutcomeUnknown, receipt
	problem, err := objectOf(object.get("error"))
	if err != nil || problem.text("type") == "" {
		return out
	}
	out.Receipt.Status = problem.text("code")
	if out.Receipt.Status == "" {
		out.Receipt.Status = problem.text("type")
	}
	switch status {
	case 400, 401, 402, 403, 404, 429:
		// The same key was used for another call, and how that one ended is not said.
		if problem.text("type") != "idempotency_error" && !isOfReply(problem) {
			out.Result, out.Why = spend.DidNot, spend.UpstreamFailed
		}
	}
	return out
}

// isOfReply reports whether an error may be one of writing the reply, when the call
// has been carried out. What expand names is looked at for the reply alone ("This
// property cannot be expanded"), and Stripe does not say that it looks before it
// acts: an agent that asks for nonsense must not thereby spend uncounted.
func isOfReply(problem *fact) bool {
	return strings.HasPrefix(problem.text("param"), "expand") || strings.Contains(strings.ToLower(problem.text("message")), "expand")
}

// settle weighs the object that a successful reply holds.
func settle(in *spend.Intent, object *fact, receipt spend.Receipt) (out spend.Outcome) {
	out.Result, out.Why, out.Receipt = spend.Uncertain, spend.OutcomeUnknown, receipt
	if in.Class == spend.Unrecognised || in.Class == spend.Capability {
		// A person let it through unread, or it moves nothing: no more than its
		// success is known.
		out.Receipt.Status = object.text("status")
		if id := object.text("id"); isID(id) && in.Class == spend.Capability {
			out.Receipt.TransactionID = id
		}
		out.Result, out.Why = spend.Happened, ""
		return out
	}
	switch collection, _, _ := strings.Cut(in.Operation, "."); {
	case collection == "payment_intents", collection == "charges", collection == "refunds",
		in.Operation == "transfers.create", in.Operation == "payouts.create":
		return settlePayment(in, collection, object, out)
	}
	told, known := taleOf(in.Operation)
	if !known {
		// What it answers with is in no description: no more than its success is known.
		out.Receipt.Status = object.text("status")
		out.Result, out.Why = spend.Happened, ""
		return out
	}
	return told.settleBy(in, object, out)
}

// settlePayment weighs one of the five objects that most calls answer with.
func settlePayment(in *spend.Intent, collection string, object *fact, out spend.Outcome) spend.Outcome {
	status, kind := object.text("status"), object.text("object")
	out.Receipt.Status = status
	one, plural := strings.CutSuffix(collection, "s")
	id := object.text("id")
	if !isID(id) {
		return out
	}
	switch {
	case kind == "charge" && in.Operation == "refunds.create":
		// The alias under /v1/charges answers with the charge, which tells all
		// refunds together and not this one.
		out.Receipt.TransactionID, out.Receipt.Note = id, "the reply states no amount"
		out.Result, out.Why = spend.Happened, ""
		return out
	case !plural || one != kind:
		return out
	case in.Object != "" && strings.HasPrefix(in.Object, collection+"/") && in.Object != collection+"/"+id:
		return out
	}
	out.Receipt.TransactionID = id
	result := resultOf(in.Operation, kind, status)
	if result == spend.DidNot {
		out.Result, out.Why = spend.DidNot, spend.UpstreamFailed
		return out
	}
	amount, err := moved(in, object, kind, status)
	if err != nil || result == spend.Uncertain {
		return out
	}
	payee, err := payeeOf(object, kind)
	if err != nil {
		return out
	}
	out.Result, out.Why = spend.Happened, ""
	out.Receipt.Amount, out.Receipt.Payee = amount, payee
	if kind == "refund" {
		out.Undoes, _ = undone(object, kind) //nolint:errcheck // it is money all the same, and names nothing
	}
	return out
}

// resultOf says by the status of the returned object how the call ended.
// Statuses that this version does not know prove nothing.
func resultOf(operation, kind, status string) spend.Result {
	switch kind {
	case "payment_intent":
		switch status {
		case "succeeded", "processing", "requires_capture", "requires_action",
			// Stripe answers a confirmation that took nothing with an error. Where
			// it says success all the same, these two statuses do not prove that
			// nothing follows by itself, so they count.
			"requires_payment_method", "requires_confirmation":
			return spend.Happened
		case "canceled":
			if operation == "payment_intents.create" || operation == "payment_intents.confirm" {
				return spend.DidNot
			}
		}
	case "charge":
		switch status {
		case "succeeded", "pending", "paid": // paid: versions before 2015-02-18
			return spend.Happened
		case "failed":
			return spend.DidNot
		}
	case "refund":
		switch status {
		case "succeeded", "pending", "requires_action", "": // none before 2014-12-22
			return spend.Happened
		case "failed", "canceled":
			return spend.DidNot
		}
	case "transfer":
		return spend.Happened // it has no status, or in old versions a payout's
	case "payout":
		switch status {
		case "paid", "pending", "in_transit":
			return spend.Happened
		case "failed", "canceled":
			return spend.DidNot
		}
	}
	return spend.Uncertain
}

// moved returns what the call moved. An object states totals, so that for a step
// in the middle (an increment, a capture with more to come) the leg's own
// amount is what a success confirms.
func moved(in *spend.Intent, object *fact, kind, status string) (spend.Amount, error) {
	unit, err := object.currency()
	if err != nil {
		return spend.Amount{}, err
	}
	step := in.Operation == "payment_intents.increment_authorization" ||
		in.Operation == "payment_intents.capture" && status == "requires_capture" ||
		in.Operation == "payment_intents.apply_customer_balance" && status != "succeeded"
	if step && len(in.Legs) == 1 && in.Legs[0].Amount.Unit() == unit {
		return in.Legs[0].Amount, nil
	}
	field := "amount"
	switch {
	case kind == "payment_intent" && status == "succeeded":
		field = "amount_received"
	case in.Operation == "charges.capture" && object.has("amount_captured"):
		field = "amount_captured"
	}
	n, err := object.integer(field)
	if err != nil {
		return spend.Amount{}, err
	}
	return spend.NewAmount(unit, n), nil
}

// payeeOf returns who the returned object says is paid, "" if it says nobody.
func payeeOf(object *fact, kind string) (string, error) {
	switch kind {
	case "payment_intent", "charge":
		return object.payee()
	case "transfer", "payout":
		return object.reference("destination")
	default:
		return "", nil
	}
}
