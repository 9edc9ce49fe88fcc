package engine_test

import (
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// What waits for a person is bounded in money too, by unit and by agent, and what no
// longer waits makes room.
func TestHeldMoneyIsCapped(t *testing.T) {
	p := daily()
	p.Daily, p.MaxSingle, p.RequireApprovalOver = spend.Amount{}, spend.Amount{}, usd(10)
	for name, end := range map[string]func(w *world, id spend.ID){
		"approved": func(w *world, id spend.ID) { w.resolve(id, true) },
		"rejected": func(w *world, id spend.ID) { w.resolve(id, false) },
		"expired": func(w *world, _ spend.ID) {
			w.pass(2 * time.Hour)
			w.sweep()
		},
		"called off": func(w *world, id spend.ID) {
			if _, err := w.Cancel(w.t.Context(), id, operator); err != nil {
				w.t.Fatal(err)
			}
		},
		"paid after all": func(w *world, id spend.ID) { w.finish(id, proof("ch_1", 6000)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, p)
			w.opt.MaxHeldAmount = map[string]spend.Amount{"USD": usd(10_000)}
			w.restart()
			first := w.authorize(charge(6000, "a"), spend.Await)
			w.authorize(charge(4000, "b"), spend.Await) // exactly what is left
			if r := w.authorize(charge(11, "c"), spend.Refuse); r.Why != spend.TooManyHolds {
				t.Fatalf("denied for %s, want TOO_MANY_HOLDS", r.Why)
			}
			stranger := charge(6000, "d")
			stranger.Agent = "other"
			w.authorize(stranger, spend.Await)
			w.restart()
			end(w, first.ID)
			if name == "expired" { // and so has the other one
				w.authorize(charge(10_000, "e"), spend.Await)
				return
			}
			w.authorize(charge(6001, "e"), spend.Refuse)
			w.authorize(charge(6000, "f"), spend.Await)
		})
	}
}

func TestMoneyOfAnotherUnitOrWithoutABoundIsHeldAsItsCapSays(t *testing.T) {
	p := daily()
	p.Daily, p.MaxSingle, p.RequireApprovalOver = spend.Amount{}, spend.Amount{}, usd(10)
	q := p
	q.Name, q.Unit, q.RequireApprovalOver = "euros", "EUR", spend.NewAmount("EUR", 10)
	w := newWorld(t, p, q)
	w.opt.MaxHeldAmount = map[string]spend.Amount{"USD": usd(100)}
	w.restart()
	euros := charge(9000, "a")
	euros.Legs[0].Amount = spend.NewAmount("EUR", 1_000_000)
	w.authorize(euros, spend.Await)
	boundless := charge(8000, "b")
	boundless.Legs[0].Amount = spend.Unlimited("USD")
	if r := w.authorize(boundless, spend.Refuse); r.State != spend.Denied {
		t.Errorf("%+v", r)
	}
	w.authorize(charge(100, "c"), spend.Await)
}
