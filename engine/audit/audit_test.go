package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

func TestAnHonestLedgerIsSound(t *testing.T) {
	for seed := range uint64(5) {
		l := newLedger(t, 100+seed)
		l.run(int(40 * seed))
		for _, whole := range []bool{true, false} {
			scope := l.whole()
			scope.Whole = whole
			l.sound(scope)
		}
		l.run(70) // a crash leaves the anchor behind the head
		if seed > 0 {
			behind := audit.Scope{Whole: true, Anchor: l.whole().Anchor}
			behind.Anchor.Seq, behind.Anchor.Hash = 33, l.hashAt(33)
			l.sound(behind)
			behind.Whole = false
			l.sound(behind)
		}
		rep := l.check(l.whole())
		if rep.Entries != l.head().Seq || rep.Values != uint64(len(l.keys())) || rep.Err() != nil || !strings.HasPrefix(rep.String(), "sound") {
			t.Errorf("%s, want %d entries and %d values", rep.String(), l.head().Seq, len(l.keys()))
		}
	}
}

// Several actions in one transaction each add to the chain, and one that is not
// committed leaves no trace in it.
func TestTheChainIsInTheStoreAlone(t *testing.T) {
	l := newLedger(t, 1)
	l.run(10)
	before := l.head()
	l.damaged(l.whole(), func(tx store.Tx) {
		for range 3 {
			if err := l.chain.Append(tx, audit.Entry{At: l.now, Event: "lost"}); err != nil {
				t.Fatal(err)
			}
		}
	})
	if got := l.head(); got != before {
		t.Fatalf("the head moved to %d by what was never committed", got.Seq)
	}
	l.update(func(tx store.Tx) error {
		for i := range 3 {
			if err := l.chain.Append(tx, audit.Entry{At: l.now, Event: fmt.Sprint("kept ", i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if got := l.head(); got.Seq != before.Seq+3 {
		t.Fatalf("the head is at %d, want %d", got.Seq, before.Seq+3)
	}
	l.sound(l.whole())
}

func TestAppendRefuses(t *testing.T) {
	l := newLedger(t, 1)
	l.run(5)
	for name, c := range map[string]struct {
		before func(store.Tx)
		e      audit.Entry
		want   error
	}{
		"an entry without a time": {e: audit.Entry{Event: "x"}, want: spend.Invalid},
		"a time beyond what the form holds": {
			e: audit.Entry{At: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)}, want: spend.Invalid,
		},
		"a negative version": {
			e: audit.Entry{At: noon, Policies: []spend.PolicyRef{{ID: "p", Version: -1}}}, want: spend.Invalid,
		},
		"a version that is too large": {
			e: audit.Entry{At: noon, Policies: []spend.PolicyRef{{ID: "p", Version: math.MaxInt}}}, want: spend.Invalid,
		},
		"a head that somebody else wrote": {
			before: func(tx store.Tx) {
				put(t, tx, l.chain.HeadKey(), bytes.Replace(get(t, tx, l.chain.HeadKey()), []byte{6}, []byte{5}, 1))
			},
			e: audit.Entry{At: noon}, want: audit.ErrBroken,
		},
		"a head that cannot be read": {
			before: func(tx store.Tx) { put(t, tx, l.chain.HeadKey(), []byte("?")) },
			e:      audit.Entry{At: noon}, want: audit.ErrBroken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := l.store.Update(context.Background(), func(tx store.Tx) error {
				if c.before != nil {
					c.before(tx)
				}
				return errors.Join(l.chain.Append(tx, c.e), errUndo)
			})
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestStart(t *testing.T) {
	t.Run("a chain is started once", func(t *testing.T) {
		l := newLedger(t, 1)
		l.update(func(tx store.Tx) error { return l.chain.Start(tx, l.now, "again") })
		if got := l.head().Seq; got != 1 {
			t.Errorf("the head is at %d, want 1", got)
		}
	})
	t.Run("what is not covered does not count", func(t *testing.T) {
		l := newLedgerless(t)
		l.update(func(tx store.Tx) error {
			return errors.Join(tx.Put(prefix+"head", []byte("x")), tx.Put("v1/other/request/1", []byte("x")), l.chain.Start(tx, noon, ""))
		})
		l.sound(l.whole())
	})
	t.Run("a ledger that has values is not taken for a new one", func(t *testing.T) {
		l := newLedgerless(t)
		err := l.store.Update(context.Background(), func(tx store.Tx) error {
			return errors.Join(tx.Put(prefix+"policy/1", []byte("x")), l.chain.Start(tx, noon, ""))
		})
		if !errors.Is(err, audit.ErrNoChain) || !errors.Is(err, audit.ErrBroken) {
			t.Errorf("got %v, want ErrNoChain", err)
		}
	})
}

// An action that writes thousands of values, as a new policy does, makes several
// entries, none of which is too large for a store.
func TestLargeActionsAreContinued(t *testing.T) {
	l := newLedger(t, 1)
	writes := make(map[string][]byte)
	for i := range 3000 {
		writes[fmt.Sprintf("%srequest/018f0000-0000-7000-8000-%012d", prefix, i)] = fmt.Append(nil, i)
	}
	l.update(func(tx store.Tx) error {
		for k, v := range writes {
			put(t, tx, k, v)
		}
		return l.chain.Append(tx, audit.Entry{At: noon, Event: "policy", Who: "outgo_admin123", Records: records(l.chain, writes)})
	})
	if got := l.head().Seq; got < 4 || got > 8 {
		t.Errorf("3000 records made %d entries", got-1)
	}
	l.view(func(r store.Reader) error {
		for e, err := range l.chain.Entries(r, 2) {
			b, eerr := e.Encode()
			if err != nil || eerr != nil || len(b) > 100<<10 || e.Who != "outgo_admin123" || (e.Seq > 2) != (e.Event == audit.Continued) {
				t.Errorf("entry %d: %v %v, %d bytes, %s by %s", e.Seq, err, eerr, len(b), e.Event, e.Who)
			}
		}
		return nil
	})
	if rep := l.check(l.whole()); !rep.Sound() || rep.Values != 3000 {
		t.Error(rep.String())
	}
}

func TestAVerificationEndsWithItsContext(t *testing.T) {
	l := newLedger(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.view(func(r store.Reader) error {
		if _, err := l.chain.Verify(ctx, r, audit.Scope{Whole: true}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		return nil
	})
}

// A report on a ledger that is wrong all over stays small, counts all, and
// still begins with the first bad entry.
func TestAReportIsBounded(t *testing.T) {
	l := newLedger(t, 9)
	l.run(700)
	rep := l.damaged(l.whole(), func(tx store.Tx) {
		for n := uint64(701); n > 3; n-- {
			put(t, tx, l.chain.EntryKey(n), []byte("?"))
		}
	})
	if len(rep.Faults) != 100 || len(rep.Faults)+rep.More < 698 || rep.Faults[0].Seq != 4 || !strings.Contains(rep.String(), "and ") {
		t.Errorf("%d faults and %d more, the first at %d", len(rep.Faults), rep.More, rep.Faults[0].Seq)
	}
}

// drawEntry draws any entry that can be stored.
func drawEntry(t *rapid.T) audit.Entry {
	id := string(spend.NewID(time.Now()))
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		id, strings.ToUpper(id), strings.Repeat("0f", 32), "request/" + id, "a/b/" + strings.Repeat("0f", 32), "/", "a/", "/a", "//", "0123456789abcdef/",
	}))
	hash := func(label string) (h audit.Hash) {
		if rapid.Bool().Draw(t, label+" is there") {
			h = audit.Sum([]byte(text.Draw(t, label)))
		}
		return h
	}
	e := audit.Entry{
		Seq: rapid.Uint64().Draw(t, "seq"), At: time.Unix(0, rapid.Int64().Draw(t, "at")).UTC(),
		Event: text.Draw(t, "event"), Request: spend.ID(text.Draw(t, "request")), From: spend.State(text.Draw(t, "from")),
		To: spend.State(text.Draw(t, "to")), Who: text.Draw(t, "who"), Why: spend.Code(text.Draw(t, "why")), Note: text.Draw(t, "note"),
		Fingerprint: text.Draw(t, "fingerprint"), Reply: hash("reply"), Receipt: hash("receipt"), Prev: hash("prev"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "policies") {
		e.Policies = append(e.Policies, spend.PolicyRef{ID: spend.ID(text.Draw(t, "id")), Name: text.Draw(t, "name"), Version: rapid.IntRange(0, 1<<31-1).Draw(t, "version")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "amounts") {
		e.Amounts = append(e.Amounts, text.Draw(t, "amount"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "records") {
		e.Records = append(e.Records, audit.Record{Key: text.Draw(t, "key"), Digest: hash("digest")})
	}
	return e
}

func TestEntriesReadBackAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t)
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := audit.Decode(b)
		if err != nil || !reflect.DeepEqual(got, e) || !got.Check() {
			t.Fatalf("%+v\nreads back as\n%+v, %v", e, got, err)
		}
	})
}

// No two entries have the same stored form: whatever field changes, the hash
// does, wherever the boundaries between fields fall.
func TestEveryFieldIsUnderTheHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawEntry(t), drawEntry(t)
		if rapid.Bool().Draw(t, "differ in boundaries only") {
			b = a
			cut := rapid.IntRange(0, len(a.Event)).Draw(t, "cut")
			b.Event, b.Request = a.Event[:cut], spend.ID(a.Event[cut:])+a.Request
		}
		_, errA := a.Encode()
		_, errB := b.Encode()
		ha, hb := a.Hash, b.Hash
		a.Hash, b.Hash = audit.Hash{}, audit.Hash{}
		if errA != nil || errB != nil || reflect.DeepEqual(a, b) != (ha == hb) {
			t.Fatalf("%v %v: %s and %s for\n%+v\n%+v", errA, errB, ha, hb, a, b)
		}
	})
}

func TestAnEntryHasOneForm(t *testing.T) {
	e := audit.Entry{Seq: 7, At: noon, Event: "settle", Receipt: audit.Sum(nil)}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	digest := bytes.Index(b, e.Receipt[:])
	e.Policies = []spend.PolicyRef{{Version: math.MaxInt32}}
	version, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	version = bytes.Replace(version, []byte{0xff, 0xff, 0xff, 0xff, 7}, []byte{0xff, 0xff, 0xff, 0xff, 8}, 1)
	e.Policies, e.Fingerprint, e.Records = nil, strings.Repeat("0f", 8), []audit.Record{{Key: "ab/c"}}
	compact, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	instead := func(was, is string) []byte {
		if !bytes.Contains(compact, []byte(was)) {
			t.Fatalf("%q is not in %q", was, compact)
		}
		return bytes.Replace(compact, []byte(was), []byte(is), 1)
	}
	for name, bad := range map[string][]byte{
		"a digest that is written out":     instead("\x19"+strings.Repeat("\x0f", 8), "\x30"+e.Fingerprint),
		"a key that is not cut":            instead("\x09ab/\x03c", "\x0cab/c\x00"),
		"a key that is cut elsewhere":      instead("\x09ab/\x03c", "\x06ab\x06/c"),
		"nothing":                          {},
		"another format":                   append([]byte{1}, b[1:]...),
		"a number longer than it need be":  append([]byte{2, 7 | 0x80, 0}, b[2:]...),
		"a digest of nothing but noughts":  append(append(bytes.Clone(b[:digest]), make([]byte, 32)...), b[digest+32:]...),
		"a digest that is short":           append(append(bytes.Clone(b[:digest-1]), 31), b[digest+1:]...),
		"something left over":              append(bytes.Clone(b), 0),
		"an end that comes too early":      b[:len(b)-1],
		"more items than there are bytes":  append(append(bytes.Clone(b[:digest+32]), 0xff, 0x7f), e.Hash[:]...),
		"a number without an end":          {2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a version that no machine can do": version,
	} {
		if got, err := audit.Decode(bad); err == nil {
			t.Errorf("%s is read as %+v", name, got)
		}
	}
}

// Whatever is in the place of an entry or of a mark is read or refused, and what
// is read has no other form.
func FuzzDecode(f *testing.F) {
	e := audit.Of(noon, "settle", "bot", spend.Executing, &spend.Request{
		ID: "018f0000-0000-7000-8000-000000000001", State: spend.Settled,
		Intent:   spend.Intent{Legs: []spend.Leg{{Amount: spend.NewAmount("USD", 5)}}, Fingerprint: strings.Repeat("0f", 32)},
		Verdict:  spend.Verdict{Policies: []spend.PolicyRef{{ID: "p", Name: "default", Version: 300}}},
		Receipts: []spend.Receipt{{Source: spend.FromWire, TransactionID: "pi_1"}},
	})
	e.Records = []audit.Record{{Key: "request/018f0000-0000-7000-8000-000000000001", Digest: audit.Sum(nil)}, {Key: "open/1"}, {Key: "head"}}
	b, err := e.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{1, 0x80, 0})
	l := newLedger(f, 1)
	l.view(func(r store.Reader) error { f.Add(get(f, r, l.chain.HeadKey())); return nil })
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := audit.Decode(b); err == nil {
			sound := e.Check()
			again, err := e.Encode()
			if err != nil || len(again) != len(b) || sound != bytes.Equal(again, b) || !bytes.Equal(again[:len(b)-32], b[:len(b)-32]) {
				// The text of who and note is made valid when it is written.
				if err == nil && (strings.Contains(e.Who, "\uFFFD") || strings.Contains(e.Note, "\uFFFD")) {
					return
				}
				t.Fatalf("%x\nreads as %+v, which is written\n%x, %v", b, e, again, err)
			}
		}
		if m, again, err := audit.DecodeMark(b); err == nil && !bytes.Equal(again, b) {
			t.Fatalf("%x\nreads as %+v, which is written\n%x", b, m, again)
		}
	})
}

// Whatever is put in place of one key, a verification ends, and it finds
// everything that is not what was there before.
func FuzzVerify(f *testing.F) {
	l := newLedger(f, 5)
	l.run(30)
	l.together = true
	l.run(40)
	scope, keys := l.whole(), []string{l.chain.HeadKey(), l.chain.MarkKey(32)}
	keys = append(keys, l.keys()...)
	at := l.dump()
	for _, k := range slices.Sorted(maps.Keys(at)) {
		if strings.HasPrefix(k, prefix+"audit/") {
			keys = append(keys, k)
		}
	}
	for i, k := range keys {
		f.Add(uint16(i), at[k])
		f.Add(uint16(i), []byte{})
	}
	f.Fuzz(func(t *testing.T, i uint16, b []byte) {
		l := *l
		l.t = t
		key := keys[int(i)%len(keys)]
		rep := l.damaged(scope, func(tx store.Tx) { put(t, tx, key, b) })
		if same := bytes.Equal(b, at[key]); rep.Sound() != same {
			t.Fatalf("%s is %x, was %x: %s", key, b, at[key], rep.String())
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l := newLedger(b, 1)
	l.run(200)
	r := l.newRequest()
	value := bytes.Repeat([]byte("x"), 1800) // a request
	writes := map[string][]byte{
		prefix + "request/" + string(r.ID): value, prefix + "bud/p1/USD/day/20261121": []byte("\x010 5000"),
		prefix + "bud/p1/USD/month/202611": []byte("\x010 5000"), prefix + "bud/p1/ring/minute": value[:200],
		prefix + "bud/p1/ring/hour": value[:200], prefix + "dedup/" + r.Intent.DedupKey: value[:140],
		prefix + "print/bot/" + r.Intent.Fingerprint: []byte(r.ID), prefix + "open/00000000000000000001": []byte(r.ID),
		prefix + "sequence/00000000000000000001": []byte(r.ID),
	}
	tx := &memory{m: map[string][]byte{}}
	var size int
	b.ReportAllocs()
	for b.Loop() {
		e := audit.Of(l.now, "authorize", "bot", "", r)
		e.Records = records(l.chain, writes)
		if err := l.chain.Append(tx, e); err != nil {
			b.Fatal(err)
		}
		size = len(tx.last)
	}
	b.ReportMetric(float64(size), "bytes/entry")
}

// memory is an overlay without a store below.
type memory struct {
	m    map[string][]byte
	last []byte // last entry
}

func (t *memory) Get(key string) ([]byte, error) {
	if v, ok := t.m[key]; ok {
		return v, nil
	}
	return nil, store.ErrNotFound
}

func (t *memory) Put(key string, v []byte) error {
	if strings.HasPrefix(key, prefix+"audit/") {
		t.last = v
		return nil
	}
	t.m[key] = v
	return nil
}

func (t *memory) Delete(key string) error                                { delete(t.m, key); return nil }
func (t *memory) Scan(_, _ string, _ bool, _ int) ([]store.Entry, error) { return nil, nil }

func BenchmarkVerify(b *testing.B) {
	l := newLedger(b, 1)
	l.run(4999)
	scope := l.whole()
	l.chain.Fine(1024, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		l.view(func(r store.Reader) error {
			rep, err := l.chain.Verify(context.Background(), r, scope)
			if err == nil && !rep.Sound() {
				b.Fatal(rep.String())
			}
			return err
		})
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/5000, "µs/entry")
}
