package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// TestEveryAnswerIsInOutgosWords looks for the plain-text errors of the libraries
// that serve the connections: whatever an agent does, it is answered in the
// rail's words where a rail is concerned, in outgo's own where none is, or not at
// all.
func TestEveryAnswerIsInOutgosWords(t *testing.T) {
	const post = "POST /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\n"
	absolute := strings.Replace(post, "/pay", "http://"+guardedHost+"/pay", 1)
	connect := "CONNECT " + guardedHost + ":443 HTTP/1.1\r\n"
	long := strings.Repeat("x", 70<<10)
	rail, own, none := "rail", "own", "none"
	w := newWorld(t, func(o *proxy.Options) {
		o.Timeouts.Head, o.Timeouts.Body, o.Timeouts.Idle = 500*time.Millisecond, 500*time.Millisecond, 500*time.Millisecond
		o.Routes[0].Plain = true
	})
	cases := map[string]struct {
		raw    string
		words  string
		status int
	}{
		"a head that is too long":                  {connectPlain + post + "X: " + long + "\r\n\r\n", rail, 413},
		"too many fields":                          {connectPlain + post + strings.Repeat("X: y\r\n", 300) + "\r\n", rail, 413},
		"a target that is too long":                {connectPlain + "POST /" + long + " HTTP/1.1\r\n\r\n", rail, 413},
		"a body that is too long":                  {connectPlain + post + "Content-Length: 5000\r\n\r\n", rail, 413},
		"chunks that are too long":                 {connectPlain + post + "Transfer-Encoding: chunked\r\n\r\n1388\r\n", rail, 413},
		"chunks that get too long":                 {connectPlain + post + "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + long[:1000] + "\r\n1\r\n", rail, 413},
		"a chunk that is none":                     {connectPlain + post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", rail, 400},
		"an expectation of too much":               {connectPlain + post + "Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n", rail, 413},
		"an expectation of something else":         {connectPlain + post + "Expect: 200-ok\r\nContent-Length: 5\r\n\r\n", rail, 400},
		"a body that is late":                      {connectPlain + post + "Content-Length: 8\r\n\r\namou", rail, 400},
		"a body that is late behind its 100":       {connectPlain + post + "Expect: 100-continue\r\nContent-Length: 8\r\n\r\n", rail, 400},
		"chunks that are late":                     {connectPlain + post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", rail, 400},
		"a head that is late":                      {connectPlain + post, none, 0},
		"no request at all":                        {connectPlain, none, 0},
		"a method that is none":                    {connectPlain + "P(ST /pay HTTP/1.1\r\n\r\n", rail, 400},
		"a method that nobody knows":               {connectPlain + "BREW /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", rail, 400},
		"a version that nobody knows":              {connectPlain + "POST /pay HTTP/4.0\r\n\r\n", rail, 400},
		"a target that is none":                    {connectPlain + "POST %zz HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", rail, 400},
		"no Host":                                  {connectPlain + "POST /pay HTTP/1.1\r\n\r\n", rail, 400},
		"bare line feeds":                          {connectPlain + "GET / HTTP/1.1\nHost: x\n\n", rail, 400},
		"binary garbage":                           {connectPlain + "\x80\x00\x01\xff\r\n\r\n", rail, 400},
		"a rail that fails":                        {connectPlain + strings.Replace(post, "/pay", "/panic", 1) + "Content-Length: 0\r\n\r\n", rail, 503},
		"absolute: a body that is too long":        {absolute + "Content-Length: 5000\r\n\r\n", rail, 413},
		"absolute: chunks that get too long":       {absolute + "Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + long[:1000] + "\r\n1\r\n", rail, 413},
		"absolute: chunks longer than is streamed": {absolute + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("64\r\n"+long[:100]+"\r\n", 20), rail, 413},
		"absolute: a chunk that is none":           {absolute + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", rail, 400},
		"absolute: a length and chunks":            {absolute + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", rail, 400},
		"absolute: a folded field":                 {absolute + "X: y\r\n z\r\n\r\n", rail, 400},
		"absolute: a body that is late":            {absolute + "Content-Length: 8\r\n\r\namou", rail, 400},
		"absolute: chunks that are late":           {absolute + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", rail, 400},
		"absolute: a body late behind its 100":     {absolute + "Expect: 100-continue\r\nContent-Length: 8\r\n\r\n", rail, 400},
		"absolute: a method that nobody knows":     {strings.Replace(absolute, "POST", "BREW", 1) + "\r\n", rail, 400},
		"absolute: a head that is too long":        {absolute + "X: " + long + "\r\n\r\n", own, 413},
		"absolute: bare line feeds":                {strings.ReplaceAll(absolute+"\r\n", "\r\n", "\n"), own, 400},
		"a body for the proxy itself":              {post + "Content-Length: 5000\r\n\r\n", own, 421},
		"a length and chunks for it":               {post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", own, 400},
		"garbage for it":                           {"\x80\x00\x01\xff\r\n\r\n", own, 400},
		"a CONNECT that is too long":               {connect + "X: " + long + "\r\n\r\n", own, 413},
		"a CONNECT of too many fields":             {connect + strings.Repeat("X: y\r\n", 300) + "\r\n", own, 413},
		"a CONNECT with bare line feeds":           {strings.ReplaceAll(connect+"\r\n", "\r\n", "\n"), own, 400},
		"a CONNECT with a folded field":            {connect + "X: y\r\n z\r\n\r\n", own, 400},
		"a CONNECT with a length and chunks":       {connect + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", own, 400},
		"a CONNECT with a body":                    {connect + "Content-Length: 3\r\n\r\nabc", own, 400},
		"a CONNECT with a coding":                  {connect + "Transfer-Encoding: gzip\r\n\r\n", own, 400},
		"a CONNECT with an expectation":            {connect + "Expect: x\r\n\r\n", own, 400},
		"a CONNECT with two Hosts":                 {connect + "Host: a\r\nHost: b\r\n\r\n", own, 400},
		"a CONNECT with a Host that is none":       {connect + "Host: a/b\r\n\r\n", own, 400},
		"a CONNECT with a field that is none":      {connect + "X (y): z\r\n\r\n", own, 400},
		"a CONNECT with a NUL":                     {connect + "X: \x00\r\n\r\n", own, 400},
		"a CONNECT of another version":             {strings.Replace(connect, "1.1", "2.0", 1) + "\r\n", own, 400},
		"a CONNECT of no version":                  {"CONNECT " + guardedHost + ":443\r\n\r\n", own, 400},
		"a CONNECT to no host":                     {"CONNECT :443 HTTP/1.1\r\n\r\n", own, 400},
		"a CONNECT to a path":                      {"CONNECT /x HTTP/1.1\r\n\r\n", own, 400},
		"a CONNECT to a URL":                       {"CONNECT https://" + guardedHost + ":443/ HTTP/1.1\r\n\r\n", own, 400},
		"a CONNECT to a broken escape":             {"CONNECT a%zz:443 HTTP/1.1\r\n\r\n", own, 400},
		"a CONNECT that is late":                   {connect, none, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, br := w.dial(c.raw)
			if strings.HasPrefix(c.raw, connectPlain) {
				if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
			}
			answers, err := readAnswers(br, false)
			if err != nil {
				t.Fatal(err)
			}
			if c.words == none {
				if len(answers) > 0 {
					t.Errorf("answers = %+v", answers)
				}
				return
			}
			if len(answers) != 1 || answers[0].status != c.status {
				t.Fatalf("answers = %+v, want one with status %d", answers, c.status)
			}
			checkWords(t, answers[0], c.words == rail)
		})
	}
	w.empty(t, 0)
}

// checkWords checks that an answer is outgo's own and says so.
func checkWords(t *testing.T, a answer, rail bool) {
	t.Helper()
	if d := a.header.Get("Outgo-Decision"); d == "" {
		t.Errorf("it names no decision: %+v", a)
	}
	kind, start := "text/plain; charset=utf-8", "outgo: "
	if rail {
		kind, start = "application/json", `{"coin_error":`
	}
	if a.header.Get("Content-Type") != kind || !strings.HasPrefix(a.body, start) {
		t.Errorf("these are not the words: %+v", a)
	}
}

// What stops a call behind its head is worded by the rail as well, and so is what
// the way out fails with.
func TestFailuresBehindTheGateAreInTheRailsWords(t *testing.T) {
	for name, change := range map[string]func(*world){
		"the gate fails": func(w *world) {
			w.gate.authorize = func(spend.Intent) (spend.Ruling, error) { return spend.Ruling{}, errors.New("disk full") }
		},
		"the gate panics": func(w *world) { w.gate.authorize = func(spend.Intent) (spend.Ruling, error) { panic("bug") } },
		"the gate rules nothing": func(w *world) {
			w.gate.authorize = func(spend.Intent) (spend.Ruling, error) { return spend.Ruling{}, nil }
		},
		"nobody is there": func(w *world) { w.up.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			change(w)
			a := w.post("/pay", "amount=5")
			if a.status < 400 {
				t.Errorf("answer = %+v", a)
			}
			checkWords(t, a, true)
			if len(w.up.got()) > 0 {
				t.Errorf("the provider got %q", w.up.got())
			}
		})
	}
	w := newWorld(t, nil)
	c, br := w.inside(guardedHost)
	fmt.Fprintf(c, "GET /things HTTP/1.1\r\nHost: %s\r\n\r\n", guardedHost)
	if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	} else if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- w.proxy.Drain(context.Background()) }()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if b, _ := io.ReadAll(br); len(b) > 0 {
		t.Errorf("an idle connection is told %q at the end", b)
	}
}
