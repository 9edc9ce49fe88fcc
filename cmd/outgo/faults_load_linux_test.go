package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// A counter stands in for Stripe and counts what reaches it by order: payments, and
// the repeats of one that it recognises by their key, which are not payments.
type counter struct {
	url  string
	bank *sandbox.Server
	// padding begins each reply, which is an object; it is hard to compress.
	padding []byte

	mu       sync.Mutex
	arrived  map[string]int    // by order, without repeats
	repeated map[string]int    // by order
	paid     map[string]string // order to PaymentIntent
}

func newCounter(t *testing.T) *counter {
	c := &counter{bank: sandbox.New(sandbox.Options{}), arrived: make(map[string]int), repeated: make(map[string]int), paid: make(map[string]string)}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

// member is the beginning of a JSON object with a member of n characters.
func member(n int) []byte {
	b := []byte(`{"padding":"`)
	for range n {
		b = append(b, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[rand.IntN(64)])
	}
	return append(b, `",`...)
}

// ServeHTTP executes a payment, then takes its time to answer.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		c.bank.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	if err != nil || form.Get("metadata[merchant]") == "" {
		http.Error(w, `{"error":{"type":"api_error","message":"not an order"}}`, http.StatusInternalServerError)
		return
	}
	order := form.Get("metadata[merchant]")
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	answer := httptest.NewRecorder()
	c.bank.ServeHTTP(answer, r)
	c.note(order, answer)
	time.Sleep(rand.N(3 * time.Millisecond)) // the process may end while it waits
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	reply := answer.Body.Bytes()
	if len(c.padding) > 0 {
		reply = append(slices.Clip(c.padding), reply[1:]...)
	}
	_, _ = w.Write(reply)
}

func (c *counter) note(order string, answer *httptest.ResponseRecorder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer.Header().Get("Idempotent-Replayed") != "" {
		c.repeated[order]++
		return
	}
	c.arrived[order]++
	var intent struct{ ID string }
	if json.Unmarshal(answer.Body.Bytes(), &intent) == nil && answer.Code == http.StatusOK {
		c.paid[order] = intent.ID
	}
}

// repeats returns how often an order has come again after it was paid.
func (c *counter) repeats(order string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.repeated[order]
}

// of returns how often an order has arrived, and the payment that it became.
func (c *counter) of(order string) (arrived int, paid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arrived[order], c.paid[order]
}

// An answer is what an agent was told about one order.
type answer struct {
	order, agent string
	cents        int
	status       int    // 0 when the connection broke
	code         string // of outgo's own answers
	decision     string
	message      string
	paid         string // the PaymentIntent
}

// open reports whether the agent does not know what became of its order.
func (a *answer) open() bool { return a.status == 0 || a.decision == "unknown" }

// purse makes the payments of one agent.
type purse struct {
	agent  string
	client *http.Client
}

func newPurse(t *testing.T, d *daemon, agent string) *purse {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(d.data, "ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("the authority's file holds no certificate")
	}
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: d.proxy, User: url.UserPassword(agent, token(agent))}),
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &purse{agent, &http.Client{Transport: transport, Timeout: 20 * time.Second}}
}

// pay sends one order once. The order is its idempotency key, and the merchant by
// which the ledger knows it.
func (p *purse) pay(order string, cents int) answer {
	a := answer{order: order, agent: p.agent, cents: cents}
	form := url.Values{
		"amount": {fmt.Sprint(cents)}, "currency": {"usd"}, "confirm": {"true"}, "metadata[merchant]": {order},
		"payment_method": {"pm_card_visa"}, "payment_method_types[]": {"card"},
	}
	req, err := http.NewRequest("POST", "https://api.stripe.com/v1/payment_intents", strings.NewReader(form.Encode()))
	if err != nil {
		return a
	}
	req.Header.Set("Authorization", "Bearer sk_test_x")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Idempotency-Key", order)
	req.GetBody = nil // the transport must not send it again by itself
	resp, err := p.client.Do(req)
	if err != nil {
		return a
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return a
	}
	var said struct {
		ID    string
		Error struct{ Message string }
	}
	if json.Unmarshal(body, &said) != nil {
		return a
	}
	a.status, a.paid, a.message = resp.StatusCode, said.ID, said.Error.Message
	a.code, a.decision = resp.Header.Get("Outgo-Code"), resp.Header.Get("Outgo-Decision")
	return a
}

// read asks the provider for a payment that there is not.
func (p *purse) read() (status int, err error) {
	req, err := http.NewRequest("GET", "https://api.stripe.com/v1/payment_intents/pi_none", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer sk_test_x")
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, err
}

// A crowd is several agents that pay until they are told to stop.
type crowd struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu   sync.Mutex
	told []answer
}

// load starts a crowd: two clients of a tight agent, which is another one every five
// rounds, the others of the wide one.
// Orders are named after the round. A broken connection is where an agent would
// restart, so each client stops at its first.
func load(t *testing.T, d *daemon, round, clients int) *crowd {
	t.Helper()
	c := &crowd{stop: make(chan struct{})}
	for w := range clients {
		p := newPurse(t, d, "wide")
		if w < 2 {
			p = newPurse(t, d, fmt.Sprint("tight", round/5))
		}
		c.wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-c.stop:
					return
				default:
				}
				a := p.pay(fmt.Sprintf("o%d-%d-%d.example", round, w, n), 100)
				c.mu.Lock()
				c.told = append(c.told, a)
				c.mu.Unlock()
				if a.status == 0 {
					return
				}
			}
		})
	}
	return c
}

// end stops the crowd and returns what it was told.
func (c *crowd) end() []answer {
	close(c.stop)
	c.wg.Wait()
	return c.told
}

// count is how many answers the crowd has had.
func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.told)
}
