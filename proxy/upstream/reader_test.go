package upstream

import (
	"context"
	"errors"
	"net"
	"testing"
)

// Whatever it is asked to send, a Reader dials for nothing but a GET without a body
// and a POST to a preview.
func TestAReaderSendsNothingButReads(t *testing.T) {
	dialled := 0
	tr := New(Options{Dial: func(context.Context, Key) (net.Conn, error) {
		dialled++
		return nil, errors.New("no network here")
	}})
	defer tr.Close()
	for name, c := range map[string]struct {
		method, target, body string
		dials                int
	}{
		"a read":                                {"GET", "/v1/charges", "", 1},
		"a payment":                             {"POST", "/v1/charges", "", 0},
		"a removal":                             {"DELETE", "/v1/charges", "", 0},
		"a method in small letters":             {"get", "/v1/charges", "", 0},
		"a method that looks like one":          {"GETS", "/v1/charges", "", 0},
		"no method":                             {"", "/v1/charges", "", 0},
		"a read with a body":                    {"GET", "/v1/charges", "amount=1", 0},
		"a preview":                             {"POST", "/v1/preview", "amount=1", 1},
		"a preview that is removed":             {"DELETE", "/v1/preview", "", 0},
		"a preview with a query":                {"POST", "/v1/preview?amount=1", "amount=1", 0},
		"what begins like a preview":            {"POST", "/v1/previews", "amount=1", 0},
		"what a preview stands above":           {"POST", "/v1/preview/pay", "amount=1", 0},
		"a preview that stands above a payment": {"POST", "/v1/preview/../charges", "amount=1", 0},
		"a preview in capitals":                 {"POST", "/V1/preview", "amount=1", 0},
		"a preview in another version of HTTP":  {"POST", "/v1/charges HTTP/1.1\r\nX: /v1/preview", "amount=1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dialled = 0
			req := Request{Method: c.method, Head: []byte(c.method + " " + c.target + " HTTP/1.1\r\nHost: api.stripe.com\r\n"), Body: []byte(c.body)}
			err := tr.Reader("/v1/preview").Get(t.Context(), Key{Host: "api.stripe.com", Port: 443}, req, new(Reply), 1<<10)
			if !errors.Is(err, ErrNotSent) || dialled != c.dials {
				t.Errorf("%v, dialled %d times, want %d", err, dialled, c.dials)
			}
		})
	}
}
