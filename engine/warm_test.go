package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// fickle is a store whose commits fail when told to, before or after fn has run,
// or run fn twice, as on a conflict.
type fickle struct {
	store.Store
	next string
}

func (f *fickle) Exclusive() bool { return true }

func (f *fickle) Update(ctx context.Context, fn func(store.Tx) error) error {
	how := f.next
	f.next = ""
	failed := errors.New("nothing was written")
	switch how {
	case "fail before":
		return failed
	case "fail after":
		return f.Store.Update(ctx, func(tx store.Tx) error { return errors.Join(fn(tx), failed) })
	case "conflict":
		_ = f.Store.Update(ctx, func(tx store.Tx) error { return errors.Join(fn(tx), failed) })
	}
	return f.Store.Update(ctx, fn)
}

// Whatever is done, and fails, what the engine remembers of the store is what the
// store holds.
func TestWhatIsRememberedIsWhatIsStored(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		st, err := badgerstore.Open(badgerstore.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer st.Close()
		f := &fickle{Store: st}
		e, err := Open(context.Background(), Options{Store: f, Sealer: seal.FromBytes([32]byte{1}), MaxHeld: 3})
		if err != nil {
			rt.Fatal(err)
		}
		defer e.Close()
		var ids []spend.ID
		for range rapid.IntRange(1, 40).Draw(rt, "actions") {
			f.next = rapid.SampledFrom([]string{"", "", "", "fail before", "fail after", "conflict"}).Draw(rt, "commit")
			fails := f.next == "fail before" || f.next == "fail after"
			id, err := act(rt, e, ids)
			if fails && err == nil && f.next == "" && id != "" {
				rt.Fatal("a request was made by a commit that failed")
			}
			if id != "" {
				ids = append(ids, id)
			}
			f.next = ""
			remembersWhatIsStored(rt, e, st)
		}
	})
}

// act does one thing to e that may be refused. It returns the id of a new request.
func act(rt *rapid.T, e *Engine, ids []spend.ID) (spend.ID, error) {
	ctx := context.Background()
	admin := Actor{Name: "outgo_test", Role: "admin"}
	id := spend.ID("none")
	if len(ids) > 0 {
		id = rapid.SampledFrom(ids).Draw(rt, "id")
	}
	var err error
	switch rapid.IntRange(0, 8).Draw(rt, "what") {
	case 0:
		_, err = e.SyncPolicies(ctx, []policy.Policy{{
			Name: "p", Unit: "USD", Active: true, Daily: spend.NewAmount("USD", rapid.Int64Range(100, 400).Draw(rt, "limit")),
			RequireApprovalOver: spend.NewAmount("USD", 50),
		}})
	case 1:
		err = e.SetFrozen(ctx, admin, Freeze{Agent: "b"}, rapid.Bool().Draw(rt, "frozen"))
	case 2:
		_, err = e.Resolve(ctx, id, admin, rapid.Bool().Draw(rt, "yes"), "")
	case 3:
		_, err = e.Cancel(ctx, id, admin)
	case 4, 5:
		err = e.Finish(ctx, id, spend.Outcome{
			Result:  rapid.SampledFrom([]spend.Result{spend.Happened, spend.DidNot, spend.Uncertain}).Draw(rt, "result"),
			Receipt: spend.Receipt{Source: spend.FromWire, TransactionID: "pi_1", Amount: spend.NewAmount("USD", 20)},
			Reply:   []byte("reply"),
		})
	default:
		in := spend.Intent{
			Agent: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "agent"), Rail: "stripe", Class: spend.Spend, Operation: "charges.create",
			Legs:        []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", rapid.SampledFrom([]int64{20, 60}).Draw(rt, "amount"))}},
			DedupKey:    rapid.SampledFrom([]string{"", "k1", "k2", "k3"}).Draw(rt, "key"),
			Fingerprint: rapid.SampledFrom([]string{"f1", "f2"}).Draw(rt, "fingerprint"),
			Object:      rapid.SampledFrom([]string{"", "", "payment_intents/pi_1"}).Draw(rt, "object"),
		}
		if rapid.Bool().Draw(rt, "begin") {
			_, err = e.Begin(ctx, id, in)
			return "", err
		}
		r, err := e.Authorize(ctx, in)
		return r.Request.ID, err
	}
	return "", err
}

// countsWhatWaits holds the counts of waiting requests against the requests.
func countsWhatWaits(rt *rapid.T, e *Engine, r store.Reader) {
	want := map[string]int{}
	for l, err := range e.keys.oldest(r, anyMark) {
		q, lerr := e.load(r, l.id)
		if err = errors.Join(err, lerr); err != nil {
			rt.Fatal(err)
		}
		if waits(q.State) {
			want[q.Intent.Agent]++
		}
		if open := l.marks&openMark != 0; open == q.State.Final() {
			rt.Fatalf("%s is %s, listed as open: %t", q.ID, q.State, open)
		}
	}
	for _, agent := range []string{"a", "b"} {
		if n, err := waiting(r, e.keys.waits(agent)); err != nil || n != want[agent] {
			rt.Fatalf("%d requests of %s are counted as waiting, %d are: %v", n, agent, want[agent], err)
		}
	}
}

func remembersWhatIsStored(rt *rapid.T, e *Engine, st store.Store) {
	w := e.commit.warm
	_ = st.View(context.Background(), func(r store.Reader) error {
		countsWhatWaits(rt, e, r)
		for _, generation := range []map[string][]byte{w.old, w.young} {
			for k, v := range generation {
				got, err := r.Get(k)
				if (v == nil) != errors.Is(err, store.ErrNotFound) || string(got) != string(v) {
					rt.Fatalf("%s is remembered as %q and stored as %q, %v", k, v, got, err)
				}
			}
		}
		for id, known := range e.begun.byID {
			key := e.keys.request(id)
			stored, err := r.Get(key)
			if err != nil || string(stored) != string(known.stored) {
				rt.Fatalf("%s is remembered as %q and stored as %q, %v", id, known.stored, stored, err)
			}
			want, err := e.keys.readRequest(id, key, stored)
			if err != nil || !reflect.DeepEqual(*known.request, want) {
				rt.Fatalf("%s is remembered as %+v and read as %+v, %v", id, known.request, want, err)
			}
		}
		return nil
	})
}

func TestWarmIsBounded(t *testing.T) {
	w := &warm{covers: func(string) bool { return true }}
	for i := range 10_000 {
		w.put(fmt.Sprint(i), make([]byte, 1000))
		if _, ok := w.get("0"); !ok {
			t.Fatalf("what is always read was forgotten after %d others", i)
		}
	}
	if n := len(w.young) + len(w.old); n > 2*maxWarm/1000 {
		t.Errorf("%d values are kept", n)
	}
	if _, ok := w.get("5"); ok {
		t.Error("what nobody reads is kept")
	}
}

// A store that others may write to is asked each time.
func TestOnlyAnExclusiveStoreIsRemembered(t *testing.T) {
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if newWarm(struct{ store.Store }{st}, nil) != nil {
		t.Error("a store that does not say that it is exclusive is remembered")
	}
	if newWarm(st, nil) == nil {
		t.Error("Badger is not remembered")
	}
}
