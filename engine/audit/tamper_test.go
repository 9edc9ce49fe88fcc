package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/store"
)

// A found is what a verification must say first.
type found struct {
	kind audit.FaultKind
	seq  uint64
	text string // part of it
}

// A forger damages ledgers at random. It can write every byte of the database,
// and knows everything but the key and the anchor.
type forger struct {
	*ledger
	rng   *rand.Rand
	end   uint64
	heads map[uint64][]byte            // as they stood, by sequence
	back  map[uint64]map[string][]byte // the whole store as it stood, for some
}

func (f *forger) entry() uint64 { return 1 + f.rng.Uint64N(f.end) }

func (f *forger) value() string {
	ks := f.keys()
	return ks[f.rng.IntN(len(ks))]
}

func (f *forger) flip(tx store.Tx, key string) {
	put(f.t, tx, key, f.flipped(get(f.t, tx, key)))
}

func (f *forger) flipped(v []byte) []byte {
	v = bytes.Clone(v)
	v[f.rng.IntN(len(v))] ^= 1 << f.rng.IntN(8)
	return v
}

// place returns the key that an entry stands under, the stored forms of all that do,
// and its number among them.
func (f *forger) place(tx store.Tx, seq uint64) (key string, forms [][]byte, i int) {
	for first := seq; first > 0; first-- {
		value, err := tx.Get(f.chain.EntryKey(first))
		if err != nil {
			continue
		}
		if forms, err = audit.Forms(value); err != nil {
			f.t.Fatal(err)
		}
		return f.chain.EntryKey(first), forms, int(seq - first)
	}
	f.t.Fatalf("entry %d is not there", seq)
	return "", nil, 0
}

// form is the stored form of an entry.
func (f *forger) form(tx store.Tx, seq uint64) []byte {
	_, forms, i := f.place(tx, seq)
	return forms[i]
}

// set puts a form in place of an entry's; nil takes it out.
func (f *forger) set(tx store.Tx, seq uint64, form []byte) {
	key, forms, i := f.place(tx, seq)
	if forms[i] = form; len(bytes.Join(forms, nil)) == 0 {
		del(f.t, tx, key)
		return
	}
	put(f.t, tx, key, bytes.Join(forms, nil))
}

// cut takes entries out.
func (f *forger) cut(tx store.Tx, from, to uint64) {
	for seq := to; seq >= from; seq-- {
		f.set(tx, seq, nil)
	}
}

// missing is what must be found where entries were taken out: among others of one
// key, the one behind them stands in their place.
func (f *forger) missing(seq uint64) found {
	if f.together {
		return found{"", seq, ""}
	}
	return found{audit.EntryMissing, seq, "missing"}
}

// forge replaces an entry by another with a sound hash, and returns that hash.
func (f *forger) forge(tx store.Tx, seq uint64, prev *audit.Hash) audit.Hash {
	e, err := audit.Decode(f.form(tx, seq))
	if err != nil {
		f.t.Fatal(err)
	}
	e.Note = "nothing happened here"
	if prev != nil {
		e.Prev = *prev
	}
	b, err := e.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	f.set(tx, seq, b)
	return e.Hash
}

// restore sets the store back to an earlier state.
func (f *forger) restore(tx store.Tx, to map[string][]byte) {
	for k, v := range f.dump() {
		if was, ok := to[k]; !ok {
			del(f.t, tx, k)
		} else if !bytes.Equal(was, v) {
			put(f.t, tx, k, was)
		}
	}
	for k, v := range to {
		put(f.t, tx, k, v)
	}
}

// damages are the ways of the forger. Each returns what must be found.
func (f *forger) damages() map[string]func(store.Tx) found {
	c := f.chain
	return map[string]func(store.Tx) found{
		"a bit of an entry flips": func(tx store.Tx) found {
			n := f.entry()
			f.set(tx, n, f.flipped(f.form(tx, n)))
			return found{audit.EntryAltered, n, fmt.Sprintf("entry %d", n)}
		},
		"a bit of a value flips": func(tx store.Tx) found {
			k := f.value()
			f.flip(tx, k)
			return found{audit.ValueAltered, f.writer[k], "was altered after entry"}
		},
		"a bit of the head flips": func(tx store.Tx) found {
			f.flip(tx, c.HeadKey())
			return found{audit.HeadBad, 0, "head"}
		},
		"a bit of a checkpoint flips": func(tx store.Tx) found {
			n := 32 * (1 + f.rng.Uint64N(f.end/32))
			f.flip(tx, c.MarkKey(n))
			return found{audit.CheckpointBad, n, "was altered"}
		},
		"entries are deleted": func(tx store.Tx) found {
			n := f.entry()
			last := min(f.end, n+f.rng.Uint64N(5))
			f.cut(tx, n, last)
			return f.missing(n)
		},
		"a value is deleted": func(tx store.Tx) found {
			k := f.value()
			del(f.t, tx, k)
			return found{audit.ValueMissing, f.writer[k], "is missing"}
		},
		"a checkpoint is deleted": func(tx store.Tx) found {
			n := 32 * (1 + f.rng.Uint64N(f.end/32))
			del(f.t, tx, c.MarkKey(n))
			return found{audit.CheckpointBad, n, "is missing"}
		},
		"the chain is cut": func(tx store.Tx) found {
			n := f.entry()
			f.cut(tx, n, f.end)
			return f.missing(n)
		},
		"the chain is cut, with an old head put in place": func(tx store.Tx) found {
			n := f.someHead()
			f.cut(tx, n+1, f.end)
			put(f.t, tx, c.HeadKey(), f.heads[n])
			return found{audit.RolledBack, n + 1, fmt.Sprintf("ends at entry %d but was at entry %d", n, f.end)}
		},
		"an old head alone is put in place": func(tx store.Tx) found {
			n := f.someHead()
			put(f.t, tx, c.HeadKey(), f.heads[n])
			return found{"", n + 1, ""} // said twice, in either order
		},
		"two entries are swapped": func(tx store.Tx) found {
			a, b := f.entry(), f.entry()
			for a == b {
				b = f.entry()
			}
			va, vb := f.form(tx, a), f.form(tx, b)
			f.set(tx, a, vb)
			f.set(tx, b, va)
			return found{audit.EntryMisplaced, min(a, b), "stands in its place"}
		},
		"two values are swapped": func(tx store.Tx) found {
			a := f.value()
			b := f.value()
			for bytes.Equal(get(f.t, tx, a), get(f.t, tx, b)) {
				b = f.value()
			}
			va, vb := get(f.t, tx, a), get(f.t, tx, b)
			put(f.t, tx, a, vb)
			put(f.t, tx, b, va)
			return found{audit.ValueAltered, min(f.writer[a], f.writer[b]), "was altered after entry"}
		},
		"one value is set back": func(tx store.Tx) found {
			ks := slices.Sorted(maps.Keys(f.past))
			k := ks[f.rng.IntN(len(ks))]
			put(f.t, tx, k, f.past[k])
			return found{audit.ValueAltered, f.writer[k], "was altered after entry"}
		},
		"the ledger is set back": func(tx store.Tx) found {
			ns := slices.Sorted(maps.Keys(f.back))
			n := ns[f.rng.IntN(len(ns))]
			f.restore(tx, f.back[n])
			return found{audit.RolledBack, n + 1, "rolled back"}
		},
		"a request is put there": func(tx store.Tx) found {
			put(f.t, tx, prefix+"request/018f0000-dead", []byte("\x01{}"))
			return found{audit.ValueUnknown, 0, "no entry recorded it"}
		},
		"a deleted value is put back": func(tx store.Tx) found {
			ks := slices.Sorted(maps.Keys(f.gone))
			k := ks[f.rng.IntN(len(ks))]
			put(f.t, tx, k, []byte(k))
			return found{audit.ValueUnknown, f.gone[k], "put back"}
		},
		"the beginning is forged": func(tx store.Tx) found {
			h := audit.Sum(nil)
			f.forge(tx, 1, &h)
			return found{audit.EntryReplaced, 1, "not the beginning"}
		},
		"a checkpoint is put in place of the head": func(tx store.Tx) found {
			n := 32 * (1 + f.rng.Uint64N(f.end/32))
			put(f.t, tx, c.HeadKey(), get(f.t, tx, c.MarkKey(n)))
			return found{audit.HeadBad, 0, "was altered"}
		},
		"an entry is forged": func(tx store.Tx) found {
			n := 1 + f.rng.Uint64N(f.end-1)
			if n%32 == 0 {
				n++
			}
			f.forge(tx, n, nil)
			return found{audit.EntryReplaced, n, "was replaced"}
		},
		"all entries from one on are forged": func(tx store.Tx) found {
			n := f.entry()
			h := f.forge(tx, n, nil)
			for i := n + 1; i <= f.end; i++ {
				h = f.forge(tx, i, &h)
			}
			return found{"", min(f.end, (n+31)/32*32), "was replaced"}
		},
		"an entry is put behind the end": func(tx store.Tx) found {
			n := f.end + 1 + f.rng.Uint64N(9)
			put(f.t, tx, c.EntryKey(n), f.form(tx, f.entry()))
			return found{audit.EntryBeyond, n, "behind the chain's end"}
		},
		"an entry is put behind the last of its key": func(tx store.Tx) found {
			key, forms, _ := f.place(tx, f.end)
			put(f.t, tx, key, bytes.Join(append(forms, f.form(tx, f.entry())), nil))
			return found{audit.EntryBeyond, f.end + 1, "behind the chain's end"}
		},
		"an entry is put a second time": func(tx store.Tx) found {
			n := f.entry()
			_, forms, i := f.place(tx, n)
			for f.together && i == 0 {
				n = f.entry()
				_, forms, i = f.place(tx, n)
			}
			if i > 0 {
				put(f.t, tx, c.EntryKey(n), forms[i])
			} else {
				put(f.t, tx, c.EntryKey(n), append(bytes.Clone(forms[0]), forms[0]...))
				n++ // stands in its place
			}
			return found{"", n, ""}
		},
		"a key has no entry": func(tx store.Tx) found {
			n := f.entry()
			key, _, i := f.place(tx, n)
			put(f.t, tx, key, nil)
			return found{audit.EntryAltered, n - uint64(i), "cannot be read"}
		},
	}
}

// someHead draws an entry at which a transaction ended, but not the last.
func (f *forger) someHead() uint64 {
	ns := slices.Sorted(maps.Keys(f.heads))
	return ns[f.rng.IntN(len(ns)-1)]
}

func newForger(t *testing.T, seed uint64, together bool) *forger {
	f := &forger{ledger: newLedger(t, seed), rng: rand.New(rand.NewPCG(seed, 11)), heads: map[uint64][]byte{}, back: map[uint64]map[string][]byte{}}
	f.together = together
	for i := range 60 {
		f.run(1 + f.rng.IntN(4))
		f.end = f.head().Seq
		f.view(func(r store.Reader) error { f.heads[f.end] = get(t, r, f.chain.HeadKey()); return nil })
		if i%20 == 7 {
			f.back[f.end] = f.dump()
		}
	}
	f.sound(f.whole())
	return f
}

// first reports whether want is among what is said of the first bad place.
func first(rep audit.Report, want found) bool {
	return slices.ContainsFunc(rep.Faults, func(g audit.Fault) bool {
		return g.Seq == want.seq && g.Seq == rep.Faults[0].Seq && (want.kind == "" || g.Kind == want.kind) && strings.Contains(g.Text, want.text)
	})
}

// Whatever a forger without the key does to the database is found, and the
// first bad entry is named.
func TestEveryDamageIsFound(t *testing.T) {
	const rounds = 16 // of 24 damages each
	eitherWay(t, 1, func(t *testing.T, f *forger) {
		damages, scope := f.damages(), f.whole()
		for _, name := range slices.Sorted(maps.Keys(damages)) {
			t.Run(name, func(t *testing.T) {
				for round := range rounds {
					var want found
					rep := f.damaged(scope, func(tx store.Tx) { want = damages[name](tx) })
					if !first(rep, want) {
						t.Fatalf("round %d: want %+v, got %s", round, want, rep.String())
					}
				}
			})
		}
		f.sound(scope)
	})
}

// eitherWay tests a ledger of which each entry has a key of its own, and one where
// those of a transaction share one.
func eitherWay(t *testing.T, seed uint64, test func(*testing.T, *forger)) {
	t.Helper()
	for name, together := range map[string]bool{"a key for each entry": false, "a key for each batch": true} {
		t.Run(name, func(t *testing.T) { test(t, newForger(t, seed, together)) })
	}
}

// A start looks at the entries since the last checkpoint, and at what these
// wrote. It finds what was done to those, and a ledger that was set back.
func TestAStartFindsDamageToWhatIsRecent(t *testing.T) { eitherWay(t, 2, startFindsDamage) }

func startFindsDamage(t *testing.T, f *forger) {
	scope := f.whole()
	scope.Whole = false
	last := f.end / 32 * 32
	if f.end == last {
		t.Fatal("the ledger ends at a checkpoint: choose another seed")
	}
	rep := f.check(scope)
	if !rep.Sound() || rep.Entries != f.end-last {
		t.Fatalf("%s, want the %d entries since the checkpoint", rep.String(), f.end-last)
	}
	var recent string
	for _, k := range f.keys() {
		if f.writer[k] > last {
			recent = k
		}
	}
	for name, damage := range map[string]func(store.Tx) found{
		"a recent entry is altered": func(tx store.Tx) found {
			f.set(tx, f.end, f.flipped(f.form(tx, f.end)))
			return found{audit.EntryAltered, f.end, "was altered"}
		},
		"a recent value is altered": func(tx store.Tx) found {
			f.flip(tx, recent)
			return found{audit.ValueAltered, f.writer[recent], "was altered"}
		},
		"a recent value is deleted": func(tx store.Tx) found {
			del(t, tx, recent)
			return found{audit.ValueMissing, f.writer[recent], "missing"}
		},
		"the last checkpoint is altered": func(tx store.Tx) found {
			f.flip(tx, f.chain.MarkKey(last))
			return found{audit.CheckpointBad, last, "was altered"}
		},
		"the ledger is set back": damageOf(f, "the ledger is set back"),
		"the head is altered":    damageOf(f, "a bit of the head flips"),
		"the chain is cut":       damageOf(f, "the chain is cut, with an old head put in place"),
	} {
		t.Run(name, func(t *testing.T) {
			var want found
			rep := f.damaged(scope, func(tx store.Tx) { want = damage(tx) })
			if !first(rep, want) {
				t.Errorf("want %+v, got %s", want, rep.String())
			}
		})
	}
	t.Run("an anchored entry before the checkpoint is altered", func(t *testing.T) {
		behind := scope
		behind.Anchor.Seq, behind.Anchor.Hash = last-3, f.hashAt(last-3)
		if rep := f.check(behind); !rep.Sound() {
			t.Fatal(rep.String())
		}
		rep := f.damaged(behind, func(tx store.Tx) { f.set(tx, last-3, f.flipped(f.form(tx, last-3))) })
		if rep.Sound() || rep.Faults[0].Seq != last-3 {
			t.Errorf("want entry %d, got %s", last-3, rep.String())
		}
		rep = f.damaged(behind, func(tx store.Tx) { f.set(tx, last-3, nil) })
		if rep.Sound() || !f.together && rep.Faults[0].Kind != audit.EntryMissing {
			t.Errorf("want entry %d missing, got %s", last-3, rep.String())
		}
	})
}

// Where entries were computed anew, the doubt goes back to the last place that a
// signed mark vouches for, the anchor's included.
func TestDoubtGoesBackToTheLastSignedMark(t *testing.T) { eitherWay(t, 6, doubtGoesBack) }

func doubtGoesBack(t *testing.T, f *forger) {
	scope := f.whole()
	scope.Anchor.Seq, scope.Anchor.Hash = 40, f.hashAt(40)
	rep := f.damaged(scope, func(tx store.Tx) { f.forge(tx, 50, nil) })
	if rep.Sound() || rep.Faults[0].Seq != 50 || rep.Faults[0].From != 41 || !strings.Contains(rep.Faults[0].Text, "back to entry 41") {
		t.Error(rep.String())
	}
	scope.Anchor.Seq, scope.Anchor.Hash = 70, f.hashAt(70)
	if rep = f.damaged(scope, func(tx store.Tx) { f.forge(tx, 50, nil) }); rep.Faults[0].From != 33 {
		t.Error(rep.String())
	}
}

func damageOf(f *forger, name string) func(store.Tx) found { return f.damages()[name] }

func (l *ledger) hashAt(seq uint64) (h audit.Hash) {
	l.view(func(r store.Reader) error {
		for e, err := range l.chain.Entries(r, seq) {
			h = e.Hash
			return err
		}
		return nil
	})
	return h
}

// What is said of a ledger that does not belong to its anchor or its key.
func TestAnotherLedgerIsToldApart(t *testing.T) {
	mine, other := newForger(t, 3, true), newForger(t, 4, true)
	scope := mine.whole()
	t.Run("of the same key", func(t *testing.T) {
		rep := other.check(scope)
		if rep.Sound() || rep.Faults[0].Kind != audit.OtherLedger || !strings.Contains(rep.Faults[0].Text, "another ledger") {
			t.Error(rep.String())
		}
	})
	t.Run("of another key", func(t *testing.T) {
		var rep audit.Report
		other.view(func(r store.Reader) (err error) {
			rep, err = newChain(2).Verify(context.Background(), r, scope)
			return err
		})
		if rep.Sound() || rep.Faults[0].Seq != 0 || !strings.Contains(rep.String(), "another key") || !strings.Contains(rep.String(), "another ledger") {
			t.Error(rep.String())
		}
	})
	t.Run("of which the end was written anew", func(t *testing.T) {
		// The same ledger, set back to before the anchor and then used again.
		again := mine.whole()
		again.Anchor.Hash[0]++
		rep := mine.check(again)
		if rep.Sound() || rep.Faults[0].Kind != audit.Parted || rep.Faults[0].Seq != mine.end {
			t.Error(rep.String())
		}
	})
	t.Run("of which nothing is left", func(t *testing.T) {
		empty := newLedgerless(t)
		rep := empty.check(scope)
		if rep.Sound() || rep.Faults[0].Kind != audit.RolledBack {
			t.Error(rep.String())
		}
	})
	t.Run("of which the chain was deleted", func(t *testing.T) {
		bare := newLedgerless(t)
		bare.update(func(tx store.Tx) error { return tx.Put(prefix+"request/1", []byte("x")) })
		rep := bare.check(scope)
		if rep.Sound() || rep.Faults[0].Kind != audit.NoChain {
			t.Error(rep.String())
		}
	})
}
