package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// The stored form of an entry is one format byte, its fields in a fixed order,
// each with its length where it has no fixed one, and the SHA-256 of all that.
// Texts are compact; of a key, what is behind its last slash is one of its own. A
// given entry has exactly one such form, and decodeEntry reads no other.
const (
	format     = 2
	formatMark = 1 // of a mark, which is built alike
)

var errTruncated = errors.New("it ends too early")

// Fits fails with spend.Invalid on a time or a version that the stored form cannot
// hold.
func (e *Entry) Fits() error {
	if !time.Unix(0, e.At.UnixNano()).Equal(e.At) {
		return fmt.Errorf("time %s: %w: none, or out of range", e.At, spend.Invalid)
	}
	for _, p := range e.Policies {
		if p.Version < 0 || p.Version > math.MaxInt32 {
			return fmt.Errorf("version %d of policy %s: %w", p.Version, p.ID, spend.Invalid)
		}
	}
	return nil
}

// encode sets e.Hash and returns the stored form. It fails as Fits does.
func (e *Entry) encode() ([]byte, error) { return e.append(make([]byte, 0, e.size())) }

// append is encode behind b.
func (e *Entry) append(b []byte) ([]byte, error) {
	if err := e.Fits(); err != nil {
		return b, err
	}
	from := len(b)
	e.At = e.At.UTC().Round(0)
	// Only these two hold what others have written.
	e.Who, e.Note = strings.ToValidUTF8(e.Who, "\uFFFD"), strings.ToValidUTF8(e.Note, "\uFFFD")
	b = append(b, format)
	b = binary.AppendUvarint(b, e.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixNano()))
	b = append(b, e.Prev[:]...)
	for _, s := range [...]string{
		e.Event, string(e.Request), string(e.From), string(e.To), e.Who, string(e.Why), e.Note, e.Fingerprint,
	} {
		b = spend.AppendCompact(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Policies)))
	for _, p := range e.Policies {
		b = spend.AppendCompact(spend.AppendCompact(b, string(p.ID)), p.Name)
		b = binary.AppendUvarint(b, uint64(p.Version))
	}
	b = binary.AppendUvarint(b, uint64(len(e.Amounts)))
	for _, a := range e.Amounts {
		b = spend.AppendCompact(b, a)
	}
	b = appendHash(appendHash(b, e.Reply), e.Receipt)
	b = binary.AppendUvarint(b, uint64(len(e.Records)))
	for _, r := range e.Records {
		head, tail := keyParts(r.Key)
		b = appendHash(spend.AppendCompact(spend.AppendCompact(b, head), tail), r.Digest)
	}
	e.Hash = Sum(b[from:])
	return append(b, e.Hash[:]...), nil
}

// size is an upper estimate of the stored form's length, to allocate once.
func (e *Entry) size() int {
	n := 224 + len(e.Event) + len(e.Request) + len(e.From) + len(e.To) + len(e.Who) + len(e.Why) + len(e.Note) + len(e.Fingerprint)
	for _, p := range e.Policies {
		n += len(p.ID) + len(p.Name) + 8
	}
	for _, a := range e.Amounts {
		n += len(a) + 2
	}
	for _, r := range e.Records {
		n += len(r.Key) + len(r.Digest) + 3
	}
	return n
}

// keyParts takes a key apart behind its last slash.
func keyParts(key string) (head, tail string) {
	cut := strings.LastIndexByte(key, '/') + 1
	return key[:cut], key[cut:]
}

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendHash(b []byte, h Hash) []byte {
	if h.IsZero() {
		return append(b, 0)
	}
	return append(append(b, byte(len(h))), h[:]...)
}

// decodeEntry reads a stored entry and nothing else. It says nothing of whether its
// hash is right.
func decodeEntry(value []byte) (Entry, error) {
	e, rest, err := nextEntry(value)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes are left over", len(rest))
	}
	return e, err
}

// nextEntry reads the stored entry that value begins with, and returns what is
// behind it.
func nextEntry(value []byte) (e Entry, rest []byte, err error) {
	d := decoder{b: value}
	if f := d.byte(); d.err == nil && f != format {
		return e, nil, fmt.Errorf("format %d is not known to this version of outgo", f)
	}
	e.Seq = d.number()
	e.At = time.Unix(0, int64(d.uint64())).UTC()
	d.fixed(e.Prev[:])
	e.Event, e.Request = d.compact(), spend.ID(d.compact())
	e.From, e.To = spend.State(d.compact()), spend.State(d.compact())
	e.Who, e.Why, e.Note, e.Fingerprint = d.compact(), spend.Code(d.compact()), d.compact(), d.compact()
	if n := d.count(); n > 0 {
		e.Policies = make([]spend.PolicyRef, n)
		for i := range e.Policies {
			e.Policies[i] = spend.PolicyRef{ID: spend.ID(d.compact()), Name: d.compact(), Version: d.version()}
		}
	}
	if n := d.count(); n > 0 {
		e.Amounts = make([]string, n)
		for i := range e.Amounts {
			e.Amounts[i] = d.compact()
		}
	}
	e.Reply, e.Receipt = d.hash(), d.hash()
	if n := d.count(); n > 0 {
		e.Records = make([]Record, n)
		for i := range e.Records {
			e.Records[i] = Record{Key: d.key(), Digest: d.hash()}
		}
	}
	d.fixed(e.Hash[:])
	return e, d.b, d.err
}

// decoder takes values off the front of b. Its first error stays.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err, d.b = err, nil
	}
}

// end returns the first error, or one for what is left over.
func (d *decoder) end() error {
	if len(d.b) > 0 {
		d.fail(fmt.Errorf("%d bytes are left over", len(d.b)))
	}
	return d.err
}

// take returns the next n bytes, or nil.
func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail(errTruncated)
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) fixed(into []byte) { copy(into, d.take(len(into))) }

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	var b [8]byte
	d.fixed(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// number reads a variable-length number in its shortest form.
func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.b)
	switch {
	case size <= 0:
		d.fail(errTruncated)
		return 0
	case size > 1 && d.b[size-1] == 0:
		d.fail(errors.New("a number is longer than it need be"))
		return 0
	}
	d.b = d.b[size:]
	return n
}

// version reads a number that fits in a positive int of any machine.
func (d *decoder) version() int {
	n := d.number()
	if n > math.MaxInt32 {
		d.fail(errors.New("a version is too large"))
		return 0
	}
	return int(n)
}

// count reads how many items follow, of which each has a byte at least.
func (d *decoder) count() int {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.fail(errTruncated)
		return 0
	}
	return int(n)
}

func (d *decoder) text() string { return string(d.take(d.count())) }

// compact reads a compact text.
func (d *decoder) compact() string {
	s, rest, ok := spend.CutCompact(d.b)
	if !ok {
		d.fail(errors.New("it ends too early, or a text has no such form"))
		return ""
	}
	d.b = rest
	return s
}

// key reads the key of a record.
func (d *decoder) key() string {
	head, tail := d.compact(), d.compact()
	key := head + tail
	if h, _ := keyParts(key); h != head {
		d.fail(errors.New("a key is cut in the wrong place"))
	}
	return key
}

func (d *decoder) hash() (h Hash) {
	switch n := d.byte(); {
	case n == 0:
	case int(n) != len(h):
		d.fail(errors.New("a digest has the wrong length"))
	default:
		d.fixed(h[:])
		if d.err == nil && h.IsZero() {
			d.fail(errors.New("a digest is all zero"))
		}
	}
	return h
}
