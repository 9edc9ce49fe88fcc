package spend

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// idLength is that of an ID as NewID writes it, rawLength that of what it writes.
const (
	idLength  = 36
	rawLength = 16
)

// AppendRaw appends the 16 bytes that id writes in hex. It fails with Invalid on one
// that NewID does not write so, and appends nothing.
func (id ID) AppendRaw(b []byte) ([]byte, error) {
	if len(id) == idLength && id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-' {
		var raw [rawLength]byte
		wrong := byte(0)
		for i := range raw {
			high, low := digit(id[digitsAt[i]]), digit(id[digitsAt[i]+1])
			raw[i] = high<<4 | low
			wrong |= high | low
		}
		if wrong <= 15 {
			return append(b, raw[:]...), nil
		}
	}
	return b, fmt.Errorf("id %.64q: %w: not of the form that outgo gives out", strings.Clone(string(id)), Invalid)
}

// digitsAt is where in an ID the digits of each byte begin.
const digitsAt = "\x00\x02\x04\x06\x09\x0b\x0e\x10\x13\x15\x18\x1a\x1c\x1e\x20\x22"

// RawID returns the ID of which AppendRaw has appended raw.
func RawID(raw [rawLength]byte) ID {
	s := [idLength]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	hex.Encode(s[:8], raw[:4])
	hex.Encode(s[9:13], raw[4:6])
	hex.Encode(s[14:18], raw[6:8])
	hex.Encode(s[19:23], raw[8:10])
	hex.Encode(s[24:], raw[10:])
	return ID(s[:])
}

// The forms of a compact text, in the remainder of its number.
const (
	asItIs    = iota // the quotient is its length
	asHex            // the quotient is the length of the bytes that it writes
	asID             // the number is this: 16 bytes follow
	textForms        // how many there are
)

// AppendCompact appends s with its length before it: as the bytes that it writes
// where it is a digest in hex or an ID, which are half as many. Each text has one
// form.
func AppendCompact(b []byte, s string) []byte {
	from := len(b)
	switch {
	case len(s) == idLength && s[8] == '-':
		if b, err := ID(s).AppendRaw(append(b, asID)); err == nil {
			return b
		}
	case mayBeHex(s):
		b = binary.AppendUvarint(b, uint64(len(s)/2*textForms+asHex))
		at := len(b)
		b = slices.Grow(b, len(s)/2)[:at+len(s)/2]
		if readHex(b[at:], s) {
			return b
		}
	}
	return appendAsItIs(b[:from], s)
}

func appendAsItIs(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s)*textForms+asItIs)), s...)
}

// CutCompact takes a text off the front of what AppendCompact has appended. It
// reports false where no text has such a form.
func CutCompact(b []byte) (s string, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || size > 1 && b[size-1] == 0 {
		return "", nil, false
	}
	form, length := n%textForms, n/textForms
	if form == asID {
		length = rawLength
	}
	if length > uint64(len(b)-size) {
		return "", nil, false
	}
	raw := b[size : size+int(length)] //nolint:gosec // no more than there is
	rest = b[size+len(raw):]
	switch form {
	case asHex:
		s = hex.EncodeToString(raw)
		return s, rest, isHex(s)
	case asID:
		return string(RawID([rawLength]byte(raw))), rest, n == asID
	}
	if s = string(raw); isHex(s) {
		return "", nil, false
	}
	if len(s) == idLength {
		var room [rawLength]byte
		if _, err := ID(s).AppendRaw(room[:0]); err == nil {
			return "", nil, false
		}
	}
	return s, rest, true
}

// digit is the value of a hex digit in lower case, 255 for another byte.
func digit(c byte) byte { return digits[c] }

// digits are the values of all bytes as hex digits, in a table because the digits of
// a digest are as good as drawn: whatever branches on them guesses wrong.
const (
	none   = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
	digits = none + none + none + "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\xff\xff\xff\xff\xff\xff" +
		none + none + "\xff\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff" + none +
		none + none + none + none + none + none + none + none
)

// mayBeHex reports whether s is of the length of a digest in hex.
func mayBeHex(s string) bool { return len(s) >= 16 && len(s)%2 == 0 }

// readHex reports whether s is what hex.EncodeToString returns of as many bytes as b
// has, and puts them there. Otherwise it leaves anything there.
func readHex(b []byte, s string) bool {
	for i := range b {
		high, low := digit(s[2*i]), digit(s[2*i+1])
		if high|low > 15 {
			return false
		}
		b[i] = high<<4 | low
	}
	return true
}

// isHex reports whether s is what hex.EncodeToString returns, and long enough for
// that to be no chance.
func isHex(s string) bool {
	if !mayBeHex(s) {
		return false
	}
	for i := range len(s) {
		if digit(s[i]) > 15 {
			return false
		}
	}
	return true
}
