package audit_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// A backup that was restored is refused until an operator accepts it, which
// the chain then says for ever.
func TestARestoredBackupIsAccepted(t *testing.T) {
	l := newLedger(t, 1)
	l.run(40)
	backup, at := l.dump(), l.head()
	l.run(40)
	a := l.chain.Anchor(filepath.Join(t.TempDir(), "audit.anchor"), nil)
	if err := a.Write(l.head()); err != nil {
		t.Fatal(err)
	}
	restored := newLedgerless(t)
	restored.update(func(tx store.Tx) error {
		for k, v := range backup {
			put(t, tx, k, v)
		}
		return nil
	})
	inspect := func() audit.Report {
		t.Helper()
		rep, err := restored.chain.Inspect(context.Background(), restored.store, a, true)
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	rep := inspect()
	if rep.Sound() || rep.Faults[0].Kind != audit.RolledBack {
		t.Fatal(rep.String())
	}
	restored.update(func(tx store.Tx) error { return restored.chain.Accept(tx, rep, noon, "ops") })
	if err := a.Write(restored.head()); err != nil {
		t.Fatal(err)
	}
	if rep := inspect(); !rep.Sound() {
		t.Fatal(rep.String())
	}
	restored.view(func(r store.Reader) error {
		for e, err := range restored.chain.Entries(r, at.Seq+1) {
			want := fmt.Sprintf("restored from a backup at entry %d; the anchor stood at entry %d", at.Seq, l.head().Seq)
			if err != nil || e.Event != audit.Restored || e.Who != "ops" || !strings.Contains(e.Note, want) {
				t.Errorf("%+v, %v, want %q", e, err, want)
			}
		}
		return nil
	})
}

func TestOnlyAWholeLedgerIsAccepted(t *testing.T) {
	l := newLedger(t, 1)
	l.run(40)
	ahead := l.whole()
	ahead.Anchor.Seq += 5
	recent := ahead
	recent.Whole = false
	for name, c := range map[string]struct {
		scope  audit.Scope
		damage func(store.Tx)
		want   error
	}{
		"a ledger that agrees with its anchor":    {scope: l.whole(), want: spend.InvalidState},
		"one of which only the end was looked at": {scope: recent, want: spend.InvalidState},
		"one whose entries are damaged": {
			scope: ahead, damage: func(tx store.Tx) { put(t, tx, l.chain.EntryKey(7), []byte("?")) }, want: audit.ErrBroken,
		},
		"one that was cut without its values being set back": {
			scope: ahead, damage: func(tx store.Tx) { put(t, tx, prefix+"control", []byte("?")) }, want: audit.ErrBroken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l.damaged(c.scope, func(tx store.Tx) {
				if c.damage != nil {
					c.damage(tx)
				}
				rep, err := l.verify(tx, c.scope)
				if err != nil {
					t.Fatal(err)
				}
				if err := l.chain.Accept(tx, rep, noon, "ops"); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
	t.Run("one that has moved since", func(t *testing.T) {
		rep := l.check(ahead)
		l.run(1)
		l.damaged(ahead, func(tx store.Tx) {
			if err := l.chain.Accept(tx, rep, noon, "ops"); !errors.Is(err, spend.InvalidState) {
				t.Errorf("got %v", err)
			}
		})
	})
}

// A ledger from before there was a chain gets one, in pages.
