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

// pair is one parameter.
type pair struct {
	name  string // decoded: "transfer_data[destination]"
	base  int    // how much of name stands before the brackets
	value string // decoded, unless it is coded
	coded bool   // value is still to be decoded, which is certain to go well
	raw   string // as it came; "" where its encoding is another
}

// top returns the name without its brackets: "transfer_data".
func (p *pair) top() string { return p.name[:p.base] }

// text returns the value, decoded.
func (p *pair) text() string {
	if !p.coded {
		return p.value
	}
	s, _ := unescape(p.value, true) //nolint:errcheck // setValue has seen that it goes well
	return s
}

// form is what Stripe takes the parameters of a write from: query and body are
// one bucket to it (it says so itself; the habit comes from Rack). Every form
// made by parseForm has one reading for all parsers known.
type form struct {
	query, body []pair   // parts of all
	all         []pair   // query, then body
	room        [16]pair // memory for all: as much as usual calls need
	tops        looks    // of the names without their brackets
	alike       bool     // two of those look the same
}

// parseForm is form.read into memory of its own.
func parseForm(query, body string) (*form, error) {
	f := new(form)
	if err := f.read(query, body); err != nil {
		return nil, err
	}
	return f, nil
}

// read reads both halves into a form that is empty. It refuses whatever is not
// plain: code Malformed for broken syntax, Ambiguous for what Rack 1 to 3, Go and
// browsers read differently.
func (f *form) read(query, body string) error {
	// Counting first bounds what the splitting below allocates.
	n := countPairs(query) + countPairs(body)
	if n > maxPairs {
		return rails.Refusef(spend.Malformed, "", "more than %d parameters", maxPairs)
	}
	if f.all = f.room[:0]; n > len(f.room) {
		f.all = make([]pair, 0, n)
	}
	if err := f.add(query); err != nil {
		return err
	}
	inQuery := len(f.all)
	if err := f.add(body); err != nil {
		return err
	}
	f.query, f.body = f.all[:inQuery:inQuery], f.all[inQuery:]
	if !f.alike {
		return nil // What differs before the brackets is at odds in no way.
	}
	if err := f.checkOverlap(); err != nil {
		return err
	}
	return f.checkShape()
}

func countPairs(raw string) int {
	if raw == "" {
		return 0
	}
	return strings.Count(raw, "&") + 1
}

// add appends the parameters of one half, for which there is memory.
func (f *form) add(raw string) error {
	if raw == "" {
		return nil
	}
	odd := false
	for rest, more := raw, true; more; {
		f.all = append(f.all, pair{})
		p := &f.all[len(f.all)-1]
		size, some, err := p.parse(rest)
		if odd = odd || some&isOdd != 0; err != nil {
			// What is wrong with the bytes goes before what is wrong with the syntax.
			if wrong := checkBytes(raw); wrong != nil {
				return wrong
			}
			return err
		}
		f.alike = f.tops.add(look(p.top())) || f.alike
		if more = size < len(rest); more {
			rest = rest[size+len("&"):]
		}
	}
	if odd {
		return checkBytes(raw)
	}
	return nil
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

// parse reads the parameter that rest begins with. It returns how long that is,
// and what some of its bytes are.
func (p *pair) parse(rest string) (size int, some byte, err error) {
	end, each, some := measure(rest, endsName)
	if end == len(rest) || rest[end] != '=' {
		// It is not quoted: without the '=', nobody knows which part is the value.
		return end, some, rails.Refusef(spend.Malformed, "", "a parameter has no '='")
	}
	length, eachOfValue, someOfValue := measure(rest[end+1:], endsValue)
	size, some = end+1+length, some|someOfValue
	p.name = rest[:end]
	plain := true
	if each&inName == 0 {
		var coded bool
		coded, plain, _ = spelling(p.name, inName)
		if p.name, err = unescape(p.name, coded); err != nil {
			return size, some, err
		}
	}
	p.value = rest[end+1 : size]
	if eachOfValue&isFree == 0 {
		var plainValue bool
		if plainValue, err = p.decode(); err != nil {
			return size, some, err
		}
		plain = plain && plainValue
	}
	if plain {
		p.raw = rest[:size]
	}
	p.base = len(p.name)
	if each&inWord == 0 || end == 0 || '0' <= p.name[0] && p.name[0] <= '9' {
		p.base, err = checkName(p.name)
	}
	return size, some, err
}

// decode decodes the value, or sees that it can be decoded later. It reports
// whether it is spelled as appendEscaped would spell it.
func (p *pair) decode() (plain bool, err error) {
	coded, plain, tame := spelling(p.value, isFree)
	if p.coded = coded && plain && tame; !p.coded {
		p.value, err = unescape(p.value, coded)
	}
	return plain, err
}

// shown is a name as a message may repeat it: a card number that stands where a
// name should is not repeated.
func shown(name string) string {
	digits := 0
	for i := range len(name) {
		if '0' <= name[i] && name[i] <= '9' {
			digits++
		}
	}
	if digits > 8 {
		return "(with many digits)"
	}
	return name
}

// checkName admits "base" and "base[sub]…[sub]". Bases and subs are lower-case
// words, as all of Stripe's are, or indices; what stands directly in a
// metadata hash may be any text without brackets; the last sub may be empty. It
// returns the length of the base.
func checkName(name string) (int, error) {
	if name == "" {
		return 0, rails.Refusef(spend.Malformed, "", "a parameter has no name")
	}
	base, rest, err := splitName(name)
	if err != nil {
		return 0, err
	}
	if !isWord(base) || '0' <= base[0] && base[0] <= '9' {
		return 0, rails.Refusef(spend.Ambiguous, name, "the parameter name %.80q is not a lower-case word, and parsers mend it differently", shown(name))
	}
	for parent, sub := base, ""; rest != ""; parent = sub {
		sub, rest = cutSub(rest)
		switch {
		case sub == "" && rest != "":
			return 0, rails.Refusef(spend.Ambiguous, name, "the parameter name %.80q has empty brackets in the middle; number the elements", shown(name))
		case sub == "" || isWord(sub) && !hasLeadingZero(sub):
		case parent == "metadata" && isPlainText(sub):
		default:
			return 0, rails.Refusef(spend.Ambiguous, name, "the parameter name %.80q holds an odd key", shown(name))
		}
	}
	return len(base), nil
}

// splitName takes a name apart into its base and its brackets, which must pair up
// exactly behind the base. What base and subs are made of is not looked at.
func splitName(name string) (base, brackets string, err error) {
	open := strings.IndexByte(name, '[')
	if open < 0 {
		open = len(name)
	}
	rest, depth := name[open:], 0
	for rest != "" {
		end := strings.IndexByte(rest, ']')
		if rest[0] != '[' || end < 0 || strings.IndexByte(rest[1:end], '[') >= 0 {
			return "", "", rails.Refusef(spend.Ambiguous, name, "the brackets of the parameter name %.80q do not pair up", shown(name))
		}
		if depth++; depth > maxDepth {
			return "", "", rails.Refusef(spend.Malformed, "", "a parameter is nested more than %d deep", maxDepth)
		}
		rest = rest[end+1:]
	}
	return name[:open], name[open:], nil
}

// cutSub takes the first sub off brackets that pair up: "a" and "[b]" of "[a][b]".
func cutSub(brackets string) (sub, rest string) {
	end := strings.IndexByte(brackets, ']')
	return brackets[1:end], brackets[end+1:]
}

func isWord(s string) bool {
	for i := range len(s) {
		if classes[s[i]]&inWord == 0 {
			return false
		}
	}
	return s != ""
}

func isIndex(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// hasLeadingZero finds indices that name an element twice: 00 is 0 to some.
func hasLeadingZero(s string) bool { return len(s) > 1 && s[0] == '0' && isIndex(s) }

func isPlainText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufeff' }) < 0
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

// scalar returns the value of the parameter name. A list or a hash of that name
// is Malformed.
func (f *form) scalar(name string) (value string, present bool, err error) {
	if !f.mayHave(name) {
		return "", false, nil
	}
	for i := range f.all {
		p := &f.all[i]
		if p.name == name {
			return p.text(), true, nil
		}
		if p.isWithin(name) {
			return "", false, rails.Refusef(spend.Malformed, name, "the parameter %q must be a single value", name)
		}
	}
	return "", false, nil
}

// mayHave reports whether the parameter name could be there, in any form.
func (f *form) mayHave(name string) bool {
	if i := strings.IndexByte(name, '['); i >= 0 {
		name = name[:i]
	}
	return f.tops.has(look(name))
}

// isWithin reports whether the parameter is a key or an element of name.
func (p *pair) isWithin(name string) bool {
	return len(p.name) > len(name) && p.name[len(name)] == '[' && p.name[:len(name)] == name
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
// their order, so that an SDK's repeat in another order is the same call.
func (f *form) appendCanonical(b []byte) []byte {
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
			return T(appendPairs(nil, pairs))
		}
	}
	return raw
}

// appendPairs writes pairs in their order: brackets as they are, as all of
// Stripe's SDKs write them, and everything else that is not unreserved as %XX.
func appendPairs(b []byte, pairs []pair) []byte {
	for i := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendPair(b, &pairs[i])
	}
	return b
}

func appendPair(b []byte, p *pair) []byte {
	if p.raw != "" {
		return append(b, p.raw...)
	}
	b = append(appendEscaped(b, p.name, inName), '=')
	return appendEscaped(b, p.text(), isFree)
}
