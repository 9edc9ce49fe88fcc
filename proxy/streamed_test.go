package proxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// longBody is more than is read before any of it is passed on.
var longBody = strings.Repeat("0123456789abcdef", 2<<16)

// TestTheLastByteWaitsForTheReceipt shows what an agent has of a long reply while
// its outcome is being recorded.
func TestTheLastByteWaitsForTheReceipt(t *testing.T) {
	for name, c := range map[string]struct {
		provide      http.HandlerFunc
		before, rest string // what the agent may have by then, and what comes after
	}{
		"a body with a length": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", strconv.Itoa(len(longBody)))
			io.WriteString(rw, longBody)
		}, longBody[:len(longBody)-1], longBody[len(longBody)-1:]},
		"a body in chunks": {func(rw http.ResponseWriter, _ *http.Request) {
			io.WriteString(rw, longBody)
		}, longBody[:len(longBody)-1], longBody[len(longBody)-1:]},
		"events": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			for _, event := range []string{"data: working\n\n", ": wait\r\n\r\n", "data: pa", "id\r\n", "\n", "data: working\n\n"} {
				io.WriteString(rw, event)
				rw.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond) // so that they come one by one
			}
		}, "data: working\n\n: wait\r\n\r\ndata: paid\r\n", "\ndata: working\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.up.handle = c.provide
			finishing, durable := make(chan struct{}), make(chan struct{})
			w.gate.finish = func(spend.ID, spend.Outcome) error {
				close(finishing)
				<-durable
				return nil
			}
			resp, err := w.client(nil).Post("https://"+guardedHost+"/pay", "", strings.NewReader("amount=5"))
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			defer resp.Body.Close()
			var got bytes.Buffer
			var size atomic.Int64
			end := make(chan error, 1)
			go func() {
				b := make([]byte, 64<<10)
				for {
					n, err := resp.Body.Read(b)
					got.Write(b[:n])
					if size.Add(int64(n)); err != nil {
						end <- err
						return
					}
				}
			}()
			<-finishing
			time.Sleep(20 * time.Millisecond) // for a byte too many to arrive
			if n := int(size.Load()); n > len(c.before) {
				t.Errorf("%d bytes passed before the receipt was durable, at most %d may", n, len(c.before))
			}
			close(durable)
			if err := <-end; !errors.Is(err, io.EOF) || got.String() != c.before+c.rest {
				t.Errorf("the reply ended with %v after %d bytes", err, got.Len())
			}
			if o := w.gate.finished(); len(o) != 1 || o[0].Result != spend.Happened || o[0].Receipt.Source != spend.FromWire {
				t.Errorf("outcomes = %+v", o)
			}
			if l := w.observed(1)[0]; l.Decision != "forwarded" || l.Status != 200 || l.Err != "" {
				t.Errorf("line = %+v", l)
			}
		})
	}
}

// TestAReplyThatCannotBePassedOnIsCut shows long replies that end badly.
func TestAReplyThatCannotBePassedOnIsCut(t *testing.T) {
	full := func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, longBody) }
	for name, c := range map[string]struct {
		provide http.HandlerFunc
		finish  func() error
		result  spend.Result
	}{
		"the outcome cannot be recorded": {full, func() error { return spend.InvalidState }, spend.Happened},
		"the gate panics":                {full, func() error { panic("full disk") }, spend.Happened},
		"the rail panics": {func(rw http.ResponseWriter, _ *http.Request) {
			io.WriteString(rw, "panic"+longBody)
		}, nil, spend.Uncertain},
		"the reply breaks off": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", strconv.Itoa(len(longBody)+1))
			io.WriteString(rw, longBody)
		}, nil, spend.Uncertain},
		"the events break off before the receipt": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(rw, "data: working\n\ndata: paid\n")
			rw.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, nil, spend.Uncertain},
		"the events break off behind the receipt": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(rw, "data: paid\n\n")
			rw.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, nil, spend.Happened},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.up.handle = c.provide
			var once atomic.Bool
			w.gate.finish = func(spend.ID, spend.Outcome) error {
				if c.finish != nil && once.CompareAndSwap(false, true) {
					return c.finish()
				}
				return nil
			}
			resp, err := w.client(nil).Post("https://"+guardedHost+"/pay", "", strings.NewReader("amount=5"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("the agent got %d bytes as if they were whole", len(got))
			}
			if l := w.observed(1)[0]; l.Decision != "cut" || l.Err == "" {
				t.Errorf("line = %+v", l)
			}
			if o := w.gate.finished(); len(o) == 0 || o[0].Result != c.result {
				t.Errorf("outcomes = %+v", o)
			}
			if n := len(w.up.got()); n != 1 {
				t.Errorf("the provider was called %d times", n)
			}
		})
	}
}

func TestAReceiptIsWantedAlthoughTheAgentHangsUpAmidALongReply(t *testing.T) {
	w := newWorld(t, nil)
	gone := make(chan struct{})
	hangUp := sync.OnceFunc(func() { close(gone) })
	defer hangUp()
	w.up.handle = func(rw http.ResponseWriter, _ *http.Request) {
		io.WriteString(rw, longBody)
		rw.(http.Flusher).Flush()
		<-gone
		io.WriteString(rw, longBody)
	}
	c, br := w.inside(guardedHost)
	io.WriteString(c, "POST /pay HTTP/1.1\r\nHost: "+guardedHost+"\r\nContent-Length: 8\r\n\r\namount=5")
	if line, err := br.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Fatal(line, err)
	}
	c.Close()
	hangUp()
	eventually(t, "the outcome", func() bool { return len(w.gate.finished()) == 1 })
	if o := w.gate.finished()[0]; o.Result != spend.Happened || len(o.Receipt.TransactionID) != 2*len(longBody) {
		t.Errorf("outcome = %s of %d bytes", o.Result, len(o.Receipt.TransactionID))
	}
	if l := w.observed(1)[0]; l.Decision != "cut" {
		t.Errorf("line = %+v", l)
	}
}

func TestFollowersGetALongReplyToo(t *testing.T) {
	w := newWorld(t, nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.up.handle = func(rw http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		io.WriteString(rw, longBody)
	}
	calls := w.followOne()
	answers := make(chan answer, 2)
	pay := func() { answers <- w.post("/pay", "amount=5", "Idempotency-Key", "k") }
	go pay()
	<-arrived
	go pay()
	eventually(t, "two calls", func() bool { return calls.Load() == 2 })
	close(release)
	for range 2 {
		if a := <-answers; a.status != 200 || a.body != longBody {
			t.Errorf("answer = %d, %d bytes", a.status, len(a.body))
		}
	}
	if n := len(w.up.got()); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

// TestAConnectionIsUsedAgainAfterALongReply has one connection carry a long reply,
// a short one, and a stream, so that what belongs to one call cannot show up in another.
func TestAConnectionIsUsedAgainAfterALongReply(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.Timeouts.Reply = 5 * time.Second })
	w.up.handle = func(rw http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Kind") {
		case "long":
			io.WriteString(rw, longBody)
		case "events":
			rw.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(rw, "data: paid\n\n")
		default:
			io.WriteString(rw, "short")
		}
	}
	c, br := w.inside(guardedHost)
	for i, kind := range []string{"long", "short", "events", "short", "long", "events", "events", "long"} {
		io.WriteString(c, "POST /pay HTTP/1.1\r\nHost: "+guardedHost+"\r\nX-Kind: "+kind+"\r\nContent-Length: 8\r\n\r\namount=5")
		a := readAnswer(t, br)
		if want := map[string]string{"long": longBody, "short": "short", "events": "data: paid\n\n"}[kind]; a.status != 200 || a.body != want {
			t.Fatalf("answer %d = %d, %d bytes", i, a.status, len(a.body))
		}
		if l := w.observed(i + 1)[i]; l.Decision != "forwarded" || l.Request != spend.ID("req-"+strconv.Itoa(i+1)) {
			t.Errorf("line %d = %+v", i, l)
		}
	}
}

func readAnswer(t *testing.T, br *bufio.Reader) answer {
	t.Helper()
	resp, err := http.ReadResponse(br, nil)
	return read(t, resp, err)
}
