package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/proxy/ca"
	"github.com/outgo/outgo/proxy/dial"
	"github.com/outgo/outgo/rails"
	"github.com/outgo/outgo/rails/stripe"
	"github.com/outgo/outgo/rails/stripe/sandbox"
	"github.com/outgo/outgo/tokens/seal"
)

// A moment is a step in the life of one payment at which a test can stop it.
type moment string

// The moments, in their order.
const (
	connected      moment = "connected, before TLS"
	handshaking    moment = "in the TLS handshake"
	headSent       moment = "head partly sent"
	bodySent       moment = "body partly sent"
	judged         moment = "judged"
	lookedUp       moment = "looking up"
	authorizing    moment = "authorize, before its commit"
	authorized     moment = "authorize, after its commit"
	waiting        moment = "held, waiting"
	approved       moment = "approved"
	beginning      moment = "begin, before its commit"
	begun          moment = "begin, after its commit"
	dialing        moment = "dialing upstream"
	partlyWritten  moment = "request partly written"
	written        moment = "request written"
	executed       moment = "executed upstream"
	replyHead      moment = "reply head partly read"
	replyBody      moment = "reply body partly read"
	settling       moment = "settle, before its commit"
	settled        moment = "settle, after its commit"
	answeredPartly moment = "reply partly written to the agent"
	answered       moment = "reply written to the agent"
)

// stopper stops the first to come to a moment, once it is armed.
type stopper struct {
	at      moment
	armed   atomic.Bool
	reached chan struct{} // closed when somebody has come
	release chan struct{} // closed when they may go on
	once    sync.Once
}

func newStopper(at moment) *stopper {
	return &stopper{at: at, reached: make(chan struct{}), release: make(chan struct{})}
}

func (s *stopper) pass(m moment) {
	if m == s.at && s.armed.CompareAndSwap(true, false) {
		close(s.reached)
		<-s.release
	}
}

func (s *stopper) goOn() { s.once.Do(func() { close(s.release) }) }

// bank is Stripe's sandbox behind a socket that can fail at any byte. It outlives
// the crash of a stage.
type bank struct {
	*sandbox.Server
	stop  *stopper
	fault atomic.Value // what happens once the stopper goes on: "", "reset", "close" or "silence"
	http  *httptest.Server
	posts atomic.Int64 // writes that have arrived
	pad   atomic.Int64 // bytes of space behind each reply

	mu     sync.Mutex
	silent []net.Conn
}

func newBank(t *testing.T, stop *stopper) *bank {
	b := &bank{Server: sandbox.New(sandbox.Options{}), stop: stop}
	b.fault.Store("")
	b.http = httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	b.http.Listener = bankListener{b.http.Listener, b}
	b.http.Start()
	t.Cleanup(b.close)
	return b
}

// close ends the bank; nobody can be paid any more.
func (b *bank) close() {
	b.mu.Lock()
	for _, c := range b.silent {
		_ = c.Close()
	}
	b.silent = nil
	b.mu.Unlock()
	b.stop.goOn()
	b.http.CloseClientConnections()
	b.http.Close()
}

type bankListener struct {
	net.Listener
	b *bank
}

func (l bankListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &bankConn{Conn: c, b: l.b}, nil
}

// bankConn stops after the first bytes of a request.
type bankConn struct {
	net.Conn
	b *bank
}

func (c *bankConn) Read(p []byte) (int, error) {
	if c.b.stop.at == partlyWritten && c.b.stop.armed.Load() {
		n, err := c.Conn.Read(p[:min(len(p), 16)])
		if bytes.HasPrefix(p[:n], []byte("POST")) {
			c.b.stop.pass(partlyWritten)
			if c.b.breaks(c.Conn) {
				return 0, net.ErrClosed
			}
		}
		return n, err
	}
	return c.Conn.Read(p)
}

// breaks does to c what the fault says, and reports whether there was one.
func (b *bank) breaks(c net.Conn) bool {
	if w, ok := c.(*bankConn); ok {
		c = w.Conn
	}
	switch b.fault.Swap("") {
	case "reset":
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	case "close":
		_ = c.Close()
	case "silence":
		b.mu.Lock()
		b.silent = append(b.silent, c)
		b.mu.Unlock()
	default:
		return false
	}
	return true
}

func (b *bank) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		b.posts.Add(1)
	}
	if r.Method != http.MethodPost || !b.stop.armed.Load() {
		if strings.HasPrefix(r.URL.Path, "/v1/payment_intents/") {
			b.stop.pass(lookedUp)
			if b.fault.Load() != "" {
				c, _, err := http.NewResponseController(w).Hijack()
				if err == nil && b.breaks(c) {
					return
				}
			}
		}
		b.ServeHTTP(w, r)
		_, _ = w.Write(bytes.Repeat([]byte{' '}, int(b.pad.Load())))
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	b.stop.pass(written)
	if b.breaks(c) {
		return
	}
	seen := httptest.NewRecorder()
	b.ServeHTTP(seen, r)
	b.stop.pass(executed)
	if b.breaks(c) {
		return
	}
	var raw bytes.Buffer
	resp := seen.Result()
	resp.ContentLength, resp.Close = int64(seen.Body.Len()), true
	_ = resp.Write(&raw)
	head := bytes.Index(raw.Bytes(), []byte("\r\n\r\n"))
	at := 0
	for _, part := range []struct {
		m   moment
		end int
	}{{replyHead, 20}, {replyBody, head + 40}, {"", raw.Len()}} {
		_, _ = c.Write(raw.Bytes()[at:part.end])
		at = part.end
		b.stop.pass(part.m)
		if b.breaks(c) {
			return
		}
	}
	_ = c.Close()
}

// stopGate stops around each of the engine's commits.
type stopGate struct {
	*engine.Engine
	stop *stopper
}

func (g stopGate) Authorize(ctx context.Context, in spend.Intent) (spend.Ruling, error) {
	g.stop.pass(authorizing)
	r, err := g.Engine.Authorize(ctx, in)
	g.stop.pass(authorized)
	return r, err
}

func (g stopGate) Wait(ctx context.Context, id spend.ID) (spend.Ruling, error) {
	g.stop.pass(waiting)
	r, err := g.Engine.Wait(ctx, id)
	if r.Next == spend.Begin {
		g.stop.pass(approved)
	}
	return r, err
}

func (g stopGate) Begin(ctx context.Context, id spend.ID, in spend.Intent) (spend.Ruling, error) {
	g.stop.pass(beginning)
	r, err := g.Engine.Begin(ctx, id, in)
	g.stop.pass(begun)
	return r, err
}

func (g stopGate) Finish(ctx context.Context, id spend.ID, o spend.Outcome) error {
	g.stop.pass(settling)
	err := g.Engine.Finish(ctx, id, o)
	g.stop.pass(settled)
	return err
}

// stopRail stops when a call has been read whole.
type stopRail struct {
	*stripe.Rail
	stop *stopper
}

func (r stopRail) Intent(c *rails.Call, facts []rails.Fact) (rails.Judgement, error) {
	j, err := r.Rail.Intent(c, facts)
	if err == nil && len(j.Lookups) == 0 {
		r.stop.pass(judged)
	}
	return j, err
}

// stopStore is a store that fails once when it is told to.
type stopStore struct {
	store.Store
	fail atomic.Int32
}

// How a store fails.
const (
	definite  = 1 // nothing was committed
	uncertain = 2 // it was, and the store cannot tell
)

// Reopen implements engine.Reopener: there is nothing to lose in memory.
func (s *stopStore) Reopen(context.Context) error { return nil }

func (s *stopStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	switch s.fail.Swap(0) {
	case definite:
		return errors.New("no space left on device")
	case uncertain:
		if err := s.Store.Update(ctx, fn); err != nil {
			return err
		}
		return fmt.Errorf("sync log: %w", store.ErrUnknown)
	}
	return s.Store.Update(ctx, fn)
}

// stopResolver stops before the provider is dialled, and may fail then.
type stopResolver struct {
	stop *stopper
	down *atomic.Bool
}

func (r stopResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	r.stop.pass(dialing)
	if r.down.Swap(false) {
		return nil, fmt.Errorf("no such host")
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// stageTimes is how long outgo waits on a stage.
type stageTimes struct {
	held  time.Duration // for a person
	reply time.Duration // for the provider
}

// unhurried waits longer than any test needs, on a machine however slow.
var unhurried = stageTimes{held: 10 * time.Second, reply: 20 * time.Second}

// stage is outgo whole, with a bank: the real engine and the real rail.
type stage struct {
	*world
	bank   *bank
	stop   *stopper
	store  *stopStore
	engine *engine.Engine
	down   atomic.Bool  // the bank's name does not resolve, once
	ahead  atomic.Int64 // by how much outgo's clock is ahead, in nanoseconds
}

func (s *stage) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// newStage starts outgo on what a store holds.
func newStage(t *testing.T, b *bank, stop *stopper, db store.Store, wait stageTimes) *stage {
	t.Helper()
	s := &stage{bank: b, stop: stop, store: &stopStore{Store: db}}
	var err error
	if s.engine, err = engine.Open(context.Background(), engine.Options{Store: s.store, Sealer: seal.FromBytes([32]byte{1}), Clock: s.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.engine.Close)
	_, err = s.engine.SyncPolicies(context.Background(), []policy.Policy{{
		Name: "default", Unit: "USD", Active: true, Daily: spend.NewAmount("USD", 50000), RequireApprovalOver: spend.NewAmount("USD", 5000),
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(b.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.world = newWorld(t, func(o *proxy.Options) {
		authority, err := ca.Load(ca.Options{Dir: t.TempDir(), Names: []string{"api.stripe.com"}, Constrain: true})
		if err != nil {
			t.Fatal(err)
		}
		o.Authority, o.Gate = authority, stopGate{s.engine, stop}
		o.Routes = []proxy.Route{{Rail: stopRail{stripe.New(stripe.Options{}), stop}, Hosts: []string{"api.stripe.com"}, Wait: wait.held}}
		o.Upstreams = map[string]proxy.Upstream{"api.stripe.com": {URL: "http://localhost:" + port}}
		o.Dialer = dial.New(dial.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Resolver: stopResolver{stop, &s.down}})
		o.Timeouts.Reply, o.Clock = wait.reply, s.now
	})
	t.Cleanup(stop.goOn)
	return s
}

func memory(t *testing.T) store.Store {
	t.Helper()
	db, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// crash starts outgo anew on what is durable at this instant; of the stage as it
// was nothing more is seen but what it does to the bank.
func (s *stage) crash(t *testing.T) *stage {
	t.Helper()
	ctx, after := context.Background(), memory(t)
	err := s.store.View(ctx, func(r store.Reader) error {
		for from := ""; ; {
			page, err := r.Scan("", from, false, 500)
			if err != nil || len(page) == 0 {
				return err
			}
			from = page[len(page)-1].Key
			err = after.Update(ctx, func(tx store.Tx) error {
				for _, e := range page {
					if err := tx.Put(e.Key, e.Value); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return newStage(t, s.bank, newStopper(""), after, unhurried)
}

// approve approves whatever is held until the test ends.
func (s *stage) approve(t *testing.T) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			if page, err := s.engine.Requests(context.Background(), engine.Filter{Held: true}); err == nil {
				for _, r := range page.Requests {
					_, _ = s.engine.Resolve(context.Background(), r.ID, engine.Actor{Name: "boss", Role: "approver"}, true, "") // it may be decided by now
				}
			}
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() { close(done); ended.Wait() })
}
