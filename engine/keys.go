package engine

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// keys names every key of one workspace in the store. Nothing else builds a
// key, but for package budget, which appends to the same prefix.
//
//	control                    freezes and the policies' revision (control)
//	head                       last sequence number and batch time (position)
//	request/<id>               a request
//	index/<chunk>              the ids of 64 requests in order of creation (chunk)
//	open/<chunk>               nothing: requests of the chunk may be open
//	ageless/<chunk>            nothing: requests of the chunk may count long after they were made
//	dedup/<digest>             the request of an idempotency key (dedup)
//	print/<agent>/<fingerprint> the latest request of a fingerprint to be held
//	twin/<day>/<fingerprint>   the latest requests of a fingerprint to begin on a day, by
//	                           the end of it
//	object/<rail>/<object>     the latest request on a provider's object, whatever
//	                           account acts: an account has more than one spelling
//	paid/<rail>/<transaction>  the requests that a provider's transaction belongs to (paid.go)
//	word/<seq>                 the id of one that failed on an operator's word alone, for
//	                           as long as its provider is asked whether that is so
//	holds/<agent>              how many requests of the agent are held
//	heldsum/<agent>/<unit>     how much money these would move
//	waits/<agent>              how many are held or approved, and so may be joined
//	due/<unix ms>/<what>/<id>  what falls due when
//	reply/<until>/<id>         a kept reply, sealed, by the ten minutes in which it ends
//	policy/<id>                a policy
//	filling/<id>               a policy whose counters are in between
//	key/<id>                   an API key
//	bud/…                      counters, see package budget
type keys struct{ prefix string }

func newKeys(workspace string) keys { return keys{"v1/" + escape(workspace) + "/"} }

func (k keys) control() string            { return k.prefix + "control" }
func (k keys) head() string               { return k.prefix + "head" }
func (k keys) request(id spend.ID) string { return k.prefix + "request/" + escape(string(id)) }
func (k keys) index(n uint64) string      { return numbered(k.prefix+"index/", n) }
func (k keys) words() string              { return k.prefix + "word/" }
func (k keys) word(n uint64) string       { return k.words() + ordered(n) }
func (k keys) dedup(digest string) string { return k.prefix + "dedup/" + digest }
func (k keys) paid(rail, transaction string) string {
	return k.prefix + "paid/" + escape(rail) + "/" + escape(transaction)
}
func (k keys) holds(agent string) string { return k.prefix + "holds/" + escape(agent) }
func (k keys) waits(agent string) string { return k.prefix + "waits/" + escape(agent) }
func (k keys) heldAmount(agent, unit string) string {
	return k.prefix + "heldsum/" + escape(agent) + "/" + escape(unit)
}
func (k keys) twins() string              { return k.prefix + "twin/" }
func (k keys) twinsOf(day uint64) string  { return numbered(k.twins(), day) + "/" }
func (k keys) replies() string            { return k.prefix + "reply/" }
func (k keys) policies() string           { return k.prefix + "policy/" }
func (k keys) policy(id spend.ID) string  { return k.policies() + string(id) }
func (k keys) fillings() string           { return k.prefix + "filling/" }
func (k keys) filling(id spend.ID) string { return k.fillings() + string(id) }
func (k keys) apiKeys() string            { return k.prefix + "key/" }
func (k keys) apiKey(id spend.ID) string  { return k.apiKeys() + string(id) }
func (k keys) dues() string               { return k.prefix + "due/" }
func (k keys) print(in *spend.Intent) string {
	return k.prefix + "print/" + escape(in.Agent) + "/" + in.Fingerprint
}

func (k keys) twin(day uint64, name string) string { return k.twinsOf(day) + name }

// chunksWith begins the keys that name the chunks of the index that may hold a
// request with the mark.
func (k keys) chunksWith(m marks) string {
	switch m {
	case openMark:
		return k.prefix + "open/"
	case agelessMark:
		return k.prefix + "ageless/"
	}
	return k.prefix + "index/"
}

// warm reports whether the value at key is read by one action after another.
func (k keys) warm(key string) bool {
	rest, ok := strings.CutPrefix(key, k.prefix)
	if !ok {
		return false
	}
	part, _, _ := strings.Cut(rest, "/")
	return part == "bud" || part == "request" || part == "index" || part == "control" || part == "head" || part == "holds" || part == "waits" || part == "audit-head"
}

func (k keys) object(in *spend.Intent) string {
	return k.prefix + "object/" + in.Rail + "/" + escape(in.Object)
}

// replySpan is how many seconds' worth of replies stand together.
const replySpan = 600

// reply is where the reply of a request is kept that was settled at the given time.
// The request has that time for good, so nothing else need remember it.
func (k keys) reply(id spend.ID, settled time.Time) string {
	until := settled.Add(replyKept+replySpan*time.Second-1).Unix() / replySpan
	return k.replies() + ordered(uint64(max(0, until))) + "/" + string(id)
}

// repliesPast begins no key of a reply that is to be kept at now, and is above all
// of those that are not.
func (k keys) repliesPast(now time.Time) string {
	return k.replies() + ordered(uint64(max(0, now.Unix()/replySpan))) + "0"
}

// sealedReply is what a reply is sealed for.
func (k keys) sealedReply(id spend.ID) string { return k.replies() + string(id) }

// The kinds of thing that fall due.
const (
	dueRequest = "request" // a hold or an authorization lapses
	dueReceipt = "receipt" // a receipt is missing
	dueWord    = "word"    // an operator's word that a payment failed is doubted no longer
	dueObject  = "object"  // a write without money, of unknown outcome, lets go of its object
)

// due rounds at up to the next millisecond, so that nothing falls due early.
func (k keys) due(at time.Time, what string, id spend.ID) string {
	return k.dues() + ordered(uint64(max(0, at.Add(time.Millisecond-1).UnixMilli()))) + "/" + what + "/" + string(id)
}

// readDue takes a due key apart.
func (k keys) readDue(key string) (at time.Time, what string, id spend.ID, err error) {
	parts := strings.Split(strings.TrimPrefix(key, k.dues()), "/")
	if len(parts) != 3 {
		return time.Time{}, "", "", fmt.Errorf("read due key %q: want time, kind and id", key)
	}
	ms, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return time.Time{}, "", "", fmt.Errorf("read due key %q: %w", key, err)
	}
	return time.UnixMilli(ms), parts[1], spend.ID(parts[2]), nil
}

// ordered writes n so that byte order is number order.
func ordered(n uint64) string { return numbered("", n) }

// numbered is prefix with ordered(n) behind it.
func numbered(prefix string, n uint64) string {
	var room [96]byte
	b := append(append(room[:0], prefix...), "00000000000000000000"...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b)
}

// escape keeps a name from reaching into another part of a key.
func escape(s string) string {
	if strings.IndexByte(s, '/') < 0 && strings.IndexByte(s, '%') < 0 {
		return s
	}
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(s)
}
