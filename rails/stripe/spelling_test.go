package stripe

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEachByteIsOfItsClasses(t *testing.T) {
	const upper, lower, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "0123456789"
	for i := range 256 {
		c := byte(i)
		within := func(set string) bool { return strings.IndexByte(set, c) >= 0 }
		want := byte(0)
		for class, is := range map[byte]bool{
			isFree: within(upper + lower + digits + "-._~"), inName: within(upper + lower + digits + "-._~[]"), isOdd: c < ' ' || c >= 0x7f || c == ';',
			isDigit: within(digits + "abcdefABCDEF"), inWord: within(lower + digits + "_"), endsName: within("=&"), endsValue: within("&"),
		} {
			if is {
				want |= class
			}
		}
		if classes[c] != want {
			t.Errorf("%q is %07b, want %07b", c, classes[c], want)
		}
	}
}

func TestParametersAreDecodedAsGoDecodesThem(t *testing.T) {
	raw := rapid.Map(rapid.SliceOf(rapid.SampledFrom([]string{"a", "Z", "7", "%", "+", "%41", "%c3%A9", "%00", "%g0", "%0G", "%:0", "%`0", "%@0", "%4", "~", "[", "é"})),
		func(parts []string) string { return strings.Join(parts, "") })
	rapid.Check(t, func(t *rapid.T) {
		s := raw.Draw(t, "raw")
		coded, plain, tame := spelling(s, isFree)
		got, err := unescape(s, coded)
		if plain && tame && err != nil {
			t.Errorf("%q is plain and tame, and refused: %v", s, err)
		}
		want, wantErr := url.QueryUnescape(s)
		switch {
		case wantErr != nil:
			if err == nil {
				t.Errorf("%q is %q, want it refused: %v", s, got, wantErr)
			}
		case strings.ToValidUTF8(want, "") != want || strings.Contains(want, "\x00"):
			if err == nil {
				t.Errorf("%q is %q, want what it decodes to refused", s, got)
			}
		case err != nil || got != want:
			t.Errorf("%q is %q (%v), want %q", s, got, err, want)
		}
	})
}
