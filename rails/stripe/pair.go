package stripe

import (
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// pair is one parameter.
type pair struct {
	name  string   // decoded: "transfer_data[destination]"
	base  int      // how much of name stands before the brackets
	value string   // decoded, unless it is coded
	coded bool     // value is still to be decoded, which is certain to go well
	kind  jsonKind // what it was in JSON
	raw   string   // as it came; "" where its encoding is another
}

// top returns the name without its brackets: "transfer_data".
func (p *pair) top() string { return p.name[:p.base] }

// text returns the value, decoded.
func (p *pair) text() string {
	if !p.coded {
		return p.value
	}
	s, _ := unescape(p.value, true) //nolint:errcheck // decode has seen that it goes well
	return s
}

// isWithin reports whether the parameter is a key or an element of name.
func (p *pair) isWithin(name string) bool {
	return len(p.name) > len(name) && p.name[len(name)] == '[' && p.name[:len(name)] == name
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

func appendPair(b []byte, p *pair) []byte {
	if p.raw != "" {
		return append(b, p.raw...)
	}
	b = append(appendEscaped(b, p.name, inName), '=')
	return appendEscaped(b, p.text(), isFree)
}
