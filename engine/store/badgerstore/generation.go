package badgerstore

import (
	"math"
	"strings"

	"github.com/tidwall/btree"
)

// A generation is what a run of segments of the journal holds, in memory. The live
// one takes every commit. Once it is frozen it changes no more, is written into
// Badger, and is dropped with its segments.
type generation struct {
	tree     btree.Map[string, version]
	segments []*segment    // the last one takes the next record; guarded by journal.turn
	debris   []*segment    // of before the journal was opened, to be used again with the others
	next     uint64        // the segment behind its own, once it is frozen
	last     uint64        // sequence of its last commit, or of the last before it
	dropped  chan struct{} // closed when its content is in Badger for good
}

// A version is what a key became by one commit. Values are never changed.
type version struct {
	value  []byte // nil = deleted
	seq    uint64
	before *version // in this generation, where a snapshot may ask for it
}

// An entry is a key with what it became.
type entry struct {
	key   string
	value []byte // nil = deleted
}

func newGeneration(last uint64, segments ...*segment) *generation {
	return &generation{last: last, segments: segments, dropped: make(chan struct{})}
}

// latest asks a generation for the last version, whatever its sequence.
const latest = math.MaxUint64

// get returns what key had become at a sequence, if this generation knows.
func (g *generation) get(key string, at uint64) (v version, ok bool) {
	if g == nil {
		return version{}, false
	}
	v, ok = g.tree.Get(key)
	if !ok {
		return version{}, false
	}
	return v.at(at)
}

func (v version) at(at uint64) (_ version, ok bool) {
	for v.seq > at {
		if v.before == nil {
			return version{}, false
		}
		v = *v.before
	}
	return v, true
}

// changed reports whether key has become something else after a sequence.
func (g *generation) changed(key string, after uint64) bool {
	v, ok := g.get(key, latest)
	return ok && v.seq > after
}

// put notes what key became. With keep, what it was before is there for those who
// ask for an earlier sequence.
func (g *generation) put(key string, value []byte, seq uint64, keep bool) {
	v := version{value: value, seq: seq}
	if keep {
		if old, ok := g.tree.Get(key); ok && old.seq == seq {
			v.before = old.before // the same commit has written it twice
		} else if ok {
			v.before = &old
		}
	}
	g.tree.Set(key, v)
}

// A span is the keys that begin with prefix, strictly beyond the key beyond ("" for
// all of them), in byte order or against it.
type span struct {
	prefix, beyond string
	reverse        bool
}

// seek is where to begin: at the first key of the span, or the last with reverse,
// where "" is the last key of all.
func (s span) seek() string {
	if !s.reverse {
		return max(s.prefix, s.beyond)
	}
	start := end(s.prefix)
	if s.beyond != "" && (start == "" || s.beyond < start) {
		start = s.beyond
	}
	return start
}

// has reports whether a key is in the span.
func (s span) has(key string) bool {
	return strings.HasPrefix(key, s.prefix) && (s.beyond == "" || key != s.beyond && (key > s.beyond) != s.reverse)
}

// where says of a key met on the way from seek on whether it is in the span, and
// whether all that follow are not.
func (s span) where(key string) (in, past bool) {
	if strings.HasPrefix(key, s.prefix) {
		return s.beyond == "" || key != s.beyond, false
	}
	return false, !s.reverse || key < s.prefix
}

// page returns up to limit entries of a span as they were at a sequence, deletions
// among them.
func (g *generation) page(s span, at uint64, limit int) []entry {
	var page []entry
	take := func(key string, v version) bool {
		in, past := s.where(key)
		if past {
			return false
		}
		if v, ok := v.at(at); in && ok {
			page = append(page, entry{key, v.value})
		}
		return len(page) < limit
	}
	switch start := s.seek(); {
	case !s.reverse:
		g.tree.Ascend(start, take)
	case start == "":
		g.tree.Reverse(take)
	default:
		g.tree.Descend(start, take)
	}
	return page
}

// end returns the first key in byte order that is above every key that begins
// with prefix, or "" when there is none.
func end(prefix string) string {
	b := []byte(prefix)
	for len(b) > 0 {
		last := len(b) - 1
		if b[last] < 0xff {
			b[last]++
			return string(b)
		}
		b = b[:last]
	}
	return ""
}
