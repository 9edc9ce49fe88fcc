package audit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// valuesAtOnce bounds the memory of a verification: so many values of the ledger
// are compared in one walk over the entries, at about 200 bytes each.
const valuesAtOnce = 500_000

// A value is what a ledger holds at one key, and what the entries say of it.
type value struct {
	now     Hash // of what is there; none if nothing is
	want    Hash // last recorded; none if nothing was, or a deletion
	seq     uint64
	present bool
}

// compareAll compares every value of the ledger with its last record, in key
// order, atOnce or a few more at a time.
func (v *verifier) compareAll() error {
	for after := ""; ; {
		values := make(map[string]*value)
		above := after
		for {
			if err := v.ctx.Err(); err != nil {
				return err
			}
			page, next, err := v.covered(v.r, after, pageSize)
			if err != nil {
				return err
			}
			for _, en := range page {
				values[en.Key] = &value{now: Sum(en.Value), present: true}
			}
			after = next
			if next == "" || len(values) >= v.atOnce {
				break
			}
		}
		err := v.recorded(0, values, func(key string) bool { return key > above && (after == "" || key <= after) })
		if err != nil {
			return err
		}
		for key, val := range values {
			v.judge(key, val)
		}
		if after == "" {
			return nil
		}
	}
}

// compareSince compares what the entries behind from wrote.
func (v *verifier) compareSince(from Mark) error {
	values := make(map[string]*value)
	if err := v.recorded(from.Seq, values, func(string) bool { return true }); err != nil {
		return err
	}
	for key, val := range values {
		b, err := v.r.Get(v.prefix + key)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		default:
			val.now, val.present = Sum(b), true
		}
		v.judge(key, val)
	}
	return nil
}

// recorded notes in values what the entries behind from last recorded of the
// keys that in holds. The entries have been found sound.
func (v *verifier) recorded(from uint64, values map[string]*value, in func(string) bool) error {
	for s, err := range v.stored(v.r, from) {
		if err == nil {
			err = v.ctx.Err()
		}
		if err == nil && s.err != nil {
			err = fmt.Errorf("read %s: %w", s.key, s.err)
		}
		if err != nil {
			return err
		}
		for _, r := range s.Records {
			if !in(r.Key) || !v.covers(r.Key) {
				continue
			}
			val := values[r.Key]
			switch {
			case val != nil && r.Digest.IsZero() && !val.present && v.scope.Whole:
				delete(values, r.Key) // it came and went
			case val != nil:
				val.want, val.seq = r.Digest, s.Seq
			case !r.Digest.IsZero() || !v.scope.Whole:
				values[r.Key] = &value{want: r.Digest, seq: s.Seq}
			}
		}
	}
	return nil
}

// judge says what is wrong with one value.
func (v *verifier) judge(key string, val *value) {
	v.rep.Values++
	name, request := valueName(key)
	switch {
	case val.present && val.seq == 0:
		v.fault(0, request, ValueUnknown, "%s is in the ledger, but no entry recorded it: it was put there from outside", name)
	case val.present && val.want.IsZero():
		v.fault(val.seq, request, ValueUnknown, "%s was put back after entry %d had deleted it", name, val.seq)
	case !val.present && !val.want.IsZero():
		v.fault(val.seq, request, ValueMissing, "%s is missing: it was deleted after entry %d had written it", name, val.seq)
	case val.now != val.want:
		v.fault(val.seq, request, ValueAltered, "%s was altered after entry %d had written it", name, val.seq)
	}
}

// valueName names a key of the ledger for an operator.
func valueName(key string) (name string, request spend.ID) {
	if id, ok := strings.CutPrefix(key, "request/"); ok {
		return "request " + plain(id), spend.ID(id)
	}
	if what, ok := strings.CutPrefix(key, "bud/"); ok {
		return fmt.Sprintf("budget counter %.120q", what), ""
	}
	return fmt.Sprintf("value %.120q", key), ""
}
