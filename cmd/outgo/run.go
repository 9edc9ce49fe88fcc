package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/outgo/outgo/cmd/outgo/shim"
	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

func newRun(opt *options) *cobra.Command {
	var agent string
	var verbose bool
	c := &cobra.Command{
		Use:   "run [flags] -- CMD [ARGS…]",
		Short: "Run a command with its payment calls guarded",
		Long: `Run starts the sidecar in this process (or joins the one that is serving), and
CMD with the environment and shims that send its traffic through it. It forwards
signals, returns CMD's exit status, and prints a summary of what was spent.

CMD runs as the same user, so it could go around the proxy if it tried: this is
cooperative guarding. To contain an agent that might try, run outgo in a container
beside it (see the README).`,
		Example: "  outgo run -- node agent.mjs\n  outgo run --agent billing-bot -- python3 agent.py",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := opt.load()
			if err != nil {
				return err
			}
			if agent == "" {
				agent = cfg.Agent
			}
			g, err := guardFor(c.Context(), cfg, agent, verbose)
			if err != nil {
				return err
			}
			status, err := g.run(c.Context(), args)
			g.summary(os.Stderr)
			g.stop()
			if err != nil {
				return err
			}
			if status != 0 {
				return exitStatus(status)
			}
			return nil
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVar(&agent, "agent", "", "who CMD is, in policies and records (default: agent in the config)")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "log every call to standard error")
	return c
}

// A guard is a sidecar, our own or a daemon's, as one command's traffic uses it.
type guard struct {
	env   []string
	agent string
	since time.Time
	list  func() ([]shownRequest, error)
	stop  func()
}

// guardFor joins the daemon that holds the data directory, or starts a sidecar.
func guardFor(ctx context.Context, cfg *config.Config, agent string, verbose bool) (*guard, error) {
	if ctl := dialControl(filepath.Join(cfg.DataDir, socketFile)); ctl != nil {
		return joinDaemon(cfg, ctl, agent)
	}
	level := zap.WarnLevel
	if verbose {
		level = zap.InfoLevel
	}
	log := newLog().WithOptions(zap.IncreaseLevel(level))
	own := *cfg
	own.Listen.Proxy, own.Listen.Control = "127.0.0.1:0", "127.0.0.1:0"
	s, err := startSidecar(ctx, &own, log, "run")
	if err != nil {
		return nil, err
	}
	token, err := randomToken()
	if err != nil {
		s.stop()
		return nil, err
	}
	s.agents.allow(agent, token)
	g := &guard{agent: agent, since: time.Now(), stop: s.stop}
	g.list = func() ([]shownRequest, error) {
		page, err := s.ledger.engine.Requests(context.Background(), engine.Filter{Agent: agent, Limit: 200})
		return shownFrom(page.Requests), err
	}
	changes, unwatch := s.ledger.engine.Watch()
	go announceHolds(os.Stderr, changes)
	g.stop = func() { unwatch(); s.stop() }
	if g.env, err = environment(cfg, s.about.Proxy, s.about.CA, s.about.Bundle, agent, token); err != nil {
		s.stop()
		return nil, err
	}
	s.banner(os.Stderr)
	return g, nil
}

// announceHolds tells the person at the terminal what waits for them.
func announceHolds(w io.Writer, changes <-chan spend.Request) {
	told := make(map[spend.ID]bool)
	for r := range changes {
		if r.State != spend.Held || told[r.ID] {
			continue
		}
		told[r.ID] = true
		amount := "-"
		if len(r.Intent.Legs) > 0 {
			amount = money(r.Intent.Legs[0].Amount.Decimal(), r.Intent.Legs[0].Amount.Unit())
		}
		fmt.Fprintf(w, "outgo: HELD %s, %s: in another terminal, outgo approvals approve %s --key-file FILE\n", r.Intent.Operation, amount, r.ID)
	}
}

// banner says what a person at the terminal should know before the command runs.
func (s *sidecar) banner(w io.Writer) {
	fmt.Fprintf(w, "outgo: guarding payment calls (cooperative: the command runs as you and could go around)\n")
	if ps, err := s.ledger.engine.Policies(context.Background()); err == nil && len(ps) == 0 {
		fmt.Fprintf(w, "outgo: there is no policy, so every spend is denied (NO_ACTIVE_POLICY); add one under policies: in %s\n", orDefaultFile(s.cfg))
	}
	if s.ledger.engine.Stats().Frozen {
		fmt.Fprintf(w, "outgo: spending is frozen, all of it or in part; `outgo unfreeze` lifts it\n")
	}
	asks := false
	for _, p := range s.cfg.Policies {
		asks = asks || p.RequireApprovalOver != ""
	}
	for _, k := range s.ledger.engine.APIKeys() {
		asks = asks && (k.Role == "agent" || !k.Revoked.IsZero())
	}
	if !asks {
		return
	}
	fmt.Fprintf(w, "outgo: nobody can approve held calls yet: stop this, run `outgo keys create --role approver`, and keep the key outside %s\n", s.cfg.DataDir)
}

func orDefaultFile(cfg *config.Config) string {
	if f := cfg.File(); f != "" {
		return f
	}
	return "outgo.yaml"
}

// joinDaemon uses the daemon's proxy as one more agent, with a key of its own
// for as long as the command runs.
func joinDaemon(cfg *config.Config, ctl *control, agent string) (*guard, error) {
	key, err := findKey(cfg, "")
	if err != nil {
		return nil, fmt.Errorf("an outgo uses %s already, and to join it takes an admin's key: set %s to one; or give this command a data_dir of its own", cfg.DataDir, keyVariable)
	}
	ctl.key = key
	var made shownKey
	if err := ctl.do("POST", "/api-keys", map[string]string{"role": "agent", "agentId": agent}, &made); err != nil {
		return nil, fmt.Errorf("join the outgo that is serving, with an admin's key in %s: %w", keyVariable, err)
	}
	g := &guard{agent: agent, since: time.Now()}
	g.stop = func() {
		// The key dies with the command; were this to fail, the operator can
		// still revoke it, and it only ever spoke for this agent.
		_ = ctl.do("DELETE", "/api-keys/"+made.KeyPrefix, nil, nil)
		ctl.close()
	}
	g.list = func() (rs []shownRequest, err error) {
		q := url.Values{"agentId": {agent}, "limit": {"200"}}
		return rs, ctl.do("GET", "/spend-requests?"+q.Encode(), nil, &rs)
	}
	if g.env, err = environment(cfg, ctl.about.Proxy, ctl.about.CA, ctl.about.Bundle, agent, made.Plaintext); err != nil {
		g.stop()
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "outgo: joined the outgo that is serving on %s as agent %s (cooperative)\n", ctl.about.Proxy, agent)
	return g, nil
}

// environment is the child's: its own, with what sends its traffic through the
// proxy, and without anything of outgo's.
func environment(cfg *config.Config, proxyAddr, caFile, bundle, agent, token string) ([]string, error) {
	paths, err := shim.Write(filepath.Join(cfg.DataDir, "shim"))
	if err != nil {
		return nil, fmt.Errorf("write client shims: %w", err)
	}
	address, err := clientAddress(proxyAddr, agent, token)
	if err != nil {
		return nil, err
	}
	return shim.Environ(shim.Options{
		Proxy: address, CA: caFile, Bundle: bundle,
		NodePreload: paths.NodePreload, PythonDir: paths.PythonDir, Base: os.Environ(),
		Secret: cfg.SecretVariables(),
	}), nil
}

// run starts the command, hands every signal on to it, and returns its status.
func (g *guard) run(ctx context.Context, args []string) (int, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		fmt.Fprintf(os.Stderr, "outgo: %v\n", err)
		return 127, nil // as a shell would
	}
	cmd := exec.CommandContext(ctx, path, args[1:]...) //nolint:gosec // running the named command is the purpose
	cmd.Args[0] = args[0]
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = g.env, os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", args[0], err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			if (sig == os.Interrupt || sig == syscall.SIGQUIT) && term.IsTerminal(int(os.Stdin.Fd())) {
				continue // the terminal has sent it to the command as well
			}
			_ = cmd.Process.Signal(sig) // it may have ended meanwhile
		case err := <-done:
			return statusOf(err)
		}
	}
}

// statusOf is the exit status that a shell would report.
func statusOf(err error) (int, error) {
	var exit *exec.ExitError
	if err == nil {
		return 0, nil
	}
	if !errors.As(err, &exit) {
		return 0, err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}

// summary says what the command spent, tried to spend, and left open.
func (g *guard) summary(w io.Writer) {
	rs, err := g.list()
	if err != nil {
		fmt.Fprintf(w, "outgo: the summary could not be read: %v\n", err)
		return
	}
	count := map[string]int{}
	spent := map[string]spend.Amount{}
	calls := 0
	for _, r := range rs {
		if r.ChangedAt == nil || r.ChangedAt.Before(g.since) {
			continue // an earlier run's
		}
		calls++
		count[r.State]++
		a, err := spend.ParseAmount(r.Unit, strings.Trim(string(r.AmountMinor), `"`))
		if err != nil || (r.State != string(spend.Settled) && r.State != string(spend.Executing)) {
			continue
		}
		if old, ok := spent[a.Unit()]; ok {
			if a, err = old.Add(a); err != nil {
				continue
			}
		}
		spent[a.Unit()] = a
	}
	if calls == 0 {
		fmt.Fprintf(w, "outgo: %s made no payment call\n", g.agent)
		return
	}
	fmt.Fprintf(w, "outgo: %s: %d settled, %d denied, %d held, %d of unknown outcome", g.agent,
		count[string(spend.Settled)], count[string(spend.Denied)], count[string(spend.Held)]+count[string(spend.Authorized)], count[string(spend.Executing)])
	for _, u := range slices.Sorted(maps.Keys(spent)) {
		fmt.Fprintf(w, "; spent %s", money(spent[u].Decimal(), u))
	}
	fmt.Fprintln(w)
}

func randomToken() (string, error) {
	b := make([]byte, 24)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// shownFrom renders requests as the API would.
func shownFrom(rs []spend.Request) []shownRequest {
	out := make([]shownRequest, len(rs))
	for i, r := range rs {
		out[i] = shownRequest{ID: string(r.ID), State: string(r.State), ChangedAt: &rs[i].Changed}
		if len(r.Intent.Legs) > 0 {
			a := r.Intent.Legs[0].Amount
			out[i].AmountMinor, out[i].Unit = json.RawMessage(a.Decimal()), a.Unit()
		}
	}
	return out
}
