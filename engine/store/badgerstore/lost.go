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

// strayAge is for how long a table may be on disk before it belongs to a level,
// and how long after the first look the second one is taken.
const strayAge = time.Second

// A watch looks for tables that were lost.
type watch struct {
	dir   string
	known map[uint64]bool // tables that have belonged to a level

	mu    sync.Mutex
	armed bool // a look is due
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

// strays returns the tables that have never belonged to a level.
func (w *watch) strays(db *badger.DB) (map[uint64]bool, error) {
	names, err := os.ReadDir(w.dir)
	if err != nil {
		return nil, fmt.Errorf("look for lost tables: %w", err)
	}
	w.note(db)
	found := make(map[uint64]bool)
	for _, e := range names {
		id, ok := table.ParseFileID(e.Name())
		if !ok || w.known[id] {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > strayAge {
			found[id] = true
		}
	}
	return found, nil
}

// lookForLost ends the store, and the database with it, when a compaction has
// lost a table.
func (s *Store) lookForLost() {
	if s.begin() != nil {
		return // there is nothing left to end
	}
	defer s.inUse.Done()
	first, err := s.watch.strays(s.db)
	if err != nil || len(first) == 0 {
		return
	}
	time.Sleep(strayAge)
	second, err := s.watch.strays(s.db)
	if err != nil {
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
