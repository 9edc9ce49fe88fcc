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
	inName                // that, or '[' or ']': it stands for itself in a name
	isOdd                 // a control byte, a semicolon, or outside ASCII
	isDigit               // hexadecimal
	inWord                // a lower-case letter, a digit or '_'
	endsName              // '=' or '&'
	endsValue             // '&'
)

// classes says of each byte what it may be. It is a constant, so that a look at it
// is all that a byte costs; a test spells it out.
const classes = "" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x00\x00\x00\x00\x00\x00\x60\x00\x00\x00\x00\x00\x00\x03\x03\x00" +
	"\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x1b\x00\x04\x00\x20\x00\x00" +
	"\x00\x0b\x0b\x0b\x0b\x0b\x0b\x03\x03\x03\x03\x03\x03\x03\x03\x03" +
	"\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x02\x00\x02\x00\x13" +
	"\x00\x1b\x1b\x1b\x1b\x1b\x1b\x13\x13\x13\x13\x13\x13\x13\x13\x13" +
	"\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x13\x00\x00\x00\x03\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04" +
	"\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04"

// measure returns how many bytes of raw stand before the first that is an end, or
// all; what each of them is, and what some are.
func measure(raw string, end byte) (size int, each, some byte) {
	each = 0xff
	for size < len(raw) {
		class := classes[raw[size]]
		if class&end != 0 {
			break
		}
		each, some, size = each&class, some|class, size+1
	}
	return size, each, some
}

// spelling reports whether raw has anything to decode, and whether it is plain:
// spelled as appendEscaped would spell what it decodes to, with the bytes that
// stand for themselves being those of class asIs. What it decodes to is tame where
// nothing in that is odd; what is plain and tame can be decoded.
func spelling(raw string, asIs byte) (coded, plain, tame bool) {
	plain, tame = true, true
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			coded = true
			if i+2 >= len(raw) {
				return true, false, false
			}
			high, low := strings.IndexByte(upperHex, raw[i+1]), strings.IndexByte(upperHex, raw[i+2])
			if high < 0 || low < 0 {
				plain = false
				continue
			}
			class := classes[byte(high<<4|low)] //nolint:gosec // two digits make a byte
			plain, tame = plain && class&asIs == 0, tame && class&isOdd == 0
			i += 2
			continue
		}
		if classes[c]&asIs == 0 {
			coded, plain = coded || c == '+', false
		}
	}
	return coded, plain, tame
}

// unescape decodes once what is coded, and refuses what only decoding brings to
// light. Of raw, checkBytes is to see all.
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

// appendEscaped writes s, in which the bytes of class asIs stand for themselves.
func appendEscaped(b []byte, s string, asIs byte) []byte {
	for i := range len(s) {
		if c := s[i]; classes[c]&asIs != 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}
