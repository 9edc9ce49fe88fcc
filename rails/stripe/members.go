package stripe

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// member is one name of a JSON object with its value, which is decoded only when
// it is asked for: of the forty names of a reply, five are.
type member struct{ name, raw string }

// appendMembers takes apart an object that is known to be valid JSON, for then
// finding where a value ends needs no more than its quotes and brackets.
func appendMembers(ms []member, object string) []member {
	for i := 1; i < len(object) && object[i] != '}'; {
		if object[i] != '"' { // white space, or the comma between two members
			i++
			continue
		}
		end := stringEnd(object, i)
		name := object[i+1 : end-1]
		if strings.IndexByte(name, '\\') >= 0 {
			name = gjson.Parse(object[i:end]).Str
		}
		for i = end; object[i] <= ' ' || object[i] == ':'; {
			i++
		}
		end = valueEnd(object, i)
		ms = append(ms, member{name, object[i:end]})
		i = end
	}
	return ms
}

// stringEnd returns the index behind the string that begins at json[i].
func stringEnd(json string, i int) int {
	for i++; ; i++ {
		i += strings.IndexByte(json[i:], '"')
		escapes := 0
		for json[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// valueEnd returns the index behind the value that begins at json[i].
func valueEnd(json string, i int) int {
	for depth := 0; ; {
		switch json[i] {
		case '"':
			i = stringEnd(json, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		default: // a number or a word; inside brackets, also what separates values
			i++
			if depth > 0 {
				continue
			}
			for json[i] > ' ' && json[i] != ',' && json[i] != '}' {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}

// repeated returns a name that stands twice. Few names are compared with each
// other, those at least that look alike; many are sorted, which bounds the time.
func repeated(ms []member) (string, bool) {
	const few = 64
	if len(ms) > few {
		return repeatedOfMany(ms)
	}
	var looks [4]uint64 // a set of 256 bits
	for i := range ms {
		name, look := ms[i].name, uint8(0)
		if name != "" {
			look = name[0] ^ name[len(name)/2]<<3 ^ name[len(name)-1]<<1 ^ uint8(len(name))<<4
		}
		bit := uint64(1) << (look % 64)
		if looks[look/64]&bit != 0 && slices.ContainsFunc(ms[:i], func(m member) bool { return m.name == name }) {
			return name, true
		}
		looks[look/64] |= bit
	}
	return "", false
}

func repeatedOfMany(ms []member) (string, bool) {
	names := make([]string, 0, len(ms))
	for i := range ms {
		names = append(names, ms[i].name)
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return names[i], true
		}
	}
	return "", false
}
