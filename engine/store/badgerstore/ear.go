package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// An ear hears what Badger has to say on its own goroutines, and is the only way
// to be there: before a compaction writes a table, and when what Badger does in
// the background has failed. The tests hold Badger's words to those below.
type ear struct {
	dir   string
	fails func(error) // the store must not go on

	mu     sync.Mutex
	free   func(dir string) (uint64, error) // as of disk
	parked int                              // goroutines that wait for room
	busy   map[any]bool                     // compactors that have tables under way
	era    uint64                           // grows with each change of busy

	compacted func() // called after each compaction
}

var _ badger.Logger = (*ear)(nil)

// What Badger says at the moments that matter.
const (
	saysTable   = "[%d] LOG Compact. Added %d keys."
	saysDone    = "[Compactor: %d] Compaction for level: %d DONE"
	saysCompact = "[Compactor: %d] LOG Compact FAILED"
	saysFlush   = "error flushing memtable to disk"
	saysValues  = "Error while curlf sync"
)

// Debugf waits for room where a compaction is about to write a table. A table
// that cannot be written kills the process on a full disk; and where the file
// cannot be made, Badger drops the error, goes on, and deletes what the table was
// made from: see lost.go.
func (e *ear) Debugf(format string, args ...any) {
	switch {
	case strings.HasPrefix(format, saysTable):
		e.writes(args[0], true)
		e.awaitRoom()
	case format == saysDone:
		e.writes(args[0], false)
		e.mu.Lock()
		compacted := e.compacted
		e.mu.Unlock()
		if compacted != nil {
			compacted()
		}
	}
}

// writes notes that a compactor begins with a table, or has ended with all of its.
func (e *ear) writes(compactor any, begins bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy == nil {
		e.busy = make(map[any]bool)
	}
	if e.era++; begins {
		e.busy[compactor] = true
	} else {
		delete(e.busy, compactor)
	}
}

// idle reports whether no compactor has a table under way; none had between two
// calls that return the same era.
func (e *ear) idle() (era uint64, idle bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.era, len(e.busy) == 0
}

// tell has f called after each compaction from now on.
func (e *ear) tell(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.compacted = f
}

// Infof implements badger.Logger.
func (*ear) Infof(string, ...any) {}

// Warningf ends the store when a compaction has failed after its tables were
// written: the manifest may be torn, and what is appended to it would be lost.
func (e *ear) Warningf(format string, args ...any) {
	if !strings.HasPrefix(format, saysCompact) {
		return
	}
	e.writes(args[0], false)
	said := fmt.Sprintf("%v", args[1])
	if strings.Contains(said, "non-empty level") || strings.Contains(said, "while running compactions") && !isIO(said) {
		return // nothing was changed, and it is tried again with new files
	}
	e.fails(fmt.Errorf("compact: %s", said))
}

// Errorf ends the store when a sync has failed, or a memory table was not entered
// into the manifest. A table that could not be made is another matter: its log is
// there, and Badger tries again with a new file.
func (e *ear) Errorf(format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	flush := strings.HasPrefix(format, saysFlush)
	switch {
	case flush && strings.Contains(said, "while creating table") && !isIO(said):
	case flush:
		e.fails(errors.New(said))
		select {} // it would append to the manifest behind the damage, once a second
	case strings.HasPrefix(format, saysValues), isIO(said):
		e.fails(errors.New(said))
	}
}

func isIO(said string) bool { return strings.Contains(said, syscall.EIO.Error()) }

// awaitRoom returns once a table can be written.
func (e *ear) awaitRoom() {
	for try := 0; e.trial() != nil; try++ {
		if try == 0 {
			e.park(+1)
			defer e.park(-1)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (e *ear) park(by int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.parked += by
}

// What a trial asks for: a table with its blocks, in a disk that will not be full
// before it is written, and descriptors for it and for others that are made at the
// same time.
const (
	trialPrefix = "room-"
	trialSize   = 48 << 20
	trialFree   = 128 << 20
	trialFiles  = 16
)

// trial does what Badger does to make a table, and undoes it.
func (e *ear) trial() (err error) {
	f, err := os.CreateTemp(e.dir, trialPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name()), f.Close()) }()
	e.mu.Lock()
	look := e.free
	e.mu.Unlock()
	if free, err := look(e.dir); err != nil || free < trialFree {
		return errors.Join(err, syscall.ENOSPC)
	}
	if err := allocate(f, trialSize); err != nil {
		return err
	}
	for range trialFiles {
		more, err := os.Open(filepath.Dir(f.Name()))
		if err != nil {
			return err
		}
		defer more.Close() //nolint:errcheck // only its descriptor was wanted
	}
	return nil
}
