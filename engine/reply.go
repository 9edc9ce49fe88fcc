package engine

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

const (
	// replyKept is how long a reply is kept for repeats of the same call.
	replyKept = 24 * time.Hour
)

// keepReply keeps the reply of r, which has just been settled.
func (e *Engine) keepReply(t *txn, r *spend.Request, sealed []byte) error {
	if len(sealed) > maxValueBytes {
		return nil
	}
	return t.Put(e.keys.reply(r.ID, r.Changed), sealed)
}

// Reply returns the kept reply of a settled request, or NotFound.
func (e *Engine) Reply(ctx context.Context, id spend.ID) ([]byte, error) {
	var sealed []byte
	err := e.view(ctx, func(rd store.Reader) error {
		r, err := e.load(rd, id)
		if err == nil && e.clock().Sub(r.Changed) >= replyKept {
			err = store.ErrNotFound // whether it was swept by now or not
		}
		if err == nil {
			sealed, err = rd.Get(e.keys.reply(id, r.Changed))
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("reply of request %.64q: %w", id, spend.NotFound)
	} else if err != nil {
		return nil, err
	}
	b, err := e.sealer.Open(sealed, e.keys.sealedReply(id))
	if err != nil {
		return nil, err
	}
	return e.packing.unpack(b)
}

// packed is the first byte of a kept reply, within its seal: behind it is S2 with
// commonText for its dictionary. Another text needs another number.
const packed = 2

// commonText is what the replies of payments have in common: without it, most of a
// reply of two kilobytes is names of fields that are null.
//
//go:embed replies.txt
var commonText string

// packing makes replies smaller before they are sealed, which nothing can do
// afterwards. It takes microseconds, and less than writing what it saves: a reply
// would be the larger part of what a payment writes.
type packing struct {
	common *squeezer
	room   *sync.Pool // of *[]byte, for what is packed and not yet sealed
}

func newPacking() packing {
	return packing{newSqueezer(commonText), &sync.Pool{New: func() any { return new([]byte) }}}
}

func (p packing) pack(reply []byte) []byte { return p.packIn(nil, reply) }

// packIn is pack in the memory of out, where that is enough.
func (p packing) packIn(out, reply []byte) []byte {
	out = slices.Grow(out[:0], 1+s2.MaxEncodedLen(len(reply)))
	return p.common.append(append(out, packed), reply)
}

// sealed packs a reply and seals it for a place.
func (p packing) sealed(s Sealer, reply []byte, place string) []byte {
	room := p.room.Get().(*[]byte) //nolint:errcheck,forcetypeassert // nothing else is in it
	*room = p.packIn(*room, reply)
	sealed := s.Seal(*room, place)
	if cap(*room) <= maxRoom {
		p.room.Put(room)
	}
	return sealed
}

// maxRoom bounds the memory that is kept for the next reply.
const maxRoom = 64 << 10

// unpack returns what pack was given.
func (p packing) unpack(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != packed {
		return nil, errors.New("read kept reply: its form is unknown to this version of outgo")
	}
	if n, err := s2.DecodedLen(b[1:]); err != nil || n > maxUnpacked {
		return nil, fmt.Errorf("read kept reply: %d bytes: %w", n, errors.Join(err, s2.ErrTooLarge))
	}
	reply, err := p.common.dict.Decode(nil, b[1:])
	if err != nil {
		return nil, fmt.Errorf("read kept reply: %w", err)
	}
	return reply, nil
}

// maxUnpacked is more than any reply that is taken to be kept.
const maxUnpacked = 16 << 20
