package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/outgo/outgo/engine/spend"
)

// A teller is a provider that says one thing.
type teller struct {
	take func(provider string, header func(string) []string, body []byte) (ProviderEvent, error)
}

func (f teller) Take(_ context.Context, provider string, header func(string) []string, body []byte) (ProviderEvent, error) {
	return f.take(provider, header, body)
}

// listening serves events and returns what posts to it, and what is logged.
func listening(t *testing.T, events ProviderEvents) (post func(path string, header http.Header, body []byte) (*http.Response, string), logs *observer.ObservedLogs) {
	t.Helper()
	post, _, logs = reachable(t, events)
	return post, logs
}

// reachable is listening, with what opens a connection as well.
func reachable(t *testing.T, events ProviderEvents) (post func(path string, header http.Header, body []byte) (*http.Response, string), dial func() (net.Conn, error), logs *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	s := New(Options{Events: events, Log: zap.New(core), Digest: func(s string) string { return s }})
	ln := fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	c := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}}
	t.Cleanup(func() {
		c.CloseIdleConnections()
		if err := errors.Join(s.Shutdown(), <-served); err != nil {
			t.Error(err)
		}
	})
	return func(path string, header http.Header, body []byte) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest("POST", "http://outgo"+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if header != nil {
			req.Header = header
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}, ln.Dial, logs
}

func TestAProviderIsAnsweredAsItUnderstands(t *testing.T) {
	const secret = "whsec_never shown"
	for sentence, c := range map[string]struct {
		err    error
		status int
		says   string
	}{
		"what it says is booked":            {nil, 200, `{"received":true}`},
		"it is not known, or has no secret": {fmt.Errorf("x: %w", spend.NotFound), 404, "no secret"},
		"its signature is wrong":            {fmt.Errorf("%s: %w", secret, spend.Unauthenticated), 400, "signature"},
		"it cannot be read":                 {fmt.Errorf("read event: it is no JSON: %w: %w", spend.Unavailable, spend.Invalid), 400, `it is no JSON: invalid"`},
		"the ledger cannot be written":      {fmt.Errorf("%s: %w", secret, spend.Unavailable), 503, "its log says why"},
		"something else is wrong":           {errors.New(secret), 503, "its log says why"},
	} {
		t.Run(sentence, func(t *testing.T) {
			post, logs := listening(t, teller{func(provider string, header func(string) []string, body []byte) (ProviderEvent, error) {
				if provider != "stripe" || string(body) != "{ }\n" || strings.Join(header("stripe-signature"), "|") != "one|two" {
					t.Errorf("heard %q of %q, %q", body, provider, header("stripe-signature"))
				}
				return ProviderEvent{ID: "evt_1", Type: "x.y", Requests: []spend.ID{"r"}, Changed: true}, c.err
			}})
			for _, prefix := range []string{"/api/v1", "/v1"} {
				resp, body := post(prefix+"/providers/stripe/webhook", http.Header{"Stripe-Signature": {"one", "two"}}, []byte("{ }\n"))
				if resp.StatusCode != c.status || !strings.Contains(body, c.says) || strings.Contains(body, secret) {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				if kind := resp.Header.Get("Content-Type"); (c.status == 200) != (kind == "application/json") || c.status != 200 && kind != "application/problem+json" {
					t.Errorf("it is of type %q", kind)
				}
			}
			if told := logs.FilterMessage("provider event").Len(); (told == 2) != (c.status == 200) || logs.FilterMessage("operator").Len() != 0 {
				t.Errorf("the log: %+v", logs.All())
			}
		})
	}
}

func TestAProviderNeedsAPathThatIsThere(t *testing.T) {
	post, _ := listening(t, nil)
	for path, want := range map[string]int{
		"/api/v1/providers/stripe/webhook": 404, "/api/v1/providers//webhook": 404, "/api/v1/providers/stripe": 404, "/providers/stripe/webhook": 404,
	} {
		if resp, body := post(path, nil, nil); resp.StatusCode != want {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

// What is longer than any event is not read, and so many at a time are heard and no
// more.
func TestWhatAProviderSaysIsBounded(t *testing.T) {
	began, release := make(chan struct{}, 2*maxHearing), make(chan struct{})
	post, dial, _ := reachable(t, teller{func(string, func(string) []string, []byte) (ProviderEvent, error) {
		began <- struct{}{}
		<-release
		return ProviderEvent{}, nil
	}})
	const path = "/api/v1/providers/stripe/webhook"
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// The head is enough for the answer: a client that is still sending could miss it.
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: outgo\r\nContent-Length: %d\r\n\r\n", path, 1<<20+1); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode < 400 || resp.StatusCode > 499 {
		t.Errorf("a body that is too long: %d", resp.StatusCode)
	}
	statuses := make(chan int, maxHearing)
	for range maxHearing {
		go func() {
			resp, _ := post(path, nil, nil)
			statuses <- resp.StatusCode
		}()
	}
	for range maxHearing {
		<-began
	}
	if resp, body := post(path, nil, nil); resp.StatusCode != 429 || !strings.Contains(body, "later") {
		t.Errorf("one too many: %d %s", resp.StatusCode, body)
	}
	close(release)
	for range maxHearing {
		if got := <-statuses; got != 200 {
			t.Errorf("one of those that are heard: %d", got)
		}
	}
	if resp, _ := post(path, nil, nil); resp.StatusCode != 200 {
		t.Errorf("one behind them: %d", resp.StatusCode)
	}
}
