package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// The labels under which marks are signed. A mark of one place is not one of
// another: a checkpoint cannot be passed off as a head.
const (
	labelHead       = "outgo audit head/1"
	labelCheckpoint = "outgo audit checkpoint/1"
	labelAnchor     = "outgo audit anchor/1"
)

// Mark is a place in a chain: its entry Seq has the hash Hash, and its first one
// has the hash Ledger, by which ledgers are told apart. The zero Mark is before
// the first entry.
type Mark struct {
	Seq    uint64    `json:"sequence"`
	Hash   Hash      `json:"hash,omitzero"`
	Ledger Hash      `json:"ledger,omitzero"`
	At     time.Time `json:"at,omitzero"` // of the entry
	MAC    string    `json:"mac,omitempty"`
}

// sign sets the mark's MAC for a place in this chain's store.
func (c *Chain) sign(m *Mark, label string) { m.MAC = c.mac(m, label) }

// signed reports whether the mark was signed for that place with this key.
func (c *Chain) signed(m Mark, label string) bool {
	return subtle.ConstantTimeCompare([]byte(m.MAC), []byte(c.mac(&m, label))) == 1
}

func (c *Chain) mac(m *Mark, label string) string {
	b := appendText(make([]byte, 0, 160), label)
	b = binary.BigEndian.AppendUint64(b, m.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.At.UnixNano()))
	b = append(append(b, m.Hash[:]...), m.Ledger[:]...)
	h := hmac.New(sha256.New, c.key)
	h.Write(b)
	return hex.EncodeToString(h.Sum(b[:0]))
}

// same reports whether two marks are the same place of the same ledger.
func (m Mark) same(o Mark) bool { return m.Seq == o.Seq && m.Hash == o.Hash && m.Ledger == o.Ledger }

// encode returns the stored form, built like that of an entry.
func (m Mark) encode() []byte {
	b := append(make([]byte, 0, 160), formatMark)
	b = binary.AppendUvarint(b, m.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.At.UnixNano()))
	b = append(b, m.Hash[:]...)
	b = append(b, m.Ledger[:]...)
	return appendText(b, m.MAC)
}

func decodeMark(value []byte) (Mark, error) {
	var m Mark
	d := decoder{b: value}
	if f := d.byte(); d.err == nil && f != formatMark {
		return m, fmt.Errorf("format %d is not known to this version of outgo", f)
	}
	m.Seq = d.number()
	m.At = time.Unix(0, int64(d.uint64())).UTC()
	d.fixed(m.Hash[:])
	d.fixed(m.Ledger[:])
	m.MAC = d.text()
	if err := d.end(); err != nil {
		return Mark{}, err
	}
	return m, nil
}
