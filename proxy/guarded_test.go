package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/proxy"
)

// answerTo sends a call on a connection of its own to a provider that answers with
// reply, and returns all that comes back until the connection ends.
func answerTo(t *testing.T, method, reply string) string {
	t.Helper()
	url, _ := startActor(t, func(int) actor { return says(reply) })
	w := newWorld(t, func(o *proxy.Options) { o.Upstreams[guardedHost] = proxy.Upstream{URL: url} })
	c, br := w.inside(guardedHost)
	call := method + " /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\nConnection: close\r\n"
	if method == "POST" {
		call += "Content-Length: 8\r\n\r\namount=5"
	} else {
		call += "\r\n"
	}
	io.WriteString(c, call)
	all, err := io.ReadAll(br)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestAReplyIsPassedOnAsItCame(t *testing.T) {
	const date, close = "Date: Sat, 21 Nov 2026 20:00:00 GMT\r\n", "Connection: close\r\n\r\n"
	body := strings.Repeat("0123456789abcdef", 2<<10)
	for name, c := range map[string]struct{ method, reply, want string }{
		"fields in their order and spelling": {
			"POST", "HTTP/1.1 402 Pay  Up!\r\nx-b: 1\r\nserver: s\r\n" + date + "SET-cookie: a=b\r\nX-B:  2 \r\nset-cookie: c\r\ncontent-type: a/b\r\nX-C:\r\nContent-Length: 2\r\n\r\nok",
			"HTTP/1.1 402 Pay  Up!\r\nx-b: 1\r\nserver: s\r\n" + date + "SET-cookie: a=b\r\nX-B: 2\r\nset-cookie: c\r\ncontent-type: a/b\r\nX-C: \r\nContent-Length: 2\r\n" + close + "ok",
		},
		"without what is its connection's": {
			"GET", "HTTP/1.1 200 OK\r\n" + date + "Connection: keep-alive\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\nTrailer: X\r\nUpgrade: h2c\r\nOutgo-Decision: forged\r\ncontent-length: 002\r\n\r\nok",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 2\r\n" + close + "ok",
		},
		"an older one without words, in the protocol of the agent": {
			"GET", "HTTP/1.0 404\r\ndate: x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 404 Not Found\r\ndate: x\r\nContent-Length: 0\r\n" + close,
		},
		"chunks that were read whole, with their length": {
			"POST", "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 3\r\n" + close + "ok!",
		},
		"what ends with its connection, with its length":        {"GET", "HTTP/1.1 200 OK\r\n" + date + "\r\nok!", "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 3\r\n" + close + "ok!"},
		"the length of what a HEAD does not get":                {"HEAD", "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 77\r\n\r\n", "HTTP/1.1 200 OK\r\n" + date + "Content-Length: 77\r\n" + close},
		"the chunks that a HEAD does not get":                   {"HEAD", "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n" + close},
		"a HEAD of what has no length":                          {"HEAD", "HTTP/1.1 200 OK\r\n" + date + "\r\n", "HTTP/1.1 200 OK\r\n" + date + close},
		"nothing":                                               {"GET", "HTTP/1.1 204 No Content\r\n" + date + "\r\n", "HTTP/1.1 204 No Content\r\n" + date + close},
		"nothing, which says that it is something":              {"GET", "HTTP/1.1 204 No Content\r\n" + date + "Content-Length: 5\r\n\r\n", "HTTP/1.1 204 No Content\r\n" + date + close},
		"nothing, which says that it is in chunks":              {"GET", "HTTP/1.1 204 No Content\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 204 No Content\r\n" + date + close},
		"what has not changed":                                  {"GET", "HTTP/1.1 304 Not Modified\r\n" + date + "ETag: x\r\nContent-Length: 77\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n" + date + "ETag: x\r\nContent-Length: 77\r\n" + close},
		"what has not changed, which says that it is in chunks": {"GET", "HTTP/1.1 304 Not Modified\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n" + date + close},
		"more than fits into one write":                         {"GET", "HTTP/1.1 200 OK\r\n" + date + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body, "HTTP/1.1 200 OK\r\n" + date + fmt.Sprintf("Content-Length: %d\r\n", len(body)) + close + body},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answerTo(t, c.method, c.reply); got != c.want {
				t.Errorf("%.600q is answered, want %.600q", got, c.want)
			}
		})
	}
}

func TestAStreamIsPassedOnAsItIsFramed(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 10<<10)
	for name, c := range map[string]struct{ reply, want string }{
		"by its length": {fmt.Sprintf("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: %d\r\n\r\n", len(body)) + body, fmt.Sprintf("Content-Length: %d\r\n", len(body))},
		"in chunks":     {fmt.Sprintf("HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nT: z\r\n\r\n", len(body), body), "Transfer-Encoding: chunked\r\n"},
		"in chunks where its end is its connection's": {"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + body, "Transfer-Encoding: chunked\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := answerTo(t, "GET", c.reply)
			head, rest, _ := strings.Cut(got, "\r\n\r\n")
			if head += "\r\n"; !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\nX: y\r\nDate: ") || !strings.HasSuffix(head, " GMT\r\n"+c.want+"Connection: close\r\n") {
				t.Errorf("head = %q", head)
			}
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			all, err := io.ReadAll(resp.Body)
			if err != nil || string(all) != body {
				t.Errorf("%d bytes of body, %v", len(all), err)
			}
			if strings.HasPrefix(c.want, "Transfer") != strings.HasSuffix(rest, "\r\n0\r\n\r\n") {
				t.Errorf("the body ends with %q", rest[len(rest)-20:])
			}
		})
	}
}

func TestAStreamThatBreaksOffIsNotPassedOnAsWhole(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 10<<10)
	for name, reply := range map[string]string{
		"with a length": fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body)+1) + body,
		"in chunks":     fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body),
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answerTo(t, "GET", reply))), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if all, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%d bytes pass as whole", len(all))
			}
		})
	}
}

// TestCallsOnOneConnectionShareNothing has bodies of many sizes come in pieces of many
// sizes, framed both ways, on one connection.
func TestCallsOnOneConnectionShareNothing(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.Routes[0].MaxBody = 1 << 20 })
	w.up.handle = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("X-N", r.Header.Get("X-N"))
		io.WriteString(rw, "noted "+r.Header.Get("X-N"))
	}
	c, br := w.inside(guardedHost)
	for i, size := range []int{0, 1, 40_000, 2, 0, 4_000, 4_096, 16 << 10, 16<<10 + 1, 3, 200_000, 5} {
		body := "amount=" + strings.Repeat(string(rune('0'+i%10)), size)
		call := fmt.Sprintf("PUT /note HTTP/1.1\r\nHost: %s\r\nX-N: %d\r\n", guardedHost, i)
		if i%3 == 1 {
			half := len(body) / 2
			call += fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", half, body[:half], len(body)-half, body[half:])
		} else {
			call += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
		}
		go func() {
			for piece := 1 + len(call)/(1+i%4); call != ""; {
				n := min(piece, len(call))
				io.WriteString(c, call[:n])
				call = call[n:]
			}
		}()
		resp, err := http.ReadResponse(br, nil)
		a := read(t, resp, err)
		if a.status != 200 || a.body != fmt.Sprint("noted ", i) || resp.Header.Get("X-N") != fmt.Sprint(i) {
			t.Fatalf("call %d of %d bytes is answered %d, %.40q, %v", i, size, a.status, a.body, resp.Header)
		}
		if got := w.up.got(); len(got) != i+1 || got[i] != "PUT /note "+body {
			t.Fatalf("of call %d with %d bytes the provider got %d, %.40q", i, len(body), len(got[len(got)-1]), got[len(got)-1])
		}
	}
}

// TestCallsSentBeforeTheirTurnShareNothing has an agent send call after call without
// waiting for an answer, in pieces that end anywhere, so that one call is read together
// with a part of the next.
func TestCallsSentBeforeTheirTurnShareNothing(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.Routes[0].MaxBody = 1 << 20 })
	var all strings.Builder
	var bodies []string
	for i, size := range []int{0, 1, 1_200, 1_300, 1_400, 0, 4_000, 4_096, 3_900, 2, 15_000, 16 << 10, 16<<10 + 1, 9_000, 70_000, 3, 1_250} {
		bodies = append(bodies, "amount="+strings.Repeat(string(rune('a'+i)), size))
		fmt.Fprintf(&all, "PUT /note HTTP/1.1\r\nHost: %s\r\nX-N: %d\r\n", guardedHost, i)
		if i%4 == 3 {
			fmt.Fprintf(&all, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(bodies[i]), bodies[i])
		} else {
			fmt.Fprintf(&all, "Content-Length: %d\r\n\r\n%s", len(bodies[i]), bodies[i])
		}
	}
	for _, piece := range []int{1 << 20, 1_399, 1_401, 4_095, 5_000, 16 << 10, 577} {
		before := len(w.up.got())
		c, br := w.inside(guardedHost)
		go func() {
			for text := all.String(); text != ""; {
				n := min(piece, len(text))
				io.WriteString(c, text[:n])
				text = text[n:]
			}
		}()
		for i, body := range bodies {
			resp, err := http.ReadResponse(br, nil)
			if a := read(t, resp, err); a.status != 200 {
				t.Fatalf("in pieces of %d, call %d is answered %d, %.40q", piece, i, a.status, a.body)
			}
			if got := w.up.got()[before:]; got[i] != "PUT /note "+body {
				t.Fatalf("in pieces of %d, of call %d with %d bytes the provider got %d, %.40q", piece, i, len(body), len(got[i]), got[i])
			}
		}
		c.Close()
	}
}

func TestAnAgentThatHangsUpBeforeItsBodyIsNotServed(t *testing.T) {
	w := newWorld(t, nil)
	c, _ := w.inside(guardedHost)
	io.WriteString(c, "POST /pay HTTP/1.1\r\nHost: "+guardedHost+"\r\nContent-Length: 8\r\n\r\namo")
	c.Close()
	eventually(t, "the end of its connection", func() bool { return w.proxy.Stats().Conns == 0 })
	if got := w.up.got(); len(got) != 0 || w.proxy.Stats().Calls != 0 {
		t.Errorf("the provider got %q, %d calls are under way", got, w.proxy.Stats().Calls)
	}
}

func TestAConnectionEndsWhenItsAgentSaysNothing(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.Timeouts.Idle, o.Timeouts.Head = time.Second, time.Second })
	for name, said := range map[string]string{"nothing": "", "half of a head": "POST /pay HTTP/1.1\r\nHo"} {
		t.Run(name, func(t *testing.T) {
			c, br := w.inside(guardedHost)
			io.WriteString(c, said)
			if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := br.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("it goes on: %v", err)
			}
		})
	}
}
