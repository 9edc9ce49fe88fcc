package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// openPaid returns an engine that allows every payment, and what makes one.
func openPaid(t *testing.T) (*Engine, func(key string, told ...string) spend.ID) {
	t.Helper()
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	e, err := Open(t.Context(), Options{Store: st, Sealer: seal.FromBytes([32]byte{1})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if _, err := e.CreatePolicy(t.Context(), policy.Policy{Name: "all", Unit: "USD", Active: true}); err != nil {
		t.Fatal(err)
	}
	return e, func(key string, told ...string) spend.ID {
		t.Helper()
		r, err := e.Authorize(t.Context(), spend.Intent{
			Agent: "bot", Rail: "stripe", Class: spend.Spend, DedupKey: key, Fingerprint: key,
			Legs: []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", 1)}},
		})
		if err != nil || r.Next != spend.Forward {
			t.Fatal(r.Next, err)
		}
		for _, id := range told {
			o := spend.Outcome{Result: spend.Happened, Receipt: spend.Receipt{Source: spend.FromProvider, TransactionID: id}}
			if err := e.Finish(t.Context(), r.Request.ID, o); err != nil {
				t.Fatal(err)
			}
		}
		return r.Request.ID
	}
}

func (e *Engine) paidIDs(t *testing.T, rail, transaction string) (ids []spend.ID) {
	t.Helper()
	err := e.view(context.Background(), func(r store.Reader) error {
		rs, err := e.paidBy(r, rail, transaction)
		for i := range rs {
			ids = append(ids, rs[i].ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestAPaymentIsFoundByWhatItsProviderCallsIt(t *testing.T) {
	e, pay := openPaid(t)
	long := string(make([]byte, maxTransaction+1))
	hold := pay("hold", "pi_1", "pi_1")
	capture := pay("capture", "pi_1")
	twice := pay("twice", "pi_2", "pi_3", "pi_2", "pi_3")
	pay("nameless", "")
	pay("endless", long)
	pay("under way")
	for name, c := range map[string]struct {
		rail, id string
		want     []spend.ID
	}{
		"what two calls had a part in":            {"stripe", "pi_1", []spend.ID{hold, capture}},
		"the first of two payments of one call":   {"stripe", "pi_2", []spend.ID{twice}},
		"the second one":                          {"stripe", "pi_3", []spend.ID{twice}},
		"one of another rail with the same name":  {"moonpay", "pi_1", nil},
		"one that nobody has made":                {"stripe", "pi_4", nil},
		"one that reaches into another":           {"stripe", "pi_1/x", nil},
		"no name":                                 {"stripe", "", nil},
		"a name longer than any that is kept":     {"stripe", long, nil},
		"one whose name is the beginning of ours": {"stripe", "pi_", nil},
	} {
		if got := e.paidIDs(t, c.rail, c.id); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestOnlySoManyRequestsOfOneTransactionAreKept(t *testing.T) {
	e, pay := openPaid(t)
	var all []spend.ID
	for i := range maxPaid + 3 {
		all = append(all, pay(fmt.Sprint(i), "pi_1"))
	}
	want := append([]spend.ID{all[0]}, all[4:]...)
	if got := e.paidIDs(t, "stripe", "pi_1"); !slices.Equal(got, want) {
		t.Errorf("%d: %v, want %d: %v", len(got), got, len(want), want)
	}
}

func TestADamagedEntryOfATransactionIsAnError(t *testing.T) {
	for name, value := range map[string][]byte{
		"nothing": {}, "a format of the future": {9}, "half an id": make([]byte, 8), "an id and a half": append([]byte{formatPaid}, make([]byte, 24)...),
	} {
		if ids, err := readPaid(shelf{"k": value}, "k"); err == nil {
			t.Errorf("%s: read as %v", name, ids)
		}
	}
}
