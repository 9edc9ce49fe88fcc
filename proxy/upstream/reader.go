package upstream

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
)

// Reader carries GET requests without a body, POST requests to the paths that were
// named when it was made, and nothing else. Whoever holds one can ask a provider,
// and can move no money.
type Reader struct {
	t        *Transport
	previews []string
}

// Reader returns the part of t that only reads. A POST to one of the previews is a
// read too: a path, without a query, to which it changes nothing at the provider.
func (t *Transport) Reader(previews ...string) Reader { return Reader{t, previews} }

// Get sends req, which must be a read, and reads the whole reply of at most maxReply
// bytes into r. Anything else is refused with ErrNotSent.
func (r Reader) Get(ctx context.Context, key Key, req Request, reply *Reply, maxReply int) error {
	if !r.reads(&req) {
		return fmt.Errorf("read from %s: a %.10s is no read: %w", key.Host, req.Method, ErrNotSent)
	}
	_, err := r.t.Send(ctx, key, req, reply, Mode{MaxReply: maxReply})
	return err
}

// reads reports whether a request is a GET without a body, or a preview: then the
// very bytes of its request line name it.
func (r Reader) reads(req *Request) bool {
	if req.Method == http.MethodGet {
		return len(req.Body) == 0
	}
	line, _, _ := bytes.Cut(req.Head, []byte("\r\n"))
	for _, path := range r.previews {
		if req.Method == http.MethodPost && string(line) == "POST "+path+" HTTP/1.1" {
			return true
		}
	}
	return false
}
