package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/policy"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// entries are the audit entries of w's ledger.
func (w *world) entries() []audit.Entry {
	w.t.Helper()
	var b bytes.Buffer
	if err := w.History().Export(w.t.Context(), &b, "json"); err != nil {
		w.t.Fatal(err)
	}
	var out struct {
		Verification struct{ Sound bool }
		Entries      []audit.Entry
	}
	if err := json.Unmarshal(b.Bytes(), &out); err != nil {
		w.t.Fatal(err)
	}
	if !out.Verification.Sound {
		w.t.Fatalf("the ledger is not sound:\n%s", b.String())
	}
	return out.Entries
}

func (w *world) verified() {
	w.t.Helper()
	rep, err := w.History().Verify(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if !rep.Sound() {
		w.t.Errorf("the ledger is %s", rep.String())
	}
}

func TestEveryDeedIsInTheAuditChain(t *testing.T) {
	w := newWorld(t, daily())
	ctx := t.Context()
	admin := engine.Actor{Name: "outgo_admin000", Role: "admin"}
	paidOne := w.authorize(charge(1000, "a"), spend.Forward)
	w.finish(paidOne.ID, spend.Outcome{Result: spend.Happened, Reply: []byte("{}"), Receipt: spend.Receipt{Source: spend.FromWire, TransactionID: "ch_1", Amount: usd(1000)}})
	held := charge(6000, "b")
	h := w.authorize(held, spend.Await)
	w.authorize(held, spend.Await)
	w.resolve(h.ID, true)
	w.begin(h.ID, held, spend.Forward)
	w.finish(h.ID, spend.Outcome{Result: spend.Uncertain})
	if _, err := w.Testify(ctx, h.ID, admin, false, "looked it up"); err != nil {
		t.Fatal(err)
	}
	w.authorize(charge(9000, "c"), spend.Refuse)
	lapsing := w.authorize(charge(5500, "d"), spend.Await)
	w.pass(2 * time.Hour)
	if err := w.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	k, err := w.AddAPIKey(ctx, admin, engine.APIKey{Prefix: "outgo_ABcd1234", Role: "agent", Agent: "bot", Digest: "d"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.EndAPIKey(ctx, admin, k.Prefix, 0); err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{true, false} {
		if err := w.SetFrozen(ctx, admin, engine.Freeze{Agent: "bot"}, on); err != nil {
			t.Fatal(err)
		}
	}
	w.policies()

	var got []string
	for _, e := range w.entries() {
		id := ""
		for name, r := range map[string]spend.ID{"paid": paidOne.ID, "held": h.ID, "lapsing": lapsing.ID} {
			if e.Request == r {
				id = name + " "
			}
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s%s %s>%s by %s %s", id, e.Event, e.From, e.To, e.Who, e.Note)))
		if e.Request == paidOne.ID && e.Event == "settle" && e.Reply != audit.Sum([]byte("{}")) {
			t.Errorf("the digest of the reply is %s", e.Reply)
		}
		if e.Event == "authorize" && (len(e.Policies) != 1 || e.Policies[0].Version != 1 || e.Fingerprint == "") {
			t.Errorf("entry %d names policies %v and fingerprint %q", e.Seq, e.Policies, e.Fingerprint)
		}
	}
	want := []string{
		"started > by outgo",
		"policy.create > by outgo source: file",
		"paid authorize >executing by agent:bot",
		"paid settle executing>settled by outgo",
		"held authorize >held by agent:bot",
		"held attach held>held by agent:bot",
		"held approve held>authorized by outgo_person00 because",
		"held begin authorized>executing by agent:bot",
		"held unknown executing>executing by outgo",
		"held fail executing>failed by outgo_admin000 looked it up",
		"authorize >denied by agent:bot",
		"lapsing authorize >held by agent:bot",
		"held sweep > by outgo receipt",
		"lapsing expire held>expired by outgo",
		"key.create > by outgo_admin000 outgo_ABcd1234, role agent, agent bot",
		"key.revoke > by outgo_admin000 outgo_ABcd1234, role agent, agent bot",
		"freeze > by outgo_admin000 agent bot",
		"unfreeze > by outgo_admin000 agent bot",
		"policy.delete > by outgo source: file",
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("the chain says\n%s\nwant\n%s", a, b)
	}
}

// anchored is a world whose ledger has an anchor, at path.
func anchored(t *testing.T) (w *world, alarms <-chan error, path string) {
	t.Helper()
	w = newWorld(t)
	path = filepath.Join(t.TempDir(), "anchor")
	told := make(chan error, 100)
	w.opt.AnchorPath, w.opt.Alarm = path, func(err error) { told <- err }
	return w, told, path
}

// A page of the ledger written by outgo is tampered with between two lives.
func TestALedgerThatWasTamperedWithIsNotOpened(t *testing.T) {
	alter := func(key string) func(*world) {
		return func(w *world) {
			w.tamper(func(tx store.Tx) error {
				v, err := tx.Get("v1/main/" + key)
				if err != nil {
					return err
				}
				v = bytes.Clone(v)
				v[len(v)-1] ^= 1
				return tx.Put("v1/main/"+key, v)
			})
		}
	}
	for name, c := range map[string]struct {
		tamper func(*world)
		says   string
	}{
		"an entry is altered":       {alter("audit/00000000000000000003"), "entry 3 was altered"},
		"the batch time is altered": {alter("head"), `value "head" was altered`},
		"a freeze is lifted":        {alter("control"), `value "control" was altered`},
		"the chain's end is cut": {func(w *world) {
			w.tamper(func(tx store.Tx) error { return tx.Delete("v1/main/audit/00000000000000000004") })
		}, "entry 4 is missing"},
		"the chain is deleted": {func(w *world) {
			w.tamper(func(tx store.Tx) error {
				all, err := tx.Scan("v1/main/audit", "", false, 100)
				for _, en := range all {
					err = errors.Join(err, tx.Delete(en.Key))
				}
				return err
			})
		}, "no audit chain"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, _ := anchored(t)
			w.restartAnchored(daily())
			w.freeze(engine.Freeze{Agent: "other"})
			w.authorize(charge(1000, "a"), spend.Forward)
			w.Engine.Close()
			c.tamper(w)
			_, err := engine.Open(t.Context(), w.options())
			if !errors.Is(err, audit.ErrBroken) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "outgo audit verify") {
				t.Errorf("open: %v, want it to say %q and what to do", err, c.says)
			}
		})
	}
}

func TestARestoredBackupIsOpenedOnAnOperatorsWordOnly(t *testing.T) {
	w, _, path := anchored(t)
	w.restartAnchored(daily())
	w.authorize(charge(1000, "a"), spend.Forward)
	w.Engine.Close()
	backup := w.dump()
	w.start()
	w.authorize(charge(1000, "b"), spend.Forward)
	w.Engine.Close()
	w.set(backup)
	_, err := engine.Open(t.Context(), w.options())
	if !errors.Is(err, audit.ErrBroken) || !strings.Contains(err.Error(), "rolled back") || !strings.Contains(err.Error(), "outgo audit accept --restored") {
		t.Fatalf("open: %v, want that it was rolled back and what to do", err)
	}
	if _, err := engine.NewHistory(w.options()).Accept(t.Context(), "operator"); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.verified()
	if !slices.ContainsFunc(w.entries(), func(e audit.Entry) bool { return e.Event == audit.Restored && e.Who == "operator" }) {
		t.Error("no entry tells of it")
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// What the look at the start does not reach, the one in the background does.
func TestAFaultThatIsFoundLaterStopsSpending(t *testing.T) {
	w, alarms, _ := anchored(t)
	w.restartAnchored(daily())
	id := w.authorize(charge(1000, "old"), spend.Forward).ID
	for range 1100 { // so that a checkpoint lies behind it
		w.freeze(engine.Freeze{Agent: "other"})
	}
	w.Engine.Close()
	w.tamper(func(tx store.Tx) error {
		key := "v1/main/request/" + string(id)
		v, err := tx.Get(key)
		if err != nil {
			return err
		}
		return tx.Put(key, bytes.Replace(v, []byte("1000"), []byte("1001"), 1))
	})
	w.start()
	select {
	case err := <-alarms:
		if !errors.Is(err, audit.ErrBroken) || !strings.Contains(err.Error(), string(id)) {
			t.Errorf("the operator is told %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no operator is told")
	}
	r := w.authorize(charge(1000, "new"), spend.Refuse)
	if r.Verdict.Code != spend.Frozen || !strings.Contains(r.Verdict.Message(), "audit chain is broken") {
		t.Errorf("a new spend: %s", r.Verdict.Message())
	}
	if st := w.Stats(); !st.Frozen || st.Unfit == "" {
		t.Errorf("stats say frozen %t, unfit %q", st.Frozen, st.Unfit)
	}
	if err := w.SetFrozen(t.Context(), engine.Actor{}, engine.Freeze{}, false); !errors.Is(err, spend.InvalidState) {
		t.Errorf("unfreeze: %v, want InvalidState", err)
	}
	w.finish(id, paid(1000)) // evidence is taken in all the same
}

func (w *world) restartAnchored(ps ...policy.Policy) {
	w.t.Helper()
	w.Engine.Close()
	w.set(nil)
	w.start()
	w.policies(ps...)
}

func (w *world) tamper(fn func(store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) dump() map[string][]byte {
	w.t.Helper()
	out := make(map[string][]byte)
	err := w.store.View(w.t.Context(), func(r store.Reader) error {
		all, err := r.Scan("", "", false, 1<<20)
		for _, en := range all {
			out[en.Key] = en.Value
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// set makes the store hold what was dumped, and nothing else.
func (w *world) set(to map[string][]byte) {
	w.t.Helper()
	w.tamper(func(tx store.Tx) error {
		var err error
		for k := range w.dump() {
			if _, ok := to[k]; !ok {
				err = errors.Join(err, tx.Delete(k))
			}
		}
		for k, v := range to {
			err = errors.Join(err, tx.Put(k, v))
		}
		return err
	})
}
