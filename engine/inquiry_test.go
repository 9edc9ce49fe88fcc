package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
)

// silent is asked, and knows nothing.
type silent struct{ asked map[spend.ID]int }

func (s *silent) Ask(_ context.Context, r *spend.Request) (spend.Outcome, error) {
	s.asked[r.ID]++ // maxAsking questions are open at a time, and here one in a pass
	return spend.Outcome{Result: spend.Uncertain}, nil
}

// Payments of which nothing can be found out stay unknown for good. However many
// they are, those that come after them are asked about, and none twice.
func TestOldQuestionsDoNotTakeThePlaceOfNewOnes(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).UnixNano())
	e := aged(t, &now)
	if _, err := e.CreatePolicy(t.Context(), policy.Policy{Name: "all", Unit: "USD", Active: true}); err != nil {
		t.Fatal(err)
	}
	lose := func(n int) spend.ID {
		t.Helper()
		r, err := e.Authorize(t.Context(), spend.Intent{
			Agent: "bot", Rail: "stripe", Class: spend.Spend, Operation: "charges.create", Fingerprint: fmt.Sprint(n),
			Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 100)}},
		})
		if err != nil || r.Next != spend.Forward {
			t.Fatalf("%+v, %v", r, err)
		}
		return r.Request.ID
	}
	rec := &silent{asked: map[spend.ID]int{}}
	q := e.Inquire(rec)
	q.most = 1
	pass := func(after time.Duration) {
		t.Helper()
		now.Add(int64(after))
		if err := q.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var old []spend.ID
	for i := range 3 {
		old = append(old, lose(i))
	}
	for range 4 {
		pass(48 * time.Hour)
	}
	last := lose(3)
	pass(11 * time.Second)
	for _, id := range append(old, last) {
		if n := rec.asked[id]; n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
	}
	if n := e.Stats().Unknown; n != 4 {
		t.Errorf("%d are counted as unknown, want 4", n)
	}
}
