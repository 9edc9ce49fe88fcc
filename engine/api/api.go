// Package api is the control listener: authentication, routing and the surfaces
// that belong to no dialect (health, metrics, keys, freezes, an operator's word on
// an unknown outcome). The dialects of published systems are packages below it;
// each contributes a table of Routes over the same engine, with the views that
// turn a spend.Request into its JSON.
//
// A request goes: route by method and path, authenticate its key, compare the
// key's role with the route's, run the handler, render its value or its error.
// An agent's key reads and declares for its own agent only and can never approve.
package api

import (
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

// Options configure a Server. Engine, Digest and Log are required.
type Options struct {
	Engine *engine.Engine
	// Digest is the keyed digest under which API keys are stored.
	Digest func(secret string) string
	Routes []Route
	// Ready says why outgo cannot serve, or nil.
	Ready func() error
	// Metrics renders the metrics page; nil for none.
	Metrics fasthttp.RequestHandler
	// About is shown to whoever asks on the local socket where the proxy is.
	About About
	// Events takes what providers say of their own accord; nil for nobody's.
	Events ProviderEvents
	// Local makes every caller an administrator without a key. It is for a
	// command that has opened the data directory by itself, and never listens.
	Local bool
	Log   *zap.Logger
	// MaxConns bounds the connections of one listener, so that whoever opens many
	// leaves descriptors to the ledger; 0 for no bound of its own.
	MaxConns int
}

// About says where a running outgo can be reached. Nothing in it is secret.
type About struct {
	Version string `json:"version"`
	Mode    string `json:"mode"` // "serve" or "run"
	Proxy   string `json:"proxy"`
	Control string `json:"control"`
	CA      string `json:"ca"`
	Bundle  string `json:"bundle"`
}

// Caller is who calls: the key that was presented.
type Caller struct {
	engine.Actor
}

// Call is one API request, authenticated.
type Call struct {
	*fasthttp.RequestCtx
	Caller Caller
	params map[string]string
}

// Param returns a {name} of the route's path.
func (c *Call) Param(name string) string { return c.params[name] }

// Query returns a query parameter.
func (c *Call) Query(name string) string { return string(c.QueryArgs().Peek(name)) }

// OnlyQueries is Invalid when there is a query parameter of another name, or one of
// them twice: who misspells a filter would take what it lets through for all there is.
func (c *Call) OnlyQueries(names ...string) error {
	seen := make(map[string]bool, len(names))
	for name := range c.QueryArgs().All() {
		if !slices.Contains(names, string(name)) {
			return Invalid("there is no query parameter %.40q; the parameters are %s", name, strings.Join(names, ", "))
		}
		if seen[string(name)] {
			return Invalid("the query parameter %q is there twice", name)
		}
		seen[string(name)] = true
	}
	return nil
}

// Decode reads the body as one JSON value into v, strictly: unknown fields,
// trailing data and a wrong content type are Invalid.
func (c *Call) Decode(v any) error {
	d := json.NewDecoder(strings.NewReader(string(c.PostBody())))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return Invalid("body: %s", plain(err))
	}
	if d.More() {
		return Invalid("body: one JSON value only")
	}
	return nil
}

// plain words a JSON error for a person.
func plain(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return "not valid JSON: " + syntax.Error()
	}
	if err.Error() == "EOF" {
		return "it is empty, a JSON object is required"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// Roles are who may use a route.
type Roles uint8

// The roles, to be added up. Anyone needs no key.
const (
	Anyone Roles = 0
	Agent  Roles = 1 << iota
	Approver
	Admin
)

// Errors renders an error in the format of a dialect.
type Errors func(ctx *fasthttp.RequestCtx, status int, message string)

// Route is one operation.
type Route struct {
	Method string
	Path   string // "/approvals/{id}/resolve", below /api/v1
	Roles  Roles
	Errors Errors
	// Do returns the status and the value to render as JSON, or an error that
	// carries a spend.Kind.
	Do func(*Call) (status int, body any, err error)
}

// Handle makes a Route.
func Handle(method, path string, roles Roles, errs Errors, do func(*Call) (int, any, error)) Route {
	return Route{Method: method, Path: path, Roles: roles, Errors: errs, Do: do}
}

// writeLimit is how long an answer may take to be written.
const writeLimit = time.Minute

// Server serves the control API.
type Server struct {
	opt    Options
	routes []Route
	http   *fasthttp.Server
	// hearing has something in it for each call of a provider that is being heard.
	hearing chan struct{}
}

// New returns a Server; own routes are added to those given.
func New(opt Options) *Server {
	s := &Server{opt: opt, hearing: make(chan struct{}, maxHearing)}
	s.routes = append(s.own(), opt.Routes...)
	s.http = &fasthttp.Server{
		Handler: s.serve, Name: "outgo", NoDefaultServerHeader: true, NoDefaultDate: true,
		ReadTimeout: 30 * time.Second, WriteTimeout: writeLimit, IdleTimeout: 2 * time.Minute,
		MaxRequestBodySize: 1 << 20, ReadBufferSize: 16 << 10, CloseOnShutdown: true,
		Logger: quiet{}, Concurrency: opt.MaxConns,
	}
	return s
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// Serve answers on ln until Shutdown.
func (s *Server) Serve(ln net.Listener) error { return s.http.Serve(ln) }

// Shutdown stops listening and waits for running requests.
func (s *Server) Shutdown() error { return s.http.Shutdown() }

func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	path := string(ctx.Path())
	switch path {
	case "/healthz":
		ctx.SetBodyString("ok\n")
		return
	case "/readyz":
		s.ready(ctx)
		return
	case "/metrics":
		if s.opt.Metrics != nil {
			s.opt.Metrics(ctx)
			return
		}
	}
	rest, ok := strings.CutPrefix(path, "/api/v1")
	if !ok {
		rest, ok = strings.CutPrefix(path, "/v1")
	}
	if !ok || !strings.HasPrefix(rest, "/") {
		Problem(ctx, 404, "there is nothing at this path; the API is below /api/v1")
		return
	}
	s.dispatch(ctx, rest)
}

func (s *Server) ready(ctx *fasthttp.RequestCtx) {
	if s.opt.Ready != nil {
		if err := s.opt.Ready(); err != nil {
			ctx.SetStatusCode(503)
			ctx.SetBodyString(err.Error() + "\n")
			return
		}
	}
	ctx.SetBodyString("ready\n")
}

func (s *Server) dispatch(ctx *fasthttp.RequestCtx, path string) {
	var allowed []string
	var errs Errors = Problem
	for i := range s.routes {
		r := &s.routes[i]
		params, ok := match(r.Path, path)
		if !ok {
			continue
		}
		errs = r.Errors
		if r.Method != string(ctx.Method()) {
			allowed = append(allowed, r.Method)
			continue
		}
		s.run(ctx, r, params)
		return
	}
	if allowed != nil {
		ctx.Response.Header.Set("Allow", strings.Join(allowed, ", "))
		errs(ctx, 405, "this path takes "+strings.Join(allowed, " or ")+", not "+string(ctx.Method()))
		return
	}
	errs(ctx, 404, "there is nothing at this path")
}

func (s *Server) run(ctx *fasthttp.RequestCtx, r *Route, params map[string]string) {
	call := &Call{RequestCtx: ctx, params: params}
	if r.Roles != Anyone {
		caller, err := s.authenticate(ctx)
		if err != nil {
			ctx.Response.Header.Set("WWW-Authenticate", `Bearer realm="outgo"`)
			r.Errors(ctx, 401, "present a valid API key in x-api-key or as a Bearer token")
			return
		}
		if roleOf(caller.Role)&r.Roles == 0 {
			r.Errors(ctx, 403, "a key of role "+caller.Role+" may not do this")
			return
		}
		call.Caller = caller
	}
	status, body, err := r.Do(call)
	if err != nil {
		s.fail(ctx, r, err)
		return
	}
	if r.Method != "GET" && r.Roles != Anyone {
		s.opt.Log.Info("operator", zap.String("by", call.Caller.Name), zap.String("role", call.Caller.Role),
			zap.String("method", r.Method), zap.String("route", r.Path), zap.String("id", call.Param("id")), zap.Int("status", status))
	}
	ctx.SetStatusCode(status)
	if body == nil {
		return
	}
	Render(ctx, body)
}

// fail renders what a caller may know of an error. One without a Kind is
// internal: it is logged and not shown.
func (s *Server) fail(ctx *fasthttp.RequestCtx, r *Route, err error) {
	status := StatusOf(err)
	message := err.Error()
	if status == 500 || errors.Is(err, spend.Unavailable) {
		s.opt.Log.Error("api call failed", zap.String("path", r.Path), zap.Error(err))
		message = "outgo cannot answer this now; its log says why"
	}
	r.Errors(ctx, status, message)
}

// StatusOf is the HTTP status of an error's Kind.
func StatusOf(err error) int {
	var k spend.Kind
	if !errors.As(err, &k) {
		return 500
	}
	switch k {
	case spend.Invalid:
		return 400
	case spend.Unauthenticated:
		return 401
	case spend.Forbidden, spend.Refused:
		return 403
	case spend.NotFound:
		return 404
	case spend.InvalidState, spend.Conflict, spend.Lapsed:
		return 409
	case spend.Unavailable, spend.Unknown:
		return 503
	}
	return 500
}

// match compares a route's path with a request's, segment by segment.
func match(pattern, path string) (map[string]string, bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	var params map[string]string
	for i, w := range want {
		if strings.HasPrefix(w, "{") {
			if got[i] == "" {
				return nil, false
			}
			if params == nil {
				params = make(map[string]string, 1)
			}
			params[strings.Trim(w, "{}")] = got[i]
		} else if w != got[i] {
			return nil, false
		}
	}
	return params, true
}

func (s *Server) authenticate(ctx *fasthttp.RequestCtx) (Caller, error) {
	if s.opt.Local {
		return Caller{engine.Actor{Name: "local operator", Role: "admin"}}, nil
	}
	secret := string(ctx.Request.Header.Peek("x-api-key"))
	if secret == "" {
		secret, _ = strings.CutPrefix(string(ctx.Request.Header.Peek("Authorization")), "Bearer ")
	}
	k, err := s.opt.Engine.Authenticate(s.opt.Digest(secret))
	if err != nil {
		return Caller{}, err
	}
	return Caller{engine.Actor{Name: k.Prefix, Agent: k.Agent, Role: k.Role}}, nil
}

func roleOf(role string) Roles {
	switch role {
	case "agent":
		return Agent
	case "approver":
		return Approver
	case "admin":
		return Admin
	}
	return 0
}
