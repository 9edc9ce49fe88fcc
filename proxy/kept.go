package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/outgo/outgo/rails"
)

// maxKept is the longest reply, encoded, that is kept for repeats.
const maxKept = 256 << 10

// keptVersion is the first byte of an encoded reply.
const keptVersion = 1

// keep encodes a provider's reply without what concerns its connection only:
// a version byte, status, number of fields, the fields' names and values, then the
// body; numbers are uvarints, strings stand behind their length.
func keep(in *fasthttp.Response) []byte {
	kept, _ := keepVia(nil, in)
	return kept
}

// keepVia is keep with memory for the head, which it returns for the next reply: what
// is kept has memory of its own, and no more than it needs.
func keepVia(scratch []byte, in *fasthttp.Response) (kept, head []byte) {
	head, body := appendHead(scratch[:0], in), in.Body()
	kept = make([]byte, 0, len(head)+len(body))
	return append(append(kept, head...), body...), head
}

// appendHead appends to b what stands before the body.
func appendHead(b []byte, in *fasthttp.Response) []byte {
	b = append(b, keptVersion)
	b = binary.AppendUvarint(b, uint64(in.StatusCode())) //nolint:gosec // a status has three digits
	at, fields := len(b), 0
	b = append(b, 0)
	for name, value := range in.Header.All() {
		if isKept(name) {
			b = binary.AppendUvarint(b, uint64(len(name)))
			b = append(b, name...)
			b = binary.AppendUvarint(b, uint64(len(value)))
			b = append(b, value...)
			fields++
		}
	}
	// Few enough fields are counted in one byte.
	if b[at] = byte(fields); fields >= 0x80 {
		count := binary.AppendUvarint(nil, uint64(fields)) //nolint:gosec // not negative
		b = slices.Replace(b, at, at+1, count...)
	}
	return b
}

func isKept(name []byte) bool {
	return !isHop(string(name)) && !equalsAny(string(name), "Content-Length", "Date")
}

var errKept = errors.New("read kept reply: damaged")

// unkeep is the inverse of keep. The body is a part of b; names and values are
// parts of one copy of the head. The fields are put into room while it suffices.
func unkeep(b []byte, room []rails.Field) (rails.Reply, error) {
	if len(b) == 0 || b[0] != keptVersion {
		return rails.Reply{}, errKept
	}
	at := 1
	status, ok1 := keptNumber(b, &at)
	fields, ok2 := keptNumber(b, &at)
	if !ok1 || !ok2 || fields > (len(b)-at)/2 || status < 100 || status > 999 {
		return rails.Reply{}, errKept
	}
	begin := at
	for range 2 * fields {
		n, ok := keptNumber(b, &at)
		if !ok || n > len(b)-at {
			return rails.Reply{}, errKept
		}
		at += n
	}
	head := string(b[begin:at])
	if fields > cap(room) {
		room = make([]rails.Field, 0, fields)
	}
	r := rails.Reply{Status: status, Header: room[:0], Body: b[at:]}
	at = begin
	text := func() string {
		n, _ := keptNumber(b, &at)
		at += n
		return head[at-n-begin : at-begin]
	}
	for range fields {
		r.Header = append(r.Header, rails.Field{Name: text(), Value: text()})
	}
	return r, nil
}

// keptNumber reads the number at b[*at] and moves behind it.
func keptNumber(b []byte, at *int) (int, bool) {
	n, size := binary.Uvarint(b[*at:])
	if size <= 0 || n > 1<<30 {
		return 0, false
	}
	*at += size
	return int(n), true
}

// readReply returns a whole reply as a rail reads it, in memory of its own and
// with the body's compression undone.
func readReply(in *fasthttp.Response) (rails.Reply, error) {
	r, err := unkeep(keep(in), nil)
	if err != nil {
		return rails.Reply{}, err
	}
	return inflate(r)
}

// maxInflated bounds a reply whose body was compressed.
const maxInflated = maxReply

// inflate undoes gzip, which a provider may use although it was asked not to.
// An encoding that it does not know is left as it is: no rail will find a receipt
// in it.
func inflate(r rails.Reply) (rails.Reply, error) {
	if !strings.EqualFold(r.Get("Content-Encoding"), "gzip") {
		return r, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(r.Body))
	if err != nil {
		return rails.Reply{}, err
	}
	body, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	if err != nil {
		return rails.Reply{}, err
	}
	if len(body) > maxInflated {
		return rails.Reply{}, errors.New("inflate reply: too long")
	}
	r.Body = body
	return r, nil
}
