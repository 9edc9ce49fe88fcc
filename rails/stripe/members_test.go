package stripe

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// taken is a member as text.
type taken struct{ name, value string }

// FuzzMembers holds members against gjson: both read the same bytes as one JSON
// object and take it apart alike, and a name that stands twice is found however
// many there are.
func FuzzMembers(f *testing.F) {
	for _, object := range []string{
		`{}`, ` { "a" : 1 , "b":[1,{"c":"}"}],"d":{"e":[]} } `, `{"a\\":"x\\","b\"":"\\\"","\u0061":null}`, `{"a":1,"a":2}`,
		`{"":"","x":-1.5e3,"y":true,"z":"[{"}`, `{"a":"12345678","b":"1234567\u00e9","c":"é€"}`, `{"a":[ ],"b":{ },"c":[1 , 2]}`,
		`{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":1e+}`, `{"a":1E-07}`, `{"a":0.0}`, `{"a":[1,]}`, `{"a":1,}`, `{"a":tru}`, `{"a":nul`,
		`{"a":"\u12g4"}`, `{"a":"\x"}`, "{\"a\":\"tab\there\"}", `{"a":1}x`, `{"a"1}`, `[]`, `"a"`, `{"a":"1234567\`, `{"a":[[[[]]]}`,
	} {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object string) {
		var m members
		ok, v := m.read([]byte(object)), gjson.Parse(object)
		if want := gjson.Valid(object) && v.IsObject(); ok != want && strings.Count(object, "{")+strings.Count(object, "[") < maxNested {
			t.Fatalf("%q is an object: %t, want %t", object, ok, want)
		}
		if !ok {
			return
		}
		var want, got []taken
		seen, twice := map[string]bool{}, false
		v.ForEach(func(name, value gjson.Result) bool {
			want = append(want, taken{name.Str, value.Raw})
			twice = twice || seen[name.Str]
			seen[name.Str] = true
			return true
		})
		for _, e := range slices.Concat(m.few[:m.n], m.more) {
			got = append(got, taken{string(m.nameOf(&e)), object[e.from:e.to]})
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q is %q, want %q", object, got, want)
		}
		for _, e := range want {
			if found := string(m.value(e.name)); !twice && found != e.value {
				t.Fatalf("%q of %q is %q, want %q", e.name, object, found, e.value)
			}
		}
		if found := m.repeated(); found != twice {
			t.Fatalf("%q: a name stands twice: %t, want %t", object, found, twice)
		}
	})
}

func TestReplyThatIsNestedTooDeepIsNotRead(t *testing.T) {
	for _, tt := range []struct {
		name  string
		depth int
		want  bool
	}{
		{"as deep as it may be", maxNested - 1, true},
		{"a little deeper", maxNested + 1, false},
		{"so deep that the stack would not do", 8 << 20, false},
	} {
		var m members
		body := `{"a":` + strings.Repeat("[", tt.depth) + strings.Repeat("]", tt.depth) + "}"
		if got := m.read([]byte(body)); got != tt.want {
			t.Errorf("%s: read: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestNameThatStandsTwiceIsFoundAmongMany(t *testing.T) {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, `"n%d":%d,`, i, i)
	}
	if _, err := parseObject([]byte("{" + b.String() + `"last":1}`)); err != nil {
		t.Errorf("201 names: %v, want them read", err)
	}
	if _, err := parseObject([]byte("{" + b.String() + `"n7":1}`)); err == nil {
		t.Error("a name that stands twice among 201 is read, want a refusal")
	}
}
