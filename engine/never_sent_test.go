package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
)

// What somebody has paid although it was denied, lapsed or not sent from here is
// unknown to the provider under the key of this call: sent again, it would be paid
// again, without a begin and past a freeze.
func TestNothingIsReplayedThatWasNotSentFromHere(t *testing.T) {
	for name, c := range map[string]struct {
		cents int64
		make  func(w *world, in spend.Intent) spend.ID
	}{
		"denied": {9000, func(w *world, in spend.Intent) spend.ID { return w.authorize(in, spend.Refuse).ID }},
		"lapsed": {6000, func(w *world, in spend.Intent) spend.ID {
			defer w.pass(2 * time.Hour)
			return w.authorize(in, spend.Await).ID
		}},
		"held": {6000, func(w *world, in spend.Intent) spend.ID { return w.authorize(in, spend.Await).ID }},
		"not sent": {1000, func(w *world, in spend.Intent) spend.ID {
			r := w.authorize(in, spend.Forward)
			w.finish(r.ID, spend.Outcome{Result: spend.DidNot, Why: spend.UpstreamFailed})
			return r.ID
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, daily())
			in := charge(c.cents, "a")
			id := c.make(w, in)
			w.finish(id, proof("ch_x", c.cents))
			w.freeze(engine.Freeze{})
			if got := w.authorize(in, spend.Doubt); got.ID != id {
				t.Errorf("got %s, want %s", got.ID, id)
			}
			if _, err := w.Reply(t.Context(), id); !errors.Is(err, spend.NotFound) {
				t.Errorf("reply: %v, want NotFound", err)
			}
		})
	}
}
