package rails

import (
	"encoding/json"

	"github.com/outgo/outgo/engine/spend"
)

// Closed is a Rail for hosts that are known to move money and that outgo cannot
// judge: it refuses every call, reads included, because nothing is known of them.
type Closed string

var _ Rail = Closed("")

// Name returns the rail's name.
func (c Closed) Name() string { return string(c) }

// Match is Unrecognised for everything.
func (c Closed) Match(*Call) spend.Class { return spend.Unrecognised }

// Intent refuses every call.
func (c Closed) Intent(call *Call, _ []Fact) (Judgement, error) {
	return Judgement{}, Refusef(spend.UnrecognisedCall, "", "this version of outgo cannot judge calls to %s (rail %s), so none is let through; take the host out of rails.%s.hosts to let it pass unguarded", call.Host, string(c), string(c))
}

// Outcome is Uncertain: no call is ever forwarded.
func (c Closed) Outcome(*spend.Intent, *Reply) spend.Outcome {
	return spend.Outcome{Result: spend.Uncertain}
}

// Refuse answers with problem+json.
func (c Closed) Refuse(_ *Call, a Answer) Reply { return ProblemReply(a) }

// ProblemReply words an answer as application/problem+json (RFC 9457), the form
// for providers without an error format of their own.
func ProblemReply(a Answer) Reply {
	status := 403
	switch a.Situation {
	case Refused:
		status = 400
		if a.Code == spend.TooLarge {
			status = 413
		}
	case HeldOn, Busy, Uncertain:
		status = 429
	case Unavailable, Unreachable:
		status = 503
	case Denied, HeldOver, Unknown:
	}
	body, _ := json.Marshal(struct { //nolint:errcheck // plain strings always marshal
		Type    string     `json:"type"`
		Title   string     `json:"title"`
		Status  int        `json:"status"`
		Detail  string     `json:"detail"`
		Code    spend.Code `json:"code"`
		Request spend.ID   `json:"request,omitempty"`
	}{"about:blank", "outgo: " + string(a.Situation), status, a.Message, a.Code, a.Request})
	return Reply{
		Status: status,
		Header: []Field{{"Content-Type", "application/problem+json"}},
		Body:   append(body, '\n'),
	}
}
