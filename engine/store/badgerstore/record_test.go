package badgerstore

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestARecordComesBackAsItWasWritten(t *testing.T) {
	b := make([]byte, recordHead)
	b = appendPut(b, "k", []byte("value"))
	b = appendPut(b, "empty", nil)
	b = appendDelete(b, "gone")
	b = appendPut(b, "long", []byte(strings.Repeat("v", maxValue)))
	b = sealRecord(b, 7, 42)
	if len(b)%recordAlign != 0 {
		t.Errorf("the record has %d bytes, want a multiple of %d", len(b), recordAlign)
	}
	body, seq, size, ok := openRecord(append(b, 1, 2, 3), 7)
	if !ok || seq != 42 || size != len(b) {
		t.Fatalf("sequence %d, %d bytes of %d, ok %t", seq, size, len(b), ok)
	}
	var got []string
	err := eachWrite(body, func(key, value []byte) { got = append(got, fmt.Sprintf("%s %d %t", key, len(value), value == nil)) })
	if want := []string{"k 5 false", "empty 0 false", "gone 0 true", fmt.Sprintf("long %d false", maxValue)}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the writes are %q, %v, want %q", got, err, want)
	}
	for what, seed := range map[string]uint32{"of another segment, or of an earlier use": 8, "of none": 0} {
		if _, _, _, ok := openRecord(b, seed); ok {
			t.Error("it is taken for a record " + what)
		}
	}
}

func TestNoFlippedOrShortRecordIsTakenForOne(t *testing.T) {
	whole := sealRecord(appendPut(appendDelete(make([]byte, recordHead), "gone"), "key", []byte("value")), 7, 42)
	used := len(bytes.TrimRight(whole, "\x00"))
	for i := range used {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			if _, _, _, ok := openRecord(b, 7); ok {
				t.Errorf("bit %d of byte %d can be flipped", bit, i)
			}
		}
		if _, _, _, ok := openRecord(whole[:i], 7); ok {
			t.Errorf("%d of %d bytes are enough", i, used)
		}
	}
}

// What is in a journal is read before anybody knows who wrote it.
func FuzzRecord(f *testing.F) {
	f.Add(sealRecord(appendPut(appendDelete(make([]byte, recordHead), "gone"), "key", []byte("value")), 7, 42), true)
	f.Add(make([]byte, 200), true)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01k"), false)
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01k"), false)
	f.Fuzz(func(t *testing.T, b []byte, whole bool) {
		body := b
		if whole {
			var size int
			var ok bool
			if body, _, size, ok = openRecord(b, 7); !ok {
				return
			}
			if size%recordAlign != 0 || len(body) > size-recordHead {
				t.Fatalf("%d bytes of body in %d", len(body), size)
			}
		}
		again := []byte{}
		err := eachWrite(body, func(key, value []byte) {
			if len(key) == 0 || len(key) > maxKey || len(value) > maxValue {
				t.Errorf("a key of %d bytes, a value of %d", len(key), len(value))
			}
			if value == nil {
				again = appendDelete(again, string(key))
			} else {
				again = appendPut(again, string(key), value)
			}
		})
		if err == nil && len(again) > len(body) {
			t.Errorf("%q is read as %q", body, again)
		}
	})
}
