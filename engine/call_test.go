package engine

import (
	"reflect"
	"testing"

	"github.com/outgo/outgo/engine/spend"
)

// What is made of a call before its turn is what would be made in it.
func TestACallKnowsItsNames(t *testing.T) {
	k := newKeys("a/b")
	for name, in := range map[string]spend.Intent{
		"a payment":        {Agent: "default", DedupKey: "d1", Claims: spend.Claims{Authorization: "secret", Task: "t"}},
		"one without keys": {},
		"an agent whose name would reach into another part of a key": {Agent: "a/../b%", DedupKey: "d2"},
	} {
		t.Run(name, func(t *testing.T) {
			in.Legs = []spend.Leg{{Payee: "one"}}
			c := k.newCall("0198-id", in)
			for what, pair := range map[string][2]string{
				"request": {c.requestKey, k.request("0198-id")},
				"dedup":   {c.dedupKey, k.dedup(in.DedupKey)},
				"waits":   {c.waitsKey, k.waits(in.Agent)},
				"agent":   {c.who, agentName(in.Agent)},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
				}
			}
			want := in
			want.Claims.Authorization = ""
			if !reflect.DeepEqual(c.Intent, want) || string(c.form) != string(intentForm(&want)) {
				t.Errorf("it is %+v, want %+v", c.Intent, want)
			}
			if in.Legs[0].Payee = "changed"; c.Legs[0].Payee != "one" {
				t.Error("its caller can change what it moves")
			}
		})
	}
}
