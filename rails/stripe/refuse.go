package stripe

import (
	"bytes"
	"encoding/json"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// wording is how one situation is put to Stripe's SDKs.
type wording struct {
	status     int
	retry      string // Stripe-Should-Retry, "true" or "false" to the letter
	kind, code string
	message    string // where the answer brings none
}

// wordingOf is chosen by what the official SDKs do with an answer at their
// defaults. A 403 surfaces at once and is not read as a declined card; a 429
// with lock_timeout is the only answer that all of those that retry send again.
func wordingOf(a rails.Answer) wording {
	const invalid = "invalid_request_error"
	switch {
	case a.Code == spend.KeyReused:
		return wording{400, "false", "idempotency_error", "idempotency_key_reused", "This Idempotency-Key was used for another call; use a new one."}
	case a.Situation == rails.Refused && a.Code == spend.TooLarge:
		return wording{413, "false", invalid, "request_refused", "The request is larger than what is judged here."}
	}
	switch a.Situation {
	case rails.Denied:
		return wording{403, "false", invalid, "spend_policy_denied", "The spending policy denies this payment."}
	case rails.HeldOn:
		return wording{429, "true", invalid, "lock_timeout", "A person must approve this payment first; send the same request again."}
	case rails.HeldOver:
		return wording{403, "false", invalid, "approval_pending", "A person must still approve this payment; send the same request again later."}
	case rails.Refused:
		return wording{400, "false", invalid, "request_refused", "The request does not have exactly one reading and was not forwarded."}
	case rails.Uncertain:
		return wording{429, "true", invalid, "lock_timeout", "The outcome of this payment is not known yet; send the same request again with the same Idempotency-Key."}
	case rails.Unknown:
		return wording{403, "false", invalid, "outcome_unknown", "This payment may have been made; do not send it again under a new Idempotency-Key."}
	case rails.Busy:
		return wording{429, "true", invalid, "lock_timeout", "Another write on the same object is under way; send the same request again."}
	case rails.Unreachable:
		return wording{503, "true", "api_error", "upstream_unreachable", "Stripe could not be reached and nothing was sent."}
	case rails.Unavailable:
	}
	return wording{503, "false", "api_error", "guard_unavailable", "The spending policy could not be asked; nothing was forwarded."}
}

// Refuse words an answer as an error of Stripe's. The body always holds an error
// object: without one stripe-node takes any body for the object asked for.
func (r *Rail) Refuse(_ *rails.Call, a rails.Answer) rails.Reply {
	w := wordingOf(a)
	if a.Message == "" {
		a.Message = w.message
	}
	requestID := "req_outgo"
	if a.Request != "" {
		requestID += "_" + string(a.Request)
	}
	return rails.Reply{
		Status: w.status,
		Header: []rails.Field{
			{Name: "Content-Type", Value: "application/json"},
			{Name: "Request-Id", Value: requestID},
			{Name: "Stripe-Should-Retry", Value: w.retry},
		},
		Body: errorBody(w, a),
	}
}

func errorBody(w wording, a rails.Answer) []byte {
	type problem struct {
		Type    string `json:"type"`
		Code    string `json:"code"`
		Message string `json:"message"`
		Param   string `json:"param,omitempty"`
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	// Strings always encode: what is not UTF-8 is replaced.
	_ = e.Encode(map[string]problem{"error": {w.kind, w.code, a.Message, shown(a.Param)}})
	return b.Bytes()
}
