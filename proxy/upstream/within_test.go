package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestWithinBoundsAnExchangeWithoutAContext(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	p := serve(t, func(p *provider, n int, c *net.TCPConn) {
		br := bufio.NewReader(c)
		for {
			b, err := p.request(br)
			if err != nil {
				return
			}
			if string(b) == "amount=13" {
				<-hold
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	tr := transport(t, Options{})
	do := func(body string, within time.Duration) (bool, error) {
		req, resp := post(), new(fasthttp.Response)
		req.SetBodyString(body)
		return tr.Do(t.Context(), p.key(false), req, resp, Mode{Within: within})
	}
	// The deadlines of the first exchange, which lie far off, are not those of the second.
	if sent, err := do("amount=5", time.Hour); !sent || err != nil {
		t.Fatalf("an answered call: sent %v, %v", sent, err)
	}
	began := time.Now()
	if sent, err := do("amount=13", 30*time.Millisecond); !sent || err == nil || errors.Is(err, ErrNotSent) || time.Since(began) > 10*time.Second {
		t.Errorf("a call without an answer: sent %v, %v after %s", sent, err, time.Since(began))
	}
	if sent, err := do("amount=5", time.Nanosecond); sent && err == nil {
		t.Errorf("a call whose time is over: sent %v, %v", sent, err)
	}
	if s := tr.Stats(); s.Dials > 2 || s.Reused < 1 {
		t.Errorf("%d connections were opened and %d used again, want one of each at least kept", s.Dials, s.Reused)
	}
}

func TestDeadlinesMoveOnlyWhenTheyWouldBeWrong(t *testing.T) {
	c := new(conn)
	first, move := c.deadline(t.Context(), time.Now(), time.Minute, time.Time{})
	if ahead := time.Until(first); !move || ahead < 59*time.Second || ahead > 62*time.Second {
		t.Fatalf("the first deadline is %s ahead, want a minute", ahead)
	}
	for name, tc := range map[string]struct {
		present time.Time
		d       time.Duration
		move    bool
	}{
		"one that was just set is left":        {first, time.Minute, false},
		"one that would pass too early moves":  {first.Add(-2 * time.Second), time.Minute, true},
		"one that would pass too late moves":   {first, 30 * time.Second, true},
		"one that has passed moves":            {time.Unix(1, 0), time.Minute, true},
		"a short one is not stretched by much": {first, time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			at, move := c.deadline(t.Context(), time.Now(), tc.d, tc.present)
			if move != tc.move || time.Until(at) > tc.d+tc.d/slack {
				t.Errorf("%s ahead, move %v, want at most %s and %v", time.Until(at), move, tc.d, tc.move)
			}
		})
	}
}
