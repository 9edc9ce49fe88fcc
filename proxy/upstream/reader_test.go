package upstream

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// Whatever it is asked to send, a Reader dials for nothing but a GET without a body.
func TestAReaderSendsNothingButReads(t *testing.T) {
	dialled := 0
	tr := New(Options{Dial: func(context.Context, Key) (net.Conn, error) {
		dialled++
		return nil, errors.New("no network here")
	}})
	defer tr.Close()
	for name, c := range map[string]struct {
		method string
		change func(*fasthttp.Request)
		dials  int
	}{
		"a read":                        {"GET", func(*fasthttp.Request) {}, 1},
		"a payment":                     {"POST", func(*fasthttp.Request) {}, 0},
		"a removal":                     {"DELETE", func(*fasthttp.Request) {}, 0},
		"a method in small letters":     {"get", func(*fasthttp.Request) {}, 0},
		"a method that looks like one":  {"GETS", func(*fasthttp.Request) {}, 0},
		"a read with a body":            {"GET", func(r *fasthttp.Request) { r.SetBodyString("amount=1") }, 0},
		"a read with a body in a place": {"GET", func(r *fasthttp.Request) { r.SetBodyRaw([]byte("amount=1")) }, 0},
		"a read with a stream behind":   {"GET", func(r *fasthttp.Request) { r.SetBodyStream(strings.NewReader("amount=1"), 8) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dialled = 0
			req, resp := &fasthttp.Request{}, &fasthttp.Response{}
			req.Header.SetMethod(c.method)
			req.SetRequestURI("/v1/charges")
			req.Header.SetHost("api.stripe.com")
			c.change(req)
			err := tr.Reader().Get(t.Context(), Key{Host: "api.stripe.com", Port: 443}, req, resp, 1<<10)
			if !errors.Is(err, ErrNotSent) || dialled != c.dials {
				t.Errorf("%v, dialled %d times, want %d", err, dialled, c.dials)
			}
		})
	}
}
