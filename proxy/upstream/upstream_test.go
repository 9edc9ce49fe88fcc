package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// waitFor polls a condition that another goroutine or the kernel will make true.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

func TestStalePooledConnectionIsReplacedBeforeAByteLeaves(t *testing.T) {
	for what, end := range map[string]func(*net.TCPConn){
		"closed": func(c *net.TCPConn) { c.Close() },
		"reset":  func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() },
		"a late timeout": func(c *net.TCPConn) {
			io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
			c.Close()
		},
		"a late surplus": func(c *net.TCPConn) { io.WriteString(c, okReply); <-time.After(50 * time.Millisecond) },
	} {
		returned := make(chan struct{}) // the first exchange is over
		p := serve(t, func(p *provider, n int, c *net.TCPConn) {
			if n > 1 {
				p.loop(c, okReply)
				return
			}
			replies(okReply)(p, n, c)
			<-returned
			end(c)
		})
		tr := transport(t, Options{})
		if _, err := tr.Do(t.Context(), p.key(false), post(), new(fasthttp.Response), Mode{}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		close(returned)
		idleGone(t, tr)
		var resp fasthttp.Response
		sent, err := tr.Do(t.Context(), p.key(false), post(), &resp, Mode{})
		if !sent || err != nil || resp.StatusCode() != 200 {
			t.Errorf("%s: sent %v, status %d, %v", what, sent, resp.StatusCode(), err)
		}
		if s := tr.Stats(); s.Dials != 2 || s.Stale+s.Surplus != 1 || p.requests.Load() != 2 {
			t.Errorf("%s: %+v, %d requests", what, s, p.requests.Load())
		}
	}
}

// faulty is a connection whose Write fails, after allow more bytes, once armed.
type faulty struct {
	net.Conn
	armed  *atomic.Bool
	allow  int
	writes *atomic.Int32
}

func (f *faulty) Write(p []byte) (int, error) {
	f.writes.Add(1)
	if !f.armed.Load() {
		return f.Conn.Write(p)
	}
	n := min(f.allow, len(p))
	if n > 0 {
		f.Conn.Write(p[:n])
	}
	return n, syscall.EPIPE
}

func TestWriteFailures(t *testing.T) {
	for _, tc := range []struct {
		what     string
		allow    int
		pooled   bool // the first failure is on a pooled connection
		all      bool // later connections fail too
		sent, ok bool
		dials    uint64
	}{
		{"a pooled connection that takes nothing is replaced", 0, true, false, true, true, 2},
		{"once: the new one takes nothing either", 0, true, true, false, false, 2},
		{"a pooled connection that took one byte is not replaced", 1, true, false, true, false, 1},
		{"a new connection that takes nothing is not replaced", 0, false, true, false, false, 1},
		{"a new connection that took one byte", 1, false, true, true, false, 1},
	} {
		p := serve(t, forever(okReply))
		var armed, off, on atomic.Bool
		on.Store(true)
		var writes atomic.Int32
		first := true
		tr := transport(t, Options{Dial: func(ctx context.Context, key Key) (net.Conn, error) {
			c, err := dialLoopback(ctx, key)
			arm := &armed
			if !first && !tc.all {
				arm = &off
			}
			first = false
			return &faulty{c, arm, tc.allow, &writes}, err
		}})
		if tc.pooled {
			if _, err := tr.Do(t.Context(), p.key(false), post(), new(fasthttp.Response), Mode{}); err != nil {
				t.Fatal(err)
			}
		}
		armed.Store(true)
		sent, err := tr.Do(t.Context(), p.key(false), post(), new(fasthttp.Response), Mode{})
		if sent != tc.sent || (err == nil) != tc.ok || errors.Is(err, ErrNotSent) == sent {
			t.Errorf("%s: sent %v, %v", tc.what, sent, err)
		}
		if s := tr.Stats(); s.Dials != tc.dials {
			t.Errorf("%s: %d dials, want %d", tc.what, s.Dials, tc.dials)
		}
	}
}

func TestWhatFailsBeforeTheFirstByteWasNotSent(t *testing.T) {
	refused := errors.New("refused by rule")
	p := serve(t, forever(okReply))
	hold := make(chan struct{})
	defer close(hold)
	silent := serve(t, func(_ *provider, _ int, c *net.TCPConn) { <-hold })
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for what, tc := range map[string]struct {
		o    Options
		key  Key
		ctx  context.Context
		want error
	}{
		"a refused dial":       {Options{Dial: func(context.Context, Key) (net.Conn, error) { return nil, refused }}, p.key(false), t.Context(), refused},
		"a done context":       {Options{}, p.key(false), cancelled, context.Canceled},
		"no TLS at the server": {Options{}, p.key(true), t.Context(), nil},
		"a silent handshake":   {Options{Timeouts: Timeouts{Dial: 20 * time.Millisecond}}, silent.key(true), t.Context(), context.DeadlineExceeded},
		"no trust":             {Options{Trust: func(Key) (Trust, error) { return Trust{}, refused }}, p.key(true), t.Context(), refused},
	} {
		tr := transport(t, tc.o)
		sent, err := tr.Do(tc.ctx, tc.key, post(), new(fasthttp.Response), Mode{})
		if sent || !errors.Is(err, ErrNotSent) || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: sent %v, %v", what, sent, err)
		}
	}
	tr := transport(t, Options{})
	tr.Close()
	if sent, err := tr.Do(t.Context(), p.key(false), post(), new(fasthttp.Response), Mode{}); sent || !errors.Is(err, ErrNotSent) {
		t.Errorf("a closed transport: sent %v, %v", sent, err)
	}
	if p.requests.Load() != 0 {
		t.Errorf("%d requests arrived", p.requests.Load())
	}
}

func TestARequestIsNeverRepeatedAfterItsFirstByte(t *testing.T) {
	for what, end := range map[string]func(*net.TCPConn){
		"closed": func(c *net.TCPConn) {},
		"reset":  func(c *net.TCPConn) { _ = c.SetLinger(0) },
	} {
		for _, pooled := range []bool{false, true} {
			p := serve(t, func(p *provider, n int, c *net.TCPConn) {
				br := bufio.NewReader(c)
				if pooled {
					p.request(br)
					io.WriteString(c, okReply)
				}
				p.request(br)
				end(c)
			})
			tr := transport(t, Options{})
			if pooled {
				if _, err := tr.Do(t.Context(), p.key(false), post(), new(fasthttp.Response), Mode{}); err != nil {
					t.Fatal(err)
				}
			}
			before := p.requests.Load()
			sent, err := tr.Do(t.Context(), p.key(false), post(), new(fasthttp.Response), Mode{})
			if !sent || err == nil || errors.Is(err, ErrNotSent) {
				t.Errorf("%s, pooled %v: sent %v, %v", what, pooled, sent, err)
			}
			if got := p.requests.Load() - before; got != 1 || p.conns.Load() != 1 {
				t.Errorf("%s, pooled %v: %d requests on %d connections", what, pooled, got, p.conns.Load())
			}
		}
	}
}

func TestContextEndsTheWaitForAReply(t *testing.T) {
	arrived := make(chan struct{}, 4)
	hold := make(chan struct{})
	defer close(hold)
	p := serve(t, func(p *provider, _ int, c *net.TCPConn) {
		p.request(bufio.NewReader(c))
		arrived <- struct{}{}
		<-hold
	})
	tr := transport(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	sent, err := tr.Do(ctx, p.key(false), post(), new(fasthttp.Response), Mode{})
	if !sent || !errors.Is(err, context.Canceled) || errors.Is(err, ErrNotSent) {
		t.Errorf("canceled: sent %v, %v", sent, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	sent, err = tr.Do(ctx, p.key(false), post(), new(fasthttp.Response), Mode{})
	if !sent || err == nil || errors.Is(err, ErrNotSent) {
		t.Errorf("deadline: sent %v, %v", sent, err)
	}
	tr = transport(t, Options{Timeouts: Timeouts{FirstByte: 20 * time.Millisecond}})
	if sent, err = tr.Do(t.Context(), p.key(false), post(), new(fasthttp.Response), Mode{}); !sent || err == nil {
		t.Errorf("no first byte: sent %v, %v", sent, err)
	}
}

// recorder keeps what was written and how often.
func TestConcurrentExchanges(t *testing.T) {
	p := serve(t, func(p *provider, _ int, c *net.TCPConn) {
		br := bufio.NewReader(c)
		for {
			b, err := p.request(br)
			if err != nil {
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
		}
	})
	tr := transport(t, Options{})
	errs := make(chan error, 8)
	for w := range 8 {
		go func() {
			for i := range 40 {
				req, resp := post(), new(fasthttp.Response)
				want := fmt.Sprintf("amount=%d&n=%d", w, i)
				req.SetBodyString(want)
				if _, err := tr.Do(t.Context(), p.key(false), req, resp, Mode{MaxReply: 4096, Stream: i%2 == 0}); err != nil || string(resp.Body()) != want {
					errs <- fmt.Errorf("got %q, want %q: %w", resp.Body(), want, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
