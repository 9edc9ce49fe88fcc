package engine

import (
	"fmt"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
)

// The events of audit entries about requests, beside those of the machine.
const (
	authorize event = "authorize" // judged for the first time
	attach    event = "attach"    // a repeat of the call has joined it
	doubted   event = "unknown"   // nobody knows what came of it
	receive   event = "receipt"   // evidence that moved no state
	flagged   event = "flag"      // an anomaly, without evidence
	undone    event = "evidence"  // of what undoes a payment, which moves no state
)

// The events of audit entries about anything else.
const (
	wrote         = "write"   // an action that names no other
	resumed       = "resume"  // a start took over what an earlier one left under way
	recounted     = "recount" // open requests were moved to a policy that is to come into force
	sweptUp       = "sweep"   // what fell due and needed nothing more was dropped
	policyMade    = "policy.create"
	policyChanged = "policy.change"
	policyDeleted = "policy.delete"
	keyMade       = "key.create"
	keyRotated    = "key.rotate"
	keyRevoked    = "key.revoke"
	frozenBy      = "freeze"
	unfrozenBy    = "unfreeze"
)

// itself is who acted when nobody else did.
const itself = "outgo"

// who names an actor in audit entries: API keys by their prefix.
func (a Actor) who() string {
	if a.Name == "" {
		return itself
	}
	return a.Name
}

// agentName names an agent, marked as one: nobody may pass for a key, or for
// outgo, by being called like it.
func agentName(agent string) string { return agentMark + agent }

const agentMark = "agent:"

// A deed is what an action did to a request, for its audit entry.
type deed struct {
	event event
	from  spend.State // before it; none for a new request
	who   string
	note  string
	reply audit.Hash // of the provider's reply, as it came
}

// record adds an entry about the action. Entries are written behind the action
// with what it wrote, and only if it succeeds.
func (t *txn) record(e audit.Entry) {
	e.At = t.now
	t.entries = append(t.entries, e)
}

func (t *txn) recordDeed(r *spend.Request, d deed) {
	e := audit.Of(t.now, string(d.event), d.who, d.from, r)
	e.Note, e.Reply = brief(d.note), d.reply
	t.record(e)
}

func (t *txn) recordPolicy(event string, p *policy.Policy) {
	t.record(audit.Entry{
		Event: event, Who: itself, Note: "source: " + p.Source,
		Policies: []spend.PolicyRef{{ID: p.ID, Name: p.Name, Version: p.Version}},
	})
}

func (t *txn) recordKey(event string, by Actor, k APIKey) {
	note := fmt.Sprintf("%s, role %s", k.Prefix, k.Role)
	if k.Agent != "" {
		note += ", agent " + k.Agent
	}
	t.record(audit.Entry{Event: event, Who: by.who(), Note: brief(note)})
}

// brief bounds a note: its whole text is with the request or the key.
func brief(note string) string {
	const most = 200
	if len(note) > most {
		return note[:most] + "…"
	}
	return note
}
