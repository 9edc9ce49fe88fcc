package upstream

import (
	"context"
	"errors"
	"net"
	"testing"
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
		method, body string
		dials        int
	}{
		"a read":                       {"GET", "", 1},
		"a payment":                    {"POST", "", 0},
		"a removal":                    {"DELETE", "", 0},
		"a method in small letters":    {"get", "", 0},
		"a method that looks like one": {"GETS", "", 0},
		"no method":                    {"", "", 0},
		"a read with a body":           {"GET", "amount=1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dialled = 0
			req := Request{Method: c.method, Head: []byte(c.method + " /v1/charges HTTP/1.1\r\nHost: api.stripe.com\r\n"), Body: []byte(c.body)}
			err := tr.Reader().Get(t.Context(), Key{Host: "api.stripe.com", Port: 443}, req, new(Reply), 1<<10)
			if !errors.Is(err, ErrNotSent) || dialled != c.dials {
				t.Errorf("%v, dialled %d times, want %d", err, dialled, c.dials)
			}
		})
	}
}
