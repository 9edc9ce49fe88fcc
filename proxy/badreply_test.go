package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/outgo/outgo/engine"
	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
)

// paidCharge is the least that proves a charge of 2000.
const paidCharge = `{"id":"ch_1","object":"charge","amount":2000,"amount_captured":2000,"currency":"usd","captured":true,"paid":true,"status":"succeeded"}`

const declined = `{"error":{"type":"card_error","code":"card_declined"}}`

// framed is a reply with a length.
func framed(status, fields, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", status, fields, len(body), body)
}

func whole(body string) string { return framed("200 OK", "", body) }

func chunked(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
}

// unframed is a reply that ends with its connection.
func unframed(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + body
}

// events is a reply of server-sent events with these data.
func events(data ...string) string {
	body := ": hello\n\n"
	for _, d := range data {
		body += "event: message\ndata: " + d + "\n\n"
	}
	return strings.Replace(chunked(body), "application/json", "text/event-stream", 1)
}

// actor plays a provider on one connection, after the request has been read.
type actor func(c *net.TCPConn)

// says writes text and closes.
func says(text string) actor { return func(c *net.TCPConn) { io.WriteString(c, text) } }

// pours writes text, then part without end, or until it is too much to believe.
func pours(text, part string) actor {
	return func(c *net.TCPConn) {
		io.WriteString(c, text)
		for sent := 0; sent < 64<<20; sent += len(part) {
			if _, err := io.WriteString(c, part); err != nil {
				return
			}
		}
	}
}

// startActor serves plain connections. Request by request it reads what the proxy
// sends and lets act answer; afterwards it closes.
func startActor(t *testing.T, act func(n int) actor) (url string, requests *atomic.Int32) {
	requests = new(atomic.Int32)
	port := listen(t, func(c *net.TCPConn) {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		act(int(requests.Add(1)))(c)
	})
	return "http://127.0.0.1:" + port, requests
}

// TestWhatProvidersDoWithAPayment says what the agent gets for each kind of reply,
// and how the payment stands then. Status 0 is a connection that was cut.
func TestWhatProvidersDoWithAPayment(t *testing.T) {
	large := strings.Repeat("x", 64<<10)
	long := strings.Repeat(" ", 2<<20) + paidCharge
	bomb := string(fasthttp.AppendGzipBytes(nil, []byte(strings.Repeat(" ", 20<<20)+paidCharge)))
	for name, c := range map[string]struct {
		act    actor
		status int
		state  spend.State
	}{
		"a receipt":                              {says(whole(paidCharge)), 200, spend.Settled},
		"a receipt in chunks":                    {says(chunked(paidCharge)), 200, spend.Settled},
		"a receipt that ends with its sender":    {says(unframed(paidCharge)), 200, spend.Settled},
		"a receipt under HTTP/1.0":               {says(strings.Replace(whole(paidCharge), "HTTP/1.1", "HTTP/1.0", 1)), 200, spend.Settled},
		"a receipt behind informational replies": {says(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 5) + whole(paidCharge)), 200, spend.Settled},
		"a receipt in gzip":                      {says(framed("200 OK", "Content-Encoding: gzip\r\n", string(fasthttp.AppendGzipBytes(nil, []byte(paidCharge))))), 200, spend.Settled},
		"a receipt and a second reply":           {says(whole(paidCharge) + whole(`{"id":"ch_2"}`)), 200, spend.Settled},
		"a receipt and garbage":                  {says(whole(paidCharge) + large), 200, spend.Settled},
		"a receipt, dripping": {func(c *net.TCPConn) {
			for i := range whole(paidCharge) {
				io.WriteString(c, whole(paidCharge)[i:i+1])
			}
		}, 200, spend.Settled},
		"a refusal":                          {says(framed("402 Payment Required", "", declined)), 402, spend.Failed},
		"an error of its own":                {says(framed("500 Internal Server Error", "", `{"error":{"type":"api_error"}}`)), 500, spend.Executing},
		"an error of its gateway":            {says(framed("502 Bad Gateway", "", "<html>bad gateway</html>")), 502, spend.Executing},
		"a page":                             {says(whole("<html>welcome</html>")), 200, spend.Executing},
		"nothing":                            {says(framed("204 No Content", "", "")), 204, spend.Executing},
		"a way elsewhere":                    {says(framed("307 Temporary Redirect", "Location: http://127.0.0.1:1/\r\n", "")), 307, spend.Executing},
		"an encoding that nobody asked for":  {says(framed("200 OK", "Content-Encoding: br\r\n", "\x0b\x02\x80")), 200, spend.Executing},
		"a bomb":                             {says(framed("200 OK", "Content-Encoding: gzip\r\n", bomb)), 200, spend.Executing},
		"the end":                            {says(""), 0, spend.Executing},
		"a reset":                            {func(c *net.TCPConn) { c.SetLinger(0) }, 0, spend.Executing},
		"half a status line":                 {says("HTTP/1.1 20"), 0, spend.Executing},
		"half a head":                        {says("HTTP/1.1 200 OK\r\nContent-Le"), 0, spend.Executing},
		"half a body":                        {says(strings.TrimSuffix(whole(paidCharge), `"succeeded"}`)), 0, spend.Executing},
		"no last chunk":                      {says(strings.TrimSuffix(chunked(paidCharge), "0\r\n\r\n")), 0, spend.Executing},
		"no blank line behind the chunks":    {says(strings.TrimSuffix(chunked(paidCharge), "\r\n")), 0, spend.Executing},
		"half a body that ends with it":      {says(unframed(paidCharge[:40])), 0, spend.Executing},
		"no body where it ends with it":      {says(unframed("")), 0, spend.Executing},
		"two lengths":                        {says(strings.Replace(whole(paidCharge), "Content-Length", "Content-Length: 5\r\nContent-Length", 1)), 0, spend.Executing},
		"a length and chunks":                {says(strings.Replace(chunked(paidCharge), "Transfer", "Content-Length: 5\r\nTransfer", 1)), 0, spend.Executing},
		"a negative length":                  {says(strings.Replace(whole(paidCharge), "Length: ", "Length: -", 1)), 0, spend.Executing},
		"chunks of no size":                  {says(strings.Replace(chunked(paidCharge), "\r\n\r\n", "\r\n\r\nzz\r\n", 1)), 0, spend.Executing},
		"chunks longer than they say":        {says(strings.Replace(chunked(paidCharge), `"}`, `"}xx`, 1)), 0, spend.Executing},
		"another coding":                     {says(strings.Replace(chunked(paidCharge), "chunked", "gzip, chunked", 1)), 0, spend.Executing},
		"bare line feeds":                    {says(strings.ReplaceAll(whole(paidCharge), "\r\n", "\n")), 0, spend.Executing},
		"a NUL in a field":                   {says(strings.Replace(whole(paidCharge), "json", "js\x00on", 1)), 0, spend.Executing},
		"another protocol":                   {says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), 0, spend.Executing},
		"no HTTP":                            {says("SSH-2.0-OpenSSH_9\r\n"), 0, spend.Executing},
		"a greeting of TLS":                  {says("\x15\x03\x01\x00\x02\x02\x16"), 0, spend.Executing},
		"informational replies without end":  {pours("", "HTTP/1.1 102 Processing\r\n\r\n"), 0, spend.Executing},
		"a status line without end":          {pours("HTTP/1.1 200 ", large), 0, spend.Executing},
		"a head without end":                 {pours("HTTP/1.1 200 OK\r\n", "X-Note: "+large[:1000]+"\r\n"), 0, spend.Executing},
		"a body without end":                 {pours("HTTP/1.1 200 OK\r\n\r\n", large), 0, spend.Executing},
		"chunks without end":                 {pours("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "10000\r\n"+large+"\r\n"), 0, spend.Executing},
		"chunk extensions without end":       {pours("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", large), 0, spend.Executing},
		"trailers without end":               {pours(strings.TrimSuffix(chunked(paidCharge), "\r\n"), "X-Note: y\r\n"), 0, spend.Executing},
		"more than is read":                  {pours("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", large), 0, spend.Executing},
		"silence":                            {func(c *net.TCPConn) { io.Copy(io.Discard, c) }, 0, spend.Executing},
		"a head and then silence":            {func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 200 OK\r\n"); io.Copy(io.Discard, c) }, 0, spend.Executing},
		"half a body and then silence":       {func(c *net.TCPConn) { io.WriteString(c, whole(paidCharge)[:100]); io.Copy(io.Discard, c) }, 0, spend.Executing},
		"a byte now and then, for ever":      {dripping, 0, spend.Executing},
		"informational replies now and then": {hinting, 0, spend.Executing},
		"a long receipt":                     {says(whole(long)), 200, spend.Settled},
		"a long receipt in chunks":           {says(chunked(long)), 200, spend.Settled},
		"a long receipt that ends with it":   {says(unframed(long)), 200, spend.Settled},
		"a long receipt, less a byte":        {says(strings.TrimSuffix(whole(long), "}")), 0, spend.Executing},
		"a long page that ends with it":      {says(unframed("<html>" + strings.Repeat(" ", 2<<20))), 0, spend.Executing},
		"more than a receipt is looked for":  {says(whole(strings.Repeat(" ", 9<<20) + paidCharge)), 200, spend.Executing},
		"a receipt among events":             {says(events(`{"progress":1}`, paidCharge, `{"progress":2}`)), 200, spend.Settled},
		"events without a receipt":           {says(events(`{"progress":1}`)), 200, spend.Executing},
		"half an event":                      {says(strings.TrimSuffix(events(paidCharge), "\n\r\n0\r\n\r\n")), 0, spend.Executing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, requests := startActor(t, func(int) actor { return c.act })
			s := newStripeWorldAt(t, proxy.Upstream{URL: url}, func(o *proxy.Options) { o.Timeouts.Reply = 2 * time.Second })
			a := s.attempt("k1", charge+"2000")
			if a.status != c.status || a.header.Get("Outgo-Decision") != "" {
				t.Errorf("answer = %+v", a)
			}
			s.stands(t, c.state)
			if n := requests.Load(); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
			if l := s.observed(1)[0]; (l.Decision == "cut") != (c.status == 0) || c.status == 0 && l.Err == "" {
				t.Errorf("line = %+v", l)
			}
		})
	}
}

// attempt makes a charge and returns whatever comes back, with status 0 when the
// connection was cut.
func (s *stripeWorld) attempt(key, form string) answer {
	s.t.Helper()
	req, err := http.NewRequest("POST", "https://api.stripe.com/v1/charges", strings.NewReader(form))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_123")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Idempotency-Key", key)
	req.GetBody = nil // or the client would send it again when it is cut off
	client := s.client(nil)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// dripping never ends a body, and never stops either.
func dripping(c *net.TCPConn) {
	io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
	for range 1000 {
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// hinting never comes to the reply.
func hinting(c *net.TCPConn) {
	for range 1000 {
		if _, err := io.WriteString(c, "HTTP/1.1 102 Processing\r\nX-Note: y\r\n\r\n"); err != nil {
			return
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// stands checks the one request of a world, and that a payment of 2000 is counted
// unless it has failed.
func (s *stripeWorld) stands(t *testing.T, want spend.State) {
	t.Helper()
	page, err := s.engine.Requests(context.Background(), engine.Filter{Limit: 10})
	if err != nil || len(page.Requests) != 1 || page.Requests[0].State != want {
		t.Errorf("requests = %+v, %v; want one that is %s", page.Requests, err, want)
	}
	if cents := int64(2000); want == spend.Failed {
		s.counted(t, 0)
	} else {
		s.counted(t, cents)
	}
}

// TestAReplyThatBreaksOffAtAnyByteSettlesNothing cuts three replies behind every
// byte, by an end and by a reset. Only whole ones are passed on and settled.
func TestAReplyThatBreaksOffAtAnyByteSettlesNothing(t *testing.T) {
	for name, text := range map[string]string{"with a length": whole(paidCharge), "in chunks": chunked(paidCharge), "that ends with its connection": unframed(paidCharge)} {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", reset ", reset), func(t *testing.T) {
				t.Parallel()
				url, requests := startActor(t, func(n int) actor {
					return func(c *net.TCPConn) {
						io.WriteString(c, text[:n-1])
						if reset {
							c.SetLinger(0)
						}
					}
				})
				s := newStripeWorldAt(t, proxy.Upstream{URL: url}, nil)
				for cut := range len(text) {
					if said := s.payPlainly(cut); said != "" {
						t.Errorf("behind %d bytes the agent got %q", cut, said)
					}
				}
				if n := int(requests.Load()); n != len(text) {
					t.Errorf("%d calls were sent %d times", len(text), n)
				}
				for _, state := range []spend.State{spend.Settled, spend.Failed} {
					page, err := s.engine.Requests(context.Background(), engine.Filter{State: state, Limit: 1})
					if err != nil || len(page.Requests) > 0 {
						t.Errorf("one is %s: %+v, %v", state, page.Requests, err)
					}
				}
				s.counted(t, 2000*int64(len(text)))
				if said := s.payPlainly(len(text)); !reset && !strings.HasSuffix(said, paidCharge) {
					t.Errorf("of the whole reply the agent got %q", said)
				}
				t.Logf("%d cuts: every agent was cut off, every payment stays counted", len(text))
			})
		}
	}
}

// payPlainly makes the n-th payment in a tunnel without TLS, and returns all that
// comes back.
func (s *stripeWorld) payPlainly(n int) string {
	s.t.Helper()
	c, br := s.dial("CONNECT api.stripe.com:80 HTTP/1.1\r\nHost: api.stripe.com:80\r\n\r\n")
	defer c.Close()
	if resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
		s.t.Fatalf("CONNECT: %v %v", resp, err)
	}
	body := charge + "2000&description=" + fmt.Sprint(n)
	fmt.Fprintf(c, "POST /v1/charges HTTP/1.1\r\nHost: api.stripe.com\r\nAuthorization: Bearer sk_test_123\r\nConnection: close\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	b, _ := io.ReadAll(br) // a reset is an end, too
	return string(b)
}

// A provider that promises to keep a connection and does not, or that talks on it
// unasked, never has one payment answered with words meant for another.
func TestKeptConnectionsThatLie(t *testing.T) {
	kept := framed("200 OK", "Connection: keep-alive\r\n", paidCharge)
	for name, act := range map[string]actor{
		"closed behind the reply": func(c *net.TCPConn) { io.WriteString(c, kept); c.Close() },
		"reset behind the reply":  func(c *net.TCPConn) { io.WriteString(c, kept); c.SetLinger(0); c.Close() },
		"a time-out said while idle": func(c *net.TCPConn) {
			io.WriteString(c, kept)
			io.WriteString(c, framed("408 Request Timeout", "", ""))
		},
		"a receipt said while idle": func(c *net.TCPConn) { io.WriteString(c, kept); io.WriteString(c, whole(`{"id":"ch_evil"}`)) },
		"a receipt said a moment later": func(c *net.TCPConn) {
			io.WriteString(c, kept)
			time.Sleep(20 * time.Millisecond)
			io.WriteString(c, whole(`{"id":"ch_evil"}`))
		},
		"half a head said while idle": func(c *net.TCPConn) { io.WriteString(c, kept+"HTTP/1.1 20") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := make(chan struct{}, 3)
			url, requests := startActor(t, func(int) actor {
				return func(c *net.TCPConn) {
					act(c)
					said <- struct{}{}
					io.Copy(io.Discard, io.LimitReader(c, 1)) // until the proxy lets go of it or uses it again
				}
			})
			s := newStripeWorldAt(t, proxy.Upstream{URL: url}, nil)
			for n := range 3 {
				if status, v, _ := s.call(fmt.Sprint("k", n), "/v1/charges", fmt.Sprint(charge, 2000, "&description=", n)); status != 200 || v["id"] != "ch_1" {
					t.Fatalf("payment %d: %d %v; %+v", n, status, v, s.observed(n + 1)[n])
				}
				<-said // and on loopback it has arrived
			}
			if n := requests.Load(); n != 3 {
				t.Errorf("%d requests arrived", n)
			}
			s.counted(t, 6000)
		})
	}
}
