package stripe

import (
	"slices"
	"testing"

	"github.com/outgo/outgo/rails"
)

func TestEveryOperationIsListedForPolicies(t *testing.T) {
	names := Operations()
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Error("the names are not sorted, or one stands twice")
	}
	for _, o := range overlay(t) {
		if !slices.Contains(names, o.name) {
			t.Errorf("policies cannot name %s", o.name)
		}
	}
	if !slices.Contains(names, "unrecognised") {
		t.Error("policies cannot name what is not known")
	}
}

func TestDigitsAreThoseOfStripesAPI(t *testing.T) {
	for unit, want := range map[string]int{"USD": 2, "JPY": 0, "KWD": 3, "ISK": 2} {
		if got, ok := Digits(unit); !ok || got != want {
			t.Errorf("%s: %d, %v; want %d", unit, got, ok, want)
		}
	}
	if _, ok := Digits("XXX"); ok {
		t.Error("XXX has digits")
	}
}

func TestAWordInAPathIsAnotherOperationAndNoObject(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/payouts/create_all":             "unrecognised",
		"/v1/charges/search":                 "unrecognised",
		"/v1/payment_intents/search/confirm": "unrecognised",
		"/v1/payouts/po_1":                   "payouts.update",
		"/v1/charges/ch_Abc/capture":         "charges.capture",
	} {
		if op, _, err := operationOf("api.stripe.com", &rails.Call{Method: "POST", Path: path}); err != nil || op.name != want {
			t.Errorf("%s is %v (%v), want %q", path, op, err, want)
		}
	}
}
