package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

func TestKeepAliveReusesOneConnection(t *testing.T) {
	p := serve(t, forever(okReply))
	tr := transport(t, Options{})
	var resp fasthttp.Response
	for i := range 5 {
		sent, err := tr.Do(t.Context(), p.key(false), post(), &resp, Mode{})
		if err != nil || !sent {
			t.Fatalf("exchange %d: sent %v, %v", i, sent, err)
		}
		if resp.StatusCode() != 200 || string(resp.Body()) != `{"id":"c1"}` {
			t.Fatalf("reply %d %q", resp.StatusCode(), resp.Body())
		}
	}
	if s := tr.Stats(); s.Dials != 1 || s.Reused != 4 || s.Idle != 1 || p.conns.Load() != 1 {
		t.Errorf("stats %+v, %d connections", s, p.conns.Load())
	}
}

func TestConnectionsThatMustNotBeUsedAgain(t *testing.T) {
	for what, reply := range map[string]string{
		"Connection: close":             "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"Connection: Close":             "HTTP/1.1 200 OK\r\nconnection: Close\r\nContent-Length: 2\r\n\r\nok",
		"close in a list":               "HTTP/1.1 200 OK\r\nConnection: x-a, CLOSE\r\nContent-Length: 2\r\n\r\nok",
		"close, then keep-alive":        "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0":                      "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"a second reply behind it":      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
		"a surplus byte":                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!",
		"a line break behind it":        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
		"a surplus behind chunks":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP",
		"a surplus behind no content":   "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"a surplus behind not modified": "HTTP/1.1 304 Not Modified\r\n\r\nok",
		"a body larger than its length": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nok",
	} {
		p := serve(t, forever(reply))
		tr := transport(t, Options{})
		for range 2 {
			var resp fasthttp.Response
			if _, err := tr.Do(t.Context(), p.key(false), post(), &resp, Mode{}); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if b := string(resp.Body()); b != "ok" && b != "" {
				t.Errorf("%s: body %q", what, b)
			}
		}
		if s := tr.Stats(); s.Dials != 2 || s.Idle != 0 {
			t.Errorf("%s: the connection was kept: %+v", what, s)
		}
	}
	// The request may say so as well.
	p := serve(t, forever(okReply))
	tr := transport(t, Options{})
	req := post()
	req.SetConnectionClose()
	if _, err := tr.Do(t.Context(), p.key(false), req, new(fasthttp.Response), Mode{}); err != nil || tr.Stats().Idle != 0 {
		t.Errorf("a closing request: %v, %+v", err, tr.Stats())
	}
}

func TestHTTP10KeepAlive(t *testing.T) {
	p := serve(t, forever("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok"))
	tr := transport(t, Options{})
	for range 2 {
		if _, err := tr.Do(t.Context(), p.key(false), post(), new(fasthttp.Response), Mode{}); err != nil {
			t.Fatal(err)
		}
	}
	if s := tr.Stats(); s.Dials != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		tr := New(Options{Dial: func(context.Context, Key) (net.Conn, error) {
			dials++
			a, b := net.Pipe()
			go func() {
				(&provider{}).loop(b, okReply)
				b.Close()
			}()
			return a, nil
		}})
		defer synctest.Wait()
		defer tr.Close()
		key := Key{Host: "provider.example"}
		do := func(idle time.Duration) {
			t.Helper()
			if _, err := tr.Do(context.Background(), key, post(), new(fasthttp.Response), Mode{Idle: idle}); err != nil {
				t.Fatal(err)
			}
		}
		do(0)
		time.Sleep(4900 * time.Millisecond)
		do(0)
		if dials != 1 {
			t.Fatalf("%d dials within five seconds", dials)
		}
		time.Sleep(5 * time.Second)
		do(time.Minute)
		if dials != 2 {
			t.Fatalf("%d dials after five idle seconds", dials)
		}
		// A spend call does not take what a read left there for longer.
		time.Sleep(6 * time.Second)
		if s := tr.Stats(); s.Idle != 1 {
			t.Fatalf("a connection kept for a minute is gone: %+v", s)
		}
		do(0)
		if dials != 3 {
			t.Fatalf("%d dials: a connection idle for six seconds was taken", dials)
		}
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if s := tr.Stats(); s.Idle != 0 || s.Open != 0 {
			t.Errorf("idle connections were not swept: %+v", s)
		}
	})
}

func TestPoolsAreKeptApart(t *testing.T) {
	p := serve(t, forever(okReply))
	tr := transport(t, Options{})
	for _, k := range []func(*Key){func(*Key) {}, func(k *Key) { k.Agent = "a" }, func(k *Key) { k.Agent = "b" }, func(k *Key) { k.Cert = "c" }, func(k *Key) { k.Host = "other.example" }} {
		key := p.key(false)
		k(&key)
		if _, err := tr.Do(t.Context(), key, post(), new(fasthttp.Response), Mode{}); err != nil {
			t.Fatal(err)
		}
	}
	if s := tr.Stats(); s.Dials != 5 || s.Reused != 0 || s.Pools != 5 {
		t.Errorf("%+v", s)
	}
	tr.CloseIdle()
	if s := tr.Stats(); s.Idle != 0 || s.Open != 0 {
		t.Errorf("after CloseIdle: %+v", s)
	}
}

func TestPoolsAndConnectionsAreBounded(t *testing.T) {
	p := serve(t, forever(okReply))
	tr := transport(t, Options{})
	tr.maxPools = 4
	for i := range 20 {
		key := p.key(false)
		key.Agent = fmt.Sprint(i)
		if _, err := tr.Do(t.Context(), key, post(), new(fasthttp.Response), Mode{}); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the end of dropped connections", func() bool { s := tr.Stats(); return s.Pools == 4 && s.Open == 4 && s.Idle == 4 })

	big := "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"
	p = serve(t, forever(big))
	tr = transport(t, Options{MaxConns: 2})
	var open []*fasthttp.Response
	for i := range 3 {
		resp := new(fasthttp.Response)
		sent, err := tr.Do(t.Context(), p.key(false), post(), resp, Mode{Stream: true})
		if (i < 2) != (err == nil) || i == 2 && (sent || !errors.Is(err, ErrNotSent)) {
			t.Errorf("connection %d: sent %v, %v", i, sent, err)
		}
		open = append(open, resp)
	}
	for _, r := range open {
		_ = r.CloseBodyStream()
	}
}
