package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/store"
)

// position is the value at keys.head: how far the ledger has come. Each batch reads
// and writes it.
type position struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
}

// formatPosition is the first byte of a stored position; its fields follow. Ledgers
// from before there was this form have it as JSON.
const formatPosition = 2

func (h *position) fields(p *packer) {
	p.uint(&h.Seq)
	p.since(&h.Time)
}

func (h *position) stored() []byte {
	p := packer{b: append(make([]byte, 0, 24), formatPosition)}
	h.fields(&p)
	return p.b
}

// readPosition reads the position at key, which is nought where there is none. It
// fails on a format that this version does not know.
func readPosition(r store.Reader, key string) (h position, err error) {
	stored, err := r.Get(key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return h, nil
	case err == nil && (len(stored) == 0 || stored[0] != formatPosition):
		err = readJSON(key, stored, &h)
	case err == nil:
		p := packer{b: stored[1:], reading: true}
		h.fields(&p)
		err = p.end()
	}
	if err != nil {
		return position{}, fmt.Errorf("read head: %w", err)
	}
	return h, nil
}
