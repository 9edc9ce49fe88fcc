package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// wireOf returns the connection that a call came in on; the servers are given no
// other kind.
func wireOf(ctx *fasthttp.RequestCtx) *wire { return ctx.Conn().(*wire) } //nolint:forcetypeassert // see above

// answerBroken answers a call whose body broke off, broke the framing, or was too
// long. The server closes the connection after it.
func (p *Proxy) answerBroken(ctx *fasthttp.RequestCtx, _ error) {
	w := wireOf(ctx)
	r := w.fault
	if r == nil && w.late {
		r = tooLate()
	}
	if r == nil {
		w.cut() // the agent has gone, and whom would an answer reach?
		return
	}
	p.answerFault(ctx, w, r)
}

// answerFault refuses a message that was not understood, in the rail's words
// where it is known whose they are.
func (p *Proxy) answerFault(ctx *fasthttp.RequestCtx, w *wire, r *rails.Refusal) {
	if w.route != nil {
		x := p.newExchange(w, w.route, cmp.Or(w.host, w.called), w.agent)
		x.turnAway(r)
		x.answerFast(ctx)
		return
	}
	p.say(ctx, w, statusOf(r.Code, fasthttp.StatusBadRequest), "refused", r.Code, r.Reason)
}

// serveOpen serves a connection that is not a tunnel to a guarded host.
func (p *Proxy) serveOpen(w *wire) {
	defer p.conns.drop(w.raw)
	defer func() {
		if v := recover(); v != nil {
			p.log.Error("panic while serving a connection", zap.Any("panic", v), zap.Stack("stack"))
		}
	}()
	w.times, w.busy, w.aim = p.times, &p.busy, p.aim
	p.open.ServeConn(w) //nolint:errcheck // what went wrong was answered
}

// handleOpen serves one call that did not come through a tunnel to a guarded host:
// inside an inspected one, or in absolute form on the listener itself.
func (p *Proxy) handleOpen(ctx *fasthttp.RequestCtx) {
	w := wireOf(ctx)
	defer func() {
		if w.unread() || p.draining() {
			ctx.SetConnectionClose()
		}
	}()
	switch {
	case w.fault != nil:
		p.answerFault(ctx, w, w.fault)
	case w.host != "":
		p.handleInspected(ctx, w)
	case strings.HasPrefix(w.head.target, "/"):
		p.handlePage(ctx, w)
	default:
		p.handleAbsolute(ctx, w)
	}
}

func (p *Proxy) handleInspected(ctx *fasthttp.RequestCtx, w *wire) {
	if r := checkHost(&w.head, w.host, w.port); r != nil {
		p.say(ctx, w, fasthttp.StatusMisdirectedRequest, "refused", r.Code, r.Reason)
		return
	}
	if !p.still(&w.peer, w.agent) {
		p.say(ctx, w, fasthttp.StatusForbidden, "denied", spend.KeyRevoked, keyRevoked)
		return
	}
	if !strings.HasPrefix(w.head.target, "/") {
		p.say(ctx, w, fasthttp.StatusBadRequest, "refused", spend.Malformed, "inside a tunnel the target begins with a slash")
		return
	}
	p.relay(ctx, w, w.agent, w.host, w.port, w.head.target)
}

const noHost = "this is a proxy, and the request names no host; set HTTPS_PROXY and HTTP_PROXY to this address instead of calling it"

// handlePage answers what a browser, a health check or a program that wants the
// authority's certificate asks of the proxy itself.
func (p *Proxy) handlePage(ctx *fasthttp.RequestCtx, w *wire) {
	if page, ok := p.opt.Pages[w.head.target]; ok && w.head.method == "GET" {
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBody(page)
		return
	}
	if w.head.target != "/" || w.head.method != "GET" && w.head.method != "HEAD" {
		p.say(ctx, w, fasthttp.StatusMisdirectedRequest, "refused", spend.HostMismatch, noHost)
		return
	}
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString("This is outgo, a proxy that judges what agents spend.\n" +
		"Send traffic through it: HTTPS_PROXY=http://" + w.raw.LocalAddr().String() + " with outgo's authority trusted.\n" +
		"`outgo env` prints the whole environment, `outgo run -- CMD` starts a program with it.\n")
	for _, path := range slices.Sorted(maps.Keys(p.opt.Pages)) {
		ctx.Response.AppendBodyString("Here is also " + path + "\n")
	}
}

// handleAbsolute serves "GET http://host/path".
func (p *Proxy) handleAbsolute(ctx *fasthttp.RequestCtx, w *wire) {
	var credentials []string
	for i := range w.head.fields {
		if strings.EqualFold(w.head.fields[i].Name, "Proxy-Authorization") {
			credentials = append(credentials, w.head.fields[i].Value)
		}
	}
	peer, agent, ok := p.identify(credentials, w.raw)
	w.peer = peer
	if !ok {
		p.say(ctx, w, fasthttp.StatusProxyAuthRequired, "refused", "", strings.TrimSuffix(whoAreYou, "\n"))
		ctx.Response.Header.Set("Proxy-Authenticate", challenge)
		return
	}
	host, port, target, ok := splitAbsolute(w.head.target)
	if !ok || target[0] != '/' {
		p.say(ctx, w, fasthttp.StatusBadRequest, "refused", spend.Malformed, "the target is not http://host/path; https goes through CONNECT")
		return
	}
	if w.route != nil {
		x := p.newExchange(w, w.route, host, agent)
		x.port = port
		x.readPlain(ctx, target)
		x.answerFast(ctx)
		return
	}
	if r := checkHost(&w.head, host, port); r != nil {
		p.say(ctx, w, fasthttp.StatusMisdirectedRequest, "refused", r.Code, r.Reason)
		return
	}
	if p.opt.UnknownHosts == Deny {
		p.say(ctx, w, fasthttp.StatusForbidden, "denied", spend.HostDenied, "outgo is configured to let agents reach listed hosts only, and "+host+" is not one")
		return
	}
	p.relay(ctx, w, agent, host, port, target)
}

// splitAbsolute takes "http://host:port/path" apart.
func splitAbsolute(s string) (host string, port uint16, target string, ok bool) {
	rest, ok := cutPrefixFold(s, "http://")
	if !ok {
		return "", 0, "", false
	}
	at, target := rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		at, target = rest[:i], rest[i:]
	}
	host, port, err := splitAuthority(at, 80)
	return host, port, target, err == nil
}

// aim finds the host that a target in absolute form names, and its route.
func (p *Proxy) aim(target string) (string, *route) {
	host, _, _, ok := splitAbsolute(target)
	if !ok {
		return "", nil
	}
	return host, p.table.find(host)
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if !hasPrefixFold(s, prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// readPlain serves a call to a guarded host in absolute form. Its body has been
// read in part only.
func (x *exchange) readPlain(ctx *fasthttp.RequestCtx, target string) {
	if r := x.admit(target); r != nil {
		x.turnAway(r)
		return
	}
	var err error
	if ctx.RequestBodyStream() != nil {
		x.call.Body, err = io.ReadAll(wholeBody{ctx.RequestBodyStream(), x.w}) // which ends at maxBody
	}
	switch {
	case x.w.fault != nil:
		x.turnAway(x.w.fault)
	case err != nil && x.w.late:
		x.turnAway(tooLate())
	case err != nil:
		x.w.cut()
	default:
		x.p.exchange(x)
	}
}

// answerFast has a server of fasthttp's send the answer, and frees the exchange.
func (x *exchange) answerFast(ctx *fasthttp.RequestCtx) {
	out, r := &ctx.Response, &x.out
	out.Header.DisableNormalizing()
	out.Header.SetNoDefaultContentType(true)
	out.SetStatusCode(r.Status)
	out.Header.SetStatusMessage([]byte(r.Reason))
	for i := range r.Fields {
		out.Header.Add(r.Fields[i].Name, r.Fields[i].Value)
	}
	if x.closing {
		ctx.SetConnectionClose()
	}
	if r.Stream != nil { // and may go on using x when the handler has returned
		out.SetBodyStream(r.Stream, max(r.Length, -1))
		out.ImmediateHeaderFlush = true
		return
	}
	out.Header.SetContentLength(max(r.Length, -1)) // for what has no body but announces one
	out.SetBody(r.Body)
	x.free()
}

// wholeBody is a streamed body of an agent's. The server's stream ends in peace
// where the connection breaks off behind the last chunk's size; this one does not.
type wholeBody struct {
	r io.Reader
	w *wire
}

// Read implements io.Reader.
func (b wholeBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) && b.w.unread() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// relay forwards a call that no rail claims, streaming both ways.
func (p *Proxy) relay(ctx *fasthttp.RequestCtx, w *wire, agent, host string, port uint16, target string) {
	start := p.clock()
	out := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(out)
	fillRequest(out, host, port, w.plain, w.head.method, target, w.head.fields)
	if w.head.length != 0 {
		// Hidden behind another Reader, or fasthttp would release its pooled stream
		// with this request and once more with the server's.
		out.SetBodyStream(wholeBody{ctx.RequestBodyStream(), w}, int(w.head.length))
	}
	sent, err := p.up.Do(context.Background(), p.key(agent, host, port, w.plain), out, &ctx.Response, upstream.Mode{Stream: true, MaxReply: maxWhole})
	// The path is not logged: where nobody guards a host, it may hold a secret.
	l := Line{Agent: agent, Host: host, Method: w.head.method, Decision: "passed", Upstream: p.clock().Sub(start)}
	switch {
	case err == nil:
		cleanReply(&ctx.Response)
		l.Status = ctx.Response.StatusCode()
	case !sent:
		r := rejectDial(err)
		l.Decision, l.Code, l.Status, l.Err = r.decision, r.code, r.status, err.Error()
		writeText(ctx, r.status, r.decision, r.code, fmt.Sprintf("%s could not be reached: %s", host, r.text))
	default:
		l.Decision, l.Err = "cut", err.Error()
		w.cut()
	}
	l.Total = p.clock().Sub(start)
	p.opt.Observe(l)
}

// fillRequest fills in a request with an agent's own fields, but for those between
// neighbours.
func fillRequest(out *fasthttp.Request, host string, port uint16, plain bool, method, target string, fields []rails.Field) {
	h := &out.Header
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	h.SetMethod(method)
	h.SetRequestURI(target)
	h.SetHost(authority(host, port, plain))
	connection := hasConnection(fields)
	for i := range fields {
		if f := &fields[i]; goesOn(fields, f.Name, connection) {
			h.Add(f.Name, f.Value)
		}
	}
}

// cleanReply takes what concerned the provider's connection only off an answer.
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

// say answers a call that no rail has a format for, and closes the connection.
func (p *Proxy) say(ctx *fasthttp.RequestCtx, w *wire, status int, decision string, code spend.Code, text string) {
	writeText(ctx, status, decision, code, text)
	ctx.SetConnectionClose()
	p.opt.Observe(Line{Agent: w.agent, Host: w.host, Method: w.head.method, Decision: decision, Code: code, Status: status})
}

func writeText(ctx *fasthttp.RequestCtx, status int, decision string, code spend.Code, text string) {
	ctx.Response.Header.SetNoDefaultContentType(true)
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.Response.Header.Set("Outgo-Decision", decision)
	if code != "" {
		ctx.Response.Header.Set("Outgo-Code", string(code))
	}
	ctx.SetBodyString("outgo: " + text + "\n")
}
