package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
)

// Badger drops the error of a table that a compaction could not write (the value
// of a deferred call in levelsController.subcompact is taken before there is an
// error), goes on without the table, and deletes what it was made from. What it
// leaves behind is the file, which belongs to no level. So after each compaction
// the directory is looked through for files that never belonged to one.

// lostFile says in a directory that its database has lost a table.
const lostFile = "DAMAGED"

// strayAge is how long after the first look the second one is taken: longer than a
// reader holds on to a table that a compaction has replaced.
const strayAge = time.Second

// A watch looks for tables that were lost.
type watch struct {
	dir string

	mu    sync.Mutex
	known map[uint64]bool // tables that have belonged to a level
	armed bool            // a look is due
}

func newWatch(dir string, db *badger.DB) *watch {
	w := &watch{dir: dir, known: make(map[uint64]bool)}
	w.note(db)
	return w
}

// note remembers the tables of the present.
func (w *watch) note(db *badger.DB) {
	for _, t := range db.Tables() {
		w.known[t.ID] = true
	}
}

// arm has look called in a while, once however often arm is.
func (w *watch) arm(look func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.armed {
		return
	}
	w.armed = true
	time.AfterFunc(2*strayAge, func() {
		w.mu.Lock()
		w.armed = false
		w.mu.Unlock()
		look()
	})
}

// strays returns the tables that have never belonged to a level, among those that
// must have by now. quiet is false when nobody can tell: while a table is written, be
// it by a compaction or from a memory table, and until it is entered, which takes as
// long as the disk takes, and as a full youngest level has it wait.
func (w *watch) strays(db *badger.DB, e *ear) (found map[uint64]bool, quiet bool) {
	era, idle := e.idle()
	log, err := onlyLog(w.dir)
	if err != nil || !idle {
		return nil, false
	}
	names, err := os.ReadDir(w.dir)
	if err != nil {
		return nil, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(db)
	found = make(map[uint64]bool)
	for _, f := range names {
		if id, ok := table.ParseFileID(f.Name()); ok && !w.known[id] {
			found[id] = true
		}
	}
	now, _ := e.idle()
	still, err := onlyLog(w.dir)
	return found, err == nil && now == era && still == log
}

// onlyLog returns the number of the log in use, where it is the only one: the log of a
// memory table is there until its table belongs to a level.
func onlyLog(dir string) (int, error) {
	last, begun, err := lastLog(dir)
	if err == nil && begun > 1 {
		err = fmt.Errorf("%d logs are not in a table", begun-1)
	}
	return last, err
}

// strays waits a while for the moment in which those of the watch can be told.
func (s *Store) strays() (found map[uint64]bool, quiet bool) {
	for range 50 {
		if found, quiet = s.watch.strays(s.db, s.ear); quiet || s.closing() {
			break
		}
		time.Sleep(strayAge / 50)
	}
	return found, quiet
}

func (s *Store) closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// lookForLost ends the store, and the database with it, when a compaction has
// lost a table.
func (s *Store) lookForLost() {
	if s.begin() != nil {
		return // there is nothing left to end
	}
	defer s.inUse.Done()
	first, quiet := s.strays()
	if quiet && len(first) == 0 {
		return
	}
	var second map[uint64]bool
	if quiet {
		time.Sleep(strayAge)
		second, quiet = s.strays()
	}
	if !quiet {
		s.watch.arm(s.lookForLost)
		return
	}
	for id := range second {
		if !first[id] {
			continue
		}
		lost := fmt.Errorf("a compaction could not write table %06d and has dropped what was to be in it", id)
		s.end(errors.Join(lost, markLost(s.disk.dir, lost)))
	}
}

// markLost makes sure that the database is not opened as if it were whole.
func markLost(dir string, why error) error {
	name := filepath.Join(dir, lostFile)
	if err := os.WriteFile(name, []byte(why.Error()+"\n"), 0o600); err != nil {
		return fmt.Errorf("mark database as damaged: %w", err)
	}
	return syncDir(dir)
}

// notLost refuses a database that has lost a table.
func notLost(dir string) error {
	name := filepath.Join(dir, lostFile)
	why, err := os.ReadFile(name) //nolint:gosec // a file of the store's own directory
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look for damage: %w", err)
	}
	return fmt.Errorf("the database is damaged (%s): restore it from a backup, or remove %s to go on with what is left", strings.TrimSpace(string(why)), name)
}
