package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/valyala/fasthttp"
)

// Do is Send for a request and a reply of fasthttp's.
//
// req goes out as Header holds it: target (origin-form) and Host untouched by
// URI(), nothing added but the framing. Do sets its Content-Length and its
// protocol, HTTP/1.1. Hop-by-hop fields are the caller's to remove, in both
// directions. Field names of the reply stay as they came except for those that
// fasthttp keeps apart (Content-Type, Content-Length, Content-Encoding, Server,
// Set-Cookie, Transfer-Encoding, Trailer); trailers are dropped. resp.SkipBody
// is set for HEAD. Where only the end of a plain connection ended the body, which
// may have cut it, the reply's ContentLength stays -2. On an error resp is empty.
func (t *Transport) Do(ctx context.Context, key Key, req *fasthttp.Request, resp *fasthttp.Response, mode Mode) (sent bool, err error) {
	_, sent, err = t.doFast(ctx, key, req, resp, mode, false)
	return sent, err
}

// Switch is Do for a request that asks to change protocols. When the server
// agrees (101) conn is the connection, with all that the server sent behind the
// reply still to be read from it; otherwise conn is nil and resp is as after Do.
func (t *Transport) Switch(ctx context.Context, key Key, req *fasthttp.Request, resp *fasthttp.Response, mode Mode) (conn net.Conn, sent bool, err error) {
	c, sent, err := t.doFast(ctx, key, req, resp, mode, true)
	if c == nil {
		return nil, sent, err
	}
	return &switched{Conn: c.nc, c: c}, sent, err
}

func (t *Transport) doFast(ctx context.Context, key Key, req *fasthttp.Request, resp *fasthttp.Response, mode Mode, upgrade bool) (up *conn, sent bool, err error) {
	resp.ResetBody()
	resp.SkipBody = req.Header.IsHead()
	resp.Header.DisableNormalizing()
	resp.Header.SetNoDefaultContentType(true)
	out := acquireOutgoing()
	defer out.release()
	if err = out.encodeFast(req); err != nil {
		resp.Reset()
		return nil, false, fmt.Errorf("%w: encode request: %w", ErrNotSent, err)
	}
	reply := Reply{room: resp.SwapBody(nil)}
	up, sent, err = t.exchange(ctx, key, out, &reply, mode, upgrade)
	if err == nil {
		err = reply.into(resp)
	}
	if err != nil {
		if up != nil {
			up.close()
		}
		resp.Reset()
		return nil, sent, err
	}
	return up, sent, nil
}

// into makes out resp. fasthttp reads the same text that the transport has read.
func (r *Reply) into(resp *fasthttp.Response) error {
	h := &resp.Header
	err := h.Read(bufio.NewReaderSize(strings.NewReader(r.text), len(r.text)))
	if err == nil {
		err = h.SetTrailer("")
	}
	if err != nil {
		if r.Stream != nil {
			r.Stream.Close() //nolint:errcheck // nobody gets it
		}
		// Its errors quote the head, which may hold secrets.
		return fmt.Errorf("%w: header fields cannot be parsed", ErrMalformed)
	}
	if r.Stream != nil {
		resp.SetBodyStream(r.Stream, max(r.Length, -1))
		return nil
	}
	if h.ContentLength() < -1 && r.Length >= 0 {
		h.SetContentLength(r.Length)
	}
	resp.SwapBody(r.Body)
	return nil
}

// encodeFast takes the head from req.Header and never from req.URI(), which fasthttp
// would let replace target and Host by normalised ones once anybody called it.
func (o *outgoing) encodeFast(req *fasthttp.Request) error {
	h := &req.Header
	if h.IsConnect() {
		return errors.New("CONNECT has no place in a pooled transport")
	}
	if len(h.Host()) == 0 {
		return errors.New("no Host")
	}
	if u := h.RequestURI(); u[0] != '/' && string(u) != "*" {
		return errors.New("target is not in origin-form")
	}
	o.isHead = h.IsHead()
	h.SetProtocol("HTTP/1.1")
	h.SetNoDefaultContentType(true)
	var body []byte
	if req.IsBodyStream() {
		o.stream, o.size = req.BodyStream(), max(h.ContentLength(), -1)
		h.SetContentLength(o.size)
	} else {
		body = req.Body()
		if n := h.ContentLength(); len(body) > 0 || n > 0 || n == -1 || !h.IsGet() && !h.IsHead() {
			h.SetContentLength(len(body))
		}
	}
	o.first = h.AppendBytes(o.first[:0])
	return o.add(body)
}
