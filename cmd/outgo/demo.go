package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/rails/stripe/sandbox"
)

// demoPolicy is the policy of the demo, as one would write it in outgo.yaml.
const demoPolicy = `policies:
  - name: small purchases
    unit: USD
    maxSingleAmount: 10000       # at most $100.00 at a time
    dailyLimit: 20000            # at most $200.00 a day
    requireApprovalOver: 5000    # a person decides over $50.00
    blockedMerchants: [evil.example]
`

func newDemo(opt *options) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See the main job in one go: an agent pays, is refused, and waits for a person",
		Long: `Demo starts a sandbox that stands in for Stripe, the sidecar in front of it, and
a scripted agent that knows of neither: it sets HTTPS_PROXY and calls
https://api.stripe.com. Nothing leaves this machine, and nothing is kept.`,
		Example: "  outgo demo",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := startDemo(c.Context())
			if err != nil {
				return err
			}
			defer d.stop()
			if !opt.json {
				d.introduce(c.OutOrStdout())
			}
			if err := d.play(c.Context()); err != nil {
				return err
			}
			if opt.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(d.acts)
			}
			return d.report(c.OutOrStdout())
		},
	}
}

// A demo is the stage: a provider, a sidecar, and an agent's HTTP client.
type demo struct {
	dir      string
	provider *sandbox.Server
	server   *http.Server
	sidecar  *sidecar
	agent    *http.Client
	acts     []act
}

// An act is one call of the agent and what came of it.
type act struct {
	Call    string `json:"call"`
	Amount  string `json:"amount"`
	Outcome string `json:"outcome"`
	Status  int    `json:"status"`
	Reply   string `json:"reply"`
	Request string `json:"request"`
}

func startDemo(ctx context.Context) (_ *demo, err error) {
	d := &demo{provider: sandbox.New(sandbox.Options{})}
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	if d.dir, err = os.MkdirTemp("", "outgo-demo-"); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.server = &http.Server{Handler: d.provider, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = d.server.Serve(ln) }() // ends with stop

	file := d.dir + "/outgo.yaml"
	text := fmt.Sprintf("data_dir: %s/data\nagent: demo-agent\nlisten: {proxy: \"127.0.0.1:0\", control: \"127.0.0.1:0\"}\n"+
		"upstreams:\n  api.stripe.com: {url: \"http://%s\"}\n%s", d.dir, ln.Addr(), demoPolicy)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cfg, err := config.Load(config.Source{File: file})
	if err != nil {
		return nil, err
	}
	if d.sidecar, err = startSidecar(ctx, cfg, zap.NewNop(), "run"); err != nil {
		return nil, err
	}
	d.agent, err = agentClient(d.sidecar.about.Proxy, d.sidecar.authority.Certificate())
	return d, err
}

// agentClient is an HTTP client as an agent would have it: a proxy and a trusted
// authority from its environment, and nothing else of outgo.
func agentClient(proxyAddr string, authority []byte) (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("read authority: no certificate")
	}
	return &http.Client{
		Timeout: 80 * time.Second,
		Transport: &http.Transport{
			Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: proxyAddr}),
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
	}, nil
}

func (d *demo) stop() {
	if d.sidecar != nil {
		d.sidecar.stop()
	}
	if d.server != nil {
		_ = d.server.Close()
	}
	_ = os.RemoveAll(d.dir) // it is a temporary directory of our own
}

func (d *demo) introduce(w io.Writer) {
	fmt.Fprintf(w, `An agent calls https://api.stripe.com through HTTPS_PROXY. outgo reads each call
off the wire and judges it by this policy:

%s
`, indent(demoPolicy))
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ") + "\n"
}

// play runs the script: one call allowed, one denied, one held and approved, and
// one that does not fit into what is left of the day.
func (d *demo) play(ctx context.Context) error {
	if err := d.pay(ctx, "buy credits", 1200, "openai.com"); err != nil {
		return err
	}
	if err := d.pay(ctx, "buy a car", 250000, "cars.example"); err != nil {
		return err
	}
	approved := make(chan error, 1)
	go func() { approved <- d.approve(ctx, "looks right") }()
	if err := d.pay(ctx, "buy a licence", 9900, "jetbrains.com"); err != nil {
		return err
	}
	if err := <-approved; err != nil {
		return err
	}
	return d.pay(ctx, "buy it again", 9900, "jetbrains.com")
}

// pay is the agent's part: a plain call to Stripe.
func (d *demo) pay(ctx context.Context, what string, cents int, merchant string) error {
	form := url.Values{
		"amount": {fmt.Sprint(cents)}, "currency": {"usd"}, "confirm": {"true"}, "payment_method": {"pm_card_visa"},
		"payment_method_types[]": {"card"}, "description": {what}, "metadata[merchant]": {merchant},
	}
	req, err := http.NewRequestWithContext(ctx, "POST", "https://api.stripe.com/v1/payment_intents", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer sk_test_demo")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Idempotency-Key", "demo-"+fmt.Sprint(len(d.acts)))
	start := time.Now()
	resp, err := d.agent.Do(req)
	if err != nil {
		return fmt.Errorf("the agent's call: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end, or the error says so
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("the agent's call: %w", err)
	}
	var reply struct {
		ID, Status string
		Error      struct{ Code, Message string }
	}
	if err := json.Unmarshal(bytes.TrimSpace(body), &reply); err != nil {
		return fmt.Errorf("the agent's call: status %d: %w", resp.StatusCode, err)
	}
	a := act{
		Call: what + " at " + merchant, Amount: fmt.Sprintf("$%d.%02d", cents/100, cents%100), Status: resp.StatusCode,
		Outcome: "allowed", Reply: reply.ID + " " + reply.Status,
	}
	switch {
	case resp.StatusCode != 200:
		a.Outcome, a.Reply, a.Request = "denied", reply.Error.Message, resp.Header.Get("Outgo-Request")
	case time.Since(start) > time.Second:
		a.Outcome = "held " + time.Since(start).Round(time.Second).String() + ", approved"
	}
	d.acts = append(d.acts, a)
	return nil
}

// approve is the person's part: it waits for a held call, thinks, and approves.
func (d *demo) approve(ctx context.Context, note string) error {
	eng := d.sidecar.ledger.engine
	for range 200 {
		page, err := eng.Requests(ctx, engine.Filter{Held: true})
		if err != nil {
			return err
		}
		if len(page.Requests) > 0 {
			time.Sleep(2 * time.Second)
			_, err := eng.Resolve(ctx, page.Requests[0].ID, engine.Actor{Name: "the demo's operator", Role: "approver"}, true, note)
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("no call was held within 10 seconds")
}

func (d *demo) report(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "THE AGENT'S CALL\tAMOUNT\tOUTCOME\tSTATUS")
	for _, a := range d.acts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\n", a.Call, a.Amount, a.Outcome, a.Status)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, "\nWhat the agent got each time, in Stripe's own format:\n")
	for i, a := range d.acts {
		fmt.Fprintf(w, "  %d. %s\n", i+1, a.Reply)
	}
	page, err := d.sidecar.ledger.engine.Requests(context.Background(), engine.Filter{})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nThe ledger holds %d spend requests, each with its verdict and, where money moved, Stripe's receipt.\n", len(page.Requests))
	fmt.Fprintf(w, "The provider executed %d payments, %d cents in all.\n", d.provider.Count(), d.provider.Moved()["usd"])
	fmt.Fprint(w, `
Where to look next:
  outgo run -- node agent.mjs    guard an agent of your own
  outgo explain < request.http   what outgo sees in a call, without sending it
  outgo approvals watch          the person's side
  README.md                      policies, containers, and what is refused
`)
	return nil
}
