package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// A packer writes fields behind one another, or reads them back: both directions go
// through the same description of a form, so that they cannot differ. A number is
// of variable length; a text is compact; a time is nanoseconds since a base, which is
// mostly a few of them.
//
// Its first error stays; what is read after it is nought.
type packer struct {
	b       []byte // what was written, or is to be read
	reading bool
	epoch   int64 // the base of times, in nanoseconds
	inexact bool  // something was written that may read as something else
	err     error
}

var errCutShort = errors.New("it ends too early, or has no such form")

func (p *packer) fail(err error) {
	if p.err == nil && err != nil {
		p.err = err
	}
	if p.err != nil && p.reading {
		p.b = nil
	}
}

// end returns the first error of reading, or one for what is left over.
func (p *packer) end() error {
	if p.err == nil && len(p.b) > 0 {
		p.err = fmt.Errorf("%d bytes are left over", len(p.b))
	}
	return p.err
}

func (p *packer) uint(v *uint64) {
	if !p.reading {
		p.b = binary.AppendUvarint(p.b, *v)
		return
	}
	n, size := binary.Uvarint(p.b)
	if size <= 0 {
		p.fail(errCutShort)
		*v = 0
		return
	}
	*v, p.b = n, p.b[size:]
}

func (p *packer) int64(v *int64) {
	n := uint64(*v<<1) ^ uint64(*v>>63)
	p.uint(&n)
	if p.reading {
		*v = int64(n>>1) ^ -int64(n&1)
	}
}

func (p *packer) int(v *int) {
	n := int64(*v)
	p.int64(&n)
	if p.reading {
		if *v = int(n); int64(*v) != n {
			p.fail(fmt.Errorf("number %d is too large", n))
		}
	}
}

// flag returns v, or what was written for it.
func (p *packer) flag(v bool) bool {
	p.bool(&v)
	return v
}

func (p *packer) bool(v *bool) {
	n := uint64(0)
	if *v {
		n = 1
	}
	p.uint(&n)
	if n > 1 {
		p.fail(fmt.Errorf("%d is neither yes nor no", n))
	}
	if p.reading {
		*v = n == 1
	}
}

// text packs a text.
func text[T ~string](p *packer, v *T) {
	if p.reading {
		*v = T(p.readText())
		return
	}
	p.b = spend.AppendCompact(p.b, string(*v))
}

func (p *packer) readText() string {
	s, rest, ok := spend.CutCompact(p.b)
	if !ok {
		p.fail(errCutShort)
		return ""
	}
	p.b = rest
	return s
}

// amount packs an amount as its text, none as an empty one.
func (p *packer) amount(a *spend.Amount) {
	if p.reading {
		p.fail(a.UnmarshalText([]byte(p.readText())))
		return
	}
	var room [96]byte
	form, _ := a.AppendText(room[:0]) //nolint:errcheck // it never fails
	p.b = spend.AppendCompact(p.b, string(form))
}

// The forms of a time. Any other number is the nanoseconds since the base, and two.
const (
	noTime = iota
	farTime
	nearTime
)

// base sets what times lie behind.
func (p *packer) base(t time.Time) {
	if isNear(t) {
		p.epoch = t.UnixNano()
	}
}

// isNear reports whether the nanoseconds between t and another near time fit in a
// number with its sign, twice.
func isNear(t time.Time) bool {
	const century = 100 * 365 * 24 * 60 * 60
	s := t.Unix()
	return s > -century/3 && s < century
}

// since packs a time, without its zone.
func (p *packer) since(t *time.Time) {
	if p.reading {
		*t = p.readTime()
		return
	}
	form := uint64(noTime)
	switch {
	case t.IsZero():
	case !isNear(*t):
		form = farTime
	default:
		d := t.UnixNano() - p.epoch
		form = (uint64(d<<1) ^ uint64(d>>63)) + nearTime
	}
	p.uint(&form)
	if form == farTime {
		s, ns := t.Unix(), t.Nanosecond()
		p.int64(&s)
		p.int(&ns)
	}
}

func (p *packer) readTime() time.Time {
	var form uint64
	p.uint(&form)
	switch form {
	case noTime:
		return time.Time{}
	case farTime:
		var s int64
		var ns int
		p.int64(&s)
		p.int(&ns)
		return time.Unix(s, int64(ns)).UTC()
	}
	form -= nearTime
	return time.Unix(0, p.epoch+(int64(form>>1)^-int64(form&1))).UTC()
}

// list packs the number of items and each item.
func list[T any](p *packer, items *[]T, item func(*T)) {
	n := uint64(len(*items))
	p.uint(&n)
	if p.reading {
		if n > uint64(len(p.b)) { // each has a byte at least
			p.fail(errCutShort)
			return
		}
		if n > 0 {
			*items = make([]T, n)
		}
	}
	for i := range *items {
		item(&(*items)[i])
	}
}

// asJSON packs what few requests have, as a text that is empty for none.
func asJSON[T any](p *packer, v *T, none bool) {
	if p.reading {
		if s := p.readText(); s != "" {
			p.fail(json.Unmarshal([]byte(s), v))
		}
		return
	}
	form := ""
	if !none {
		b, err := json.Marshal(v)
		p.fail(err)
		form = string(b)
		p.inexact = true // it may hold anything
	}
	text(p, &form)
}
