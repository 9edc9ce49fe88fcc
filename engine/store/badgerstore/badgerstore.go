// Package badgerstore keeps a store.Store in an embedded Badger database, in one
// directory that one process at a time may open, or in memory.
//
// On disk Update runs fn on a snapshot (snapshot.go, draft.go), makes sure of room
// (disk.go, reserve.go, spare.go), and commits what fn wrote with one write and one
// sync, as a record of a journal (journal.go, record.go, segment.go). It stays in
// memory (generation.go) until it is folded into Badger in the background (fold.go);
// Open reads the rest back (replay.go). A conflict runs fn again; a failed write or
// sync wraps store.ErrUnknown, after which, as when a fold or Badger fails in the
// background (ear.go), the Store refuses everything but Close: what it holds in memory
// may differ from what the disk holds. Open the directory again to read that back.
//
// Scans are not tracked, which is why store.Store promises nothing about Scan. In
// memory there is Badger alone: the fake that the engine's tests run on.
package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/outgo/outgo/engine/store"
)

// ErrLocked is wrapped by Open when another process, or another Store of this
// one, has the directory open.
var ErrLocked = errors.New("the store is in use by another process")

// maxTries bounds how often Update runs fn. Callers that write from one place,
// as the engine does, never come near it.
const maxTries = 64

// errContended is the definite error of an Update that met a conflict each time.
var errContended = fmt.Errorf("update store: gave up after %d conflicts; nothing was written", maxTries)

// errClosed is what a closed Store answers.
var errClosed = fmt.Errorf("badgerstore: %w", fs.ErrClosed)

// Options says where a Store keeps its data.
type Options struct {
	// Dir is the database's own directory; nothing else may live in it. It is
	// created with mode 0700, or given that mode. "" keeps everything in memory.
	Dir string
}

// Store is a store.Store in a Badger database. Open makes one.
type Store struct {
	db   *badger.DB
	disk disk
	logs *reserve // nil in memory, as ear and journal
	ear  *ear
	// journal has the commits that are not in db yet.
	journal *journal
	watch   *watch
	// patience is closeLimit; a test has less of it.
	patience time.Duration

	// commit is (*badger.Txn).Commit, in memory; a test puts another in its place.
	commit func(*badger.Txn) error

	rooms sync.Pool // see tx

	mu     sync.Mutex     // guards closed, broken and the first Add of inUse
	closed bool           // set by the first Close
	broken error          // set once a commit's outcome is unknown
	inUse  sync.WaitGroup // transactions that Close must wait for
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Exclusive = (*Store)(nil)
)

// Open opens the database in o.Dir and creates it where there is none. It fails
// with ErrLocked when somebody else has it open, with syscall.ENOSPC when the
// disk is too full to open it safely, and when a table of the database or its
// journal is damaged.
func Open(o Options) (*Store, error) {
	return openWith(o, func(*journal) {})
}

// openWith is Open, with something done to the journal before it is read.
func openWith(o Options, set func(*journal)) (*Store, error) {
	d := disk{dir: o.Dir, free: freeBytes, open: os.Open}
	p := profile(o.Dir)
	if err := d.prepare(p); errors.Is(err, ErrLocked) {
		return nil, lockedError(o.Dir)
	} else if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{disk: d, commit: (*badger.Txn).Commit, patience: closeLimit}
	if o.Dir != "" {
		s.ear = &ear{free: freeBytes, dir: o.Dir, fails: s.end}
		s.logs = &reserve{dir: o.Dir, allocate: allocate}
		p = p.WithLogger(s.ear)
	}
	var err error
	if s.db, err = openDatabase(p); err != nil {
		return nil, openError(o.Dir, err)
	}
	if err := s.room(); err != nil {
		return nil, fmt.Errorf("open store: %w", errors.Join(err, s.db.Close()))
	}
	if o.Dir == "" {
		return s, nil
	}
	if s.journal, err = openJournal(s, set); err != nil {
		return nil, fmt.Errorf("open store: %w", errors.Join(err, s.db.Close()))
	}
	s.journal.begin()
	s.watch = newWatch(o.Dir, s.db)
	s.ear.tell(func() { s.watch.arm(s.lookForLost) })
	return s, nil
}

// room fails with syscall.ENOSPC when a commit could meet a full disk.
func (s *Store) room() error {
	if s.logs == nil {
		return nil
	}
	if err := s.disk.room(); err != nil {
		return err
	}
	return s.logs.provide()
}

// Ready returns nil when an Update would be taken, or why it would not.
func (s *Store) Ready() error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.inUse.Done()
	if s.journal == nil {
		return nil
	}
	return errors.Join(s.room(), s.journal.lacking())
}

// openError names the one failure of Badger's Open that a caller can act on.
// Badger flattens the cause into text, so there is nothing but text to go by.
func openError(dir string, err error) error {
	if !strings.Contains(err.Error(), "Cannot acquire directory lock") {
		return fmt.Errorf("open store in %s: %w", dir, err)
	}
	return lockedError(dir)
}

// lockedError is ErrLocked, with who has the lock where that is known.
func lockedError(dir string) error {
	if pid, rerr := os.ReadFile(filepath.Join(dir, "LOCK")); rerr == nil { //nolint:gosec // the operator's own path
		return fmt.Errorf("open store in %s: %w (process %s)", dir, ErrLocked, strings.TrimSpace(string(pid)))
	}
	return fmt.Errorf("open store in %s: %w", dir, ErrLocked)
}

// Close waits for the transactions under way and closes the database. It must
// not be called from within one. Whoever comes later, Close included, gets an
// error that wraps fs.ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.inUse.Wait()
	if s.logs == nil {
		return closeError(s.db.Close())
	}
	closed := make(chan error, 1)
	go func() {
		err := s.journal.close()
		s.logs.release()
		closed <- errors.Join(err, s.db.Close())
	}()
	limit := time.NewTimer(s.patience)
	defer limit.Stop()
	select {
	case err := <-closed:
		return closeError(err)
	case <-limit.C:
		return fmt.Errorf("close store: the disk of %s does not take its last writes; they are in the journal, from which the next process has them", s.disk.dir)
	}
}

// Reopen has a store in memory go on after a commit of unknown outcome: what it
// holds is all there is. One on disk it refuses. To close Badger writes tables and
// the manifest from memory, which after a failed sync may differ from the disk, so
// only a new process reads back, from the logs, what is there.
func (s *Store) Reopen(context.Context) error {
	if s.logs != nil {
		return errors.New("reopen store: a database on disk is read back by a new process only")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = nil
	return nil
}

// closeLimit is how long Close waits for Badger, which goes on for as long as the
// disk refuses what it has to write.
const closeLimit = 10 * time.Second

func closeError(err error) error {
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// end makes the store refuse everything but Close.
func (s *Store) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = fmt.Errorf("the store must be opened again, since an earlier write may or may not have been kept: %w", err)
	}
}

// ended is why the store refuses everything, if it does but for having been closed.
func (s *Store) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// Exclusive is true: Badger locks its directory.
func (s *Store) Exclusive() bool { return true }

// begin admits one transaction, for which the caller owes inUse.Done. Badger
// itself would hang or panic on a transaction that overlaps its Close.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case s.broken != nil:
		return s.broken
	}
	s.inUse.Add(1)
	return nil
}

// View runs fn on a snapshot.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("view store: %w", err)
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.inUse.Done()
	if s.journal != nil {
		r := s.journal.overview()
		defer r.end()
		return fn(r)
	}
	t := s.db.NewTransaction(false)
	defer t.Discard()
	r := &reader{txn: t}
	defer r.end()
	return fn(r)
}

// Update is the contract's Update. A fn that writes nothing commits nothing and
// needs no disk.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	attempt := s.attempt
	if s.journal != nil {
		attempt = s.attemptOnDisk
	}
	for try := range maxTries {
		if err := pause(ctx, try); err != nil {
			return fmt.Errorf("update store: %w", err)
		}
		if again, err := attempt(ctx, fn); !again {
			return err
		}
	}
	return errContended
}

// pause waits before the given try, not at all before the first, then for
// longer and longer, at random so that rivals do not meet again.
func pause(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	wait := time.NewTimer(rand.N(time.Duration(min(try, 16)) * time.Millisecond)) //nolint:gosec // spreads retries, keeps no secret
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return nil
	}
}

// attempt runs fn once and commits what it wrote, in memory. It reports true when a key
// that fn read has changed in the meantime, and nothing was written.
func (s *Store) attempt(ctx context.Context, fn func(store.Tx) error) (again bool, err error) {
	if err := s.begin(); err != nil {
		return false, err
	}
	defer s.inUse.Done()
	t := s.db.NewTransaction(true)
	defer t.Discard()
	x := &tx{reader: reader{txn: t}, rooms: &s.rooms}
	defer x.end()
	if err := fn(x); err != nil {
		return false, err
	}
	switch {
	case x.err != nil:
		return false, x.err
	case !x.wrote:
		return false, nil
	case ctx.Err() != nil:
		return false, fmt.Errorf("update store: %w", ctx.Err())
	}
	err = s.commit(t)
	if err == nil {
		x.release()
	}
	return s.settle(err)
}

// attemptOnDisk is attempt for a store with a journal.
func (s *Store) attemptOnDisk(ctx context.Context, fn func(store.Tx) error) (again bool, err error) {
	if err := s.begin(); err != nil {
		return false, err
	}
	defer s.inUse.Done()
	x := s.journal.draft()
	defer x.end()
	err = fn(x)
	switch {
	case errors.Is(x.err, errOvertaken):
		return true, nil
	case err != nil:
		return false, err
	case x.err != nil:
		return false, x.err
	case len(x.writes) == 0:
		return false, nil
	case ctx.Err() != nil:
		return false, fmt.Errorf("update store: %w", ctx.Err())
	}
	if err := s.room(); err != nil {
		return false, fmt.Errorf("update store: %w", err)
	}
	return s.journal.commit(ctx, x)
}

// settle turns what Badger's Commit returned into what the contract says. The
// definite errors are those that Badger gives before the transaction reaches
// its write queue.
func (s *Store) settle(err error) (again bool, _ error) {
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, badger.ErrConflict):
		return true, nil
	case errors.Is(err, badger.ErrTxnTooBig):
		return false, fmt.Errorf("commit: %w", store.ErrTooLarge)
	case errors.Is(err, badger.ErrBlockedWrites):
		return false, errClosed
	}
	s.end(err)
	return false, fmt.Errorf("commit: %w: %w", store.ErrUnknown, err)
}
