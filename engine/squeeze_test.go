package engine

import (
	"bytes"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

func unsqueezed(t *testing.T, q *squeezer, src []byte) (length int) {
	t.Helper()
	b := q.append([]byte("before"), src)[len("before"):]
	got, err := q.dict.Decode(nil, b)
	if err != nil || !bytes.Equal(got, src) {
		t.Fatalf("%d bytes are read as %d: %v", len(src), len(got), err)
	}
	if most := s2.MaxEncodedLen(len(src)); len(b) > most {
		t.Fatalf("%d bytes became %d, more than the %d that there is room for", len(src), len(b), most)
	}
	return len(b)
}

// Whatever is squeezed is read by the library, at every length at which something
// changes in how it is written.
func TestWhatIsSqueezedIsReadAsItWas(t *testing.T) {
	q := newSqueezer(commonText)
	drawn := strings.Repeat("\x00abcdefghij0123456789", 4000)
	noise := make([]byte, 70_000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, n := range []int{0, 1, 3, 4, 7, 8, 9, 11, 12, 59, 60, 61, 64, 65, 68, 69, 72, 255, 256, 257, 320, 327, 400, 2047, 2048, 2049, 2500, squeezable - 1, squeezable, squeezable + 1, 65_536, 70_000} {
		for _, src := range [][]byte{
			noise[:n], bytes.Repeat([]byte("x"), n), []byte(drawn[:n]), []byte(commonText[:min(n, len(commonText))]),
			[]byte(commonText[len(commonText)-min(n, len(commonText)):]),
			[]byte(commonText[len(commonText)-min(n, len(commonText)):] + commonText[:min(n, len(commonText))]),
			append(append(bytes.Clone(noise[:2100]), bytes.Repeat([]byte("y"), n)...), noise[:min(n, 2100)]...),
		} {
			unsqueezed(t, q, src)
		}
	}
}

// It is as good as the library at what it is for.
func TestAReplyIsSqueezedAsFarAsTheLibraryDoes(t *testing.T) {
	q := newSqueezer(commonText)
	for from := 0; from+2000 < len(commonText); from += 500 {
		src := []byte(strings.NewReplacer("null", "nil", "0", "17", "_", "_x8Kq").Replace(commonText[from : from+2000]))
		if ours, theirs := unsqueezed(t, q, src), len(q.dict.Encode(nil, src)); ours > theirs+theirs/10 {
			t.Errorf("%d bytes from %d became %d, and %d by the library", len(src), from, ours, theirs)
		}
	}
}

func FuzzSqueeze(f *testing.F) {
	q := newSqueezer(commonText)
	for _, s := range []string{"", "HTTP/1.1 200 OK\r\n", commonText[len(commonText)-9:] + commonText[:9], strings.Repeat("abcdefgh", 99)} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, src []byte, times int) {
		unsqueezed(t, q, src)
		if times > 0 && times < 40 && len(src) < 1<<12 {
			unsqueezed(t, q, bytes.Repeat(src, times))
			unsqueezed(t, q, append(append(bytes.Clone(src), commonText[:times*10]...), src...))
		}
	})
}

// BenchmarkSqueeze is the processor time of squeezing a reply of two kilobytes: as a
// provider writes it, and without the white space that the dictionary has.
func BenchmarkSqueeze(b *testing.B) {
	q := newSqueezer(commonText)
	from := strings.Index(commonText, `"object": "payout"`)
	spaced := strings.NewReplacer("null", "nil", "0", "17", "_", "_x8Kq").Replace(commonText[from : from+1800])
	for name, text := range map[string]string{"spaced": spaced, "dense": strings.NewReplacer(": ", ":", "\n  ", "").Replace(spaced)} {
		b.Run(name, func(b *testing.B) {
			var out []byte
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				out = q.append(out[:0], []byte(text))
			}
			b.ReportMetric(float64(len(out)), "bytes")
		})
	}
}
