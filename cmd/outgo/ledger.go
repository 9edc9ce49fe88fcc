package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/api"
	"github.com/outgo/outgo/engine/api/pinti"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens"
	"github.com/outgo/outgo/tokens/seal"
)

// A ledger is an open data directory: the sealing key, the store and the engine
// over it.
type ledger struct {
	seal   *seal.Key
	store  store.Store
	engine *engine.Engine
}

// listeners are told of what happens in an open ledger. Each may be nil.
type listeners struct {
	flagged func(engine.Flagged) // an anomaly
	alarm   func(error)          // what an operator must know
}

// openLedger opens the data directory of cfg, making it where it is missing, and
// brings the policies in the store up to the file's.
func openLedger(ctx context.Context, cfg *config.Config, tell listeners) (*ledger, error) {
	if err := supported(cfg); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make data_dir: %w", err)
	}
	dir := filepath.Join(cfg.DataDir, "ledger")
	if err := keyNotLost(dir, cfg.SealFile()); err != nil {
		return nil, err
	}
	key, err := seal.Load(cfg.SealFile())
	if err != nil {
		return nil, fmt.Errorf("read sealing key: %w", err)
	}
	st, err := openStore(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("open ledger in %s: %w", cfg.DataDir, err)
	}
	eng, err := engine.Open(ctx, engineOptions(cfg, st, key, tell))
	if err != nil {
		_ = st.Close() // the first error is the one to report
		return nil, err
	}
	l := &ledger{seal: key, store: st, engine: eng}
	if err := l.syncPolicies(ctx, cfg); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// lockWait is how long to wait for a command that has the ledger open for a
// moment.
const lockWait = 3 * time.Second

// openStore opens the store in dir. It waits a moment for whoever holds it to be
// done, and then fails with badgerstore.ErrLocked.
func openStore(ctx context.Context, dir string) (store.Store, error) {
	for deadline := time.Now().Add(lockWait); ; {
		st, err := badgerstore.Open(badgerstore.Options{Dir: dir})
		if err == nil {
			return st, nil
		}
		if !errors.Is(err, badgerstore.ErrLocked) || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// keyNotLost refuses a ledger whose sealing key is gone: a new key would open
// nothing of what it holds, and no API key would be known any more.
func keyNotLost(dir, keyFile string) error {
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST")); err != nil {
		return nil // there is no ledger yet
	}
	if _, err := os.Stat(keyFile); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the ledger in %s is sealed with the key in %s, which is gone: restore that file from your backup, or move the ledger away to start anew", dir, keyFile)
	}
	return nil
}

// supported refuses settings that this version understands but does not act on:
// one that protects nothing must not look as if it did.
func supported(cfg *config.Config) error {
	var errs []error
	refuse := func(set bool, field, what string) {
		if set {
			errs = append(errs, cfg.Problem(field, "this version of outgo does not "+what, "take it out"))
		}
	}
	refuse(strings.HasPrefix(cfg.Store, "postgres"), "store", "keep its ledger in PostgreSQL")
	refuse(cfg.Listen.Transparent != "", "listen.transparent", "take in redirected connections")
	refuse(cfg.Listen.Reverse != "", "listen.reverse", "serve base URLs")
	for i := range cfg.Credentials {
		refuse(cfg.Credentials[i].Use == "swap", fmt.Sprintf("credentials[%d].use", i), "hold credentials for agents")
	}
	refuse(cfg.Approvals.Quorum > 1, "approvals.quorum", "ask for more than one approval")
	refuse(cfg.Webhooks.URL != "", "webhooks.url", "send webhooks")
	refuse(cfg.Approvals.Email != "", "approvals.email", "send mail")
	for i, a := range cfg.Agents {
		refuse(a.Credential != "", fmt.Sprintf("agents[%d].credential", i), "tell agents apart by provider credentials")
	}
	return errors.Join(errs...)
}

// anchorFile stands beside the ledger's directory, not in it: it says how far the
// ledger had come, so that one that was set back is found out.
const anchorFile = "audit-anchor.json"

func engineOptions(cfg *config.Config, st store.Store, key *seal.Key, tell listeners) engine.Options {
	return engine.Options{
		Store: st, Sealer: key, Clock: time.Now, Uptime: uptime(), AnchorPath: filepath.Join(cfg.DataDir, anchorFile), Alarm: tell.alarm, Flagged: tell.flagged,
		Expire: cfg.Proxy.Hold.Expire, Keep: cfg.Proxy.Hold.Keep, MaxHeld: cfg.Proxy.Hold.MaxPerAgent, MaxHeldAmount: heldAmounts(cfg),
		ReceiptWithin: cfg.Receipts.ExpectedWithin,
		Unmatched: map[spend.Origin]spend.Decision{
			spend.Wire: unmatched(cfg.Proxy.Unmatched.Wire), spend.Pinti: unmatched(cfg.Proxy.Unmatched.Pinti),
			spend.Guard: unmatched(cfg.Proxy.Unmatched.Guard), spend.Intents: unmatched(cfg.Proxy.Unmatched.Intents),
		},
	}
}

// heldAmounts are the caps on held money. What is no amount was refused when the
// configuration was checked.
func heldAmounts(cfg *config.Config) map[string]spend.Amount {
	caps := make(map[string]spend.Amount, len(cfg.Proxy.Hold.MaxAmountPerAgent))
	for unit, limit := range cfg.Proxy.Hold.MaxAmountPerAgent {
		if a, err := spend.ParseAmount(unit, string(limit)); err == nil {
			caps[a.Unit()] = a
		}
	}
	return caps
}

func unmatched(s string) spend.Decision {
	if s == "hold" {
		return spend.RequireApproval
	}
	return spend.Deny
}

// syncPolicies makes the file's policies those of the store.
func (l *ledger) syncPolicies(ctx context.Context, cfg *config.Config) error {
	ps, err := policiesOf(cfg)
	if err != nil {
		return err
	}
	_, err = l.engine.SyncPolicies(ctx, ps)
	return err
}

// policiesOf turns the policies of the file into the engine's.
func policiesOf(cfg *config.Config) ([]policy.Policy, error) {
	out := make([]policy.Policy, 0, len(cfg.Policies))
	for _, c := range cfg.Policies {
		p := policy.Policy{
			Name: c.Name, Was: c.Was, Unit: spend.NormalUnit(c.Unit), PerMinute: c.MaxTransactionsPerMinute, PerHour: c.MaxTransactionsPerHour,
			AllowedMerchants: c.AllowedMerchants, BlockedMerchants: c.BlockedMerchants,
			AllowedCategories: c.AllowedCategories, BlockedCategories: c.BlockedCategories, AllowedPayees: c.AllowedPayees,
			Capabilities: c.Capabilities.Default(), CapabilityRules: c.Capabilities.ByOperation(),
			Duplicates: c.Duplicates, DuplicateWindow: c.DuplicateWindow, DuplicatesAcross: c.DuplicatesAcross,
			Active: c.IsActive, IgnoreClaims: !c.TrustClaims, Zone: c.Timezone,
			Scope: policy.Scope{
				Agents: c.Scope.Agents, Rails: c.Scope.Rails, Networks: c.Scope.Networks,
				Operations: c.Scope.Operations, Modes: c.Scope.Modes,
			},
		}
		for _, f := range []struct {
			to   *spend.Amount
			from config.Integer
		}{
			{&p.MaxSingle, c.MaxSingleAmount}, {&p.Daily, c.DailyLimit}, {&p.Monthly, c.MonthlyLimit},
			{&p.RequireApprovalOver, c.RequireApprovalOver}, {&p.MaxExposure, c.MaxExposure},
		} {
			if f.from == "" {
				continue
			}
			a, err := spend.ParseAmount(c.Unit, string(f.from))
			if err != nil {
				return nil, fmt.Errorf("policy %q: %w", c.Name, err)
			}
			*f.to = a
		}
		out = append(out, p)
	}
	return out, nil
}

func (l *ledger) close() {
	l.engine.Close()
	_ = l.store.Close() // every commit was durable before it was answered
}

// digest is what the ledger keeps of an API key.
func (l *ledger) digest(secret string) string { return l.seal.Digest("api-key", secret) }

// mint draws an API key.
func (l *ledger) mint() (prefix, plaintext, digest string, err error) {
	k, err := tokens.Mint(rand.Reader)
	if err != nil {
		return "", "", "", err
	}
	return k.Prefix, k.Secret, l.digest(k.Secret), nil
}

func (l *ledger) routes() []api.Route {
	return pinti.Routes(pinti.Options{Engine: l.engine, Mint: l.mint})
}
