package proxy_test

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/rails"
)

// secretRail is coinRail, but that GET /secret shows a token, and POST /secret says of
// itself that it could be masked.
type secretRail struct{ coinRail }

func (r secretRail) Match(c *rails.Call) spend.Class {
	if strings.HasPrefix(c.Path, "/secret") {
		return spend.Capability
	}
	return r.coinRail.Match(c)
}

func (r secretRail) Intent(c *rails.Call, facts []rails.Fact) (rails.Judgement, error) {
	if !strings.HasPrefix(c.Path, "/secret") {
		return r.coinRail.Intent(c, facts)
	}
	j := rails.Judgement{Intent: spend.Intent{Class: spend.Capability, Operation: "secret.read", Maskable: true}, Query: c.Query, Withheld: []string{"token"}}
	if c.Method == "POST" {
		j.Intent.Class = spend.Spend
	}
	return j, nil
}

// maskWorld answers GET /secret with what write writes, under a gate that rules so.
func maskWorld(t *testing.T, next spend.Next, write http.HandlerFunc) *world {
	w := newWorld(t, func(o *proxy.Options) { o.Routes[0].Rail = secretRail{} })
	w.gate.authorize = func(in spend.Intent) (spend.Ruling, error) {
		return spend.Ruling{Next: next, Request: spend.Request{Intent: in, Verdict: spend.Verdict{Code: spend.RequiresApproval}}}, nil
	}
	w.up.handle = write
	return w
}

func (w *world) get(path string, fields ...string) answer {
	w.t.Helper()
	req, err := http.NewRequest("GET", "https://"+guardedHost+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := w.client(nil).Do(req)
	return read(w.t, resp, err)
}

func replies(status int, body string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(status)
		io.WriteString(rw, body) //nolint:errcheck // a test
	}
}

func TestWhatAMaskedReadIsAnsweredWith(t *testing.T) {
	const secret = `{"id":"x", "token":"x_secret_0123456789"}`
	for name, c := range map[string]struct {
		next     spend.Next
		write    http.HandlerFunc
		status   int
		body     string // or a part of it, for outgo's own words
		decision string // of the line
	}{
		"the reply without its secret":          {spend.Withhold, replies(200, secret), 200, `{"id":"x", "token":"withheld_by_outgo"}`, "withheld"},
		"the reply as it is, where that may be": {spend.Pass, replies(200, secret), 200, secret, "passed"},
		"a reply that has none":                 {spend.Withhold, replies(200, `{"id":"x"}`), 200, `{"id":"x"}`, "passed"},
		"an error":                              {spend.Withhold, replies(404, `{"error":{"message":"no such"}}`), 404, `{"error":{"message":"no such"}}`, "passed"},
		"nothing":                               {spend.Withhold, replies(204, ""), 204, "", "passed"},
		"a reply that is no JSON":               {spend.Withhold, replies(200, "token=x_secret_0123456789"), 400, "not the JSON that was asked for", "refused"},
		"a page of an error":                    {spend.Withhold, replies(502, "<html>x_secret_0123456789"), 502, "could not reach", "unavailable"},
		"a reply that was compressed all the same": {spend.Withhold, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(rw)
			io.WriteString(z, secret) //nolint:errcheck // a test
			z.Close()                 //nolint:errcheck // likewise
		}, 400, "ask without expand", "refused"},
		"one that says so and is not": {spend.Withhold, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Encoding", "br")
			io.WriteString(rw, secret) //nolint:errcheck // a test
		}, 400, "ask without expand", "refused"},
		"a reply too long to look through": {spend.Withhold, func(rw http.ResponseWriter, _ *http.Request) {
			io.WriteString(rw, `{"a":"`+strings.Repeat("a", 8<<20)+`","token":"x_secret_0123456789"}`) //nolint:errcheck // a test
		}, 413, "ask for less", "refused"},
		"a reply that breaks off": {spend.Withhold, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100")
			io.WriteString(rw, secret) //nolint:errcheck // a test
			panic(http.ErrAbortHandler)
		}, 502, "could not reach", "unavailable"},
		"a ruling to send it is none": {spend.Refuse, replies(200, secret), 403, "", "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			w := maskWorld(t, c.next, c.write)
			a := w.get("/secret?limit=3", "Range", "bytes=0-3", "Accept-Encoding", "identity")
			if a.status != c.status || !strings.Contains(a.body, c.body) || c.status < 300 && a.body != c.body {
				t.Errorf("answer = %d %.300s, want %d %s", a.status, a.body, c.status, c.body)
			}
			if strings.Contains(a.body, "x_secret") != (c.next == spend.Pass) {
				t.Errorf("body = %.300s", a.body)
			}
			l := w.observed(1)[0]
			if l.Decision != c.decision || l.Class != spend.Capability || l.Operation != "secret.read" || l.Request != "" {
				t.Errorf("line = %+v", l)
			}
			if want := map[string]string{"withheld": "withheld", "passed": ""}; c.status < 400 && a.header.Get("Outgo-Decision") != want[c.decision] {
				t.Errorf("header = %v", a.header)
			}
			if c.next == spend.Withhold && (w.up.header(0).Get("Range") != "" || w.up.header(0).Get("Accept-Encoding") != "identity") {
				t.Errorf("sent with %v", w.up.header(0))
			}
		})
	}
}

// Pass and Withhold are rulings on reads alone: a gate that gives one on a payment has
// not recorded it.
func TestNoPaymentIsForwardedUnrecorded(t *testing.T) {
	for _, next := range []spend.Next{spend.Pass, spend.Withhold} {
		w := maskWorld(t, next, replies(200, "{}"))
		for _, path := range []string{"/secret", "/pay"} {
			if a := w.post(path, "amount=5"); a.status != 503 || a.header.Get("Outgo-Code") != string(spend.GuardUnavailable) {
				t.Errorf("%s on %s: %+v", next, path, a)
			}
		}
		if got := w.up.got(); len(got) != 0 {
			t.Errorf("%s: the provider got %q", next, got)
		}
	}
}

// A gate that fails is no reason to show a secret, and none to forward.
func TestAMaskedReadNeedsARuling(t *testing.T) {
	w := maskWorld(t, spend.Pass, replies(200, `{"token":"x_secret_0123456789"}`))
	w.gate.authorize = func(spend.Intent) (spend.Ruling, error) { return spend.Ruling{}, errors.New("disk full") }
	if a := w.get("/secret"); a.status != 503 {
		t.Errorf("answer = %+v", a)
	}
}
