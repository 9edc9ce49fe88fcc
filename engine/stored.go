package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/budget"
	"github.com/outgo/outgo/engine/spend"
)

// formatShort is the first byte of a request's usual stored form, which is JSON
// too. It leaves out what the rest of it says: the id, which is in the key;
// whose balance or reservation it is, where that is the policy of number "of" in
// "policies"; what remains of a limit; the key that is attached, where it is the
// intent's own. Times are nanoseconds: "created" since 1970, the others since
// "created". What these cannot hold is stored in the long form, that of formatJSON.
//
// It is written by hand (shorten.go), several times faster than by reflection:
// every payment writes two of them while others wait.
const formatShort = 2

// shortRequest is what a short form decodes into. Its fields are those of
// spend.Request, and where a type is from there, the form is the long one.
type shortRequest struct {
	Seq          uint64             `json:"seq"`
	Origin       spend.Origin       `json:"origin"`
	Enforcement  spend.Enforcement  `json:"enforcement"`
	Created      int64              `json:"created"`
	State        spend.State        `json:"state"`
	Why          spend.Code         `json:"why"`
	Changed      *int64             `json:"changed"`
	Began        *int64             `json:"began"`
	Deadline     *int64             `json:"deadline"`
	Transitions  int                `json:"transitions"`
	Attempts     int                `json:"attempts"`
	AttachedKey  *string            `json:"attachedKey"` // nil = the intent's
	AttachedAt   *int64             `json:"attachedAt"`
	Intent       spend.Intent       `json:"intent"`
	Verdict      shortVerdict       `json:"verdict"`
	Recheck      *spend.Verdict     `json:"recheck"`
	Approval     *spend.Approval    `json:"approval"`
	Reservations []shortReservation `json:"reservations"`
	Transaction  string             `json:"transaction"`
	Told         spend.Amount       `json:"told"`
	Receipts     []shortReceipt     `json:"receipts"`
	Anomalies    []spend.Anomaly    `json:"anomalies"`
	Adjusted     spend.Amount       `json:"adjusted"`
	Again        []spend.Payment    `json:"again"`
	ReplacedBy   spend.ID           `json:"replacedBy"`
}

type shortVerdict struct {
	Decision spend.Decision    `json:"decision"`
	Code     spend.Code        `json:"code"`
	At       *int64            `json:"at"`
	Rules    []spend.Rule      `json:"rules"`
	Policies []spend.PolicyRef `json:"policies"`
	Balances []shortBalance    `json:"balances"`
}

type shortBalance struct {
	Of        *int          `json:"of"` // number of the policy; nil = as named
	Policy    string        `json:"policy"`
	PolicyID  spend.ID      `json:"policyId"`
	Period    string        `json:"period"`
	Limit     spend.Amount  `json:"limit"`
	Used      spend.Amount  `json:"used"`
	Remaining *spend.Amount `json:"remaining"` // nil = limit less used
	Resets    *int64        `json:"resets"`
}

type shortReservation struct {
	Of      *int         `json:"of"`      // number of the policy whose counter it is; nil = anybody's
	Counter string       `json:"counter"` // within the policy's account, or the whole key
	Amount  spend.Amount `json:"amount"`
}

type shortReceipt struct {
	spend.Receipt
	At *int64 `json:"at"` // shadows the receipt's own
}

// readRequest decodes either form of a request, found at key.
func (k keys) readRequest(id spend.ID, key string, stored []byte) (spend.Request, error) {
	if len(stored) == 0 || stored[0] != formatShort {
		var r spend.Request
		return r, readJSON(key, stored, &r)
	}
	var s shortRequest
	if err := json.Unmarshal(stored[1:], &s); err != nil {
		return spend.Request{}, fmt.Errorf("read %s: %w", key, err)
	}
	r, err := s.request(k)
	if err != nil {
		return spend.Request{}, fmt.Errorf("read %s: %w", key, err)
	}
	r.ID = id
	return r, nil
}

// since is the time that lies after ns behind created.
func (s *shortRequest) since(after *int64) time.Time {
	if after == nil {
		return time.Time{}
	}
	return time.Unix(0, s.Created+*after).UTC()
}

func (s *shortRequest) request(k keys) (r spend.Request, err error) {
	r = spend.Request{
		Seq: s.Seq, Origin: s.Origin, Enforcement: s.Enforcement, State: s.State, Why: s.Why,
		Created: time.Unix(0, s.Created).UTC(), Changed: s.since(s.Changed), Began: s.since(s.Began), Deadline: s.since(s.Deadline),
		Transitions: s.Transitions, Attempts: s.Attempts, AttachedKey: s.Intent.DedupKey, AttachedAt: s.since(s.AttachedAt),
		Intent: s.Intent, Recheck: s.Recheck, Approval: s.Approval, Transaction: s.Transaction, Told: s.Told,
		Anomalies: s.Anomalies, Adjusted: s.Adjusted, Again: s.Again, ReplacedBy: s.ReplacedBy,
		Verdict: spend.Verdict{
			Decision: s.Verdict.Decision, Code: s.Verdict.Code, At: s.since(s.Verdict.At),
			Rules: s.Verdict.Rules, Policies: s.Verdict.Policies,
		},
	}
	if s.AttachedKey != nil {
		r.AttachedKey = *s.AttachedKey
	}
	for i := range s.Verdict.Balances {
		b, err := s.balance(&s.Verdict.Balances[i])
		if err != nil {
			return r, err
		}
		r.Verdict.Balances = append(r.Verdict.Balances, b)
	}
	for _, sr := range s.Reservations {
		res := spend.Reservation{Counter: sr.Counter, Amount: sr.Amount}
		if sr.Of != nil {
			p, err := s.policy(*sr.Of)
			if err != nil {
				return r, err
			}
			res.Counter = budget.Account{Prefix: k.prefix, Policy: p.ID}.Counter(sr.Counter)
		}
		r.Reservations = append(r.Reservations, res)
	}
	for _, sr := range s.Receipts {
		sr.Receipt.At = s.since(sr.At)
		r.Receipts = append(r.Receipts, sr.Receipt)
	}
	return r, nil
}

func (s *shortRequest) balance(b *shortBalance) (spend.Balance, error) {
	out := spend.Balance{Policy: b.Policy, PolicyID: b.PolicyID, Period: b.Period, Limit: b.Limit, Used: b.Used, Resets: s.since(b.Resets)}
	if b.Of != nil {
		p, err := s.policy(*b.Of)
		if err != nil {
			return out, err
		}
		out.Policy, out.PolicyID = p.Name, p.ID
	}
	var err error
	if b.Remaining != nil {
		out.Remaining = *b.Remaining
	} else {
		out.Remaining, err = b.Limit.Sub(b.Used)
	}
	return out, err
}

func (s *shortRequest) policy(n int) (spend.PolicyRef, error) {
	if n < 0 || n >= len(s.Verdict.Policies) {
		return spend.PolicyRef{}, fmt.Errorf("policy %d of %d", n, len(s.Verdict.Policies))
	}
	return s.Verdict.Policies[n], nil
}
