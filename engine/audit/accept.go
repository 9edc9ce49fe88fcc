package audit

import (
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// Accept appends an operator's word that the ledger was restored from a backup,
// with where it stood and where the anchor stood, so that the gap is never
// hidden. found is a whole verification of the same ledger; Accept fails with
// spend.InvalidState when it is not, or when the ledger has moved since, and with
// ErrBroken when anything but the anchor is wrong: a damaged chain is not a
// backup. The caller writes the new head to the anchor after the commit.
func (c *Chain) Accept(tx store.Tx, found Report, at time.Time, who string) error {
	head, err := c.Head(tx)
	if err != nil {
		return fmt.Errorf("accept restored ledger: %w", err)
	}
	switch {
	case !found.Whole || !head.same(found.Head):
		return fmt.Errorf("accept restored ledger: %w: verify the whole of it first, with nothing else running", spend.InvalidState)
	case !found.chainSound():
		return fmt.Errorf("accept restored ledger: %w; restore another backup", found.Err())
	case found.Sound():
		return fmt.Errorf("accept restored ledger: %w: it agrees with its anchor, so there is nothing to accept", spend.InvalidState)
	}
	note := fmt.Sprintf("restored from a backup at entry %d; there was no anchor to tell how much is lost", head.Seq)
	if a := found.Anchor; a.Seq > 0 {
		note = fmt.Sprintf("restored from a backup at entry %d; the anchor stood at entry %d (%s) of ledger %s", head.Seq, a.Seq, a.Hash, a.Ledger)
	}
	return c.Append(tx, Entry{At: at, Event: Restored, Who: who, Note: note})
}
