package spend

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestATextIsAsShortAsItCanBe(t *testing.T) {
	id := string(NewID(time.Now()))
	for s, want := range map[string]int{
		"": 1, "default": 8, strings.Repeat("0123456789abcdef", 4): 33, id: 17, strings.ToUpper(id): 37,
		"0123456789abcde": 16, "0123456789abcdeF": 17, strings.Repeat("ab", 7): 15, strings.Repeat("ab", 8): 9,
		id[:35]: 36, id + "0": 38, strings.Replace(id, "-", "_", 1): 37, "\xff\x00": 3,
	} {
		b := AppendCompact([]byte("x"), s)
		got, rest, ok := CutCompact(append(b[1:len(b):len(b)], "rest"...))
		if len(b)-1 != want || got != s || string(rest) != "rest" || !ok {
			t.Errorf("%q: %d bytes, want %d; read as %q with %q behind it, %t", s, len(b)-1, want, got, rest, ok)
		}
		for n := range len(b) - 1 {
			if got, _, ok := CutCompact(b[1 : 1+n]); ok {
				t.Errorf("%q cut short after %d bytes is read as %q", s, n, got)
			}
		}
	}
}

func TestAnIDIsReadBackFromItsBytes(t *testing.T) {
	id := NewID(time.Now())
	raw, err := id.AppendRaw([]byte("x"))
	if err != nil || len(raw) != 17 || RawID([16]byte(raw[1:])) != id {
		t.Errorf("%s: %x, %v", id, raw, err)
	}
	for _, bad := range []ID{"", "1", id[:35], id + "0", ID(strings.ToUpper(string(id))), ID(strings.ReplaceAll(string(id), "-", "0"))} {
		if b, err := bad.AppendRaw([]byte("x")); !errors.Is(err, Invalid) || string(b) != "x" {
			t.Errorf("%q: %x, %v", bad, b, err)
		}
	}
}

// Whatever is read is written again as it was.
func FuzzCompact(f *testing.F) {
	for _, s := range []string{"", "default", strings.Repeat("ab", 32), string(NewID(time.Now()))} {
		f.Add(AppendCompact(nil, s))
	}
	f.Add([]byte{0x80, 0})
	f.Add([]byte{5})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, rest, ok := CutCompact(b)
		if !ok {
			return
		}
		if again := append(AppendCompact(nil, s), rest...); !bytes.Equal(again, b) {
			t.Fatalf("%x is read as %q, which is written %x", b, s, again)
		}
	})
}

func TestADigitIsWhatHexSays(t *testing.T) {
	for c := range 256 {
		want := byte(255)
		if i := strings.IndexByte("0123456789abcdef", byte(c)); i >= 0 {
			want = byte(i)
		}
		if got := digit(byte(c)); got != want {
			t.Errorf("%q is the digit %d, want %d", rune(c), got, want)
		}
	}
}
