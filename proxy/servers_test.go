package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// view is how an upstream read one request. Values and the body are in base64.
type view struct {
	Seq, Broken    int
	Method, Target string
	Headers        []struct{ Name, Value string }
	Body           string
	front          map[string]string // what the server in front of the backend read
}

func (v *view) values(name string) []string {
	var all []string
	for _, f := range v.Headers {
		if strings.EqualFold(f.Name, name) {
			all = append(all, decoded(f.Value))
		}
	}
	return all
}

func decoded(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "not base64: " + s
	}
	return string(b)
}

// readView takes the view out of a reply.
func readView(t *testing.T, h http.Header) view {
	t.Helper()
	var v view
	raw, err := base64.StdEncoding.DecodeString(h.Get("View"))
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatalf("the reply's view %q: %v", h.Get("View"), err)
	}
	v.front = map[string]string{}
	for _, name := range []string{"View-Method", "View-Target", "View-Path", "View-Length"} {
		if vs := v.values(name); len(vs) > 0 {
			v.front[name] = vs[0]
		}
	}
	return v
}

// backend answers each request on a socket with its view of it, for the servers
// that stand in front of it.
func backend(t *testing.T, socket string) {
	t.Helper()
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var seq atomic.Int64
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		v := view{Seq: int(seq.Add(1)), Method: r.Method, Target: r.RequestURI, Body: base64.StdEncoding.EncodeToString(body)}
		r.Header.Set("Host", r.Host)
		for name, values := range r.Header {
			for _, value := range values {
				v.Headers = append(v.Headers, struct{ Name, Value string }{name, base64.StdEncoding.EncodeToString([]byte(value))})
			}
		}
		raw, _ := json.Marshal(v)
		w.Header().Set("View", base64.StdEncoding.EncodeToString(raw))
		io.WriteString(w, "seen")
	})}
	go s.Serve(ln)
	t.Cleanup(func() { s.Close() })
}

// need returns the path of a program, or skips the test with a word on how to
// get it.
func need(t *testing.T, program, how string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("OUTGO_TEST_REQUIRE") == "all" {
		t.Fatalf("%s is not installed; %s", program, how)
	}
	t.Skipf("%s is not installed; %s", program, how)
	return ""
}

// socketDir is short enough for the name of a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "outgo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// run starts a server and waits for its socket.
func run(t *testing.T, socket, program string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
		<-ended
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s: %v\n%s", program, err, said.String())
		default:
		}
	}
	t.Fatalf("%s did not listen on %s within 20 s", program, socket)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startNginx runs nginx, which hands its own reading of a request on beside what
// it forwards.
func startNginx(t *testing.T) (socket string) {
	t.Helper()
	nginx := need(t, "nginx", "install it (apt-get install nginx-light)")
	dir := socketDir(t)
	socket = filepath.Join(dir, "front")
	backend(t, filepath.Join(dir, "back"))
	run(t, socket, nginx, "-p", dir, "-c", write(t, filepath.Join(dir, "nginx.conf"), `
daemon off; master_process off; pid `+dir+`/pid; error_log stderr crit;
events { worker_connections 512; }
http {
	access_log off; keepalive_requests 1000000; keepalive_timeout 60s; large_client_header_buffers 8 64k;
	client_body_temp_path `+dir+`/b; proxy_temp_path `+dir+`/p; fastcgi_temp_path `+dir+`/f; uwsgi_temp_path `+dir+`/u; scgi_temp_path `+dir+`/s;
	proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_http_version 1.1;
	server {
		listen unix:`+socket+`;
		location / {
			proxy_pass http://unix:`+dir+`/back:;
			proxy_set_header Host $http_host;
			proxy_set_header View-Method $request_method;
			proxy_set_header View-Target $request_uri;
			proxy_set_header View-Path $uri;
			proxy_set_header View-Length $content_length;
		}
	}
}`), "-e", "stderr")
	return socket
}

// startHAProxy is startNginx with HAProxy.
func startHAProxy(t *testing.T) (socket string) {
	t.Helper()
	haproxy := need(t, "haproxy", "install it (apt-get install haproxy)")
	dir := socketDir(t)
	socket = filepath.Join(dir, "front")
	backend(t, filepath.Join(dir, "back"))
	run(t, socket, haproxy, "-db", "-f", write(t, filepath.Join(dir, "haproxy.cfg"), `
global
	tune.bufsize 65536
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
frontend front
	bind unix@`+socket+`
	http-request set-header View-Method %[method]
	http-request set-header View-Target %[pathq]
	http-request set-header View-Length %[req.hdr(content-length)]
	default_backend back
backend back
	server back unix@`+dir+`/back
`))
	return socket
}

// startNode runs Node's server, whose parser is strict or lenient.
func startNode(t *testing.T, parser string) (socket string) {
	t.Helper()
	node := need(t, "node", "install Node 20 or newer")
	socket = filepath.Join(socketDir(t), "front")
	run(t, socket, node, "testdata/echo.cjs", socket, parser)
	return socket
}

// tap stands between the proxy and a server, and keeps what the proxy sends.
type tap struct {
	addr string
	mu   sync.Mutex
	sent []byte
}

func newTap(t *testing.T, socket string) *tap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.relay(t, c, socket) })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return p
}

func (p *tap) relay(t *testing.T, c net.Conn, socket string) {
	defer c.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		t.Errorf("reach the upstream: %v", err)
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		io.Copy(c, server)
		c.Close()
	}()
	for b := make([]byte, 32<<10); ; {
		n, err := c.Read(b)
		p.mu.Lock()
		p.sent = append(p.sent, b[:n]...)
		p.mu.Unlock()
		if err != nil {
			break
		}
		if _, err := server.Write(b[:n]); err != nil {
			break
		}
	}
	server.Close()
	<-back
}

// take returns what was sent since the last time.
func (p *tap) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.sent
	p.sent = nil
	return b
}

// requestsIn reads whole requests until nothing is left.
func requestsIn(b []byte) (n int, err error) {
	for br := bufio.NewReader(bytes.NewReader(b)); ; n++ {
		if _, err := br.Peek(1); err != nil {
			return n, nil
		}
		r, err := http.ReadRequest(br)
		if err != nil {
			return n, fmt.Errorf("request %d: %w", n+1, err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return n, fmt.Errorf("body of request %d: %w", n+1, err)
		}
	}
}
