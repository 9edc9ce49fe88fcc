package sandbox

import "slices"

// The kinds of Movement. A hold reserves money on a card and moves none yet.
const (
	Hold     = "hold"
	Charge   = "charge"
	Capture  = "capture"
	Refund   = "refund"
	Transfer = "transfer"
	Payout   = "payout"
)

// Movement is one money call that was executed.
type Movement struct {
	Kind     string // Hold, Charge, Capture, Refund, Transfer or Payout
	Object   string // the object that shows it: "ch_…", "re_…", "tr_…", "po_…"
	Account  string // of Stripe-Account; "" for the platform
	Live     bool
	Currency string // ISO code in lower case, as Stripe writes it
	Amount   int64  // in the smallest unit, positive; of a raised hold, the rise
}

// Ledger returns every money call that was executed, oldest first. Replays,
// refusals, declined cards and reads are not in it.
func (s *Server) Ledger() []Movement {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ledger)
}

// Count returns the number of money calls that were executed, holds included.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ledger)
}

// Moved returns, per currency in lower case, the sum of everything charged,
// captured, refunded, transferred and paid out, in the smallest unit. All count
// upward: what was charged and refunded counts twice. Holds do not count.
func (s *Server) Moved() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sums := map[string]int64{}
	for _, m := range s.ledger {
		if m.Kind != Hold {
			sums[m.Currency] += m.Amount
		}
	}
	return sums
}

// moved books one money call.
func (c *call) moved(kind, object, currency string, amount int64) {
	c.s.ledger = append(c.s.ledger, Movement{
		Kind: kind, Object: object, Account: c.scope.account, Live: c.scope.live, Currency: currency, Amount: amount,
	})
}

// opening is what every account has in every currency to begin with.
const opening = 100_000_000

// available returns the balance of the acting account in a currency.
func (c *call) available(currency string) int64 {
	sum := int64(opening)
	for _, m := range c.s.ledger {
		if m.Account != c.scope.account || m.Live != c.scope.live || m.Currency != currency {
			continue
		}
		switch m.Kind {
		case Charge, Capture:
			sum += m.Amount
		case Refund, Transfer, Payout:
			sum -= m.Amount
		}
	}
	return sum
}
