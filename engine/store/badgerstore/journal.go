package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/outgo/outgo/engine/store"
)

// A commit of Badger costs a sync through a memory map, a flush and compactions of
// what is overwritten a moment later. So on disk a commit is one record in a journal
// (record.go, segment.go) with one sync, and what it wrote stays in memory
// (generation.go), in front of Badger, until it is written there in the background,
// many commits at a time (fold.go). Opening reads the journal back (replay.go).

// generationSegments is how many segments a generation fills before it is frozen.
// There are at most two generations, so it bounds the memory, too.
const generationSegments = 2

// A journal is the commits that are not in Badger yet.
type journal struct {
	dir    string
	folder *os.File // the directory
	disk   *disk
	db     *badger.DB
	room   func() error // of the Store
	ended  func() error // why the store has ended, if it has
	fails  func(error)  // ends the store

	// write and sync are the disk of a commit, and step is called at each step of a fold
	// and of making a segment ready; a test puts others in their place.
	write func(f *os.File, b []byte, at int64) error
	sync  func(*os.File) error
	step  func(name string)

	turn sync.Mutex // held through a commit, and to freeze

	mu     sync.RWMutex
	live   *generation // the pointer is written with turn and mu held, its tree with mu
	frozen *generation // nil for none
	seq    uint64      // of the last commit that can be seen
	folded uint64      // of the last commit in a generation that was dropped
	drops  uint64      // how many generations were
	open   atomic.Int64

	spares  chan *segment
	wanted  chan struct{} // a spare is
	full    chan struct{} // a generation was frozen
	stop    chan struct{}
	working sync.WaitGroup

	making sync.Mutex // guards the following
	next   uint64     // number of the segment to be made
	old    []*segment // to be used again
	lack   error      // why the last attempt to make one failed

	records sync.Pool // of *[]byte, for drafts
	synced  map[string]bool
}

// maxSpares bounds the segments that stand ready: all but one of those there can be.
const maxSpares = 2 * generationSegments

// place returns the segment that takes a record of n bytes, a new one where the last
// has no room, of a new generation where the live one is full. It is called with turn
// held, and an error says that nothing was written.
func (j *journal) place(ctx context.Context, n int) (*segment, error) {
	s := j.live.segments[len(j.live.segments)-1]
	if s.end+int64(n) <= segmentSize {
		return s, nil
	}
	fill := len(j.live.segments) >= generationSegments
	if fill {
		if err := j.awaitFold(ctx); err != nil {
			return nil, err
		}
	}
	s, err := j.spare(ctx)
	if err != nil {
		return nil, err
	}
	if fill {
		j.freeze(s)
	} else {
		j.live.segments = append(j.live.segments, s)
	}
	return s, nil
}

// awaitFold returns once no generation is frozen: whoever writes faster than Badger
// waits for it here.
func (j *journal) awaitFold(ctx context.Context) error {
	j.mu.RLock()
	frozen := j.frozen
	j.mu.RUnlock()
	if frozen == nil {
		return nil
	}
	return j.await(ctx, frozen.dropped)
}

// await returns once done is closed, or why there is no use in waiting.
func (j *journal) await(ctx context.Context, done <-chan struct{}) error {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
			if err := errors.Join(j.ended(), j.room()); err != nil {
				return err
			}
		}
	}
}

// freeze begins a live generation with s, and has the one before written into
// Badger. It is called with turn held and no other frozen.
func (j *journal) freeze(s *segment) {
	j.mu.Lock()
	j.live.next = s.number
	j.frozen, j.live = j.live, newGeneration(j.seq, s)
	j.mu.Unlock()
	j.full <- struct{}{} // has room for one, and there is one
}

// commit makes what x wrote durable, and then seen. It reports true when a key that
// x has read was changed in the meantime.
func (j *journal) commit(ctx context.Context, x *draft) (again bool, err error) {
	j.turn.Lock()
	defer j.turn.Unlock()
	if err := j.ended(); err != nil {
		return false, fmt.Errorf("update store: %w", err)
	}
	seg, err := j.place(ctx, padded(len(x.record)))
	if err != nil {
		return false, fmt.Errorf("update store: %w", err)
	}
	if j.overtaken(x) {
		return true, nil
	}
	seq := j.seq + 1
	x.record = sealRecord(x.record, seg.seed, seq)
	if err = j.write(seg.file, x.record, seg.end); err == nil {
		err = j.sync(seg.file)
	}
	if err == nil {
		err = j.disk.standing()
	}
	if err != nil {
		j.fails(err)
		return false, fmt.Errorf("commit: %w: %w", store.ErrUnknown, err)
	}
	seg.end += int64(len(x.record))
	j.show(x, seq)
	return false, nil
}

// overtaken reports whether a key that x has read was changed since. Of what is in
// Badger nobody knows any more when it was written.
func (j *journal) overtaken(x *draft) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.seq == x.at {
		return false
	}
	if j.folded > x.at {
		return true
	}
	for _, key := range x.reads {
		if j.live.changed(key, x.at) || j.frozen.changed(key, x.at) {
			return true
		}
	}
	return false
}

// show lets everybody see what x wrote. Its values share one piece of memory, about
// as large as its record.
func (j *journal) show(x *draft, seq uint64) {
	memory := bytes.Clone(x.record)
	x.leave() // what was before its own writes it does not ask for any more
	j.mu.Lock()
	defer j.mu.Unlock()
	keep := j.open.Load() > 0
	for _, w := range x.writes {
		j.live.put(w.key, w.value(memory), seq, keep)
	}
	j.live.last, j.seq = seq, seq
}

// overview returns a snapshot of everything, for one who may not be told to come
// again.
func (j *journal) overview() *snapshot {
	for {
		j.mu.RLock()
		drops := j.drops
		j.mu.RUnlock()
		// Without mu: it waits for a commit of Badger's that is under way.
		txn := j.db.NewTransaction(false)
		r := j.snapshot()
		if r.drops == drops {
			r.txn = txn
			return r
		}
		r.leave()
		txn.Discard()
	}
}

// snapshot returns one that looks into Badger once it must, and may then find that
// it has come too late.
func (j *journal) snapshot() *snapshot {
	j.mu.RLock()
	defer j.mu.RUnlock()
	j.open.Add(1)
	return &snapshot{journal: j, live: j.live, frozen: j.frozen, at: j.seq, drops: j.drops}
}

// takes reports whether g is the generation that takes every commit, of which nothing
// is in Badger.
func (j *journal) takes(g *generation) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return g == j.live
}
