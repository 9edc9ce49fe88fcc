package stripe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

const (
	// signedWithin is how old or how young a notice may be, for clocks differ: what is
	// older may be one that somebody has kept.
	signedWithin = 5 * time.Minute
	// maxSignature bounds the header field that carries the signatures, in bytes, and
	// maxSigned their number: Stripe sends one for each secret that is in force.
	maxSignature = 4 << 10
	maxSigned    = 16
)

// verify checks that a body was signed with one of the secrets, and within five minutes
// of now. The field Stripe-Signature is a list "t=1700000000,v1=…,v1=…" of the time of
// the signature, in seconds, and of signatures: HMAC-SHA256 in hex, with the endpoint's
// secret, over the digits of t, a dot, and the body (docs.stripe.com/webhooks, "Verify
// webhook signatures manually"). Signatures of other schemes say nothing.
func verify(secrets, fields []string, body []byte, now time.Time) error {
	if len(fields) != 1 {
		return fmt.Errorf("the call has %d Stripe-Signature fields, want one: %w", len(fields), spend.Unauthenticated)
	}
	stamp, signatures, err := readSignature(fields[0])
	if err != nil {
		return fmt.Errorf("read Stripe-Signature: %w: %w", err, spend.Unauthenticated)
	}
	n, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("read Stripe-Signature: its time is no number of seconds: %w", spend.Unauthenticated)
	}
	signed := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(stamp))
		mac.Write([]byte{'.'})
		mac.Write(body)
		want := mac.Sum(nil)
		for _, s := range signatures {
			signed = hmac.Equal(s, want) || signed
		}
	}
	if !signed {
		return fmt.Errorf("the signature is not of this body with a secret of the config: %w", spend.Unauthenticated)
	}
	if age := now.Unix() - n; n < 0 || age > int64(signedWithin/time.Second) || age < -int64(signedWithin/time.Second) {
		return fmt.Errorf("the signature is not of the last %s: %w", signedWithin, spend.Unauthenticated)
	}
	return nil
}

// readSignature takes the field apart.
func readSignature(field string) (stamp string, v1 [][]byte, err error) {
	if len(field) > maxSignature {
		return "", nil, errors.New("it is too long")
	}
	for part := range strings.SplitSeq(field, ",") {
		scheme, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !ok:
			return "", nil, errors.New("a part of it has no value")
		case scheme == "t" && stamp != "":
			return "", nil, errors.New("it has two times")
		case scheme == "t":
			if value == "" || len(value) > 18 || strings.Trim(value, "0123456789") != "" {
				return "", nil, errors.New("its time is no number of seconds")
			}
			stamp = value
		case scheme == "v1":
			b, err := hex.DecodeString(value)
			if err != nil || len(b) != sha256.Size || len(v1) == maxSigned {
				return "", nil, errors.New("a signature of it is none")
			}
			v1 = append(v1, b)
		}
	}
	if stamp == "" || len(v1) == 0 {
		return "", nil, errors.New("it needs a time and a signature of scheme v1")
	}
	return stamp, v1, nil
}
