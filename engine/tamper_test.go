package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

// A victim is a real ledger with several lives behind it, and copies of how it
// stood after each.
type victim struct {
	t      *testing.T
	rng    *rand.Rand
	dir    string              // of the database and its anchor; closed
	now    map[string][]byte   // what the database holds
	past   []map[string][]byte // what it held after each earlier life
	copies []string            // its files then; the last one as a crash at the end would leave them
	writer map[string]uint64   // the last entry that recorded a key, without the prefix
	end    uint64              // the last entry
}

const workspace = "v1/main/"

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{t: t, rng: rand.New(rand.NewPCG(2026, 11)), dir: t.TempDir(), writer: make(map[string]uint64)}
	w := &world{t: t, flags: make(chan engine.Flagged, 64)}
	w.now.Store(noon.UnixNano())
	w.opt.AnchorPath = v.anchor(v.dir)
	for life := range 4 {
		st, err := badgerstore.Open(badgerstore.Options{Dir: filepath.Join(v.dir, "ledger")})
		if err != nil {
			t.Fatal(err)
		}
		w.store = st
		w.start()
		w.policies(daily())
		v.live(w, life)
		v.past = append(v.past, w.dump())
		if life == 3 {
			v.learn(w)
			v.copies = append(v.copies, v.copy(v.dir))
		}
		w.Engine.Close()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if life < 3 {
			v.copies = append(v.copies, v.copy(v.dir))
		}
	}
	// The crash came at the end, when the anchor stood where it stands.
	if err := os.Link(v.anchor(v.dir), v.anchor(v.copies[3])+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(v.anchor(v.copies[3])+".new", v.anchor(v.copies[3])); err != nil {
		t.Fatal(err)
	}
	v.now, v.past = v.past[3], v.past[:3]
	return v
}

func (v *victim) anchor(dir string) string { return filepath.Join(dir, "anchor") }

// live does what a day brings.
func (v *victim) live(w *world, life int) {
	v.t.Helper()
	for i := range 25 {
		key := fmt.Sprintf("%d-%d", life, i)
		switch v.rng.IntN(5) {
		case 0:
			w.authorize(charge(9000, key), spend.Refuse)
		case 1:
			w.freeze(engine.Freeze{Agent: "other" + key})
		default:
			cents := 1 + v.rng.Int64N(20)
			r := w.authorize(charge(cents, key), spend.Forward)
			o := paid(cents)
			o.Reply = []byte(`{"id":"` + key + `"}`)
			w.finish(r.ID, o)
		}
	}
}

// learn notes which entry recorded which key last.
func (v *victim) learn(w *world) {
	for _, e := range w.entries() {
		v.end = e.Seq
		for _, r := range e.Records {
			v.writer[r.Key] = e.Seq
		}
	}
}

// copy copies a ledger's directory with its anchor.
func (v *victim) copy(dir string) string {
	v.t.Helper()
	to := v.t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		v.t.Fatal(err)
	}
	return to
}

func (v *victim) pick(prefix string) string {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(v.now)) {
		if strings.HasPrefix(k, workspace+prefix) && len(v.now[k]) > 0 {
			keys = append(keys, k)
		}
	}
	return keys[v.rng.IntN(len(keys))]
}

// value picks a value that an entry has recorded.
func (v *victim) value() string {
	for {
		k := v.pick("")
		if v.writer[strings.TrimPrefix(k, workspace)] > 0 {
			return k
		}
	}
}

// wrote is the entry to be named for a key: the one that it is, or that recorded
// it; 0 for what is of the chain as a whole.
func (v *victim) wrote(key string) uint64 {
	key = strings.TrimPrefix(key, workspace)
	if seq, ok := strings.CutPrefix(key, "audit/"); ok {
		n, err := strconv.ParseUint(seq, 10, 64)
		if err != nil {
			v.t.Fatal(err)
		}
		return n
	}
	return v.writer[key]
}

func (v *victim) flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[v.rng.IntN(len(b))] ^= 1 << v.rng.IntN(8)
	return b
}

// logical returns a kind of damage written through the database: what the values
// become, nil for a deletion, and the entry that must be named first.
func (v *victim) logical(kind int) (name string, to map[string][]byte, first uint64) {
	switch kind % 8 {
	case 0:
		k := v.value()
		return "flip in a value", map[string][]byte{k: v.flipped(v.now[k])}, v.wrote(k)
	case 1:
		k := v.pick("audit")
		return "flip in the chain", map[string][]byte{k: v.flipped(v.now[k])}, v.chainSeq(k)
	case 2:
		k := v.pick("audit/")
		return "truncation of an entry", map[string][]byte{k: v.now[k][:v.rng.IntN(len(v.now[k]))]}, v.wrote(k)
	case 3:
		k := v.value()
		return "truncation of a value", map[string][]byte{k: v.now[k][:v.rng.IntN(len(v.now[k]))]}, v.wrote(k)
	case 4:
		k := v.value()
		return "deletion of a value", map[string][]byte{k: nil}, v.wrote(k)
	case 5:
		k := v.pick("audit/")
		return "deletion of an entry", map[string][]byte{k: nil}, v.wrote(k)
	case 6:
		pick := v.value
		if v.rng.IntN(2) == 0 {
			pick = func() string { return v.pick("audit/") }
		}
		a, b := pick(), pick()
		for bytes.Equal(v.now[a], v.now[b]) {
			b = pick()
		}
		return "swap", map[string][]byte{a: v.now[b], b: v.now[a]}, min(v.wrote(a), v.wrote(b))
	}
	return v.rollback()
}

// rollback sets all of the database, or one value of it, to how it stood.
func (v *victim) rollback() (name string, to map[string][]byte, first uint64) {
	was := v.past[v.rng.IntN(len(v.past))]
	to = make(map[string][]byte)
	for k := range v.now {
		if _, ok := was[k]; !ok {
			to[k] = nil
		}
	}
	for k, b := range was {
		if !bytes.Equal(b, v.now[k]) {
			to[k] = b
		}
	}
	if v.rng.IntN(2) == 0 {
		return "rollback of the whole", to, v.lastEntry(was) + 1
	}
	for _, k := range slices.Sorted(maps.Keys(to)) {
		if to[k] != nil && v.writer[strings.TrimPrefix(k, workspace)] > 0 {
			return "rollback of a value", map[string][]byte{k: to[k]}, v.wrote(k)
		}
	}
	v.t.Fatal("nothing has changed since")
	return "", nil, 0
}

// chainSeq is the entry to be named for a key of the chain.
func (v *victim) chainSeq(key string) uint64 {
	if strings.HasPrefix(key, workspace+"audit/") {
		return v.wrote(key)
	}
	return 0 // the head
}

func (v *victim) lastEntry(of map[string][]byte) (last uint64) {
	for k := range of {
		if strings.HasPrefix(k, workspace+"audit/") {
			last = max(last, v.wrote(k))
		}
	}
	return last
}

func (v *victim) options(st store.Store, dir string) engine.Options {
	return engine.Options{Store: st, Sealer: seal.FromBytes([32]byte{1}), AnchorPath: v.anchor(dir)}
}

var errReadOnly = errors.New("nothing is written in this test")

// readOnly lets an engine look and not write.
type readOnly struct{ store.Store }

func (readOnly) Update(context.Context, func(store.Tx) error) error { return errReadOnly }

// found is how a ledger is found to be tampered with: by an engine that opens it,
// by a whole verification, or not at all.
func (v *victim) found(st store.Store, dir string) (atOpen bool, rep engine.Report) {
	v.t.Helper()
	_, err := engine.Open(v.t.Context(), v.options(readOnly{st}, dir))
	if atOpen = errors.Is(err, audit.ErrBroken); !atOpen && !errors.Is(err, errReadOnly) {
		v.t.Fatalf("open: %v", err)
	}
	rep, err = engine.NewHistory(v.options(st, dir)).Verify(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	return atOpen, rep
}

// Two hundred damages that are written through the database: whoever can write to
// its files with a copy of Badger can do each of them. Every one is found, and the
// first bad entry is named.
func TestEveryTamperingThroughTheDatabaseIsFound(t *testing.T) {
	v := newVictim(t)
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	put := func(values map[string][]byte) {
		t.Helper()
		err := st.Update(t.Context(), func(tx store.Tx) error {
			var err error
			for k, b := range values {
				if b == nil {
					err = errors.Join(err, tx.Delete(k))
				} else {
					err = errors.Join(err, tx.Put(k, b))
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(v.now)
	if atOpen, rep := v.found(st, v.dir); atOpen || !rep.Sound() {
		t.Fatalf("the ledger is %s before anything was done to it", rep.String())
	}
	counts := make(map[string]int)
	for i := range 200 {
		name, damage, first := v.logical(i)
		undo := make(map[string][]byte, len(damage))
		for k := range damage {
			undo[k] = v.now[k]
		}
		put(damage)
		atOpen, rep := v.found(st, v.dir)
		put(undo)
		counts[name]++
		if rep.Sound() {
			t.Errorf("trial %d, %s of %q: not found", i, name, slices.Sorted(maps.Keys(damage)))
			continue
		}
		if atOpen {
			counts["found at the start"]++
		} else {
			counts["found by verification"]++
		}
		if f := rep.Faults[0]; f.Seq != first || first > 0 && !strings.Contains(f.Text, strconv.FormatUint(first, 10)) && f.Kind != audit.RolledBack {
			t.Errorf("trial %d, %s of %d values: entry %d is named (%s), want %d", i, name, len(damage), f.Seq, f.Text, first)
		}
	}
	report(t, counts)
}

func report(t *testing.T, counts map[string]int) {
	t.Helper()
	text, err := json.MarshalIndent(counts, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
}
