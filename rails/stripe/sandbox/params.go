package sandbox

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	maxBody   = 1 << 20
	maxAmount = 99_999_999 // eight digits: Stripe's bound for one payment
)

// params are the parameters of one call: query and body in one bucket, as Stripe
// reads them. Where both name the same top-level parameter the body wins; of two
// values for one name the last wins. The getters remember the first error, so
// that a handler reads all its parameters and then asks once.
type params struct {
	flat map[string]string // full names: "amount", "metadata[order]", "expand[0]"
	err  *Error
}

// parse reads the parameters of r and leaves its body readable for the hooks.
func parse(r *http.Request) (*params, *Error) {
	p := &params{flat: map[string]string{}}
	if e := p.add(r.URL.RawQuery); e != nil {
		return nil, e
	}
	if r.Method != http.MethodPost {
		return p, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return nil, badRequest("", "", "Invalid request: the body could not be read")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if len(body) == 0 {
		return p, nil
	}
	contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(contentType), "application/x-www-form-urlencoded") {
		return nil, badRequest("", "", "Invalid request: unsupported Content-Type %s.", r.Header.Get("Content-Type"))
	}
	b := &params{flat: map[string]string{}}
	if e := b.add(string(body)); e != nil {
		return nil, e
	}
	for name := range b.flat {
		for old := range p.flat {
			if topLevel(old) == topLevel(name) {
				delete(p.flat, old)
			}
		}
	}
	for name, v := range b.flat {
		p.flat[name] = v
	}
	return p, nil
}

// add takes in the pairs of one encoded string. "a[]" counts up: "a[0]", "a[1]".
func (p *params) add(encoded string) *Error {
	for pair := range strings.SplitSeq(encoded, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err != nil || err2 != nil {
			return badRequest("", "", "Invalid request: the parameters are not well encoded")
		}
		if stem, isList := strings.CutSuffix(name, "[]"); isList {
			n := 0
			for p.has(stem + "[" + strconv.Itoa(n) + "]") {
				n++
			}
			name = stem + "[" + strconv.Itoa(n) + "]"
		}
		p.flat[name] = value
	}
	return nil
}

func topLevel(name string) string {
	top, _, _ := strings.Cut(name, "[")
	return top
}

// known refuses a call that has a parameter outside the space-separated list.
func (p *params) known(list string) *Error {
	names := strings.Fields(list)
	for _, name := range p.names() {
		if !slices.Contains(names, topLevel(name)) {
			return badRequest("parameter_unknown", name, "Received unknown parameter: %s", name)
		}
	}
	return nil
}

// names returns the full names in order.
func (p *params) names() []string {
	names := make([]string, 0, len(p.flat))
	for name := range p.flat {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// canonical is the same for the same parameters in whatever order they came.
func (p *params) canonical() string {
	var b strings.Builder
	for _, name := range p.names() {
		b.WriteString(url.QueryEscape(name) + "=" + url.QueryEscape(p.flat[name]) + "&")
	}
	return b.String()
}

func (p *params) fail(e *Error) {
	if p.err == nil {
		p.err = e
	}
}

func (p *params) has(name string) bool { _, ok := p.flat[name]; return ok }

// text returns a value or "".
func (p *params) text(name string) text { return text(p.flat[name]) }

// require refuses an absent or empty parameter.
func (p *params) require(name string) string {
	v, ok := p.flat[name]
	switch {
	case !ok:
		p.fail(badRequest("parameter_missing", name, "Missing required param: %s.", name))
	case v == "":
		p.fail(badRequest("parameter_invalid_empty", name, "You passed an empty string for '%s'. We assume empty values are an "+
			"attempt to unset a field; however '%s' cannot be unset.", name, name))
	}
	return v
}

// choice returns one of the allowed values, the first of them when absent.
func (p *params) choice(name string, allowed ...string) string {
	v, ok := p.flat[name]
	if !ok {
		return allowed[0]
	}
	if !slices.Contains(allowed, v) || v == "" {
		p.fail(badRequest("", name, "Invalid %s: must be one of %s", name, strings.TrimPrefix(strings.Join(allowed, ", "), ", ")))
	}
	return v
}

// flag returns a boolean, or what it is by default.
func (p *params) flag(name string, byDefault bool) bool {
	switch v, ok := p.flat[name]; {
	case !ok:
		return byDefault
	case v == "true":
		return true
	case v != "false":
		p.fail(badRequest("", name, "Invalid boolean: %s", v))
	}
	return false
}

var integer = regexp.MustCompile(`^-?[0-9]{1,18}$`)

// integer returns a whole number and whether one was sent.
func (p *params) integer(name string) (int64, bool) {
	v, ok := p.flat[name]
	if !ok {
		return 0, false
	}
	if p.require(name); v == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || !integer.MatchString(v) {
		p.fail(badRequest("parameter_invalid_integer", name, "Invalid integer: %s", v))
	}
	return n, true
}

// optionalAmount returns a positive amount in the smallest unit and whether one
// was sent.
func (p *params) optionalAmount(name string) (int64, bool) {
	n, ok := p.integer(name)
	switch {
	case !ok:
	case n < 1:
		p.fail(badRequest("parameter_invalid_integer", name, "This value must be greater than or equal to 1."))
	case n > maxAmount:
		p.fail(badRequest("amount_too_large", name, "Amount must be no more than %d in the smallest unit.", maxAmount))
	}
	return n, ok
}

// amount is optionalAmount for one that must be sent.
func (p *params) amount(name string) int64 {
	p.require(name)
	n, _ := p.optionalAmount(name)
	return n
}

// currency returns a required ISO code in lower case.
func (p *params) currency(name string) string {
	v := strings.ToLower(p.require(name))
	letters := strings.IndexFunc(v, func(r rune) bool { return r < 'a' || r > 'z' }) < 0
	if p.err == nil && (len(v) != 3 || !letters) {
		p.fail(badRequest("", name, "Invalid currency: %s.", v))
	}
	return v
}

// under returns the members of a hash parameter: under("metadata")["order"].
func (p *params) under(name string) map[string]string {
	m := map[string]string{}
	for k, v := range p.flat {
		if inner, ok := strings.CutPrefix(k, name+"["); ok && v != "" {
			m[strings.TrimSuffix(inner, "]")] = v
		}
	}
	return m
}

// list returns the values of a list parameter in order.
func (p *params) list(name string) []string {
	var l []string
	for n := 0; ; n++ {
		v, ok := p.flat[name+"["+strconv.Itoa(n)+"]"]
		if !ok {
			return l
		}
		l = append(l, v)
	}
}
