package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
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
	body := in.Body()
	b := make([]byte, 0, 1<<10+len(body))
	b = append(b, keptVersion)
	b = binary.AppendUvarint(b, uint64(in.StatusCode())) //nolint:gosec // a status has three digits
	fields := 0
	for name := range in.Header.All() {
		if isKept(name) {
			fields++
		}
	}
	b = binary.AppendUvarint(b, uint64(fields)) //nolint:gosec // not negative
	for name, value := range in.Header.All() {
		if isKept(name) {
			b = binary.AppendUvarint(b, uint64(len(name)))
			b = append(b, name...)
			b = binary.AppendUvarint(b, uint64(len(value)))
			b = append(b, value...)
		}
	}
	return append(b, body...)
}

func isKept(name []byte) bool {
	s := string(name)
	return !isHop(s) && !equalsAny(s, "Content-Length", "Date")
}

var errKept = errors.New("read kept reply: damaged")

// unkeep is the inverse of keep. The body is a part of b.
func unkeep(b []byte) (rails.Reply, error) {
	if len(b) == 0 || b[0] != keptVersion {
		return rails.Reply{}, errKept
	}
	b = b[1:]
	bad := false
	number := func() int {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > 1<<30 {
			bad = true
			return 0
		}
		b = b[size:]
		return int(n)
	}
	text := func() string {
		n := number()
		if bad || n > len(b) {
			bad = true
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	r := rails.Reply{Status: number()}
	fields := number()
	if bad || fields > len(b)/2 || r.Status < 100 || r.Status > 999 {
		return rails.Reply{}, errKept
	}
	r.Header = make([]rails.Field, 0, fields)
	for range fields {
		r.Header = append(r.Header, rails.Field{Name: text(), Value: text()})
	}
	if bad {
		return rails.Reply{}, errKept
	}
	r.Body = b
	return r, nil
}

// readReply returns a whole reply as a rail reads it, in memory of its own and
// with the body's compression undone.
func readReply(in *fasthttp.Response) (rails.Reply, error) {
	r, err := unkeep(keep(in))
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
