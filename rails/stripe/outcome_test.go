package stripe

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// judged makes the intent of an operation on object, with one leg of amount.
func judged(t testing.TB, operation, object, amount string) *spend.Intent {
	t.Helper()
	var a spend.Amount
	if err := a.UnmarshalText([]byte(amount)); err != nil {
		t.Fatal(err)
	}
	return &spend.Intent{Rail: "stripe", Class: spend.Spend, Operation: operation, Object: object, Legs: []spend.Leg{{Kind: spend.Charge, Amount: a}}}
}

func TestOutcomeOfSpends(t *testing.T) {
	const create, confirm, capture, increment = "payment_intents.create", "payment_intents.confirm", "payment_intents.capture", "payment_intents.increment_authorization"
	const pi1 = "payment_intents/pi_1"
	for name, tc := range map[string]struct {
		operation, object, leg string
		status                 int // 200 by default
		file                   string
		edits                  []string
		want                   spend.Result
		amount, payee, word    string
	}{
		"a payment that succeeded moved what was received": {operation: create, file: "payment_intent", edits: []string{`"amount_received": 2000`, `"amount_received": 1999`},
			want: spend.Happened, amount: "1999 EUR", payee: "acct_7", word: "succeeded"},
		"a payment in process may take all of it": {operation: confirm, object: pi1, file: "payment_intent", edits: []string{`"succeeded"`, `"processing"`, `"amount_received": 2000`, `"amount_received": 0`},
			want: spend.Happened, amount: "2000 EUR", payee: "acct_7", word: "processing"},
		"a payment that asks its payer may take all of it": {operation: confirm, object: pi1, file: "payment_intent", edits: []string{`"succeeded"`, `"requires_action"`},
			want: spend.Happened, amount: "2000 EUR", payee: "acct_7", word: "requires_action"},
		"a hold takes all of it": {operation: create, file: "payment_intent_authorized",
			want: spend.Happened, amount: "2000 EUR", payee: "acct_7", word: "requires_capture"},
		"a success without a method counts, for want of proof": {operation: create, file: "payment_intent_unconfirmed", want: spend.Happened, amount: "2000 EUR", word: "requires_payment_method"},
		"a success that is to be confirmed again counts too":   {operation: confirm, object: pi1, file: "payment_intent_unconfirmed", edits: []string{"requires_payment_method", "requires_confirmation"}, want: spend.Happened, amount: "2000 EUR", word: "requires_confirmation"},
		"a canceled payment took nothing":                      {operation: create, file: "payment_intent_unconfirmed", edits: []string{"requires_payment_method", "canceled"}, want: spend.DidNot, word: "canceled"},
		"a capture that leaves it canceled proves nothing":     {operation: capture, object: pi1, file: "payment_intent", edits: []string{"succeeded", "canceled"}, want: spend.Uncertain, word: "canceled"},
		"a status of tomorrow proves nothing":                  {operation: create, file: "payment_intent", edits: []string{"succeeded", "resting"}, want: spend.Uncertain, word: "resting"},
		"another payment intent proves nothing":                {operation: confirm, object: "payment_intents/pi_2", file: "payment_intent", want: spend.Uncertain, word: "succeeded"},
		"another kind of object proves nothing":                {operation: create, file: "charge", want: spend.Uncertain, word: "succeeded"},
		"a payment without an id proves nothing":               {operation: create, file: "payment_intent", edits: []string{`"pi_1"`, `""`}, want: spend.Uncertain, word: "succeeded"},
		"an unknown currency proves nothing":                   {operation: create, file: "payment_intent", edits: []string{`"eur"`, `"zzz"`}, want: spend.Uncertain, word: "succeeded"},
		"a payee that is no id proves nothing":                 {operation: "transfers.create", file: "transfer", edits: []string{`"acct_5"`, `5`}, want: spend.Uncertain},
		"a cut reply proves nothing":                           {operation: create, file: "payment_intent", edits: []string{"\n}", ""}, want: spend.Uncertain},
		"a number in quotes proves nothing":                    {operation: create, file: "payment_intent", edits: []string{`"amount_received": 2000`, `"amount_received": "2000"`}, want: spend.Uncertain, word: "succeeded"},
		"two amounts prove nothing":                            {operation: create, file: "payment_intent", edits: []string{`"amount_received": 2000`, `"amount_received": 0, "amount_received": 2000`}, want: spend.Uncertain},
		"an error in a success proves nothing":                 {operation: create, file: "error_card", want: spend.Uncertain},
		"a payment with an error beside it proves nothing":     {operation: create, file: "payment_intent", edits: []string{`"id"`, `"error": {}, "id"`}, want: spend.Uncertain},
		"a redirect proves nothing":                            {operation: create, file: "payment_intent", status: 302, want: spend.Uncertain},
		"a capture moved what was received":                    {operation: capture, object: pi1, leg: "1800 EUR", file: "payment_intent", want: spend.Happened, amount: "2000 EUR", payee: "acct_7", word: "succeeded"},
		"a capture with more to come moved what it asked":      {operation: capture, object: pi1, leg: "5 EUR", file: "payment_intent_authorized", want: spend.Happened, amount: "5 EUR", payee: "acct_7", word: "requires_capture"},
		"an increment moved the difference":                    {operation: increment, object: pi1, leg: "500 EUR", file: "payment_intent_authorized", want: spend.Happened, amount: "500 EUR", payee: "acct_7", word: "requires_capture"},
		"a charge moved its amount":                            {operation: "charges.create", file: "charge", want: spend.Happened, amount: "5000 USD", word: "succeeded"},
		"a held charge moved its amount":                       {operation: "charges.create", file: "charge_uncaptured", want: spend.Happened, amount: "5000 USD", payee: "acct_9", word: "succeeded"},
		"a failed charge moved nothing":                        {operation: "charges.create", file: "charge", edits: []string{`"status": "succeeded"`, `"status": "failed"`}, want: spend.DidNot, word: "failed"},
		"a captured charge moved what was captured":            {operation: "charges.capture", object: "charges/ch_1", file: "charge", edits: []string{`"amount_captured": 5000`, `"amount_captured": 4000`}, want: spend.Happened, amount: "4000 USD", word: "succeeded"},
		"a refund gave back its amount":                        {operation: "refunds.create", object: "charges/ch_1", file: "refund", want: spend.Happened, amount: "600 USD", word: "succeeded"},
		"a failed refund gave back nothing":                    {operation: "refunds.create", object: "charges/ch_1", file: "refund", edits: []string{"succeeded", "failed"}, want: spend.DidNot, word: "failed"},
		"a refund through the alias answers with the charge":   {operation: "refunds.create", object: "charges/ch_1", file: "charge", want: spend.Happened, word: "succeeded"},
		"a transfer moved its amount":                          {operation: "transfers.create", file: "transfer", want: spend.Happened, amount: "400 USD", payee: "acct_5"},
		"a payout under way moved its amount":                  {operation: "payouts.create", file: "payout", want: spend.Happened, amount: "1100 USD", payee: "ba_1", word: "pending"},
		"a failed payout moved nothing":                        {operation: "payouts.create", file: "payout", edits: []string{"pending", "failed"}, want: spend.DidNot, word: "failed"},
		"a declined card moved nothing":                        {operation: create, status: 402, file: "error_card", want: spend.DidNot, word: "card_declined"},
		"an invalid request moved nothing":                     {operation: create, status: 400, file: "error_invalid", want: spend.DidNot, word: "resource_missing"},
		"an expansion that fails may come after the payment":   {operation: create, status: 400, file: "error_invalid", edits: []string{"No such customer: 'cus_1'", "This property cannot be expanded (data)."}, want: spend.Uncertain, word: "resource_missing"},
		"one that is too deep, too":                            {operation: create, status: 400, file: "error_invalid", edits: []string{"No such customer: 'cus_1'", "You cannot Expand more than 4 levels of a property (a.b)."}, want: spend.Uncertain, word: "resource_missing"},
		"one that is told by the parameter":                    {operation: create, status: 400, file: "error_invalid", edits: []string{`"customer"`, `"expand[0]"`}, want: spend.Uncertain, word: "resource_missing"},
		"a bad key moved nothing":                              {operation: create, status: 401, file: "error_invalid", want: spend.DidNot, word: "resource_missing"},
		"a forbidden request moved nothing":                    {operation: create, status: 403, file: "error_invalid", want: spend.DidNot, word: "resource_missing"},
		"a missing object moved nothing":                       {operation: create, status: 404, file: "error_invalid", want: spend.DidNot, word: "resource_missing"},
		"a limited rate moved nothing":                         {operation: create, status: 429, file: "error_invalid", edits: []string{"resource_missing", "rate_limit"}, want: spend.DidNot, word: "rate_limit"},
		"a reused key says nothing of the first call":          {operation: create, status: 400, file: "error_idempotency", want: spend.Uncertain, word: "idempotency_error"},
		"a conflict proves nothing":                            {operation: create, status: 409, file: "error_invalid", want: spend.Uncertain, word: "resource_missing"},
		"a server error proves nothing":                        {operation: create, status: 500, file: "error_api", want: spend.Uncertain, word: "api_error"},
		"a 400 without an error object proves nothing":         {operation: create, status: 400, file: "payment_intent", want: spend.Uncertain},
		"a 400 whose error has no type proves nothing":         {operation: create, status: 400, file: "error_card", edits: []string{`"type": "card_error"`, `"kind": ""`}, want: spend.Uncertain},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.status == 0 {
				tc.status = 200
			}
			if tc.leg == "" {
				tc.leg = "2000 EUR"
			}
			got := New(Options{}).Outcome(judged(t, tc.operation, tc.object, tc.leg), &rails.Reply{
				Status: tc.status, Body: []byte(reply(t, tc.file, tc.edits...)),
				Header: []rails.Field{{Name: "request-id", Value: "req_1"}},
			})
			r := got.Receipt
			if got.Result != tc.want || r.Amount.String() != tc.amount || r.Payee != tc.payee || r.Status != tc.word {
				t.Errorf("%s with %q to %q, status %q; want %s with %q to %q, status %q", got.Result, r.Amount, r.Payee, r.Status, tc.want, tc.amount, tc.payee, tc.word)
			}
			if (got.Why == "") != (tc.want == spend.Happened) {
				t.Errorf("%s because of %q", got.Result, got.Why)
			}
			if tc.want == spend.Happened && r.TransactionID == "" || r.RequestID != "req_1" || r.HTTPStatus != tc.status || r.Source != spend.FromWire {
				t.Errorf("receipt %+v lacks its evidence", r)
			}
		})
	}
}

func TestOutcomeOfOtherCalls(t *testing.T) {
	r := New(Options{})
	for name, tc := range map[string]struct {
		class  spend.Class
		status int
		body   string
		want   spend.Result
	}{
		"a write without money has happened":             {spend.Other, 200, `{"id":"pi_1","object":"payment_intent","amount":5,"currency":"usd"}`, spend.Happened},
		"even with an error that says so":                {spend.Other, 400, `oops`, spend.Happened},
		"but a gateway may give up on it too early":      {spend.Other, 504, `oops`, spend.Uncertain},
		"an unread write that succeeded has happened":    {spend.Unrecognised, 200, `{"id":"sub_1","object":"subscription"}`, spend.Happened},
		"an unread write that failed did not":            {spend.Unrecognised, 400, `{"error":{"type":"invalid_request_error"}}`, spend.DidNot},
		"an unread write without an answer is uncertain": {spend.Unrecognised, 200, ``, spend.Uncertain},
		"a page of a gateway proves nothing":             {spend.Spend, 403, `<html>no</html>`, spend.Uncertain},
	} {
		t.Run(name, func(t *testing.T) {
			got := r.Outcome(&spend.Intent{Class: tc.class, Operation: "payment_intents.create"}, &rails.Reply{Status: tc.status, Body: []byte(tc.body)})
			if got.Result != tc.want || !got.Receipt.Amount.IsZero() {
				t.Errorf("%s with %q, want %s without an amount", got.Result, got.Receipt.Amount, tc.want)
			}
		})
	}
	if got := r.Outcome(nil, nil); got.Result != spend.Uncertain {
		t.Errorf("nothing is %s, want it uncertain", got.Result)
	}
}

func TestRefuse(t *testing.T) {
	const id = spend.ID("0199-x")
	for name, tc := range map[string]struct {
		answer      rails.Answer
		status      int
		retry       string
		kind, code  string
		wantMessage string
	}{
		"denied":           {rails.Answer{Situation: rails.Denied, Code: spend.BlockedMerchant, Message: "no <b> & é"}, 403, "false", "invalid_request_error", "spend_policy_denied", "no <b> & é"},
		"held":             {rails.Answer{Situation: rails.HeldOn}, 429, "true", "invalid_request_error", "lock_timeout", ""},
		"held over":        {rails.Answer{Situation: rails.HeldOver}, 403, "false", "invalid_request_error", "approval_pending", ""},
		"refused":          {rails.Answer{Situation: rails.Refused, Code: spend.Malformed, Param: "amount"}, 400, "false", "invalid_request_error", "request_refused", ""},
		"too large":        {rails.Answer{Situation: rails.Refused, Code: spend.TooLarge}, 413, "false", "invalid_request_error", "request_refused", ""},
		"a reused key":     {rails.Answer{Situation: rails.Refused, Code: spend.KeyReused}, 400, "false", "idempotency_error", "idempotency_key_reused", ""},
		"uncertain":        {rails.Answer{Situation: rails.Uncertain}, 429, "true", "invalid_request_error", "lock_timeout", ""},
		"unknown":          {rails.Answer{Situation: rails.Unknown}, 403, "false", "invalid_request_error", "outcome_unknown", ""},
		"unavailable":      {rails.Answer{Situation: rails.Unavailable}, 503, "false", "api_error", "guard_unavailable", ""},
		"busy":             {rails.Answer{Situation: rails.Busy}, 429, "true", "invalid_request_error", "lock_timeout", ""},
		"unreachable":      {rails.Answer{Situation: rails.Unreachable}, 503, "true", "api_error", "upstream_unreachable", ""},
		"nothing said":     {rails.Answer{}, 503, "false", "api_error", "guard_unavailable", ""},
		"a broken message": {rails.Answer{Situation: rails.Denied, Message: "a\xff\"\n"}, 403, "false", "invalid_request_error", "spend_policy_denied", "a\ufffd\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.answer.Request = id
			got := New(Options{}).Refuse(nil, tc.answer)
			if got.Status != tc.status || got.Get("Stripe-Should-Retry") != tc.retry || got.Get("Content-Type") != "application/json" || got.Get("Request-Id") != "req_outgo_0199-x" {
				t.Errorf("status %d, headers %v; want %d, retry %s", got.Status, got.Header, tc.status, tc.retry)
			}
			if got.Status < 400 || got.Status == http.StatusConflict || got.Status == http.StatusPaymentRequired {
				t.Errorf("status %d is read otherwise by the SDKs", got.Status)
			}
			var body map[string]map[string]string
			if err := json.Unmarshal(got.Body, &body); err != nil || len(body) != 1 {
				t.Fatalf("body %s: %v, want one error object", got.Body, err)
			}
			e := body["error"]
			if e["type"] != tc.kind || e["code"] != tc.code || e["param"] != tc.answer.Param || e["message"] == "" {
				t.Errorf("error %v, want type %s, code %s", e, tc.kind, tc.code)
			}
			if tc.wantMessage != "" && (e["message"] != tc.wantMessage || strings.Contains(string(got.Body), `\u003c`)) {
				t.Errorf("message %q in %s, want %q as it is", e["message"], got.Body, tc.wantMessage)
			}
		})
	}
}
