package badgerstore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// A loss of power during a fold keeps any of the pages that Badger has written since
// they were last synced. The journal still has it all.
func TestAFoldOfWhichAnyPagesAreLostIsDoneAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same content each time
	for i := range 60 {
		must(t, put(s, fmt.Sprintf("k/%02d", i), noise(dice, 3000)))
	}
	foldNow(t, s)
	shut(t, s)

	s, g := gated(t, dir, "written")
	defer shut(t, s)
	defer close(g.goOn)
	for i := range 30 {
		must(t, put(s, fmt.Sprintf("k/%02d", 2*i), noise(dice, 5000)))
	}
	must(t, put(s, "k/01", ""))
	want := content(t, s)
	synced := logs(t, dir)
	freezeNow(t, s)
	<-g.reached
	spared(t, s)
	for try := range 8 {
		lost := duplicate(t, dir)
		for name, now := range logs(t, dir) {
			mix(now, synced[name], rand.New(rand.NewPCG(3, uint64(try)))) //nolint:gosec // the same pages each time
			must(t, os.WriteFile(filepath.Join(lost, name), now, 0o600))
		}
		again := open(t, lost)
		if got := content(t, again); !maps.Equal(got, want) {
			t.Errorf("try %d: %d keys, want %d, or other values", try, len(got), len(want))
		}
		foldNow(t, again)
		if got := content(t, again); !maps.Equal(got, want) {
			t.Errorf("try %d: after a fold there are %d keys, want %d, or other values", try, len(got), len(want))
		}
		shut(t, again)
		must(t, os.RemoveAll(lost))
	}
}

// logs returns the content of Badger's logs in dir.
func logs(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+logSuffix))
	must(t, err)
	all := make(map[string][]byte)
	for _, name := range names {
		b, err := os.ReadFile(name) //nolint:gosec // a name just listed
		must(t, err)
		all[filepath.Base(name)] = b
	}
	return all
}

// mix puts back some pages of a file as they were before, zeros where they were not.
func mix(now, before []byte, dice *rand.Rand) {
	const page = 4096
	for at := 0; at < len(now); at += page {
		if dice.IntN(4) > 0 {
			continue
		}
		to := min(at+page, len(now))
		clear(now[at:to])
		if at < len(before) {
			copy(now[at:to], before[at:])
		}
	}
}
