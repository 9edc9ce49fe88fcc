package api

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// slowly hands out n pieces, one for each pause.
type slowly struct {
	n     int
	pause time.Duration
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	s.n--
	time.Sleep(s.pause)
	return copy(p, "piece\n"), nil
}

func (s *slowly) Close() error { return nil }

// A server's WriteTimeout bounds an answer, not a body that lasts.
func TestABodyMayLastLongerThanOtherAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		wrap  func(io.ReadCloser, net.Conn) io.Reader
		whole bool
	}{
		"a body that lasts": {func(b io.ReadCloser, c net.Conn) io.Reader { return lasting{b, c} }, true},
		"any other":         {func(b io.ReadCloser, _ net.Conn) io.Reader { return b }, false},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &fasthttp.Server{WriteTimeout: 50 * time.Millisecond, Logger: quiet{}, Handler: func(ctx *fasthttp.RequestCtx) {
				ctx.SetBodyStream(c.wrap(&slowly{10, 20 * time.Millisecond}, ctx.Conn()), -1)
			}}
			served := make(chan error, 1)
			go func() { served <- s.Serve(ln) }()
			status, body, err := fasthttp.Get(nil, "http://"+ln.Addr().String())
			if whole := err == nil && status == 200 && bytes.Count(body, []byte("piece")) == 10; whole != c.whole {
				t.Errorf("got %d bytes, %v", len(body), err)
			}
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			<-served
		})
	}
}
