package proxy_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/proxy"
)

// brief are time-outs that a test can wait for.
func brief(o *proxy.Options) {
	o.Timeouts = proxy.Timeouts{
		Idle: 300 * time.Millisecond, Head: 300 * time.Millisecond, Body: 300 * time.Millisecond,
		Write: 300 * time.Millisecond, Handshake: 300 * time.Millisecond, Drain: 5 * time.Second,
	}
}

// empty waits until every connection has ended, and checks that nothing came of
// what was said on them.
func (w *world) empty(t *testing.T, sent int) {
	t.Helper()
	eventually(t, "end of all connections", func() bool { return w.proxy.Stats().Conns == 0 })
	if got := w.up.got(); len(got) != sent {
		t.Errorf("the provider got %q", got)
	}
	if asked := w.gate.asked(); len(asked) != sent {
		t.Errorf("the gate was asked %d times", len(asked))
	}
}

const (
	connectPlain = "CONNECT " + guardedHost + ":80 HTTP/1.1\r\nHost: " + guardedHost + ":80\r\n\r\n"
	goodCall     = "POST /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\nContent-Length: 8\r\n\r\namount=5"
	chunkedCall  = "POST /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\namo\r\n5\r\nunt=5\r\n0\r\n\r\n"
	absoluteCall = "POST http://" + guardedHost + "/pay HTTP/1.1\r\nHost: " + guardedHost + "\r\nTransfer-Encoding: chunked\r\n\r\n8\r\namount=5\r\n0\r\n\r\n"
)

// TestAnAgentThatHangsUpAtAnyByteSpendsNothing breaks a call off behind every one
// of its bytes.
func TestAnAgentThatHangsUpAtAnyByteSpendsNothing(t *testing.T) {
	for name, raw := range map[string]string{
		"in a tunnel": connectPlain + goodCall, "in chunks": connectPlain + chunkedCall, "in absolute form": absoluteCall,
		"in absolute form with a length": strings.Replace(strings.Replace(absoluteCall, "Transfer-Encoding: chunked", "Content-Length: 8", 1), "8\r\namount=5\r\n0\r\n\r\n", "amount=5", 1),
	} {
		for end, hangUp := range map[string]func(*net.TCPConn){
			"an end":      func(c *net.TCPConn) { c.Close() },
			"a reset":     func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
			"half an end": func(c *net.TCPConn) { c.CloseWrite(); io.Copy(io.Discard, c) },
		} {
			t.Run(name+", "+end, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				for cut := range len(raw) {
					c, _ := w.dial(raw[:cut])
					hangUp(c.(*net.TCPConn))
					c.Close()
				}
				w.empty(t, 0)
			})
		}
	}
}

// TestSlowAgentsAreEnded has many agents say next to nothing. Every connection is
// ended in time, however often something comes.
func TestSlowAgentsAreEnded(t *testing.T) {
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	for name, c := range map[string]struct{ first, more string }{
		"nothing":                         {"", ""},
		"half a word":                     {"CONN", ""},
		"a CONNECT":                       {"CONNECT " + guardedHost + ":443 HTTP/1.1\r\n", "X: y\r\n"},
		"a CONNECT and no more":           {connectPlain, ""},
		"half a greeting of TLS":          {connectPlain + hello, ""},
		"a greeting of TLS":               {connectPlain + hello, "\x00"},
		"a request line":                  {connectPlain + "POST /pay HTTP/1.1\r\n", ""},
		"a head":                          {connectPlain + "POST /pay HTTP/1.1\r\n", "X: y\r\n"},
		"a body":                          {connectPlain + strings.Replace(goodCall, "8\r\n\r\namount=5", "900\r\n\r\n", 1), "x"},
		"chunks":                          {connectPlain + strings.TrimSuffix(chunkedCall, "0\r\n\r\n"), "1\r\nx\r\n"},
		"a head in absolute form":         {"GET http://" + guardedHost + "/ HTTP/1.1\r\n", "X: y\r\n"},
		"a body in absolute form":         {strings.Replace(absoluteCall, "Transfer-Encoding: chunked", "Content-Length: 900", 1), "x"},
		"chunks in absolute form":         {strings.TrimSuffix(absoluteCall, "0\r\n\r\n"), "1\r\nx\r\n"},
		"an expectation and then nothing": {connectPlain + strings.Replace(goodCall, "\r\n\r\namount=5", "\r\nExpect: 100-continue\r\n\r\n", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, brief)
			var wg sync.WaitGroup
			for range 20 {
				conn, _ := w.dial(c.first)
				wg.Go(func() {
					if err := trickle(conn, c.more); timedOut(err) {
						t.Error("the proxy did not close")
					}
				})
			}
			wg.Wait()
			w.empty(t, 0)
		})
	}
}

// TestAMessageUnderTLSHasItsOwnDeadline has messages trickle in on connections that
// may be idle for an hour, as the first message and behind another.
func TestAMessageUnderTLSHasItsOwnDeadline(t *testing.T) {
	for name, c := range map[string]struct{ first, more string }{
		"half a head": {"POST /pay HTTP/1.1\r\n", ""},
		"a head":      {"POST /pay HTTP/1.1\r\n", "X: y\r\n"},
		"half a body": {strings.Replace(goodCall, "8\r\n", "900\r\n", 1), ""},
		"a body":      {strings.Replace(goodCall, "8\r\n", "900\r\n", 1), "x"},
		"chunks":      {strings.TrimSuffix(chunkedCall, "0\r\n\r\n"), "1\r\nx\r\n"},
	} {
		for before, calls := range map[string]int{"at first": 0, "behind a call": 1} {
			t.Run(name+" "+before, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, func(o *proxy.Options) {
					brief(o)
					o.Timeouts.Idle = time.Hour
				})
				conn, br := w.inside(guardedHost)
				for range calls {
					io.WriteString(conn, goodCall)
					if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 200 {
						t.Fatal(resp, err)
					}
				}
				io.WriteString(conn, c.first)
				if err := trickle(conn, c.more); timedOut(err) {
					t.Error("the proxy did not close")
				}
				w.empty(t, calls)
			})
		}
	}
}

// trickle sends more every now and then until the peer closes, and returns what
// ended the reading.
func trickle(c net.Conn, more string) error {
	closed := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		closed <- err
	}()
	for every := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case err := <-closed:
			every.Stop()
			c.Close()
			return err
		case <-every.C:
			io.WriteString(c, more) // fails once the peer has closed
		}
	}
}

// TestEndlessAgentsAreBounded has agents send without end. What the proxy keeps of
// it is bounded, whatever they say.
func TestEndlessAgentsAreBounded(t *testing.T) {
	const agents, most = 32, 64 << 20
	long := strings.Repeat("y", 16<<10)
	for name, c := range map[string]struct{ first, more string }{
		"a CONNECT":                 {"CONNECT " + guardedHost + ":443 HTTP/1.1\r\n", "X: " + long + "\r\n"},
		"a CONNECT of one line":     {"CONNECT ", long},
		"a request line":            {connectPlain + "POST /", long},
		"a line of a head":          {connectPlain + "POST /pay HTTP/1.1\r\nX: ", long},
		"a head":                    {connectPlain + "POST /pay HTTP/1.1\r\n", strings.Repeat("X: y\r\n", 2000)},
		"a body":                    {connectPlain + strings.Replace(goodCall, "8\r\n\r\namount=5", "4000000000\r\n\r\n", 1), long},
		"chunks":                    {connectPlain + strings.TrimSuffix(chunkedCall, "0\r\n\r\n"), "4000\r\n" + long + "\r\n"},
		"tiny chunks":               {connectPlain + strings.TrimSuffix(chunkedCall, "0\r\n\r\n"), strings.Repeat("1\r\nx\r\n", 2000)},
		"a chunk's size":            {connectPlain + strings.TrimSuffix(chunkedCall, "0\r\n\r\n"), "00000000"},
		"trailers":                  {connectPlain + strings.TrimSuffix(chunkedCall, "\r\n"), strings.Repeat("X: y\r\n", 2000)},
		"a head in absolute form":   {"POST http://" + guardedHost + "/pay HTTP/1.1\r\n", strings.Repeat("X: y\r\n", 2000)},
		"chunks in absolute form":   {strings.TrimSuffix(absoluteCall, "0\r\n\r\n"), "4000\r\n" + long + "\r\n"},
		"a body for the proxy":      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\n\r\n", long},
		"requests that are refused": {connectPlain, "BREW /pay HTTP/1.1\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var wg sync.WaitGroup
			for range agents {
				conn, _ := w.dial(c.first)
				wg.Go(func() {
					if err := flood(conn, c.more); timedOut(err) || errors.Is(err, errTaken) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > most { //nolint:gosec // far below the bound
				t.Errorf("%d agents made the heap %d bytes larger", agents, grown)
			}
			w.empty(t, 0)
		})
	}
}

// flood sends more until the peer takes no more of it, 8 MiB at most.
func flood(c net.Conn, more string) error {
	defer c.Close()
	go io.Copy(io.Discard, c)
	for sent := 0; sent < 8<<20; sent += len(more) {
		if _, err := io.WriteString(c, more); err != nil {
			return err
		}
	}
	return errTaken
}

var errTaken = errors.New("all of it was taken")

// TestAnAgentThatDoesNotReadIsEnded asks for more than any socket holds and reads
// none of it. Both connections end.
func TestAnAgentThatDoesNotReadIsEnded(t *testing.T) {
	w := newWorld(t, brief)
	ended := make(chan error, 1)
	w.up.handle = func(rw http.ResponseWriter, _ *http.Request) {
		var err error
		for i := 0; i < 1<<10 && err == nil; i++ {
			_, err = rw.Write(make([]byte, 1<<20))
		}
		ended <- err
	}
	w.dial(connectPlain + "GET /things HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n")
	if err := <-ended; err == nil {
		t.Error("all of it was taken")
	}
	eventually(t, "end of the connection", func() bool { return w.proxy.Stats().Conns == 0 })
}

func TestConnectionsBeyondTheBoundAreClosedWithoutAWord(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.MaxConns = 2 })
	var open []net.Conn
	for range 2 {
		c, br := w.dial(connectPlain + goodCall)
		if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		open = append(open, c)
	}
	for range 3 {
		_, br := w.dial("")
		if b, _ := io.ReadAll(br); len(b) > 0 {
			t.Errorf("one too many is told %q", b)
		}
	}
	if n := w.proxy.Stats().TurnedAway; n != 3 {
		t.Errorf("%d were turned away", n)
	}
	open[0].Close()
	eventually(t, "room", func() bool { return w.proxy.Stats().Conns == 1 })
	if a := w.post("/pay", "amount=5"); a.status != 200 {
		t.Errorf("answer = %+v", a)
	}
}
