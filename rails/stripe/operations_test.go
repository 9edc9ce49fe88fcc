package stripe

import (
	"slices"
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

func TestEveryOperationIsListedForPolicies(t *testing.T) {
	for _, pattern := range []string{
		"payment_intents", "payment_intents/{id}", "payment_intents/{id}/confirm", "payment_intents/{id}/capture",
		"payment_intents/{id}/increment_authorization", "payment_intents/{id}/cancel", "charges", "charges/{id}",
		"charges/{id}/capture", "refunds", "charges/{id}/refund", "charges/{id}/refunds", "refunds/{id}", "refunds/{id}/cancel",
		"transfers", "transfers/{id}", "payouts", "payouts/{id}", "payouts/{id}/cancel",
	} {
		op, ok := operationOf(pattern)
		if !ok || !slices.Contains(Operations(), op.name) {
			t.Errorf("%s is %q, %v, which is not listed", pattern, op.name, ok)
		}
		x := reading{id: "id_1"}
		if e, err := x.effect(op.name, &form{}); err == nil && e.class == spend.Unrecognised {
			t.Errorf("%s is not read", pattern)
		}
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
		if op, _, err := route("POST", path); op.name != want || err != nil {
			t.Errorf("%s is %q (%v), want %q", path, op.name, err, want)
		}
	}
}
