package pinti

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/api"
	"github.com/outgo/outgo/engine/spend"
)

// Options are what the routes work with.
type Options struct {
	Engine *engine.Engine
	// Mint draws a new API key: its prefix, the whole key, and the digest to
	// store.
	Mint func() (prefix, plaintext, digest string, err error)
}

type routes struct{ Options }

// Routes returns PINTI's operations.
func Routes(opt Options) []api.Route {
	r := routes{opt}
	const anyRole = api.Agent | api.Approver | api.Admin
	return []api.Route{
		api.Handle("GET", "/spend-requests", anyRole, fail, r.list),
		api.Handle("GET", "/spend-requests/{id}", anyRole, fail, r.show),
		api.Handle("GET", "/approvals", api.Approver|api.Admin, fail, r.approvals),
		api.Handle("POST", "/approvals/{id}/resolve", anyRole, fail, r.resolve),
		api.Handle("GET", "/policies", api.Approver|api.Admin, fail, r.policies),
		api.Handle("GET", "/api-keys", api.Admin, fail, r.keys),
		api.Handle("POST", "/api-keys", api.Admin, fail, r.createKey),
		api.Handle("POST", "/api-keys/{id}/rotate", api.Admin, fail, r.rotateKey),
		api.Handle("DELETE", "/api-keys/{id}", api.Admin, fail, r.revokeKey),
	}
}

func (o routes) list(c *api.Call) (int, any, error) {
	f := engine.Filter{
		Agent: c.Query("agentId"), Merchant: c.Query("merchant"),
		State: spend.State(c.Query("state")), Text: c.Query("q"), Cursor: c.Query("cursor"),
	}
	if err := c.OnlyQueries("agentId", "merchant", "decision", "state", "q", "from", "to", "limit", "cursor"); err != nil {
		return 0, nil, err
	}
	switch want := spend.Decision(strings.ToUpper(c.Query("decision"))); want {
	case "":
	case spend.Allow, spend.Deny, spend.RequireApproval: // as it is shown: an approval makes ALLOW of REQUIRE_APPROVAL
		f.Where = func(r *spend.Request) bool { is, _ := decided(r); return is == want }
	default:
		return 0, nil, api.Invalid("decision %q: want ALLOW, DENY or REQUIRE_APPROVAL", c.Query("decision"))
	}
	if c.Caller.Role == "agent" {
		if f.Agent != "" && f.Agent != c.Caller.Agent {
			return 0, nil, fmt.Errorf("agentId %q: %w: this key belongs to agent %q", f.Agent, spend.Forbidden, c.Caller.Agent)
		}
		f.Agent = c.Caller.Agent
	}
	if !isState(f.State) {
		return 0, nil, api.Invalid("state %q: want held, authorized, executing, settled, denied, failed, expired or canceled", f.State)
	}
	var err error
	if f.From, err = timeQuery(c, "from"); err != nil {
		return 0, nil, err
	}
	if f.To, err = timeQuery(c, "to"); err != nil {
		return 0, nil, err
	}
	if n := c.Query("limit"); n != "" {
		if f.Limit, err = strconv.Atoi(n); err != nil || f.Limit < 1 || f.Limit > 200 {
			return 0, nil, api.Invalid("limit %q: want a number from 1 to 200", n)
		}
	}
	page, err := o.Engine.Requests(c, f)
	if err != nil {
		return 0, nil, err
	}
	if page.Next != "" {
		c.Response.Header.Set("Outgo-Next-Cursor", page.Next)
	}
	return 200, viewAll(page.Requests), nil
}

func isState(s spend.State) bool {
	switch s {
	case "", spend.Held, spend.Authorized, spend.Executing, spend.Settled, spend.Denied, spend.Failed, spend.Expired, spend.Canceled:
		return true
	}
	return false
}

func timeQuery(c *api.Call, name string) (time.Time, error) {
	s := c.Query(name)
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, api.Invalid("%s %q: want a date (2026-01-31) or a time (2026-01-31T12:00:00Z)", name, s)
}

func viewAll(rs []spend.Request) []requestView {
	out := make([]requestView, len(rs))
	for i := range rs {
		out[i] = viewRequest(&rs[i])
	}
	return out
}

func (o routes) show(c *api.Call) (int, any, error) {
	r, err := o.Engine.Request(c, spend.ID(c.Param("id")))
	if err != nil {
		return 0, nil, err
	}
	if c.Caller.Role == "agent" && r.Intent.Agent != c.Caller.Agent {
		return 0, nil, fmt.Errorf("request %.64q: %w", r.ID, spend.NotFound)
	}
	return 200, viewRequest(&r), nil
}

// approvals lists what waits for a person, or with status=APPROVED, REJECTED or
// ALL what has been decided.
func (o routes) approvals(c *api.Call) (int, any, error) {
	if err := c.OnlyQueries("status", "cursor"); err != nil {
		return 0, nil, err
	}
	status := strings.ToUpper(c.Query("status"))
	f := engine.Filter{Limit: 200, Cursor: c.Query("cursor")}
	switch status {
	case "", "PENDING":
		status, f.Held = "PENDING", true
	case "APPROVED", "REJECTED", "EXPIRED", "ALL":
		f.Decision = spend.RequireApproval
	default:
		return 0, nil, api.Invalid("status %q: want PENDING, APPROVED, REJECTED, EXPIRED or ALL", status)
	}
	page, err := o.Engine.Requests(c, f)
	if err != nil {
		return 0, nil, err
	}
	if page.Next != "" {
		c.Response.Header.Set("Outgo-Next-Cursor", page.Next)
	}
	out := []approvalItem{}
	for i := range page.Requests {
		v := viewItem(&page.Requests[i])
		if v.Status != "" && (status == "ALL" || v.Status == status) {
			out = append(out, v)
		}
	}
	return 200, out, nil
}

func (o routes) resolve(c *api.Call) (int, any, error) {
	var body struct {
		Status string `json:"status"`
		Note   string `json:"note"`
	}
	if err := c.Decode(&body); err != nil {
		return 0, nil, err
	}
	if body.Status != "APPROVED" && body.Status != "REJECTED" {
		return 0, nil, api.Invalid("status %q: want APPROVED or REJECTED", body.Status)
	}
	if len(body.Note) > 1000 {
		return 0, nil, api.Invalid("note: at most 1000 bytes")
	}
	r, err := o.Engine.Resolve(c, spend.ID(c.Param("id")), c.Caller.Actor, body.Status == "APPROVED", body.Note)
	if err != nil {
		return 0, nil, err
	}
	return 200, viewItem(&r), nil
}

func (o routes) policies(c *api.Call) (int, any, error) {
	ps, err := o.Engine.Policies(c)
	if err != nil {
		return 0, nil, err
	}
	out := make([]policyView, len(ps))
	for i := range ps {
		out[i] = viewPolicy(&ps[i])
	}
	return 200, out, nil
}

type keyView struct {
	ID        spend.ID `json:"id"`
	KeyPrefix string   `json:"keyPrefix"`
	Plaintext string   `json:"plaintext,omitempty"`
	Role      string   `json:"role"`
	AgentID   string   `json:"agentId,omitempty"`
	CreatedAt *string  `json:"createdAt"`
	RevokedAt *string  `json:"revokedAt"`
	ExpiresAt *string  `json:"expiresAt"`
}

func viewKey(k engine.APIKey) keyView {
	return keyView{
		ID: k.ID, KeyPrefix: k.Prefix, Role: k.Role, AgentID: k.Agent,
		CreatedAt: api.Stamp(k.Created), RevokedAt: api.Stamp(k.Revoked), ExpiresAt: api.Stamp(k.Expires),
	}
}

func (o routes) keys(*api.Call) (int, any, error) {
	out := []keyView{}
	for _, k := range o.Engine.APIKeys() {
		out = append(out, viewKey(k))
	}
	return 200, out, nil
}

// createKey makes a key. PINTI's own call has no body: it makes an agent's key
// for the agent "default".
func (o routes) createKey(c *api.Call) (int, any, error) {
	body := struct {
		Role    string `json:"role"`
		AgentID string `json:"agentId"`
	}{}
	if len(c.PostBody()) > 0 {
		if err := c.Decode(&body); err != nil {
			return 0, nil, err
		}
	}
	if body.Role == "" {
		body.Role = "agent"
	}
	if body.Role == "agent" && body.AgentID == "" {
		body.AgentID = "default"
	}
	return o.addKey(c, body.Role, body.AgentID)
}

func (o routes) addKey(c *api.Call, role, agent string) (int, any, error) {
	prefix, plaintext, digest, err := o.Mint()
	if err != nil {
		return 0, nil, err
	}
	k, err := o.Engine.AddAPIKey(c, c.Caller.Actor, engine.APIKey{Prefix: prefix, Role: role, Agent: agent, Digest: digest})
	if err != nil {
		return 0, nil, err
	}
	v := viewKey(k)
	v.Plaintext = plaintext
	return 201, v, nil
}

// rotateOverlap is how long a rotated key stays valid beside its successor.
const rotateOverlap = 24 * time.Hour

func (o routes) rotateKey(c *api.Call) (int, any, error) {
	old, err := o.Engine.EndAPIKey(c, c.Caller.Actor, c.Param("id"), rotateOverlap)
	if err != nil {
		return 0, nil, err
	}
	return o.addKey(c, old.Role, old.Agent)
}

func (o routes) revokeKey(c *api.Call) (int, any, error) {
	k, err := o.Engine.EndAPIKey(c, c.Caller.Actor, c.Param("id"), 0)
	if err != nil {
		return 0, nil, err
	}
	return 200, viewKey(k), nil
}

type policyView struct {
	ID                       spend.ID     `json:"id"`
	Name                     string       `json:"name"`
	MaxSingleAmount          rawAmount    `json:"maxSingleAmount"`
	DailyLimit               rawAmount    `json:"dailyLimit"`
	MonthlyLimit             rawAmount    `json:"monthlyLimit"`
	RequireApprovalOver      rawAmount    `json:"requireApprovalOver"`
	MaxTransactionsPerMinute *int         `json:"maxTransactionsPerMinute"`
	MaxTransactionsPerHour   *int         `json:"maxTransactionsPerHour"`
	Unit                     string       `json:"unit"`
	AllowedMerchants         []string     `json:"allowedMerchants"`
	BlockedMerchants         []string     `json:"blockedMerchants"`
	AllowedCategories        []string     `json:"allowedCategories"`
	BlockedCategories        []string     `json:"blockedCategories"`
	IsActive                 bool         `json:"isActive"`
	Capabilities             any          `json:"capabilities"` // a word, or words by operation and "default"
	Duplicates               string       `json:"duplicates"`
	DuplicateWindow          string       `json:"duplicateWindow"`
	DuplicatesAcross         string       `json:"duplicatesAcross"`
	Scope                    engine.Scope `json:"scope"`
	Version                  int          `json:"version"`
	Source                   string       `json:"source"`
}

// rawAmount renders an amount as api.Minor does.
type rawAmount struct{ spend.Amount }

func (a rawAmount) MarshalJSON() ([]byte, error) { return api.Minor(a.Amount), nil }

func viewPolicy(p *engine.Policy) policyView {
	v := policyView{
		ID: p.ID, Name: p.Name, MaxSingleAmount: rawAmount{p.MaxSingle}, DailyLimit: rawAmount{p.Daily},
		MonthlyLimit: rawAmount{p.Monthly}, RequireApprovalOver: rawAmount{p.RequireApprovalOver},
		MaxTransactionsPerMinute: p.PerMinute, MaxTransactionsPerHour: p.PerHour, Unit: p.Unit,
		AllowedMerchants: some(p.AllowedMerchants), BlockedMerchants: some(p.BlockedMerchants),
		AllowedCategories: some(p.AllowedCategories), BlockedCategories: some(p.BlockedCategories),
		IsActive: p.Active, Capabilities: capabilities(p), Version: p.Version, Source: p.Source,
		Scope: engine.Scope{
			Agents: some(p.Scope.Agents), Rails: some(p.Scope.Rails), Networks: some(p.Scope.Networks),
			Operations: some(p.Scope.Operations), Modes: some(p.Scope.Modes),
		},
	}
	v.Duplicates, v.DuplicatesAcross, v.DuplicateWindow = cmp.Or(p.Duplicates, "flag"), cmp.Or(p.DuplicatesAcross, "agent"), p.Window().String()
	return v
}

// capabilities has the form of the configuration: a word, or a word for each
// operation and family, and under "default" that for all others.
func capabilities(p *engine.Policy) any {
	word := cmp.Or(p.Capabilities, "hold")
	if len(p.CapabilityRules) == 0 {
		return word
	}
	all := maps.Clone(p.CapabilityRules)
	all["default"] = word
	return all
}

// some makes an absent list an empty one.
func some(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}
