package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// BenchmarkExchange is one allowed payment after another on one connection: TLS on
// both sides, a gate that costs nothing.
func BenchmarkExchange(b *testing.B) {
	w := newWorld(b, nil)
	c, br := w.inside(guardedHost)
	call := fmt.Sprintf("POST /pay HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer k\r\nIdempotency-Key: k\r\nContent-Length: 8\r\n\r\namount=5", guardedHost)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(c, call); err != nil {
			b.Fatal(err)
		}
		drainReply(b, br)
	}
}

func drainReply(b *testing.B, br *bufio.Reader) {
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 200 {
		b.Fatal(resp, err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
}
