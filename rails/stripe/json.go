package stripe

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// The bounds of a JSON body, beside maxPairs: more than any call of Stripe's SDKs
// needs.
const (
	maxNesting = 16  // objects and lists in one another
	maxKey     = 255 // bytes of a name, decoded
	maxDigits  = 40  // bytes of a number with a fraction
)

// jsonKind says what a parameter is in JSON.
type jsonKind byte

const (
	jsonNone jsonKind = iota // a parameter of a form, which knows but text
	jsonText
	jsonNumber
	jsonBoolean
	jsonNull
	jsonObject // of a parameter: one without members
	jsonList   // of a parameter: one without elements
)

// jsonValue is one value of a JSON body.
type jsonValue struct {
	kind  jsonKind
	text  string // decoded of a text, as it came of a number and a boolean
	names []string
	parts []jsonValue // the members of an object, one for each name, or the elements of a list
}

// jsonDecoder reads a JSON body that has one reading for all parsers known. The first
// thing that is wrong ends it.
type jsonDecoder struct {
	raw    string
	at     int
	leaves int // values that are no object or list with something in it
}

// decodeJSON reads a body that must be one object: code Malformed for broken syntax,
// Ambiguous for names that parsers take for one another. Numbers keep their spelling,
// and none is admitted that some parsers round: no exponent, no minus zero, no whole
// number beyond int64.
func decodeJSON(raw string) (jsonValue, error) {
	switch {
	case !utf8.ValidString(raw):
		return jsonValue{}, rails.Refusef(spend.Malformed, "", "the body is not UTF-8")
	case strings.HasPrefix(raw, "\ufeff"):
		return jsonValue{}, rails.Refusef(spend.Malformed, "", "the body starts with a byte order mark")
	}
	d := jsonDecoder{raw: raw}
	d.space()
	if d.peek() != '{' {
		return jsonValue{}, rails.Refusef(spend.Malformed, "", "the body is no JSON object")
	}
	v, err := d.value("", "", 1)
	if err != nil {
		return jsonValue{}, err
	}
	if d.space(); d.at < len(raw) {
		return jsonValue{}, rails.Refusef(spend.Malformed, "", "something follows the JSON object that is the body")
	}
	return v, nil
}

// value reads the value that stands next. It is called name, and parent names the
// object that it is, if it is one.
func (d *jsonDecoder) value(name, parent string, depth int) (v jsonValue, err error) {
	switch c := d.peek(); {
	case depth > maxNesting && (c == '{' || c == '['):
		err = rails.Refusef(spend.Malformed, "", "the body is nested more than %d deep", maxNesting)
	case c == '{':
		err = d.object(&v, name, parent, depth)
	case c == '[':
		err = d.list(&v, name, depth)
	case c == '"':
		v.kind = jsonText
		v.text, err = d.text(name)
	case c == '-' || '0' <= c && c <= '9':
		v.kind = jsonNumber
		v.text, err = d.number(name)
	case d.word("true"):
		v = jsonValue{kind: jsonBoolean, text: "true"}
	case d.word("false"):
		v = jsonValue{kind: jsonBoolean, text: "false"}
	case d.word("null"):
		v = jsonValue{kind: jsonNull}
	default:
		err = d.broken(name)
	}
	if err != nil || len(v.parts) > 0 {
		return v, err
	}
	if d.leaves++; d.leaves > maxPairs {
		return jsonValue{}, rails.Refusef(spend.Malformed, "", "more than %d parameters", maxPairs)
	}
	return v, nil
}

// object reads an object, of which every name must stand once, whatever its case.
func (d *jsonDecoder) object(v *jsonValue, name, parent string, depth int) error {
	v.kind = jsonObject
	d.at += len("{")
	if d.space(); d.word("}") {
		return nil
	}
	seen := map[string]bool{}
	for {
		if d.space(); d.peek() != '"' {
			return d.broken(name)
		}
		key, err := d.text(name)
		if err != nil {
			return err
		}
		if err := checkKey(name, parent, key); err != nil {
			return err
		}
		whole := nameWithin(name, key)
		folded := fold(key)
		if seen[folded] {
			return rails.Refusef(spend.Ambiguous, whole, "the parameter %.80q comes twice, or differs from another one in its case only; send it once", shown(whole))
		}
		seen[folded] = true
		if d.space(); !d.word(":") {
			return d.broken(whole)
		}
		d.space()
		part, err := d.value(whole, key, depth+1)
		if err != nil {
			return err
		}
		v.names, v.parts = append(v.names, key), append(v.parts, part)
		if d.space(); d.word("}") {
			return nil
		}
		if !d.word(",") {
			return d.broken(name)
		}
	}
}

func (d *jsonDecoder) list(v *jsonValue, name string, depth int) error {
	v.kind = jsonList
	d.at += len("[")
	if d.space(); d.word("]") {
		return nil
	}
	for {
		d.space()
		part, err := d.value(nameWithin(name, strconv.Itoa(len(v.parts))), "", depth+1)
		if err != nil {
			return err
		}
		v.parts = append(v.parts, part)
		if d.space(); d.word("]") {
			return nil
		}
		if !d.word(",") {
			return d.broken(name)
		}
	}
}

// nameWithin is what the form calls a member of what it calls name.
func nameWithin(name, key string) string {
	if name == "" {
		return key
	}
	return name + "[" + key + "]"
}

// checkKey admits as the name of a member what checkName admits in brackets, but for
// indices: an object is no list. What stands directly in a map of the caller's own
// names may be any text without brackets.
func checkKey(name, parent, key string) error {
	whole := nameWithin(name, key)
	switch {
	case len(key) > maxKey:
		return rails.Refusef(spend.Malformed, "", "the name of a parameter is longer than %d bytes", maxKey)
	case isWord(key) && !isIndex(key) && (name != "" || key[0] < '0' || key[0] > '9'):
	case hasOwnNames(parent) && key != "" && !strings.ContainsAny(key, "[]") && isPlainText(key):
	default:
		return rails.Refusef(spend.Ambiguous, whole, "the parameter name %.80q is not a lower-case word, and parsers may take it for another", shown(whole))
	}
	return nil
}

// hasOwnNames reports whether the members of a parameter have names that callers choose:
// metadata, what a meter counts, and what a workflow is given.
func hasOwnNames(name string) bool {
	return name == "metadata" || name == "payload" || name == "input_parameters"
}

// fold returns what all spellings of a name have in common that are the same but for
// case, as encoding/json of Go and others compare them.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}

// number reads a number.
func (d *jsonDecoder) number(name string) (string, error) {
	start, whole := d.at, true
	d.word("-")
	first := d.at
	if d.digits(); d.at == first || d.raw[first] == '0' && d.at > first+1 {
		return "", d.broken(name)
	}
	if d.word(".") {
		whole, first = false, d.at
		if d.digits(); d.at == first {
			return "", d.broken(name)
		}
	}
	n := d.raw[start:d.at]
	if c := d.peek(); c == 'e' || c == 'E' {
		return "", rails.Refusef(spend.Malformed, name, "the number %.80q has an exponent; write it out", shown(name))
	}
	if n[0] == '-' && strings.Trim(n, "-0.") == "" {
		return "", rails.Refusef(spend.Malformed, name, "the number %.80q is minus zero", shown(name))
	}
	if _, err := strconv.ParseInt(n, 10, 64); whole && err != nil || len(n) > maxDigits {
		return "", rails.Refusef(spend.Malformed, name, "the number %.80q is not within %d", shown(name), math.MaxInt64)
	}
	return n, nil
}

// text reads a string and decodes it. NUL and what else controls a terminal is no
// part of any of Stripe's parameters, but for the ends of lines and tabs.
func (d *jsonDecoder) text(name string) (string, error) {
	start, plain := d.at+len(`"`), true
	for d.at = start; ; d.at++ {
		switch c := d.peek(); {
		case c == '"':
			s := d.raw[start:d.at]
			d.at += len(`"`)
			if plain {
				return s, nil
			}
			return unquote(name, s)
		case c == '\\' && d.at+1 < len(d.raw):
			plain = false
			d.at++
		case c < ' ' || c == 0x7f || c == '\\':
			return "", d.broken(name) // also at the end, where peek returns 0
		}
	}
}

// unquote decodes the escapes of a string.
func unquote(name, s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for s != "" {
		plain, rest, escaped := strings.Cut(s, `\`)
		b.WriteString(plain)
		if !escaped {
			break
		}
		r, size := decodeEscape(rest)
		if size == 0 {
			return "", rails.Refusef(spend.Malformed, name, "a string at %.80q has a broken escape", shown(name))
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
			return "", rails.Refusef(spend.Malformed, name, "a string at %.80q holds an escaped control character", shown(name))
		}
		b.WriteRune(r)
		s = rest[size:]
	}
	return b.String(), nil
}

// decodeEscape returns the character that an escape stands for, of which s begins behind
// the backslash, and how much of s it takes; 0 where it stands for none.
func decodeEscape(s string) (rune, int) {
	if s == "" {
		return 0, 0
	}
	switch c := s[0]; c {
	case '"', '\\', '/':
		return rune(c), 1
	case 'b':
		return '\b', 1
	case 'f':
		return '\f', 1
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case 'u':
	default:
		return 0, 0
	}
	r, ok := hexRune(s[1:])
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, len("u0000")
	case len(s) < len(`u0000\u0000`) || s[5:7] != `\u`:
		return 0, 0
	}
	low, ok := hexRune(s[7:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, len(`u0000\u0000`)
}

func hexRune(s string) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for i := range 4 {
		if !isHex(s[i]) {
			return 0, false
		}
		r = r<<4 | rune(unhex(s[i]))
	}
	return r, true
}

// broken is the refusal of what is no JSON.
func (d *jsonDecoder) broken(name string) error {
	return rails.Refusef(spend.Malformed, name, "the body is no JSON from byte %d on", d.at)
}

// peek returns the next byte, 0 at the end.
func (d *jsonDecoder) peek() byte {
	if d.at < len(d.raw) {
		return d.raw[d.at]
	}
	return 0
}

// word passes over w if it stands next.
func (d *jsonDecoder) word(w string) bool {
	if !strings.HasPrefix(d.raw[d.at:], w) {
		return false
	}
	d.at += len(w)
	return true
}

func (d *jsonDecoder) space() {
	for d.at < len(d.raw) && strings.IndexByte(" \t\r\n", d.raw[d.at]) >= 0 {
		d.at++
	}
}

func (d *jsonDecoder) digits() {
	for d.at < len(d.raw) && '0' <= d.raw[d.at] && d.raw[d.at] <= '9' {
		d.at++
	}
}
