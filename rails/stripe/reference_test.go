package stripe

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file reads the parameters of a call as web servers do, by their published
// rules and not by this package's parser: Rack 1, 2.2 and 3 (query_parser.rb), Go's
// net/url, PHP, stripe-mock, and combinations of habits seen elsewhere. Which of them
// Stripe runs is not known, so what is judged must hold for all.

// A server is one way to read a query and a body.
type server struct {
	name       string
	separators string // bytes that part the segments
	spaces     bool   // spaces behind a separator belong to it
	// path takes a decoded name apart: "a[b][]" is a, b and "" for one more. Nil is a
	// name that is dropped.
	path func(name string) []string
	// flat servers keep names whole, brackets and all.
	flat bool
	// first takes the first value of a name that stands twice, else the last.
	first bool
	// yields makes a value that stands where another kind of value stood replace it,
	// where others refuse the call.
	yields bool
	// query says that what stands in the query hides what stands in the body.
	query bool
	// lax servers take a broken escape as it stands; others drop the segment, as Go
	// does, or refuse the call.
	lax, drops bool
	// edit changes names once they are decoded: trimmed, folded or cut.
	edit func(string) string
}

func servers() []server {
	fold := func(s string) string {
		if strings.HasPrefix(s, "metadata[") {
			return s // whose names are the caller's own
		}
		return strings.ToLower(s)
	}
	cut := func(s string) string { s, _, _ = strings.Cut(s, "\x00"); return s }
	return []server{
		{name: "Rack 1", separators: "&;", spaces: true, path: rack2Path},
		{name: "Rack 2.2, lax", separators: "&;", spaces: true, path: rack2Path, yields: true, lax: true},
		{name: "Rack 3", separators: "&", spaces: true, path: rack3Path},
		{name: "Rack 3, lax, query first", separators: "&", spaces: true, path: rack3Path, yields: true, lax: true, query: true},
		{name: "stripe-mock", separators: "&", path: mockPath},
		{name: "Go, first", separators: "&", path: wholeName, flat: true, first: true, drops: true},
		{name: "Go, last, query first", separators: "&", path: wholeName, flat: true, drops: true, query: true},
		{name: "PHP", separators: "&", path: phpPath, yields: true, lax: true},
		{name: "PHP, first", separators: "&;", path: phpPath, yields: true, lax: true, first: true},
		{name: "trims", separators: "&;", path: rack3Path, yields: true, lax: true, edit: strings.TrimSpace},
		{name: "trims, first", separators: "&", path: rack2Path, yields: true, lax: true, first: true, edit: strings.TrimSpace},
		{name: "folds", separators: "&", path: rack2Path, yields: true, lax: true, edit: fold},
		{name: "C strings", separators: "&", path: rack3Path, yields: true, lax: true, edit: cut},
	}
}

// params are the parameters of a call by their names with brackets. A list has its
// values under one name, those of its objects too, in order.
type params map[string][]string

func (p params) get(name string) string {
	if vs := p[name]; len(vs) > 0 {
		return vs[0]
	}
	return ""
}

func (p params) has(name string) bool { _, ok := p[name]; return ok }

// within returns the names at or below a name.
func (p params) within(name string) []string {
	var names []string
	for n := range p {
		if n == name || strings.HasPrefix(n, name+"[") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// read returns what the server makes of a call, false if it refuses it.
func (s *server) read(query, body string) (params, bool) {
	parts := []string{query, body} // what comes later hides what came before
	if s.query {
		parts = []string{body, query}
	}
	all := &tree{}
	for _, part := range parts {
		one := &tree{}
		for _, segment := range s.segments(part) {
			if !s.add(one, segment) {
				return nil, false
			}
		}
		// Rack merges without depth: a hash of the body hides that of the query.
		for i, name := range one.names {
			all.set(name, one.values[i], false)
		}
	}
	p := params{}
	p.flatten("", all)
	return p, true
}

func (s *server) segments(part string) []string {
	segments := strings.FieldsFunc(part, func(r rune) bool { return r < utf8.RuneSelf && strings.ContainsRune(s.separators, r) })
	if s.spaces {
		for i := 1; i < len(segments); i++ {
			segments[i] = strings.TrimLeft(segments[i], " ")
		}
	}
	return segments
}

// add puts one segment into a tree; false refuses the call.
func (s *server) add(to *tree, segment string) bool {
	if s.drops && strings.Contains(segment, ";") {
		return true
	}
	rawName, rawValue, _ := strings.Cut(segment, "=")
	name, ok := laxUnescape(rawName, s.lax)
	value, ok2 := laxUnescape(rawValue, s.lax)
	if !ok || !ok2 {
		return s.drops
	}
	if s.edit != nil {
		name = s.edit(name)
	}
	path := s.path(name)
	if len(path) == 0 {
		return true
	}
	return to.put(path, value, s)
}

// laxUnescape decodes %XX and '+'. Lax, it leaves what is broken as it stands.
func laxUnescape(s string, lax bool) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b.WriteByte(' ')
		case s[i] != '%':
			b.WriteByte(s[i])
		case i+2 < len(s):
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil && !lax {
				return "", false
			}
			if err != nil {
				b.WriteByte('%')
				continue
			}
			b.WriteByte(byte(n))
			i += 2
		case !lax:
			return "", false
		default:
			b.WriteByte('%')
		}
	}
	return b.String(), true
}

// rack2Path strips brackets around every part: %r(\A[\[\]]*([^\[\]]+)\]*).
func rack2Path(name string) []string {
	isBracket := func(r rune) bool { return r == '[' || r == ']' }
	var path []string
	for depth := 0; ; depth++ {
		rest := strings.TrimLeftFunc(name, isBracket)
		end := strings.IndexFunc(rest, isBracket)
		if end < 0 {
			end = len(rest)
		}
		if rest == "" {
			if depth > 0 && name == "[]" {
				return append(path, "")
			}
			return path
		}
		if depth > 0 && strings.HasPrefix(name, "[][") || depth > 0 && strings.HasPrefix(name, "[]") && end > 0 {
			path = append(path, "")
		}
		path = append(path, rest[:end])
		after := strings.TrimLeft(rest[end:], "]")
		switch after {
		case "":
			return path
		case "[":
			path[len(path)-1] += "["
			return path
		}
		name = after
	}
}

// rack3Path takes brackets for what they are only where they are in order.
func rack3Path(name string) []string {
	if name == "" {
		return nil
	}
	head, after := name, ""
	if i := strings.IndexByte(name[1:], '['); i >= 0 {
		head, after = name[:i+1], name[i+1:]
	}
	if after == "[" {
		return []string{name}
	}
	path := []string{head}
	for after != "" {
		switch end := strings.IndexByte(after, ']'); {
		case strings.HasPrefix(after, "[]"):
			path, after = append(path, ""), after[2:]
		case after[0] == '[' && end > 0:
			path, after = append(path, after[1:end]), after[end+1:]
		default:
			path, after = append(path, after), ""
		}
	}
	return path
}

// mockPath is stripe-mock's: it knows no list of hashes without numbers apart from
// the names, and drops what is out of order.
func mockPath(name string) []string {
	if strings.Count(name, "[") != strings.Count(name, "]") {
		return []string{name}
	}
	return rack3Path(name)
}

func wholeName(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

// phpPath takes spaces and dots of the first part for underscores, ends a name at
// NUL, and ignores what stands behind a closing bracket.
func phpPath(name string) []string {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	head, rest := name, ""
	if i := strings.IndexByte(name, '['); i > 0 {
		head, rest = name[:i], name[i:]
	}
	path := []string{strings.Map(func(r rune) rune {
		if r == ' ' || r == '.' || r == '[' {
			return '_'
		}
		return r
	}, head)}
	if path[0] == "" {
		return nil
	}
	for strings.HasPrefix(rest, "[") {
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			path[len(path)-1] += "_" + rest[1:]
			break
		}
		step := rest[1:end]
		if step == " " || step == "\t" || step == "\n" {
			step = ""
		}
		path, rest = append(path, step), rest[end+1:]
	}
	return path
}

// A tree is a hash, or with list a list, in the order in which it grew; a leaf has a
// text.
type tree struct {
	names  []string
	values []*tree
	list   bool
	text   string
	leaf   bool
}

func (t *tree) child(name string) *tree {
	if i := slices.Index(t.names, name); i >= 0 {
		return t.values[i]
	}
	return nil
}

func (t *tree) set(name string, value *tree, first bool) {
	if i := slices.Index(t.names, name); i < 0 {
		t.names, t.values = append(t.names, name), append(t.values, value)
	} else if !first {
		t.values[i] = value
	}
}

// put stores a value at a path below t; false is what servers refuse, a value where a
// hash stands and the like.
func (t *tree) put(path []string, value string, s *server) bool {
	name, rest := path[0], path[1:]
	if s.flat {
		if strings.HasSuffix(name, "[]") || strings.Contains(name, "[][") {
			name += "\x00" + strconv.Itoa(len(t.names)) // a list keeps all
		}
		t.set(name, &tree{leaf: true, text: value}, s.first)
		return true
	}
	if len(rest) == 0 {
		if name == "" {
			name, t.list = strconv.Itoa(len(t.names)), true
		}
		t.set(name, &tree{leaf: true, text: value}, s.first)
		return true
	}
	at := t.child(name)
	if name == "" {
		t.list = true
		// A hash within a list goes on until a name stands twice.
		if n := len(t.values); n > 0 && !t.values[n-1].leaf && !t.values[n-1].holds(rest) {
			at = t.values[n-1]
		} else {
			at, name = &tree{}, strconv.Itoa(n)
			t.set(name, at, false)
		}
	}
	if at == nil || at.leaf && s.yields && !s.first {
		at = &tree{}
		t.set(name, at, false)
	}
	if at.leaf {
		return s.yields
	}
	if wants := rest[0] == ""; len(at.names) > 0 && at.list != wants && !s.yields {
		return false
	}
	return at.put(rest, value, s)
}

// holds reports whether something stands at the path below t.
func (t *tree) holds(path []string) bool {
	for _, step := range path {
		if step == "" {
			return false
		}
		if t = t.child(step); t == nil {
			return false
		}
	}
	return true
}

func (p params) flatten(prefix string, t *tree) {
	for i, v := range t.values {
		name := t.names[i]
		if j := strings.LastIndexByte(name, 0); j >= 0 && strings.Contains(name, "[]") {
			name = name[:j]
		}
		if t.list {
			name = ""
		}
		if prefix != "" {
			name = prefix + "[" + name + "]"
		}
		if v.leaf {
			p[name] = append(p[name], v.text)
		} else {
			p.flatten(name, v)
		}
	}
}

// numbers returns every whole number that a lenient reader may see in a text: as
// Ruby, Go, PHP and JavaScript take integers, with white space, signs, leading zeros,
// other bases, exponents, fractions, underscores and digits of other scripts.
func numbers(text string) []int64 {
	var all []int64
	note := func(n int64, err error) {
		if err == nil && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	plain := strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == 0 || r == 0xFEFF })
	plain = strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return '0' + digit(r)
		}
		return r
	}, plain)
	for _, s := range []string{plain, strings.ReplaceAll(plain, "_", ""), strings.ReplaceAll(plain, ",", "")} {
		for _, base := range []int{0, 10} {
			note(strconv.ParseInt(s, base, 64))
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && f > -9e18 && f < 9e18 {
			note(int64(f), nil)
		}
		end := len(s)
		for i, r := range s {
			if (r < '0' || r > '9') && !(i == 0 && (r == '-' || r == '+')) {
				end = i
				break
			}
		}
		note(strconv.ParseInt(s[:end], 10, 64)) // to_i and intval stop where digits do
	}
	return all
}

func digit(r rune) rune {
	for zero := r; zero > r-10; zero-- {
		if !unicode.IsDigit(zero - 1) {
			return r - zero
		}
	}
	return r % 10
}

// mayBeTrue reports whether some server takes a text for true: all do for what none
// takes for false.
func mayBeTrue(text string) bool {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "false", "f", "0", "no", "off", "null", "nil":
		return false
	}
	return true
}
