package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// What an operation is found in.
const (
	public    = "public"     // described, or in the SDK of today
	alias     = "alias"      // described, and in no SDK
	preview   = "preview"    // under /v1, in what Stripe shows before release
	v2        = "v2"         // under /v2, in the SDK of today
	v2Preview = "v2-preview" // under /v2, before release
	removed   = "removed"    // described once
)

// operation is one method of one path.
type operation struct {
	surface string
	method  string
	// pattern is the path with {id} or {name} for each of its parameters (see
	// patternOf); before it stands the host, if that is not api.stripe.com.
	pattern string
	source  string   // what its source calls it
	params  []string // those that name money or who gets it; of a read, the secrets of the reply
	others  []string // the parameters besides, without brackets
	inSDK   bool
}

type operations []operation

func (o operation) key() string { return o.method + " " + o.pattern }

// patternOf replaces the parameters of a path, which parameter finds: by {name} where
// people choose what stands there, by {id} where Stripe does.
func patternOf(path string, parameter *regexp.Regexp) string {
	segments := strings.Split(parameter.ReplaceAllString(path, "{id}"), "/")
	for i := 1; i < len(segments); i++ {
		if segments[i] == "{id}" && slices.Contains([]string{"capabilities", "coupons", "plans", "products", "skus"}, segments[i-1]) {
			segments[i] = "{name}"
		}
	}
	return strings.Join(segments, "/")
}

// join adds those of more that are not yet there. Of what stands in an SDK, it
// notes so.
func (list operations) join(more operations, early bool) operations {
	at := map[string]int{}
	for i, o := range list {
		at[o.key()] = i
	}
	for _, o := range more {
		if i, there := at[o.key()]; there {
			list[i].inSDK = list[i].inSDK || o.inSDK
			if list[i].params == nil && list[i].others == nil {
				list[i].params, list[i].others = o.params, o.others
			}
			continue
		}
		if strings.HasPrefix(o.pattern, "/oauth/") {
			continue // an older SDK names no host
		}
		at[o.key()] = len(list)
		o.surface = o.firstSeen(early)
		list = append(list, o)
	}
	return list
}

func (o operation) firstSeen(early bool) string {
	switch second := strings.Contains(o.pattern, "/v2/"); {
	case second && early:
		return v2Preview
	case second:
		return v2
	case early:
		return preview
	}
	return public
}

// render writes the list in the order of the patterns, below the inputs.
func render(list operations) []byte {
	for i := range list {
		if o := &list[i]; o.surface == public && !o.inSDK && o.method != "GET" {
			o.surface = alias
		}
	}
	slices.SortFunc(list, func(a, b operation) int {
		return cmp.Or(cmp.Compare(a.pattern, b.pattern), cmp.Compare(a.method, b.method))
	})
	var b bytes.Buffer
	b.WriteString("# Made by \"go generate ./rails/stripe/gen\"; not to be edited. From:\n")
	for _, in := range inputs() {
		fmt.Fprintf(&b, "# %s: %s %s sha256:%s\n", in.name, in.from, in.file, in.sha256)
	}
	b.WriteString("#surface\tmethod\tpattern\tsource\tparameters\tothers\n")
	for _, o := range list {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\t%s\n", o.surface, o.method, o.pattern, o.source, strings.Join(o.params, " "), strings.Join(o.others, " "))
	}
	return b.Bytes()
}

func readOperations(file string) (list operations, err error) {
	err = eachLine(file, 6, func(f []string) error {
		o := operation{surface: f[0], method: f[1], pattern: f[2], source: f[3], params: strings.Fields(f[4]), others: strings.Fields(f[5])}
		if !slices.Contains([]string{public, alias, preview, v2, v2Preview, removed}, o.surface) {
			return fmt.Errorf("%q is no surface", o.surface)
		}
		list = append(list, o)
		return nil
	})
	return list, err
}

// eachLine hands over the fields of each line of a file of tab-separated values.
// Lines that start with '#' are for people.
func eachLine(file string, fields int, f func([]string) error) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		values := strings.Split(line, "\t")
		if len(values) != fields {
			return fmt.Errorf("%s:%d: the line has %d fields, want %d", file, i+1, len(values), fields)
		}
		if err := f(values); err != nil {
			return fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	return nil
}

// known lists all parameters that a write is described with, without brackets and
// sorted.
func (o operation) known() []string {
	names := slices.Clone(o.others)
	for _, p := range o.params {
		top, _, _ := strings.Cut(p, "[")
		names = append(names, top)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// inSource reports whether an operation is known from the source of an SDK alone,
// which does not tell its parameters. OpenAPI's names for operations start with
// their method.
func (o operation) inSource() bool {
	return o.surface != removed && !strings.HasPrefix(strings.ToUpper(o.source), o.method)
}
