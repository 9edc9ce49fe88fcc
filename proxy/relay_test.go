package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Many uploads at one time over plain HTTP share nothing: each arrives whole, as
// what its own connection sent.
func TestUploadsSideBySideStayApart(t *testing.T) {
	const size = 200_000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if who := r.Header.Get("Who"); err != nil || len(b) != size || strings.Trim(string(b), who) != "" {
			fmt.Fprintf(w, "of %s came %d bytes, %v", who, len(b), err)
			return
		}
		fmt.Fprint(w, "ok")
	}))
	defer server.Close()
	host := server.Listener.Addr().String()
	w := newWorld(t, nil)
	var wg sync.WaitGroup
	for i := range 16 {
		who := string(rune('A' + i))
		wg.Go(func() {
			c, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			br := bufio.NewReader(c)
			for range 20 {
				fmt.Fprintf(c, "POST http://%s/x HTTP/1.1\r\nHost: %s\r\nWho: %s\r\nContent-Length: %d\r\n\r\n%s", host, host, who, size, strings.Repeat(who, size))
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Errorf("%s: %v", who, err)
					return
				}
				if b, err := io.ReadAll(resp.Body); string(b) != "ok" {
					t.Errorf("%s: %s %v", who, b, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A server that holds a guarded name may answer for it under any address, so TLS
// that does not say whom it is for gets no tunnel.
func TestATunnelWithoutAServerNameIsClosed(t *testing.T) {
	w := newWorld(t, nil)
	at, err := url.Parse(w.up.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, br := w.dial("CONNECT " + at.Host + " HTTP/1.1\r\nHost: " + at.Host + "\r\n\r\n")
	resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	s := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // without a ServerName no SNI is sent
	if err := s.Handshake(); err == nil {
		t.Error("the handshake went through")
	}
	if got := w.up.got(); len(got) != 0 {
		t.Errorf("the provider got %q", got)
	}
}
