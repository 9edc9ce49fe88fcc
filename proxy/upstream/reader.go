package upstream

import (
	"context"
	"fmt"
	"net/http"
)

// Reader carries GET requests without a body and nothing else. Whoever holds one
// can ask a provider, and can move no money.
type Reader struct{ t *Transport }

// Reader returns the part of t that only reads.
func (t *Transport) Reader() Reader { return Reader{t} }

// Get sends req, which must be a GET without a body, and reads the whole reply of
// at most maxReply bytes into r. Anything else is refused with ErrNotSent.
func (r Reader) Get(ctx context.Context, key Key, req Request, reply *Reply, maxReply int) error {
	if req.Method != http.MethodGet || len(req.Body) > 0 {
		return fmt.Errorf("read from %s: a %.10s is no read: %w", key.Host, req.Method, ErrNotSent)
	}
	_, err := r.t.Send(ctx, key, req, reply, Mode{MaxReply: maxReply})
	return err
}
