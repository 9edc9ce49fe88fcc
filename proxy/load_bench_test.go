package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// form is the body of a call, 300 bytes with its order number.
const form = "amount=2000&currency=usd&confirm=true&off_session=true&customer=cus_NffrFeUfNV2Hib&payment_method=pm_1QLmT1Kk9sVxYz1AbenchmkZ" +
	"&payment_method_types[]=card&receipt_email=ops%40example.com&statement_descriptor_suffix=CREDITS" +
	"&description=API%20credits%20for%20the%20research%20agent&metadata[order]="

// digits is the width of an order number.
const digits = 12

// way leads to the upstream.
type way struct {
	proxy  string   // address of the proxy; "" for none
	target string   // host:port, for the proxy or to dial
	proc   *process // whose processor time is counted; nil for none
	trust  *tls.Config
	orders *atomic.Uint64 // makes each call a payment of its own
}

// trusting verifies payHost by roots, with a key exchange that the local side of
// a proxy and the upstream both have.
func trusting(roots ...[]byte) *tls.Config {
	pool := x509.NewCertPool()
	for _, pem := range roots {
		pool.AppendCertsFromPEM(pem)
	}
	return &tls.Config{RootCAs: pool, ServerName: payHost, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13}
}

// socket opens a connection to the target, through the proxy if there is one.
func (w way) socket() (net.Conn, error) {
	if w.proxy == "" {
		return net.Dial("tcp", w.target)
	}
	c, err := net.Dial("tcp", w.proxy)
	if err != nil {
		return nil, err
	}
	if err := establish(c, w.target); err != nil {
		return nil, errors.Join(fmt.Errorf("CONNECT %s: %w", w.target, err), c.Close())
	}
	return c, nil
}

// establish asks for a tunnel. The proxy says nothing behind its answer before
// the client has spoken, so reading may go byte by byte past it.
func establish(c net.Conn, target string) error {
	if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		return err
	}
	var answer []byte
	for buf := make([]byte, 512); !bytes.HasSuffix(answer, []byte("\r\n\r\n")); {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		answer = append(answer, buf[:n]...)
	}
	if !bytes.Contains(answer[:min(len(answer), 16)], []byte(" 200")) {
		return fmt.Errorf("answered %q", answer)
	}
	return nil
}

// client is one connection that makes one call after another.
type client struct {
	conn   *tls.Conn
	in     *bufio.Reader
	orders *atomic.Uint64
	call   []byte    // as it is written
	marks  [2][]byte // the parts of call that hold the order number
}

func (w way) client() (*client, error) {
	raw, err := w.socket()
	if err != nil {
		return nil, err
	}
	c := &client{conn: tls.Client(raw, w.trust), orders: w.orders}
	if err := c.conn.Handshake(); err != nil {
		return nil, errors.Join(fmt.Errorf("handshake: %w", err), raw.Close())
	}
	c.in = bufio.NewReaderSize(c.conn, 8<<10)
	blank := strings.Repeat("0", digits)
	key := "Idempotency-Key: 6d1f4c9e-8b2a-4d7e-9c31-"
	c.call = []byte("POST /v1/payment_intents HTTP/1.1\r\nHost: " + payHost + "\r\nUser-Agent: Stripe/v1 GoBindings/84.0.0\r\n" +
		"Authorization: Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
		"Stripe-Version: 2025-10-29.clover\r\n" + key + blank + "\r\nAccept: application/json\r\n" +
		"Content-Length: " + strconv.Itoa(len(form)+digits) + "\r\n\r\n" + form + blank)
	at := bytes.Index(c.call, []byte(key)) + len(key)
	c.marks = [2][]byte{c.call[at : at+digits], c.call[len(c.call)-digits:]}
	return c, nil
}

// pay makes one call and reads its reply.
func (c *client) pay() error {
	n := c.orders.Add(1)
	for i := digits - 1; i >= 0; i-- {
		c.marks[0][i], c.marks[1][i] = '0'+byte(n%10), '0'+byte(n%10)
		n /= 10
	}
	if _, err := c.conn.Write(c.call); err != nil {
		return err
	}
	return c.reply()
}

// look makes a call that moves no money, of which nothing is recorded.
func (c *client) look() error {
	if _, err := io.WriteString(c.conn, "GET /v1/balance HTTP/1.1\r\nHost: "+payHost+"\r\nAuthorization: Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc\r\n\r\n"); err != nil {
		return err
	}
	return c.reply()
}

// reply reads a reply with a length or in chunks, and is content with nothing
// but a whole payment intent.
func (c *client) reply() error {
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(status) < 12 || string(status[9:12]) != "200" {
		line := string(status)
		rest, _ := c.in.Peek(c.in.Buffered())
		return fmt.Errorf("answered %s%s", line, rest)
	}
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if name := "content-length:"; len(line) > len(name) && strings.EqualFold(string(line[:len(name)]), name) {
			if length, err = strconv.Atoi(strings.TrimSpace(string(line[len(name):]))); err != nil {
				return err
			}
		}
	}
	got := length
	if length >= 0 {
		_, err = c.in.Discard(length)
	} else {
		got, err = c.chunks()
	}
	if err == nil && got < 1900 {
		err = fmt.Errorf("a reply of %d bytes", got)
	}
	return err
}

func (c *client) chunks() (total int, err error) {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return total, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(line)), 16, 32)
		if err != nil {
			return total, err
		}
		if _, err := c.in.Discard(int(n) + 2); err != nil || n == 0 {
			return total, err
		}
		total += int(n)
	}
}

// sample is what one measurement gave. Fields that a measurement does not have
// are 0.
type sample struct {
	rate     float64 // calls, connections or bytes a second
	p50, p99 float64 // microseconds
	cpu      float64 // microseconds of the proxy's processor time for each
	mallocs  float64 // of the proxy for each
	bytes    float64 // allocated by the proxy for each
}

// clients opens n connections, eight at a time, each warmed by three times what
// warm does.
func (w way) clients(b *testing.B, n int, warm func(*client) error) []*client {
	b.Helper()
	all, errs := make([]*client, n), make([]error, n)
	var wg sync.WaitGroup
	for from := range min(n, 8) {
		wg.Go(func() {
			for i := from; i < n; i += 8 {
				if all[i], errs[i] = w.client(); errs[i] != nil {
					return
				}
				for range 3 {
					errs[i] = errors.Join(errs[i], warm(all[i]))
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	return all
}

// calls measures n connections that call as often as they can.
func (w way) calls(b *testing.B, n int, during time.Duration) sample {
	b.Helper()
	cs := w.clients(b, n, (*client).pay)
	defer func() {
		for _, c := range cs {
			_ = c.conn.Close()
		}
	}()
	return w.measure(b, n, during, func(i int) error { return cs[i].pay() })
}

// connections measures n workers that each open a connection, make one call and
// close it, as often as they can.
func (w way) connections(b *testing.B, n int, during time.Duration) sample {
	b.Helper()
	return w.measure(b, n, during, func(int) error {
		c, err := w.client()
		if err != nil {
			return err
		}
		return errors.Join(c.pay(), c.conn.Close())
	})
}

// measure has n workers do something for a while, and counts.
func (w way) measure(b *testing.B, n int, during time.Duration, do func(worker int) error) sample {
	b.Helper()
	var over atomic.Bool
	var wg sync.WaitGroup
	took, errs := make([][]time.Duration, n), make([]error, n)
	before, cpu := heap{}, time.Duration(0)
	if w.proc != nil {
		before, cpu = w.proc.heap(b, false), w.proc.cpu(b)
	}
	began := time.Now()
	for i := range n {
		wg.Go(func() {
			for !over.Load() && errs[i] == nil {
				start := time.Now()
				errs[i] = do(i)
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	time.Sleep(during)
	over.Store(true)
	wg.Wait()
	elapsed := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	count := float64(len(all))
	s := sample{rate: count / elapsed.Seconds(), p50: micros(all[len(all)/2]), p99: micros(all[len(all)*99/100])}
	if w.proc != nil {
		s.cpu = micros(w.proc.cpu(b)-cpu) / count
		after := w.proc.heap(b, false)
		s.mallocs, s.bytes = float64(after.Mallocs-before.Mallocs)/count, float64(after.Bytes-before.Bytes)/count
	}
	return s
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// pour sends size bytes down one tunnel to the sink and waits for its count.
func (w way) pour(b *testing.B, size int) sample {
	b.Helper()
	c, err := w.socket()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // what arrived is checked
	var cpu time.Duration
	if w.proc != nil {
		cpu = w.proc.cpu(b)
	}
	block := make([]byte, 1<<20)
	began := time.Now()
	for range size / len(block) {
		if _, err := c.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // socket makes no other
		b.Fatal(err)
	}
	arrived, err := io.ReadAll(c)
	elapsed := time.Since(began)
	if err != nil || strings.TrimSpace(string(arrived)) != strconv.Itoa(size/len(block)*len(block)) {
		b.Fatalf("of %d bytes arrived %q: %v", size, arrived, err)
	}
	s := sample{rate: float64(size) / elapsed.Seconds()}
	if w.proc != nil {
		s.cpu = micros(w.proc.cpu(b)-cpu) / (float64(size) / 1e9)
	}
	return s
}
