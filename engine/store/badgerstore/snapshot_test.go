package badgerstore

import (
	"context"
	"testing"

	"github.com/outgo/outgo/engine/store"
)

// A transaction that looks into Badger for the first time after a later commit has come
// to stand there runs again: what it would see there is younger than what it has seen.
// That must hold for one that writes nothing, too, which no commit will look at.
func TestATransactionSeesNothingOfAFoldOfLaterCommits(t *testing.T) {
	get := func(r store.Reader) (string, error) {
		v, err := r.Get("new")
		return string(v), err
	}
	scan := func(r store.Reader) (string, error) {
		page, err := r.Scan("new", "", false, 1)
		if len(page) == 0 {
			return "", err
		}
		return string(page[0].Value), err
	}
	for sentence, read := range map[string]func(store.Reader) (string, error){"read by its key": get, "listed": scan} {
		for _, step := range []string{"begin", "chunk", "noted"} {
			t.Run(sentence+", at "+step, func(t *testing.T) {
				s, g := gated(t, t.TempDir(), step)
				defer shut(t, s)
				defer close(g.goOn)
				must(t, put(s, "old", "1"))
				var old, young string
				runs := 0
				err := s.Update(context.Background(), func(tx store.Tx) error {
					runs++
					v, err := tx.Get("old")
					if err != nil {
						return err
					}
					if runs == 1 {
						must(t, s.Update(context.Background(), func(tx store.Tx) error {
							must(t, tx.Put("new", []byte("2")))
							return tx.Put("old", []byte("2"))
						}))
						freezeNow(t, s)
						<-g.reached
					}
					old = string(v)
					young, err = read(tx)
					return err
				})
				if err != nil || runs != 2 || old != "2" || young != "2" {
					t.Errorf("Update = %v after %d runs, which saw old = %q and new = %q", err, runs, old, young)
				}
			})
		}
	}
}
