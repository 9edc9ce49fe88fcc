package upstream

import (
	"context"
	"net"
	"testing"

	"github.com/valyala/fasthttp"
)

// benchServer is a fasthttp server that answers every request alike.
func benchServer(b *testing.B) *provider {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(`{"id":"c1"}`) }}
	go s.Serve(ln)
	b.Cleanup(func() { _ = s.Shutdown() })
	return &provider{addr: ln.Addr().String()}
}

func BenchmarkDo(b *testing.B) {
	p := benchServer(b)
	tr := transport(b, Options{})
	req, resp, key := post(), new(fasthttp.Response), p.key(false)
	ctx := context.Background() // a context that can end costs what context.AfterFunc allocates
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.Do(ctx, key, req, resp, Mode{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	p := benchServer(b)
	tr := transport(b, Options{})
	req := Request{Method: "POST", Head: []byte("POST /v1/charges HTTP/1.1\r\nHost: provider.example\r\n"), Body: []byte("amount=5000&currency=usd")}
	r, key, ctx := new(Reply), p.key(false), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.Send(ctx, key, req, r, Mode{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHostClient(b *testing.B) {
	p := benchServer(b)
	c := &fasthttp.HostClient{Addr: p.addr, RetryIfErr: func(*fasthttp.Request, int, error) (bool, bool) { return false, false }}
	req, resp := post(), new(fasthttp.Response)
	req.SetRequestURI("http://" + p.addr + "/v1/charges")
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Do(req, resp); err != nil {
			b.Fatal(err)
		}
	}
	c.CloseIdleConnections()
}
