package badgerstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/outgo/outgo/engine/store"
)

// The memory in which a transaction keeps what it was given is used again: no value
// may show what a later transaction has put there.
func TestWhatIsWrittenStaysAsItWasWritten(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		s := open(t, dir)
		value := func(writer, n, i int) string {
			return strings.Repeat(fmt.Sprintf("%d/%d/%d ", writer, n, i), 1+(n*i)%200)
		}
		key := func(writer, n, i int) string { return fmt.Sprintf("k/%d/%03d/%03d", writer, n, i) }
		var wg sync.WaitGroup
		for writer := range 3 {
			wg.Go(func() {
				for n := range 20 {
					err := s.Update(context.Background(), func(tx store.Tx) error {
						for i := range 40 {
							mine := []byte(value(writer, n, i))
							if err := tx.Put(key(writer, n, i), mine); err != nil {
								return err
							}
							clear(mine) // it is the caller's again
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if dir != "" {
			shut(t, s)
			s = open(t, dir)
		}
		for writer := range 3 {
			for n := range 20 {
				for i := range 40 {
					if !has(t, s, key(writer, n, i), value(writer, n, i)) {
						t.Fatalf("%s is not as it was written", key(writer, n, i))
					}
				}
			}
		}
		shut(t, s)
	}
}
