package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

const (
	maxLookups     = 3
	maxLookupReply = 1 << 20

	// keyDigits is how much of a digest goes into an upstream idempotency key.
	keyDigits     = 40
	sentKeyPrefix = "outgo_"

	// encoder is the version of what fingerprint covers and in what order.
	encoder = "1"
)

// lookupError is the error of a call whose amount the provider did not tell.
type lookupError struct {
	lookup rails.Lookup
	err    error
}

func (e *lookupError) Error() string { return fmt.Sprintf("look up %s: %v", e.lookup, e.err) }
func (e *lookupError) Unwrap() error { return e.err }

// judge has the rail read the call, performs the lookups that it asks for, and
// completes the intent. Every time it is called it looks up anew.
func (x *exchange) judge() error {
	var facts []rails.Fact
	var asked time.Time
	j, err := x.rail.Intent(&x.call, nil)
	if err == nil && len(j.Lookups) > 0 {
		asked = x.p.clock()
		ctx, cancel := context.WithTimeout(context.Background(), x.p.times.Lookup)
		defer cancel()
		for err == nil && len(j.Lookups) > 0 {
			if facts, err = x.lookUp(ctx, facts, j.Lookups, j.KeyHeader); err == nil {
				j, err = x.rail.Intent(&x.call, facts)
			}
		}
	}
	if err != nil {
		return err
	}
	if j.Intent.Class == spend.Unrecognised && !x.p.opt.HoldUnrecognised {
		x.judged.Intent.Operation = j.Intent.Operation
		return rails.Refusef(spend.UnrecognisedCall, "", "outgo %s, so it was not sent; an operator can have such calls held for approval with `proxy.unrecognised: hold`", x.unread(j.Doubt))
	}
	x.judged = j
	x.judged.Intent.Maskable = j.Intent.Maskable && j.Intent.Class == spend.Capability && len(j.Withheld) > 0
	if len(facts) > 0 {
		x.judged.Intent.LookedUp = asked
	}
	x.complete(&x.judged.Intent)
	return nil
}

// unread says what of the call outgo does not know.
func (x *exchange) unread(doubt string) string {
	if doubt != "" {
		return fmt.Sprintf("cannot tell what %s %s would move: %s", x.call.Method, x.call.Path, doubt)
	}
	return fmt.Sprintf("does not know what %s %s does with money", x.call.Method, x.call.Path)
}

// lookUp performs lookups and appends what the provider answered to facts.
func (x *exchange) lookUp(ctx context.Context, facts []rails.Fact, lookups []rails.Lookup, keyHeader string) ([]rails.Fact, error) {
	began := x.p.clock()
	defer func() { x.line.Upstream += x.p.clock().Sub(began) }()
	for _, l := range lookups {
		if len(facts) == maxLookups {
			return nil, &lookupError{l, fmt.Errorf("more than %d lookups", maxLookups)}
		}
		reply, err := x.get(ctx, l, maxLookupReply, func(name string) bool {
			return hasPrefixFold(name, "Content-") || hasPrefixFold(name, "If-") ||
				equalsAny(name, "Range", "Idempotency-Key", "Accept-Encoding") || keyHeader != "" && strings.EqualFold(name, keyHeader)
		})
		if err != nil {
			return nil, &lookupError{l, err}
		}
		facts = append(facts, rails.Fact{Lookup: l, Reply: reply})
	}
	return facts, nil
}

// get reads one object with the call's own header fields, but for those that skip
// names. What it holds can send a POST to the rail's previews and to nothing else.
func (x *exchange) get(ctx context.Context, l rails.Lookup, limit int, skip func(name string) bool) (rails.Reply, error) {
	if _, _, _, err := rails.CanonicalTarget(l.Target); err != nil {
		return rails.Reply{}, err
	}
	x.write(l.Method(), l.Target, skip)
	x.scratch = appendField(x.scratch, "Accept-Encoding", "identity")
	if l.Body != "" {
		x.scratch = appendField(x.scratch, "Content-Type", "application/x-www-form-urlencoded")
	}
	var in upstream.Reply
	req := upstream.Request{Method: l.Method(), Head: x.scratch, Body: []byte(l.Body)}
	if err := x.p.up.Reader(x.route.previews...).Get(ctx, x.key(), req, &in, limit); err != nil {
		return rails.Reply{}, err
	}
	return readReply(&in)
}

func (x *exchange) key() upstream.Key {
	return x.p.key(x.agent, x.call.Host, x.port, x.plain)
}

// complete fills in who makes the call and what makes it the same call again.
func (x *exchange) complete(in *spend.Intent) {
	in.Agent = x.agent
	if in.Class == spend.Unrecognised {
		in.Call = fmt.Sprintf("%s %s%.200s", x.call.Method, x.call.Host, x.call.Path)
	}
	if in.Rail == "" {
		in.Rail = x.rail.Name()
	}
	if x.credential == "" {
		authorization := x.call.Get("Authorization")
		x.scratch = append(x.scratch[:0], authorization...)
		x.credential = x.w.credentialOf(authorization, x.scratch, x.p.opt.Digest)
	}
	in.DedupKey, in.SentKey = "", ""
	if x.judged.Key != "" {
		x.parts = [...]string{in.Agent, x.route.surface, x.credential, in.ActingAccount, x.judged.Key}
		in.DedupKey = x.p.opt.Digest("dedup", x.parts[:]...)
		x.parts[1] = x.judged.Key
		in.SentKey = sentKeyPrefix + x.p.opt.Digest("upstream-key", x.parts[:2]...)[:keyDigits]
	}
	b := x.scratch[:0]
	for _, part := range [...]string{encoder, in.Rail, x.call.Host, x.call.Method, x.call.Path} {
		b = appendPart(b, part)
	}
	b = appendPart(b, x.judged.Canonical)
	for _, part := range [...]string{in.ActingAccount, string(in.Mode), x.judged.Version, x.credential} {
		b = appendPart(b, part)
	}
	x.scratch = b
	in.Fingerprint = fingerprint(b)
}

// appendPart appends a part of what a fingerprint covers behind its length.
func appendPart[T string | []byte](b []byte, part T) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
	return append(b, part...)
}

// fingerprint is a SHA-256 in hex.
func fingerprint(b []byte) string {
	sum := sha256.Sum256(b)
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	return string(digits[:])
}

// upstreamKey is the idempotency key that the provider gets: the agent's own
// under outgo's seal, so that two agents with the same key never meet, or one
// made of the request where the agent sent none.
func (x *exchange) upstreamKey() string {
	if x.judged.Intent.SentKey != "" {
		return x.judged.Intent.SentKey
	}
	return x.p.sentKey(&x.request)
}

// SentKey is the idempotency key under which the provider got a request, by which what
// it says later is known to be about that.
func (p *Proxy) SentKey(r *spend.Request) string { return p.sentKey(r) }

// sentKey is the idempotency key under which the provider got a request.
func (p *Proxy) sentKey(r *spend.Request) string {
	if r.Intent.SentKey != "" {
		return r.Intent.SentKey
	}
	return sentKeyPrefix + p.opt.Digest("upstream-key", string(r.ID))[:keyDigits]
}

// since is how long ago t was by the proxy's clock.
func (x *exchange) since(t time.Time) time.Duration { return x.p.clock().Sub(t) }
