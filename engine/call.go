package engine

import (
	"slices"

	"github.com/outgo/outgo/engine/spend"
)

// A call is an intent that is to be ruled on, with what can be made of it before its
// turn: everybody else waits for what an action does itself.
type call struct {
	spend.Intent
	id   spend.ID // of the request that it may open
	form []byte   // of the intent, see intentForm
	who  string   // its agent, for audit entries

	requestKey, dedupKey, waitsKey string

	// next and request are what the action has found. The engine may keep the request.
	next    spend.Next
	request *spend.Request
}

// ruling is what the caller is told.
func (c *call) ruling() spend.Ruling {
	out := spend.Ruling{Next: c.next, Request: *c.request}
	out.Request.Clip()
	return out
}

func (k keys) newCall(id spend.ID, in spend.Intent) *call {
	in.Legs = slices.Clone(in.Legs) // which the engine keeps
	in.Claims.Authorization = ""
	c := &call{Intent: in, id: id, form: intentForm(&in)}
	request, dedup, waits := k.request(""), k.dedup(""), k.waits("")
	agent, name := escape(in.Agent), escape(string(id))
	// One piece of memory for all of them.
	names := request + name + dedup + in.DedupKey + waits + agent + agentMark + in.Agent
	c.requestKey, names = cut(names, len(request)+len(name))
	c.dedupKey, names = cut(names, len(dedup)+len(in.DedupKey))
	c.waitsKey, c.who = cut(names, len(waits)+len(agent))
	return c
}

func cut(s string, at int) (before, after string) { return s[:at], s[at:] }
