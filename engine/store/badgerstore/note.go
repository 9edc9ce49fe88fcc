package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// noteKey is where Badger has its note. It is no key of a caller's.
const noteKey = "!journal!"

// A note says how far the journal is in Badger.
type note struct {
	folded uint64 // the last commit that is
	first  uint64 // the segment with the commit behind it
}

const noteFormat = 1

func (n note) encode() []byte {
	b := binary.LittleEndian.AppendUint64([]byte{noteFormat}, n.folded)
	return binary.LittleEndian.AppendUint64(b, n.first)
}

// readNote returns the note in Badger; found is false where there is none.
func readNote(db *badger.DB) (n note, found bool, err error) {
	err = db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(noteKey))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		return item.Value(func(b []byte) error {
			if len(b) != 17 || b[0] != noteFormat {
				return errors.New("it has another format")
			}
			n = note{binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[9:])}
			found = true
			return nil
		})
	})
	if err != nil {
		return n, false, fmt.Errorf("read the database's note on its journal: %w", err)
	}
	return n, found, nil
}

func (j *journal) writeNote(n note) error {
	err := j.db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(noteKey), n.encode()) })
	if err != nil {
		return fmt.Errorf("note the end of a fold: %w", err)
	}
	return nil
}
