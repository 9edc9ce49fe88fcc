package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// endings are the ways in which the calls of TestNoCallGetsWhatIsAnothers end, in
// turn: memory that is used again is given back on each of them.
const (
	endsPaid = iota
	endsLookedUp
	endsDeclined
	endsLong     // with a reply of several pages
	endsPassed   // with one that is passed on as it comes
	endsLeft     // the agent hangs up in the midst of such a one
	endsLost     // the provider hangs up
	endsLate     // the outcome cannot be recorded at first
	endsRead     // it is a read
	endsNoted    // it moves no money
	endsRefused  // it cannot be judged
	endsPanicked // the rail panics
	endings
)

// mixed is a provider that tells each caller what it was sent, and a ledger that
// remembers whose request is which.
type mixed struct {
	*world
	mu       sync.Mutex
	intents  map[spend.ID]spend.Intent
	outcomes map[spend.ID]spend.Outcome
	refused  map[spend.ID]spend.Outcome // told once, and not taken
}

func newMixed(t *testing.T) *mixed {
	m := &mixed{intents: map[spend.ID]spend.Intent{}, outcomes: map[spend.ID]spend.Outcome{}, refused: map[spend.ID]spend.Outcome{}}
	m.world = newWorld(t, func(o *proxy.Options) { o.Gate = m })
	m.up.handle = m.provide
	return m
}

func (m *mixed) provide(w http.ResponseWriter, r *http.Request) {
	if object, ok := strings.CutPrefix(r.URL.Path, "/objects/"); ok {
		io.WriteString(w, object)
		return
	}
	echo := r.Header.Get("X-Call") + " " + r.URL.Path
	n, _ := strconv.Atoi(r.Header.Get("X-Call"))
	w.Header().Set("X-Echo", echo)
	switch n % endings {
	case endsDeclined:
		w.WriteHeader(402)
	case endsLong:
		echo = strings.Repeat(echo+" ", 9000)
	case endsPassed, endsLeft:
		echo = strings.Repeat(echo+" ", 1<<20/len(echo))
	case endsLost:
		panic(http.ErrAbortHandler)
	case endsRead:
		w.(http.Flusher).Flush()
	}
	io.WriteString(w, echo)
}

func (m *mixed) Authorize(_ context.Context, in spend.Intent) (spend.Ruling, error) {
	id := spend.NewID(time.Now())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.intents[id] = in
	return spend.Ruling{Next: spend.Forward, Request: spend.Request{ID: id, Intent: in, State: spend.Executing}}, nil
}

func (m *mixed) Wait(context.Context, spend.ID) (spend.Ruling, error) {
	return spend.Ruling{}, errors.New("nothing is held")
}

func (m *mixed) Begin(context.Context, spend.ID, spend.Intent) (spend.Ruling, error) {
	return spend.Ruling{}, errors.New("nothing is held")
}

func (m *mixed) Finish(_ context.Context, id spend.ID, o spend.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, again := m.refused[id]; !again && number(m.intents[id])%endings == endsLate {
		m.refused[id] = o
		return spend.Unavailable
	}
	m.outcomes[id] = o
	return nil
}

func (m *mixed) Reply(context.Context, spend.ID) ([]byte, error) { return nil, spend.NotFound }

// number is the number of the call that made an intent: it is its amount.
func number(in spend.Intent) int {
	n, _ := strconv.Atoi(in.Legs[0].Amount.Decimal())
	return n
}

// call makes the call of a number, and checks that the answer is its own.
func (m *mixed) call(c *http.Client, n int) error {
	method, path, body := "POST", "/pay", "amount="+strconv.Itoa(n)
	switch n % endings {
	case endsLookedUp:
		path, body = "/pay/"+strconv.Itoa(n), "x="+strings.Repeat("y", n%300)
	case endsRead:
		method, path, body = "GET", "/read/"+strconv.Itoa(n), ""
	case endsNoted:
		path = "/note"
	case endsRefused:
		body = "amount=none"
	case endsPanicked:
		path = "/panic"
	}
	req, err := http.NewRequest(method, "https://"+guardedHost+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.GetBody = nil
	req.Header.Set("X-Call", strconv.Itoa(n))
	req.Header.Set("Idempotency-Key", "k"+strconv.Itoa(n))
	req.Header.Set("Authorization", "Bearer of-"+strconv.Itoa(n%3))
	resp, err := c.Do(req)
	if cut := n%endings == endsLost || n%endings == endsLate; cut || err != nil {
		if cut == (err != nil) {
			return nil
		}
		return fmt.Errorf("call %d: %v, %w", n, resp, err)
	}
	defer resp.Body.Close()
	if n%endings == endsLeft {
		_, err = resp.Body.Read(make([]byte, 1))
		return err
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("call %d: %w", n, err)
	}
	echo, want := strconv.Itoa(n)+" "+path, map[int]int{endsDeclined: 402, endsRefused: 400, endsPanicked: 503}[n%endings]
	switch {
	case resp.StatusCode != max(want, 200), want == 0 && resp.StatusCode != 200:
		return fmt.Errorf("call %d: status %d", n, resp.StatusCode)
	case want == 400 || want == 503:
		if !bytes.Contains(got, []byte("coin_error")) || resp.Header.Get("X-Echo") != "" {
			return fmt.Errorf("call %d: answer %.200s", n, got)
		}
	case resp.Header.Get("X-Echo") != echo || !saysOnly(string(got), echo):
		return fmt.Errorf("call %d has the answer %q %.200q", n, resp.Header.Get("X-Echo"), got)
	}
	return nil
}

// saysOnly reports whether text is echo, once or more often.
func saysOnly(text, echo string) bool {
	return text != "" && strings.TrimSpace(strings.ReplaceAll(text, echo, "")) == ""
}

// What one call leaves in memory that is used again shows in no other call: not in
// its answer, nor in what is recorded of it, nor in its line.
func TestNoCallGetsWhatIsAnothers(t *testing.T) {
	m := newMixed(t)
	const callers, calls = 4, 3 * endings
	var running sync.WaitGroup
	for c := range callers {
		client := m.client(nil)
		running.Go(func() {
			for i := range calls {
				if err := m.call(client, c*calls+i+1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if err := m.proxy.Drain(context.Background()); err != nil { // which waits for the late ones
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, in := range m.intents {
		n := number(in)
		path := "/pay"
		if n%endings == endsLookedUp {
			path += "/" + strconv.Itoa(n)
		}
		echo, o := strconv.Itoa(n)+" "+path, m.outcomes[id]
		if in.Object != strings.TrimPrefix(strings.TrimPrefix(path, "/pay"), "/") {
			t.Errorf("call %d acts on %q", n, in.Object)
		}
		switch n % endings {
		case endsDeclined, endsLost:
			if o.Reply != nil || o.Receipt.TransactionID != "" || o.Result == spend.Happened {
				t.Errorf("call %d: %+v", n, o)
			}
		default:
			tx, long := o.Receipt.TransactionID, n%endings == endsPassed || n%endings == endsLeft
			head, whole := bytes.CutSuffix(o.Reply, []byte(tx))
			if !saysOnly(tx, echo) || long != (o.Reply == nil) || !long && (!whole || !bytes.Contains(head, []byte(echo))) {
				t.Errorf("call %d: transaction %.100q, reply %.300q", n, tx, o.Reply)
			}
		}
		if was, late := m.refused[id]; late && (was.Receipt != o.Receipt || !bytes.Equal(was.Reply, o.Reply)) {
			t.Errorf("call %d: told %+v, and later %+v", n, was, o)
		}
	}
	if len(m.intents) != callers*calls*8/endings || len(m.outcomes) != len(m.intents) {
		t.Errorf("%d requests with %d outcomes, of %d calls", len(m.intents), len(m.outcomes), callers*calls)
	}
	for _, l := range m.observed(callers * calls) {
		if l.Request != "" && (len(l.Legs) != 1 || l.Legs[0].Amount.String() != strconv.Itoa(number(m.intents[l.Request]))+" USD") {
			t.Errorf("the line of call %d says %v", number(m.intents[l.Request]), l.Legs)
		}
	}
}
