package spend

import (
	"strings"
	"time"
)

// Source says whose word a Receipt is.
type Source string

// The sources, weakest last. A claim may raise what is counted, never lower it.
const (
	FromWire     Source = "wire"     // the reply to the very call
	FromProvider Source = "provider" // a verified webhook, a lookup, a chain
	FromOperator Source = "operator" // a person's word
	FromClaim    Source = "claim"    // the agent's word
)

// Receipt is the provider's own answer about a payment.
type Receipt struct {
	Source        Source    `json:"source"`
	TransactionID string    `json:"transactionId,omitempty"` // the provider's, e.g. "pi_…"
	Status        string    `json:"status,omitempty"`        // the provider's word
	Amount        Amount    `json:"amount,omitzero"`         // what the provider says was moved
	Payee         string    `json:"payee,omitempty"`
	RequestID     string    `json:"requestId,omitempty"` // the provider's name for the exchange
	HTTPStatus    int       `json:"httpStatus,omitempty"`
	At            time.Time `json:"at"`
	Note          string    `json:"note,omitempty"`
}

// Result is how a forwarded call ended.
type Result string

// The results.
const (
	Happened  Result = "settled" // with a receipt
	DidNot    Result = "failed"  // nothing happened, provably
	Uncertain Result = "unknown" // it may have happened: keep counting it
)

// Outcome is a Result with its evidence.
type Outcome struct {
	Result  Result
	Why     Code // of DidNot or Uncertain
	Receipt Receipt
	// Undoes is what the provider calls the payment that this one gives back, in each
	// way in which it may be known; none where it gives none back.
	Undoes []string
	// Merchant is who has charged, where the provider says so and no agent. It is held
	// against what was judged, and not kept.
	Merchant string
	// Reply is the provider's reply, kept sealed for repeats of the same call;
	// nil where none may be kept.
	Reply []byte
}

// Anomaly is a disagreement between what was declared, requested and settled.
type Anomaly string

// The anomalies.
const (
	AmountMismatch      Anomaly = "AMOUNT_MISMATCH"
	CurrencyMismatch    Anomaly = "CURRENCY_MISMATCH"
	MerchantMismatch    Anomaly = "MERCHANT_MISMATCH"
	PayeeMismatch       Anomaly = "PAYEE_MISMATCH"
	MissingReceipt      Anomaly = "MISSING_RECEIPT"
	LateReceipt         Anomaly = "LATE_RECEIPT"
	UnauthorizedPayment Anomaly = "UNAUTHORIZED_PAYMENT"
	DuplicatePayment    Anomaly = "DUPLICATE_PAYMENT"
	Oversettled         Anomaly = "OVERSETTLED"
	DuplicateSuspected  Anomaly = "DUPLICATE_SUSPECTED" // its equal was sent shortly before
)

// Anomalies returns all there are.
func Anomalies() []Anomaly {
	return []Anomaly{
		AmountMismatch, CurrencyMismatch, MerchantMismatch, PayeeMismatch, MissingReceipt,
		LateReceipt, UnauthorizedPayment, DuplicatePayment, Oversettled, DuplicateSuspected,
	}
}

// Term is one side of a comparison: what was declared, requested or settled.
// Empty fields say nothing and disagree with nothing.
type Term struct {
	Amount   Amount
	Merchant string
	Payee    string
}

// Compare lists where b departs from a. Amounts may differ by tolerance either
// way when it has their unit; merchants agree when one contains the other,
// whatever the case.
func Compare(a, b Term, tolerance Amount) []Anomaly {
	var found []Anomaly
	if !a.Amount.IsZero() && !b.Amount.IsZero() {
		if a.Amount.Unit() != b.Amount.Unit() {
			found = append(found, CurrencyMismatch)
		} else if !within(a.Amount, b.Amount, tolerance) {
			found = append(found, AmountMismatch)
		}
	}
	am, bm := NormalMerchant(a.Merchant), NormalMerchant(b.Merchant)
	if am != "" && bm != "" && !strings.Contains(am, bm) && !strings.Contains(bm, am) {
		found = append(found, MerchantMismatch)
	}
	if a.Payee != "" && b.Payee != "" && a.Payee != b.Payee {
		found = append(found, PayeeMismatch)
	}
	return found
}

func within(a, b, tolerance Amount) bool {
	d, err := a.Sub(b)
	if err != nil {
		return a == b
	}
	if d.Sign() < 0 {
		d = d.Neg()
	}
	return d.Sign() == 0 || d.Fits(tolerance)
}
