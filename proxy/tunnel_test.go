package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy"
	"github.com/outgo/outgo/proxy/dial"
)

// listen serves each connection to a loopback port with serve.
func listen(t *testing.T, serve func(*net.TCPConn)) (port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return port
}

func TestATunnelCarriesBytesBothWaysAndTheirEnds(t *testing.T) {
	w := newWorld(t, nil)
	// The server answers only when the agent has said all, as rsync does.
	port := listen(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		fmt.Fprintf(c, "%d bytes ending in %q", len(b), b[max(0, len(b)-4):])
	})
	c, br := w.dial("CONNECT elsewhere.test:" + port + " HTTP/1.1\r\nHost: x\r\n\r\nearly")
	resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	io.WriteString(c, strings.Repeat("x", 1<<20)+"last")
	c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(br)
	if want := fmt.Sprintf("%d bytes ending in %q", 5+(1<<20)+4, "last"); err != nil || string(b) != want {
		t.Errorf("the server said %q, %v; want %q", b, err, want)
	}
	if l := w.observed(1)[0]; l.Decision != "tunneled" || l.Host != "elsewhere.test" || l.Method != "CONNECT" {
		t.Errorf("line = %+v", l)
	}
	eventually(t, "end of the tunnel", func() bool { s := w.proxy.Stats(); return s.Tunnels == 0 && s.Conns == 0 })
}

func TestATunnelWaitsForNoFirstByteOfTheAgent(t *testing.T) {
	w := newWorld(t, nil)
	port := listen(t, func(c *net.TCPConn) { io.WriteString(c, "220 ready\r\n"); io.Copy(io.Discard, c) })
	_, br := w.dial("CONNECT mail.test:" + port + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil {
		t.Fatal(err)
	}
	if line, err := br.ReadString('\n'); line != "220 ready\r\n" {
		t.Errorf("the server said %q, %v", line, err)
	}
}

func TestATunnelLeadsToNoGuardedHost(t *testing.T) {
	w := newWorld(t, nil)
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "hello") }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for name, want := range map[string]bool{"harmless.test": true, guardedHost: false, "A.Wild.Test": false} {
		c, br := w.dial("CONNECT harmless.test:" + port + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil {
			t.Fatal(err)
		}
		s := tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // a test
		if err := s.Handshake(); (err == nil) != want {
			t.Errorf("TLS for %s through a tunnel to harmless.test: %v", name, err)
		}
		c.Close()
	}
	refused := 0
	for _, l := range w.observed(3) {
		if l.Code == spend.HostMismatch {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d tunnels were refused", refused)
	}
}

func TestHostsThatAreNotReached(t *testing.T) {
	strict := func(o *proxy.Options) { o.Dialer = dial.New(dial.Options{Resolver: loopback{}}) }
	for name, c := range map[string]struct {
		change func(*proxy.Options)
		raw    string
		status int
		code   spend.Code
	}{
		"a name that points inwards": {strict, "CONNECT inner.test:443", 403, spend.HostDenied},
		"an address inside":          {strict, "CONNECT 169.254.169.254:80", 403, spend.HostDenied},
		"nobody listens":             {nil, "CONNECT down.test:1", 502, spend.UpstreamFailed},
		"the config denies it":       {func(o *proxy.Options) { o.UnknownHosts = proxy.Deny }, "CONNECT any.test:443", 403, spend.HostDenied},
		"an odd address":             {nil, "CONNECT 0x7f000001:443", 400, spend.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.change)
			// What follows a refused CONNECT must never be read as a request.
			_, br := w.dial(c.raw + " HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(br, nil)
			a := read(t, resp, err)
			if a.status != c.status || a.header.Get("Outgo-Code") != string(c.code) {
				t.Errorf("answer = %+v", a)
			}
			if b, _ := io.ReadAll(br); len(b) > 0 {
				t.Errorf("after the refusal the proxy said %q", b)
			}
		})
	}
}

func TestAbsoluteFormReachesUnguardedHosts(t *testing.T) {
	w := newWorld(t, nil)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%s %s %s %d %q", r.Method, r.Host, r.RequestURI, len(b), r.Header.Get("Proxy-Authorization"))
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for name, body := range map[string]io.Reader{"with a length": strings.NewReader(strings.Repeat("x", 300<<10)), "chunked": io.LimitReader(strings.NewReader(strings.Repeat("y", 300<<10)), 1<<20)} {
		resp, err := w.client(nil).Post("http://plain.test:"+port+"/a%20b?c", "text/plain", body)
		if a := read(t, resp, err); a.body != fmt.Sprintf("POST plain.test:%s /a%%20b?c %d %q", port, 300<<10, "") {
			t.Errorf("%s: answer = %+v", name, a)
		}
	}
	resp, err := w.client(nil).Get("http://down.test:1/")
	if a := read(t, resp, err); a.status != 502 || a.header.Get("Outgo-Code") != string(spend.UpstreamFailed) {
		t.Errorf("answer = %+v", a)
	}
	if lines := w.observed(3); lines[0].Decision != "passed" || lines[0].Path != "" {
		t.Errorf("lines = %+v", lines)
	}
}

func TestInspectedHostsAreRelayed(t *testing.T) {
	w := newWorld(t, func(o *proxy.Options) { o.UnknownHosts = proxy.Inspect })
	resp, err := w.client(nil).Post("https://inspected.test/upload?x", "text/plain", io.LimitReader(strings.NewReader(strings.Repeat("y", 200<<10)), 1<<20))
	if a := read(t, resp, err); a.status != 200 || a.header.Get("X-Provider") != "coin" {
		t.Errorf("answer = %+v", a)
	}
	if got := w.up.got(); len(got) != 1 || len(got[0]) != len("POST /upload?x ")+200<<10 {
		t.Errorf("the provider got %d calls", len(got))
	}
	c, br := w.inside("inspected.test")
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n")
	resp, err = http.ReadResponse(br, nil)
	if a := read(t, resp, err); a.status != 421 {
		t.Errorf("answer = %+v", a)
	}
}

func TestWhatCannotWorkIsRefusedAtTheStart(t *testing.T) {
	for name, change := range map[string]func(*proxy.Options){
		"no gate":                       func(o *proxy.Options) { o.Gate = nil },
		"another treatment":             func(o *proxy.Options) { o.UnknownHosts = "ignore" },
		"a host that is none":           func(o *proxy.Options) { o.Routes[0].Hosts = []string{"a b"} },
		"a route without a rail":        func(o *proxy.Options) { o.Routes[0].Rail = nil },
		"a host of two rails":           func(o *proxy.Options) { o.Routes = append(o.Routes, o.Routes[0]) },
		"plain HTTP over the network":   func(o *proxy.Options) { o.Upstreams = map[string]proxy.Upstream{"a.test": {URL: "http://10.0.0.1:80"}} },
		"an upstream with a path":       func(o *proxy.Options) { o.Upstreams = map[string]proxy.Upstream{"a.test": {URL: "https://b.test/x"}} },
		"a digest that is no digest":    func(o *proxy.Options) { o.Digest = func(string, ...string) string { return "x" } },
		"an upstream of another scheme": func(o *proxy.Options) { o.Upstreams = map[string]proxy.Upstream{"a.test": {URL: "ftp://b.test"}} },
	} {
		o := options(t)
		change(&o)
		if p, err := proxy.New(o); err == nil {
			t.Errorf("%s: New succeeded", name)
			p.Drain(context.Background()) //nolint:errcheck // it has failed already
		}
	}
}
