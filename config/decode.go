package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder walks the syntax tree of the file along the types of Config. It is
// our own because the reader's decoder stops at the first mistake, forgets where
// values stood, and takes "1e3" for a float.
type decoder struct {
	c        *Config
	env      map[string]string
	problems Problems
}

// kind is how a scalar was written.
type kind int

const (
	text     kind = iota // a string, plain or in quotes
	number               // a whole number
	fraction             // a float, infinity or NaN
	boolean              // true or false
	untyped              // expanded, or from a variable or a flag: only the field says what it is
)

// file reads the text of the file into the decoder's Config.
func (d *decoder) file(data []byte) {
	f, err := parse(data)
	if err != nil {
		d.syntax(err)
		return
	}
	body := ast.Node(nil)
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			d.bad("", doc.Body, "a second YAML document", `keep one; remove the "---"`)
			return
		}
		body = doc.Body
	}
	if body != nil {
		d.value("", body, reflect.ValueOf(d.c).Elem(), false)
	}
}

// parse guards against a panic of the reader, which takes text from people.
func parse(data []byte) (f *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, errors.New("not YAML that can be read")
		}
	}()
	return parser.ParseBytes(data, 0)
}

func (d *decoder) syntax(err error) {
	p := &Problem{Source: d.c.file, What: err.Error()}
	var at yaml.Error
	if errors.As(err, &at) {
		p.What = at.GetMessage()
		if pos := at.GetToken().Position; pos != nil {
			p.Line, p.Column = pos.Line, pos.Column
			p.Excerpt = excerpt(d.c.lines, pos.Line, pos.Column)
		}
	}
	p.What = "YAML syntax: " + p.What
	if p.Line > 0 && p.Line <= len(d.c.lines) && strings.Contains(d.c.lines[p.Line-1], "${") {
		p.Remedy = `inside { } and [ ] write "${NAME}" in quotes`
	}
	d.problems = append(d.problems, p)
}

// bad records a mistake at a node.
func (d *decoder) bad(path string, n ast.Node, what, remedy string) {
	line, col := position(n)
	p := &Problem{Source: d.c.file, Line: line, Column: col, Field: path, What: what, Remedy: remedy}
	if m := d.c.marks[path]; !m.secret {
		p.Excerpt = excerpt(d.c.lines, line, col)
	}
	d.problems = append(d.problems, p)
}

// position returns the line and column, from 1, at which a reader would point:
// for a mapping that is its first key, not the colon behind it.
func position(n ast.Node) (line, col int) {
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return position(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 0, 0
}

func (d *decoder) value(path string, n ast.Node, v reflect.Value, secret bool) {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return // null is the default
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.bad(path, n, "anchors, aliases and tags are not read", "write the value out")
		return
	}
	if path != "" {
		line, col := position(n)
		d.c.marks[path] = mark{line: line, col: col, secret: secret}
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	_, scalar := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case scalar:
		d.scalar(path, n, v)
	case v.Kind() == reflect.Struct:
		d.structure(path, n, v)
	case v.Kind() == reflect.Map && isShort(n, v):
		d.short(path, n, v)
	case v.Kind() == reflect.Map:
		d.dictionary(path, n, v)
	case v.Kind() == reflect.Slice:
		d.list(path, n, v)
	case v.Kind() == reflect.Interface:
		if x := d.free(path, n); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	default:
		d.scalar(path, n, v)
	}
}

// pair is one entry of a mapping whose key is plain text.
type pair struct {
	key   string
	at    ast.Node
	value ast.Node
}

func (d *decoder) mapping(path string, n ast.Node) (pairs []pair, ok bool) {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.bad(path, n, "want fields, not "+describe(n), `write "name: value" lines, indented`)
		return nil, false
	}
	for it := m.MapRange(); it.Next(); {
		key, isText := it.Key().(*ast.StringNode)
		if !isText {
			if num, isNumber := it.Key().(*ast.IntegerNode); isNumber {
				pairs = append(pairs, pair{num.GetToken().Value, num, it.Value()})
				continue
			}
			d.bad(path, it.Key(), "the name of a field must be plain text", "merge keys and complex keys are not read: write the fields out")
			continue
		}
		pairs = append(pairs, pair{key.Value, key, it.Value()})
	}
	return pairs, true
}

func (d *decoder) structure(path string, n ast.Node, v reflect.Value) {
	pairs, ok := d.mapping(path, n)
	if !ok {
		return
	}
	fields := make(map[string]reflect.StructField)
	var known []string
	for _, f := range reflect.VisibleFields(v.Type()) {
		if name := f.Tag.Get("yaml"); name != "" {
			fields[name] = f
			known = append(known, name)
		}
	}
	for _, p := range pairs {
		f, ok := fields[p.key]
		if !ok {
			d.unknown(path, p, known)
			continue
		}
		d.value(join(path, p.key), p.value, v.FieldByIndex(f.Index), f.Tag.Get("secret") != "")
	}
}

// unknown names the field that was probably meant: a sibling, or one of the same
// name elsewhere in the file.
func (d *decoder) unknown(path string, p pair, known []string) {
	remedy := "it may be one of " + strings.Join(known, ", ")
	if len(known) > 12 {
		remedy = "remove it"
	}
	if name := Nearest(p.key, known); name != "" {
		remedy = fmt.Sprintf("did you mean %q?", name)
	} else {
		for _, f := range settable(reflect.TypeFor[Config](), "") {
			if f.path == p.key || strings.HasSuffix(f.path, "."+p.key) {
				remedy = fmt.Sprintf("did you mean %q?", f.path)
				break
			}
		}
	}
	d.bad(join(path, p.key), p.at, "unknown field", remedy)
}

// dictionary adds to what the map holds by default.
func (d *decoder) dictionary(path string, n ast.Node, v reflect.Value) {
	pairs, ok := d.mapping(path, n)
	if !ok {
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, p := range pairs {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(join(path, p.key), p.value, element, false)
		v.SetMapIndex(reflect.ValueOf(p.key), element)
	}
}

// isShort reports whether n is a single value for a map that knows what that means.
func isShort(n ast.Node, v reflect.Value) bool {
	_, knows := v.Interface().(interface{ shorthand() string })
	return knows && describe(n) == "a single value"
}

// short reads a single value as the entry of a map that it is short for.
func (d *decoder) short(path string, n ast.Node, v reflect.Value) {
	element := reflect.New(v.Type().Elem()).Elem()
	d.scalar(path, n, element)
	v.SetMapIndex(reflect.ValueOf(v.Interface().(interface{ shorthand() string }).shorthand()), element) //nolint:forcetypeassert // see isShort
}

// list replaces what the list holds by default.
func (d *decoder) list(path string, n ast.Node, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.bad(path, n, "want a list, not "+describe(n), `write [a, b], or lines that begin with "- "`)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		element := out.Index(i)
		if e, ok := element.Addr().Interface().(interface{ setDefaults() }); ok {
			e.setDefaults()
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		if _, null := item.(*ast.NullNode); null {
			d.bad(at, item, "an empty item", "remove the item or write its value")
			continue
		}
		d.value(at, item, element, d.c.marks[path].secret)
	}
	v.Set(out)
}

// free reads a value whose shape is not fixed.
func (d *decoder) free(path string, n ast.Node) any {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		m := make(map[string]any)
		d.dictionary(path, n, reflect.ValueOf(&m).Elem())
		return m
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		d.list(path, n, reflect.ValueOf(&list).Elem())
		return list
	}
	written, k, ok := d.text(path, n)
	if !ok {
		return nil
	}
	switch k {
	case boolean:
		return written == "true"
	case number:
		var i Integer
		if err := i.UnmarshalText([]byte(written)); err != nil {
			what, remedy := parts(err)
			d.bad(path, n, what, remedy)
			return nil
		}
		return i
	case fraction:
		d.bad(path, n, written+" has a fraction", "write whole numbers, or text in quotes")
		return nil
	}
	return written
}

func (d *decoder) scalar(path string, n ast.Node, v reflect.Value) {
	written, k, ok := d.text(path, n)
	if !ok {
		return
	}
	if err := set(v, written, k); err != nil {
		what, remedy := parts(err)
		if d.c.marks[path].secret {
			what = "not text that can be read"
		}
		d.bad(path, n, what, remedy)
	}
}

// text returns a scalar as it was written, ${NAME} expanded.
func (d *decoder) text(path string, n ast.Node) (written string, k kind, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		written, k = n.Value, text
	case *ast.LiteralNode:
		written, k = n.Value.Value, text
	case *ast.BoolNode:
		written, k = strconv.FormatBool(n.Value), boolean
	case *ast.IntegerNode:
		written, k = n.GetToken().Value, number
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		written, k = n.GetToken().Value, fraction
	default:
		d.bad(path, n, "want a single value, not "+describe(n), "")
		return "", text, false
	}
	// The reader calls a number that no int64 holds a string; only its quotes
	// tell it from one.
	if quoted := n.GetToken().Type == token.SingleQuoteType || n.GetToken().Type == token.DoubleQuoteType; k == text &&
		!quoted && written != "" && strings.Trim(written, "0123456789") == "" {
		k = number
	}
	if k != text || !strings.Contains(written, "$") {
		return written, k, true
	}
	expanded, whole, err := expand(written, d.env)
	if err != nil && d.c.noSecrets && d.c.marks[path].secret && path != "store" {
		expanded, whole, err = written, false, nil
	}
	if err != nil {
		what, remedy := parts(err)
		d.bad(path, n, what, remedy)
		return "", text, false
	}
	if whole {
		k = untyped
	}
	if d.c.marks[path].secret {
		d.c.secretVars = append(d.c.secretVars, variables(written)...)
	}
	return expanded, k, true
}

// expand replaces ${NAME} by the variable and $$ by $. any says that a variable
// was put in.
func expand(s string, env map[string]string) (out string, any bool, err error) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			return b.String(), any, nil
		}
		b.WriteString(s[:i])
		switch s = s[i+1:]; s[0] {
		case '$':
			b.WriteByte('$')
			s = s[1:]
		case '{':
			name, rest, closed := strings.Cut(s[1:], "}")
			if !closed || !isName(name) {
				return "", false, wrong{fmt.Sprintf("%.40q is not a variable", "$"+s), `write "${NAME}", or "$$" for a dollar sign`}
			}
			value, set := env[name]
			if !set {
				return "", false, wrong{fmt.Sprintf("the environment variable %s is not set", name), "set it, or write the value"}
			}
			b.WriteString(value)
			any, s = true, rest
		default:
			b.WriteByte('$')
		}
	}
}

// variables returns the names that expand would put in.
func variables(s string) (names []string) {
	for {
		_, rest, ok := strings.Cut(s, "${")
		if !ok {
			return names
		}
		name, rest, _ := strings.Cut(rest, "}")
		names, s = append(names, name), rest
	}
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// set gives a field, which is not a container, the value written.
func set(v reflect.Value, written string, k kind) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(written)) //nolint:wrapcheck // the words of the type are the message
	}
	switch v.Interface().(type) {
	case string:
		if k != text && k != untyped {
			return wrong{fmt.Sprintf("want text, not %s", written), fmt.Sprintf("put it in quotes: %q", written)}
		}
		v.SetString(written)
	case bool:
		if k != boolean && k != untyped || written != "true" && written != "false" {
			return wrong{fmt.Sprintf("want true or false, not %.80q", written), "write true or false, without quotes"}
		}
		v.SetBool(written == "true")
	case int:
		n, err := strconv.ParseInt(written, 10, 32)
		if k == text || k == boolean || err != nil {
			return wrong{fmt.Sprintf("want a whole number, not %.80q", written), "write digits only, without quotes"}
		}
		v.SetInt(n)
	case time.Duration:
		span, err := time.ParseDuration(written)
		if err != nil {
			return wrong{fmt.Sprintf("%.80q is not a duration", written), `write a number with a unit, such as "70s", "15m" or "24h"`}
		}
		v.SetInt(int64(span))
	default:
		panic("config: no rule for a field of type " + v.Type().String())
	}
	return nil
}

func describe(n ast.Node) string {
	switch n.(type) {
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

// join spells the path of a field inside another.
func join(path, key string) string {
	if slices.ContainsFunc([]rune(key), func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return fmt.Sprintf("%s[%q]", path, key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
