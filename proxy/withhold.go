package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// maskable reports whether the call is a read that was judged for what its reply shows.
func (x *exchange) maskable() bool { return x.judged.Intent.Maskable }

// withhold forwards a read, and passes the reply on without the members that would give
// away a way to spend. A reply of which that cannot be done for certain is not passed on.
func (x *exchange) withhold() {
	x.write(x.call.Method, x.target(x.judged.Query), func(name string) bool {
		return equalsAny(name, "Accept-Encoding", "Range", "If-Range")
	})
	x.scratch = appendField(x.scratch, "Accept-Encoding", "identity")
	_, err := x.ask(x.judged.Body, upstream.Mode{MaxReply: maxReply, Within: x.p.times.Reply})
	switch {
	case errors.Is(err, upstream.ErrTooLarge):
		x.line.Err = err.Error()
		x.keepBack(spend.TooLarge, fmt.Sprintf("more than %d bytes long: ask for less at a time, with a smaller limit or without expand", maxReply))
		return
	case err != nil:
		x.unreachable(err)
		return
	}
	x.line.Decision = "passed"
	r := &x.out
	if upstream.Bodiless(r.Status) || len(r.Body) == 0 {
		return
	}
	masked, err := rails.Withhold(r.Body, x.judged.Withheld)
	encoded := strings.TrimSpace((&rails.Reply{Header: r.Fields}).Get("Content-Encoding"))
	switch {
	case err == nil && (encoded == "" || same(encoded, "identity")):
	case r.Status >= http.StatusInternalServerError:
		x.unreachable(fmt.Errorf("status %d: %w", r.Status, rails.ErrNoJSON))
		return
	default:
		x.line.Err = fmt.Sprintf("status %d, content encoding %q: %v", r.Status, encoded, err)
		x.keepBack(spend.Malformed, "not the JSON that was asked for: ask without expand")
		return
	}
	if len(masked) != len(r.Body) || &masked[0] != &r.Body[0] {
		r.Body, r.Length = masked, len(masked)
		x.line.Decision, x.line.Code = "withheld", x.request.Verdict.Code
		r.Fields = append(r.Fields, rails.Field{Name: "Outgo-Decision", Value: x.line.Decision})
	}
}

// keepBack answers for a reply that is not passed on.
func (x *exchange) keepBack(code spend.Code, why string) {
	x.answer(rails.Answer{Situation: rails.Refused, Code: code, Message: fmt.Sprintf(
		"%s: outgo passes this read on without %s, and the provider's answer is %s. It was a read, which changes nothing.", code, strings.Join(x.judged.Withheld, ", "), why)})
}
