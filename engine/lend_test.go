package engine

import (
	"bytes"
	"testing"
)

// Whatever is lent in one batch, no two values have a byte in common, and a value that
// outgrows what was lent for it touches no other.
func TestWhatIsLentIsNobodyElses(t *testing.T) {
	var l lent
	for batch := range 3 {
		var values [][]byte
		for i := range 600 {
			n := 1 + i*7%1500
			v := l.lend(n)
			if len(v) != 0 || cap(v) != n {
				t.Fatalf("%d bytes with room for %d were lent, want room for %d", len(v), cap(v), n)
			}
			more := i % 3 // bytes more than were asked for
			values = append(values, append(v, bytes.Repeat([]byte{byte(i + batch)}, n+more)...))
		}
		for i, v := range values {
			if !bytes.Equal(v, bytes.Repeat([]byte{byte(i + batch)}, len(v))) {
				t.Fatalf("value %d of batch %d was written over", i, batch)
			}
		}
		l.takeBack()
	}
	if cap(l.room) > lentMost {
		t.Errorf("%d bytes are kept", cap(l.room))
	}
}

// What is remembered of a batch does not change when its memory is lent again.
func TestWhatWasLentIsNotRemembered(t *testing.T) {
	c, g := testCommitter(t)
	c.warm = newWarm(g, func(string) bool { return true })
	for i := range 3 {
		text := []byte{'a' + byte(i), 'x', 'y'}
		key := string(text[:1])
		if err := c.do(t.Context(), func(t *txn) error { return t.PutLent(key, append(t.Lend(3), text...)) }); err != nil {
			t.Fatal(err)
		}
		for j := range i + 1 {
			key := string('a' + rune(j))
			if got, ok := c.warm.get(key); !ok || string(got) != key+"xy" || value(t, g, key) != key+"xy" {
				t.Errorf("after batch %d, %s is remembered as %q", i, key, got)
			}
		}
	}
}
