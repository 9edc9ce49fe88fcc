package audit_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
)

func TestAnAnchorReadsBack(t *testing.T) {
	l := newLedger(t, 1)
	l.run(10)
	path := filepath.Join(t.TempDir(), "audit.anchor")
	a := l.chain.Anchor(path, nil)
	if _, err := a.Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("an anchor that is not there: %v", err)
	}
	if err := a.Write(l.head()); err != nil {
		t.Fatal(err)
	}
	got, err := newChain(1).Anchor(path, nil).Read()
	if h := l.head(); err != nil || got.Seq != h.Seq || got.Hash != h.Hash || got.Ledger != h.Ledger || !got.At.Equal(h.At) {
		t.Errorf("read %+v, %v, want %+v", got, err, h)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// Every change of the file but to its introduction is found out, and so is
// another key.
func TestAnAnchorCannotBeForged(t *testing.T) {
	l := newLedger(t, 1)
	l.run(10)
	path := filepath.Join(t.TempDir(), "audit.anchor")
	if err := l.chain.Anchor(path, nil).Write(l.head()); err != nil {
		t.Fatal(err)
	}
	if _, err := newChain(2).Anchor(path, nil).Read(); !errors.Is(err, audit.ErrAnchor) {
		t.Errorf("with another key: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	good, err := l.chain.Anchor(path, nil).Read()
	if err != nil {
		t.Fatal(err)
	}
	for i := bytes.Index(text, []byte(`"sequence"`)); i < len(text); i++ {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := l.chain.Anchor(path, nil).Read(); err == nil && got != good {
			t.Fatalf("with byte %d altered it reads %+v", i, got)
		} else if err != nil && !errors.Is(err, audit.ErrAnchor) {
			t.Fatalf("with byte %d altered: %v", i, err)
		}
	}
}

func TestWhatAnAnchorMeans(t *testing.T) {
	l := newLedger(t, 1)
	l.run(10)
	path := filepath.Join(t.TempDir(), "audit.anchor")
	a := l.chain.Anchor(path, nil)
	inspect := func() audit.Report {
		t.Helper()
		rep, err := l.chain.Inspect(context.Background(), l.store, a, true)
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	if rep := inspect(); rep.Sound() || rep.Faults[0].Kind != audit.AnchorMissing || !errors.Is(rep.Err(), audit.ErrBroken) {
		t.Errorf("without an anchor: %s", rep.String())
	}
	if err := a.Write(l.head()); err != nil {
		t.Fatal(err)
	}
	l.run(10)
	if rep := inspect(); !rep.Sound() {
		t.Errorf("an anchor behind the head: %s", rep.String())
	}
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if rep := inspect(); rep.Sound() || rep.Faults[0].Kind != audit.AnchorBad || !strings.Contains(rep.String(), path) {
		t.Errorf("an anchor that was altered: %s", rep.String())
	}
	fresh := newLedger(t, 2)
	if rep := fresh.check(audit.Scope{Whole: true, AnchorErr: fs.ErrNotExist}); !rep.Sound() {
		t.Errorf("stopped between the first commit and the first anchor: %s", rep.String())
	}
}

func TestTheAnchorFollowsWithinASecond(t *testing.T) {
	l := newLedger(t, 1)
	l.run(40)
	marks := make([]audit.Mark, 0, 40)
	for n := uint64(1); n <= 40; n++ {
		marks = append(marks, audit.Mark{Seq: n, Hash: l.hashAt(n), Ledger: l.hashAt(1), At: noon})
	}
	path := filepath.Join(t.TempDir(), "audit.anchor")
	synctest.Test(t, func(t *testing.T) {
		a := l.chain.Anchor(path, func(err error) { t.Error(err) })
		at := func() uint64 {
			m, err := a.Read()
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			return m.Seq
		}
		for _, m := range marks[:20] {
			a.Moved(m)
		}
		a.Moved(marks[3]) // late
		if at() != 0 {
			t.Error("the anchor was written at once")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := at(); got != 20 {
			t.Errorf("after a second the anchor is at %d, want 20", got)
		}
		a.Moved(marks[29])
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if got := at(); got != 30 {
			t.Errorf("closed, the anchor is at %d, want 30", got)
		}
		a.Moved(marks[39])
		time.Sleep(time.Minute)
		if got := at(); got != 30 {
			t.Errorf("after it was closed, the anchor moved to %d", got)
		}
	})
}

// A write that fails is reported and tried again until it is done.
func TestAnAnchorThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	l := newLedger(t, 1)
	l.run(5)
	head := l.head()
	dir := filepath.Join(t.TempDir(), "later")
	synctest.Test(t, func(t *testing.T) {
		failed := 0
		a := l.chain.Anchor(filepath.Join(dir, "audit.anchor"), func(error) { failed++ })
		a.Moved(head)
		time.Sleep(3500 * time.Millisecond)
		synctest.Wait()
		if failed != 3 {
			t.Errorf("%d failures were reported in 3.5 s, want 3", failed)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if m, err := a.Read(); err != nil || m.Seq != head.Seq {
			t.Errorf("%d, %v, want %d", m.Seq, err, head.Seq)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		a.Moved(audit.Mark{Seq: head.Seq + 1})
		if err := a.Close(); err == nil {
			t.Error("a last write that failed was not reported")
		}
	})
	goleak.VerifyNone(t, goleak.IgnoreCurrent())
}

// A journal that has lost its end, as when a disk drops what it had taken, makes the
// database forget, without a word, what was there. The anchor remembers.
func TestADatabaseThatForgotIsFoundOut(t *testing.T) {
	dir := t.TempDir()
	s, err := badgerstore.Open(badgerstore.Options{Dir: filepath.Join(dir, "live")})
	if err != nil {
		t.Fatal(err)
	}
	l := ledgerIn(t, s, 1)
	l.run(120)
	scope := l.whole()
	logs, err := filepath.Glob(filepath.Join(dir, "live", "*.journal"))
	if err != nil || len(logs) == 0 { // the first is written to; others are made ahead
		t.Fatalf("the database has the journal %v, %v", logs, err)
	}
	// What a crash would leave: the files as they are, while the store is open.
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(filepath.Join(dir, "live"))); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "copy", filepath.Base(logs[0]))
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, share := range []int{20, 50, 90, 0} { // percent of what is left; 0 = all of it
		if err := os.RemoveAll(filepath.Join(dir, "again")); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(dir, "again"), os.DirFS(filepath.Join(dir, "copy"))); err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(text)
		if share > 0 {
			clear(bad[len(bytes.TrimRight(bad, "\x00"))*share/100:])
		}
		if err := os.WriteFile(filepath.Join(dir, "again", filepath.Base(log)), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		after, err := badgerstore.Open(badgerstore.Options{Dir: filepath.Join(dir, "again")})
		if err != nil {
			t.Fatal(err)
		}
		var rep audit.Report
		err = after.View(context.Background(), func(r store.Reader) (err error) { rep, err = l.verify(r, scope); return err })
		if cerr := after.Close(); err != nil || cerr != nil {
			t.Fatal(err, cerr)
		}
		if rep.Sound() != (share == 0) {
			t.Errorf("%d %% left: %s", share, rep.String())
		}
		if share > 0 && (rep.Faults[0].Kind != audit.RolledBack || rep.Faults[0].Seq != rep.Head.Seq+1) {
			t.Errorf("%d %% left: %s, want a ledger that ends early", share, rep.String())
		}
	}
}
