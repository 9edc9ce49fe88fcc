package proxy

import (
	"context"
	"errors"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
)

// maxWhole is the longest reply, in bytes, that is read before any of it is passed
// on: one write to the agent costs less than several.
const maxWhole = 64 << 10

// pass forwards a call that moves no money and streams the reply.
func (x *exchange) pass(query string, body []byte) {
	target := x.call.Path
	if query != "" || x.call.HasQuery && x.call.Query == query {
		target += "?" + query
	}
	keyed := x.judged.Key != "" && x.judged.KeyHeader != ""
	x.write(target, func(name string) bool { return keyed && strings.EqualFold(name, x.judged.KeyHeader) })
	if keyed {
		x.scratch = appendField(x.scratch, x.judged.KeyHeader, x.upstreamKey())
	}
	out := fasthttp.AcquireRequest()
	out.Header.SetMethod(x.call.Method)
	if len(body) > 0 {
		out.SetBodyRaw(body)
	}
	began := x.p.clock()
	x.forwarded = x.line.Class != spend.Read
	sent, err := x.p.up.Do(context.Background(), x.key(), out, &x.ctx.Response, upstream.Mode{Head: x.scratch, Stream: true, MaxReply: maxWhole})
	fasthttp.ReleaseRequest(out)
	x.line.Upstream += x.since(began)
	switch {
	case err == nil:
		x.line.Decision = "passed"
		x.clean()
	case x.line.Class == spend.Read, !sent, errors.Is(err, upstream.ErrNotSent):
		x.unreachable(err)
	default:
		// A write may have been done, and no answer of outgo's would say so.
		x.line.Err = err.Error()
		x.cut()
	}
}

// clean takes what concerned the provider's connection only off the answer.
func (x *exchange) clean() { cleanReply(&x.ctx.Response) }

func cleanReply(r *fasthttp.Response) {
	var hops []string
	for name := range r.Header.All() {
		if isHop(string(name)) && string(name) != fasthttp.HeaderTransferEncoding {
			hops = append(hops, string(name)) // none, as a rule
		}
	}
	for _, name := range hops {
		r.Header.Del(name)
	}
	r.Header.ResetConnectionClose()
	r.Header.SetNoDefaultContentType(true)
	r.ImmediateHeaderFlush = r.IsBodyStream()
}
