package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// key returns a Key whose bytes are all b.
func key(b byte) *Key { return FromBytes([Size]byte(bytes.Repeat([]byte{b}, Size))) }

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	k := key(1)
	for _, plaintext := range []string{"", "x", "whsec_secret", strings.Repeat("long ", 50_000)} {
		for _, ad := range []string{"", "v1/main/hook/1"} {
			sealed := k.Seal([]byte(plaintext), ad)
			if bytes.Equal(sealed, k.Seal([]byte(plaintext), ad)) {
				t.Error("two seals of one value are equal, want a fresh nonce for each")
			}
			if len(plaintext) > 1 && bytes.Contains(sealed, []byte(plaintext)) {
				t.Error("the sealed value shows the plaintext")
			}
			got, err := k.Open(sealed, ad)
			if err != nil || string(got) != plaintext {
				t.Errorf("Open = %d bytes, %v, want %d bytes", len(got), err, len(plaintext))
			}
			if got, err := key(1).Open(sealed, ad); err != nil || string(got) != plaintext {
				t.Errorf("with an equal key Open = %d bytes, %v", len(got), err)
			}
		}
	}
}

// A value sealed by an earlier build must open for ever.
func TestTheFormatIsStable(t *testing.T) {
	const plaintext, ad = "a secret of the first version", "v1/main/hook/1"
	got, err := key(7).Open(firstSealed(t), ad)
	if err != nil || string(got) != plaintext {
		t.Errorf("Open = %q, %v, want %q", got, err, plaintext)
	}
	if got := key(7).Digest("api-key", "outgo_AbCd1234_x"); got != firstDigest {
		t.Errorf("Digest = %s, want %s", got, firstDigest)
	}
}

func TestWhatWasNotSealedForThisPlaceDoesNotOpen(t *testing.T) {
	const secret, ad = "the-plaintext", "v1/main/hook/1"
	k := key(1)
	sealed := k.Seal([]byte(secret), ad)
	refuse := func(sentence string, k *Key, sealed []byte, ad string) {
		t.Helper()
		got, err := k.Open(sealed, ad)
		if !errors.Is(err, ErrOpen) || got != nil {
			t.Errorf("%s: Open = %q, %v, want ErrOpen", sentence, got, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the plaintext: %v", sentence, err)
		}
	}
	refuse("another key", key(2), sealed, ad)
	refuse("another place", k, sealed, "v1/main/hook/2")
	refuse("no place", k, sealed, "")
	refuse("a byte too many", k, append(slices.Clone(sealed), 0), ad)
	for i := range sealed {
		refuse(fmt.Sprintf("cut to %d bytes", i), k, sealed[:i], ad)
		for bit := range 8 {
			bad := slices.Clone(sealed)
			bad[i] ^= 1 << bit
			refuse(fmt.Sprintf("bit %d of byte %d flipped", bit, i), k, bad, ad)
		}
	}
	if _, err := k.Open(sealed, ad); err != nil {
		t.Errorf("the original no longer opens: %v", err)
	}
}

func TestDigestsDifferWhereAnythingDiffers(t *testing.T) {
	seen := map[string]string{}
	for _, c := range []struct {
		sentence string
		digest   string
	}{
		{"the first", key(1).Digest("api-key", "ab", "c")},
		{"parts divided elsewhere", key(1).Digest("api-key", "a", "bc")},
		{"one part", key(1).Digest("api-key", "abc")},
		{"an empty part in front", key(1).Digest("api-key", "", "ab", "c")},
		{"an empty part behind", key(1).Digest("api-key", "ab", "c", "")},
		{"no part", key(1).Digest("api-key")},
		{"one empty part", key(1).Digest("api-key", "")},
		{"another label", key(1).Digest("idempotency", "ab", "c")},
		{"label and part divided elsewhere", key(1).Digest("api-keya", "b", "c")},
		{"another key", key(2).Digest("api-key", "ab", "c")},
	} {
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(c.digest) {
			t.Errorf("%s: %q is not 64 hex digits", c.sentence, c.digest)
		}
		if other, ok := seen[c.digest]; ok {
			t.Errorf("%s has the digest of %s", c.sentence, other)
		}
		seen[c.digest] = c.sentence
	}
	if again := key(1).Digest("api-key", "ab", "c"); seen[again] != "the first" {
		t.Error("equal input has different digests")
	}
}

// Every digest starts from the same derived key, which none may change.
func TestDigestsAtTheSameTimeAreThoseMadeAlone(t *testing.T) {
	shared := key(1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 100 {
				label, part := fmt.Sprint("label", n%3), fmt.Sprint(i, n)
				if got, alone := shared.Digest(label, part), key(1).Digest(label, part); got != alone {
					t.Errorf("%s %s: %s, alone %s", label, part, got, alone)
				}
			}
		})
	}
	wg.Wait()
}

func TestNoVerbShowsTheKey(t *testing.T) {
	k := key('K')
	inside := struct{ Key *Key }{k}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%c"} {
		if got := fmt.Sprintf(verb, k); got != "seal.Key(hidden)" {
			t.Errorf("%s prints %q", verb, got)
		}
		if got := fmt.Sprintf(verb, inside); strings.Contains(got, "KKK") || strings.Contains(got, "4b4b") || strings.Contains(got, "75 75") {
			t.Errorf("%s of a struct prints %q", verb, got)
		}
	}
}

// What the first version of this package made of a known key.
const firstDigest = "d4fba629dde9f965c55c66870352b7066ebd9ca64d9e208055dda76951f082e3"

func firstSealed(t *testing.T) []byte {
	b, err := base64.StdEncoding.DecodeString("AR2+Axf5LWAcCKipbKzrs2gi/LXWDtmsd0nvgjNXT2XUC0V+T12KWNA+Ss8qe5+bzEHAPA2gvqWMLA==")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// BenchmarkDigest makes a digest of as much as the scope of an idempotency key is.
func BenchmarkDigest(b *testing.B) {
	k, credential := key(1), key(1).Digest("credential", "Bearer sk_test")
	b.ReportAllocs()
	for b.Loop() {
		if d := k.Digest("dedup", "default", "wire:stripe", credential, "", "6d1f4c9e-8b2a-4d7e-9c31-000000000001"); len(d) != 64 {
			b.Fatal(d)
		}
	}
}
