package audit_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

func export(t *testing.T, l *ledger, r store.Reader, f audit.Format, rep *audit.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := l.chain.Write(&b, f, r, rep); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type document struct {
	Verification struct {
		Sound  bool          `json:"sound"`
		Head   audit.Mark    `json:"head"`
		Faults []audit.Fault `json:"faults"`
	} `json:"verification"`
	Entries []struct {
		audit.Entry
		Finding string `json:"finding"`
	} `json:"entries"`
}

// Whoever holds the JSON document can verify the chain without the database.
func TestAnExportVerifiesByItself(t *testing.T) {
	l := newLedger(t, 1)
	l.run(60)
	rep := l.check(l.whole())
	var doc document
	l.view(func(r store.Reader) error { return json.Unmarshal(export(t, l, r, audit.JSON, &rep), &doc) })
	if !doc.Verification.Sound || doc.Verification.Head.Hash != l.head().Hash || len(doc.Entries) != 61 {
		t.Fatalf("%+v, %d entries", doc.Verification, len(doc.Entries))
	}
	var prev audit.Hash
	for i, e := range doc.Entries {
		if e.Seq != uint64(i+1) || e.Prev != prev || !e.Check() || e.Finding != "" {
			t.Fatalf("entry %d: %+v", i+1, e)
		}
		prev = e.Hash
		e.Entry.Why += "!"
		if e.Check() {
			t.Fatal("an altered entry checks")
		}
	}
	if prev != doc.Verification.Head.Hash {
		t.Error("the entries do not lead to the head")
	}
}

// Each finding stands at the place that it is about, also where nothing is.
func TestAnExportSaysWhatIsWrongAndWhere(t *testing.T) {
	l := newLedger(t, 1)
	l.run(60)
	scope := l.whole()
	scope.Anchor.Seq += 3
	findings := make(map[string][2]string) // sequence to JSON's, and CSV's
	l.damaged(scope, func(tx store.Tx) {
		del(t, tx, l.chain.EntryKey(10))
		put(t, tx, l.chain.EntryKey(20), []byte("?"))
		rep, err := l.verify(tx, scope)
		if err != nil {
			t.Fatal(err)
		}
		var doc document
		if err := json.Unmarshal(export(t, l, tx, audit.JSON, &rep), &doc); err != nil {
			t.Fatal(err)
		}
		for i, e := range doc.Entries {
			if i > 0 && e.Seq <= doc.Entries[i-1].Seq {
				t.Errorf("entry %d comes after entry %d", e.Seq, doc.Entries[i-1].Seq)
			}
			findings[fmt.Sprint(e.Seq)] = [2]string{e.Finding}
		}
		rows, err := csv.NewReader(bytes.NewReader(export(t, l, tx, audit.CSV, &rep))).ReadAll()
		if err != nil || len(rows)-1 != len(doc.Entries) || doc.Verification.Sound {
			t.Fatalf("%d rows and %d entries, sound: %v, %v", len(rows)-1, len(doc.Entries), doc.Verification.Sound, err)
		}
		for _, row := range rows[1:] {
			findings[row[0]] = [2]string{findings[row[0]][0], row[len(row)-1]}
		}
	})
	for seq, want := range map[string]string{"10": "entry 10 is missing", "20": "entry 20 was altered", "62": "rolled back", "9": "", "11": ""} {
		for i, form := range []string{"JSON", "CSV"} {
			if got := findings[seq][i]; !strings.Contains(got, want) || (want == "") != (got == "") {
				t.Errorf("%s says %q at %s, want %q", form, got, seq, want)
			}
		}
	}
}

func TestAnUnknownFormatIsRefused(t *testing.T) {
	l := newLedger(t, 1)
	l.view(func(r store.Reader) error {
		if err := l.chain.Write(&bytes.Buffer{}, "xml", r, &audit.Report{}); !errors.Is(err, spend.Invalid) {
			t.Errorf("got %v", err)
		}
		return nil
	})
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errUndo }

func TestAnExportThatCannotBeWrittenSaysSo(t *testing.T) {
	l := newLedger(t, 1)
	l.view(func(r store.Reader) error {
		for _, f := range []audit.Format{audit.JSON, audit.CSV} {
			if err := l.chain.Write(brokenWriter{}, f, r, &audit.Report{}); !errors.Is(err, errUndo) {
				t.Errorf("%s: %v", f, err)
			}
		}
		return nil
	})
}

// Text of an agent is neither a formula for a spreadsheet nor a command for a
// terminal.
func TestCellsAreText(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "5000 USD": "5000 USD", "a=b": "a=b",
		"=HYPERLINK(1)": "'=HYPERLINK(1)", "+1": "'+1", "-5 USD": "'-5 USD", "@SUM(1)": "'@SUM(1)",
		"  =1": "'  =1", "\t=1": "' =1", "\r\n=1": "'  =1", "＝1": "'＝1",
		"\x1b[31mred": " [31mred", "a\u202eb": "a b", "a\u2028b": "a b", "\ufeff=1": "' =1", "\u0085=1": "' =1",
	} {
		if got := audit.Cell(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
