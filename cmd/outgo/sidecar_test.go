package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// loadText loads a configuration whose data directory and listeners are the
// test's own.
func loadText(t *testing.T, text string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "outgo.yaml")
	text = fmt.Sprintf("data_dir: %s/data\nlisten: {proxy: \"127.0.0.1:0\", control: \"127.0.0.1:0\"}\n%s", dir, text)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Source{File: file})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// startTest starts a sidecar that ends with the test.
func startTest(t *testing.T, cfg *config.Config) *sidecar {
	t.Helper()
	s, err := startSidecar(context.Background(), cfg, zap.NewNop(), "serve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// client is an agent's, with connections of its own.
func (s *sidecar) client(t *testing.T) *http.Client {
	t.Helper()
	c, err := agentClient(s.about.Proxy, s.authority.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// pay makes one PaymentIntent and confirms it.
func pay(c *http.Client, cents int64, key string) (status int, header http.Header, body map[string]any, err error) {
	form := url.Values{
		"amount": {fmt.Sprint(cents)}, "currency": {"usd"}, "confirm": {"true"},
		"payment_method": {"pm_card_visa"}, "payment_method_types[]": {"card"},
	}
	req, err := http.NewRequest("POST", "https://api.stripe.com/v1/payment_intents", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer sk_test_x")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, nil, err
	}
	return resp.StatusCode, resp.Header, body, json.Unmarshal(raw, &body)
}

// Ten thousand calls over 64 connections share one budget that holds fewer than
// half of them: what is forwarded is exactly the largest sum that fits, in the
// ledger as in the provider's own count.
func TestTenThousandParallelCallsOnOneBudget(t *testing.T) {
	const calls, workers, cents, limit = 10_000, 64, 7, 30_000
	provider := sandbox.New(sandbox.Options{})
	up := httptest.NewServer(provider)
	t.Cleanup(up.Close)
	s := startTest(t, loadText(t, fmt.Sprintf(`
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: one, unit: USD, dailyLimit: %d}]
`, up.URL, limit)))

	var next, paid, refused atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range workers {
		c := s.client(t)
		wg.Go(func() {
			for i := next.Add(1); i <= calls; i = next.Add(1) {
				status, header, body, err := pay(c, cents, fmt.Sprint("key-", i))
				switch {
				case err != nil:
					t.Error(err)
					return
				case status == 200:
					paid.Add(1)
				case status == 403 && header.Get("Outgo-Code") == string(spend.ExceedsDailyLimit):
					refused.Add(1)
				default:
					t.Errorf("status %d, %v", status, body)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d calls in %s: %d paid, %d refused", calls, time.Since(start).Round(time.Millisecond), paid.Load(), refused.Load())

	const fits = limit / cents
	if paid.Load() != fits || refused.Load() != calls-fits {
		t.Errorf("%d calls were paid and %d refused, want %d and %d", paid.Load(), refused.Load(), fits, calls-fits)
	}
	if n, moved := provider.Count(), provider.Moved()["usd"]; int64(n) != fits || moved != fits*cents {
		t.Errorf("the provider counts %d payments of %d cents in all, want %d of %d", n, moved, fits, fits*cents)
	}
	v, err := s.ledger.engine.Preview(context.Background(), spend.Intent{
		Agent: "default", Rail: "stripe", Class: spend.Spend, Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1)}},
	})
	if err != nil || len(v.Balances) != 1 || v.Balances[0].Used != spend.NewAmount("USD", fits*cents) {
		t.Errorf("the ledger holds %+v, %v; want %d", v.Balances, err, fits*cents)
	}
	settled := 0
	for f := (engine.Filter{State: spend.Settled, Limit: 200}); ; {
		page, err := s.ledger.engine.Requests(context.Background(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Requests {
			if len(r.Receipts) != 1 || r.Receipts[0].Amount != spend.NewAmount("USD", cents) || !strings.HasPrefix(r.Receipts[0].TransactionID, "pi_") {
				t.Fatalf("receipts %+v", r.Receipts)
			}
		}
		settled += len(page.Requests)
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	if settled != fits {
		t.Errorf("%d requests are settled, want %d", settled, fits)
	}
}

// tlsProvider serves h over TLS under an authority of its own and returns its URL
// and the authority's file.
func tlsProvider(t *testing.T, h http.Handler, name string) (address, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	caFile = filepath.Join(t.TempDir(), "upstream-ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv.URL, caFile
}

func TestAProviderOverTLSIsVerified(t *testing.T) {
	provider := sandbox.New(sandbox.Options{})
	address, caFile := tlsProvider(t, provider, "api.stripe.com")
	policies := "policies: [{name: one, unit: USD, maxSingleAmount: 10000}]\n"

	good := startTest(t, loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: {url: %q, ca_file: %q, server_name: api.stripe.com}}\n%s", address, caFile, policies)))
	if status, _, body, err := pay(good.client(t), 1200, "a"); err != nil || status != 200 || body["status"] != "succeeded" {
		t.Fatalf("%d %v %v", status, body, err)
	}
	for name, up := range map[string]string{
		"an unknown authority": fmt.Sprintf("{url: %q, server_name: api.stripe.com}", address),
		"another name":         fmt.Sprintf("{url: %q, ca_file: %q, server_name: api.example.com}", address, caFile),
	} {
		t.Run(name, func(t *testing.T) {
			bad := startTest(t, loadText(t, fmt.Sprintf("upstreams: {api.stripe.com: %s}\n%s", up, policies)))
			status, header, body, err := pay(bad.client(t), 1200, "b")
			if err != nil || status != 503 || header.Get("Outgo-Decision") != "unavailable" {
				t.Errorf("%d %v %v %v", status, header, body, err)
			}
			page, err := bad.ledger.engine.Requests(context.Background(), engine.Filter{State: spend.Failed})
			if err != nil || len(page.Requests) != 1 {
				t.Errorf("%d failed requests, %v; want the one that was not sent", len(page.Requests), err)
			}
		})
	}
	if provider.Count() != 1 {
		t.Errorf("the provider executed %d payments, want 1", provider.Count())
	}
}

// A held call survives the proxy: the retry of the same call after a restart
// attaches to the hold, and completes once approved.
func TestAHoldSurvivesARestartOfTheWholeSidecar(t *testing.T) {
	provider := sandbox.New(sandbox.Options{})
	up := httptest.NewServer(provider)
	t.Cleanup(up.Close)
	cfg := loadText(t, fmt.Sprintf(`
proxy: {hold: {wait: {stripe: 300ms, default: 300ms}}}
upstreams: {api.stripe.com: {url: %q}}
policies: [{name: one, unit: USD, requireApprovalOver: 100}]
`, up.URL))
	first, err := startSidecar(context.Background(), cfg, zap.NewNop(), "serve")
	if err != nil {
		t.Fatal(err)
	}
	status, header, body, err := pay(first.client(t), 500, "k")
	if err != nil || status != 429 || header.Get("Outgo-Decision") != "held" || header.Get("Stripe-Should-Retry") != "true" {
		t.Fatalf("%d %v %v %v", status, header, body, err)
	}
	id := header.Get("Outgo-Request")
	first.stop()

	second := startTest(t, cfg)
	status, header, _, err = pay(second.client(t), 500, "k")
	if err != nil || status != 429 || header.Get("Outgo-Request") != id {
		t.Fatalf("after the restart: %d %v %v, want to wait for %s", status, header, err, id)
	}
	if _, err := second.ledger.engine.Resolve(context.Background(), spend.ID(id), engine.Actor{Name: "p", Role: "approver"}, true, ""); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one is a replay
		status, header, body, err = pay(second.client(t), 500, "k")
		if err != nil || status != 200 {
			t.Fatalf("after the approval: %d %v %v %v", status, header, body, err)
		}
	}
	if provider.Count() != 1 {
		t.Errorf("the provider executed %d payments, want 1", provider.Count())
	}
}

func TestTheControlListenerIsOutOfReachThroughTheProxy(t *testing.T) {
	s := startTest(t, loadText(t, ""))
	u, _ := url.Parse("http://" + s.about.Proxy)
	c := &http.Client{Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return u, nil }}, Timeout: 10 * time.Second}
	defer c.CloseIdleConnections()
	resp, err := c.Get("http://" + s.about.Control + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode == 200 {
		t.Error("absolute-form HTTP through the proxy reached the control listener")
	}
	conn, err := net.Dial("tcp", s.about.Proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", s.about.Control, s.about.Control)
	line := make([]byte, 12)
	if _, err := io.ReadFull(conn, line); err != nil || string(line) == "HTTP/1.1 200" {
		t.Errorf("CONNECT to the control listener: %q %v", line, err)
	}
}

func TestTheListenerHandsOutWhatAnAgentNeedsToTrustIt(t *testing.T) {
	s := startTest(t, loadText(t, ""))
	for path, want := range map[string]string{
		"/ca.pem": string(s.authority.Certificate()), "/bundle.pem": string(s.authority.Certificate()),
		"/outgo-preload.cjs": "NODE", "/sitecustomize.py": "import", "/": "/ca.pem",
	} {
		resp, err := http.Get("http://" + s.about.Proxy + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(body), want) || strings.Contains(string(body), "PRIVATE KEY") {
			t.Errorf("%s: %d %.200s", path, resp.StatusCode, body)
		}
	}
	for _, path := range []string{"/ca.key", "/../ca/ca.key", "/api/v1/api-keys"} {
		resp, err := http.Get("http://" + s.about.Proxy + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}
