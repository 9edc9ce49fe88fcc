package proxy

import (
	"errors"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
)

// maxWhole is the longest reply, in bytes, that is read before any of it is passed
// on: one write to the agent costs less than several.
const maxWhole = 64 << 10

// pass forwards a call that moves no money and streams the reply.
func (x *exchange) pass(query string, body []byte) {
	keyed := x.judged.Key != "" && x.judged.KeyHeader != ""
	x.write(x.call.Method, x.target(query), func(name string) bool { return keyed && same(name, x.judged.KeyHeader) })
	if keyed {
		x.scratch = appendField(x.scratch, x.judged.KeyHeader, x.upstreamKey())
	}
	x.forwarded = !x.reads()
	sent, err := x.ask(body, upstream.Mode{Stream: true, MaxReply: maxWhole})
	switch {
	case err == nil:
		x.line.Decision = "passed"
	case x.reads(), !sent, errors.Is(err, upstream.ErrNotSent):
		x.unreachable(err)
	default:
		// A write may have been done, and no answer of outgo's would say so.
		x.line.Err = err.Error()
		x.cut()
	}
}

// target is what is asked for, with the query that is sent.
func (x *exchange) target(query string) string {
	if query != "" || x.call.HasQuery && x.call.Query == query {
		return x.call.Path + "?" + query
	}
	return x.call.Path
}

// reads reports whether the call changes nothing, whatever its reply may show.
func (x *exchange) reads() bool { return x.line.Class == spend.Read || x.maskable() }
