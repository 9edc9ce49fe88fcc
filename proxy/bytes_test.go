package proxy_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

func TestOnlyCallsWithOneReadingGetIn(t *testing.T) {
	const post = "POST /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\n"
	long := strings.Repeat("x", 2000)
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		raw    string
		status int // 0 for a call that is forwarded
		code   spend.Code
	}{
		"a plain call":                        {post + "Content-Length: 8\r\n\r\namount=5", 0, ""},
		"lower-case field names":              {"POST /pay HTTP/1.1\r\nhost: " + guardedHost + "\r\ncontent-length: 8\r\n\r\namount=5", 0, ""},
		"the port in Host":                    {"POST /pay HTTP/1.1\r\nHost: " + guardedHost + ":443\r\nContent-Length: 8\r\n\r\namount=5", 0, ""},
		"Host in capitals with a dot":         {"POST /pay HTTP/1.1\r\nHost: API.Coin.Test.\r\nContent-Length: 8\r\n\r\namount=5", 0, ""},
		"a chunked body":                      {post + "Transfer-Encoding: chunked\r\n\r\n3\r\namo\r\n5\r\nunt=5\r\n0\r\n\r\n", 0, ""},
		"one byte in each chunk":              {post + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nm\r\n1\r\no\r\n1\r\nu\r\n1\r\nn\r\n1\r\nt\r\n1\r\n=\r\n1\r\n5\r\n0\r\n\r\n", 0, ""},
		"a field that Connection takes away":  {post + "Content-Length: 8\r\nStripe-Account: acct_1\r\nConnection: keep-alive, Stripe-Account\r\n\r\namount=5", 400, spend.Ambiguous},
		"Connection as clients send it":       {post + "Content-Length: 8\r\nConnection: keep-alive, TE\r\n\r\namount=5", 0, ""},
		"a bare LF in the request line":       {"POST /pay HTTP/1.1\nHost: " + guardedHost + "\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"a bare LF in the head":               {post + "X: 1\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"a bare CR in a value":                {post + "X: 1\r2\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Malformed},
		"a blank line first":                  {"\r\n" + post + "Content-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"a folded field":                      {post + "X: 1\r\n 2\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"a space before the colon":            {post + "Content-Length : 8\r\n\r\namount=5", 400, spend.Malformed},
		"no colon":                            {post + "Content-Length\r\n\r\n", 400, spend.Malformed},
		"a NUL in a value":                    {post + "X: a\x00b\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Malformed},
		"two equal lengths":                   {post + "Content-Length: 8\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"a length and chunks":                 {post + "Content-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, spend.Ambiguous},
		"a signed length":                     {post + "Content-Length: +8\r\n\r\namount=5", 400, spend.Malformed},
		"a list of lengths":                   {post + "Content-Length: 8, 8\r\n\r\namount=5", 400, spend.Malformed},
		"two transfer codings":                {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400, spend.Ambiguous},
		"another transfer coding":             {post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, spend.Ambiguous},
		"a chunk extension":                   {post + "Transfer-Encoding: chunked\r\n\r\n8;a=b\r\namount=5\r\n0\r\n\r\n", 400, spend.Ambiguous},
		"a chunk size with a bare LF":         {post + "Transfer-Encoding: chunked\r\n\r\n8\namount=5\r\n0\r\n\r\n", 400, spend.Ambiguous},
		"a chunk longer than it says":         {post + "Transfer-Encoding: chunked\r\n\r\n7\r\namount=5\r\n0\r\n\r\n", 400, spend.Ambiguous},
		"a chunk size in underscores":         {post + "Transfer-Encoding: chunked\r\n\r\n0_8\r\namount=5\r\n0\r\n\r\n", 400, spend.Ambiguous},
		"trailer fields":                      {post + "Transfer-Encoding: chunked\r\n\r\n8\r\namount=5\r\n0\r\nAmount: 9\r\n\r\n", 400, spend.Ambiguous},
		"announced trailer fields":            {post + "Trailer: Amount\r\nTransfer-Encoding: chunked\r\n\r\n8\r\namount=5\r\n0\r\n\r\n", 400, spend.Ambiguous},
		"a method in lower case":              {strings.Replace(post, "POST", "post", 1) + "Content-Length: 8\r\n\r\namount=5", 400, spend.UnrecognisedCall},
		"TRACE":                               {strings.Replace(post, "POST", "TRACE", 1) + "\r\n", 400, spend.UnrecognisedCall},
		"CONNECT inside the tunnel":           {"CONNECT evil.test:443 HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", 400, spend.Malformed},
		"HTTP/1.0":                            {"POST /pay HTTP/1.0\r\nHost: " + guardedHost + "\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Malformed},
		"the preface of HTTP/2":               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, spend.Malformed},
		"two spaces in the request line":      {"POST  /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", 400, spend.Malformed},
		"dot segments":                        {"POST /x/../pay HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", 400, spend.Ambiguous},
		"an encoded slash":                    {"POST /x%2fpay HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", 400, spend.Ambiguous},
		"a doubled slash":                     {"POST //pay HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", 400, spend.Ambiguous},
		"an absolute target inside":           {"POST https://" + guardedHost + "/pay HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", 400, spend.Malformed},
		"an asterisk":                         {"OPTIONS * HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", 400, spend.Malformed},
		"another Host":                        {"POST /pay HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 8\r\n\r\namount=5", 421, spend.HostMismatch},
		"another port":                        {"POST /pay HTTP/1.1\r\nHost: " + guardedHost + ":8443\r\nContent-Length: 8\r\n\r\namount=5", 421, spend.HostMismatch},
		"user information in Host":            {"POST /pay HTTP/1.1\r\nHost: " + guardedHost + "@evil.test\r\nContent-Length: 8\r\n\r\namount=5", 421, spend.HostMismatch},
		"two Hosts":                           {post + "Host: " + guardedHost + "\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"no Host":                             {"POST /pay HTTP/1.1\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"two idempotency keys":                {post + "Idempotency-Key: a\r\nidempotency-key: b\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"two credentials":                     {post + "Authorization: a\r\nAuthorization: a\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"two account headers":                 {post + "Stripe-Account: a\r\nStripe-Account: b\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"an override of the method":           {post + "X-HTTP-Method-Override: DELETE\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"a length under an alias":             {post + "Content_Length: 0\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"a letter outside ASCII that folds":   {post + "Transfer-Encoding: chun\u212aed\r\n\r\n8\r\namount=5\r\n0\r\n\r\n", 400, spend.Ambiguous},
		"an upgrade":                          {post + "Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Malformed},
		"a GET with a body":                   {"GET /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Ambiguous},
		"another expectation":                 {post + "Expect: 200-maybe\r\nContent-Length: 8\r\n\r\namount=5", 400, spend.Malformed},
		"a body over the bound":               {post + "Content-Length: 2000\r\n\r\n" + long, 413, spend.TooLarge},
		"a chunked body over the bound":       {post + "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + long + "\r\n0\r\n\r\n", 413, spend.TooLarge},
		"a length that no memory could serve": {post + "Content-Length: 4000000000000000000\r\n\r\n", 413, spend.TooLarge},
		"a head without end":                  {post + "X: " + strings.Repeat("y", 70<<10) + "\r\n\r\n", 413, spend.TooLarge},
		"thousands of fields":                 {post + strings.Repeat("X: y\r\n", 3000) + "\r\n", 413, spend.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(w.up.got())
			a, _, br := w.say(c.raw)
			sent := w.up.got()[before:]
			if c.status == 0 {
				if a.status != 200 || len(sent) != 1 || sent[0] != "POST /pay amount=5" {
					t.Errorf("answer = %+v, the provider got %q", a, sent)
				}
				return
			}
			if a.status != c.status || a.header.Get("Outgo-Code") != string(c.code) || a.header.Get("Outgo-Decision") != "refused" {
				t.Errorf("answer = %+v", a)
			}
			if !strings.Contains(a.body, "coin_error") {
				t.Errorf("body = %s", a.body)
			}
			if len(sent) != 0 {
				t.Errorf("the provider got %q", sent)
			}
			if _, err := br.ReadByte(); err == nil {
				t.Error("the connection goes on")
			}
		})
	}
}

func TestRequestsOnOneConnectionAreServedInOrder(t *testing.T) {
	w := newWorld(t, nil)
	c, br := w.inside(guardedHost)
	one := "POST /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\nContent-Length: 8\r\n\r\namount=1"
	two := "POST /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\nTransfer-Encoding: chunked\r\n\r\n8\r\namount=2\r\n0\r\n\r\n"
	three := "GET /x HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n"
	bad := "GET /x HTTP/1.1\nHost: " + guardedHost + "\r\n\r\n"
	io.WriteString(c, one+two+three+bad+three)
	for i, want := range []int{200, 200, 200, 400} {
		resp, err := http.ReadResponse(br, nil)
		if a := read(t, resp, err); a.status != want {
			t.Fatalf("answer %d = %+v", i, a)
		}
	}
	if _, err := br.ReadByte(); err == nil {
		t.Error("what stood behind a broken request was served")
	}
	if got := strings.Join(w.up.got(), "|"); got != "POST /pay amount=1|POST /pay amount=2|GET /x " {
		t.Errorf("the provider got %q", got)
	}
}

func TestExpectIsAnsweredByOutgo(t *testing.T) {
	w := newWorld(t, nil)
	c, br := w.inside(guardedHost)
	io.WriteString(c, "POST /pay HTTP/1.1\r\nHost: "+guardedHost+"\r\nexpect: 100-Continue\r\nContent-Length: 8\r\n\r\n")
	line, err := br.ReadString('\n')
	if line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("line = %q, %v", line, err)
	}
	br.ReadString('\n')
	io.WriteString(c, "amount=5")
	resp, err := http.ReadResponse(br, nil)
	if a := read(t, resp, err); a.status != 200 {
		t.Errorf("answer = %+v", a)
	}
	if h := w.up.header(0); h.Get("Expect") != "" {
		t.Errorf("upstream header = %v", h)
	}
}

func TestABodyThatDoesNotArriveIsRefused(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.Timeouts.Body = 50 * time.Millisecond })
	a, _, _ := w.say("POST /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\nContent-Length: 8\r\n\r\namou")
	if a.status != 400 || !strings.Contains(a.body, "in time") || len(w.up.got()) != 0 {
		t.Errorf("answer = %+v", a)
	}
}

// A socket that is closed on unread bytes resets the connection, and an agent far
// away never sees why it was refused.
func TestARefusalWaitsForAnAgentThatIsStillSending(t *testing.T) {
	w := newWorld(t, nil)
	a, c, br := w.say("POST /pay HTTP/1.1\r\nHost: " + guardedHost + "\r\nContent-Length: 900000\r\n\r\n" + strings.Repeat("x", 1000))
	if _, err := br.ReadByte(); a.status != 413 || err != io.EOF {
		t.Fatalf("answer = %+v, then %v", a, err)
	}
	for i := range 3 {
		if _, err := c.NetConn().Write(make([]byte, 32<<10)); err != nil {
			t.Fatalf("piece %d of the body: %v", i, err)
		}
	}
}

func TestAHeadThatDoesNotArriveEndsTheConnection(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.Timeouts.Head = 50 * time.Millisecond })
	c, br := w.inside(guardedHost)
	io.WriteString(c, "POST /pay HTTP/1.1\r\nHost: ")
	if b, err := io.ReadAll(br); len(b) > 0 || err != nil && timedOut(err) {
		t.Errorf("the proxy said %q, %v", b, err)
	}
}

func timedOut(err error) bool {
	e, ok := err.(net.Error) //nolint:errorlint // a test
	return ok && e.Timeout()
}

func TestConnectionCloseIsObeyed(t *testing.T) {
	w := newWorld(t, nil)
	a, _, br := w.say("GET /x HTTP/1.1\r\nHost: " + guardedHost + "\r\nConnection: Close\r\n\r\n")
	if _, err := br.ReadByte(); a.status != 200 || err == nil {
		t.Errorf("answer = %+v; the connection goes on: %v", a, err == nil)
	}
}

// TestOneNameEverywhere tries every mix of the names in CONNECT, in the greeting
// of TLS and in Host. Only where all three are the guarded host is a call sent.
func TestOneNameEverywhere(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.UnknownHosts = proxy.Deny })
	names := []string{guardedHost, "127.0.0.1", "evil.test", "x.wild.test", ""}
	for _, connect := range names[:4] {
		for _, sni := range names {
			for _, host := range names {
				before := len(w.up.got())
				c, br := w.dial("CONNECT " + connect + ":443 HTTP/1.1\r\nHost: " + connect + ":443\r\n\r\n")
				resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode == 200 {
					s := tls.Client(c, &tls.Config{ServerName: sni, InsecureSkipVerify: true}) //nolint:gosec // the names differ on purpose
					fmt.Fprintf(s, "POST /pay HTTP/1.1\r\nHost: %s\r\nContent-Length: 8\r\n\r\namount=5", host)
					io.Copy(io.Discard, io.LimitReader(s, 20))
				}
				c.Close()
				want := 0
				if connect == guardedHost && sni == guardedHost && host == guardedHost {
					want = 1
				}
				if got := len(w.up.got()) - before; got != want {
					t.Errorf("CONNECT %q, TLS %q, Host %q: %d calls were sent", connect, sni, host, got)
				}
			}
		}
	}
}

func TestPlainHTTP(t *testing.T) {
	body := "POST /pay HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 8\r\n\r\namount=5"
	inTunnel := "CONNECT plain.test:80 HTTP/1.1\r\nHost: plain.test:80\r\n\r\n" + body
	absolute := strings.Replace(body, "POST /pay", "POST http://plain.test/pay", 1)
	for name, c := range map[string]struct {
		raw    string
		plain  bool
		skip   bool // the answer to CONNECT comes first
		status int
		code   spend.Code
	}{
		"in a tunnel is refused":                 {inTunnel, false, true, 400, spend.PlainHTTP},
		"in a tunnel is judged where configured": {inTunnel, true, true, 200, ""},
		"in absolute form is refused":            {absolute, false, false, 400, spend.PlainHTTP},
		"in absolute form is judged too":         {absolute, true, false, 200, ""},
		"in absolute form has its bound":         {strings.Replace(absolute, "8\r\n\r\namount=5", "2000\r\n\r\n"+strings.Repeat("x", 2000), 1), true, false, 413, spend.TooLarge},
		"in absolute form has one Host":          {strings.Replace(absolute, "Host: plain.test", "Host: other.test", 1), true, false, 421, spend.HostMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *proxy.Options) {
				o.Routes[0].Hosts = append(o.Routes[0].Hosts, "plain.test")
				o.Routes[0].Plain = c.plain
				if c.plain {
					o.Upstreams["plain.test"] = o.Upstreams[guardedHost]
				}
			})
			_, br := w.dial(c.raw)
			if c.skip {
				if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
			}
			resp, err := http.ReadResponse(br, nil)
			a := read(t, resp, err)
			if a.status != c.status || a.header.Get("Outgo-Code") != string(c.code) {
				t.Errorf("answer = %+v", a)
			}
			if c.status != 200 && (!strings.Contains(a.body, "coin_error") || len(w.up.got()) != 0) {
				t.Errorf("answer = %+v, the provider got %q", a, w.up.got())
			}
			if c.status == 200 && len(w.gate.asked()) != 1 {
				t.Error("the gate was not asked")
			}
		})
	}
}

func TestTheProxyItself(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		raw    string
		status int
		says   string
	}{
		"says what it is":                   {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200, "HTTPS_PROXY"},
		"is no origin server":               {"POST /v1/charges HTTP/1.1\r\nHost: api.stripe.com\r\nContent-Length: 0\r\n\r\n", 421, "HTTPS_PROXY"},
		"refuses https in absolute form":    {"GET https://" + guardedHost + "/ HTTP/1.1\r\nHost: " + guardedHost + "\r\n\r\n", 400, "CONNECT"},
		"refuses a target with credentials": {"GET http://a:b@x.test/ HTTP/1.1\r\nHost: x.test\r\n\r\n", 400, "http://host/path"},
		"refuses what it cannot read":       {"GET / HTTP/1.1\nHost: x\r\n\r\n", 400, "carriage return"},
		"refuses a CONNECT without a port":  {"CONNECT x.test HTTP/1.1\r\nHost: x.test\r\n\r\n", 400, ""},
		"refuses a CONNECT with a body":     {"CONNECT x.test:443 HTTP/1.1\r\nHost: x.test\r\nContent-Length: 2\r\n\r\nhi", 400, "no body"},
		"refuses other ports of a guarded":  {"CONNECT x.wild.test:25 HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n", 403, "ports 443 and 80"},
	} {
		t.Run(name, func(t *testing.T) {
			_, br := w.dial(c.raw)
			resp, err := http.ReadResponse(br, nil)
			a := read(t, resp, err)
			if a.status != c.status || !strings.Contains(a.body, c.says) {
				t.Errorf("answer = %+v", a)
			}
		})
	}
}

func TestHandshakesThatFailAreCounted(t *testing.T) {
	w := newWorld(t, nil)
	for cause, conf := range map[string]*tls.Config{
		"ca_untrusted_suspected": {ServerName: guardedHost},
		"name_mismatch":          {ServerName: "other.test", InsecureSkipVerify: true},                                                            //nolint:gosec // a test
		"protocol":               {ServerName: guardedHost, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}, //nolint:gosec // a test
	} {
		c, br := w.dial("CONNECT " + guardedHost + ":443 HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil {
			t.Fatal(err)
		}
		s := tls.Client(c, conf)
		if s.Handshake() == nil {
			s.Read(make([]byte, 1))
		}
		c.Close()
		eventually(t, cause, func() bool { return w.proxy.Stats().HandshakeBy[cause] == 1 })
	}
	c, _ := w.inside(guardedHost)
	c.Close()
	eventually(t, "silent connection", func() bool { return w.proxy.Stats().HandshakeBy["no_request"] == 1 })
	if n := w.proxy.Stats().Handshakes; n != 1 {
		t.Errorf("%d handshakes succeeded", n)
	}
}

func TestBytesBehindConnectAreNotLost(t *testing.T) {
	w := newWorld(t, nil)
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	early := &early{Conn: c, head: []byte("CONNECT " + guardedHost + ":443 HTTP/1.1\r\nHost: x\r\n\r\n")}
	s := tls.Client(early, &tls.Config{RootCAs: w.roots, ServerName: guardedHost})
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
}

// early sends its head in one write with the first bytes of the greeting, and
// skips the answer to it.
type early struct {
	net.Conn
	head    []byte
	skipped bool
}

func (e *early) Write(p []byte) (int, error) {
	if e.head != nil {
		first := append(e.head, p...)
		e.head = nil
		_, err := e.Conn.Write(first)
		return len(p), err
	}
	return e.Conn.Write(p)
}

func (e *early) Read(p []byte) (int, error) {
	for head := []byte(nil); !e.skipped; {
		b := make([]byte, 1)
		if _, err := e.Conn.Read(b); err != nil {
			return 0, err
		}
		head = append(head, b...)
		e.skipped = bytes.HasSuffix(head, []byte("\r\n\r\n"))
	}
	return e.Conn.Read(p)
}
