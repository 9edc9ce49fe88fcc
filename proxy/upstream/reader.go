package upstream

import (
	"context"
	"fmt"

	"github.com/valyala/fasthttp"
)

// Reader carries GET requests without a body and nothing else. Whoever holds one
// can ask a provider, and can move no money.
type Reader struct{ t *Transport }

// Reader returns the part of t that only reads.
func (t *Transport) Reader() Reader { return Reader{t} }

// Get sends req, which must be a GET without a body, and reads the whole reply of
// at most maxReply bytes into resp. Anything else is refused with ErrNotSent.
func (r Reader) Get(ctx context.Context, key Key, req *fasthttp.Request, resp *fasthttp.Response, maxReply int) error {
	if !req.Header.IsGet() || req.IsBodyStream() || len(req.Body()) > 0 {
		return fmt.Errorf("read from %s: a %s is no read: %w", key.Host, req.Header.Method(), ErrNotSent)
	}
	_, err := r.t.Do(ctx, key, req, resp, Mode{MaxReply: maxReply})
	return err
}
