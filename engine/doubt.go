package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// ErrStopped is wrapped by what Options.Alarm is told when the ledger has stopped
// for good and only a new start of the process can go on.
var ErrStopped = fmt.Errorf("the ledger has stopped, start outgo again: %w", spend.Unavailable)

// A Reopener is a store that can be opened again in place after a commit whose
// outcome it could not tell, with what its disk then holds. It must not sync
// again what has failed to sync. A store that is none needs a new process.
type Reopener interface {
	Reopen(context.Context) error
}

// A doubt is a batch of which nobody knows whether it was kept. All of its callers
// have been told Unavailable, so none has sent what it had begun.
type doubt struct {
	before, after audit.Mark // where the chain stood, and stands if it was kept
	kept          []kept
	hooks         []func()
	begun         []spend.ID
	cause         error
}

// doubtWait is how long after the beginning of a doubt an action waits for its end.
// Reading back takes milliseconds where it can be done at all, and whoever repeats a
// call that is in doubt had better be told what came of it than that outgo does not
// know.
const doubtWait = 5 * time.Second

// standing returns why nothing is to be committed, or nil. While there is a doubt it
// waits.
func (c *committer) standing() error {
	c.mu.Lock()
	err, known, until := c.stopped, c.known, c.patience
	c.mu.Unlock()
	if known == nil {
		return err
	}
	patience := time.NewTimer(time.Until(until))
	defer patience.Stop()
	select {
	case <-known:
	case <-patience.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// tellWaiting ends the waits for the end of a doubt. It is called with mu held.
func (c *committer) tellWaiting() {
	if c.known != nil {
		close(c.known)
		c.known = nil
	}
}

// settleDoubt finds out what became of a batch while the committer takes no work,
// and lets it go on then. Where the store cannot be opened again in place, what
// the batch had begun is noted for the next start, and the ledger stays stopped.
func (e *Engine) settleDoubt(ctx context.Context, d doubt) {
	err := e.noteUnsent(unsent{d.after, d.begun})
	if err != nil {
		e.opt.Alarm(fmt.Errorf("note what was begun and not sent, it stays counted: %w", err))
	}
	if err = e.readBack(ctx, d); err == nil {
		e.commit.resume()
		return
	}
	if ctx.Err() == nil {
		err = fmt.Errorf("%w: a write may or may not have been kept (%w), and it cannot be read back here: %w", ErrStopped, d.cause, err)
		e.commit.stop(err)
		e.opt.Alarm(err)
	}
}

func (e *Engine) readBack(ctx context.Context, d doubt) error {
	again, ok := e.store.(Reopener)
	if !ok {
		return errors.New("this store is read back by a new process only")
	}
	if err := again.Reopen(ctx); err != nil {
		return err
	}
	if err := e.history.look(ctx); err != nil {
		return err
	}
	var head audit.Mark
	err := e.store.View(ctx, func(r store.Reader) (err error) { head, err = e.history.chain.Head(r); return err })
	switch {
	case err != nil:
		return err
	case d.after.Seq == 0, head.Seq == d.before.Seq && head.Hash == d.before.Hash:
		return e.dropUnsent() // it had not even come to a commit, or was not kept
	case head.Seq != d.after.Seq || head.Hash != d.after.Hash:
		return fmt.Errorf("%w: it stands at entry %d, neither before the write nor behind it", audit.ErrBroken, head.Seq)
	}
	if e.history.anchor != nil {
		e.history.anchor.Moved(head)
	}
	for _, k := range d.kept {
		e.durable(k)
	}
	for _, f := range d.hooks {
		f()
	}
	if err := e.failUnsent(d.begun, e.commit.alone); err != nil {
		return err
	}
	return e.dropUnsent()
}

// failUnsent ends, each by an action of its own, requests that were begun by a
// commit whose caller was told that it had failed, and of which therefore not one
// byte was sent.
func (e *Engine) failUnsent(ids []spend.ID, do func(action) error) error {
	for _, id := range ids {
		err := do(func(t *txn) error {
			r, err := e.load(t, id)
			if errors.Is(err, spend.NotFound) || err == nil && r.State != spend.Executing {
				return nil
			} else if err != nil {
				return err
			}
			if err := e.move(t, &r, fail); err != nil {
				return err
			}
			r.Why = spend.NeverSent
			return e.save(t, &r, deed{event: fail, from: spend.Executing, who: itself, note: "the commit that began it was in doubt, and its caller was told no"})
		})
		if err != nil {
			return fmt.Errorf("fail request %s, which was never sent: %w", id, err)
		}
	}
	return nil
}

// unsentSuffix is what the file with the unsent is called, behind the anchor's name.
const unsentSuffix = ".unsent"

// unsent are the requests that a commit in doubt has begun. Kept is where the chain
// stands if it was kept: a list of a commit that was not says nothing of what these
// requests have come to since. One of a commit that was kept may be read any number of
// times, since what it names can never be begun again.
type unsent struct {
	Kept     audit.Mark `json:"kept"`
	Requests []spend.ID `json:"requests"`
}

// noteUnsent keeps u for the next start, sealed: who could write that list could
// give budget back.
func (e *Engine) noteUnsent(u unsent) error {
	if e.opt.AnchorPath == "" || len(u.Requests) == 0 {
		return nil
	}
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(e.opt.AnchorPath+unsentSuffix, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(e.sealer.Seal(text, e.unsentPlace()))
	return errors.Join(err, f.Sync(), f.Close())
}

// unsentPlace binds the sealed list to this ledger.
func (e *Engine) unsentPlace() string { return e.keys.prefix + strings.TrimPrefix(unsentSuffix, ".") }

func (e *Engine) dropUnsent() error {
	if e.opt.AnchorPath == "" {
		return nil
	}
	if err := os.Remove(e.opt.AnchorPath + unsentSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// adoptUnsent ends what an earlier life of this ledger has noted as never sent. A
// list that cannot be read ends nothing: those requests stay counted.
func (e *Engine) adoptUnsent(ctx context.Context) error {
	if e.opt.AnchorPath == "" {
		return nil
	}
	sealed, err := os.ReadFile(e.opt.AnchorPath + unsentSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var u unsent
	text, err := e.sealer.Open(sealed, e.unsentPlace())
	if err == nil {
		err = json.Unmarshal(text, &u)
	}
	if err != nil {
		e.opt.Alarm(fmt.Errorf("read what was begun and not sent, it stays counted: %w", err))
		return nil
	}
	kept := false
	err = e.store.View(ctx, func(r store.Reader) (err error) { kept, err = e.history.chain.Has(r, u.Kept); return err })
	if err == nil && kept {
		err = e.failUnsent(u.Requests, func(a action) error { return e.commit.do(ctx, a) })
	}
	if err != nil {
		return err
	}
	return e.dropUnsent()
}
