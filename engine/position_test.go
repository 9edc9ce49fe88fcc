package engine

import (
	"context"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/audit"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
	"github.com/outgo/outgo/engine/store/badgerstore"
	"github.com/outgo/outgo/tokens/seal"
)

func TestThePositionIsReadAsItWasWritten(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)
	for name, h := range map[string]position{
		"none":                         {},
		"the first":                    {Seq: 1, Time: at},
		"a late one":                   {Seq: 1 << 60, Time: at.AddDate(50, 0, 0)},
		"of a clock that shows 1 AD":   {Seq: 2, Time: time.Date(1, 1, 2, 0, 0, 0, 1, time.UTC)},
		"of a clock that shows 9999":   {Seq: 3, Time: time.Date(9999, 12, 31, 0, 0, 0, 1, time.UTC)},
		"of a clock that starts again": {Seq: 4, Time: time.Unix(0, 0).UTC()},
	} {
		tx := shelf{"head": h.stored()}
		if got, err := readPosition(tx, "head"); err != nil || got != h {
			t.Errorf("%s: read %+v, %v; want %+v", name, got, err, h)
		}
		if err := putJSON(tx, "head", h); err != nil {
			t.Fatal(err)
		}
		if got, err := readPosition(tx, "head"); err != nil || got != h {
			t.Errorf("%s, of an earlier version: read %+v, %v; want %+v", name, got, err, h)
		}
	}
	if got, err := readPosition(shelf{}, "head"); err != nil || got != (position{}) {
		t.Errorf("where there is none: %+v, %v", got, err)
	}
}

func TestAPositionThatIsNotUnderstoodIsNotRead(t *testing.T) {
	good := (&position{Seq: 300, Time: time.Now()}).stored()
	for name, value := range map[string][]byte{
		"empty":               {},
		"of a later version":  append([]byte{formatPosition + 1}, good[1:]...),
		"cut short":           good[:len(good)-1],
		"with more behind it": append(append([]byte{}, good...), 0),
		"no JSON":             {formatJSON, 'x'},
	} {
		if got, err := readPosition(shelf{"head": value}, "head"); err == nil || got != (position{}) {
			t.Errorf("%s: read %+v", name, got)
		}
	}
}

// A ledger of an earlier version goes on from where it stood.
func TestALedgerWithAPositionInJSONGoesOn(t *testing.T) {
	st, err := badgerstore.Open(badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctx, write := context.Background(), spend.Intent{Agent: "a", Class: spend.Other}
	var last uint64
	for range 2 {
		e, err := Open(ctx, Options{Store: st, Sealer: seal.FromBytes([32]byte{1})})
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Authorize(ctx, write)
		if err != nil || r.Request.Seq < last {
			t.Errorf("the next request is number %d, where %d was next: %v", r.Request.Seq, last, err)
		}
		last = r.Request.Seq + 1
		e.Close()
		if err := st.Update(ctx, func(tx store.Tx) error { return putOldPosition(tx, e) }); err != nil {
			t.Fatal(err)
		}
		rep, err := verifyWhole(st, e.history.chain)
		if err != nil || !rep.Sound() {
			t.Errorf("%s, %v", &rep, err)
		}
	}
}

// putOldPosition writes e's position as an earlier version did, and records it.
func putOldPosition(tx store.Tx, e *Engine) error {
	key := e.keys.head()
	h, err := readPosition(tx, key)
	if err != nil {
		return err
	}
	if err := putJSON(tx, key, h); err != nil {
		return err
	}
	value, err := tx.Get(key)
	if err != nil {
		return err
	}
	record, _ := e.history.chain.Record(key, value)
	return e.history.chain.Append(tx, audit.Entry{At: h.Time, Event: wrote, Who: itself, Records: []audit.Record{record}})
}

func verifyWhole(st store.Store, chain *audit.Chain) (rep audit.Report, err error) {
	err = st.View(context.Background(), func(r store.Reader) (err error) {
		rep, err = chain.Verify(context.Background(), r, audit.Scope{Whole: true, Unanchored: true})
		return err
	})
	return rep, err
}
