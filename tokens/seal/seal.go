// Package seal keeps secrets at rest. One 32-byte key, from a file or from
// whoever holds it, gives two things: Seal and Open, for what must be read
// again (handle tokens, webhook secrets, kept replies), and Digest, for what
// must only be recognised (API keys, idempotency keys).
//
// A sealed value is one format byte, a random nonce, and AES-256-GCM over the
// plaintext, with the format byte and the caller's associated data, the store
// key, authenticated: a value moved to another key does not open. Each use has
// a subkey of its own, derived with HKDF-SHA256. Nonces are random, so one key
// may seal about four thousand million values.
//
// No error and no formatting of a Key shows key or plaintext.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
)

// Size is the length of the key in bytes.
const Size = 32

// ErrOpen is what Open returns for everything that Seal did not make with the
// same key for the same associated data. It does not say which of the two was
// wrong, nor whether the value was altered.
var ErrOpen = errors.New("open sealed value: another key, another place, or an altered value")

// format1 is the first byte of every sealed value: AES-256-GCM with a random
// 12-byte nonce in front.
const format1 = 1

// The labels of the subkeys. Changing one changes every value made with it.
const (
	sealLabel   = "outgo seal 1"
	digestLabel = "outgo digest 1 " // followed by the caller's label
)

// Key seals, opens and digests. It is safe for concurrent use. Load and
// FromBytes make one.
type Key struct {
	aead   cipher.AEAD
	secret [Size]byte
	macs   sync.Map // label to *sync.Pool of *mac
}

// FromBytes makes a Key of 32 bytes that are already secret and random.
func FromBytes(b [Size]byte) *Key {
	k := &Key{secret: b}
	block, err := aes.NewCipher(k.subkey(sealLabel))
	if err != nil {
		panic(fmt.Sprintf("seal: %v", err)) // a key of 32 bytes is an AES key
	}
	if k.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		panic(fmt.Sprintf("seal: %v", err)) // AES has the block size that GCM wants
	}
	return k
}

// subkey derives 32 bytes for one use of the key.
func (k *Key) subkey(label string) []byte {
	b, err := hkdf.Key(sha256.New, k.secret[:], nil, label, Size)
	if err != nil {
		panic(fmt.Sprintf("seal: %v", err)) // only a longer subkey is refused
	}
	return b
}

// Seal encrypts plaintext for the place named ad, the key under which the
// caller stores the result. Two calls never give the same bytes.
func (k *Key) Seal(plaintext []byte, ad string) []byte {
	out := make([]byte, 1, 1+k.aead.Overhead()+len(plaintext))
	out[0] = format1
	return k.aead.Seal(out, nil, plaintext, additional(ad)) //nolint:gosec // this AEAD draws the nonce itself
}

// Open returns what Seal was given for the same ad, or ErrOpen.
func (k *Key) Open(sealed []byte, ad string) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != format1 {
		return nil, ErrOpen
	}
	plaintext, err := k.aead.Open(nil, nil, sealed[1:], additional(ad))
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// additional is what GCM authenticates beside the plaintext.
func additional(ad string) []byte { return append([]byte{format1}, ad...) }

// Digest returns the hex HMAC-SHA256, 64 characters, of parts under a subkey of
// label. Without the key nobody can compute it, so it may be stored and looked
// up by. The boundaries of parts count: ("ab", "c") and ("a", "bc") differ, and
// so do no parts and one empty part.
func (k *Key) Digest(label string, parts ...string) string {
	pool, ok := k.macs.Load(label)
	if !ok {
		pool, _ = k.macs.LoadOrStore(label, new(sync.Pool))
	}
	m, ok := pool.(*sync.Pool).Get().(*mac)
	if !ok {
		m = &mac{hash: hmac.New(sha256.New, k.subkey(digestLabel+label))}
	}
	for _, p := range parts {
		m.buf = binary.BigEndian.AppendUint64(m.buf, uint64(len(p)))
		m.buf = append(m.buf, p...)
	}
	m.hash.Write(m.buf)
	clear(m.buf) // what was digested does not stay in memory
	sum := m.hash.Sum(m.buf[:0])
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum)
	m.hash.Reset()
	m.buf = m.buf[:0]
	pool.(*sync.Pool).Put(m)
	return string(text[:])
}

// mac is an HMAC under the subkey of a label, and room for its input. Deriving
// the subkey costs more than the digest, so each is used again.
type mac struct {
	hash hash.Hash
	buf  []byte
}

// Format keeps the key out of every verb that fmt knows.
func (k *Key) Format(f fmt.State, _ rune) {
	io.WriteString(f, "seal.Key(hidden)") //nolint:errcheck,gosec // fmt keeps the error
}
