package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// Hash is a SHA-256. The zero Hash means that there is none.
type Hash [sha256.Size]byte

// Sum returns the SHA-256 of b.
func Sum(b []byte) Hash { return sha256.Sum256(b) }

// IsZero reports whether there is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns the hash in hex, "" for none.
func (h Hash) String() string {
	if h.IsZero() {
		return ""
	}
	return hex.EncodeToString(h[:])
}

// MarshalText writes the form of String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the form of String.
func (h *Hash) UnmarshalText(text []byte) error {
	*h = Hash{}
	if len(text) == 0 {
		return nil
	}
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("read hash: %w: %d characters, want %d", spend.Invalid, len(text), hex.EncodedLen(len(h)))
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("read hash: %w: %w", spend.Invalid, err)
	}
	return nil
}

// Record says what a value of the ledger was after an action.
type Record struct {
	Key    string `json:"key"`             // without the chain's prefix
	Digest Hash   `json:"digest,omitzero"` // of the value; none where it was deleted
}

// Entry is one link of the chain: one thing that happened to the ledger. Only
// At and Event are always there.
type Entry struct {
	Seq     uint64      `json:"sequence"`    // from 1, without gaps
	At      time.Time   `json:"at,omitzero"` // of the batch, in UTC
	Event   string      `json:"event"`       // "authorize", "begin", "freeze", …
	Request spend.ID    `json:"request,omitempty"`
	From    spend.State `json:"from,omitempty"` // none for a new request
	To      spend.State `json:"to,omitempty"`
	Who     string      `json:"who,omitempty"` // the agent, or an API key by its prefix
	Why     spend.Code  `json:"why,omitempty"`
	Note    string      `json:"note,omitempty"`
	// Fingerprint is the request's own digest of what was or will be sent.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Policies are those that matched, at their versions; Amounts those of the
	// legs ("5000 USD").
	Policies []spend.PolicyRef `json:"policies,omitempty"`
	Amounts  []string          `json:"amounts,omitempty"`
	// Reply is the digest of the provider's reply, Receipt that of the last
	// receipt taken from it or from elsewhere.
	Reply   Hash `json:"reply,omitzero"`
	Receipt Hash `json:"receipt,omitzero"`
	// Records are the values that the action wrote. They bind the ledger's
	// values to the chain.
	Records []Record `json:"records,omitempty"`
	Prev    Hash     `json:"prev,omitzero"` // Hash of the entry before; none in the first
	Hash    Hash     `json:"hash,omitzero"` // over everything above, see Check
}

// Of fills an entry about a request from what the request now says: its state,
// why, the policies of its decisive verdict, amounts, fingerprint and receipt.
// The caller adds the digest of a reply and the records.
func Of(at time.Time, event, who string, from spend.State, r *spend.Request) Entry {
	e := Entry{
		At: at, Event: event, Request: r.ID, From: from, To: r.State, Who: who, Why: r.Why,
		Fingerprint: r.Intent.Fingerprint, Policies: r.Decisive().Policies,
	}
	if e.Why == "" {
		e.Why = r.Decisive().Code
	}
	if len(r.Intent.Legs) > 0 {
		e.Amounts = make([]string, len(r.Intent.Legs))
		for i := range r.Intent.Legs {
			e.Amounts[i] = r.Intent.Legs[i].Amount.String()
		}
	}
	if n := len(r.Receipts); n > 0 {
		e.Receipt = receiptDigest(&r.Receipts[n-1])
	}
	return e
}

// receiptDigest is the SHA-256 of a receipt's fields, each with its length.
func receiptDigest(rc *spend.Receipt) Hash {
	var room [96]byte
	b := make([]byte, 0, 256)
	for _, s := range [...]string{"receipt/1", string(rc.Source), rc.TransactionID, rc.Status} {
		b = appendText(b, s)
	}
	amount, _ := rc.Amount.AppendText(room[:0]) //nolint:errcheck // it never fails
	b = appendText(b, amount)
	b = appendText(appendText(b, rc.Payee), rc.RequestID)
	b = appendText(b, strconv.AppendInt(room[:0], int64(rc.HTTPStatus), 10))
	b = appendText(b, rc.At.UTC().AppendFormat(room[:0], time.RFC3339Nano))
	return Sum(appendText(b, rc.Note))
}

// Check reports whether the entry's hash is that of its content, as anybody can
// who has an exported entry.
func (e Entry) Check() bool {
	want := e.Hash
	_, err := e.encode()
	return err == nil && e.Hash == want
}
