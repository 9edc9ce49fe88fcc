package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

func loaded(t *testing.T) (operations, []row) {
	t.Helper()
	list, rows, err := load(".")
	if err != nil {
		t.Fatal(err)
	}
	return list, rows
}

// TestEveryOperationIsClassified also counts, so that whoever adds operations sees
// what they did to the whole (go test -v prints it).
func TestEveryOperationIsClassified(t *testing.T) {
	list, rows := loaded(t)
	matched, err := match(list, rows)
	if err != nil {
		t.Fatal(err)
	}
	counts, classes := map[string]int{}, []string{"spend", "capability", "other", "test"}
	for i, o := range list {
		if o.method != "GET" {
			counts[o.surface+" "+matched[i].class]++
		}
	}
	want := map[string][4]int{
		public: {62, 47, 161, 40}, alias: {8, 6, 15, 2}, preview: {7, 3, 32, 5},
		v2: {5, 20, 24, 2}, v2Preview: {11, 15, 50, 2}, removed: {4, 12, 23, 0},
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "writes\t%s\t\n", strings.Join(classes, "\t"))
	for _, surface := range []string{public, alias, preview, v2, v2Preview, removed} {
		fmt.Fprintf(table, "%s\t", surface)
		for i, class := range classes {
			n := counts[surface+" "+class]
			fmt.Fprintf(table, "%d\t", n)
			if n != want[surface][i] {
				t.Errorf("%d operations of surface %s are of class %s, and %d were; if that is right, say so here", n, surface, class, want[surface][i])
			}
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations, %d of them writes\n%s", len(list), len(list)-countReads(list), b.String())
}

func countReads(list operations) int {
	n := 0
	for _, o := range list {
		if o.method == "GET" {
			n++
		}
	}
	return n
}

func TestTheTableIsThatOfTheLists(t *testing.T) {
	list, rows := loaded(t)
	want, err := makeTable(list, rows)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("..", "table_gen.go"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("table_gen.go is not what the lists make: go generate ./rails/stripe/gen")
	}
}

// description is Stripe's OpenAPI description of the API of today.
func description(t *testing.T) []byte {
	t.Helper()
	path := os.Getenv("OUTGO_STRIPE_SPEC")
	if path == "" {
		const how = "OUTGO_STRIPE_SPEC is not set: point it at embedded/openapi/spec3.json of the module github.com/stripe/stripe-mock " +
			"(go mod download -json github.com/stripe/stripe-mock@v0.203.0 prints its Dir)"
		if os.Getenv("OUTGO_TEST_REQUIRE") == "all" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestTheListHoldsStripesDescription finds what a newer description adds.
func TestTheListHoldsStripesDescription(t *testing.T) {
	described, err := specOperations(description(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(described) < 300 {
		t.Fatalf("the description has %d operations; it was not understood", len(described))
	}
	list, _ := loaded(t)
	for _, o := range described {
		i := slices.IndexFunc(list, func(l operation) bool { return l.key() == o.key() })
		if i < 0 {
			t.Errorf("%s (%s) is not in operations.tsv", o.key(), o.source)
		} else if !slices.Equal(list[i].params, o.params) || !slices.Equal(list[i].others, o.others) {
			t.Errorf("%s has the parameters %q and %q, and %q and %q in operations.tsv", o.key(), o.params, o.others, list[i].params, list[i].others)
		}
	}
}

// TestLookupsTellWhatIsReadFromThem asks for every field that a row reads whether
// Stripe describes it in what the lookup returns.
func TestLookupsTellWhatIsReadFromThem(t *testing.T) {
	var d described
	if err := json.Unmarshal(description(t), &d); err != nil {
		t.Fatal(err)
	}
	parameter, reads := regexp.MustCompile(`\{[^}]*\}`), map[string]call{}
	for path, methods := range d.Paths {
		var c call
		if text, ok := methods["get"]; ok && json.Unmarshal(text, &c) == nil {
			reads[parameter.ReplaceAllString(path, "{id}")] = c
		}
	}
	checked := 0
	_, rows := loaded(t)
	for _, r := range rows {
		for _, lookup := range strings.FieldsFunc(r.lookup, func(c rune) bool { return c == '|' }) {
			path, _, _ := strings.Cut(lookup, "?")
			c, ok := reads[parameter.ReplaceAllString(path, "{id}")]
			if !ok {
				t.Logf("%s: GET %s is not in the description; what it returns is not checked", r.key(), path)
				continue
			}
			for _, place := range r.places() {
				if place[0] != '.' || place == ".amount_refunded" && strings.Contains(lookup, "latest_charge") {
					continue // of the charge below
				}
				checked++
				if !d.has(c.Responses["200"].Content["application/json"].Schema, strings.Split(place[1:], ".")) {
					t.Errorf("%s reads %s of GET %s, which has no such field", r.key(), place, lookup)
				}
			}
		}
	}
	if checked < 60 {
		t.Errorf("%d fields were checked; the lookups were not understood", checked)
	}
}

// has reports whether a schema has a property with properties, and so on.
func (d described) has(s schema, fields []string) bool {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		s = d.Components.Schemas[name]
	}
	if slices.ContainsFunc(s.AnyOf, func(one schema) bool { return d.has(one, fields) }) {
		return true
	}
	if len(fields) == 0 {
		return true
	}
	below, ok := s.Properties[fields[0]]
	return ok && d.has(below, fields[1:])
}

func TestAPatternHasTwoIDsAtMost(t *testing.T) {
	list, _ := loaded(t)
	for _, o := range list {
		rest := strings.ReplaceAll(strings.ReplaceAll(o.pattern+"/", "/{id}/", "//"), "/{name}/", "//")
		if strings.Count(o.pattern, "{") > 2 || strings.Contains(rest, "{") {
			t.Errorf("%s: find gives back two ids, each a whole segment", o.pattern)
		}
	}
}

func TestASegmentIsOpenToIDsOrToNames(t *testing.T) {
	list, _ := loaded(t)
	open := map[string]string{}
	for _, o := range list {
		for i := range o.pattern {
			if o.pattern[i] != '{' {
				continue
			}
			kind, _, _ := strings.Cut(o.pattern[i:], "/")
			if before, ok := open[o.pattern[:i]]; ok && before != kind {
				t.Errorf("%s has %s where others have %s", o.pattern, kind, before)
			}
			open[o.pattern[:i]] = kind
		}
	}
}

func TestWhatDoesNotFitIsNamed(t *testing.T) {
	list := operations{{surface: public, method: "POST", pattern: "/v1/things", source: "PostThings", params: []string{"amount", "currency", "data[destination]"}}}
	row := func(fields ...string) string {
		all := []string{"POST", "/v1/things", "things.create", "spend", "-", "charge", "amount", "currency", "data[destination]", "-", "-", "-"}
		for i := 0; i < len(fields); i += 2 {
			at := slices.Index([]string{"method", "pattern", "name", "class", "when", "kind", "amount", "currency", "payee", "lookup", "object", "note"}, fields[i])
			all[at] = fields[i+1]
		}
		return strings.Join(all, "\t") + "\n"
	}
	for name, c := range map[string]struct{ rows, want string }{
		"a row that fits":                          {row(), ""},
		"an operation without a row":               {"# nothing\n", "has no row"},
		"a row without an operation":               {row() + row("pattern", "/v1/others"), "is no operation"},
		"two rows of one operation":                {row() + row(), "two rows"},
		"a class that is none":                     {row("class", "harmless"), "no class"},
		"a name that is none":                      {row("name", "things"), "no name"},
		"a spend without a kind":                   {row("kind", "-"), "has a kind"},
		"a write that moves nothing, with a kind":  {row("class", "other"), "has a kind"},
		"a kind that is none":                      {row("kind", "gift"), "no kind"},
		"a parameter that the operation lacks":     {row("amount", "amount|sum"), "sum is no parameter"},
		"a condition on what the operation lacks":  {row("when", "spend:confirm"), "confirm is no parameter"},
		"a condition below a parameter it has":     {row("when", "spend:data"), ""},
		"a condition without a class":              {row("when", "confirm"), "names no class"},
		"a condition graver than the worst":        {row("class", "capability", "kind", "-", "when", "spend:amount", "note", "x"), "never spend"},
		"a condition that lets off any value":      {row("when", "other:amount spend:*"), "whatever value"},
		"a condition that lets off one value":      {row("when", "other:amount=0 spend:*"), ""},
		"a condition behind the one always met":    {row("when", "spend:* spend:amount=1"), "last of several"},
		"a condition on the API version":           {row("when", "spend:version<2018-11-08"), ""},
		"a field without a lookup":                 {row("amount", ".amount"), "nothing to look it up in"},
		"a lookup that is no path":                 {row("lookup", "things/{id}"), "no path"},
		"a capability that does not say what for":  {row("class", "capability", "kind", "-"), "does not say what"},
		"a write called a read":                    {row("class", "read", "kind", "-"), "no read"},
		"an empty field":                           {row("note", ""), "is empty"},
		"a field too few":                          {strings.TrimSuffix(row(), "\t-\n") + "\n", "11 fields"},
		"a formula over parameters and the acting": {row("amount", "amount-amount+amount*amount", "payee", "acting"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "classes.tsv")
			if err := os.WriteFile(file, []byte(c.rows), 0o600); err != nil {
				t.Fatal(err)
			}
			rows, err := readRows(file)
			if err == nil {
				_, err = match(list, rows)
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestOneNameMeansOneThing(t *testing.T) {
	same := []row{{pattern: "/v1/a", name: "a.create", class: "spend", kind: "charge"}, {pattern: "/v1/b", name: "a.create", class: "spend", kind: "charge"}}
	if problems := sameMeaning(same); len(problems) > 0 {
		t.Errorf("two paths of one operation: %v", problems)
	}
	for _, other := range []row{{name: "a.create", class: "other"}, {name: "a.create", class: "spend", kind: "refund"},
		{name: "a.create", class: "spend", kind: "charge", when: []condition{{"spend", "confirm", ""}}}} {
		if len(sameMeaning(append(same[:1:1], other))) != 1 {
			t.Errorf("%+v passes for the same as %+v", other, same[0])
		}
	}
}
