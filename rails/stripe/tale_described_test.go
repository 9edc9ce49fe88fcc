package stripe

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

// answers is the part of Stripe's description of its API that says what calls answer.
type answers struct {
	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema *answered }
		}
	}
	Components struct{ Schemas map[string]*answered }
}

type answered struct {
	Ref        string `json:"$ref"`
	Type       string
	Enum       []any
	AnyOf      []*answered
	Properties map[string]*answered
}

// at returns the description of a field by its path, nil where there is none.
func (a *answers) at(s *answered, path string) *answered {
	for name := range strings.SplitSeq(path, ".") {
		if s = a.object(s); s == nil {
			return nil
		}
		s = s.Properties[name]
	}
	return s
}

// object returns the object that s describes, among alternatives the first that is
// one and stands for itself.
func (a *answers) object(s *answered) *answered {
	if s == nil {
		return nil
	}
	for s.Ref != "" {
		s = a.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	for _, other := range s.AnyOf {
		if o := a.object(other); o != nil && len(o.Properties) > 0 {
			return o
		}
	}
	return s
}

// What is looked for in a reply is what Stripe describes: the type of the object, the
// fields, and every status. Which statuses prove nothing is said here, one by one.
func TestATaleIsWhatStripeDescribes(t *testing.T) {
	describedAPI(t)
	var api answers
	data, err := os.ReadFile(os.Getenv("OUTGO_STRIPE_SPEC"))
	if err == nil {
		err = json.Unmarshal(data, &api)
	}
	if err != nil {
		t.Fatal(err)
	}
	ids := regexp.MustCompile(`\{[^}]*\}`)
	byPath := map[string]*answered{}
	for path, methods := range api.Paths {
		for method, op := range methods {
			byPath[strings.ToUpper(method)+" "+ids.ReplaceAllString(path, "{}")] = op.Responses["200"].Content["application/json"].Schema
		}
	}
	unproved := map[string]string{
		"checkout.sessions.update": "expired", "disputes.close": "needs_response prevented under_review warning_needs_response warning_under_review won",
		"invoices.create": "uncollectible void", "invoices.update": "uncollectible void", "invoices.pay": "draft uncollectible void",
		"invoices.finalize": "draft uncollectible void", "invoices.send": "draft uncollectible void", "credit_notes.create": "void",
		"quotes.accept": "canceled draft open", "subscriptions.create": "canceled", "topups.create": "reversed",
		"terminal.readers.confirm_payment_intent": "failed", "terminal.readers.process_payment_intent": "failed", "terminal.readers.refund_payment": "failed",
		"subscriptions.update": "incomplete_expired", "subscriptions.cancel": "incomplete_expired", "subscriptions.pause": "incomplete_expired", "subscriptions.resume": "incomplete_expired",
	}
	tsv, err := os.ReadFile("gen/classes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(tsv)) {
		f := strings.Split(line, "\t")
		if len(f) < 4 || f[3] != string(spend.Spend) {
			continue
		}
		schema := byPath[f[0]+" "+ids.ReplaceAllString(f[1], "{}")]
		told, known := taleOf(f[2])
		if schema == nil || !known {
			continue
		}
		seen++
		checkTale(t, &api, f[2], f[1], schema, &told, strings.Fields(unproved[f[2]]))
	}
	if seen < 45 {
		t.Errorf("only %d operations are described", seen)
	}
}

func checkTale(t *testing.T, api *answers, name, path string, schema *answered, told *tale, unproved []string) {
	t.Helper()
	object := api.object(schema)
	kinds := strings.Fields(told.objects)
	kind := api.at(object, "object")
	if kind == nil || len(kind.Enum) != 1 || !slices.Contains(kinds, kind.Enum[0].(string)) {
		t.Errorf("%s of %s answers with %+v, not with %s", name, path, kind, told.objects)
		return
	}
	if kind.Enum[0] != kinds[0] {
		return // an alias, which tells no amount
	}
	for _, field := range slices.Concat(strings.Fields(told.of), strings.Fields(told.undoes), []string{told.transaction, told.amount, told.currency, told.payee, told.merchant, told.status}) {
		if field != "" && api.at(object, field) == nil {
			t.Errorf("%s: %s has no %s", name, told.objects, field)
		}
	}
	field := told.status
	if field == "" {
		field = "status"
	}
	status := api.at(object, field)
	if status == nil || told.done == "" {
		return
	}
	said := slices.Concat(strings.Fields(told.done), strings.Fields(told.not), unproved)
	if status.Type == "boolean" || len(status.Enum) == 0 {
		return
	}
	for _, word := range status.Enum {
		if !slices.Contains(said, word.(string)) {
			t.Errorf("%s: nothing is said of the status %s", name, word)
		}
	}
	for _, word := range said {
		if !slices.Contains(status.Enum, any(word)) {
			t.Errorf("%s: there is no status %s", name, word)
		}
	}
}
