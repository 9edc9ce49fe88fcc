package stripe

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// FuzzMembers holds appendMembers against gjson: what is valid JSON, the two take
// apart alike; and a name that stands twice is found however many there are.
func FuzzMembers(f *testing.F) {
	for _, object := range []string{
		`{}`, ` { "a" : 1 , "b":[1,{"c":"}"}],"d":{"e":[]} } `, `{"a\\":"x\\","b\"":"\\\"","\u0061":null}`, `{"a":1,"a":2}`,
		`{"":"","x":-1.5e3,"y":true,"z":"[{"}`,
	} {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object string) {
		v := gjson.Parse(object)
		if !gjson.Valid(object) || !v.IsObject() {
			return
		}
		var want []member
		seen, twice := map[string]bool{}, false
		v.ForEach(func(name, value gjson.Result) bool {
			want = append(want, member{name.Str, value.Raw})
			twice = twice || seen[name.Str]
			seen[name.Str] = true
			return true
		})
		got := appendMembers(nil, v.Raw)
		if !slices.Equal(got, want) {
			t.Fatalf("%q is %q, want %q", object, got, want)
		}
		if _, found := repeated(got); found != twice {
			t.Fatalf("%q: a name stands twice: %t, want %t", object, found, twice)
		}
	})
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
