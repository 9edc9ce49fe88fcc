package engine_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/outgo/outgo/engine/store/badgerstore"
)

// tamperVariable is set in the process of its own that damages files.
const tamperVariable = "OUTGO_TEST_TAMPER"

// unaccounted marks an outcome that there must not be.
const unaccounted = ": NOT ACCOUNTED FOR"

// files are those of the database in dir that hold anything.
func (v *victim) files(dir string) (names []string) {
	v.t.Helper()
	all, err := os.ReadDir(filepath.Join(dir, "ledger"))
	if err != nil {
		v.t.Fatal(err)
	}
	for _, f := range all {
		info, err := f.Info()
		if err != nil {
			v.t.Fatal(err)
		}
		if f.Name() != "LOCK" && info.Size() > 0 {
			names = append(names, f.Name())
		}
	}
	return names
}

// raw damages one file of the database in dir and returns what it did.
func (v *victim) raw(kind int, dir string) string {
	v.t.Helper()
	names := v.files(dir)
	name := names[v.rng.IntN(len(names))]
	if v.rng.IntN(3) == 0 { // the journal's first file, which is in use, more often than its share
		for _, n := range names {
			if filepath.Ext(n) == ".journal" {
				name = n
				break
			}
		}
	}
	path := filepath.Join(dir, "ledger", name)
	text := v.read(path)
	what := filepath.Ext(name)
	if what == "" {
		what = name
	}
	used := len(bytes.TrimRight(text, "\x00"))
	switch kind % 5 {
	case 0, 1: // half of them in what is in use
		at := v.rng.IntN(len(text))
		if kind%5 == 1 {
			at = v.rng.IntN(max(1, used))
		}
		text[at] ^= 1 << v.rng.IntN(8)
		v.write(path, text)
		return "flip in " + what
	case 2:
		v.write(path, text[:v.rng.IntN(max(1, used))])
		return "truncation of " + what
	case 3:
		if err := os.Remove(path); err != nil {
			v.t.Fatal(err)
		}
		return "deletion of " + what
	}
	// The whole of an older copy in place of the database; the anchor stays.
	if err := os.RemoveAll(filepath.Join(dir, "ledger")); err != nil {
		v.t.Fatal(err)
	}
	old := v.copies[v.rng.IntN(3)]
	if err := os.CopyFS(filepath.Join(dir, "ledger"), os.DirFS(filepath.Join(old, "ledger"))); err != nil {
		v.t.Fatal(err)
	}
	return "rollback of the files"
}

func (v *victim) read(path string) []byte {
	v.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		v.t.Fatal(err)
	}
	return text
}

func (v *victim) write(path string, text []byte) {
	v.t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// A hundred damages to the files themselves, of a database that was closed and of
// one that crashed. Either the database refuses its files, or outgo its ledger;
// where neither does, the database holds to the last byte what it held before:
// what was damaged are bytes that are never read, such as free space, a filter,
// or a log whose content is in a table or in the journal as well.
func TestEveryTamperingWithTheFilesIsFoundOrChangesNothing(t *testing.T) {
	if os.Getenv(tamperVariable) == "" {
		// Badger leaves goroutines behind where it refuses its files.
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m") //nolint:gosec // this very test
		cmd.Env = append(os.Environ(), tamperVariable+"=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil || !bytes.Contains(out, []byte(`"all": 100`)) || bytes.Contains(out, []byte(unaccounted)) {
			t.Fatalf("a damage is not accounted for, or not all were done: %v", err)
		}
		return
	}
	v := newVictim(t)
	counts := make(map[string]int)
	for i := range 100 {
		from := v.dir
		if i%2 == 1 {
			from = v.copies[3] // as a crash left it
		}
		dir := v.copy(from)
		what := v.raw(i/2, dir)
		counts[v.outcome(i, what, dir)]++
		counts["all"]++
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	report(t, counts)
}

// outcome opens a damaged database and says how the damage shows.
func (v *victim) outcome(trial int, what, dir string) string {
	v.t.Helper()
	st, err := badgerstore.Open(badgerstore.Options{Dir: filepath.Join(dir, "ledger")})
	if err != nil {
		return what + ": the database refuses it"
	}
	defer func() { _ = st.Close() }()
	atOpen, rep := v.found(st, dir)
	switch {
	case !rep.Sound() && !atOpen:
		return what + ": found by verification"
	case !rep.Sound():
		if f := rep.Faults[0]; f.Seq == 0 && rep.Head.Seq > 0 {
			v.t.Errorf("trial %d, %s: no entry is named: %s", trial, what, f)
			return what + unaccounted
		}
		return what + ": found at the start"
	}
	w := &world{t: v.t, store: st}
	if got := w.dump(); !maps.EqualFunc(got, v.now, bytes.Equal) {
		v.t.Errorf("trial %d, %s: not found, and %s", trial, what, differences(got, v.now))
		return what + unaccounted
	}
	return what + ": changes nothing"
}

func differences(got, want map[string][]byte) string {
	var keys []string
	for k := range want {
		if !bytes.Equal(got[k], want[k]) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return fmt.Sprintf("%d values differ: %.5q", len(keys), keys)
}
