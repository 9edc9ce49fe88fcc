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
	name     []byte
	from, to int32 // of the value
}

// members are those of one object: as many as usual replies have without further
// memory. Names and values are parts of json, which must not change meanwhile.
type members struct {
	json  []byte
	few   [40]member
	n     int      // of few
	more  []member // behind few
	looks [4]uint64
	twice bool // a name stands twice
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

// add takes a name in, with its quotes, and the bounds of its value.
func (m *members) add(quoted []byte, from, to int) {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(gjson.ParseBytes(quoted).Str)
	}
	e := member{name: name, from: int32(from), to: int32(to)} //nolint:gosec // read has bounded both
	m.twice = m.twice || m.seen(name)
	if m.n < len(m.few) {
		m.few[m.n] = e
		m.n++
		return
	}
	m.more = append(m.more, e)
}

// seen reports whether name was added before. Few names are compared with each
// other, those at least that look alike; of many, whole finds it in the end.
func (m *members) seen(name []byte) bool {
	look := uint8(0)
	if len(name) > 0 {
		look = name[0] ^ name[len(name)/2]<<3 ^ name[len(name)-1]<<1 ^ uint8(len(name))<<4 //nolint:gosec // any bits will do
	}
	bit := uint64(1) << (look % 64)
	if m.looks[look/64]&bit == 0 {
		m.looks[look/64] |= bit
		return false
	}
	return len(m.more) == 0 && slices.ContainsFunc(m.few[:m.n], func(e member) bool { return bytes.Equal(e.name, name) })
}

// repeated reports whether a name stands twice. Many names are sorted, which bounds
// the time.
func (m *members) repeated() bool {
	if m.twice || len(m.more) == 0 {
		return m.twice
	}
	all := slices.Concat(m.few[:m.n], m.more)
	slices.SortFunc(all, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	for i := 1; i < len(all); i++ {
		if bytes.Equal(all[i].name, all[i-1].name) {
			return true
		}
	}
	return false
}

// value returns the JSON of the value of a name, nil where there is no such name.
func (m *members) value(name string) []byte {
	for i := range m.n {
		if e := &m.few[i]; string(e.name) == name {
			return m.json[e.from:e.to]
		}
	}
	for i := range m.more {
		if e := &m.more[i]; string(e.name) == name {
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
		if i = stringEnd(json, i+1); i < 0 {
			return -1
		}
		quoted := json[name:i]
		if i = space(json, i); i == len(json) || json[i] != ':' {
			return -1
		}
		from := space(json, i+1)
		if i = valueEnd(json, from, depth+1); i < 0 {
			return -1
		}
		if m != nil {
			m.add(quoted, from, i)
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
		return stringEnd(json, i+1)
	case c == '{':
		return objectEnd(json, i+1, depth, nil)
	case c == '[':
		return arrayEnd(json, i+1, depth)
	case c == 'n':
		return wordEnd(json, i, "null")
	case c == 't':
		return wordEnd(json, i, "true")
	case c == 'f':
		return wordEnd(json, i, "false")
	case c == '-' || '0' <= c && c <= '9':
		return numberEnd(json, i)
	}
	return -1
}

// space returns the index of the first byte from json[i] on that is no white space.
func space(json []byte, i int) int {
	for i < len(json) && (json[i] == ' ' || json[i] == '\n' || json[i] == '\t' || json[i] == '\r') {
		i++
	}
	return i
}

func wordEnd(json []byte, i int, word string) int {
	if len(json)-i < len(word) || string(json[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
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
// begins at json[i], or -1. Most of a reply is strings: it looks at eight bytes at
// once.
func stringEnd(json []byte, i int) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for {
		for ; len(json)-i >= 8; i += 8 {
			b := binary.LittleEndian.Uint64(json[i:])
			quote, slash := b^each*'"', b^each*'\\'
			// The lowest bit that is left marks the first quote, backslash or
			// control character.
			found := ((b-each*' ')&^b | (quote-each)&^quote | (slash-each)&^slash) & high
			if found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
		}
		if i == len(json) || json[i] < ' ' {
			return -1
		}
		switch json[i] {
		case '"':
			return i + 1
		case '\\':
			if i = escapeEnd(json, i+1); i < 0 {
				return -1
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
