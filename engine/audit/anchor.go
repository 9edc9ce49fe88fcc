package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// anchorEvery is how far the anchor may lag behind what is committed.
const anchorEvery = time.Second

// ErrAnchor is wrapped by Read when the anchor file is not one that was written
// with this key for this workspace.
var ErrAnchor = errors.New("the anchor file was altered, or written with another key")

// Anchor is a file outside of the database that says how far its chain had
// come, so that a database that was cut, set back or exchanged is found out. It
// is safe for concurrent use.
type Anchor struct {
	path   string
	chain  *Chain
	failed func(error)

	writing sync.Mutex // held while the file is written; before mu

	mu      sync.Mutex
	latest  Mark
	written uint64 // sequence in the file
	timer   *time.Timer
	closed  bool
}

// anchorFile is the file, for people to read as well.
type anchorFile struct {
	About   string `json:"about"`
	Version int    `json:"version"`
	Mark
}

const anchorAbout = "outgo audit anchor: where the ledger's chain last stood; without it a ledger that was set back is not found out"

// Anchor returns the chain's anchor at path, whose directory must exist. failed
// is told, from another goroutine, of each failed write on behalf of Moved,
// which is tried again; it may be nil.
func (c *Chain) Anchor(path string, failed func(error)) *Anchor {
	if failed == nil {
		failed = func(error) {}
	}
	return &Anchor{path: path, chain: c, failed: failed}
}

// Read returns the mark in the file. It fails with fs.ErrNotExist where there is
// no file, and with ErrAnchor on one that this chain did not write.
func (a *Anchor) Read() (Mark, error) {
	text, err := os.ReadFile(a.path)
	if err != nil {
		return Mark{}, fmt.Errorf("read audit anchor: %w", err)
	}
	var f anchorFile
	if err := json.Unmarshal(text, &f); err != nil {
		return Mark{}, fmt.Errorf("read audit anchor %s: %w: %w", a.path, ErrAnchor, err)
	}
	if f.Version != 1 || !a.chain.signed(f.Mark, labelAnchor) {
		return Mark{}, fmt.Errorf("read audit anchor %s: %w", a.path, ErrAnchor)
	}
	return f.Mark, nil
}

// Write puts m, a committed head, in the file, durably and all or nothing.
func (a *Anchor) Write(m Mark) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	return a.write(m)
}

// write is Write with the file locked.
func (a *Anchor) write(m Mark) error {
	a.chain.sign(&m, labelAnchor)
	text, err := json.MarshalIndent(anchorFile{About: anchorAbout, Version: 1, Mark: m}, "", "  ")
	if err != nil {
		return fmt.Errorf("write audit anchor: %w", err)
	}
	if err := replaceFile(a.path, append(text, '\n')); err != nil {
		return fmt.Errorf("write audit anchor: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written = m.Seq
	if m.Seq > a.latest.Seq {
		a.latest = m
	}
	return nil
}

// Moved takes note of a head that is now committed, and returns at once; the
// file follows within a second. A head that is behind an earlier one is ignored:
// callers may come out of order.
func (a *Anchor) Moved(m Mark) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || m.Seq <= a.latest.Seq {
		return
	}
	a.latest = m
	if a.timer == nil {
		a.timer = time.AfterFunc(anchorEvery, a.follow)
	}
}

// follow writes what Moved has noted, and comes again while that fails.
func (a *Anchor) follow() {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.mu.Lock()
	m, behind := a.latest, a.latest.Seq > a.written && !a.closed
	a.timer = nil
	a.mu.Unlock()
	if !behind {
		return
	}
	err := a.write(m)
	if err == nil {
		return
	}
	a.mu.Lock()
	if !a.closed && a.timer == nil {
		a.timer = time.AfterFunc(anchorEvery, a.follow)
	}
	a.mu.Unlock()
	a.failed(err)
}

// Close writes the last head that Moved was given, if the file is behind it.
// Later calls of Moved do nothing.
func (a *Anchor) Close() error {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.mu.Lock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	m, behind := a.latest, a.latest.Seq > a.written
	a.mu.Unlock()
	if !behind {
		return nil
	}
	return a.write(m)
}

// replaceFile puts text at path: after a crash at any point, path has either
// what it had or all of text.
func replaceFile(path string, text []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".anchor-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		if rerr := os.Remove(f.Name()); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new name in dir survive a loss of power. Windows has no such
// thing.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
