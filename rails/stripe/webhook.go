package stripe

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

var _ rails.Notifier = (*Rail)(nil)

// Notices reports whether there is a secret of a webhook endpoint.
func (r *Rail) Notices() bool { return len(r.webhookSecrets) > 0 }

// Notice reads an event that Stripe posts to a webhook endpoint, as rails.Notifier
// says. An event of a kind that says nothing of payments, or in a form other than that
// of the v1 API, has no evidence.
func (r *Rail) Notice(header func(name string) []string, body []byte, now time.Time) (rails.Notice, error) {
	if err := verify(r.webhookSecrets, header("Stripe-Signature"), body, now); err != nil {
		return rails.Notice{}, err
	}
	n, err := readEvent(body)
	if err != nil {
		return rails.Notice{}, fmt.Errorf("%w: %w", err, spend.Invalid)
	}
	return n, nil
}

// readEvent reads the event of a signed body.
func readEvent(body []byte) (rails.Notice, error) {
	event, err := parseObject(body)
	if err != nil {
		return rails.Notice{}, fmt.Errorf("read event: %w", err)
	}
	n := rails.Notice{ID: event.text("id"), Type: event.text("type")}
	if !isID(n.ID) || !isEventType(n.Type) {
		return rails.Notice{}, errors.New("read event: its id or type is none")
	}
	if event.text("object") != "event" {
		return n, nil
	}
	created, err := event.integer("created")
	if err != nil || created == 0 || !isFlag(event.get("livemode")) {
		return rails.Notice{}, fmt.Errorf("read event %s: it does not say when, or in which mode", n.ID)
	}
	ev := spend.Evidence{Rail: "stripe", Event: n.ID, Type: n.Type, At: time.Unix(created, 0).UTC(), Account: event.text("account"), Mode: spend.Test}
	if event.get("livemode").Type == gjson.True {
		ev.Mode = spend.Live
	}
	said := spend.Receipt{Note: "event " + n.ID}
	if event.has("request") { // none where Stripe itself was the cause; of old versions an id
		if request, err := objectOf(event.get("request")); err == nil {
			ev.Key, said.RequestID = request.text("idempotency_key"), request.text("id")
		}
	}
	data, err := objectOf(event.get("data"))
	if err != nil {
		return rails.Notice{}, fmt.Errorf("read data of event %s: %w", n.ID, err)
	}
	object, err := objectOf(data.get("object"))
	if err != nil {
		return rails.Notice{}, fmt.Errorf("read object of event %s: %w", n.ID, err)
	}
	if n.Evidence, err = evidenceOf(ev, object, said); err != nil {
		return rails.Notice{}, fmt.Errorf("read object of event %s: %w", n.ID, err)
	}
	return n, nil
}

func isFlag(v gjson.Result) bool { return v.Type == gjson.True || v.Type == gjson.False }

// isEventType reports whether s is a word for an event: it is shown to operators.
func isEventType(s string) bool {
	return s != "" && len(s) <= 100 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_.") == ""
}

// evidenceOf is what the object of an event says of payments: of the one that it is,
// and of the one that it undoes.
func evidenceOf(ev spend.Evidence, object *fact, said spend.Receipt) (out []spend.Evidence, err error) {
	id, kind := object.text("id"), object.text("object")
	if !isID(id) { // a balance, or a payment that is still a draft
		return nil, nil
	}
	undoes, of, err := reversalOf(object, kind, ev.Type)
	if err != nil {
		return nil, err
	}
	if undoes == nil || kind == "refund" {
		own := ev
		own.Transactions, own.Object, own.Named = []string{id}, kind+"s/"+id, namedIn(object)
		own.Outcome = func(in *spend.Intent) spend.Outcome { return weigh(in, ev.Type, object, said) }
		out = append(out, own)
	}
	if undoes != nil {
		ev.Transactions, ev.Reversal = of, undoes
		out = append(out, ev)
	}
	return out, nil
}

// namedIn is the request of outgo's that whoever made the object has written to it.
func namedIn(object *fact) spend.ID {
	metadata, err := objectOf(object.get("metadata"))
	if err != nil {
		return ""
	}
	if id := metadata.text("outgo_request"); isUUID(id) {
		return spend.ID(id)
	}
	return ""
}

func isUUID(s string) bool {
	return len(s) == len("01890000-0000-7000-8000-000000000001") && strings.Trim(s, "0123456789abcdef-") == ""
}

// reversalOf is what an object says has undone a payment, and what the payment is
// called; nil for an object that undoes none.
func reversalOf(object *fact, kind, event string) (v *spend.Reversal, of []string, err error) {
	field := "amount"
	v = &spend.Reversal{Kind: spend.ByRefund, Transaction: object.text("id"), Status: object.text("status")}
	switch {
	case kind == "refund":
	case kind == "dispute":
		v.Kind = spend.ByDispute
	case event == "charge.refunded" && kind == "charge":
		field, v.Status = "amount_refunded", "refunded"
	case event == "transfer.reversed" && kind == "transfer":
		field, v.Status = "amount_reversed", "reversed"
	default:
		return nil, nil, nil
	}
	unit, err := object.currency()
	if err != nil {
		return nil, nil, err
	}
	n, err := object.integer(field)
	if err != nil {
		return nil, nil, err
	}
	v.Amount = spend.NewAmount(unit, n)
	of, err = undone(object, kind)
	return v, of, err
}

// undone is what the payment is called that an object undoes: a payment intent is, for
// outgo, what has made its charge.
func undone(object *fact, kind string) (of []string, err error) {
	for _, name := range []string{"payment_intent", "charge"} {
		id, err := object.reference(name)
		if err != nil {
			return nil, err
		}
		if id != "" {
			of = append(of, id)
		}
	}
	if kind == "charge" || kind == "transfer" {
		of = append(of, object.text("id"))
	}
	return of, nil
}

// weigh weighs the object of an event as one of the reply to a call that was judged as
// in. An event that no call of its operation brings about proves nothing of it: that a
// payment was made does not say that it was paid.
func weigh(in *spend.Intent, event string, object *fact, said spend.Receipt) spend.Outcome {
	unknown := spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown}
	if !slices.Contains(eventsOf(in.Operation), event) && !slices.Contains(laterEvents(), event) {
		return unknown
	}
	o := settle(in, object, said)
	switch {
	case o.Receipt.TransactionID == "" || !isOn(in, object):
		return unknown
	case hasFailed(event, object.text("status")), o.Result == spend.DidNot:
		o.Result, o.Why, o.Receipt.Amount = spend.DidNot, spend.UpstreamFailed, spend.Amount{}
	}
	return o
}

// laterEvents are those that no call brings about at once: what is under way has come
// to its end.
func laterEvents() []string {
	return []string{
		"payment_intent.succeeded", "payment_intent.canceled", "payment_intent.partially_funded",
		"charge.succeeded", "charge.failed", "charge.expired",
		"refund.updated", "refund.failed", "charge.refund.updated",
		"payout.paid", "payout.updated", "payout.failed", "payout.canceled",
		"topup.succeeded", "topup.failed", "topup.canceled", "invoice.paid", "climate.order.canceled",
		"treasury.inbound_transfer.succeeded", "treasury.inbound_transfer.failed", "treasury.inbound_transfer.canceled",
		"treasury.outbound_payment.posted", "treasury.outbound_payment.failed", "treasury.outbound_payment.canceled",
		"treasury.outbound_transfer.posted", "treasury.outbound_transfer.failed", "treasury.outbound_transfer.canceled",
		"treasury.credit_reversal.posted", "treasury.debit_reversal.completed",
	}
}
