package proxy

import (
	"context"
	"sync"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// ending is how a flight ended for those who follow it.
type ending int

const (
	lost    ending = iota // nobody knows
	landed                // with a reply
	notSent               // nothing was sent
)

// flight is one forwarded call and all who wait for its reply. Its fields are
// guarded by the mutex of its flights, but for the last two once done is closed.
type flight struct {
	done  chan struct{} // closed at the end; nil while nobody waits
	ended bool
	how   ending
	reply []byte // encoded, see keep
}

// waited returns the channel that is closed at the flight's end. The mutex is held.
func (f *flight) waited() <-chan struct{} {
	if f.done == nil {
		f.done = make(chan struct{})
		if f.ended {
			close(f.done)
		}
	}
	return f.done
}

const (
	// appear is how long a follower waits for its flight to be opened: the
	// ruling that sends one caller and the one that makes another follow may
	// arrive in either order.
	appear = time.Second
	// lingering bounds the flights that can be joined after their end, for a
	// ruling to follow may arrive later than the reply.
	lingering      = 256
	lingeringFor   = 2 * time.Second
	lingeringBytes = 32 << 20 // of their replies, together
)

// flights are the calls under way, by request.
type flights struct {
	mu     sync.Mutex
	byID   map[spend.ID]*flight
	opened chan struct{}          // closed when a flight is opened; nil while nobody waits
	ended  [lingering]endedFlight // a ring
	first  int                    // of ended, the oldest
	count  int                    // of those in ended
	bytes  int                    // of their replies
}

type endedFlight struct {
	id    spend.ID
	at    time.Time
	bytes int
}

// open starts the flight of a request.
func (s *flights) open(id spend.ID) *flight {
	f := new(flight)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[spend.ID]*flight)
	}
	s.byID[id] = f
	if s.opened != nil {
		close(s.opened)
		s.opened = nil
	}
	return f
}

// land ends a flight and tells all who follow it.
func (s *flights) land(id spend.ID, f *flight, how ending, reply []byte, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.ended, f.how, f.reply = true, how, reply
	if f.done != nil {
		close(f.done)
	}
	s.bytes += len(reply)
	for s.count > 0 && (s.count == lingering || s.bytes > lingeringBytes || now.Sub(s.ended[s.first].at) > lingeringFor) {
		delete(s.byID, s.ended[s.first].id)
		s.bytes -= s.ended[s.first].bytes
		s.ended[s.first] = endedFlight{}
		s.first, s.count = (s.first+1)%lingering, s.count-1
	}
	s.ended[(s.first+s.count)%lingering] = endedFlight{id, now, len(reply)}
	s.count++
}

// flying reports whether a call of the request is under way.
func (s *flights) flying(id spend.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byID[id]
	return f != nil && !f.ended
}

// find returns the flight of a request with the channel that its end closes, waiting
// a moment for it to be opened, or nil if there is none.
func (s *flights) find(ctx context.Context, id spend.ID) (f *flight, done <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, appear)
	defer cancel()
	for {
		s.mu.Lock()
		if f = s.byID[id]; f != nil {
			done = f.waited()
		} else if s.opened == nil {
			s.opened = make(chan struct{})
		}
		opened := s.opened
		s.mu.Unlock()
		if f != nil {
			return f, done
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// follow answers the call with the reply to another one that is under way for
// the same request. A call that finds no such flight was sent by an earlier life
// of this process or by another one: its outcome is in doubt.
func (x *exchange) follow() {
	f, done := x.p.flights.find(context.Background(), x.request.ID)
	if f == nil {
		if !x.landedBefore() {
			x.doubt()
		}
		return
	}
	began := x.p.clock()
	limit := time.NewTimer(x.p.times.Reply + x.p.times.Decide)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		x.doubt()
		return
	}
	x.line.Upstream = x.since(began)
	switch f.how {
	case landed:
		x.line.Decision = "joined"
		x.deliver(f.reply)
	case notSent:
		x.unreachable(nil)
	case lost:
		x.doubt()
	}
}

// landedBefore answers the call with the reply that was kept, where its flight ended
// between the ruling to follow it and the look for it, and so many others ended since
// that it is forgotten.
func (x *exchange) landedBefore() bool {
	ctx, cancel := context.WithTimeout(context.Background(), x.p.times.Decide)
	defer cancel()
	kept, err := x.p.opt.Gate.Reply(ctx, x.request.ID)
	if err != nil {
		return false // there is none, or it cannot be read now: nobody knows
	}
	x.line.Decision = "joined"
	x.deliver(kept)
	return true
}
