package engine

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// packed is the first byte of a kept reply, within its seal: S2 is behind it.
const packed = 1

// pack makes a reply smaller before it is sealed, which nothing can do
// afterwards. It takes microseconds, and less than writing what it saves: a reply
// is the larger part of what a payment writes.
func pack(reply []byte) []byte {
	out := make([]byte, 1+s2.MaxEncodedLen(len(reply)))
	out[0] = packed
	return out[:1+len(s2.Encode(out[1:], reply))]
}

// unpack returns what pack was given.
func unpack(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != packed {
		return nil, errors.New("read kept reply: its form is unknown to this version of outgo")
	}
	if n, err := s2.DecodedLen(b[1:]); err != nil || n > maxUnpacked {
		return nil, fmt.Errorf("read kept reply: %d bytes: %w", n, errors.Join(err, s2.ErrTooLarge))
	}
	reply, err := s2.Decode(nil, b[1:])
	if err != nil {
		return nil, fmt.Errorf("read kept reply: %w", err)
	}
	return reply, nil
}

// maxUnpacked is more than any reply that is taken to be kept.
const maxUnpacked = 16 << 20
