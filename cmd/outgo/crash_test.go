package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// A branch is Stripe's sandbox behind a socket. It stops once, at one point of the
// first payment, for the test to kill outgo there, and then goes on for itself: what
// has reached a provider is carried out, whether or not anybody still listens.
type branch struct {
	*sandbox.Server
	url     string
	at      string
	armed   atomic.Bool
	reached chan struct{}
	release chan struct{}
	once    sync.Once
}

// The points, in their order.
const (
	unread     = "the request is on the wire"
	arrived    = "the request has arrived"
	carriedOut = "the payment is made"
	headBegun  = "the reply's head is on the wire in part"
	bodyBegun  = "the reply's body is on the wire in part"
	replied    = "the reply is on the wire whole"
)

func newBranch(t *testing.T, at string) *branch {
	t.Helper()
	b := &branch{Server: sandbox.New(sandbox.Options{}), at: at, reached: make(chan struct{}), release: make(chan struct{})}
	b.armed.Store(true)
	up := httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	up.Listener = branchListener{up.Listener, b}
	up.Start()
	b.url = up.URL
	t.Cleanup(func() { b.goOn(); up.CloseClientConnections(); up.Close() })
	return b
}

func (b *branch) goOn() { b.once.Do(func() { close(b.release) }) }

func (b *branch) pass(point string) {
	if point == b.at && b.armed.CompareAndSwap(true, false) {
		close(b.reached)
		<-b.release
	}
}

type branchListener struct {
	net.Listener
	b *branch
}

func (l branchListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return branchConn{c, l.b}, nil
}

type branchConn struct {
	net.Conn
	b *branch
}

func (c branchConn) Read(p []byte) (int, error) {
	c.b.pass(unread)
	return c.Conn.Read(p)
}

func (b *branch) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		b.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	b.pass(arrived)
	seen := httptest.NewRecorder()
	b.ServeHTTP(seen, r)
	b.pass(carriedOut)
	var raw bytes.Buffer
	resp := seen.Result()
	resp.ContentLength, resp.Close = int64(seen.Body.Len()), true
	_ = resp.Write(&raw)
	at := 0
	for _, part := range []struct {
		point string
		end   int
	}{{headBegun, 20}, {bodyBegun, bytes.Index(raw.Bytes(), []byte("\r\n\r\n")) + 40}, {replied, raw.Len()}} {
		_, _ = c.Write(raw.Bytes()[at:part.end])
		at = part.end
		b.pass(part.point)
	}
}

// A door passes connections on to an address, and waits for somebody to serve there
// for as long as a restart may take: the SDKs try again twice within two seconds.
func newDoor(t *testing.T, to string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go passOn(c, to)
		}
	}()
	return ln.Addr().String()
}

func passOn(c net.Conn, to string) {
	defer c.Close()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s, err := net.Dial("tcp", to)
		if err != nil {
			continue
		}
		defer s.Close()
		go func() {
			_, _ = io.Copy(s, c)
			_ = s.Close()
		}()
		_, _ = io.Copy(c, s)
		return
	}
}

// An unmodified program pays, outgo is killed with SIGKILL while the payment is with
// the provider, and starts again: the SDK's own retry is told what became of the
// payment, which is made once.
func TestAProgramOutlivesAKilledOutgo(t *testing.T) {
	for _, p := range programs() {
		argv := p.argv(t)
		points := []string{unread, arrived, carriedOut, headBegun, bodyBegun, replied}
		if p.name != "stripe-node" {
			points = []string{arrived, headBegun, replied} // what outgo makes of the others does not depend on the program
		}
		for _, at := range points {
			t.Run(p.name+", killed when "+at, func(t *testing.T) {
				t.Parallel()
				b := newBranch(t, at)
				d := newService(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: shop, unit: USD, maxSingleAmount: 10000, dailyLimit: 50000}]
`, b.url))
				d.door = newDoor(t, d.proxy)
				agent := d.live(argv, 1200)
				select {
				case <-b.reached:
				case <-agent.done:
					t.Fatalf("the agent got %+v before anything was sent", agent.result())
				case <-time.After(30 * time.Second):
					t.Fatal("nothing was sent")
				}
				d.kill()
				b.goOn()
				d.start()
				r := agent.result()
				all := d.ledger()
				if len(all) != 1 {
					t.Fatalf("the ledger says %+v, want one request", all)
				}
				if at == unread && b.Count() == 0 {
					// Whether outgo had written to the connection is its secret.
					if r.OK || !strings.Contains(r.Message, "OUTCOME_UNKNOWN") || all[0].State != "executing" {
						t.Errorf("the agent got %+v, the ledger says %s; want an unknown outcome", r, all[0].State)
					}
				} else if b.Count() != 1 || b.Moved()["usd"] != 1200 || !r.OK || r.Amount != 1200 || all[0].State != "settled" {
					t.Errorf("the provider made %d payments, the agent got %+v, the ledger says %s; want one payment of 1200", b.Count(), r, all[0].State)
				}
				t.Logf("%-34s killed when %-40s executed %d, the agent got %s%s, the ledger says %s", p.name, at, b.Count(), r.Status, r.Code, all[0].State)
			})
		}
	}
}

// A payment whose bytes never left is told to be of unknown outcome after a crash,
// which nobody can tell from one that did leave; it stays counted, and is not sent.
func TestAKillBeforeTheFirstByteIsToldAsUnknown(t *testing.T) {
	for _, p := range programs() {
		argv := p.argv(t)
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			provider := sandbox.New(sandbox.Options{})
			up, caFile, hold := stallingProvider(t, provider)
			d := newService(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q, ca_file: %q, server_name: api.stripe.com}}
policies: [{name: shop, unit: USD, maxSingleAmount: 10000, dailyLimit: 50000}]
`, up, caFile))
			d.door = newDoor(t, d.proxy)
			agent := d.live(argv, 1200)
			select {
			case <-hold.reached: // outgo waits for TLS
			case <-time.After(30 * time.Second):
				t.Fatal("the provider was not called")
			}
			d.kill()
			hold.goOn()
			d.start()
			r := agent.result()
			if provider.Count() != 0 {
				t.Errorf("the provider made %d payments", provider.Count())
			}
			if r.OK || r.StatusCode != 403 || p.codeKept && r.Code != "outcome_unknown" || !strings.Contains(r.Message, "OUTCOME_UNKNOWN") {
				t.Errorf("the agent got %+v", r)
			}
			if all := d.ledger(); len(all) != 1 || all[0].State != "executing" {
				t.Errorf("the ledger says %+v, want one executing request", all)
			}
		})
	}
}

// stallingProvider is a provider over TLS whose first handshake stalls.
func stallingProvider(t *testing.T, h http.Handler) (address, caFile string, hold *branch) {
	t.Helper()
	hold = &branch{at: unread, reached: make(chan struct{}), release: make(chan struct{})}
	hold.armed.Store(true)
	address, caFile = tlsProvider(t, h, "api.stripe.com")
	to := strings.TrimPrefix(address, "https://")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hold.goOn(); _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { hold.pass(unread); passOn(c, to) }()
		}
	}()
	return "https://" + ln.Addr().String(), caFile, hold
}
