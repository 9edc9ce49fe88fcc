package rails

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestWithhold(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a member at the top":                     {`{"id":"pi_1","client_secret":"pi_1_secret_abc"}`, `{"id":"pi_1","client_secret":"withheld_by_outgo"}`},
		"all other bytes are kept":                {"{ \"a\" : 1.50e2,\n\t\"client_secret\" :  \"pi_1_secret_abc\" , \"b\":[ ]}\n", "{ \"a\" : 1.50e2,\n\t\"client_secret\" :  \"withheld_by_outgo\" , \"b\":[ ]}\n"},
		"members at any depth":                    {`{"data":[{"x":{"client_secret":"s"}},{"client_secret":"t"}]}`, `{"data":[{"x":{"client_secret":"withheld_by_outgo"}},{"client_secret":"withheld_by_outgo"}]}`},
		"null stays":                              {`{"client_secret":null,"a":1}`, `{"client_secret":null,"a":1}`},
		"an object, a list and a number go whole": {`[{"client_secret":{"a":"}"}},{"client_secret":["]",{}]},{"client_secret":12},{"client_secret": true , "z":1}]`, `[{"client_secret":"withheld_by_outgo"},{"client_secret":"withheld_by_outgo"},{"client_secret":"withheld_by_outgo"},{"client_secret": "withheld_by_outgo" , "z":1}]`},
		"a name that is spelled with escapes":     {`{"client\u005fsecret":"pi_1_secret_abc"}`, `{"client\u005fsecret":"withheld_by_outgo"}`},
		"a name in capitals":                      {`{"Client_Secret":"pi_1_secret_abc"}`, `{"Client_Secret":"withheld_by_outgo"}`},
		"a name that stands twice":                {`{"client_secret":"a","client_secret":"b"}`, `{"client_secret":"withheld_by_outgo","client_secret":"withheld_by_outgo"}`},
		"a text that looks like the name":         {`{"a":"client_secret","b":["client_secret"],"c":"\"client_secret\":\"x\""}`, `{"a":"client_secret","b":["client_secret"],"c":"\"client_secret\":\"x\""}`},
		"a name that only ends like it":           {`{"payment_client_secret":"x","client_secrets":"y"}`, `{"payment_client_secret":"x","client_secrets":"y"}`},
		"the secret as a part of an address":      {`{"next_action":{"url":"https://h/?c=pi_1_secret_abc&k=1"},"client_secret":"pi_1_secret_abc"}`, `{"next_action":{"url":"https://h/?c=withheld_by_outgo&k=1"},"client_secret":"withheld_by_outgo"}`},
		"a short value stands for nothing else":   {`{"a":"word","client_secret":"word"}`, `{"a":"word","client_secret":"withheld_by_outgo"}`},
		"a number is no text to look for":         {`{"a":123456789012,"client_secret":"123456789012"}`, `{"a":123456789012,"client_secret":"withheld_by_outgo"}`},
		"no object at all":                        {`"client_secret"`, `"client_secret"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Withhold([]byte(c.text), []string{"client_secret"})
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
	for _, text := range []string{"", "{", `{"client_secret":"x"`, `{"a":1}{"client_secret":"x"}`, "<html>", `{"client_secret":x}`, "{\"client_secret\":\"a\nb\"}", `{"client_secret":"n_abcdefghijkl","a":"\n_abcdefghijkl"}`} {
		if got, err := Withhold([]byte(text), []string{"client_secret"}); !errors.Is(err, ErrNoJSON) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func FuzzWithhold(f *testing.F) {
	for _, s := range []string{`{"client_secret":"pi_1_secret_abc","a":[1,{"client_secret":{"x":"}"}}]}`, `{"client\u005Fsecret": 1}`, `[]`, `{"a":"pi_1_secret_abc \\\"","CLIENT_SECRET":"pi_1_secret_abc"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Withhold(text, []string{"client_secret"})
		if err == nil && !json.Valid(text) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			return
		}
		if !json.Valid(got) {
			t.Fatalf("%q became %q", text, got)
		}
		if shows(t, got) {
			t.Fatalf("%q became %q, which shows it", text, got)
		}
		if !shows(t, text) && !bytes.Equal(got, text) {
			t.Fatalf("%q became %q for nothing", text, got)
		}
	})
}

// shows reports whether some member called client_secret has a value, by the tokens of
// the standard library's reader.
func shows(t *testing.T, text []byte) bool {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	type level struct{ object, value bool }
	stack := []level{{}}
	secret := false
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		top := &stack[len(stack)-1]
		if token == json.Delim('}') || token == json.Delim(']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if top.object && !top.value {
			secret, top.value = strings.EqualFold(token.(string), "client_secret"), true
			continue
		}
		top.value = false
		if secret && token != nil && token != Mask {
			return true
		}
		secret = false
		if token == json.Delim('{') || token == json.Delim('[') {
			stack = append(stack, level{object: token == json.Delim('{')})
		}
	}
}
