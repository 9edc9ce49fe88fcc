package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/rails"
)

func newExplain(opt *options) *cobra.Command {
	var lines bool
	var at, agent string
	c := &cobra.Command{
		Use: "explain", Short: "Say what outgo sees in a request and would decide", Args: cobra.NoArgs,
		Long: `Explain reads a request on standard input and prints, as a line of JSON, what the
proxy would see in it and decide by the policies of the configuration, with budgets
that nothing has used yet. It changes nothing and needs no network.

The input is one raw HTTP/1.1 request (a file with plain line ends will do; without
Content-Length the body is the rest of it) or, with --jsonl, one JSON object a line:

  {"id":"c1","method":"POST","url":"https://api.stripe.com/v1/charges",
   "headers":{"Content-Type":"application/x-www-form-urlencoded"},"body":"amount=5000&currency=usd"}

body_base64 stands for body where it is not text, "transport":"ws" marks a WebSocket
message, and a header's value may be a list of lines. Every line is answered.`,
		Example: "  outgo explain < request.http\n  outgo explain --jsonl --at 2026-11-21T12:00:00Z < calls.jsonl",
		RunE: func(c *cobra.Command, _ []string) error {
			now := time.Now()
			if at != "" {
				var err error
				if now, err = time.Parse(time.RFC3339, at); err != nil {
					return usageError{fmt.Sprintf("--at %q is not a time; write one such as 2026-11-21T12:00:00Z", at)}
				}
			}
			cfg, err := opt.load()
			if err != nil {
				return err
			}
			e, err := newExplainer(cfg, agent, now)
			if err != nil {
				return err
			}
			if lines {
				return e.jsonl(c.InOrStdin(), c.OutOrStdout())
			}
			return e.raw(c.InOrStdin(), c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&lines, "jsonl", false, "read one JSON object a line")
	c.Flags().StringVar(&at, "at", "", "the `TIME` to decide at, in RFC 3339 (default now)")
	c.Flags().StringVar(&agent, "agent", "", "the `NAME` of the agent that makes the calls (default: agent in the configuration)")
	return c
}

// explanation is one line of output. Its fields and their order are a contract.
type explanation struct {
	ID        json.RawMessage `json:"id"`
	Rail      string          `json:"rail"`
	Class     spend.Class     `json:"class"`
	Operation string          `json:"operation"`
	Network   string          `json:"network"`
	Legs      []explainedLeg  `json:"legs"`
	Lookup    string          `json:"lookup"`
	Decision  spend.Decision  `json:"decision"`
	Reasons   []spend.Code    `json:"reasons"`
	Message   string          `json:"message"`
}

type explainedLeg struct {
	Kind     spend.LegKind `json:"kind"`
	Amount   string        `json:"amount"`
	Unit     string        `json:"unit"`
	Payee    string        `json:"payee"`
	Merchant string        `json:"merchant"`
	Category string        `json:"category"`
}

// explainer judges calls as the proxy would, without an engine: the ledger is
// taken to be empty.
type explainer struct {
	cfg      *config.Config
	agent    string
	now      time.Time
	routes   []proxy.Route
	policies []*policy.Policy
}

func newExplainer(cfg *config.Config, agent string, now time.Time) (*explainer, error) {
	if err := checkPolicies(cfg); err != nil {
		return nil, err
	}
	policies, err := policiesOf(cfg)
	if err != nil {
		return nil, err
	}
	e := &explainer{cfg: cfg, agent: agent, now: now, routes: routesOf(cfg)}
	if agent == "" {
		e.agent = cfg.Agent
	}
	for i := range policies {
		policies[i].ID = spend.ID(policies[i].Name)
		e.policies = append(e.policies, &policies[i])
	}
	return e, nil
}

// maxLine bounds what is kept of one line or one raw request; the largest body
// that a configuration admits fits, in base64 as well.
const maxLine = 128 << 20

// jsonl answers each line of r.
func (e *explainer) jsonl(r io.Reader, w io.Writer) error {
	in, out := bufio.NewReaderSize(r, 64<<10), bufio.NewWriter(w)
	for {
		line, long, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read requests: %w", err)
		}
		if err == nil || len(line) > 0 || long {
			if werr := e.answer(out, line, long); werr != nil {
				return werr
			}
		}
		// Whoever feeds lines one by one gets each answer before the next.
		if in.Buffered() == 0 || err != nil {
			if werr := out.Flush(); werr != nil {
				return fmt.Errorf("write answers: %w", werr)
			}
		}
		if err != nil {
			return nil
		}
	}
}

func (e *explainer) answer(w io.Writer, line []byte, long bool) error {
	var x explanation
	if long {
		x = refused("", rails.Refusef(spend.TooLarge, "", "the line is longer than %d bytes", maxLine))
	} else {
		call, err := parseLine(line)
		if x = e.explain(call, err); call.id != nil {
			x.ID = call.id
		}
	}
	return writeExplanation(w, x)
}

// raw answers the one HTTP request in r.
func (e *explainer) raw(r io.Reader, w io.Writer) error {
	data, err := io.ReadAll(io.LimitReader(r, maxLine+1))
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if len(data) > maxLine {
		return writeExplanation(w, refused("", rails.Refusef(spend.TooLarge, "", "the request is longer than %d bytes", maxLine)))
	}
	return writeExplanation(w, e.explain(parseRaw(data)))
}

// readLine returns the next line without its end. long says that it was too long
// to keep; it has been skipped then.
func readLine(r *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if !long {
			line = append(line, part...)
		}
		if len(line) > maxLine {
			line, long = nil, true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), long, err
		}
	}
}

func writeExplanation(w io.Writer, x explanation) error {
	if x.ID == nil {
		x.ID = json.RawMessage("null")
	}
	if x.Legs == nil {
		x.Legs = []explainedLeg{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// explain judges one call; refusal is what kept it from being read, if anything
// did. It answers whatever is in the call: a parser that panics has not
// understood it.
func (e *explainer) explain(c seenCall, refusal error) (x explanation) {
	rail := ""
	defer func() {
		if r := recover(); r != nil {
			x = refused(rail, rails.Refusef(spend.Malformed, "", "outgo's own parser failed on this request, so it would not be forwarded"))
		}
	}()
	if refusal != nil {
		return refused("", refusal)
	}
	at, err := locate(c.url, c.webSocket)
	if err != nil {
		return refused("", err)
	}
	named, namedPort, err := hostHeader(&c)
	if err != nil {
		return refused("", err)
	}
	route := e.route(at.host)
	if route == nil {
		if other := e.route(named); other != nil {
			return refused(other.Rail.Name(), rails.Refusef(spend.Ambiguous, "Host", "the URL names %s and the Host header %s", at.host, named))
		}
		return e.unclaimed(&c, at.host)
	}
	rail = route.Rail.Name()
	call, err := e.admit(&c, at, named, namedPort, route)
	if err != nil {
		return refused(rail, err)
	}
	if route.Rail.Match(call) == spend.Read {
		return explanation{Rail: rail, Class: spend.Read, Decision: spend.Allow, Reasons: []spend.Code{spend.OK}, Message: "a read: it is forwarded as it is"}
	}
	j, err := route.Rail.Intent(call, nil)
	if err != nil {
		return refused(rail, err)
	}
	if j.Intent.Class == spend.Unrecognised {
		j.Intent.Call = fmt.Sprintf("%s %s%.200s", call.Method, call.Host, call.Path)
	}
	return e.judge(rail, j)
}

// route returns the route that guards a canonical host, the most specific one,
// or nil.
func (e *explainer) route(host string) *proxy.Route {
	var found *proxy.Route
	longest := -1
	for i := range e.routes {
		for _, pattern := range e.routes[i].Hosts {
			suffix, wild := strings.CutPrefix(pattern, "*")
			matches := pattern == host || wild && strings.HasSuffix(host, suffix)
			rank := len(pattern)
			if !wild {
				rank += 1 << 10 // an exact name goes before every pattern
			}
			if matches && host != "" && rank > longest {
				found, longest = &e.routes[i], rank
			}
		}
	}
	return found
}

// unclaimed explains a call to a host on which no rail has a claim: outgo does
// not look into it.
func (e *explainer) unclaimed(c *seenCall, host string) explanation {
	x := explanation{Class: spend.Other, Decision: spend.Allow, Reasons: []spend.Code{spend.OK}, Message: "no rail claims " + host + ": the call passes unseen"}
	if c.method == "GET" || c.method == "HEAD" {
		x.Class = spend.Read
	}
	if e.cfg.Proxy.UnknownHosts == "deny" {
		x.Decision, x.Reasons = spend.Deny, []spend.Code{spend.HostDenied}
		x.Message = fmt.Sprintf("no rail claims %s, and proxy.unknown_hosts is deny", host)
	}
	return x
}

// admit applies the grammar that every guarded call must pass before a rail sees
// it.
func (e *explainer) admit(c *seenCall, at location, named, namedPort string, route *proxy.Route) (*rails.Call, error) {
	_, elsewhere := e.cfg.Upstreams[at.host]
	switch {
	case !at.tls && !route.Plain && !elsewhere:
		return nil, rails.Refusef(spend.UnrecognisedCall, "", "%s must be called over https", at.host)
	case at.tls && at.port != "" && at.port != "443":
		return nil, rails.Refusef(spend.UnrecognisedCall, "", "%s is guarded on port 443 only", at.host)
	case named != "" && named != at.host:
		return nil, rails.Refusef(spend.Ambiguous, "Host", "the URL names %s and the Host header %s", at.host, named)
	case namedPort != "" && namedPort != at.port && (namedPort != "443" || !at.tls || at.port != "") && (namedPort != "80" || at.tls || at.port != ""):
		return nil, rails.Refusef(spend.Ambiguous, "Host", "the Host header names port %s, which is not the URL's", namedPort)
	}
	if err := checkHead(c); err != nil {
		return nil, err
	}
	path, query, hasQuery, err := rails.CanonicalTarget(at.target)
	if err != nil {
		return nil, err //nolint:wrapcheck // a refusal says it all
	}
	if limit := e.cfg.MaxBody(route.Rail.Name()); len(c.body) > limit {
		return nil, rails.Refusef(spend.TooLarge, "", "the body has %d bytes; outgo judges at most %d", len(c.body), limit)
	}
	return &rails.Call{
		Host: at.host, Method: c.method, Path: path, Query: query, HasQuery: hasQuery,
		Header: c.header, Body: c.body, WebSocket: c.webSocket,
	}, nil
}

// judge explains what a rail has made of a call.
func (e *explainer) judge(rail string, j rails.Judgement) explanation {
	in := j.Intent
	in.Agent = e.agent
	x := explanation{Rail: rail, Class: in.Class, Operation: in.Operation, Network: in.Network}
	for _, l := range in.Legs {
		x.Legs = append(x.Legs, explainedLeg{Kind: l.Kind, Amount: l.Amount.Decimal(), Unit: l.Amount.Unit(),
			Payee: l.Payee, Merchant: l.Merchant, Category: l.Category})
	}
	if len(j.Lookups) > 0 {
		x.Lookup = j.Lookups[0].String()
	}
	switch in.Class {
	case spend.Read, spend.Other:
		x.Decision, x.Reasons, x.Message = spend.Allow, []spend.Code{spend.OK}, "it moves no money"
		return x
	case spend.Unrecognised:
		x.Decision, x.Reasons = spend.Deny, []spend.Code{spend.UnrecognisedCall}
		x.Message = "outgo does not know what this call does with money"
		if j.Doubt != "" {
			x.Message = "nobody can tell beforehand what this call would move: " + j.Doubt
		}
		if e.cfg.Proxy.Unrecognised != "hold" {
			x.Message += ", so it would not be sent; an operator can have such calls held for approval with `proxy.unrecognised: hold`"
			return x
		}
		v := e.evaluate(&in, e.policies)
		x.Decision = v.Decision
		for _, code := range v.Codes() {
			if code != spend.OK {
				x.Reasons = append(x.Reasons, code)
			}
		}
		x.Message += ": " + v.Message()
		return x
	case spend.Capability, spend.Spend:
		if in.Maskable {
			return e.glance(x, &in, j.Withheld)
		}
	}
	v := e.evaluate(&in, e.policies)
	if len(j.Lookups) > 0 {
		v = e.provisional(&in)
	}
	x.Decision, x.Reasons, x.Message = v.Decision, v.Codes(), v.Message()
	if len(j.Lookups) > 0 {
		x.Message = "the amount is looked up first (" + x.Lookup + "), and the policies' limits are applied to it then; of what is known already: " + x.Message
	}
	return x
}

// glance explains a read that passes either way, whole or without what would give away
// a way to spend.
func (e *explainer) glance(x explanation, in *spend.Intent, withheld []string) explanation {
	v := e.evaluate(in, e.policies)
	x.Decision, x.Reasons, x.Message = spend.Allow, []spend.Code{spend.OK}, "a read: it is forwarded as it is"
	if v.Decision != spend.Allow {
		x.Message = fmt.Sprintf("a read: it is forwarded, and the reply is passed on without %s; `capabilities: {%s: allow}` shows it (%s)",
			strings.Join(withheld, ", "), in.Operation, v.Code)
	}
	return x
}

func (e *explainer) evaluate(in *spend.Intent, policies []*policy.Policy) spend.Verdict {
	input := policy.Input{Intent: in, Policies: policies, Now: e.now, Unmatched: unmatched(e.cfg.Proxy.Unmatched.Wire)}
	if fee := string(e.cfg.Rails.EVM.MaxFee); in.Rail == "evm" && fee != "" {
		for _, l := range in.Legs {
			if l.Kind == spend.Fee {
				input.FeeCap, _ = spend.ParseAmount(l.Amount.Unit(), fee) // config admits integers only; none would be no cap, the stricter reading
			}
		}
	}
	return policy.Evaluate(input)
}

// provisional judges a call whose amount is not known yet by every rule that
// needs none. The unit is unknown too, so it stands for nought in each unit that
// a policy has, and the mildest verdict is the one that the lookup may confirm.
func (e *explainer) provisional(in *spend.Intent) spend.Verdict {
	var best spend.Verdict
	severity := []spend.Decision{spend.Allow, spend.RequireApproval, spend.Deny}
	for _, p := range e.policies {
		if !p.Matches(in) {
			continue
		}
		supposed := *in
		supposed.Legs = slices.Clone(in.Legs)
		for i := range supposed.Legs {
			if supposed.Legs[i].Amount.IsZero() {
				supposed.Legs[i].Amount = spend.NewAmount(p.Unit, 0)
			}
		}
		v := e.evaluate(&supposed, e.policies)
		if best.Decision == "" || slices.Index(severity, v.Decision) < slices.Index(severity, best.Decision) {
			best = v
		}
	}
	if best.Decision == "" {
		return e.evaluate(in, e.policies)
	}
	return best
}

// refused explains a call that would not be forwarded because it could not be
// judged.
func refused(rail string, err error) explanation {
	x := explanation{Rail: rail, Class: spend.Unrecognised, Decision: spend.Deny,
		Reasons: []spend.Code{spend.UnrecognisedCall}, Message: err.Error()}
	var r *rails.Refusal
	if errors.As(err, &r) {
		x.Reasons[0], x.Message = r.Code, r.Error()
	}
	return x
}
