package engine

import (
	"encoding/json"
	"fmt"

	"github.com/outgo/outgo/engine/store"
)

// formatJSON is the first byte of every value that is JSON behind it.
const formatJSON = 1

// getJSON reads the value at key into v. It fails with store.ErrNotFound, or on
// a format that this version does not know: an older program must not misread
// what a newer one wrote.
func getJSON(r store.Reader, key string, v any) error {
	b, err := r.Get(key)
	if err != nil {
		return err
	}
	return readJSON(key, b, v)
}

func readJSON(key string, b []byte, v any) error {
	if len(b) == 0 || b[0] != formatJSON {
		return fmt.Errorf("read %s: the value has a format that this version of outgo does not know", key)
	}
	if err := json.Unmarshal(b[1:], v); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

func putJSON(tx store.Tx, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return tx.Put(key, append([]byte{formatJSON}, b...))
}
