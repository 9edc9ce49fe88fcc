package upstream

import (
	"errors"
	"testing"
)

func TestAGivenHeadLeavesAsItIsWithItsFraming(t *testing.T) {
	const fields = "Host: provider.example\r\nx-a: 1\r\nX-A: 2\r\ncookie: a=1\r\nCookie: b=2\r\nuser-agent: \xc3\xa9\r\n"
	for _, tc := range []struct{ what, method, head, body, want string }{
		{"a body has its length", "POST", "POST /v1/a?x=%2f& HTTP/1.1\r\n" + fields, "a=1", "Content-Length: 3\r\n\r\na=1"},
		{"a POST without body says so", "POST", "POST / HTTP/1.1\r\n" + fields, "", "Content-Length: 0\r\n\r\n"},
		{"a GET without body says nothing", "GET", "GET / HTTP/1.1\r\n" + fields, "", "\r\n"},
	} {
		p := serve(t, forever(okReply))
		tr, b, writes := recording(t)
		req := Request{Method: tc.method, Head: []byte(tc.head), Body: []byte(tc.body)}
		if _, err := tr.Send(t.Context(), p.key(false), req, new(Reply), Mode{}); err != nil {
			t.Errorf("%s: %v", tc.what, err)
		}
		if b.String() != tc.head+tc.want || *writes != 1 {
			t.Errorf("%s: wrote %q in %d writes, want %q in one", tc.what, b, *writes, tc.head+tc.want)
		}
	}
}

func TestAGivenHeadThatIsNoneIsNotSent(t *testing.T) {
	const host = "Host: provider.example\r\n"
	for what, head := range map[string]string{
		"of another method":           "GET / HTTP/1.1\r\n" + host,
		"of a method with a tail":     "POSTS / HTTP/1.1\r\n" + host,
		"in absolute form":            "POST http://other.example/ HTTP/1.1\r\n" + host,
		"with a space in its target":  "POST /a b HTTP/1.1\r\n" + host,
		"of an older protocol":        "POST / HTTP/1.0\r\n" + host,
		"without a protocol":          "POST /\r\n" + host,
		"without a Host":              "POST / HTTP/1.1\r\nX-A: 1\r\n",
		"with two Hosts":              "POST / HTTP/1.1\r\n" + host + "hOST: other.example\r\n",
		"with a length of its own":    "POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n",
		"with chunks":                 "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n",
		"with an end in the middle":   "POST / HTTP/1.1\r\n" + host + "\r\nPOST /second HTTP/1.1\r\n" + host,
		"with a value over two lines": "POST / HTTP/1.1\r\n" + host + "X-A: 1\r\n 2\r\n",
		"with a bare line feed":       "POST / HTTP/1.1\r\n" + host + "X-A: 1\nX-B: 2\r\n",
		"with a bare carriage return": "POST / HTTP/1.1\r\n" + host + "X-A: 1\rX-B: 2\r\n",
		"with a name that is none":    "POST / HTTP/1.1\r\n" + host + "X A: 1\r\n",
		"that does not end its line":  "POST / HTTP/1.1\r\n" + host + "X-A: 1",
		"that is empty":               "",
	} {
		p := serve(t, forever(okReply))
		tr, b, _ := recording(t)
		req := Request{Method: "POST", Head: []byte(head), Body: []byte("amount=5000&currency=usd")}
		if sent, err := tr.Send(t.Context(), p.key(false), req, new(Reply), Mode{}); sent || !errors.Is(err, ErrNotSent) || b.Len() > 0 {
			t.Errorf("a head %s: sent %v, %v, wrote %q", what, sent, err, b)
		}
	}
}
