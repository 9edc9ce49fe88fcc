package upstream

import (
	"io"
	"net/http"

	"github.com/outgo/outgo/rails"
)

// What Reply.Length says of a body whose length is not announced.
const (
	inChunks = -1
	noLength = -2
)

// maxRoom is the longest memory for a body, in bytes, that a Reply keeps for the next.
const maxRoom = 64 << 10

// Reply is a provider's reply as it came. The memory of its Fields, and that in which
// a Body was read, is used again by the next exchange that is given the same Reply;
// the text that the Fields consist of is good for ever.
type Reply struct {
	Status int
	Reason string // as the status line gives it
	// Fields are all fields of the head in their order and spelling, without the
	// spaces around their values. They are the owner's to change.
	Fields []rails.Field
	// Length is that of the body in bytes as announced, or as read where the end of
	// a connection with TLS has told it; otherwise -1 for one in chunks and -2 for
	// one that ended, or will end, with its connection.
	Length int
	Body   []byte // where it was read whole
	// Stream, when not nil, is the body instead. Its Close gives the connection back
	// when the body was read to its end, and cuts it otherwise.
	Stream io.ReadCloser
	Events bool // the body is of server-sent events, which may never end

	room []byte // memory for bodies
	text string // of the head
	head head   // as it was read; only its memory is of use later
}

// Reset empties r and keeps some of its memory.
func (r *Reply) Reset() {
	fields, places, room := r.Fields[:0], r.head.fields[:0], r.room[:0]
	clear(fields[:cap(fields)])
	if cap(room) > maxRoom {
		room = nil
	}
	*r = Reply{Fields: fields, room: room, head: head{fields: places}}
}

// read fills in what the head says. text is the head that was read into r.head.
func (r *Reply) read(text string) {
	h := &r.head
	r.text, r.Status, r.Events = text, h.status, h.events
	r.Length = h.length
	if h.chunked {
		r.Length = inChunks
	}
	end := len(text) - len("\r\n\r\n") // of the status line
	if len(h.fields) > 0 {
		end = h.fields[0].name - len("\r\n")
	}
	r.Reason = text[min(len("HTTP/1.1 200 "), end):end]
	r.Fields = r.Fields[:0]
	for _, p := range h.fields {
		r.Fields = append(r.Fields, rails.Field{Name: text[p.name:p.nameEnd], Value: text[p.value:p.valueEnd]})
	}
}

// Bodiless reports whether a reply of that status has no body, whatever it announces.
func Bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}
