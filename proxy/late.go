package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/outgo/outgo/engine/spend"
)

const (
	maxLate   = 4096
	lateFirst = 250 * time.Millisecond
	lateMost  = 30 * time.Second
)

// late holds outcomes that the gate could not record, and goes on trying while
// the process lives. It talks to nobody but the gate.
type late struct {
	gate Gate
	log  *zap.Logger

	mu      sync.Mutex
	waiting []lateOutcome
	busy    tally
	running bool
	lost    uint64
}

type lateOutcome struct {
	id spend.ID
	o  spend.Outcome
}

// add takes an outcome to be recorded later.
func (l *late) add(id spend.ID, o spend.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= maxLate {
		l.lose(id, errors.New("too many outcomes wait to be recorded"))
		return
	}
	l.waiting = append(l.waiting, lateOutcome{id, o})
	l.busy.add()
	if !l.running {
		l.running = true
		go l.run()
	}
}

// run tries the oldest outcome again and again, more and more slowly, until none
// is left. Once one is recorded the others follow at once.
func (l *late) run() {
	pause := lateFirst
	for {
		time.Sleep(pause)
		l.mu.Lock()
		next := l.waiting[0]
		l.mu.Unlock()
		err := finishSafely(l.gate, next.id, next.o, lateMost)
		if err != nil && !isHopeless(err) {
			pause = min(max(2*pause, lateFirst), lateMost)
			continue
		}
		pause = 0
		l.mu.Lock()
		if err != nil {
			l.lose(next.id, err)
		}
		l.waiting = l.waiting[1:]
		done := len(l.waiting) == 0
		l.running = !done
		l.mu.Unlock()
		l.busy.done()
		if done {
			return
		}
	}
}

// finishSafely tells the gate an outcome. A gate that panics has not recorded it.
func finishSafely(g Gate, id spend.ID, o spend.Outcome, limit time.Duration) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("record outcome: panic: %v", v)
		}
	}()
	ctx := newWithin(limit)
	defer ctx.end()
	if err := g.Finish(ctx, id, o); err != nil {
		return fmt.Errorf("record outcome: %w", err)
	}
	return nil
}

// isHopeless reports whether trying again cannot help: the request has moved on
// by other evidence, or does not exist.
func isHopeless(err error) bool {
	for _, kind := range []spend.Kind{spend.InvalidState, spend.NotFound, spend.Conflict, spend.Invalid} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// lose gives an outcome up; the request stays as it is and its money counted.
func (l *late) lose(id spend.ID, err error) {
	l.lost++
	l.log.Error("outcome of a payment was given up; the request stays open for an operator",
		zap.String("request", string(id)), zap.Error(err))
}

// stop waits for what is left, as long as ctx allows.
func (l *late) stop(ctx context.Context) error {
	if err := l.busy.wait(ctx); err != nil {
		return fmt.Errorf("record outcomes: %w", err)
	}
	return nil
}

func (l *late) counts() (waiting int, lost uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting), l.lost
}
