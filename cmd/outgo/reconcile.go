package main

import (
	"context"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/outgo/outgo/config"
	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/proxy"
)

// readCredentials are the credentials with which providers are asked about
// payments of unknown outcome.
func readCredentials(cfg *config.Config) ([]proxy.ReadCredential, error) {
	var out []proxy.ReadCredential
	for i := range cfg.Credentials {
		c := &cfg.Credentials[i]
		if c.Use != "reconcile" {
			continue
		}
		secret, err := c.Reveal()
		if err != nil {
			return nil, err
		}
		out = append(out, proxy.ReadCredential{Rail: c.Rail, Agents: c.Agents, Secret: secret})
	}
	return out, nil
}

// ask begins to ask providers what became of payments of unknown outcome. It goes
// on until s.asking is called, which waits for the question at hand.
func (s *sidecar) ask(credentials []proxy.ReadCredential) {
	for i := range credentials {
		if c := &credentials[i]; c.Rail == "stripe" && !strings.HasPrefix(c.Secret, "rk_") {
			s.log.Warn("a reconcile credential is not a restricted key: make one at Stripe that can read events, payment intents and charges, and write nothing",
				zap.String(proxy.FieldRail, c.Rail))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	inquiry := s.ledger.engine.Inquire(s.proxy.Reconciler(credentials))
	var running sync.WaitGroup
	running.Go(func() { inquiry.Run(ctx) })
	s.asking = func() {
		cancel()
		running.Wait()
	}
}

// flagged tells the operator of an anomaly, once.
func (s *sidecar) flagged(f engine.Flagged) {
	s.metrics.anomaly(f)
	s.log.Warn("anomaly", zap.String(fieldAnomaly, string(f.Anomaly)), zap.String(proxy.FieldRequest, string(f.Request)),
		zap.String(proxy.FieldAgent, f.Agent), zap.String(proxy.FieldRail, f.Rail), zap.String("see", "outgo requests show "+string(f.Request)))
}
