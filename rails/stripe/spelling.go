package stripe

import (
	"strings"
	"unicode/utf8"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// What a byte of a form may be.
const (
	isFree    = 1 << iota // a letter, a digit, '-', '.', '_' or '~': it stands for itself
	isBracket             // '[' or ']'
	isOdd                 // a control byte, a semicolon, or outside ASCII
	isDigit               // hexadecimal
	inWord                // a lower-case letter, a digit or '_'
)

// classes says of each byte what it may be. It is a constant, so that a look at it
// is all that a byte costs; a test spells it out.
const classes = "" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00" +
	"\x19\x19\x19\x19\x19\x19\x19\x19\x19\x19\x00\x04\x00\x00\x00\x00" +
	"\x00\x09\x09\x09\x09\x09\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01" +
	"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x02\x00\x02\x00\x11" +
	"\x00\x19\x19\x19\x19\x19\x19\x11\x11\x11\x11\x11\x11\x11\x11\x11" +
	"\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x11\x00\x00\x00\x01\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04"

// spelling reports whether raw has anything to decode, and whether it is spelled as
// appendEscaped would spell what it decodes to.
func spelling(raw string, brackets bool) (coded, plain bool) {
	asIs := byte(isFree)
	if brackets {
		asIs |= isBracket
	}
	plain = true
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case classes[c]&asIs != 0:
		case c != '%':
			coded, plain = coded || c == '+', false
		default:
			coded = true
			if i+2 >= len(raw) {
				return true, false
			}
			high, low := strings.IndexByte(upperHex, raw[i+1]), strings.IndexByte(upperHex, raw[i+2])
			if high < 0 || low < 0 {
				plain = false
				continue
			}
			plain = plain && classes[byte(high<<4|low)]&asIs == 0 //nolint:gosec // two digits make a byte
			i += 2
		}
	}
	return coded, plain
}

// unescape decodes once what is coded, and refuses what only decoding brings to
// light. Of raw, checkBytes has seen all.
func unescape(raw string, coded bool) (string, error) {
	if !coded {
		return raw, nil
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '+':
			b.WriteByte(' ')
		case '%':
			if i+2 >= len(raw) || classes[raw[i+1]]&classes[raw[i+2]]&isDigit == 0 {
				return "", rails.Refusef(spend.Malformed, "", "a parameter has a broken percent-escape")
			}
			b.WriteByte(unhex(raw[i+1])<<4 | unhex(raw[i+2]))
			i += 2
		default:
			b.WriteByte(c)
		}
	}
	s := b.String()
	if !utf8.ValidString(s) {
		return "", rails.Refusef(spend.Malformed, "", "a parameter is not UTF-8 when decoded")
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", rails.Refusef(spend.Malformed, "", "a parameter holds an encoded NUL")
	}
	return s, nil
}

// unhex is the value of a hexadecimal digit.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&0xf + 9
}

// upperHex are the digits of escapes.
const upperHex = "0123456789ABCDEF"

func appendEscaped(b []byte, s string, brackets bool) []byte {
	asIs := byte(isFree)
	if brackets {
		asIs |= isBracket
	}
	for i := range len(s) {
		if c := s[i]; classes[c]&asIs != 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}
