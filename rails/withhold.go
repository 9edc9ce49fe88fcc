package rails

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// Mask stands in a reply for what an agent may not know.
const Mask = "withheld_by_outgo"

// shortSecret is what is too short, in bytes, to be taken for a secret that stands in
// other texts too.
const shortSecret = 12

// ErrNoJSON is the error of Withhold for what it cannot read.
var ErrNoJSON = errors.New("withhold from reply: it is not one JSON value")

// Withhold returns a JSON text without the values, but for null, of the members that
// are named, at any depth and whatever the case of their names: Mask stands for them,
// and within any other text where one of them is part of it, such as the address of a
// page. All other bytes are kept; without such members the result is text itself.
func Withhold(text []byte, names []string) ([]byte, error) {
	if !json.Valid(text) {
		return nil, ErrNoJSON
	}
	var out []byte
	var secrets [][]byte
	kept := 0 // up to where text is in out
	for i := 0; i < len(text); {
		if text[i] != '"' {
			i++
			continue
		}
		end := textEnd(text, i)
		colon := blanks(text, end)
		if colon == len(text) || text[colon] != ':' {
			i = end
			continue
		}
		from := blanks(text, colon+1)
		if !named(text[i:end], names) || text[from] == 'n' {
			i = from
			continue
		}
		i = wholeEnd(text, from)
		if value := text[from:i]; isSecret(value) {
			secrets = append(secrets, value[1:len(value)-1])
		}
		out = append(append(out, text[kept:from]...), `"`+Mask+`"`...)
		kept = i
	}
	if kept == 0 {
		return text, nil
	}
	out = append(out, text[kept:]...)
	for _, secret := range secrets {
		out = bytes.ReplaceAll(out, secret, []byte(Mask))
	}
	if len(secrets) > 0 && !json.Valid(out) {
		return nil, ErrNoJSON // half of an escape looked like the beginning of a secret
	}
	return out, nil
}

// isSecret reports whether a value is long and odd enough to be looked for in other
// texts. With an underscore in it, it is found in texts only.
func isSecret(value []byte) bool {
	return value[0] == '"' && len(value) >= shortSecret+2 && bytes.IndexByte(value, '_') > 0 && bytes.IndexByte(value, '\\') < 0
}

// named reports whether a name, in its quotes, is one of names.
func named(quoted []byte, names []string) bool {
	name := string(quoted[1 : len(quoted)-1])
	if strings.IndexByte(name, '\\') >= 0 && json.Unmarshal(quoted, &name) != nil {
		return true // which cannot be, as the text is valid
	}
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// textEnd returns the index behind the closing quote of a text that begins at i. This
// and what follows takes the whole for valid JSON.
func textEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func blanks(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// wholeEnd returns the index behind the value that begins at i.
func wholeEnd(text []byte, i int) int {
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '"':
			if i = textEnd(text, i) - 1; depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i // behind a number or a word
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}
