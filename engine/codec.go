package engine

import (
	"bytes"
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
	b, err := encodeJSON(key, v)
	if err != nil {
		return err
	}
	return tx.Put(key, b)
}

// encodeJSON returns the stored form of v, which is to be written at key.
func encodeJSON(key string, v any) ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte(formatJSON)
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write %s: %w", key, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
