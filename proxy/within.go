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

	mu    sync.Mutex
	done  chan struct{} // nil while nobody waits
	timer *time.Timer   // that closes done
	err   error         // once it has ended
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
	if c.done != nil {
		return c.done
	}
	c.done = make(chan struct{})
	if c.err != nil {
		close(c.done)
	} else {
		c.timer = time.AfterFunc(time.Until(c.until), c.expire)
	}
	return c.done
}

// Err implements context.Context.
func (c *within) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && !time.Now().Before(c.until) {
		c.over(context.DeadlineExceeded)
	}
	return c.err
}

// Value implements context.Context.
func (c *within) Value(any) any { return nil }

// end frees the timer. The context is over then for whoever still waits.
func (c *within) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over(context.Canceled)
}

func (c *within) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over(context.DeadlineExceeded)
}

// over ends the context for a reason, unless it has ended already. It is called with
// mu held.
func (c *within) over(why error) {
	if c.err != nil {
		return
	}
	c.err = why
	if c.done != nil {
		c.timer.Stop()
		close(c.done)
	}
}
