package stripe

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// The bounds of a form: more than any call of Stripe's SDKs needs.
const (
	maxPairs = 1000
	maxDepth = 8 // brackets of one name
)

// form is what Stripe takes the parameters of a write from: query and body are
// one bucket to it (it says so itself; the habit comes from Rack). Every form
// made by parseForm has one reading for all parsers known.
type form struct {
	query, body []pair     // parts of all
	all         []pair     // query, then body
	tops        looks      // of the names without their brackets
	json        *jsonValue // what body was made of, if that is JSON
	parts       []byte     // a body that is not read
}

// usualPairs is how many parameters usual calls have at most.
const usualPairs = 16

// parseForm reads both halves, into room where that is enough, and refuses whatever
// is not plain: code Malformed for broken syntax, Ambiguous for what Rack 1 to 3, Go
// and browsers read differently.
func parseForm(room []pair, query, body string) (form, error) {
	// Counting first bounds what the splitting below allocates. As many as are too
	// many have a separator each, but for the last of both halves.
	if len(query)+len(body) >= maxPairs-1 {
		n := countPairs(query) + countPairs(body)
		if n > maxPairs {
			return form{}, rails.Refusef(spend.Malformed, "", "more than %d parameters", maxPairs)
		}
		room = slices.Grow(room, n)
	}
	var f form
	some, likeQuery, err := appendPairs(room, query, &f.tops)
	if err != nil {
		return form{}, err
	}
	all, likeBody, err := appendPairs(some, body, &f.tops)
	if err != nil {
		return form{}, err
	}
	f.query, f.body, f.all = all[:len(some):len(some)], all[len(some):], all
	if !likeQuery && !likeBody {
		return f, nil // What differs before the brackets is at odds in no way.
	}
	if err := f.checkOverlap(); err != nil {
		return form{}, err
	}
	return f, f.checkShape()
}

// parse reads the parameters of a call in the encoding that Stripe takes where it goes.
// What stands in parts is left alone: a file moves nothing.
func parse(room []pair, c *rails.Call) (form, error) {
	switch mediaOf(c) {
	case mediaJSON:
		return parseJSON(c.Query, string(c.Body))
	case mediaParts:
		f, err := parseForm(room, c.Query, "")
		f.parts = c.Body
		return f, err
	default:
		return parseForm(room, c.Query, string(c.Body))
	}
}

func countPairs(raw string) int {
	if raw == "" {
		return 0
	}
	return strings.Count(raw, "&") + 1
}

// appendPairs appends the parameters of one half, and adds the looks of their names
// without brackets to tops. It reports whether one of those was there.
func appendPairs(pairs []pair, raw string, tops *looks) (all []pair, alike bool, err error) {
	if raw == "" {
		return pairs, false, nil
	}
	odd := false
	for rest, more := raw, true; more; {
		pairs = append(pairs, pair{})
		p := &pairs[len(pairs)-1]
		size, some, err := p.parse(rest)
		if odd = odd || some&isOdd != 0; err != nil {
			// What is wrong with the bytes goes before what is wrong with the syntax.
			if wrong := checkBytes(raw); wrong != nil {
				return nil, false, wrong
			}
			return nil, false, err
		}
		alike = tops.add(look(p.top())) || alike
		if more = size < len(rest); more {
			rest = rest[size+len("&"):]
		}
	}
	if odd {
		if err := checkBytes(raw); err != nil {
			return nil, false, err
		}
	}
	return pairs, alike, nil
}

func checkBytes(raw string) error {
	if !utf8.ValidString(raw) {
		return rails.Refusef(spend.Malformed, "", "the parameters are not UTF-8")
	}
	if strings.HasPrefix(raw, "\ufeff") {
		return rails.Refusef(spend.Malformed, "", "the parameters start with a byte order mark")
	}
	for i := range len(raw) {
		switch c := raw[i]; {
		case c < ' ' || c == 0x7f:
			return rails.Refusef(spend.Malformed, "", "the parameters hold the control byte %q; percent-encode it", c)
		case c == ';':
			return rails.Refusef(spend.Ambiguous, "", "a raw ';' separates parameters for some parsers; write %%3B")
		}
	}
	return nil
}

// checkOverlap refuses a base that stands in query and body: Rack merges the two
// shallowly, so that one hash replaces the other.
func (f *form) checkOverlap() error {
	if len(f.query) == 0 || len(f.body) == 0 {
		return nil
	}
	inQuery := map[string]bool{}
	for i := range f.query {
		inQuery[f.query[i].top()] = true
	}
	for i := range f.body {
		if top := f.body[i].top(); inQuery[top] {
			return rails.Refusef(spend.Ambiguous, top, "the parameter %q stands in the query and in the body; send it once", top)
		}
	}
	return nil
}

// checkShape refuses a name that comes twice, unless it ends in "[]", and a
// name that is at once a value, a list, an indexed list or a hash.
func (f *form) checkShape() error {
	var seen shapes
	for i := range f.all {
		name, parent := f.all[i].name, f.all[i].top()
		// What is looked at grows from the base, bracket by bracket, to the name.
		for prefix, rest := parent, name[len(parent):]; ; {
			shape, sub, behind := "value", "", ""
			if rest != "" {
				sub, behind = cutSub(rest)
				shape = shapeOf(parent, sub)
			}
			switch was := seen.note(prefix, shape); {
			case was == "":
			case was != shape:
				return rails.Refusef(spend.Ambiguous, prefix, "the parameter %.80q is a %s and a %s at once", prefix, was, shape)
			case rest == "" && !strings.HasSuffix(name, "[]"):
				return rails.Refusef(spend.Ambiguous, name, "the parameter %.80q comes twice; send it once", name)
			}
			if rest == "" {
				break
			}
			parent, prefix, rest = sub, name[:len(name)-len(behind)], behind
		}
	}
	return nil
}

// shaped is a name, or the beginning of one, and what it was seen to be.
type shaped struct{ prefix, shape string }

// shapes finds what has been seen: by looking through few, and by a map once they
// are many.
type shapes struct {
	few  [32]shaped
	n    int // of few
	many map[string]string
}

// note keeps the shape of a prefix, and returns the one it had before, "" for none.
func (s *shapes) note(prefix, shape string) (was string) {
	if s.many != nil {
		if was = s.many[prefix]; was == "" {
			s.many[prefix] = shape
		}
		return was
	}
	for i := range s.n {
		if s.few[i].prefix == prefix {
			return s.few[i].shape
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = shaped{prefix, shape}
		s.n++
		return ""
	}
	s.many = make(map[string]string, 2*len(s.few))
	for _, e := range s.few {
		s.many[e.prefix] = e.shape
	}
	s.many[prefix] = shape
	return ""
}

func shapeOf(parent, sub string) string {
	switch {
	case sub == "":
		return "list"
	case isIndex(sub) && parent != "metadata":
		return "numbered list"
	default:
		return "hash"
	}
}

// refuseReserved refuses parameters that say again, behind the headers' back,
// who calls, for whom, at which version or with which method.
func (f *form) refuseReserved() error {
	for i := range f.all {
		switch top := f.all[i].top(); top {
		case "_method", "key", "_stripe_account", "_stripe_version":
			return rails.Refusef(spend.Ambiguous, top, "the parameter %q stands for a header or a method in some of Stripe's clients; use the header", top)
		}
	}
	return nil
}

// scalar returns the value of the parameter name; null is none. A list or a hash of
// that name is Malformed.
func (f *form) scalar(name string) (value string, present bool, err error) {
	p, err := f.single(name)
	if p == nil {
		return "", false, err
	}
	return p.text(), true, nil
}

// single returns the parameter name as scalar does, nil without one.
func (f *form) single(name string) (*pair, error) {
	if !f.mayHave(name) {
		return nil, nil
	}
	for i := range f.all {
		p := &f.all[i]
		switch {
		case p.name == name && p.kind < jsonNull:
			return p, nil
		case p.name == name && p.kind == jsonNull:
			return nil, nil
		case p.name == name, p.isWithin(name):
			return nil, rails.Refusef(spend.Malformed, name, "the parameter %q must be a single value", name)
		}
	}
	return nil, nil
}

// mayHave reports whether the parameter name could be there, in any form.
func (f *form) mayHave(name string) bool {
	if strings.HasSuffix(name, "]") {
		name, _, _ = strings.Cut(name, "[")
	}
	return f.tops.has(look(name))
}

// isHash reports whether the parameter name has keys or elements.
func (f *form) isHash(name string) bool {
	if !f.mayHave(name) {
		return false
	}
	for i := range f.all {
		if f.all[i].isWithin(name) {
			return true
		}
	}
	return false
}

// appendCanonical appends all parameters sorted by name, elements of one list in
// their order, so that an SDK's repeat in another order is the same call. No form
// begins as a JSON object does, and none holds the end of a line.
func (f *form) appendCanonical(b []byte) []byte {
	if f.json != nil {
		return f.json.append(b, true)
	}
	if b = f.appendSorted(b); f.parts != nil {
		b = append(append(b, '\n'), f.parts...)
	}
	return b
}

func (f *form) appendSorted(b []byte) []byte {
	var room [64]int
	order, size := room[:0], 32 // bytes, for a few escapes
	for i := range f.all {
		order = append(order, i)
		size += len(f.all[i].name) + len(f.all[i].value) + len("=&")
	}
	slices.SortFunc(order, func(i, j int) int {
		if c := strings.Compare(f.all[i].name, f.all[j].name); c != 0 {
			return c
		}
		return i - j
	})
	b = slices.Grow(b, size)
	for n, i := range order {
		if n > 0 {
			b = append(b, '&')
		}
		b = appendPair(b, &f.all[i])
	}
	return b
}

// encode returns raw where it is the encoding of pairs, and the encoding otherwise.
func encode[T string | []byte](pairs []pair, raw T) T {
	for i := range pairs {
		if pairs[i].raw == "" {
			return T(encodeAnew(pairs))
		}
	}
	return raw
}

// encodeAnew writes pairs in their order: brackets as they are, as all of
// Stripe's SDKs write them, and everything else that is not unreserved as %XX.
func encodeAnew(pairs []pair) (b []byte) {
	for i := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendPair(b, &pairs[i])
	}
	return b
}
