package stripe

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/tidwall/gjson"
)

// maxNested is how deep values may stand in one another: more than any object of
// Stripe's needs, and little enough that no reply can exhaust the stack.
const maxNested = 1000

// member is one name of a JSON object with its value, which is decoded only when
// it is asked for: of the forty names of a reply, five are.
type member struct {
	name, nameEnd int32 // where the name stands, in json or in coded
	from, to      int32 // where the value stands, in json
	isCoded       bool  // the name is in coded
	before        uint8 // of few, counted from one: the last one before that looks like it
}

// members are those of one object: as many as usual replies have without further
// memory. Names and values are parts of json, which must not change meanwhile.
type members struct {
	json  []byte
	coded []byte // names with escapes, decoded
	few   [40]member
	n     int       // of few
	last  [64]uint8 // of few, counted from one: the last one of each look
	more  []member  // behind few
	twice bool      // a name stands twice among few
}

// read takes json apart, and reports whether it is one JSON object.
func (m *members) read(json []byte) bool {
	if len(json) > 1<<30 {
		return false
	}
	m.json = json
	at := space(json, 0)
	if at == len(json) || json[at] != '{' {
		return false
	}
	end := objectEnd(json, at+1, 0, m)
	return end >= 0 && space(json, end) == len(json)
}

// add takes in a name and a value, by where they begin and end in json, quotes
// included; coded says that the name has escapes.
func (m *members) add(name, nameEnd, from, to int, coded bool) {
	var e *member
	if m.n < len(m.few) {
		e = &m.few[m.n]
	} else {
		m.more = append(m.more, member{})
		e = &m.more[len(m.more)-1]
	}
	e.name, e.nameEnd, e.from, e.to = int32(name)+1, int32(nameEnd)-1, int32(from), int32(to) //nolint:gosec // read has bounded all
	if coded {
		text := gjson.ParseBytes(m.json[name:nameEnd]).Str
		e.isCoded, e.name, e.nameEnd = true, int32(len(m.coded)), int32(len(m.coded)+len(text)) //nolint:gosec // no longer than json
		m.coded = append(m.coded, text...)
	}
	if m.n == len(m.few) {
		return
	}
	text := m.nameOf(e)
	last := &m.last[look(text)%uint8(len(m.last))]
	for i := *last; i > 0; i = m.few[i-1].before {
		m.twice = m.twice || bytes.Equal(m.nameOf(&m.few[i-1]), text)
	}
	e.before = *last
	m.n++
	*last = uint8(m.n) //nolint:gosec // few are not as many
}

// nameOf returns the name of a member, decoded.
func (m *members) nameOf(e *member) []byte {
	if e.isCoded {
		return m.coded[e.name:e.nameEnd]
	}
	return m.json[e.name:e.nameEnd]
}

// repeated reports whether a name stands twice. Many names are sorted, which bounds
// the time.
func (m *members) repeated() bool {
	if m.twice || len(m.more) == 0 {
		return m.twice
	}
	all := slices.Concat(m.few[:m.n], m.more)
	slices.SortFunc(all, func(a, b member) int { return bytes.Compare(m.nameOf(&a), m.nameOf(&b)) })
	for i := 1; i < len(all); i++ {
		if bytes.Equal(m.nameOf(&all[i]), m.nameOf(&all[i-1])) {
			return true
		}
	}
	return false
}

// value returns the JSON of the value of a name, nil where there is no such name.
func (m *members) value(name string) []byte {
	for i := m.last[look(name)%uint8(len(m.last))]; i > 0; i = m.few[i-1].before {
		if e := &m.few[i-1]; string(m.nameOf(e)) == name {
			return m.json[e.from:e.to]
		}
	}
	for i := range m.more {
		if e := &m.more[i]; string(m.nameOf(e)) == name {
			return m.json[e.from:e.to]
		}
	}
	return nil
}

// objectEnd returns the index behind an object whose content begins at json[i], or
// -1 where it is not valid JSON. It adds the object's members to m, unless that is
// nil.
func objectEnd(json []byte, i, depth int, m *members) int {
	if i = space(json, i); i < len(json) && json[i] == '}' {
		return i + 1
	}
	for {
		if i = space(json, i); i == len(json) || json[i] != '"' {
			return -1
		}
		name := i
		nameEnd, coded := stringEnd(json, i+1)
		if nameEnd < 0 {
			return -1
		}
		if i = space(json, nameEnd); i == len(json) || json[i] != ':' {
			return -1
		}
		from := space(json, i+1)
		if i = valueEnd(json, from, depth+1); i < 0 {
			return -1
		}
		if m != nil {
			m.add(name, nameEnd, from, i, coded)
		}
		if i = space(json, i); i == len(json) {
			return -1
		}
		switch json[i] {
		case '}':
			return i + 1
		case ',':
			i++
		default:
			return -1
		}
	}
}

// arrayEnd is objectEnd for an array.
func arrayEnd(json []byte, i, depth int) int {
	if i = space(json, i); i < len(json) && json[i] == ']' {
		return i + 1
	}
	for {
		if i = valueEnd(json, space(json, i), depth+1); i < 0 {
			return -1
		}
		if i = space(json, i); i == len(json) {
			return -1
		}
		switch json[i] {
		case ']':
			return i + 1
		case ',':
			i++
		default:
			return -1
		}
	}
}

// valueEnd returns the index behind the value that begins at json[i], or -1 where
// none does.
func valueEnd(json []byte, i, depth int) int {
	if i >= len(json) || depth > maxNested {
		return -1
	}
	switch c := json[i]; {
	case c == '"':
		end, _ := stringEnd(json, i+1)
		return end
	case c == '{':
		return objectEnd(json, i+1, depth, nil)
	case c == '[':
		return arrayEnd(json, i+1, depth)
	case c == 'n':
		if len(json)-i >= len("null") && string(json[i:i+len("null")]) == "null" {
			return i + len("null")
		}
	case c == 't':
		if len(json)-i >= len("true") && string(json[i:i+len("true")]) == "true" {
			return i + len("true")
		}
	case c == 'f':
		if len(json)-i >= len("false") && string(json[i:i+len("false")]) == "false" {
			return i + len("false")
		}
	case c == '-' || '0' <= c && c <= '9':
		return numberEnd(json, i)
	}
	return -1
}

// space returns the index of the first byte from json[i] on that is no white space.
func space(json []byte, i int) int {
	for i < len(json) && json[i] <= ' ' && (json[i] == ' ' || json[i] == '\n' || json[i] == '\t' || json[i] == '\r') {
		i++
	}
	return i
}

// numberEnd reads a number as RFC 8259 spells it: no zero in front, digits on both
// sides of a point.
func numberEnd(json []byte, i int) int {
	if json[i] == '-' {
		i++
	}
	first := i
	if i = digitsEnd(json, i); i == first || json[first] == '0' && i > first+1 {
		return -1
	}
	if i < len(json) && json[i] == '.' {
		first = i + 1
		if i = digitsEnd(json, first); i == first {
			return -1
		}
	}
	if i < len(json) && json[i]|0x20 == 'e' {
		if i++; i < len(json) && (json[i] == '+' || json[i] == '-') {
			i++
		}
		first = i
		if i = digitsEnd(json, first); i == first {
			return -1
		}
	}
	return i
}

func digitsEnd(json []byte, i int) int {
	for i < len(json) && '0' <= json[i] && json[i] <= '9' {
		i++
	}
	return i
}

// stringEnd returns the index behind the closing quote of a string whose content
// begins at json[i], or -1, and whether it has escapes. Most of a reply is strings:
// it looks at eight bytes at once.
func stringEnd(json []byte, i int) (end int, coded bool) {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for {
		for ; len(json)-i >= 8; i += 8 {
			b := binary.LittleEndian.Uint64(json[i:])
			// The lowest bit that is left marks the first quote, backslash or control
			// character. Turning a bit puts the quote, 0x22, right behind the controls.
			quote, slash := (b^each*2)-each*('"'-1), (b^each*'\\')-each
			if found := (quote | slash) &^ b & high; found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
		}
		if i == len(json) || json[i] < ' ' {
			return -1, false
		}
		switch json[i] {
		case '"':
			return i + 1, coded
		case '\\':
			coded = true
			if i = escapeEnd(json, i+1); i < 0 {
				return -1, false
			}
		default: // in the last bytes, which are fewer than eight
			i++
		}
	}
}

// escapeEnd returns the index behind an escape whose letter is json[i], or -1.
func escapeEnd(json []byte, i int) int {
	if i == len(json) {
		return -1
	}
	switch json[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for range 4 {
			if i++; i == len(json) || !isHex(json[i]) {
				return -1
			}
		}
		return i + 1
	}
	return -1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
