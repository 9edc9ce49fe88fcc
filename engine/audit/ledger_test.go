package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

const prefix = "v1/main/"

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A ledger is a store with a chain, written as the engine writes: requests with
// their counters, indexes and keys, several actions in one transaction.
type ledger struct {
	t      testing.TB
	chain  *audit.Chain
	store  store.Store
	rng    *rand.Rand
	now    time.Time
	open   []*spend.Request
	writer map[string]uint64 // the last entry that wrote a key
	past   map[string][]byte // an earlier value of a key, other than the present one
	gone   map[string]uint64 // the entry that deleted a key

	together bool         // the entries of a transaction stand under one key
	batch    *audit.Batch // of the present transaction, if so
}

func newChain(key byte) *audit.Chain {
	return audit.New(prefix, seal.FromBytes([32]byte{key}).Digest, "head", "reply/").Fine(32, 100)
}

func newLedger(t testing.TB, seed uint64) *ledger {
	t.Helper()
	s, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return ledgerIn(t, s, seed)
}

// newLedgerless is a ledger before its first start.
func newLedgerless(t testing.TB) *ledger {
	t.Helper()
	s, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &ledger{t: t, chain: newChain(1), store: s}
}

func ledgerIn(t testing.TB, s store.Store, seed uint64) *ledger {
	t.Helper()
	l := &ledger{
		t: t, chain: newChain(1), store: s, rng: rand.New(rand.NewPCG(seed, 7)), now: noon.Add(time.Duration(seed) * time.Second),
		writer: make(map[string]uint64), past: make(map[string][]byte), gone: make(map[string]uint64),
	}
	l.update(func(tx store.Tx) error { return l.chain.Start(tx, l.now, "test") })
	return l
}

func (l *ledger) update(fn func(store.Tx) error) {
	l.t.Helper()
	if err := l.store.Update(context.Background(), fn); err != nil {
		l.t.Fatal(err)
	}
}

func (l *ledger) view(fn func(store.Reader) error) {
	l.t.Helper()
	if err := l.store.View(context.Background(), fn); err != nil {
		l.t.Fatal(err)
	}
}

func (l *ledger) head() (m audit.Mark) {
	l.t.Helper()
	l.view(func(r store.Reader) (err error) { m, err = l.chain.Head(r); return err })
	return m
}

// run makes n entries, in transactions of up to four actions each.
func (l *ledger) run(n int) {
	l.t.Helper()
	for n > 0 {
		batch := min(n, 1+l.rng.IntN(4))
		n -= batch
		l.now = l.now.Add(time.Millisecond)
		l.update(func(tx store.Tx) error {
			head, err := l.chain.Head(tx)
			if err != nil {
				return err
			}
			l.batch = l.chain.Batch(head)
			for range batch {
				e, writes := l.action()
				if err := l.commit(tx, e, writes); err != nil {
					return err
				}
			}
			if l.together {
				_, err = l.batch.Seal(tx)
			}
			return errors.Join(err, tx.Put(prefix+"head", []byte(l.now.String())))
		})
	}
}

// commit writes what one action wrote, with its entry.
func (l *ledger) commit(tx store.Tx, e audit.Entry, writes map[string][]byte) error {
	for _, k := range slices.Sorted(maps.Keys(writes)) {
		var err error
		old, gerr := tx.Get(k)
		if v := writes[k]; v == nil {
			err = tx.Delete(k)
		} else {
			if gerr == nil && !bytes.Equal(old, v) {
				l.past[k] = old
			}
			err = tx.Put(k, v)
		}
		if err != nil {
			return err
		}
	}
	e.Records = records(l.chain, writes)
	seq, err := l.append(tx, e)
	for k, v := range writes {
		l.writer[k] = seq
		if v == nil {
			l.gone[k] = seq
			delete(l.writer, k)
			delete(l.past, k)
		}
	}
	return err
}

// append adds an entry, and returns its sequence.
func (l *ledger) append(tx store.Tx, e audit.Entry) (uint64, error) {
	if l.together {
		err := l.batch.Add(tx, &e)
		return l.batch.Seq(), err
	}
	if err := l.chain.Append(tx, e); err != nil {
		return 0, err
	}
	m, err := l.chain.Head(tx)
	return m.Seq, err
}

// action draws what one action of an engine writes.
func (l *ledger) action() (audit.Entry, map[string][]byte) {
	if l.rng.IntN(20) == 0 {
		return audit.Entry{At: l.now, Event: "freeze", Who: "outgo_admin123", Note: "agent=bot"},
			map[string][]byte{prefix + "control": fmt.Appendf([]byte{1}, `{"revision":%d}`, l.rng.Uint32())}
	}
	writes := make(map[string][]byte)
	r, from, event := l.newRequest(), spend.State(""), "authorize"
	if n := len(l.open); n > 0 && l.rng.IntN(2) == 0 {
		i := l.rng.IntN(n)
		r, from, event = l.open[i], l.open[i].State, "settle"
		l.open = slices.Delete(l.open, i, i+1)
		r.State, r.Transitions = spend.Settled, r.Transitions+1
		r.Receipts = append(r.Receipts, spend.Receipt{Source: spend.FromWire, TransactionID: fmt.Sprintf("pi_%d", l.rng.Uint32()), At: l.now})
		writes[prefix+"open/"+string(r.ID)] = nil
		writes[prefix+"reply/"+string(r.ID)] = []byte("sealed elsewhere")
	} else {
		l.open = append(l.open, r)
		writes[prefix+"open/"+string(r.ID)] = []byte(r.ID)
		writes[prefix+"dedup/"+r.Intent.DedupKey] = []byte(r.ID)
	}
	b, err := json.Marshal(r)
	if err != nil {
		l.t.Fatal(err)
	}
	writes[prefix+"request/"+string(r.ID)] = append([]byte{1}, b...)
	writes[prefix+"bud/p1/USD/day/20261121"] = fmt.Appendf([]byte{1}, "%d %d", l.rng.Uint32(), l.rng.Uint32())
	return audit.Of(l.now, event, "bot", from, r), writes
}

func (l *ledger) newRequest() *spend.Request {
	id := spend.ID(fmt.Sprintf("018f0000-0000-7000-8000-%012x", l.rng.Uint64()&0xffffffffffff))
	return &spend.Request{
		ID: id, Origin: spend.Wire, Enforcement: spend.Wired, State: spend.Executing, Created: l.now, Changed: l.now,
		Intent: spend.Intent{
			Agent: "bot", Rail: "stripe", Class: spend.Spend, Operation: "charges.create", Network: "stripe",
			Legs:     []spend.Leg{{Kind: spend.Charge, Amount: spend.NewAmount("USD", int64(l.rng.IntN(5000)))}},
			DedupKey: fmt.Sprintf("%016x", l.rng.Uint64()), Fingerprint: fmt.Sprintf("%064x", l.rng.Uint64()),
		},
		Verdict: spend.Verdict{
			Decision: spend.Allow, Code: spend.OK, At: l.now,
			Policies: []spend.PolicyRef{{ID: "018f0000-0000-7000-8000-00000000beef", Name: "default", Version: 3}},
		},
	}
}

// keys returns every key of the ledger's values that the chain covers.
func (l *ledger) keys() []string { return slices.Sorted(maps.Keys(covered(l.writer))) }

func covered(all map[string]uint64) map[string]uint64 {
	out := maps.Clone(all)
	maps.DeleteFunc(out, func(k string, _ uint64) bool { return strings.HasPrefix(k, prefix+"reply/") })
	return out
}

// dump reads the whole store.
func (l *ledger) dump() map[string][]byte {
	l.t.Helper()
	out := make(map[string][]byte)
	l.view(func(r store.Reader) error {
		all, err := r.Scan("", "", false, 1<<20)
		for _, en := range all {
			out[en.Key] = en.Value
		}
		return err
	})
	return out
}

var errUndo = errors.New("undo")

// damaged returns what a verification finds after damage, which is undone.
func (l *ledger) damaged(scope audit.Scope, damage func(store.Tx)) (rep audit.Report) {
	l.t.Helper()
	err := l.store.Update(context.Background(), func(tx store.Tx) (err error) {
		damage(tx)
		if rep, err = l.verify(tx, scope); err != nil {
			return err
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		l.t.Fatal(err)
	}
	return rep
}

// verify verifies with a chain that has seen nothing yet, as after a start.
func (l *ledger) verify(r store.Reader, scope audit.Scope) (audit.Report, error) {
	return newChain(1).Verify(context.Background(), r, scope)
}

// check verifies the store as it is.
func (l *ledger) check(scope audit.Scope) (rep audit.Report) {
	l.t.Helper()
	l.view(func(r store.Reader) (err error) { rep, err = l.verify(r, scope); return err })
	return rep
}

// whole is the scope of a ledger that was anchored where it stands.
func (l *ledger) whole() audit.Scope { return audit.Scope{Whole: true, Anchor: l.head()} }

func (l *ledger) sound(scope audit.Scope) {
	l.t.Helper()
	if rep := l.check(scope); !rep.Sound() {
		l.t.Fatalf("an honest ledger is %s", rep.String())
	}
}

func get(t testing.TB, r store.Reader, key string) []byte {
	t.Helper()
	v, err := r.Get(key)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return v
}

func put(t testing.TB, tx store.Tx, key string, value []byte) {
	t.Helper()
	if err := tx.Put(key, value); err != nil {
		t.Fatal(err)
	}
}

func del(t testing.TB, tx store.Tx, key string) {
	t.Helper()
	if err := tx.Delete(key); err != nil {
		t.Fatal(err)
	}
}

// records are what to record of the writes of one action, of which a nil value is
// a deletion.
func records(c *audit.Chain, writes map[string][]byte) (rs []audit.Record) {
	for k, v := range writes {
		if r, covered := c.Record(k, v); covered {
			rs = append(rs, r)
		}
	}
	audit.Sort(rs)
	return rs
}
