package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// maxKept is the longest reply, encoded, that is kept for repeats.
const maxKept = 256 << 10

// keptVersion is the first byte of an encoded reply.
const keptVersion = 1

// keep encodes a provider's reply without what concerns its connection only, of
// which it was sifted, and without its date: a version byte, status, number of fields,
// the fields' names and values, then the body; numbers are uvarints, strings stand
// behind their length. What is kept has memory of its own, and no more than it needs;
// its head is the first at bytes. It is made in room, which is returned for the next.
func keep(r *upstream.Reply, room []byte) (kept []byte, at int, _ []byte) {
	room = appendKept(room[:0], r)
	return bytes.Join([][]byte{room, r.Body}, nil), len(room), room
}

// appendKept appends to b what stands before the body.
func appendKept(b []byte, r *upstream.Reply) []byte {
	fields := 0
	for i := range r.Fields {
		if isKept(r.Fields[i].Name) {
			fields++
		}
	}
	b = append(b, keptVersion)
	b = binary.AppendUvarint(b, uint64(r.Status)) //nolint:gosec // a status has three digits
	b = binary.AppendUvarint(b, uint64(fields))   //nolint:gosec // not negative
	for i := range r.Fields {
		if f := &r.Fields[i]; isKept(f.Name) {
			b = appendKeptText(appendKeptText(b, f.Name), f.Value)
		}
	}
	return b
}

func appendKeptText(b []byte, s string) []byte {
	if len(s) < 0x80 { // as most are
		return append(append(b, byte(len(s))), s...)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func isKept(name string) bool { return !isDate(name) }

func isDate(name string) bool { return same(name, "Date") }

// sift takes out of a reply the fields that concern the provider's connection only,
// and those that frame the body, which are written anew for whoever gets it.
func sift(r *upstream.Reply) {
	kept := r.Fields[:0]
	for i := range r.Fields {
		if name := r.Fields[i].Name; !isHop(name) && !same(name, "Content-Length") {
			kept = append(kept, r.Fields[i])
		}
	}
	r.Fields = kept
}

var errKept = errors.New("read kept reply: damaged")

// unkeep is the inverse of keep. The body is a part of b; names and values are
// parts of one copy of the head.
func unkeep(b []byte) (rails.Reply, error) {
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
	r := rails.Reply{Status: status, Header: make([]rails.Field, 0, fields), Body: b[at:]}
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

// readReply returns a whole reply as a rail reads it, with the body's compression
// undone. It has r's memory.
func readReply(r *upstream.Reply) (rails.Reply, error) {
	sift(r)
	return inflate(rails.Reply{Status: r.Status, Header: r.Fields, Body: r.Body})
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
