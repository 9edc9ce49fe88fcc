package stripe

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outgo/outgo/rails"
)

func TestFormNamesTheParameterAtFault(t *testing.T) {
	for name, tc := range map[string]struct{ query, body, param string }{
		"a name that comes twice":    {body: "a=1&amount=1&amount=2", param: "amount"},
		"a name in query and body":   {query: "amount=1", body: "amount[x]=2", param: "amount"},
		"a value that is also a map": {body: "amount=1&amount[x]=2", param: "amount"},
		"a list that is also a map":  {body: "a[b][]=1&a[b][c]=2", param: "a[b]"},
		"an odd bracket":             {body: "amount[=1", param: "amount["},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseForm(nil, tc.query, tc.body)
			if r, ok := err.(*rails.Refusal); !ok || r.Param != tc.param { //nolint:errorlint // parseForm wraps nothing
				t.Errorf("parseForm(%q, %q): %v, want a refusal over %q", tc.query, tc.body, err, tc.param)
			}
		})
	}
}

func TestFormBounds(t *testing.T) {
	pairs := func(n int) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte('&')
			}
			b.WriteString("metadata[k" + strings.Repeat("x", i) + "]=1")
		}
		return b.String()
	}
	if f, err := parseForm(nil, "a=1", pairs(maxPairs-1)); err != nil || len(f.body) != maxPairs-1 {
		t.Errorf("%d parameters: %v, want them read", maxPairs, err)
	}
	if _, err := parseForm(nil, "", pairs(maxPairs)); err != nil {
		t.Errorf("%d parameters in the body alone: %v, want them read", maxPairs, err)
	}
	if _, err := parseForm(nil, "a=1", pairs(maxPairs)); err == nil {
		t.Errorf("%d parameters are read, want a refusal", maxPairs+1)
	}
}

// FuzzForm holds the parser against the one of net/url: whatever is accepted,
// the two read alike, in the order of the names; and the encoding is a fixed point.
func FuzzForm(f *testing.F) {
	for _, file := range fixtures(f) {
		for _, q := range readLines[request](f, file) {
			body := q.Body
			if q.BodyBase64 != nil {
				body = string(q.BodyBase64)
			}
			_, query, _ := strings.Cut(q.URL, "?")
			f.Add(query, body)
		}
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		got, err := parseForm(nil, query, body)
		if err != nil {
			if _, ok := err.(*rails.Refusal); !ok { //nolint:errorlint // parseForm wraps nothing
				t.Fatalf("error %v is no refusal", err)
			}
			return
		}
		checkAgainstURL(t, query, got.query)
		checkAgainstURL(t, body, got.body)
		checkRaw(t, query, got.query)
		checkRaw(t, body, got.body)
		seen := map[string]bool{}
		for _, p := range got.all {
			if seen[p.name] && !strings.HasSuffix(p.name, "[]") {
				t.Fatalf("%q is accepted twice", p.name)
			}
			seen[p.name] = true
			if p.name == "" || !utf8.ValidString(p.name+p.text()) || strings.ContainsRune(p.name+p.text(), 0) {
				t.Fatalf("%q=%q is accepted", p.name, p.text())
			}
		}
		q, b := string(encodeAnew(got.query)), string(encodeAnew(got.body))
		again, err := parseForm(nil, q, b)
		if err != nil || !slices.EqualFunc(again.query, got.query, sameParameter) || !slices.EqualFunc(again.body, got.body, sameParameter) || string(encodeAnew(again.query)) != q || string(encodeAnew(again.body)) != b {
			t.Fatalf("%q and %q, encoded as %q and %q, are read as %+v, %v", query, body, q, b, again, err)
		}
		if c, err := parseForm(nil, "", string(got.appendCanonical(nil))); err != nil || string(c.appendCanonical(nil)) != string(got.appendCanonical(nil)) {
			t.Fatalf("the canonical form %q is no fixed point: %v", got.appendCanonical(nil), err)
		}
	})
}

func sameParameter(a, b pair) bool { return a.name == b.name && a.text() == b.text() }

// checkRaw wants each parameter's encoding, made from what it was decoded to, where
// its own bytes are taken for it, and other bytes where they are not.
func checkRaw(t *testing.T, raw string, pairs []pair) {
	t.Helper()
	for i, segment := range strings.Split(raw, "&")[:len(pairs)] {
		want := string(appendPair(nil, &pair{name: pairs[i].name, value: pairs[i].text()}))
		if (pairs[i].raw == segment) != (want == segment) || pairs[i].raw != "" && pairs[i].raw != segment {
			t.Fatalf("%q keeps %q as its encoding, which is %q", segment, pairs[i].raw, want)
		}
	}
}

func checkAgainstURL(t *testing.T, raw string, pairs []pair) {
	t.Helper()
	values, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatalf("net/url does not read %q: %v", raw, err)
	}
	mine := url.Values{}
	for _, p := range pairs {
		mine[p.name] = append(mine[p.name], p.text())
	}
	if len(values) != len(mine) {
		t.Fatalf("%q is read as %v and by net/url as %v", raw, mine, values)
	}
	for name, vs := range values {
		if !slices.Equal(mine[name], vs) {
			t.Fatalf("%q of %q is read as %q and by net/url as %q", name, raw, mine[name], vs)
		}
	}
}
