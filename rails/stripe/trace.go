package stripe

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// The events of one call are looked for from tracedBefore its begin, for clocks
// differ, to tracedAfter it: the reply was waited for no longer than that.
const (
	tracedBefore = 2 * time.Minute
	tracedAfter  = 10 * time.Minute
	// maxTraced bounds the pages of events that are read, of 100 each.
	maxTraced = 20
)

var _ rails.Tracer = (*Rail)(nil)

// Reader asks at api.stripe.com, or where the API is configured to be, on behalf
// of the account that the call acted for. The secret is an API key; a restricted
// one that can read events, payment intents and charges is enough. Where the mode
// of the call is not known there is none: what a sandbox tells of the same key
// would be taken for what became of real money.
func (r *Rail) Reader(in *spend.Intent, secret string) (string, []rails.Field, bool) {
	authorization := "Bearer " + secret
	if mode := modeOf(authorization); mode == "" || mode != in.Mode {
		return "", nil, false
	}
	header := []rails.Field{{Name: "Authorization", Value: authorization}}
	switch {
	case strings.Contains(in.ActingAccount, "/"):
		header = append(header, rails.Field{Name: "Stripe-Context", Value: in.ActingAccount})
	case in.ActingAccount != "":
		header = append(header, rails.Field{Name: "Stripe-Account", Value: in.ActingAccount})
	}
	return r.hosts[0], header, true
}

// Trace looks for the events that carry the idempotency key of the call: Stripe
// writes it into each event that a request has caused (its API reference, "The
// Event object", request.idempotency_key), and the key is outgo's own, so that in
// the account that was called nobody else's payment can be taken for this one. The
// object in such an event is what the reply would have held. Where events may not
// be read, the object that a confirmation, a capture or the payment of an
// invoice acts on is read instead.
func (r *Rail) Trace(s rails.Sent, facts []rails.Fact) (spend.Outcome, []rails.Lookup, error) {
	unknown := spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown}
	kinds := eventsOf(s.Intent.Operation)
	if len(kinds) == 0 || s.Key == "" {
		return unknown, nil, nil
	}
	target, instead := objectTarget(s.Intent)
	var found trace
	for i := range facts {
		status := facts[i].Reply.Status
		switch {
		case instead && facts[i].Lookup.Target == target:
			return traceObject(s.Intent, &facts[i].Reply)
		case instead && status == 403 && i == len(facts)-1:
			return unknown, []rails.Lookup{{Target: target}}, nil
		case instead && status == 403:
			continue
		case status != 200:
			return unknown, nil, fmt.Errorf("list events: status %d: %w", status, spend.Unavailable)
		}
		if err := found.page(s, facts[i].Reply.Body); err != nil {
			return unknown, nil, err
		}
	}
	if len(facts) == 0 || found.more && len(facts) < maxTraced {
		return unknown, []rails.Lookup{{Target: eventsTarget(s, kinds, found.last)}}, nil
	}
	return found.outcome(), nil, nil
}

func eventsTarget(s rails.Sent, kinds []string, after string) string {
	q := "/v1/events?limit=100&created[gte]=" + strconv.FormatInt(s.Began.Add(-tracedBefore).Unix(), 10) +
		"&created[lte]=" + strconv.FormatInt(s.Began.Add(tracedAfter).Unix(), 10)
	for _, k := range kinds {
		q += "&types[]=" + k
	}
	if after != "" {
		q += "&starting_after=" + url.QueryEscape(after)
	}
	return q
}

// trace is what the events read so far say of one call.
type trace struct {
	more     bool   // there are older events
	last     string // the oldest event read
	foreign  bool   // the key was seen on an object that the call does not act on
	happened []spend.Outcome
	failed   []spend.Outcome
}

// page reads one page of events, newest first.
func (t *trace) page(s rails.Sent, body []byte) error {
	list, err := parseObject(body)
	if err != nil || list.text("object") != "list" || !list.get("data").IsArray() {
		return fmt.Errorf("read events: it is no list: %w", spend.Unavailable)
	}
	t.more = list.get("has_more").Type == gjson.True
	for _, v := range list.get("data").Array() {
		event, err := objectOf(v)
		if err != nil || event.text("object") != "event" || !isID(event.text("id")) {
			return fmt.Errorf("read events: one of them is none: %w", spend.Unavailable)
		}
		t.last = event.text("id")
		if err := t.event(s, event); err != nil {
			return err
		}
	}
	t.more = t.more && t.last != ""
	return nil
}

// event takes in one event if the call has caused it.
func (t *trace) event(s rails.Sent, event *fact) error {
	request, err := objectOf(event.get("request"))
	if err != nil || request.text("idempotency_key") != s.Key || !slices.Contains(eventsOf(s.Intent.Operation), event.text("type")) {
		return nil //nolint:nilerr // an event without a request was caused by no call
	}
	data, err := objectOf(event.get("data"))
	if err != nil {
		return fmt.Errorf("read event %s: %w: %w", event.text("id"), err, spend.Unavailable)
	}
	object, err := objectOf(data.get("object"))
	if err != nil {
		return fmt.Errorf("read event %s: %w: %w", event.text("id"), err, spend.Unavailable)
	}
	o := settle(s.Intent, object, spend.Receipt{
		Source: spend.FromProvider, RequestID: request.text("id"), At: cameAbout(event), Note: "event " + event.text("id"),
	})
	switch {
	case o.Receipt.TransactionID == "" || !isOn(s.Intent, object):
		t.foreign = true
	case hasFailed(event.text("type"), object.text("status")), o.Result == spend.DidNot:
		o.Result, o.Why, o.Receipt.Amount = spend.DidNot, spend.UpstreamFailed, spend.Amount{}
		t.failed = append(t.failed, o)
	case o.Result == spend.Happened:
		t.happened = append(t.happened, o)
	}
	return nil
}

// cameAbout is when an event came about, by Stripe's clock; no time where it does not
// say so.
func cameAbout(event *fact) time.Time {
	n, err := event.integer("created")
	if err != nil || n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// isOn reports whether an object is of the payment that in acts on, if it acts on
// one: a refund names what it gives back, other objects are it (see settle).
func isOn(in *spend.Intent, object *fact) bool {
	collection, id, acts := strings.Cut(in.Object, "/")
	if !acts || object.text("object") != "refund" || collection == "refunds" {
		return true
	}
	of, err := object.reference(strings.TrimSuffix(collection, "s"))
	return err == nil && of == id
}

// outcome weighs what was found. Events that speak of two payments prove none,
// and a failure counts only when everything was read and nothing contradicts it.
func (t *trace) outcome() spend.Outcome {
	unknown := spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown}
	if t.foreign {
		return unknown
	}
	all := append(append([]spend.Outcome(nil), t.happened...), t.failed...)
	for i := range all {
		if all[i].Receipt.TransactionID != all[0].Receipt.TransactionID {
			return unknown
		}
	}
	switch {
	case len(t.happened) > 0:
		return t.happened[0]
	case len(t.failed) > 0 && !t.more:
		return t.failed[0]
	}
	return unknown
}

// objectTarget is the read of the object that a confirmation, a whole capture or the
// payment of an invoice acts on: one whose end can only be reached once.
func objectTarget(in *spend.Intent) (string, bool) {
	switch in.Operation {
	case "payment_intents.confirm", "payment_intents.capture", "charges.capture", "invoices.pay":
		return "/v1/" + in.Object, in.Object != ""
	}
	return "", false
}

// traceObject reads the object itself. Only that it has moved the very amount
// counts: an object that has not may yet do so.
func traceObject(in *spend.Intent, reply *rails.Reply) (spend.Outcome, []rails.Lookup, error) {
	unknown := spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown}
	collection, id, _ := strings.Cut(in.Object, "/")
	object, err := readFact(rails.Fact{Lookup: rails.Lookup{Target: in.Object}, Reply: *reply}, strings.TrimSuffix(collection, "s"), id)
	if err != nil {
		return unknown, nil, err
	}
	done := object.text("status") == "succeeded"
	switch collection {
	case "charges":
		done = done && object.get("captured").Type == gjson.True
	case "invoices":
		done = object.text("status") == "paid"
	}
	o := settle(in, object, spend.Receipt{Source: spend.FromProvider, RequestID: reply.Get("Request-Id"), Note: "read " + in.Object})
	if !done || o.Result != spend.Happened || len(in.Legs) != 1 || o.Receipt.Amount != in.Legs[0].Amount {
		return unknown, nil, nil
	}
	return o, nil, nil
}
