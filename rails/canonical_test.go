package rails

import (
	"errors"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

// codeOf returns the code of a refusal, "" for none, and fails on other errors.
func codeOf(t *testing.T, err error) spend.Code {
	t.Helper()
	if err == nil {
		return ""
	}
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error %v is no *Refusal", err)
	}
	return r.Code
}

func TestCanonicalHost(t *testing.T) {
	long := strings.Repeat("a", 63)
	for name, tc := range map[string]struct {
		in, want string
		code     spend.Code
	}{
		"a plain name stands":                   {in: "api.stripe.com", want: "api.stripe.com"},
		"upper case folds":                      {in: "API.Stripe.COM", want: "api.stripe.com"},
		"one trailing dot goes":                 {in: "api.stripe.com.", want: "api.stripe.com"},
		"a single label stands":                 {in: "localhost", want: "localhost"},
		"an underscore stands":                  {in: "my_node.local", want: "my_node.local"},
		"punycode stands":                       {in: "xn--bcher-kva.example", want: "xn--bcher-kva.example"},
		"a label of 63 bytes stands":            {in: long + ".com", want: long + ".com"},
		"plain IPv4 stands":                     {in: "127.0.0.1", want: "127.0.0.1"},
		"bracketed IPv6 folds":                  {in: "[2001:DB8::1]", want: "[2001:db8::1]"},
		"digits before a word are a name":       {in: "1.2.3.example", want: "1.2.3.example"},
		"two trailing dots are an empty label":  {in: "api.stripe.com..", code: spend.Malformed},
		"a dot alone is an empty label":         {in: ".", code: spend.Malformed},
		"a leading dot is an empty label":       {in: ".stripe.com", code: spend.Malformed},
		"nothing is no host":                    {in: "", code: spend.Malformed},
		"NUL is no host byte":                   {in: "api.stripe.com\x00.evil.example", code: spend.Malformed},
		"a space is no host byte":               {in: "api.stripe.com evil.example", code: spend.Malformed},
		"a port is the caller's":                {in: "api.stripe.com:443", code: spend.Malformed},
		"a slash is no host byte":               {in: "api.stripe.com/x", code: spend.Malformed},
		"a label of 64 bytes is too long":       {in: long + "a.com", code: spend.Malformed},
		"254 bytes are too long":                {in: strings.Repeat(long+".", 3) + strings.Repeat("a", 62), code: spend.Malformed},
		"a leading hyphen is no label":          {in: "-a.example", code: spend.Malformed},
		"an unclosed bracket is no address":     {in: "[::1", code: spend.Malformed},
		"a dot behind a bracket is no address":  {in: "[::1].", code: spend.Malformed},
		"bare IPv6 is no host":                  {in: "::1", code: spend.Malformed},
		"IPv4 in brackets is no IPv6":           {in: "[127.0.0.1]", code: spend.Malformed},
		"user information hides the host":       {in: "api.stripe.com@evil.example", code: spend.Ambiguous},
		"letters outside ASCII look alike":      {in: "api.strіpe.com", code: spend.Ambiguous},
		"an ideographic stop is read as a dot":  {in: "api。stripe.com", code: spend.Ambiguous},
		"a zone is another address":             {in: "[fe80::1%25eth0]", code: spend.Ambiguous},
		"an encoded name is another name":       {in: "api%2estripe.com", code: spend.Ambiguous},
		"a backslash ends the host for some":    {in: `evil.example\.stripe.com`, code: spend.Ambiguous},
		"two parts of IPv4 are odd":             {in: "127.1", code: spend.Ambiguous},
		"hexadecimal parts are odd":             {in: "0x7f.1", code: spend.Ambiguous},
		"one hexadecimal number is odd":         {in: "0x7F000001", code: spend.Ambiguous},
		"one decimal number is odd":             {in: "2130706433", code: spend.Ambiguous},
		"octal parts are odd":                   {in: "0177.0.0.1", code: spend.Ambiguous},
		"a number too large is odd":             {in: "1.2.3.256", code: spend.Ambiguous},
		"IPv4 with a trailing dot is odd":       {in: "127.0.0.1.", code: spend.Ambiguous},
		"a name that ends in a number is odd":   {in: "foo.0x", code: spend.Ambiguous},
		"long IPv6 is odd":                      {in: "[0:0:0:0:0:0:0:1]", code: spend.Ambiguous},
		"IPv4 mapped into IPv6 is odd":          {in: "[::ffff:169.254.169.254]", code: spend.Ambiguous},
		"IPv4 mapped in hexadecimal is as well": {in: "[::ffff:a9fe:a9fe]", code: spend.Ambiguous},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := CanonicalHost(tc.in)
			if code := codeOf(t, err); got != tc.want || code != tc.code {
				t.Errorf("CanonicalHost(%q) = %q, %q (%v), want %q, %q", tc.in, got, code, err, tc.want, tc.code)
			}
		})
	}
}

func TestCanonicalTarget(t *testing.T) {
	for name, tc := range map[string]struct {
		in, path, query string
		has             bool
		code            spend.Code
	}{
		"a plain path stands":                   {in: "/v1/charges", path: "/v1/charges"},
		"the root stands":                       {in: "/", path: "/"},
		"a trailing slash is another path":      {in: "/v1/charges/", path: "/v1/charges/"},
		"a query is split off":                  {in: "/v1/charges?a=1&b=%20", path: "/v1/charges", query: "a=1&b=%20", has: true},
		"an empty query is told from none":      {in: "/v1/charges?", path: "/v1/charges", has: true},
		"a query may hold question marks":       {in: "/x?a=?/../", path: "/x", query: "a=?/../", has: true},
		"brackets stand in a query":             {in: "/x?expand[]=a", path: "/x", query: "expand[]=a", has: true},
		"escapes of reserved bytes stand":       {in: "/a%20b%3Fc/@x:y", path: "/a%20b%3Fc/@x:y"},
		"three dots are a name":                 {in: "/.../..a", path: "/.../..a"},
		"nothing is no target":                  {in: "", code: spend.Malformed},
		"an asterisk is no origin form":         {in: "*", code: spend.Malformed},
		"an absolute form is no origin form":    {in: "https://api.stripe.com/v1/charges", code: spend.Malformed},
		"a space breaks the target":             {in: "/v1/ charges", code: spend.Malformed},
		"a control byte breaks the target":      {in: "/v1/\tcharges", code: spend.Malformed},
		"NUL breaks the target":                 {in: "/v1/charges\x00", code: spend.Malformed},
		"raw UTF-8 breaks the target":           {in: "/v1/chargés", code: spend.Malformed},
		"a fragment is never sent":              {in: "/v1/charges#x", code: spend.Malformed},
		"a fragment in a query neither":         {in: "/v1/charges?a#x", code: spend.Malformed},
		"a space in a query breaks it":          {in: "/x?a=1 2", code: spend.Malformed},
		"a short escape is broken":              {in: "/v1/%6", code: spend.Malformed},
		"a lone percent sign is broken":         {in: "/v1/%", code: spend.Malformed},
		"letters are no hexadecimal":            {in: "/v1/%zz", code: spend.Malformed},
		"a broken escape in a query":            {in: "/x?a=%4", code: spend.Malformed},
		"an encoded NUL is broken":              {in: "/v1/charges%00", code: spend.Malformed},
		"braces are no path bytes":              {in: "/v1/{id}", code: spend.Malformed},
		"two slashes are collapsed by some":     {in: "/v1//charges", code: spend.Ambiguous},
		"two leading slashes name a host":       {in: "//v1/charges", code: spend.Ambiguous},
		"two trailing slashes are collapsed":    {in: "/v1/charges//", code: spend.Ambiguous},
		"a dot segment is removed by some":      {in: "/v1/./charges", code: spend.Ambiguous},
		"two dots climb for some":               {in: "/v1/x/../charges", code: spend.Ambiguous},
		"two dots at the end climb as well":     {in: "/v1/charges/..", code: spend.Ambiguous},
		"encoded dots climb for some":           {in: "/v1/x/%2e%2E/charges", code: spend.Ambiguous},
		"half-encoded dots climb for some":      {in: "/v1/x/.%2e/charges", code: spend.Ambiguous},
		"an encoded letter is the letter":       {in: "/v1/%63harges", code: spend.Ambiguous},
		"an encoded slash is a slash to some":   {in: "/v1%2Fcharges", code: spend.Ambiguous},
		"in either case":                        {in: "/v1%2fcharges", code: spend.Ambiguous},
		"a backslash is a slash to some":        {in: `/v1\charges`, code: spend.Ambiguous},
		"an encoded backslash as well":          {in: "/v1%5Ccharges", code: spend.Ambiguous},
		"path parameters are dropped by some":   {in: "/v1/charges;x=1", code: spend.Ambiguous},
		"two layers of escapes are an alias":    {in: "/v1/%2563harges", code: spend.Ambiguous},
		"overlong UTF-8 hides a slash":          {in: "/x%c0%af..", code: spend.Ambiguous},
		"encoded UTF-8 stands":                  {in: "/caf%C3%A9", path: "/caf%C3%A9"},
		"a lone encoded percent sign is itself": {in: "/100%25", path: "/100%25"},
	} {
		t.Run(name, func(t *testing.T) {
			path, query, has, err := CanonicalTarget(tc.in)
			code := codeOf(t, err)
			if path != tc.path || query != tc.query || has != tc.has || code != tc.code {
				t.Errorf("CanonicalTarget(%q) = %q, %q, %v, %q (%v), want %q, %q, %v, %q",
					tc.in, path, query, has, code, err, tc.path, tc.query, tc.has, tc.code)
			}
		})
	}
}

func FuzzCanonicalHost(f *testing.F) {
	for _, s := range []string{"api.stripe.com", "API.STRIPE.COM.", "127.0.0.1", "127.1", "0x7f.1", "[::1]", "[::ffff:1.2.3.4]", "a@b", "a..b", "é", "1.", "[::1].", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := CanonicalHost(s)
		if err != nil {
			codeOf(t, err)
			return
		}
		if again, err := CanonicalHost(got); err != nil || again != got {
			t.Fatalf("CanonicalHost(%q) = %q, and again %q, %v", s, got, again, err)
		}
		if !strings.EqualFold(strings.TrimSuffix(s, "."), got) {
			t.Fatalf("CanonicalHost(%q) = %q names another host", s, got)
		}
		if u, err := url.Parse("https://" + got + "/"); err != nil || u.Hostname() != strings.Trim(got, "[]") || u.Port() != "" {
			t.Fatalf("net/url reads %q as %v, %v", got, u, err)
		}
		if a, err := netip.ParseAddr(strings.Trim(got, "[]")); err == nil && a.String() != strings.Trim(got, "[]") {
			t.Fatalf("CanonicalHost(%q) = %q admits the address %v in an odd spelling", s, got, a)
		}
	})
}

func FuzzCanonicalTarget(f *testing.F) {
	for _, s := range []string{"/", "/v1/charges?a=1", "/a%20b", "/v1//x", "/../x", "/%2e", "/a;b", "/a?#", "/?", "//x", "/%25", "/%2525", "/a/", "*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, q, has, err := CanonicalTarget(s)
		if err != nil {
			codeOf(t, err)
			return
		}
		whole := p
		if has {
			whole += "?" + q
		}
		if whole != s {
			t.Fatalf("CanonicalTarget(%q) rewrote it to %q", s, whole)
		}
		u, err := url.ParseRequestURI(s)
		if err != nil || u.Host != "" || u.EscapedPath() != p || u.RawQuery != q || u.Fragment != "" {
			t.Fatalf("net/url reads %q as %#v, %v, want path %q, query %q", s, u, err, p, q)
		}
		if clean := path.Clean(u.Path); clean != u.Path && clean+"/" != u.Path {
			t.Fatalf("CanonicalTarget(%q) admits a path that cleans to %q", s, clean)
		}
	})
}
