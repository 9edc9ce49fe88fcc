package engine

import (
	"encoding/binary"
	"math/bits"

	"github.com/klauspost/compress/s2"
)

// A squeezer writes S2 with a dictionary, as s2.Dict.Encode does, for texts as short
// as replies are. That clears 64 KiB of stack for each of them, which takes longer than
// the rest, and makes the stack of each connection twice as large; a table of 4 KiB
// finds as much in two kilobytes. Longer texts are left to it, and so is all reading.
type squeezer struct {
	dict  *s2.Dict
	text  []byte                 // of dict
	known [1 << knownBits]uint16 // where in text eight bytes of a hash stand, and one
}

const (
	knownBits  = 13       // of the table of the dictionary
	foundBits  = 11       // of the table of a text
	squeezable = 48 << 10 // up to which length no offset needs more than two bytes
	shortest   = 4        // of what is copied
	wordLength = 8        // what is read at once
)

func newSqueezer(text string) *squeezer {
	q := &squeezer{dict: s2.MakeDict([]byte(text), nil), text: []byte(text)}
	for i := 0; i+wordLength <= len(q.text); i++ {
		q.known[wordHash(word(q.text, i), knownBits)] = uint16(i + 1) //nolint:gosec // the text is far shorter
	}
	return q
}

func word(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// wordHash is a hash, of so many bits, of the first six bytes of w.
func wordHash(w uint64, bits int) uint64 { return (w << 16) * 227718039650203 >> (64 - bits) }

// append appends src, squeezed.
func (q *squeezer) append(out, src []byte) []byte {
	if len(src) > squeezable {
		return append(out, q.dict.Encode(nil, src)...)
	}
	var found [1 << foundBits]uint16 // as known, of src
	out = binary.AppendUvarint(out, uint64(len(src)))
	done, last := 0, 0 // what is written of src, and the offset of the last copy
	for i := 0; i+wordLength <= len(src); {
		w := word(src, i)
		slot := &found[wordHash(w, foundBits)]
		offset, n := q.best(src, i, w, int(*slot), int(q.known[wordHash(w, knownBits)]))
		*slot = uint16(i + 1) //nolint:gosec // no more than squeezable
		if n < shortest {
			i += 2 + (i-done)>>5 // where little is in common, the next is no likelier
			continue
		}
		for i > done && q.extends(src, i, offset) {
			i, n = i-1, n+1
		}
		out = appendLiteral(out, src[done:i])
		out = appendCopy(out, offset, n, offset == last)
		i, last = i+n, offset
		done = i
	}
	return appendLiteral(out, src[done:])
}

// best is what src at i, which begins with w, is best copied from: where found has seen
// the same, or where the dictionary has it. An offset beyond i is one into the
// dictionary, which stands before src.
func (q *squeezer) best(src []byte, i int, w uint64, found, known int) (offset, n int) {
	if found > 0 && begins(src[found-1:], w) {
		offset, n = i+1-found, commonLength(src[found-1:], src[i:])
	}
	if known > 0 && begins(q.text[known-1:], w) {
		if m := commonLength(q.text[known-1:], src[i:]); m > n {
			offset, n = i+len(q.text)+1-known, m
		}
	}
	return offset, n
}

// begins reports whether b begins with the first four bytes of w.
func begins(b []byte, w uint64) bool {
	return len(b) >= shortest && binary.LittleEndian.Uint32(b) == uint32(w) //nolint:gosec // the first four
}

func commonLength(a, b []byte) (n int) {
	for n+wordLength <= len(a) && n+wordLength <= len(b) {
		if diff := word(a, n) ^ word(b, n); diff != 0 {
			return n + bits.TrailingZeros64(diff)/8
		}
		n += wordLength
	}
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// extends reports whether a copy to i may begin a byte earlier. No copy begins in the
// dictionary and ends in src.
func (q *squeezer) extends(src []byte, i, offset int) bool {
	switch at := i - 1 - offset; {
	case at >= 0:
		return src[at] == src[i-1]
	case at == -1:
		return false // it begins where src does
	default:
		at += len(q.text)
		return at >= 0 && q.text[at] == src[i-1]
	}
}

// The kinds of what S2 consists of, in the lowest bits of its first byte.
const (
	_        = iota // bytes as they are
	tagCopy1        // of 4 to 11 bytes, with an offset of 11 bits; none = that of the last
	tagCopy2        // of 1 to 64, with one of 16
)

func appendLiteral(out, literal []byte) []byte {
	switch n := len(literal) - 1; {
	case n < 0:
		return out
	case n < 60:
		out = append(out, byte(n<<2))
	case n < 1<<8:
		out = append(out, 60<<2, byte(n))
	default:
		out = append(out, 61<<2, byte(n), byte(n>>8))
	}
	return append(out, literal...)
}

// appendCopy appends a copy of n bytes. again says that the last one has the offset.
func appendCopy(out []byte, offset, n int, again bool) []byte {
	if !again && n > 64 { // more than one copy can hold
		const first = 60
		return appendCopy(appendCopy(out, offset, first, false), offset, n-first, true)
	}
	near := offset < 1<<11 && n < 12
	switch rest := n - 4; {
	case again && n <= 8:
		return append(out, byte(rest<<2|tagCopy1), 0)
	case near:
		return append(out, byte(offset>>8<<5|rest<<2|tagCopy1), byte(offset))
	case !again:
		return append(out, byte((n-1)<<2|tagCopy2), byte(offset), byte(offset>>8))
	case rest < 4+1<<8:
		return append(out, 5<<2|tagCopy1, 0, byte(rest-4))
	default:
		rest -= 1 << 8
		return append(out, 6<<2|tagCopy1, 0, byte(rest), byte(rest>>8))
	}
}
