package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Source says where a configuration comes from; later ones override.
type Source struct {
	File  string            // path; "" for none. A file that is named must exist.
	Env   []string          // "NAME=value", as os.Environ gives it
	Flags map[string]string // by the field's path, such as "listen.proxy"
	// NoSecrets is for whoever uses none of the agents' tokens and credentials,
	// such as the person who stops all spending: a variable that only they name
	// may be missing, and no file of theirs is looked at.
	NoSecrets bool
}

// maxFile is far beyond any configuration; a longer file is a mistake.
const maxFile = 4 << 20

// Load returns the defaults overridden by the file, by OUTGO_… variables and by
// flags, checked. Its error is Problems unless the file cannot be read. ${NAME}
// in the file's values is expanded from Env.
func Load(s Source) (*Config, error) {
	c := Default()
	c.marks = make(map[string]mark)
	c.noSecrets = s.NoSecrets
	d := &decoder{c: c, env: environment(s.Env)}
	if s.File != "" {
		data, err := read(s.File)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors on Windows put a byte order mark there
		c.file, c.lines = s.File, lines(data)
		d.file(data)
	}
	d.variables()
	d.flags(s.Flags)
	d.home("data_dir", &c.DataDir)
	d.home("seal.file", &c.Seal.File)
	for host, u := range c.Upstreams {
		d.home(join("upstreams", host)+".ca_file", &u.CAFile)
		c.Upstreams[host] = u
	}
	// What could not be read has its default now, or nothing: judging it as
	// well would only blame the same place twice.
	found := d.problems
	for _, p := range c.check() {
		if !d.blamed(p.Field) {
			found = append(found, p)
		}
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file already
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = errors.New("larger than 4 MiB")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// lines splits a text as YAML does.
func lines(data []byte) []string {
	return strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), "\n")
}

func environment(list []string) map[string]string {
	env := make(map[string]string, len(list))
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return env
}

// setting is a field that a variable or a flag can set.
type setting struct {
	path     string
	index    []int
	fileOnly bool // it has no one-line form
	table    bool // durations by name: the path goes on with a key
	secret   bool
}

// settable lists the fields of t, a struct type below prefix.
func settable(t reflect.Type, prefix string) []setting {
	var list []setting
	for _, f := range reflect.VisibleFields(t) {
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		s := setting{path: join(prefix, name), index: f.Index, secret: f.Tag.Get("secret") != ""}
		switch {
		case f.Type == reflect.TypeFor[map[string]time.Duration]():
			s.table = true
		case f.Type.Kind() == reflect.Struct:
			for _, inner := range settable(f.Type, s.path) {
				inner.index = append(slices.Clone(f.Index), inner.index...)
				list = append(list, inner)
			}
			continue
		case f.Type.Kind() == reflect.Map, f.Type.Kind() == reflect.Slice && f.Type != reflect.TypeFor[[]string]():
			s.fileOnly = true
		}
		list = append(list, s)
	}
	return list
}

// variable returns the name of the variable that sets the field at path.
func variable(path string) string {
	return "OUTGO_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(path))
}

// variables applies OUTGO_LISTEN_PROXY and so on. A variable that is no field is
// somebody else's (service links of Kubernetes look like ours), unless it is so
// close to a field's that it must be a slip.
func (d *decoder) variables() {
	settings := settable(reflect.TypeFor[Config](), "")
	names := make([]string, 0, len(d.env))
	for name := range d.env {
		if strings.HasPrefix(name, "OUTGO_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		s, key, ok := find(settings, func(path string) string { return variable(path) }, "_", name)
		if ok {
			d.override(name, s, strings.ToLower(key), d.env[name])
			continue
		}
		for _, s := range settings {
			if distance(name, variable(s.path)) == 1 {
				d.problems = append(d.problems, &Problem{Source: name, What: "no field of the configuration has this name",
					Remedy: "did you mean " + variable(s.path) + "?"})
			}
		}
	}
}

func (d *decoder) flags(flags map[string]string) {
	settings := settable(reflect.TypeFor[Config](), "")
	paths := make([]string, 0, len(flags))
	for path := range flags {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		source := "--set " + path
		s, key, ok := find(settings, func(path string) string { return path }, ".", path)
		if !ok {
			d.problems = append(d.problems, &Problem{Source: source, Field: path, What: "unknown field"})
			continue
		}
		d.override(source, s, key, flags[path])
	}
}

// find returns the setting called name, or the table whose name is followed by
// sep and a key.
func find(settings []setting, spell func(path string) string, sep, name string) (s setting, key string, ok bool) {
	for _, s := range settings {
		if spell(s.path) == name && !s.table {
			return s, "", true
		}
		if key, ok := strings.CutPrefix(name, spell(s.path)+sep); ok && s.table && key != "" {
			return s, key, true
		}
	}
	return setting{}, "", false
}

// override sets one field, or one entry of a table, to a text from outside the
// file.
func (d *decoder) override(source string, s setting, key, value string) {
	path := s.path
	if key != "" {
		path = join(path, key)
	}
	complain := func(what, remedy string) {
		d.problems = append(d.problems, &Problem{Source: source, Field: path, What: what, Remedy: remedy})
	}
	if s.fileOnly {
		complain("cannot be set here", "write it in the configuration file")
		return
	}
	v := reflect.ValueOf(d.c).Elem().FieldByIndex(s.index)
	d.c.marks[path] = mark{source: source, secret: s.secret}
	switch {
	case s.table:
		element := reflect.New(v.Type().Elem()).Elem()
		if err := set(element, value, untyped); err != nil {
			complain(parts(err))
			return
		}
		v.SetMapIndex(reflect.ValueOf(key), element)
	case v.Kind() == reflect.Slice:
		items := []string{}
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		v.Set(reflect.ValueOf(items))
	default:
		if err := set(v, value, untyped); err != nil {
			complain(parts(err))
		}
	}
}

// home expands a leading "~/" the way a shell would.
func (d *decoder) home(field string, path *string) {
	rest, ok := strings.CutPrefix(*path, "~")
	if !ok {
		return
	}
	dir := d.env["HOME"]
	switch {
	case rest != "" && rest[0] != '/':
		d.problems = append(d.problems, d.c.Problem(field, "another user's home directory cannot be named", "write the whole path"))
	case dir == "":
		d.problems = append(d.problems, d.c.Problem(field, `"~" cannot be expanded: HOME is not set`,
			"set HOME, or write the whole path (OUTGO_DATA_DIR sets data_dir)"))
	default:
		*path = filepath.Join(dir, rest)
	}
}

// blamed reports whether a problem was found at field, inside it or around it.
func (d *decoder) blamed(field string) bool {
	inside := func(inner, outer string) bool {
		rest, ok := strings.CutPrefix(inner, outer)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	return slices.ContainsFunc(d.problems, func(p *Problem) bool {
		return p.Field != "" && (inside(p.Field, field) || inside(field, p.Field))
	})
}
