package badgerstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// A fold writes a frozen generation into Badger and drops it. What Badger does with it
// meanwhile proves nothing; all of it is made durable at the end (settle.go), and only
// then does Badger get the note that says so (note.go), and only once that is durable,
// too, are the segments used again. A fold that is cut short anywhere is done again by
// the next process, from the same segments.

const (
	// foldChunk is how much is written in one transaction of Badger's, in bytes of
	// keys and values. It is what a commit may have to wait for.
	foldChunk = 128 << 10
	// foldSync is how many chunks are written between syncs, which are not needed but for
	// those who wait for the disk: for the one at the end, and for the next process after
	// this one was killed.
	foldSync = 16
	// idleFold is how much journal is worth a fold when nothing else is to be done;
	// it is what the next start does not have to read.
	idleFold = 1 << 20
	idleTime = time.Second
)

// errStopped ends a fold when the store is closed.
var errStopped = errors.New("the store is being closed")

// keepFolding folds what is frozen, and freezes what has been lying for a while.
func (j *journal) keepFolding() {
	defer j.working.Done()
	tick := time.NewTicker(idleTime)
	defer tick.Stop()
	var seen uint64
	for {
		select {
		case <-j.stop:
			return
		case <-j.full:
		case <-tick.C:
			j.want() // a spare, where the last attempt to make one has failed
			seen = j.freezeIdle(seen)
			continue
		}
		j.mu.RLock()
		frozen := j.frozen
		j.mu.RUnlock()
		err := j.fold(frozen)
		if errors.Is(err, errStopped) {
			return
		} else if err != nil {
			j.fails(fmt.Errorf("write journal into the database: %w", err))
			return
		}
	}
}

// freezeIdle freezes the live generation when nothing has been committed since the
// given commit, and returns the last one.
func (j *journal) freezeIdle(seen uint64) uint64 {
	if !j.turn.TryLock() {
		return 0 // it is not idle, and whoever is there may be waiting for a fold
	}
	defer j.turn.Unlock()
	if j.seq != seen || j.frozen != nil || j.live.size() < idleFold || j.ended() != nil {
		return j.seq
	}
	select {
	case s := <-j.spares:
		j.freeze(s)
	default:
	}
	j.want()
	return j.seq
}

// size is how much journal a generation has.
func (g *generation) size() (n int64) {
	for _, s := range g.segments {
		n += s.end - segmentHead
	}
	return n
}

// fold writes g into Badger and drops it.
func (j *journal) fold(g *generation) error {
	j.step("begin")
	rest := &generationFeed{r: &snapshot{journal: j, at: latest}, g: g, more: true}
	done := false
	for n := 1; !done; n++ {
		if err := j.awaitRoom(); err != nil {
			return err
		}
		begun := time.Now()
		var err error
		if done, err = j.foldSome(rest); err != nil {
			return err
		}
		if n%foldSync == 0 {
			if err := j.db.Sync(); err != nil {
				return fmt.Errorf("sync database: %w", err)
			}
		}
		j.step("chunk")
		// Half of the time belongs to those who commit.
		if !j.pause(min(time.Since(begun), 20*time.Millisecond)) {
			return errStopped
		}
	}
	j.step("written")
	if err := j.settle(); err != nil {
		return err
	}
	j.step("durable")
	if err := j.writeNote(note{folded: g.last, first: g.next}); err != nil {
		return err
	}
	j.step("noted")
	if err := j.settle(); err != nil {
		return err
	}
	j.step("settled")
	j.drop(g)
	return nil
}

// foldSome writes a chunk into Badger, and reports whether it was the last.
func (j *journal) foldSome(rest *generationFeed) (done bool, err error) {
	err = j.db.Update(func(txn *badger.Txn) error {
		for size := 0; size < foldChunk; {
			e, err := rest.next()
			if done = e == nil; done || err != nil {
				return err
			}
			if e.value == nil {
				err = txn.Delete([]byte(e.key))
			} else {
				err = txn.Set([]byte(e.key), e.value)
			}
			if err != nil {
				return err
			}
			size += len(e.key) + len(e.value) + 64 // and Badger's own share
		}
		return nil
	})
	return done, err
}

// drop has everybody read from Badger what g held.
func (j *journal) drop(g *generation) {
	j.mu.Lock()
	j.frozen, j.folded = nil, g.last
	j.drops++
	j.mu.Unlock()
	close(g.dropped)
	j.retire(append(g.debris, g.segments...))
}

// pause waits so long, and reports false when the store is closed meanwhile.
func (j *journal) pause(d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-j.stop:
		return false
	case <-wait.C:
		return true
	}
}

// awaitRoom returns once Badger can be written to.
func (j *journal) awaitRoom() error {
	for {
		if j.ended() != nil {
			return errStopped
		}
		if j.room() == nil {
			return nil
		}
		if !j.pause(50 * time.Millisecond) {
			return errStopped
		}
	}
}
