package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

func TestAKnownIdempotencyKeyIsReadOrRefused(t *testing.T) {
	k, o := newKeys("main"), newOverlay(nothing{})
	want := dedup{spend.NewID(time.Now()), time.Unix(1_795_262_400, 7).UTC()}
	stored := want.stored()
	_ = o.Put(k.dedup("a"), stored)
	if got, err := readDedup(o, k.dedup("a")); err != nil || got != want || len(stored) > 32 {
		t.Errorf("%+v in %d bytes, want %+v: %v", got, len(stored), want, err)
	}
	if _, err := readDedup(o, k.dedup("b")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown key: %v", err)
	}
	for sentence, bad := range map[string][]byte{
		"nothing": {}, "JSON": []byte("\x01{}"), "more": append(append([]byte{}, stored...), 0), "less": stored[:len(stored)-1], "half": stored[:9],
	} {
		_ = o.Put(k.dedup("a"), bad)
		if got, err := readDedup(o, k.dedup("a")); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %+v, %v", sentence, got, err)
		}
	}
}
