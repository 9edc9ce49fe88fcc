package upstream

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// pool holds the connections of one Key; all but key and config is guarded by
// the transport's mutex.
type pool struct {
	transport *Transport
	key       Key
	config    *tls.Config // nil without TLS
	idle      []*conn     // the one used last at the end
	open      int         // idle ones included
	used      time.Time
	dropped   bool // no longer in the transport's map
}

// poolOf returns the pool of key. When there are too many, the one that was
// unused for longest makes room.
func (t *Transport) poolOf(key Key, now time.Time) (*pool, error) {
	t.mu.Lock()
	p, closed := t.pools[key], t.closed
	if p != nil {
		p.used = now
	}
	t.mu.Unlock()
	if closed {
		return nil, errors.New("transport is closed")
	}
	if p != nil {
		return p, nil
	}
	p = &pool{transport: t, key: key, used: now}
	if key.TLS {
		trust, err := t.trust(key)
		if err != nil {
			return nil, fmt.Errorf("find trust of %s: %w", key.Host, err)
		}
		p.config = clientConfig(key, trust)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if had := t.pools[key]; had != nil {
		return had, nil
	}
	if len(t.pools) >= t.maxPools {
		t.dropOldest()
	}
	t.pools[key] = p
	return p, nil
}

// minRSA is the shortest RSA key, in bits, that public authorities may certify.
const minRSA = 2048

// clientConfig verifies by trust and by nothing less. The session cache is the
// pool's own: a session carries the client's identity, and a resumed one is not
// verified against the roots again.
func clientConfig(key Key, trust Trust) *tls.Config {
	name := trust.ServerName
	if name == "" {
		name = key.Host
	}
	return &tls.Config{
		ServerName:   name,
		RootCAs:      trust.Roots,
		Certificates: trust.Certificates,
		MinVersion:   tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:         []string{"http/1.1"},
		VerifyConnection:   checkKeys,
		ClientSessionCache: tls.NewLRUClientSessionCache(8),
		// A request of up to 16 KiB leaves in one record and one system call.
		DynamicRecordSizingDisabled: true,
	}
}

// checkKeys wants one chain whose keys are all long enough to vouch for a provider.
// The standard library takes shorter ones, which private authorities still certify.
func checkKeys(s tls.ConnectionState) error {
	for _, chain := range s.VerifiedChains {
		if !slices.ContainsFunc(chain, hasShortKey) {
			return nil
		}
	}
	return fmt.Errorf("every chain of certificates has an RSA key of less than %d bits", minRSA)
}

func hasShortKey(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() < minRSA
}

// dropOldest forgets the pool used least recently. Connections in use there are
// closed when their exchange ends. The mutex is held.
func (t *Transport) dropOldest() {
	var oldest *pool
	for _, p := range t.pools {
		if oldest == nil || p.used.Before(oldest.used) {
			oldest = p
		}
	}
	oldest.dropped = true
	delete(t.pools, oldest.key)
	t.idle -= len(oldest.idle)
	for _, c := range oldest.idle {
		go c.close() // which takes the mutex
	}
	oldest.idle = nil
}

func (t *Transport) countOpen(p *pool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.open >= t.maxConns {
		return fmt.Errorf("%d connections are open to %s", p.open, p.key.Host)
	}
	p.open++
	t.open++
	return nil
}

func (t *Transport) countClosed(p *pool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.open--
	t.open--
}

// takeIdle returns a live connection that was used within the last idle, or nil.
func (t *Transport) takeIdle(p *pool, idle time.Duration, now time.Time) *conn {
	for {
		c := t.popIdle(p)
		if c == nil {
			return nil
		}
		if now.Sub(c.idleSince) >= min(idle, c.idleFor) {
			c.close()
			continue
		}
		ok, surplus := c.alive(now)
		if ok {
			c.pooled = true
			t.reused.Add(1)
			return c
		}
		if surplus {
			t.surplus.Add(1)
		} else {
			t.stale.Add(1)
		}
		c.close()
	}
}

func (t *Transport) popIdle(p *pool) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	t.idle--
	c.crowded = t.open-t.idle > t.crowd
	return c
}

// giveBack makes c idle.
func (t *Transport) giveBack(c *conn) {
	c.idleSince = time.Now()
	c.frame = frame{}
	t.mu.Lock()
	if t.closed || c.pool.dropped {
		t.mu.Unlock()
		c.close()
		return
	}
	c.pool.idle = append(c.pool.idle, c)
	t.idle++
	if t.timer == nil {
		t.timer = time.AfterFunc(min(c.idleFor, sweepEvery), t.sweep)
	}
	t.mu.Unlock()
}

// sweepEvery is how often idle connections are looked through while there are
// any. It is not the bound on their use: takeIdle refuses what is too old.
const sweepEvery = time.Second

// sweep closes the connections that have been idle for too long.
func (t *Transport) sweep() {
	now := time.Now()
	t.closeIdle(func(c *conn) bool { return now.Sub(c.idleSince) >= c.idleFor })
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = nil
	if t.idle > 0 && !t.closed {
		t.timer = time.AfterFunc(sweepEvery, t.sweep)
	}
}

// CloseIdle closes all idle connections.
func (t *Transport) CloseIdle() { t.closeIdle(func(*conn) bool { return true }) }

// Close closes all idle connections, and those in use when their exchange ends.
// Later exchanges fail with ErrNotSent.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.mu.Unlock()
	t.CloseIdle()
}

func (t *Transport) closeIdle(when func(*conn) bool) {
	var gone []*conn
	t.mu.Lock()
	for _, p := range t.pools {
		kept := p.idle[:0]
		for _, c := range p.idle {
			if when(c) {
				gone = append(gone, c)
			} else {
				kept = append(kept, c)
			}
		}
		clear(p.idle[len(kept):])
		p.idle = kept
	}
	t.idle -= len(gone)
	t.mu.Unlock()
	for _, c := range gone {
		c.close()
	}
}
