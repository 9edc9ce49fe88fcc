package proxy

import (
	"context"
	"sync"
	"time"
)

// within is a context that ends after a while. It starts a timer only for who
// waits for its end: most calls are ruled on without anybody waiting, and the
// timers of context.WithTimeout would be a good part of what the proxy costs.
type within struct {
	until time.Time

	mu     sync.Mutex
	waited context.Context // with the timer; nil while nobody waits
	cancel context.CancelFunc
	ended  bool
}

var _ context.Context = (*within)(nil)

// newWithin returns a context that ends d from now. It must be ended.
func newWithin(d time.Duration) *within { return &within{until: time.Now().Add(d)} }

// Deadline implements context.Context.
func (c *within) Deadline() (time.Time, bool) { return c.until, true }

// Done implements context.Context.
func (c *within) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waited == nil {
		c.waited, c.cancel = context.WithDeadline(context.Background(), c.until)
		if c.ended {
			c.cancel()
		}
	}
	return c.waited.Done()
}

// Err implements context.Context.
func (c *within) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.waited != nil:
		return c.waited.Err()
	case c.ended:
		return context.Canceled
	case !time.Now().Before(c.until):
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context.
func (c *within) Value(any) any { return nil }

// end frees the timer. The context is over then for whoever still waits.
func (c *within) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancel != nil {
		c.cancel()
	}
}
