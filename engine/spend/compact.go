package spend

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
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
	from := len(b)
	for i := 0; len(id) == idLength && i < idLength; i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if id[i] != '-' {
				break
			}
			continue
		}
		high, low := digit(id[i]), digit(id[i+1])
		if i++; high|low > 15 {
			break
		}
		b = append(b, high<<4|low)
	}
	if len(b) != from+rawLength {
		return b[:from], fmt.Errorf("id %.64q: %w: not of the form that outgo gives out", strings.Clone(string(id)), Invalid)
	}
	return b, nil
}

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
	if isHex(s) {
		b = binary.AppendUvarint(b, uint64(len(s)/2*textForms+asHex))
		for i := 0; i < len(s); i += 2 {
			b = append(b, digit(s[i])<<4|digit(s[i+1]))
		}
		return b
	}
	if len(s) == idLength && s[8] == '-' {
		from := len(b)
		b, err := ID(s).AppendRaw(append(b, asID))
		if err == nil {
			return b
		}
		return appendAsItIs(b[:from], s)
	}
	return appendAsItIs(b, s)
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
func digit(c byte) byte {
	if n := c - '0'; n <= 9 {
		return n
	}
	if n := c - 'a'; n <= 5 {
		return n + 10
	}
	return 255
}

// isHex reports whether s is what hex.EncodeToString returns, and long enough for
// that to be no chance.
func isHex(s string) bool {
	if len(s) < 16 || len(s)%2 != 0 {
		return false
	}
	for i := range len(s) {
		if digit(s[i]) > 15 {
			return false
		}
	}
	return true
}
