package tokens

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/outgo/outgo/tokens/seal"
)

const (
	zeros = "outgo_00000000_0000000000000000000000000000000000000000000"
	shape = `^outgo_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}$`
)

func TestMintedKeysHaveTheShapeThatSplitAccepts(t *testing.T) {
	seen := map[string]bool{}
	for range 500 {
		k, err := Mint(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(shape).MatchString(k.Secret) {
			t.Fatalf("%q does not match %s", k.Secret, shape)
		}
		if prefix, ok := Split(k.Secret); !ok || prefix != k.Prefix || !strings.HasPrefix(k.Secret, k.Prefix+"_") {
			t.Fatalf("Split = %q, %t, want %q", prefix, ok, k.Prefix)
		}
		if seen[k.Secret] || seen[k.Prefix] {
			t.Fatalf("%s was drawn twice", k.Prefix)
		}
		seen[k.Secret], seen[k.Prefix] = true, true
	}
}

func TestMintUsesEveryBitOfItsRandomness(t *testing.T) {
	mint := func(b []byte) Key {
		t.Helper()
		k, err := Mint(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if k := mint(make([]byte, 40)); k.Secret != zeros {
		t.Errorf("no randomness gives %s, want %s", k.Secret, zeros)
	}
	if k := mint(bytes.Repeat([]byte{0xff}, 40)); !regexp.MustCompile(shape).MatchString(k.Secret) {
		t.Errorf("the largest numbers give %s, which does not match %s", k.Secret, shape)
	}
	seen := map[string]int{zeros: -1}
	for bit := range 8 * 40 {
		b := make([]byte, 40)
		b[bit/8] = 1 << (bit % 8)
		k := mint(b)
		if other, ok := seen[k.Secret]; ok {
			t.Errorf("bits %d and %d give the same key", bit, other)
		}
		seen[k.Secret] = bit
	}
}

func TestMintFailsWithItsRandomness(t *testing.T) {
	boom := errors.New("boom")
	for sentence, r := range map[string]io.Reader{
		"at once":   iotest.ErrReader(boom),
		"too early": io.MultiReader(bytes.NewReader(make([]byte, 39)), iotest.ErrReader(boom)),
	} {
		if k, err := Mint(r); !errors.Is(err, boom) || k != (Key{}) {
			t.Errorf("%s: Mint = %v, %v, want the error alone", sentence, k, err)
		}
	}
}

func TestAKeyInALogLineHidesItsSecret(t *testing.T) {
	k, err := Mint(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		got := fmt.Sprintf(verb, k)
		if strings.Contains(got, k.Secret) || !strings.Contains(got, k.Prefix) {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func TestSplitIsStrict(t *testing.T) {
	for _, c := range []struct{ sentence, secret string }{
		{"empty", ""},
		{"a prefix alone", zeros[:14]},
		{"a prefix and its underscore", zeros[:15]},
		{"a character short", zeros[:len(zeros)-1]},
		{"a character long", zeros + "0"},
		{"a space behind", zeros + " "},
		{"a space for the last character", zeros[:len(zeros)-1] + " "},
		{"a line end for the last character", zeros[:len(zeros)-1] + "\n"},
		{"a space in front", " " + zeros[:len(zeros)-1]},
		{"another brand", "OUTGO_" + zeros[6:]},
		{"an underscore in the name", "outgo_0000_000" + zeros[14:]},
		{"an underscore in the secret", zeros[:20] + "_" + zeros[21:]},
		{"a dash in the secret", zeros[:20] + "-" + zeros[21:]},
		{"no second underscore", zeros[:14] + "0" + zeros[15:]},
		{"a zero byte", zeros[:20] + "\x00" + zeros[21:]},
		{"a letter of two bytes", zeros[:20] + "é" + zeros[22:]},
		{"a provider's key", "sk_live_" + zeros[8:]},
	} {
		if prefix, ok := Split(c.secret); ok || prefix != "" {
			t.Errorf("%s: Split(%q) = %q, %t, want it refused", c.sentence, c.secret, prefix, ok)
		}
	}
	if prefix, ok := Split(zeros); !ok || prefix != "outgo_00000000" {
		t.Errorf("Split(%q) = %q, %t", zeros, prefix, ok)
	}
}

func TestADigestFindsTheKeyAgain(t *testing.T) {
	k, err := Mint(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealKey := seal.FromBytes([seal.Size]byte{1})
	stored := sealKey.Digest("api-key", k.Secret)
	if strings.Contains(stored, k.Secret) || sealKey.Digest("api-key", k.Secret) != stored {
		t.Errorf("digest %s", stored)
	}
	if sealKey.Digest("api-key", k.Prefix) == stored {
		t.Error("the prefix has the digest of the key")
	}
}

func TestRolesAreThree(t *testing.T) {
	for role, want := range map[Role]bool{"agent": true, "approver": true, "admin": true, "": false, "Admin": false, "root": false, "admin ": false} {
		if got := role.Valid(); got != want {
			t.Errorf("%q.Valid() = %t, want %t", role, got, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(zeros)
	f.Add("outgo_AbCd1234_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ")
	f.Add("outgo__")
	f.Add("outgo_0000_000_0000000000000000000000000000000000000000000")
	f.Add(strings.Repeat("_", 58))
	re := regexp.MustCompile(`\A(outgo_[0-9A-Za-z]{8})_[0-9A-Za-z]{43}\z`)
	f.Fuzz(func(t *testing.T, secret string) {
		prefix, ok := Split(secret)
		want := re.FindStringSubmatch(secret)
		if ok != (want != nil) || ok && prefix != want[1] || !ok && prefix != "" {
			t.Errorf("Split(%q) = %q, %t, want %q", secret, prefix, ok, want)
		}
	})
}
