// Package pinti speaks the PINTI API over the engine: its paths, its field names
// and its errors, {"error": "…"}. Amounts are numbers of the smallest unit.
package pinti

import (
	"encoding/json"

	"github.com/valyala/fasthttp"

	"github.com/outgo/outgo/engine/api"
	"github.com/outgo/outgo/engine/spend"
)

// fail renders an error as PINTI does.
func fail(ctx *fasthttp.RequestCtx, status int, message string) {
	ctx.SetStatusCode(status)
	api.Render(ctx, map[string]string{"error": message})
}

// approvalView is an approval within a spend request.
type approvalView struct {
	ID        spend.ID `json:"id"`
	Status    string   `json:"status"` // PENDING, APPROVED, REJECTED or EXPIRED
	DecidedAt *string  `json:"decidedAt"`
	Note      *string  `json:"note"`
}

// requestView is a spend request. The fields up to Approval are PINTI's; the
// rest is what outgo knows beyond it.
type requestView struct {
	ID             spend.ID        `json:"id"`
	Decision       spend.Decision  `json:"decision"`
	DecisionReason spend.Code      `json:"decisionReason"`
	Approval       *approvalView   `json:"approval"`
	AgentID        string          `json:"agentId"`
	AmountMinor    json.RawMessage `json:"amountMinor"`
	Unit           string          `json:"unit"`
	Merchant       string          `json:"merchant"`
	Category       string          `json:"category"`
	Reason         string          `json:"reason"`
	CreatedAt      *string         `json:"createdAt"`
	ChangedAt      *string         `json:"changedAt"`

	State       spend.State       `json:"state"`
	Origin      spend.Origin      `json:"origin"`
	Enforcement spend.Enforcement `json:"enforcement"`
	Rail        string            `json:"rail"`
	Operation   string            `json:"operation"`
	Network     string            `json:"network"`
	Payee       string            `json:"payee"`
	Mode        spend.Mode        `json:"mode"`
	Message     string            `json:"message"`
	Reasons     []spend.Code      `json:"reasons"`
	Why         spend.Code        `json:"why,omitempty"`
	ExpiresAt   *string           `json:"expiresAt"`
	Attempts    int               `json:"attempts"`
	Legs        []legView         `json:"legs"`
	Receipts    []receiptView     `json:"receipts"`
	Anomalies   []spend.Anomaly   `json:"anomalyFlags"`
	ReplacedBy  spend.ID          `json:"replacedBy,omitempty"`
}

// approvalItem is an approval in a list, with the request that it is about.
type approvalItem struct {
	requestView
	SpendRequestID spend.ID `json:"spendRequestId"`
	Status         string   `json:"status"`
	DecidedAt      *string  `json:"decidedAt"`
	Note           *string  `json:"note"`
}

func viewItem(r *spend.Request) approvalItem {
	v := approvalItem{requestView: viewRequest(r), SpendRequestID: r.ID}
	if a := v.Approval; a != nil {
		v.Status, v.DecidedAt, v.Note = a.Status, a.DecidedAt, a.Note
	}
	return v
}

type legView struct {
	Kind        spend.LegKind   `json:"kind"`
	AmountMinor json.RawMessage `json:"amountMinor"`
	Unit        string          `json:"unit"`
	Payee       string          `json:"payee"`
	Merchant    string          `json:"merchant"`
	Category    string          `json:"category"`
	Claimed     []string        `json:"claimed"` // which of merchant and category are the agent's word
}

type receiptView struct {
	Source                spend.Source    `json:"source"`
	ProviderTransactionID string          `json:"providerTransactionId"`
	Status                string          `json:"status"`
	ActualAmountMinor     json.RawMessage `json:"actualAmountMinor"`
	ActualCurrency        string          `json:"actualCurrency"`
	Destination           string          `json:"destination"`
	ProviderRequestID     string          `json:"providerRequestId"`
	RecordedAt            *string         `json:"recordedAt"`
	Note                  string          `json:"note,omitempty"`
}

// viewRequest renders a request.
func viewRequest(r *spend.Request) requestView {
	decision, reason := decided(r)
	v := requestView{
		ID: r.ID, Decision: decision, DecisionReason: reason, Approval: viewApproval(r),
		AgentID: r.Intent.Agent, AmountMinor: api.Minor(spend.Amount{}), Reason: r.Intent.Claims.Reason,
		CreatedAt: api.Stamp(r.Created), ChangedAt: api.Stamp(r.Changed), State: r.State, Origin: r.Origin, Enforcement: r.Enforcement,
		Rail: r.Intent.Rail, Operation: r.Intent.Operation, Network: r.Intent.Network, Mode: r.Intent.Mode,
		Message: r.Decisive().Message(), Reasons: r.Decisive().Codes(), Why: r.Why, ExpiresAt: api.Stamp(r.Deadline),
		Attempts: r.Attempts, Legs: []legView{}, Receipts: []receiptView{}, Anomalies: r.Anomalies, ReplacedBy: r.ReplacedBy,
	}
	if v.Anomalies == nil {
		v.Anomalies = []spend.Anomaly{}
	}
	for i, l := range r.Intent.Legs {
		if i == 0 {
			v.AmountMinor, v.Unit = api.Minor(l.Amount), l.Amount.Unit()
			v.Merchant, v.Category, v.Payee = l.Merchant, l.Category, l.Payee
		}
		v.Legs = append(v.Legs, viewLeg(l))
	}
	for _, rc := range r.Receipts {
		v.Receipts = append(v.Receipts, receiptView{
			Source: rc.Source, ProviderTransactionID: rc.TransactionID, Status: rc.Status,
			ActualAmountMinor: api.Minor(rc.Amount), ActualCurrency: rc.Amount.Unit(), Destination: rc.Payee,
			ProviderRequestID: rc.RequestID, RecordedAt: api.Stamp(rc.At), Note: rc.Note,
		})
	}
	return v
}

func viewLeg(l spend.Leg) legView {
	v := legView{
		Kind: l.Kind, AmountMinor: api.Minor(l.Amount), Unit: l.Amount.Unit(), Payee: l.Payee,
		Merchant: l.Merchant, Category: l.Category, Claimed: []string{},
	}
	if l.ClaimedMerchant {
		v.Claimed = append(v.Claimed, "merchant")
	}
	if l.ClaimedCategory {
		v.Claimed = append(v.Claimed, "category")
	}
	return v
}

// decided is PINTI's reading of where a request stands: an approval turns
// REQUIRE_APPROVAL into ALLOW, a rejection or a lapse into DENY.
func decided(r *spend.Request) (spend.Decision, spend.Code) {
	v := r.Decisive()
	if r.Approval == nil {
		if r.State == spend.Denied && r.Why != "" {
			return spend.Deny, r.Why
		}
		return v.Decision, v.Code
	}
	switch {
	case r.Approval.Status == spend.Rejected:
		return spend.Deny, v.Code
	case r.State == spend.Denied:
		return spend.Deny, r.Why
	case r.Approval.Status == spend.Approved:
		return spend.Allow, v.Code
	case r.State == spend.Expired, r.State == spend.Canceled:
		return spend.Deny, v.Code
	}
	return spend.RequireApproval, v.Code
}

func viewApproval(r *spend.Request) *approvalView {
	if r.Approval == nil {
		return nil
	}
	v := &approvalView{ID: r.ID, Status: string(r.Approval.Status), DecidedAt: api.Stamp(r.Approval.DecidedAt)}
	if r.Approval.Status == spend.Pending && r.State != spend.Held {
		v.Status = "EXPIRED"
	}
	if r.Approval.Note != "" {
		v.Note = &r.Approval.Note
	}
	return v
}
