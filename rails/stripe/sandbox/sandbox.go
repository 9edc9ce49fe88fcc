// Package sandbox is a stand-in for Stripe: the part of the v1 API that moves
// money, with memory. A PaymentIntent that was created can be read, confirmed,
// captured, canceled and refunded; an Idempotency-Key is honoured; errors have
// Stripe's shapes, types and codes. It serves tests, the demo and whoever wants
// to try an agent without a Stripe account.
//
// A call is authenticated, its parameters are parsed (params.go) and checked
// against those that Stripe knows (routes.go), its idempotency key is claimed
// (idempotency.go), it is executed under one lock (payment_intents.go, charges.go,
// refunds.go, balance.go, customers.go), and what moved is written to a ledger
// (ledger.go) and, as Stripe does, to events (events.go). Test cards behave as Stripe's do (cards.go).
//
// Parameters that Stripe takes but that change nothing here are accepted and
// not echoed. Fees, disputes and the clearing of payouts are left out.
package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Version is the Stripe API version whose shapes the sandbox answers in.
const Version = "2026-08-26.dahlia"

// ErrDrop, returned by a hook, cuts the connection without an answer.
var ErrDrop = errors.New("drop the connection")

// Options are the choices of New. The zero value serves.
type Options struct {
	// Clock gives the time of every object; nil for time.Now.
	Clock func() time.Time
	// Seed makes identifiers repeatable; the zero seed draws a random one.
	Seed [32]byte
	// Before runs before a call is executed, after its idempotency key was
	// claimed: nothing has happened yet. It may wait. ErrDrop cuts the connection,
	// an *Error is the answer, any other error is answered as a 500. The key is
	// free again afterwards. Replays and refused calls do not come here.
	Before func(*http.Request) error
	// After runs after a call was executed and its reply kept: money has moved.
	// Its error replaces the reply on the wire, as that of Before does, but the
	// kept reply is what the same key gets next time.
	After func(*http.Request) error
}

// Server is an http.Handler that answers as api.stripe.com. It is safe for
// concurrent use.
type Server struct {
	clock         func() time.Time
	before, after func(*http.Request) error
	routes        []route

	mu       sync.Mutex
	draw     *mathrand.Rand
	accounts map[scope]*account
	keys     map[keyID]*keyUse
	ledger   []Movement
}

var _ http.Handler = (*Server)(nil)

// scope separates what Stripe separates: live from test data, and one acting
// account from another.
type scope struct {
	account string // of Stripe-Account; "" is the platform itself
	live    bool
}

// account is everything that one acting account has in one mode.
type account struct {
	objects map[string]object
	order   []string // identifiers, oldest first
	cards   map[string]card
}

// New makes an empty sandbox.
func New(o Options) *Server {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Seed == [32]byte{} {
		_, _ = rand.Read(o.Seed[:]) // never fails
	}
	s := &Server{
		clock: o.Clock, before: o.Before, after: o.After,
		draw:     mathrand.New(mathrand.NewChaCha8(o.Seed)), //nolint:gosec // identifiers of play money
		accounts: map[scope]*account{},
		keys:     map[keyID]*keyUse{},
	}
	s.routes = routes()
	return s
}

// reply is an answer before it is written.
type reply struct {
	status int
	header map[string]string
	body   []byte
}

// ServeHTTP answers one call. When a hook asks for it, it panics with
// http.ErrAbortHandler, which is how net/http is told to cut a connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := s.id("req_")
	re, err := s.answer(r, id)
	if err != nil {
		if errors.Is(err, ErrDrop) {
			panic(http.ErrAbortHandler)
		}
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Status: http.StatusInternalServerError, Type: "api_error", Message: err.Error()}
		}
		re = e.reply()
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Request-Id", id)
	h.Set("Stripe-Version", first(r.Header.Get("Stripe-Version"), Version))
	for _, echoed := range []string{"Idempotency-Key", "Stripe-Account"} {
		if v := r.Header.Get(echoed); v != "" {
			h.Set(echoed, v)
		}
	}
	for k, v := range re.header {
		h.Set(k, v)
	}
	w.WriteHeader(re.status)
	_, _ = w.Write(re.body) // the client has gone: nobody is left to tell
}

// answer takes a call from its credentials to its reply. An error is a refusal
// (*Error), a wish of a hook, or ErrDrop.
func (s *Server) answer(r *http.Request, requestID string) (reply, error) {
	secret, e := credential(r)
	if e != nil {
		return reply{}, e
	}
	rt, object, e := s.match(r)
	if e != nil {
		return reply{}, e
	}
	p, e := parse(r)
	if e != nil {
		return reply{}, e
	}
	if e = p.known(rt.params); e != nil {
		return reply{}, e
	}
	isList := r.Method == http.MethodGet && object == ""
	if e = p.checkExpand(rt.shape, isList); e != nil {
		return reply{}, e
	}
	sc := scope{account: r.Header.Get("Stripe-Account"), live: strings.Contains(secret, "_live_")}
	use, kept, e := s.claim(r, secret, sc, p, requestID)
	if e != nil {
		return reply{}, e
	}
	if kept != nil {
		return *kept, nil
	}
	done := false
	defer func() {
		if !done {
			s.release(use)
		}
	}()
	if s.before != nil {
		if err := s.before(r); err != nil {
			return reply{}, err
		}
	}
	re, keep := s.execute(rt, &call{s: s, object: object, p: p, scope: sc, requestID: requestID, key: r.Header.Get("Idempotency-Key")})
	if keep {
		s.keep(use, re)
		done = true
	}
	if s.after != nil {
		if err := s.after(r); err != nil {
			return reply{}, err
		}
	}
	return re, nil
}

// call is one authenticated, parsed call under way.
type call struct {
	s      *Server
	a      *account
	scope  scope
	object string // the identifier in the path, if the route has one
	// requestID and key name the call in its events.
	requestID, key string
	p              *params
	now            int64 // Unix seconds
}

// execute runs a call under the lock and says whether its reply is kept for its
// idempotency key: Stripe keeps what began, not what failed validation.
func (s *Server) execute(rt route, c *call) (re reply, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.a = s.accounts[c.scope]
	if c.a == nil {
		c.a = &account{objects: map[string]object{}, cards: map[string]card{}}
		s.accounts[c.scope] = c.a
	}
	c.now = s.clock().Unix()
	v, e := rt.do(c)
	if e != nil {
		return e.reply(), e.Type == "card_error"
	}
	body, err := json.MarshalIndent(c.expand(v), "", "  ")
	if err != nil {
		e = &Error{Status: http.StatusInternalServerError, Type: "api_error", Message: fmt.Sprintf("encode reply: %v", err)}
		return e.reply(), true
	}
	return reply{status: http.StatusOK, body: append(body, '\n')}, true
}

// credential returns the secret API key of a call, sent as a bearer token or as
// the user name of Basic authentication.
func credential(r *http.Request) (string, *Error) {
	key, _, basic := r.BasicAuth()
	if !basic {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "Bearer") {
			key = strings.TrimSpace(token)
		}
	}
	if key == "" {
		return "", invalid(http.StatusUnauthorized, "", "", "You did not provide an API key. You need to provide your API key in the "+
			"Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').")
	}
	for _, prefix := range []string{"sk_test_", "sk_live_", "rk_test_", "rk_live_"} {
		if strings.HasPrefix(key, prefix) {
			return key, nil
		}
	}
	return "", invalid(http.StatusUnauthorized, "", "", "Invalid API Key provided: "+mask(key))
}

// mask shows of a key what Stripe shows: its first characters.
func mask(key string) string {
	n := min(len(key)/2, 8)
	return key[:n] + strings.Repeat("*", len(key)-n)
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// id draws an identifier.
func (s *Server) id(prefix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newID(prefix)
}

// newID is id for those who hold the lock.
func (s *Server) newID(prefix string) string {
	b := make([]byte, 24)
	for i := range b {
		b[i] = alphabet[s.draw.IntN(len(alphabet))]
	}
	return prefix + string(b)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
