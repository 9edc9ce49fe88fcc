// Package tokens makes the credentials that outgo hands out and recognises.
// It is cryptography only: the engine stores what is made here, and decides.
//
// An API key reads outgo_<8 characters>_<43 characters>. Its prefix, the part
// before the second underscore, names the key in lists and logs and finds it in
// the store; the rest is 256 random bits and is shown once. What is stored is
//
//	key.Digest("api-key", secret)
//
// of tokens/seal over the whole secret, compared in constant time. A caller's
// header goes through Split first, so that nothing else is ever looked up.
package tokens

import (
	"fmt"
	"io"
	"math/big"
	"strings"
)

// Role is what the holder of an API key may do. There is no order among roles:
// each is checked for by name.
type Role string

// The roles.
const (
	RoleAgent    Role = "agent"    // declare spends, read and cancel its own
	RoleApprover Role = "approver" // decide on what is held
	RoleAdmin    Role = "admin"    // change policies, keys and settings
)

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r == RoleAgent || r == RoleApprover || r == RoleAdmin }

const (
	brand     = "outgo_"
	nameLen   = 8  // characters between the underscores
	secretLen = 43 // base-62 digits that hold 256 bits
)

// Key is a newly minted API key.
type Key struct {
	Prefix string // outgo_ and 8 characters of 0-9, a-z, A-Z; public
	Secret string // the whole key, Prefix included; to be shown once and kept nowhere
}

// String is the public part, so that a Key in a log line gives nothing away.
func (k Key) String() string { return k.Prefix + "_…" }

// GoString is String for %#v.
func (k Key) GoString() string { return k.String() }

// Mint draws a key from rand, which is crypto/rand.Reader but in tests. It fails
// only if rand does. Two prefixes may collide, once in some ten million keys:
// whoever stores a key must find its prefix unused.
func Mint(rand io.Reader) (Key, error) {
	var b [8 + 32]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return Key{}, fmt.Errorf("mint key: %w", err)
	}
	// 2^64 is so much larger than 62^8 that the remainder is as good as even.
	name := new(big.Int).SetBytes(b[:8])
	name.Mod(name, new(big.Int).Exp(big.NewInt(62), big.NewInt(nameLen), nil))
	prefix := brand + base62(name, nameLen)
	return Key{Prefix: prefix, Secret: prefix + "_" + base62(new(big.Int).SetBytes(b[8:]), secretLen)}, nil
}

// base62 writes n with the digits 0-9, a-z, A-Z, filled up to width.
func base62(n *big.Int, width int) string {
	s := n.Text(62)
	return strings.Repeat("0", width-len(s)) + s
}

// Split returns the prefix of an API key. It reports false for everything that
// Mint cannot have written, be it off by a space.
func Split(secret string) (prefix string, ok bool) {
	const end = len(brand) + nameLen
	if len(secret) != end+1+secretLen || secret[:len(brand)] != brand || secret[end] != '_' {
		return "", false
	}
	if !alphanumeric(secret[len(brand):end]) || !alphanumeric(secret[end+1:]) {
		return "", false
	}
	return secret[:end], true
}

func alphanumeric(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
