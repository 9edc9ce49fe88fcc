package stripe

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

func TestJSONThatHasOneReading(t *testing.T) {
	for name, tc := range map[string]struct{ body, pairs, sent, canonical string }{
		"as stripe-node sends an outbound payment": {
			body:  `{"from":{"financial_account":"fa_1","currency":"usd"},"to":{"recipient":"acct_2"},"amount":{"value":100,"currency":"usd"}}`,
			pairs: `from[financial_account]="fa_1" from[currency]="usd" to[recipient]="acct_2" amount[value]=100 amount[currency]="usd"`,
			canonical: `{"amount":{"currency":"usd","value":100},"from":{"currency":"usd","financial_account":"fa_1"},` +
				`"to":{"recipient":"acct_2"}}`,
		},
		"as stripe-python sends it, with white space and escapes": {
			body:  "{\"description\": \"caf\\u00e9 \\ud83d\\ude00 \\/\", \"amount\": {\"value\": 100}}\r\n",
			pairs: `description="café 😀 /" amount[value]=100`,
			sent:  `{"description":"café 😀 /","amount":{"value":100}}`, canonical: `{"amount":{"value":100},"description":"café 😀 /"}`,
		},
		"as stripe-go escapes text": {
			body: `{"description":"a\u003cb\u0026\u2028"}`, pairs: "description=\"a<b&\u2028\"", sent: "{\"description\":\"a<b&\u2028\"}",
		},
		"what must be escaped":                   {body: `{"description":"\"\\\n\r\t"}`, pairs: "description=\"\"\\\n\r\t\""},
		"no parameters":                          {body: `{}`},
		"no body, as stripe-go sends for none":   {body: ``},
		"lists":                                  {body: `{"a":[[1],{"b":2},"c"]}`, pairs: `a[0][0]=1 a[1][b]=2 a[2]="c"`},
		"nothing, in all its kinds":              {body: `{"a":null,"b":{},"c":[],"d":"","e":false,"f":[null]}`, pairs: `a=null b={} c=[] d="" e=false f[0]=null`},
		"words that are text":                    {body: `{"a":"null","b":"1","c":"true"}`, pairs: `a="null" b="1" c="true"`},
		"the greatest whole numbers":             {body: `{"a":9223372036854775807,"b":-9223372036854775808,"c":0}`, pairs: `a=9223372036854775807 b=-9223372036854775808 c=0`},
		"a fraction keeps its spelling":          {body: `{"a":1.50}`, pairs: `a=1.50`},
		"metadata may be called anything":        {body: `{"metadata":{"Order No.":"1","0":"2"}}`, pairs: `metadata[Order No.]="1" metadata[0]="2"`, canonical: `{"metadata":{"0":"2","Order No.":"1"}}`},
		"so may what a meter counts":             {body: `{"event_name":"t","payload":{"Tokens":"1"}}`, pairs: `event_name="t" payload[Tokens]="1"`},
		"the order of members makes no new call": {body: `{"b":[2,1],"a":{"d":1,"c":2}}`, pairs: `b[0]=2 b[1]=1 a[d]=1 a[c]=2`, canonical: `{"a":{"c":2,"d":1},"b":[2,1]}`},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parseJSON("", tc.body)
			if err != nil {
				t.Fatal(err)
			}
			var pairs []string
			for i := range f.all {
				pairs = append(pairs, shownPair(&f.all[i]))
			}
			if got := strings.Join(pairs, " "); got != tc.pairs {
				t.Errorf("the parameters are %s, want %s", got, tc.pairs)
			}
			if tc.sent == "" {
				tc.sent = tc.body
			}
			if tc.canonical == "" {
				tc.canonical = tc.sent
			}
			raw := []byte(tc.body)
			sent := f.encodeBody(raw)
			if string(sent) != tc.sent || tc.sent == tc.body && len(raw) > 0 && &sent[0] != &raw[0] {
				t.Errorf("sent is %s, want %s", sent, tc.sent)
			}
			if got := string(f.appendCanonical(nil)); got != tc.canonical {
				t.Errorf("the canonical form is %s, want %s", got, tc.canonical)
			}
		})
	}
}

// shownPair shows a parameter with what it was in JSON.
func shownPair(p *pair) string {
	v := jsonValue{kind: p.kind, text: p.value}
	if p.kind == jsonText {
		return p.name + `="` + p.value + `"`
	}
	return p.name + "=" + string(v.append(nil, false))
}

func TestJSONThatIsRefused(t *testing.T) {
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + "1" + strings.Repeat("]", n) + "}" }
	const malformed, ambiguous = spend.Malformed, spend.Ambiguous
	for name, tc := range map[string]struct {
		body, param string
		code        spend.Code
	}{
		"a name that comes twice":              {`{"amount":{"value":1,"value":2}}`, "amount[value]", ambiguous},
		"a name that comes twice when decoded": {`{"amount":1,"\u0061mount":2}`, "amount", ambiguous},
		"a name that comes twice in metadata":  {`{"metadata":{"a":"1","A":"2"}}`, "metadata[A]", ambiguous},
		"a name that folds to another":         {`{"metadata":{"key":"1","\u212aey":"2"}}`, "metadata[\u212aey]", ambiguous},
		"a name in upper case":                 {`{"amount":{"value":1},"AMOUNT":{"value":9}}`, "AMOUNT", ambiguous},
		"a name in upper case alone":           {`{"Amount":{"value":1}}`, "Amount", ambiguous},
		"a name with a dot":                    {`{"amount.value":1}`, "amount.value", ambiguous},
		"a name with brackets":                 {`{"amount[value]":1}`, "amount[value]", ambiguous},
		"a name in metadata with brackets":     {`{"metadata":{"a][b":"1"}}`, "metadata[a][b]", ambiguous},
		"a name in metadata with a NUL":        {`{"metadata":{"a\u0000":"1"}}`, "metadata", malformed},
		"an object that could be a list":       {`{"splits":{"0":1}}`, "splits[0]", ambiguous},
		"a name that is a number":              {`{"1":1}`, "1", ambiguous},
		"an empty name":                        {`{"":1}`, "", ambiguous},
		"an empty name in metadata":            {`{"metadata":{"":"1"}}`, "metadata[]", ambiguous},
		"a long name":                          {`{"` + strings.Repeat("a", maxKey+1) + `":1}`, "", malformed},
		"data that trails":                     {`{"a":1}{"a":2}`, "", malformed},
		"a NUL that trails":                    {"{\"a\":1}\x00", "", malformed},
		"a byte order mark":                    {"\ufeff{}", "", malformed},
		"bytes that are no UTF-8":              {"{\"a\":\"\xff\"}", "", malformed},
		"an overlong slash":                    {"{\"a\":\"\xc0\xaf\"}", "", malformed},
		"half of a surrogate pair":             {`{"a":"\ud83d"}`, "a", malformed},
		"a pair the wrong way round":           {`{"a":"\ude00\ud83d"}`, "a", malformed},
		"a half before an escape":              {`{"a":"\ud83d\u0041"}`, "a", malformed},
		"a control character":                  {"{\"a\":\"\x01\"}", "a", malformed},
		"an end of line in a string":           {"{\"a\":\"b\nc\"}", "a", malformed},
		"an escaped NUL":                       {`{"a":"b\u0000"}`, "a", malformed},
		"an escaped backspace":                 {`{"a":"b\b"}`, "a", malformed},
		"a broken escape":                      {`{"a":"\x41"}`, "a", malformed},
		"a short escape":                       {`{"a":"\u41"}`, "a", malformed},
		"a string without an end":              {`{"a":"b`, "a", malformed},
		"a string that ends in a backslash":    {`{"a":"b\`, "a", malformed},
		"an exponent":                          {`{"amount":{"value":1e2}}`, "amount[value]", malformed},
		"minus zero":                           {`{"a":-0}`, "a", malformed},
		"minus nothing":                        {`{"a":-0.00}`, "a", malformed},
		"a leading zero":                       {`{"a":0100}`, "a", malformed},
		"a leading plus":                       {`{"a":+1}`, "a", malformed},
		"a point without digits":               {`{"a":1.}`, "a", malformed},
		"a hexadecimal number":                 {`{"a":0x10}`, "", malformed},
		"a number beyond int64":                {`{"a":9223372036854775808}`, "a", malformed},
		"a number of many digits":              {`{"a":1.` + strings.Repeat("1", maxDigits) + `}`, "a", malformed},
		"NaN, as Python writes it":             {`{"a":NaN}`, "a", malformed},
		"True, as Python writes it":            {`{"a":True}`, "a", malformed},
		"single quotes":                        {`{'a':1}`, "", malformed},
		"a comment":                            {`{"a":1/**/}`, "", malformed},
		"a comma too many":                     {`{"a":1,}`, "", malformed},
		"a comma too many in a list":           {`{"a":[1,]}`, "a[1]", malformed},
		"a colon that is missing":              {`{"a" 1}`, "a", malformed},
		"an object without an end":             {`{"a":{"b":1}`, "", malformed},
		"a list at the top":                    {`[{"a":1}]`, "", malformed},
		"a string at the top":                  {`"a"`, "", malformed},
		"white space alone":                    {" \n", "", malformed},
		"a form":                               {`amount[value]=1`, "", malformed},
		"too deep":                             {deep(maxNesting), "", malformed},
		"too many":                             {`{"a":[` + strings.Repeat("1,", maxPairs) + `1]}`, "", malformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseJSON("", tc.body)
			var r *rails.Refusal
			if !errors.As(err, &r) || r.Code != tc.code || r.Param != tc.param {
				t.Errorf("parseJSON(%.200q): %v over %q, want %s over %q", tc.body, err, paramOf(err), tc.code, tc.param)
			}
		})
	}
	if _, err := parseJSON("", deep(maxNesting-1)); err != nil {
		t.Errorf("%d objects and lists in one another: %v, want them read", maxNesting, err)
	}
	if _, err := parseJSON("", `{"a":[`+strings.Repeat("1,", maxPairs-1)+`1]}`); err != nil {
		t.Errorf("%d parameters: %v, want them read", maxPairs, err)
	}
}

func paramOf(err error) string {
	var r *rails.Refusal
	if errors.As(err, &r) {
		return r.Param
	}
	return ""
}

func TestJSONBesideAQueryIsRefused(t *testing.T) {
	for query, body := range map[string]string{"amount[value]=2": `{"amount":{"value":1}}`, "include[]=x": `{"a":1}`, "limit=1": `{}`, "a=1&a=2": ""} {
		if _, err := parseJSON(query, body); err == nil {
			t.Errorf("the query %q beside the body %q is read, want a refusal", query, body)
		}
	}
	f, err := parseJSON("reason=x", "")
	if value, _, _ := f.scalar("reason"); err != nil || value != "x" {
		t.Errorf("a query without a body: %q, %v, want it read", value, err)
	}
}

func TestReadersTellTheKindsOfJSONApart(t *testing.T) {
	f, err := parseJSON("", `{"n":100,"s":"100","null":null,"o":{},"l":[],"t":true,"f":1.5,"deep":{"n":7}}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"n": 100, "deep[n]": 7, "null": 0, "absent": 0, "s": -1, "o": -1, "l": -1, "t": -1, "f": -1, "deep": -1} {
		n, present, err := f.number(name)
		if err != nil {
			n = -1
		}
		if n != want || err == nil && present != (want > 0) {
			t.Errorf("number(%q) is %d, %v, %v, want %d (-1: a refusal)", name, n, present, err, want)
		}
	}
	if _, present, err := f.scalar("null"); present || err != nil {
		t.Errorf("null is a value (%v), want it absent", err)
	}
	if _, _, err := f.scalar("o"); err == nil {
		t.Error("an empty object is a single value, want a refusal")
	}
}

// FuzzJSON holds the decoder against encoding/json: whatever is accepted, the two
// read alike, no object has a name twice, and both encodings are fixed points.
func FuzzJSON(f *testing.F) {
	for _, body := range []string{
		`{"amount":{"value":100,"currency":"usd"},"to":{"recipient":"acct_1"},"metadata":{"Order No.":"1"}}`,
		`{ "a" : [ 1 , -2.50 , true , null , {} , [] , "\u00e9\ud83d\ude00\n" ] }`, `{"metadata":{"k":1,"\u212a":2}}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`,
	} {
		f.Add(body)
	}
	for _, file := range fixtures(f) {
		for _, q := range readLines[request](f, file) {
			f.Add(q.Body)
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseJSON("", body)
		if err != nil {
			if _, ok := err.(*rails.Refusal); !ok { //nolint:errorlint // parseJSON wraps nothing
				t.Fatalf("error %v is no refusal", err)
			}
			return
		}
		if body == "" {
			return
		}
		want := referenceJSON(t, body)
		sent, canonical := string(got.encodeBody([]byte(body))), string(got.appendCanonical(nil))
		for _, raw := range []string{sent, canonical} {
			if again := referenceJSON(t, raw); !reflect.DeepEqual(again, want) {
				t.Fatalf("%q is sent as %q, which encoding/json reads as %v and not as %v", body, raw, again, want)
			}
			again, err := parseJSON("", raw)
			if err != nil || string(again.appendCanonical(nil)) != canonical || string(again.encodeBody([]byte(raw))) != raw {
				t.Fatalf("%q, encoded as %q, is no fixed point: %v", body, raw, err)
			}
		}
		pairs := map[string]string{}
		flatten(pairs, "", want)
		mine := map[string]string{}
		for i := range got.all {
			mine[got.all[i].name] = shownPair(&got.all[i])
		}
		if !maps.Equal(pairs, mine) || len(mine) != len(got.all) {
			t.Fatalf("%q is read as %v and by encoding/json as %v", body, mine, pairs)
		}
	})
}

// referenceJSON reads one JSON object with encoding/json, and fails where a name
// stands twice in an object for anybody who ignores case.
func referenceJSON(t *testing.T, body string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	v, err := walk(t, d)
	if err != nil {
		t.Fatalf("encoding/json does not read %q: %v", body, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("%q is read, in spite of what follows: %v", body, err)
	}
	if !utf8.ValidString(body) || bytes.ContainsRune([]byte(body), 0) {
		t.Fatalf("%q is read", body)
	}
	return v
}

func walk(t *testing.T, d *json.Decoder) (any, error) {
	t.Helper()
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		members, names := map[string]any{}, []string{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, name.(string)) }) {
				t.Fatalf("the name %q is read twice", name)
			}
			names = append(names, name.(string))
			if members[name.(string)], err = walk(t, d); err != nil {
				return nil, err
			}
		}
		_, err := d.Token()
		return members, err
	case json.Delim('['):
		elements := []any{}
		for d.More() {
			v, err := walk(t, d)
			if err != nil {
				return nil, err
			}
			elements = append(elements, v)
		}
		_, err := d.Token()
		return elements, err
	}
	return token, nil
}

// flatten writes what encoding/json read as the parameters that it should be.
func flatten(pairs map[string]string, name string, v any) {
	shown := ""
	switch v := v.(type) {
	case map[string]any:
		for key, part := range v {
			flatten(pairs, nameWithin(name, key), part)
		}
		shown = "{}"
	case []any:
		for i, part := range v {
			flatten(pairs, nameWithin(name, strconv.Itoa(i)), part)
		}
		shown = "[]"
	case string:
		shown = `"` + v + `"`
	case json.Number:
		shown = v.String()
	case bool:
		shown = strconv.FormatBool(v)
	case nil:
		shown = "null"
	}
	if n := reflect.ValueOf(v); name == "" || (shown == "{}" || shown == "[]") && n.Len() > 0 {
		return
	}
	pairs[name] = name + "=" + shown
}

func TestARefusalRepeatsNoCardNumber(t *testing.T) {
	for _, c := range []*rails.Call{postJSON("/v2/core/accounts", `{"4242424242424242":1}`), post("/v1/charges", "4242424242424242=1")} {
		r := New(Options{})
		_, err := r.Intent(c, nil)
		var refusal *rails.Refusal
		if !errors.As(err, &refusal) {
			t.Fatalf("%s: %v, want a refusal", c.Body, err)
		}
		reply := r.Refuse(c, rails.Answer{Situation: rails.Refused, Code: refusal.Code, Message: refusal.Reason, Param: refusal.Param})
		if bytes.Contains(reply.Body, []byte("4242")) {
			t.Errorf("the answer to %s is %s", c.Body, reply.Body)
		}
	}
}
