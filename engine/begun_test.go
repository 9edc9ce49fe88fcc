package engine

import (
	"reflect"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

func begunExample(id spend.ID) (r spend.Request, stored []byte) {
	r = spend.Request{
		ID: id, State: spend.Executing, Created: time.Unix(1000, 0).UTC(),
		Intent: spend.Intent{
			Agent: "a", Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 5)}},
			Claims: spend.Claims{Authorization: "secret"}, LookedUp: time.Unix(900, 0), Call: "POST a/b",
		},
		Reservations: []spend.Reservation{{Counter: "c", Amount: spend.NewAmount("USD", 5)}},
	}
	stored, _, _ = newKeys("main").storedRequest(&r, new(requestBody))
	return r, stored
}

// What is kept is what decoding would have given, and nobody who was handed it
// can change it.
func TestBegunStandsForItsStoredForm(t *testing.T) {
	var k begun
	r, stored := begunExample("1")
	k.put(&r, stored, requestBody{}, true)
	for _, tamper := range []func(*spend.Request){
		func(q *spend.Request) { q.Receipts = append(q.Receipts, spend.Receipt{Note: "appended"}) },
		func(q *spend.Request) { _ = append(q.Intent.Legs[:0], spend.Leg{Payee: "appended"}) },
		func(q *spend.Request) { q.Reservations[0].Counter = "changed in place" },
	} {
		want, err := newKeys("main").readRequest("1", "request/1", stored)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := k.get("1", stored)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("kept %v: got %+v, want %+v", ok, got, want)
		}
		tamper(&got)
	}
}

// An action that borrows what is kept may add to it and replace what it points to.
func TestBegunIsAsItWasAfterAnActionThatFailed(t *testing.T) {
	var k begun
	r, stored := begunExample("1")
	r.Reservations = append(make([]spend.Reservation, 0, 8), r.Reservations...)
	r.Receipts, r.Anomalies = make([]spend.Receipt, 0, 8), make([]spend.Anomaly, 0, 8)
	body := requestBody{intent: intentForm(&r.Intent)}
	if again, _, err := newKeys("main").storedRequest(&r, &body); err != nil || string(again) != string(stored) {
		t.Fatalf("with the form of its intent it is written %x, not %x: %v", again, stored, err)
	}
	k.put(&r, stored, body, true)
	want := r.Clone()
	for range 2 {
		var q spend.Request
		body, ok := k.borrow("1", stored, &q)
		if again, _, err := newKeys("main").storedRequest(&q, &body); !ok || err != nil || string(again) != string(stored) {
			t.Fatalf("%v, %v: it is written %x, not %x", ok, err, again, stored)
		}
		q.State, q.Why = spend.Failed, spend.NeverSent
		q.Receipts = append(q.Receipts, spend.Receipt{Note: "appended"})
		q.Anomalies = append(q.Anomalies, spend.LateReceipt)
		q.Reservations = append(q.Reservations, spend.Reservation{Counter: "appended"})
		if got := k.byID["1"].request; !reflect.DeepEqual(got.Clone(), want) ||
			got.Receipts[:1][0].Note != "" || got.Anomalies[:1][0] != "" || got.Reservations[:2][1].Counter != "" {
			t.Fatalf("an action has changed what is kept: %+v", got)
		}
	}
	if _, ok := k.borrow("1", append(stored, ' '), new(spend.Request)); ok {
		t.Error("it answers for bytes that it was not made of")
	}
}

func TestBegunForgets(t *testing.T) {
	var k begun
	r, stored := begunExample("1")
	k.put(&r, stored, requestBody{}, true)
	if _, ok := k.get("1", append(stored, ' ')); ok {
		t.Error("it answers for bytes that it was not made of")
	}
	if _, ok := k.get("2", stored); ok {
		t.Error("it answers for a request that it does not know")
	}
	if k.put(&r, stored, requestBody{}, false); len(k.byID) != 0 {
		t.Error("it keeps a request that its stored form does not give again")
	}
	k.put(&r, stored, requestBody{}, true)
	r.State = spend.Settled
	k.put(&r, stored, requestBody{}, true)
	if len(k.byID) != 0 {
		t.Error("it keeps a request that has ended")
	}
	r.State = spend.Executing
	for range 3 * maxBegun {
		r.ID = spend.NewID(time.Now())
		k.put(&r, stored, requestBody{}, true)
	}
	if n := len(k.byID); n > maxBegun {
		t.Errorf("it keeps %d requests", n)
	}
	if _, ok := k.get(r.ID, stored); !ok {
		t.Error("it has forgotten the last one")
	}
}
