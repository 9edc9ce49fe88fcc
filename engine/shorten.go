package engine

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/outgo/outgo/engine/budget"
	"github.com/outgo/outgo/engine/spend"
)

// A shortener appends the short form of one request to b.
type shortener struct {
	b       []byte
	keys    keys
	created int64 // nanoseconds since 1970
	odd     bool  // something does not fit the short form
	inexact bool  // a text is not UTF-8, so that reading it gives another
	err     error
}

// storedRequest returns the stored form of r. exact says that reading it gives r
// again, but for what is never stored and the zones of times.
func (k keys) storedRequest(r *spend.Request) (stored []byte, exact bool, err error) {
	s := shortener{b: make([]byte, 1, 1536), keys: k}
	s.b[0] = formatShort
	s.created = s.nanoseconds(r.Created)
	s.request(r)
	if s.err != nil {
		return nil, false, fmt.Errorf("write %s: %w", k.request(r.ID), s.err)
	}
	if s.odd {
		stored, err = encodeJSON(k.request(r.ID), r)
		return stored, false, err
	}
	return s.b, !s.inexact, nil
}

func (s *shortener) request(r *spend.Request) {
	s.raw(`{"seq":`)
	s.b = strconv.AppendUint(s.b, r.Seq, 10)
	s.text(`,"origin":`, string(r.Origin))
	s.text(`,"enforcement":`, string(r.Enforcement))
	s.number(`,"created":`, s.created)
	s.text(`,"state":`, string(r.State))
	s.text(`,"why":`, string(r.Why))
	s.since(`,"changed":`, r.Changed)
	s.since(`,"began":`, r.Began)
	s.since(`,"deadline":`, r.Deadline)
	s.number(`,"transitions":`, int64(r.Transitions))
	s.number(`,"attempts":`, int64(r.Attempts))
	if r.AttachedKey != r.Intent.DedupKey {
		s.raw(`,"attachedKey":`)
		s.quoted(r.AttachedKey)
	}
	s.since(`,"attachedAt":`, r.AttachedAt)
	s.intent(&r.Intent)
	s.verdict(&r.Verdict)
	if r.Recheck != nil {
		s.long(`,"recheck":`, r.Recheck)
	}
	if r.Approval != nil {
		s.long(`,"approval":`, r.Approval)
	}
	each(s, `,"reservations":`, r.Reservations, func(_ int, rs *spend.Reservation) { s.reservation(rs, r.Verdict.Policies) })
	s.text(`,"transaction":`, r.Transaction)
	s.amount(`,"told":`, r.Told)
	each(s, `,"receipts":`, r.Receipts, func(_ int, rc *spend.Receipt) { s.receipt(rc) })
	if len(r.Anomalies) > 0 {
		s.long(`,"anomalies":`, r.Anomalies)
	}
	s.amount(`,"adjusted":`, r.Adjusted)
	if len(r.Again) > 0 {
		s.long(`,"again":`, r.Again)
	}
	s.text(`,"replacedBy":`, string(r.ReplacedBy))
	s.raw(`}`)
}

func (s *shortener) intent(in *spend.Intent) {
	s.raw(`,"intent":{"agent":`)
	s.quoted(in.Agent)
	s.text(`,"rail":`, in.Rail)
	s.text(`,"class":`, string(in.Class))
	s.text(`,"operation":`, in.Operation)
	s.text(`,"network":`, in.Network)
	s.text(`,"actingAccount":`, in.ActingAccount)
	s.text(`,"mode":`, string(in.Mode))
	s.text(`,"object":`, in.Object)
	each(s, `,"legs":`, in.Legs, func(_ int, l *spend.Leg) {
		s.raw(`{"kind":`)
		s.quoted(string(l.Kind))
		s.amount(`,"amount":`, l.Amount)
		s.amount(`,"value":`, l.Value)
		s.text(`,"payee":`, l.Payee)
		s.text(`,"merchant":`, l.Merchant)
		s.text(`,"category":`, l.Category)
		s.flag(`,"claimedMerchant":true`, l.ClaimedMerchant)
		s.flag(`,"claimedCategory":true`, l.ClaimedCategory)
		s.raw(`}`)
	})
	s.text(`,"dedupKey":`, in.DedupKey)
	s.text(`,"sentKey":`, in.SentKey)
	s.text(`,"fingerprint":`, in.Fingerprint)
	if c := &in.Claims; *c != (spend.Claims{Authorization: c.Authorization}) {
		s.raw(`,"claims":{"merchant":`)
		s.quoted(c.Merchant)
		s.text(`,"category":`, c.Category)
		s.text(`,"reason":`, c.Reason)
		s.text(`,"task":`, c.Task)
		s.text(`,"request":`, string(c.Request))
		s.raw(`}`)
	}
	s.raw(`}`)
}

func (s *shortener) verdict(v *spend.Verdict) {
	s.raw(`,"verdict":{"decision":`)
	s.quoted(string(v.Decision))
	s.text(`,"code":`, string(v.Code))
	s.since(`,"at":`, v.At)
	if len(v.Rules) > 0 {
		s.long(`,"rules":`, v.Rules)
	}
	each(s, `,"policies":`, v.Policies, func(_ int, p *spend.PolicyRef) {
		s.raw(`{"id":`)
		s.quoted(string(p.ID))
		s.text(`,"name":`, p.Name)
		s.number(`,"version":`, int64(p.Version))
		s.raw(`}`)
	})
	each(s, `,"balances":`, v.Balances, func(_ int, b *spend.Balance) { s.balance(b, v.Policies) })
	s.raw(`}`)
}

func (s *shortener) balance(b *spend.Balance, policies []spend.PolicyRef) {
	s.raw(`{"period":`)
	s.quoted(b.Period)
	of := -1
	for i := range policies {
		if policies[i].ID == b.PolicyID && policies[i].Name == b.Policy {
			of = i
			break
		}
	}
	if of >= 0 {
		s.of(of)
	} else {
		s.text(`,"policy":`, b.Policy)
		s.text(`,"policyId":`, string(b.PolicyID))
	}
	s.amount(`,"limit":`, b.Limit)
	s.amount(`,"used":`, b.Used)
	if rest, err := b.Limit.Sub(b.Used); err != nil || rest != b.Remaining {
		s.raw(`,"remaining":`)
		s.money(b.Remaining)
	}
	s.since(`,"resets":`, b.Resets)
	s.raw(`}`)
}

func (s *shortener) reservation(r *spend.Reservation, policies []spend.PolicyRef) {
	s.raw(`{"amount":`)
	s.money(r.Amount)
	counter := r.Counter
	for i := range policies {
		a := budget.Account{Prefix: s.keys.prefix, Policy: policies[i].ID}
		if local, ok := a.Local(counter); ok {
			s.of(i)
			counter = local
			break
		}
	}
	s.raw(`,"counter":`)
	s.quoted(counter)
	s.raw(`}`)
}

// of appends the number of the policy that something belongs to.
func (s *shortener) of(policy int) {
	s.raw(`,"of":`)
	s.b = strconv.AppendInt(s.b, int64(policy), 10)
}

func (s *shortener) receipt(rc *spend.Receipt) {
	s.raw(`{"source":`)
	s.quoted(string(rc.Source))
	s.text(`,"transactionId":`, rc.TransactionID)
	s.text(`,"status":`, rc.Status)
	s.amount(`,"amount":`, rc.Amount)
	s.text(`,"payee":`, rc.Payee)
	s.text(`,"requestId":`, rc.RequestID)
	s.number(`,"httpStatus":`, int64(rc.HTTPStatus))
	s.since(`,"at":`, rc.At)
	s.text(`,"note":`, rc.Note)
	s.raw(`}`)
}

// each appends a list, if it is not empty.
func each[T any](s *shortener, name string, list []T, item func(i int, v *T)) {
	if len(list) == 0 {
		return
	}
	s.raw(name)
	for i := range list {
		if i == 0 {
			s.raw(`[`)
		} else {
			s.raw(`,`)
		}
		item(i, &list[i])
	}
	s.raw(`]`)
}

func (s *shortener) raw(text string) { s.b = append(s.b, text...) }

func (s *shortener) flag(text string, on bool) {
	if on {
		s.raw(text)
	}
}

// text appends a name and a text, if there is one.
func (s *shortener) text(name, v string) {
	if v != "" {
		s.raw(name)
		s.quoted(v)
	}
}

// number appends a name and a number, if it is not nought.
func (s *shortener) number(name string, n int64) {
	if n != 0 {
		s.raw(name)
		s.b = strconv.AppendInt(s.b, n, 10)
	}
}

// amount appends a name and an amount, if there is one.
func (s *shortener) amount(name string, a spend.Amount) {
	if !a.IsZero() {
		s.raw(name)
		s.money(a)
	}
}

func (s *shortener) money(a spend.Amount) {
	if !plain(a.Unit()) {
		s.quoted(a.String())
		return
	}
	s.raw(`"`)
	s.b, _ = a.AppendText(s.b) //nolint:errcheck // it never fails
	s.raw(`"`)
}

// since appends a name and the time that t lies behind the creation, unless t is
// zero.
func (s *shortener) since(name string, t time.Time) {
	if !t.IsZero() {
		s.raw(name)
		s.b = strconv.AppendInt(s.b, s.nanoseconds(t)-s.created, 10)
	}
}

// nanoseconds is t since 1970. Times so far apart that a difference of two could
// overflow do not fit.
func (s *shortener) nanoseconds(t time.Time) int64 {
	const century = 100 * 365 * 24 * 60 * 60
	if u := t.Unix(); u < -century || u > century+century/2 {
		s.odd = true
		return 0
	}
	return t.UnixNano()
}

// long appends a name and the long form of v.
func (s *shortener) long(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.err = err
	}
	s.inexact = true // it may hold anything
	s.b = append(append(s.b, name...), b...)
}

func (s *shortener) quoted(v string) {
	if plain(v) {
		s.b = append(append(append(s.b, '"'), v...), '"')
		return
	}
	if !utf8.ValidString(v) {
		s.inexact = true
	}
	b, err := json.Marshal(v)
	if err != nil {
		s.err = err
	}
	s.b = append(s.b, b...)
}

// plain reports whether v stands in JSON as it is.
func plain(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
