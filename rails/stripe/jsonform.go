package stripe

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// parseJSON reads the parameters of a call to /v2 as those of a form: amount.value of
// the body becomes amount[value], and the first of a list a[0], so that whoever reads
// forms reads both. A write with a body has its parameters there and nowhere else, as
// in all SDKs of Stripe's; an empty body has none, as stripe-go sends it.
func parseJSON(query, body string) (form, error) {
	f, err := parseForm(nil, query, "")
	if err != nil || body == "" {
		return f, err
	}
	if len(f.query) > 0 {
		name := f.query[0].top()
		return form{}, rails.Refusef(spend.Ambiguous, name, "the parameter %.80q stands in the query of a call to /v2 that has a body; send it in the body", shown(name))
	}
	v, err := decodeJSON(body)
	if err != nil {
		return form{}, err
	}
	f.json = &v
	for i, name := range v.names {
		f.all = v.parts[i].appendTo(f.all, name, len(name))
		f.tops.add(look(name))
	}
	f.body = f.all
	return f, nil
}

// appendTo appends the parameters that a value is made of. The first base bytes of
// name stand before its brackets.
func (v *jsonValue) appendTo(pairs []pair, name string, base int) []pair {
	if len(v.parts) == 0 {
		return append(pairs, pair{name: name, base: base, value: v.text, kind: v.kind})
	}
	for i := range v.parts {
		key := strconv.Itoa(i)
		if v.kind == jsonObject {
			key = v.names[i]
		}
		pairs = v.parts[i].appendTo(pairs, nameWithin(name, key), base)
	}
	return pairs
}

// encodeBody returns what is sent in place of raw: raw itself where it is the one
// encoding of what was read.
func (f *form) encodeBody(raw []byte) []byte {
	if f.json == nil {
		return encode(f.body, raw)
	}
	if anew := f.json.append(make([]byte, 0, len(raw)), false); string(anew) != string(raw) {
		return anew
	}
	return raw
}

// append writes a value without white space, and of strings only that escaped which
// must be: as JSON.stringify does. Members come in their order, or sorted.
func (v *jsonValue) append(b []byte, sorted bool) []byte {
	switch v.kind {
	case jsonText:
		return appendQuoted(b, v.text)
	case jsonNull:
		return append(b, "null"...)
	case jsonObject:
		b = append(b, '{')
		for n, i := range v.order(sorted) {
			if n > 0 {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, v.names[i]), ':')
			b = v.parts[i].append(b, sorted)
		}
		return append(b, '}')
	case jsonList:
		b = append(b, '[')
		for i := range v.parts {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.parts[i].append(b, sorted)
		}
		return append(b, ']')
	default: // jsonNumber, jsonBoolean
		return append(b, v.text...)
	}
}

// order returns the indices of the members of an object.
func (v *jsonValue) order(sorted bool) []int {
	order := make([]int, len(v.names))
	for i := range order {
		order[i] = i
	}
	if sorted {
		slices.SortFunc(order, func(i, j int) int { return cmp.Compare(v.names[i], v.names[j]) })
	}
	return order
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for {
		i := strings.IndexAny(s, "\"\\\n\r\t")
		if i < 0 {
			return append(append(b, s...), '"')
		}
		b = append(append(b, s[:i]...), '\\')
		switch c := s[i]; c {
		case '\n':
			b = append(b, 'n')
		case '\r':
			b = append(b, 'r')
		case '\t':
			b = append(b, 't')
		default:
			b = append(b, c)
		}
		s = s[i+1:]
	}
}
