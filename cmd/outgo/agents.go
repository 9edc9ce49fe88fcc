package main

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"sync"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// agents tells who a proxied call comes from: by proxy credentials (a token of
// the config, a key of role agent, or the token of an `outgo run`), else by the
// user id of a process on this host, else by source address, else it is the
// default agent.
type agents struct {
	cfg    *config.Config
	ledger *ledger

	mu   sync.RWMutex
	runs map[string]string // agent to the token of its `outgo run`
}

func newAgents(cfg *config.Config, l *ledger) *agents {
	return &agents{cfg: cfg, ledger: l, runs: make(map[string]string)}
}

// allow lets name in with token for as long as outgo runs.
func (a *agents) allow(name, token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.runs[name] = token
}

// identify returns the agent of a peer. Credentials that are wrong are an error
// and never fall back to the default agent.
func (a *agents) identify(p proxy.Peer) (string, error) {
	if p.HasCredentials {
		return a.byCredentials(p.User, p.Password)
	}
	if slices.ContainsFunc(a.cfg.Agents, func(g config.Agent) bool { return g.Source.HasUID }) {
		if uid, ok := peerUID(p.Addr, p.Local); ok {
			for _, g := range a.cfg.Agents {
				if g.Source.HasUID && g.Source.UID == uid {
					return g.Name, nil
				}
			}
		}
	}
	addr := p.Addr.Addr().Unmap()
	for _, g := range a.cfg.Agents {
		if g.Source.Net.IsValid() && g.Source.Net.Contains(addr) {
			return g.Name, nil
		}
	}
	return a.cfg.Agent, nil
}

func (a *agents) byCredentials(user, password string) (string, error) {
	a.mu.RLock()
	token, ok := a.runs[user]
	a.mu.RUnlock()
	if ok && same(token, password) {
		return user, nil
	}
	for _, g := range a.cfg.Agents {
		if g.Name == user && g.Token != "" && same(g.Token, password) {
			return user, nil
		}
	}
	if k, err := a.ledger.engine.Authenticate(a.ledger.digest(password)); err == nil && k.Role == "agent" && k.Agent == user {
		return user, nil
	}
	return "", fmt.Errorf("proxy credentials: %w: unknown agent or wrong key", spend.Unauthenticated)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
