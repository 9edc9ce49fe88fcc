package proxy

import (
	"context"
	"net"
	"sync"
)

// conns knows every open connection of agents: servers count only those they
// accepted themselves, and hijacked ones are nobody's otherwise.
type conns struct {
	limit  int
	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

// admit counts c, unless there are too many.
func (s *conns) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.open) >= s.limit {
		return false
	}
	if s.open == nil {
		s.open = make(map[net.Conn]struct{})
	}
	s.open[c] = struct{}{}
	return true
}

// drop closes c and stops counting it.
func (s *conns) drop(c net.Conn) {
	c.Close() //nolint:errcheck // often closed before
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *conns) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *conns) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		c.Close() //nolint:errcheck // its goroutine finds out
	}
}

// tally counts calls under way, and lets somebody wait for there to be none.
type tally struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed at n = 0; nil while nobody waits
}

func (t *tally) add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

// done returns how many are left.
func (t *tally) done() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
	return t.n
}

func (t *tally) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// wait returns nil when nothing is under way, or the error of ctx.
func (t *tally) wait(ctx context.Context) error {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
