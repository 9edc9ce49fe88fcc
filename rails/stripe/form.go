package stripe

import (
	"net/url"
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

// pair is one parameter, decoded.
type pair struct {
	name  string // "transfer_data[destination]"
	base  string // "transfer_data"
	value string
}

// form is what Stripe takes the parameters of a write from: query and body are
// one bucket to it (it says so itself; the habit comes from Rack). Every form
// made by parseForm has one reading for all parsers known.
type form struct {
	query, body []pair
	all         []pair // query, then body
}

// parseForm reads both halves and refuses whatever is not plain: code Malformed
// for broken syntax, Ambiguous for what Rack 1 to 3, Go and browsers read
// differently.
func parseForm(query, body string) (*form, error) {
	// Counting first bounds what the splitting below allocates.
	if countPairs(query)+countPairs(body) > maxPairs {
		return nil, rails.Refusef(spend.Malformed, "", "more than %d parameters", maxPairs)
	}
	var f form
	var err error
	if f.query, err = parsePairs(query); err != nil {
		return nil, err
	}
	if f.body, err = parsePairs(body); err != nil {
		return nil, err
	}
	f.all = slices.Concat(f.query, f.body)
	if err := f.checkOverlap(); err != nil {
		return nil, err
	}
	if err := f.checkShape(); err != nil {
		return nil, err
	}
	return &f, nil
}

func countPairs(raw string) int {
	if raw == "" {
		return 0
	}
	return strings.Count(raw, "&") + 1
}

func parsePairs(raw string) ([]pair, error) {
	if raw == "" {
		return nil, nil
	}
	if err := checkBytes(raw); err != nil {
		return nil, err
	}
	var pairs []pair
	for segment := range strings.SplitSeq(raw, "&") {
		p, err := parsePair(segment)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
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

func parsePair(segment string) (pair, error) {
	rawName, rawValue, ok := strings.Cut(segment, "=")
	if !ok {
		// It is not quoted: without the '=', nobody knows which part is the value.
		return pair{}, rails.Refusef(spend.Malformed, "", "a parameter has no '='")
	}
	name, err := unescape(rawName)
	if err != nil {
		return pair{}, err
	}
	value, err := unescape(rawValue)
	if err != nil {
		return pair{}, err
	}
	base, err := checkName(name)
	if err != nil {
		return pair{}, err
	}
	return pair{name: name, base: base, value: value}, nil
}

// unescape decodes once, and refuses what only decoding brings to light.
func unescape(raw string) (string, error) {
	s, err := url.QueryUnescape(raw)
	if err != nil {
		return "", rails.Refusef(spend.Malformed, "", "a parameter has a broken percent-escape")
	}
	if !utf8.ValidString(s) {
		return "", rails.Refusef(spend.Malformed, "", "a parameter is not UTF-8 when decoded")
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", rails.Refusef(spend.Malformed, "", "a parameter holds an encoded NUL")
	}
	return s, nil
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
// metadata hash may be any text without brackets; the last sub may be empty.
func checkName(name string) (base string, err error) {
	if name == "" {
		return "", rails.Refusef(spend.Malformed, "", "a parameter has no name")
	}
	base, subs, err := splitName(name)
	if err != nil {
		return "", err
	}
	if !isWord(base) || '0' <= base[0] && base[0] <= '9' {
		return "", rails.Refusef(spend.Ambiguous, name, "the parameter name %.80q is not a lower-case word, and parsers mend it differently", shown(name))
	}
	parent := base
	for i, sub := range subs {
		switch {
		case sub == "" && i < len(subs)-1:
			return "", rails.Refusef(spend.Ambiguous, name, "the parameter name %.80q has empty brackets in the middle; number the elements", shown(name))
		case sub == "" || isWord(sub) && !hasLeadingZero(sub):
		case parent == "metadata" && isPlainText(sub):
		default:
			return "", rails.Refusef(spend.Ambiguous, name, "the parameter name %.80q holds an odd key", shown(name))
		}
		parent = sub
	}
	return base, nil
}

// splitName takes a name apart at its brackets, which must pair up exactly
// behind the base. What the base is made of is not looked at.
func splitName(name string) (base string, subs []string, err error) {
	open := strings.IndexByte(name, '[')
	if open < 0 {
		open = len(name)
	}
	base, rest := name[:open], name[open:]
	for rest != "" {
		end := strings.IndexByte(rest, ']')
		if rest[0] != '[' || end < 0 || strings.IndexByte(rest[1:end], '[') >= 0 {
			return "", nil, rails.Refusef(spend.Ambiguous, name, "the brackets of the parameter name %.80q do not pair up", shown(name))
		}
		if subs = append(subs, rest[1:end]); len(subs) > maxDepth {
			return "", nil, rails.Refusef(spend.Malformed, "", "a parameter is nested more than %d deep", maxDepth)
		}
		rest = rest[end+1:]
	}
	return base, subs, nil
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func isIndex(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// hasLeadingZero finds indices that name an element twice: 00 is 0 to some.
func hasLeadingZero(s string) bool { return len(s) > 1 && s[0] == '0' && isIndex(s) }

func isPlainText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufeff' }) < 0
}

// checkOverlap refuses a base that stands in query and body: Rack merges the two
// shallowly, so that one hash replaces the other.
func (f *form) checkOverlap() error {
	inQuery := map[string]bool{}
	for _, p := range f.query {
		inQuery[p.base] = true
	}
	for _, p := range f.body {
		if inQuery[p.base] {
			return rails.Refusef(spend.Ambiguous, p.base, "the parameter %q stands in the query and in the body; send it once", p.base)
		}
	}
	return nil
}

// checkShape refuses a name that comes twice, unless it ends in "[]", and a
// name that is at once a value, a list, an indexed list or a hash.
func (f *form) checkShape() error {
	seen, shapes := map[string]bool{}, map[string]string{}
	for _, p := range f.all {
		if seen[p.name] && !strings.HasSuffix(p.name, "[]") {
			return rails.Refusef(spend.Ambiguous, p.name, "the parameter %.80q comes twice; send it once", p.name)
		}
		seen[p.name] = true
		_, subs, _ := splitName(p.name)
		prefix, parent := p.base, p.base
		for i := 0; i <= len(subs); i++ {
			shape := "value"
			if i < len(subs) {
				shape = shapeOf(parent, subs[i])
			}
			if was := shapes[prefix]; was != "" && was != shape {
				return rails.Refusef(spend.Ambiguous, prefix, "the parameter %.80q is a %s and a %s at once", prefix, was, shape)
			}
			shapes[prefix] = shape
			if i < len(subs) {
				parent = subs[i]
				prefix += "[" + parent + "]"
			}
		}
	}
	return nil
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
	for _, p := range f.all {
		switch p.base {
		case "_method", "key", "_stripe_account", "_stripe_version":
			return rails.Refusef(spend.Ambiguous, p.base, "the parameter %q stands for a header or a method in some of Stripe's clients; use the header", p.base)
		}
	}
	return nil
}

// scalar returns the value of the parameter name. A list or a hash of that name
// is Malformed.
func (f *form) scalar(name string) (value string, present bool, err error) {
	for _, p := range f.all {
		if p.name == name {
			return p.value, true, nil
		}
		if strings.HasPrefix(p.name, name+"[") {
			return "", false, rails.Refusef(spend.Malformed, name, "the parameter %q must be a single value", name)
		}
	}
	return "", false, nil
}

// isHash reports whether the parameter name has keys or elements.
func (f *form) isHash(name string) bool {
	return slices.ContainsFunc(f.all, func(p pair) bool { return strings.HasPrefix(p.name, name+"[") })
}

// canonical returns all parameters sorted by name, elements of one list in their
// order, so that an SDK's repeat in another order is the same call.
func (f *form) canonical() []byte {
	all := slices.Clone(f.all)
	slices.SortStableFunc(all, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return []byte(encode(all))
}

// encode writes pairs in their order: brackets as they are, as all of Stripe's
// SDKs write them, and everything else that is not unreserved as %XX.
func encode(pairs []pair) string {
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		escape(&b, p.name, "[]")
		b.WriteByte('=')
		escape(&b, p.value, "")
	}
	return b.String()
}

func escape(b *strings.Builder, s, raw string) {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(raw, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
}
