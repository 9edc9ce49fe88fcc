package store

// Lender is a Tx that lends memory for values which one fn after another overwrites,
// such as counters, so that each need not make its own.
type Lender interface {
	// Lend returns empty memory for n bytes.
	Lend(n int) []byte
	// PutLent is Put of a value in memory from Lend, which nobody writes to any more.
	PutLent(key string, value []byte) error
}

// LenderOf returns tx where it is a Lender, and one that makes new memory where not.
func LenderOf(tx Tx) Lender {
	if l, ok := tx.(Lender); ok {
		return l
	}
	return giver{tx}
}

type giver struct{ tx Tx }

func (g giver) Lend(n int) []byte                      { return make([]byte, 0, n) }
func (g giver) PutLent(key string, value []byte) error { return g.tx.Put(key, value) }
