package engine

import (
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// dedup is the value at keys.dedup. The fingerprint that belongs to the key is
// that of the request.
type dedup struct {
	Request spend.ID
	At      time.Time
}

// formatDedup is the first byte of a stored dedup; its fields follow.
const formatDedup = 2

func (d *dedup) fields(p *packer) {
	text(p, &d.Request)
	p.since(&d.At)
}

func (d *dedup) stored() []byte {
	p := packer{b: append(make([]byte, 0, 32), formatDedup)}
	d.fields(&p)
	return p.b
}

// readDedup reads what is known of an idempotency key, at key. It fails with
// store.ErrNotFound, or on a format that this version does not know.
func readDedup(r store.Reader, key string) (d dedup, err error) {
	stored, err := r.Get(key)
	if err != nil {
		return d, err
	}
	if len(stored) == 0 || stored[0] != formatDedup {
		return d, fmt.Errorf("read %s: the value has a format that this version of outgo does not know", key)
	}
	p := packer{b: stored[1:], reading: true}
	d.fields(&p)
	if err := p.end(); err != nil {
		return dedup{}, fmt.Errorf("read %s: %v", key, err) //nolint:errorlint // nobody's input, as in readRequest
	}
	return d, nil
}
