package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// readSize holds the head and often the body of a usual reply.
const readSize = 8 << 10

// wire is the connection below TLS. It counts what leaves, notices the end of
// what comes, and can be asked what has arrived without waiting.
type wire struct {
	net.Conn
	raw     syscall.RawConn // nil when the connection is not a socket
	written int64           // bytes that the kernel accepted
	got     int             // bytes that have come since the exchange began
	eof     bool            // the peer closed
	probing bool            // Read returns errNothing instead of waiting
	probe   probe
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c}
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			w.raw = raw
		}
	}
	return w
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.written += int64(n)
	return n, err
}

func (w *wire) Read(p []byte) (n int, err error) {
	if w.probing {
		n, err = w.readNow(p)
	} else {
		n, err = w.Conn.Read(p)
	}
	w.got += n
	if errors.Is(err, io.EOF) {
		w.eof = true
	}
	return n, err
}

// cut reports whether a body that ends with its connection was cut short: under
// TLS the peer has to say that it closes, or anybody on the way could end it.
func (w *wire) cut(nc net.Conn) bool { return nc != net.Conn(w) && w.eof }

// errNothing says that nothing has arrived. It is a temporary net.Error because
// tls.Conn gives up for good on any other.
var errNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing to read yet" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// readByDeadline is the probe for what is not a socket: it waits a moment.
func (w *wire) readByDeadline(p []byte) (int, error) {
	if err := w.Conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(p)
	if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		err = errNothing
	}
	return n, err
}

// conn is one connection. It belongs to one exchange, or is idle in its pool.
type conn struct {
	pool *pool
	wire *wire
	nc   net.Conn // wire, or TLS over it
	br   *bufio.Reader
	pre  []byte // read before nc; see grow
	one  [1]byte

	recordCost int  // what a record of TLS 1.3 takes beside its text; 0 for other versions
	read       int  // bytes that br has got since the exchange began
	drained    bool // idle, and what has come was read: nothing of it waits inside TLS

	pooled    bool // taken from the pool for this exchange
	crowded   bool // when it was taken, many others were in use
	keep      bool // the reply lets the connection live on
	frame     frame
	idleFor   time.Duration
	idleSince time.Time
	readBy    time.Time   // the read deadline that is set; zero when not known
	writeBy   time.Time   // the write deadline that is set; zero when not known
	until     time.Time   // when the exchange ends at the latest; zero for no bound
	stop      func() bool // ends watch
	closeOnce sync.Once
}

// Read feeds br.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.pre) > 0 {
		n := copy(p, c.pre)
		if c.pre = c.pre[n:]; len(c.pre) == 0 {
			c.pre = nil
		}
		return n, nil
	}
	n, err := c.nc.Read(p)
	c.read += n
	return n, err
}

// isDrained reports whether all that came in this exchange has gone to br. Under TLS
// that shows where it was one record: every other one would have cost as much again.
func (c *conn) isDrained() bool {
	return c.nc == net.Conn(c.wire) || c.recordCost > 0 && c.wire.got == c.read+c.recordCost
}

// recordCost13 is the header of a record, the byte of its type and its tag, in all
// ciphers of TLS 1.3.
const recordCost13 = 5 + 1 + 16

// dial opens a connection for p and shakes hands.
func (t *Transport) dial(ctx context.Context, p *pool, until time.Time) (*conn, error) {
	if err := t.countOpen(p); err != nil {
		return nil, err
	}
	if latest := time.Now().Add(t.timeouts.Dial); until.IsZero() || latest.Before(until) {
		until = latest
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	raw, err := t.dialRaw(ctx, p.key)
	if err != nil {
		t.countClosed(p)
		return nil, err
	}
	w := newWire(raw)
	c := &conn{pool: p, wire: w, nc: w}
	if p.key.TLS {
		if c.nc, err = p.secure(ctx, w); err != nil {
			c.close()
			return nil, fmt.Errorf("shake hands: %w", err)
		}
	}
	if secured, ok := c.nc.(*tls.Conn); ok && secured.ConnectionState().Version == tls.VersionTLS13 {
		c.recordCost = recordCost13
	}
	c.br = bufio.NewReaderSize(c, readSize)
	t.dials.Add(1)
	return c, nil
}

// secure makes TLS over w. Under TLS 1.3 the client is done before the server has
// seen that it has no certificate to show; a server that wants one says so within
// a round trip, and is given that long before anything is sent to it.
func (p *pool) secure(ctx context.Context, w *wire) (net.Conn, error) {
	asked := false
	config := p.config
	if len(config.Certificates) == 0 {
		config = config.Clone()
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return new(tls.Certificate), nil
		}
	}
	began := time.Now()
	c := tls.Client(w, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return w, err
	}
	if !asked || c.ConnectionState().Version < tls.VersionTLS13 {
		return c, nil
	}
	if err := c.SetReadDeadline(deadline(ctx, max(refusalWait, 2*time.Since(began)))); err != nil {
		return w, err
	}
	switch n, err := c.Read(make([]byte, 1)); {
	case n > 0:
		return w, fmt.Errorf("%w: the server speaks first", ErrMalformed)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return w, fmt.Errorf("the server wants a client certificate, and none is configured: %w", err)
	}
	return c, ctx.Err()
}

// refusalWait is the least time that a server has to refuse a client without a
// certificate.
const refusalWait = 250 * time.Millisecond

// alive looks, without waiting, at what an idle connection has received. Only
// silence is good: an end means that it is stale, data that it would answer the
// next request with something else. Unless it is known that TLS holds nothing back and
// the socket is silent, the look goes through TLS, so that late session tickets are
// taken in and a surplus reply in TLS's own buffer is seen.
func (c *conn) alive(now time.Time) (ok, surplus bool) {
	if c.drained && c.wire.isSilent() {
		return true, false
	}
	if !c.readBy.After(now) {
		if c.nc.SetReadDeadline(time.Time{}) != nil {
			return false, false
		}
	}
	c.wire.probing = true
	n, err := c.nc.Read(c.one[:])
	c.wire.probing = false
	if c.wire.raw == nil {
		c.readBy = time.Time{} // the probe has set one of its own
	}
	return n == 0 && errors.Is(err, errNothing), n > 0
}

// past is a deadline that has long passed.
var past = time.Unix(1, 0)

// watch fails the connection's reads and writes when ctx is done.
func (c *conn) watch(ctx context.Context) {
	if ctx.Done() != nil {
		c.stop = context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(past) })
	}
}

// unwatch ends watch. It returns false when ctx was done before, in which case
// the connection must not be used any more.
func (c *conn) unwatch() bool {
	stop := c.stop
	c.stop = nil
	return stop == nil || stop()
}

// setReadDeadline sets the earlier of d from now on and ctx's deadline. ctx is looked
// at last: a watch that fired in between has set a deadline that this one replaced.
func (c *conn) setReadDeadline(ctx context.Context, d time.Duration) error {
	if at, move := c.deadline(ctx, time.Now(), d, c.readBy); move {
		c.readBy = at
		if err := c.nc.SetReadDeadline(at); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (c *conn) setWriteDeadline(ctx context.Context, now time.Time, d time.Duration) error {
	if at, move := c.deadline(ctx, now, d, c.writeBy); move {
		c.writeBy = at
		if err := c.nc.SetWriteDeadline(at); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// slack is by how much of itself a time-out may be exceeded, so that the deadlines
// of a connection need not be moved on every exchange.
const slack = 64

// deadline is the earliest of now+d, the exchange's end and ctx's deadline, with
// some slack. It need not be set while the present one is between the two.
func (c *conn) deadline(ctx context.Context, now time.Time, d time.Duration, present time.Time) (at time.Time, move bool) {
	at = now.Add(d)
	if !c.until.IsZero() && c.until.Before(at) {
		at = c.until
	}
	if end, ok := ctx.Deadline(); ok && end.Before(at) {
		at = end
	}
	latest := at.Add(max(0, at.Sub(now)/slack))
	return latest, present.Before(at) || present.After(latest)
}

func deadline(ctx context.Context, d time.Duration) time.Time {
	at := time.Now().Add(d)
	if end, ok := ctx.Deadline(); ok && end.Before(at) {
		return end
	}
	return at
}

// finish ends an exchange whose reply was read to its end.
func (c *conn) finish() {
	live := c.unwatch() && c.keep
	if c.br.Buffered() > 0 || len(c.pre) > 0 {
		// Nobody asked for these bytes; the next request must not get them.
		c.pool.transport.surplus.Add(1)
		live = false
	}
	if !live {
		c.close()
		return
	}
	c.drained = c.isDrained()
	c.pool.transport.giveBack(c)
}

// close cuts the connection. No TLS closure is sent: nobody reads it, and
// sending could block.
func (c *conn) close() {
	c.closeOnce.Do(func() {
		_ = c.wire.Close()
		c.pool.transport.countClosed(c.pool)
	})
}

// switched is a connection that left HTTP behind.
type switched struct {
	net.Conn
	c *conn
}

func (s *switched) Read(p []byte) (int, error) {
	if s.c.br.Buffered() > 0 {
		return s.c.br.Read(p)
	}
	return s.c.Read(p)
}

func (s *switched) Close() error {
	s.c.close()
	return nil
}
