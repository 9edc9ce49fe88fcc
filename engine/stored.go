package engine

import (
	"fmt"
	"slices"

	"github.com/outgo/outgo/engine/budget"
	"github.com/outgo/outgo/engine/spend"
)

// formatRequest is the first byte of a stored request. Behind it are the request's
// fields in a fixed order, in the forms of a packer, without what the rest of them
// says: the id, which is in the key; whose balance or reservation it is, where that
// is a policy of the verdict's; what remains of a limit; the key that is attached,
// where it is the intent's own. What few requests have is JSON.
//
// It is no JSON as a whole because every payment writes two of them: it is a third
// of the size, and each byte is written to a log and twice to a table at least.
const formatRequest = 3

// storedRequest returns the stored form of r, of which body may have parts, and has
// them from then on. exact says that reading it gives r again, but for what is never
// stored and the zones of times.
func (k keys) storedRequest(r *spend.Request, body *requestBody) (stored []byte, exact bool, err error) {
	const rest = 320 // what there mostly is beside a known body, or the form of an intent
	p := packer{b: make([]byte, 1, rest+len(body.whole)+len(body.intent))}
	p.b[0] = formatRequest
	k.fields(&p, r, body)
	if p.err != nil {
		return nil, false, fmt.Errorf("write %s: %w", k.request(r.ID), p.err)
	}
	return p.b, !p.inexact, nil
}

// requestBody is what is already known of the stored form of a request, so that it is
// not made again: of the intent, which never changes but for a begin, and depends on
// nothing else; and of all from the intent to the reservations, as it was written
// when a payment began, and mostly still is when it ends.
type requestBody struct {
	intent, whole []byte
	// What whole was written with, beside the intent and the verdict, which stay.
	attachedKey  string
	reservations []spend.Reservation
}

// isOf reports whether whole is what would be written for r.
func (b *requestBody) isOf(r *spend.Request) bool {
	return b.whole != nil && r.AttachedKey == b.attachedKey && slices.Equal(r.Reservations, b.reservations)
}

// readRequest decodes a stored request, found at key.
func (k keys) readRequest(id spend.ID, key string, stored []byte) (r spend.Request, err error) {
	if len(stored) == 0 || stored[0] != formatRequest {
		return r, fmt.Errorf("read %s: the value has a format that this version of outgo does not know", key)
	}
	p := packer{b: stored[1:], reading: true}
	k.fields(&p, &r, new(requestBody))
	if err := p.end(); err != nil {
		// Not wrapped: a damaged store is nobody's input and must not look so.
		return spend.Request{}, fmt.Errorf("read %s: %v", key, err) //nolint:errorlint // see above
	}
	r.ID = id
	return r, nil
}

// intentForm is what stands for an intent in the stored form of its request. A caller
// makes it outside of the action that everybody else waits for.
func intentForm(in *spend.Intent) []byte {
	p := packer{b: make([]byte, 0, 320)}
	intentFields(&p, in)
	return p.b
}

// fields puts every field of a request through p, which reads or writes them, but for
// what body has of it when it is written.
func (k keys) fields(p *packer, r *spend.Request, body *requestBody) {
	p.uint(&r.Seq)
	p.since(&r.Created)
	p.base(r.Created)
	text(p, &r.Origin)
	text(p, &r.Enforcement)
	text(p, &r.State)
	text(p, &r.Why)
	p.int(&r.Transitions)
	p.int(&r.Attempts)
	p.since(&r.Changed)
	p.since(&r.Began)
	p.since(&r.Deadline)
	p.since(&r.AttachedAt)
	if from := len(p.b); p.reading || !body.isOf(r) {
		k.bodyFields(p, r, body.intent)
		if !p.reading && !p.inexact {
			body.whole = p.b[from:len(p.b):len(p.b)]
			body.attachedKey, body.reservations = r.AttachedKey, r.Reservations
		}
	} else {
		p.b = append(p.b, body.whole...)
	}
	text(p, &r.Transaction)
	p.amount(&r.Told)
	p.amount(&r.Adjusted)
	list(p, &r.Receipts, func(rc *spend.Receipt) { receiptFields(p, rc) })
	text(p, &r.ReplacedBy)
	asJSON(p, &r.Recheck, r.Recheck == nil)
	asJSON(p, &r.Approval, r.Approval == nil)
	asJSON(p, &r.Anomalies, len(r.Anomalies) == 0)
	asJSON(p, &r.Again, len(r.Again) == 0)
	linkFields(p, r)
}

// linkFields are those that tie r to other requests. They are at the end, and only
// where there are any: what was stored before there were reads as without.
func linkFields(p *packer, r *spend.Request) {
	none := r.Undoes == "" && len(r.Undone) == 0
	if p.reading && len(p.b) == 0 || !p.reading && none {
		return
	}
	text(p, &r.Undoes)
	list(p, &r.Undone, func(v *spend.Reversal) {
		text(p, &v.Kind)
		text(p, &v.Transaction)
		text(p, &v.Status)
		p.amount(&v.Amount)
		text(p, &v.Event)
		text(p, &v.Request)
		p.since(&v.At)
	})
	if p.reading && r.Undoes == "" && len(r.Undone) == 0 {
		p.fail(errCutShort)
	}
}

// bodyFields are those of a requestBody, of which that of the intent may be known.
func (k keys) bodyFields(p *packer, r *spend.Request, intent []byte) {
	if p.reading || intent == nil {
		intentFields(p, &r.Intent)
	} else {
		p.b = append(p.b, intent...)
	}
	if own := p.flag(r.AttachedKey == r.Intent.DedupKey); !own {
		text(p, &r.AttachedKey)
	} else if p.reading {
		r.AttachedKey = r.Intent.DedupKey
	}
	verdictFields(p, &r.Verdict)
	list(p, &r.Reservations, func(s *spend.Reservation) { k.reservationFields(p, s, r.Verdict.Policies) })
}

func intentFields(p *packer, in *spend.Intent) {
	text(p, &in.Agent)
	text(p, &in.Rail)
	text(p, &in.Class)
	text(p, &in.Operation)
	text(p, &in.Network)
	text(p, &in.ActingAccount)
	text(p, &in.Mode)
	text(p, &in.Object)
	text(p, &in.DedupKey)
	text(p, &in.SentKey)
	text(p, &in.Fingerprint)
	list(p, &in.Legs, func(l *spend.Leg) {
		text(p, &l.Kind)
		p.amount(&l.Amount)
		p.amount(&l.Value)
		text(p, &l.Payee)
		text(p, &l.Merchant)
		text(p, &l.Category)
		p.bool(&l.ClaimedMerchant)
		p.bool(&l.ClaimedCategory)
	})
	c := &in.Claims
	if some := p.flag(*c != spend.Claims{Authorization: c.Authorization}); some {
		text(p, &c.Merchant)
		text(p, &c.Category)
		text(p, &c.Reason)
		text(p, &c.Task)
		text(p, &c.Request)
	}
}

func verdictFields(p *packer, v *spend.Verdict) {
	text(p, &v.Decision)
	text(p, &v.Code)
	p.since(&v.At)
	list(p, &v.Policies, func(ref *spend.PolicyRef) {
		text(p, &ref.ID)
		text(p, &ref.Name)
		p.int(&ref.Version)
	})
	list(p, &v.Balances, func(b *spend.Balance) { balanceFields(p, b, v.Policies) })
	asJSON(p, &v.Rules, len(v.Rules) == 0)
}

func balanceFields(p *packer, b *spend.Balance, policies []spend.PolicyRef) {
	of := -1
	for i := range policies {
		if policies[i].ID == b.PolicyID && policies[i].Name == b.Policy {
			of = i
			break
		}
	}
	if ref := p.of(of, policies); ref == nil {
		text(p, &b.Policy)
		text(p, &b.PolicyID)
	} else {
		b.Policy, b.PolicyID = ref.Name, ref.ID
	}
	text(p, &b.Period)
	p.amount(&b.Limit)
	p.amount(&b.Used)
	rest, err := b.Limit.Sub(b.Used)
	switch computed := p.flag(err == nil && rest == b.Remaining); {
	case !computed:
		p.amount(&b.Remaining)
	case p.reading:
		b.Remaining = rest
		p.fail(err)
	}
	p.since(&b.Resets)
}

func (k keys) reservationFields(p *packer, s *spend.Reservation, policies []spend.PolicyRef) {
	of, counter := -1, s.Counter
	for i := range policies {
		if local, ok := k.counters(policies[i].ID).Local(counter); ok {
			of, counter = i, local
			break
		}
	}
	ref := p.of(of, policies)
	text(p, &counter)
	if p.reading && ref != nil {
		counter = k.counters(ref.ID).Counter(counter)
	}
	if p.reading {
		s.Counter = counter
	}
	p.amount(&s.Amount)
}

// counters names the counters of a policy.
func (k keys) counters(policy spend.ID) budget.Account {
	return budget.Account{Prefix: k.prefix, Policy: policy}
}

func receiptFields(p *packer, rc *spend.Receipt) {
	text(p, &rc.Source)
	text(p, &rc.TransactionID)
	text(p, &rc.Status)
	p.amount(&rc.Amount)
	text(p, &rc.Payee)
	text(p, &rc.RequestID)
	p.int(&rc.HTTPStatus)
	p.since(&rc.At)
	text(p, &rc.Note)
}

// of is the policy of a given number, or none for a negative one.
func (p *packer) of(n int, policies []spend.PolicyRef) *spend.PolicyRef {
	n++
	p.int(&n)
	switch {
	case n == 0:
		return nil
	case n < 0 || n > len(policies):
		p.fail(fmt.Errorf("policy %d of %d", n-1, len(policies)))
		return nil
	}
	return &policies[n-1]
}
