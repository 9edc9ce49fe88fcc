package badgerstore

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/store"
)

// open opens dir; the caller closes.
func open(t testing.TB, dir string) *Store {
	t.Helper()
	return openSet(t, dir, func(*journal) {})
}

// openSet is open with something done to the journal first. The background has
// nothing to do when it returns.
func openSet(t testing.TB, dir string, set func(*journal)) *Store {
	t.Helper()
	s, err := openWith(Options{Dir: dir}, set)
	if err != nil {
		t.Fatal(err)
	}
	if s.journal != nil {
		rest(t, s)
	}
	return s
}

// rest waits until the background has nothing to do.
func rest(t testing.TB, s *Store) {
	t.Helper()
	j := s.journal
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		j.mu.RLock()
		folding := j.frozen != nil
		j.mu.RUnlock()
		if !folding && len(j.spares) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("within 20 s: a generation is frozen (%t), %d segments to spare; %v", folding, len(j.spares), s.Ready())
		}
	}
	spared(t, s)
}

// spared waits until there is a segment to spare, and no other is made.
func spared(t testing.TB, s *Store) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); len(s.journal.spares) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("within 20 s there is no segment to spare: %v", s.Ready())
		}
	}
	s.journal.making.Lock() // what was done to make it was done before this
	defer s.journal.making.Unlock()
}

// freezeNow has what is in the journal folded. It returns once the fold has begun.
func freezeNow(t *testing.T, s *Store) *generation {
	t.Helper()
	rest(t, s)
	j := s.journal
	j.turn.Lock()
	defer j.turn.Unlock()
	g := j.live
	j.freeze(<-j.spares)
	j.want()
	return g
}

// foldNow has what is in the journal folded, and waits for it.
func foldNow(t *testing.T, s *Store) {
	t.Helper()
	g := freezeNow(t, s)
	select {
	case <-g.dropped:
	case <-time.After(20 * time.Second):
		t.Fatalf("a fold is not done within 20 s: %v", s.Ready())
	}
	rest(t, s)
}

// content is all that s holds.
func content(t *testing.T, s *Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := s.View(context.Background(), func(r store.Reader) error {
		page, err := r.Scan("", "", false, 1<<30)
		for _, e := range page {
			all[e.Key] = string(e.Value)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// duplicate copies a directory as a killed process leaves it.
func duplicate(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A gate stops a fold at a step until it is opened.
type gate struct {
	at      string
	reached chan struct{}
	goOn    chan struct{}
	once    sync.Once
}

func newGate(at string) *gate {
	return &gate{at: at, reached: make(chan struct{}), goOn: make(chan struct{})}
}

func (g *gate) step(name string) {
	if name == g.at {
		g.once.Do(func() {
			close(g.reached)
			<-g.goOn
		})
	}
}

// gated opens a store whose first fold stops at a step.
func gated(t *testing.T, dir, at string) (*Store, *gate) {
	t.Helper()
	g := newGate(at)
	return openSet(t, dir, func(j *journal) { j.step = g.step }), g
}
