package engine

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestAReplyComesOutAsItWentIn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		reply := bytes.Repeat(rapid.SliceOf(rapid.Byte()).Draw(rt, "piece"), rapid.IntRange(0, 200).Draw(rt, "times"))
		got, err := unpack(pack(reply))
		if err != nil || !bytes.Equal(got, reply) {
			rt.Fatalf("%d bytes became %d: %v", len(reply), len(got), err)
		}
	})
	text := bytes.Repeat([]byte(`  "amount_received": 2000,`+"\n"), 90)
	if n := len(pack(text)); n > len(text)/4 {
		t.Errorf("%d bytes of JSON are packed into %d", len(text), n)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("plain"))
	f.Add(pack([]byte("HTTP/1.1 200 OK")))
	f.Add([]byte{packed, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		if reply, err := unpack(b); err == nil && len(reply) > maxUnpacked {
			t.Fatalf("%d bytes", len(reply))
		}
	})
}
