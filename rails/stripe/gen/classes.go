package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// row is what people say of one operation; the head of classes.tsv tells what its
// fields mean.
type row struct {
	method, pattern, name, class string
	when                         []condition
	kind                         string // of the leg, "" without one
	amount, currency, payee      string
	lookup, object, note         string
}

// condition says of which class a call is that has a parameter, or has it with a
// value. The parameter "*" is always there, and before with all API versions below
// the value.
type condition struct{ class, param, value string }

const before = "version<"

func (r row) key() string { return r.method + " " + r.pattern }

func readRows(file string) ([]row, error) {
	var rows []row
	err := eachLine(file, 12, func(f []string) error {
		for i, value := range f {
			if value == "" {
				return fmt.Errorf("field %d is empty; \"-\" stands for nothing", i+1)
			}
			if value == "-" {
				f[i] = ""
			}
		}
		r := row{
			method: f[0], pattern: f[1], name: f[2], class: f[3], kind: f[5],
			amount: f[6], currency: f[7], payee: f[8], lookup: f[9], object: f[10], note: f[11],
		}
		for _, text := range strings.Fields(f[4]) {
			class, rest, ok := strings.Cut(text, ":")
			if !ok {
				return fmt.Errorf("the condition %q names no class", text)
			}
			param, value, _ := strings.Cut(rest, "=")
			if version, ok := strings.CutPrefix(rest, before); ok {
				param, value = before, version
			}
			r.when = append(r.when, condition{class, param, value})
		}
		if err := r.check(); err != nil {
			return fmt.Errorf("%s: %w", r.key(), err)
		}
		rows = append(rows, r)
		return nil
	})
	return rows, err
}

// check says what a row alone has wrong.
func (r row) check() error {
	name := regexp.MustCompile(`^(v2\.)?[a-z0-9_]+(\.[a-z0-9_]+)+$`)
	switch {
	case !name.MatchString(r.name):
		return fmt.Errorf("%q is no name of an operation", r.name)
	case !slices.Contains([]string{"spend", "capability", "other", "test", "read"}, r.class):
		return fmt.Errorf("%q is no class", r.class)
	case r.class == "read" && r.method != "GET":
		return errors.New("a write is no read")
	case (r.class == "other" || r.class == "spend" || r.class == "test") && r.method == "GET":
		return fmt.Errorf("a read is not of class %s", r.class)
	case (r.class == "spend") != (r.kind != "") || r.class == "spend" && (r.amount == "" || r.currency == ""):
		return errors.New("a spend, and nothing else, has a kind, an amount and a currency")
	case r.kind != "" && !slices.Contains([]string{"charge", "transfer", "payout", "refund", "allowance"}, r.kind):
		return fmt.Errorf("%q is no kind of leg", r.kind)
	case r.class == "capability" && r.note == "":
		return errors.New("the note does not say what it gives away")
	case r.lookup != "" && !strings.HasPrefix(r.lookup, "/v"):
		return fmt.Errorf("the lookup %q is no path", r.lookup)
	case r.lookup == "" && slices.ContainsFunc(r.places(), func(p string) bool { return p[0] == '.' }):
		return errors.New("a field is named, and nothing to look it up in")
	}
	for i, c := range r.when {
		if !slices.Contains([]string{"spend", "capability", "other"}, c.class) || c.class == "spend" && r.class != "spend" {
			return fmt.Errorf("a call of class %s is never %s", r.class, c.class)
		}
		if c.param != "*" && c.value == "" && r.when[len(r.when)-1].param == "*" {
			return fmt.Errorf("%s lets a call off whatever value it has", c.param)
		}
		if c.param == "*" && (i == 0 || i < len(r.when)-1 || c.class != r.class) {
			return errors.New("only the last of several conditions is met by every call, and it names the class")
		}
	}
	return nil
}

// places are the parameters (and fields, with a dot before them) that amount,
// currency and payee are made of.
func (r row) places() []string {
	var all []string
	for _, formula := range []string{r.amount, r.currency, r.payee} {
		for _, place := range strings.FieldsFunc(formula, func(c rune) bool { return strings.ContainsRune("|+-*", c) }) {
			if place != "?" && place != "opaque" && place != "acting" && !strings.Contains(place, "/") {
				all = append(all, place)
			}
		}
	}
	return all
}

// match returns the row of each operation, in the order of the list. Every
// operation has one row, and every row an operation.
func match(list operations, rows []row) ([]row, error) {
	var problems []error
	by := map[string]row{}
	for _, r := range rows {
		if _, twice := by[r.key()]; twice {
			problems = append(problems, fmt.Errorf("%s has two rows in classes.tsv", r.key()))
		}
		by[r.key()] = r
	}
	matched := make([]row, 0, len(list))
	for _, o := range list {
		r, ok := by[o.key()]
		if !ok {
			problems = append(problems, fmt.Errorf("%s (%s, %s) has no row in classes.tsv", o.key(), o.surface, o.source))
			continue
		}
		delete(by, o.key())
		if err := r.fits(o); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", r.key(), err))
		}
		matched = append(matched, r)
	}
	for _, r := range rows {
		if _, left := by[r.key()]; left {
			problems = append(problems, fmt.Errorf("%s of classes.tsv is no operation, or stands in both lists", r.key()))
			delete(by, r.key())
		}
	}
	return matched, errors.Join(append(problems, sameMeaning(matched)...)...)
}

// fits says which parameter of a row its operation does not have. Of what only an
// SDK shows, parameters are not known.
func (r row) fits(o operation) error {
	if o.inSource() {
		return nil
	}
	wanted := slices.DeleteFunc(r.places(), func(p string) bool { return p[0] == '.' })
	for _, c := range r.when {
		if c.param != "*" && c.param != before && r.method != "GET" {
			wanted = append(wanted, c.param)
		}
	}
	for _, p := range wanted {
		has := func(param string) bool { return param == p || strings.HasPrefix(param, p+"[") }
		if !slices.ContainsFunc(o.params, has) && !slices.Contains(o.others, p) {
			return fmt.Errorf("%s is no parameter of it", p)
		}
	}
	return nil
}

// sameMeaning holds rows of one name against each other: a policy that names them
// means them all.
func sameMeaning(rows []row) []error {
	var problems []error
	first := map[string]row{}
	for _, r := range rows {
		f, ok := first[r.name]
		if !ok {
			first[r.name] = r
		} else if f.class != r.class || f.kind != r.kind || !slices.Equal(f.when, r.when) {
			problems = append(problems, fmt.Errorf("%s and %s are both called %s and do not mean the same", f.key(), r.key(), r.name))
		}
	}
	return problems
}
