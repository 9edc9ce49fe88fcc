package budget

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// memory is a store transaction in a map.
type memory map[string][]byte

var _ store.Tx = memory{}

func (m memory) Get(key string) ([]byte, error) {
	v, ok := m[key]
	if !ok {
		return nil, store.ErrNotFound
	}
	return append([]byte(nil), v...), nil
}

// Scan fails, because nothing may be decided by it.
func (m memory) Scan(string, string, bool, int) ([]store.Entry, error) {
	return nil, errors.New("a budget was decided by Scan")
}

func (m memory) Put(key string, value []byte) error {
	m[key] = append([]byte(nil), value...)
	return nil
}

func (m memory) Delete(key string) error {
	delete(m, key)
	return nil
}

func (m memory) clone() memory { return maps.Clone(m) }

// broken fails every operation on one key.
type broken struct {
	memory
	key string
}

var errDisk = errors.New("disk")

func (b broken) Get(key string) ([]byte, error) {
	if key == b.key {
		return nil, errDisk
	}
	return b.memory.Get(key)
}

func usd(n int64) spend.Amount { return spend.NewAmount("USD", n) }

func account() Account { return Account{Prefix: "v1/main/", Policy: "p1", Unit: "USD"} }

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func read(t fataler, a Account, tx store.Tx, now time.Time) State {
	t.Helper()
	s, err := a.Read(tx, now, 0, 0)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return s
}

func reserve(t fataler, a Account, tx store.Tx, now time.Time, amount spend.Amount) []spend.Reservation {
	t.Helper()
	rs, err := a.Reserve(tx, now, amount)
	if err != nil {
		t.Fatalf("reserve: %v", err)
	}
	return rs
}

func expose(t fataler, a Account, tx store.Tx, amount spend.Amount) []spend.Reservation {
	t.Helper()
	rs, err := a.Expose(tx, amount)
	if err != nil {
		t.Fatalf("expose: %v", err)
	}
	return rs
}
