package audit

import (
	"strconv"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// The digest of a receipt is over its fields as texts, each with its length: chains
// that were exported hold it.
func TestAReceiptsDigestIsOverItsFieldsAsTexts(t *testing.T) {
	for name, rc := range map[string]spend.Receipt{
		"none": {},
		"one with all": {
			Source: spend.FromWire, TransactionID: "pi_1", Status: "succeeded", Amount: spend.NewAmount("USD", -2000), Payee: "acct_1",
			RequestID: "req_1", HTTPStatus: 200, At: time.Date(2026, 11, 21, 12, 0, 0, 120, time.FixedZone("CET", 3600)), Note: "a note",
		},
		"one of an allowance without a bound": {Source: spend.FromProvider, Amount: spend.Unlimited("eip155:1/erc20:0x00"), HTTPStatus: -1},
	} {
		var b []byte
		for _, s := range []string{
			"receipt/1", string(rc.Source), rc.TransactionID, rc.Status, rc.Amount.String(), rc.Payee, rc.RequestID,
			strconv.Itoa(rc.HTTPStatus), rc.At.UTC().Format(time.RFC3339Nano), rc.Note,
		} {
			b = append(append(b, byte(len(s))), s...)
		}
		if got, want := receiptDigest(&rc), Sum(b); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
