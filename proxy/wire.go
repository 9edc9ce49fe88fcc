package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// wire is one agent's connection. It reads the agent's bytes under the strict
// grammar of head.go. Inside a guarded tunnel it is asked for one message after
// the other, with next and readBody. Elsewhere a fasthttp server reads from it: to
// that it hands a head of its own making that says nothing but where the body
// ends, so that no leniency of the server's parser can reach a rail, and never
// bytes beyond the message under way.
//
// All deadlines of the connection are set here, none by the server.
type wire struct {
	net.Conn          // what the agent's requests are read from: TLS or the socket
	raw      net.Conn // the socket itself

	// What the way in has found out about the connection.
	host  string // CONNECT host, canonical; "" outside a tunnel
	port  uint16 // CONNECT port
	peer  Peer   // of the tunnel, or of the last request outside of one
	agent string // who the agent is; "" when each request must say so
	plain bool   // no TLS between agent and proxy
	route *route // of host; nil where it is not guarded
	// aim, where there is no tunnel, finds the host that the target of a request
	// names and who guards it. It sets route, whole and maxBody for each request.
	aim    func(target string) (string, *route)
	called string // the host that aim found

	maxBody int64 // larger bodies are a fault; 0 = no limit
	times   *Timeouts
	whole   bool // a body has one deadline, not one for each read
	busy    *tally
	crowd   int // calls under way that keep the machine busy; 0 for never

	// What the Authorization of the last judged call was, as a hash, and its keyed
	// digest: an agent says the same on every call of a connection.
	authorization [sha256.Size]byte
	credential    string

	head  head
	fault *rails.Refusal // the message under way breaks the grammar
	late  bool           // the last read ended at its deadline
	stage stage
	left  int64      // bytes to come in this stage
	total int64      // bytes of a chunked body so far
	out   []byte     // to be handed out before anything else is read
	made  []byte     // memory behind out
	start [1400]byte // what a message begins with, and often all of it
	mem   *[]byte    // from bufs, for what is longer; nil while the connection is idle
	buf   []byte     // bytes read and not yet used, a part of start or of *mem

	readBy  time.Time     // the read deadline that is set
	writeBy time.Time     // the write deadline that is set
	grace   time.Duration // how long what is read next may take; 0 when its deadline is set

	served  int  // messages whose head was read
	working bool // counted in busy
	closed  atomic.Bool
}

type stage uint8

const (
	atHead     stage = iota // between messages
	inBody                  // of known length
	atChunk                 // before a chunk's size line
	inChunk                 // in a chunk's data
	afterChunk              // before the CRLF behind the data
	atTrailer               // before the blank line that ends the body
	atFault                 // nothing more is read
)

var errCut = errors.New("connection was cut")

// bufs holds memory for long heads; its use is bounded by connections at work.
var bufs = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// Read gives the server the next bytes of the message under way. It implements
// net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.read(p)
	w.late = err != nil && timedOut(err)
	return n, err
}

func (w *wire) read(p []byte) (int, error) {
	for {
		if len(w.out) > 0 {
			n := copy(p, w.out)
			w.out = w.out[n:]
			return n, nil
		}
		var err error
		switch w.stage {
		case atHead:
			err = w.readHead()
		case inBody, inChunk:
			if w.left > 0 {
				return w.readData(p)
			}
			w.endData()
		case atChunk:
			err = w.readChunkSize()
		case afterChunk, atTrailer:
			err = w.readBlank()
		case atFault:
			return 0, w.fault
		}
		if err != nil {
			return 0, err
		}
	}
}

// readHead waits for a message and turns its head into the one for the server.
func (w *wire) readHead() error {
	if err := w.next(); err != nil {
		return err
	}
	w.makeHead()
	return nil
}

// next waits for a message and reads its head. A head that breaks the grammar is no
// error, but a fault.
func (w *wire) next() error {
	others := w.rest()
	if len(w.buf) == 0 {
		if err := w.idle(); err != nil {
			return err
		}
		if w.crowd > 0 && others >= w.crowd {
			// The agent needs a while for its next call. To look for it only after
			// others have had their turn often saves the wait for it.
			runtime.Gosched()
		}
		for len(w.buf) == 0 {
			n, err := w.Conn.Read(w.start[:])
			if n == 0 && err != nil {
				return err
			}
			w.buf = w.start[:n]
		}
	}
	w.grace = w.times.Head
	end, fault, err := w.findHead()
	if err != nil {
		return err
	}
	w.served++
	w.work()
	if fault == nil {
		fault = w.head.parse(string(w.buf[:end]))
		w.use(end)
	} else {
		w.head = head{fields: w.head.fields[:0]}
	}
	if w.aim != nil {
		fault = w.take(fault)
	}
	if fault == nil && w.maxBody > 0 && w.head.length > w.maxBody {
		fault = rails.Refusef(spend.TooLarge, "", "the body has %d bytes; outgo judges at most %d", w.head.length, w.maxBody)
	}
	w.setStage(fault)
	w.grace = w.times.Body
	return nil
}

// take sets up the connection for a request that names its host itself. One that
// names none is for the proxy, which takes no bodies.
func (w *wire) take(fault *rails.Refusal) *rails.Refusal {
	w.called, w.route = w.aim(w.head.target)
	w.whole, w.maxBody = w.route != nil, 0
	switch {
	case w.route != nil:
		w.maxBody = int64(w.route.MaxBody)
	case fault == nil && strings.HasPrefix(w.head.target, "/") && w.head.length != 0:
		return rails.Refusef(spend.HostMismatch, "", noHost)
	}
	return fault
}

// findHead reads until a blank line, and returns the length of the head with it.
func (w *wire) findHead() (end int, fault *rails.Refusal, err error) {
	line := 0
	for from := 0; ; {
		i := bytes.IndexByte(w.buf[from:], '\n')
		if i < 0 {
			if from = len(w.buf); from >= MaxHead {
				return 0, rails.Refusef(spend.TooLarge, "", "the head of the request is longer than %d bytes", MaxHead), nil
			}
			if err := w.fill(); err != nil {
				return 0, nil, err
			}
			continue
		}
		i += from
		switch {
		case i == 0 || w.buf[i-1] != '\r':
			return 0, rails.Refusef(spend.Ambiguous, "", "a line of the head ends without a carriage return"), nil
		case i-line == 1 && line == 0:
			return 0, rails.Refusef(spend.Ambiguous, "", "a blank line stands before the request line"), nil
		case i-line == 1:
			return i + 1, nil, nil
		}
		line, from = i+1, i+1
	}
}

func (w *wire) setStage(fault *rails.Refusal) {
	w.fault, w.total = fault, 0
	switch {
	case fault != nil:
		w.stage = atFault
	case w.head.length == chunked:
		w.stage = atChunk
	default:
		w.stage, w.left = inBody, w.head.length
	}
}

// makeHead writes the head that the server sees. A fault becomes a request
// without a body, so that the server calls its handler, which answers it.
func (w *wire) makeHead() {
	h := append(w.made[:0], "POST"...)
	if w.head.method == "HEAD" {
		h = append(h[:0], "HEAD"...)
	}
	h = append(h, " / HTTP/1.1\r\nHost: outgo\r\n"...)
	switch {
	case w.fault != nil:
		h = append(h, "Connection: close\r\nContent-Length: 0\r\n"...)
	case w.head.length == chunked:
		h = append(h, "Transfer-Encoding: chunked\r\n"...)
	default:
		h = append(h, "Content-Length: "...)
		h = strconv.AppendInt(h, w.head.length, 10)
		h = append(h, "\r\n"...)
	}
	if w.fault == nil && w.head.expect && w.head.length != 0 {
		h = append(h, "Expect: 100-continue\r\n"...)
	}
	if w.fault == nil && w.head.close {
		h = append(h, "Connection: close\r\n"...)
	}
	w.made = append(h, "\r\n"...)
	w.out = w.made
}

func (w *wire) fail(fault *rails.Refusal) error {
	w.fault, w.stage = fault, atFault
	return fault
}

// fill reads more bytes behind those in buf, in memory that grows to MaxHead.
func (w *wire) fill() error {
	if w.mem == nil {
		w.mem = bufs.Get().(*[]byte) //nolint:forcetypeassert // nothing else is put in
		w.buf = append((*w.mem)[:0], w.buf...)
	}
	if len(w.buf) == cap(w.buf) {
		if full := cap(*w.mem); len(w.buf) == full {
			grown := make([]byte, 0, min(2*full, MaxHead))
			w.mem = &grown
		}
		w.buf = append((*w.mem)[:0], w.buf...)
	}
	n, err := w.receive(w.buf[len(w.buf):cap(w.buf)])
	w.buf = w.buf[:len(w.buf)+n]
	if n > 0 {
		return nil
	}
	return cutShort(err)
}

func cutShort(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// use drops n bytes from the front of buf.
func (w *wire) use(n int) { w.buf = w.buf[n:] }

// extend gives a body that may be long a new deadline.
func (w *wire) extend() {
	if !w.whole {
		w.grace = w.times.Body
	}
}

// receive reads from the connection, under a deadline that begins with the first
// wait. Under TLS most messages have come whole with their first byte, and never
// need one: there the socket is read, and arm called, only for more.
func (w *wire) receive(p []byte) (int, error) {
	if !w.secured() {
		if err := w.arm(); err != nil {
			return 0, err
		}
	}
	return w.Conn.Read(p)
}

// arm sets the deadline of what is read next, where it has none yet.
func (w *wire) arm() error {
	if w.grace <= 0 {
		return nil
	}
	w.readBy, w.grace = time.Now().Add(w.grace), 0
	return w.SetReadDeadline(w.readBy)
}

// slack is by how much of itself a bound may be exceeded, so that the deadline need
// not be moved on every call.
const slack = 16

// idle bounds the wait for the next message.
func (w *wire) idle() error {
	at := time.Now().Add(w.times.Idle)
	w.grace = 0
	if spare := w.readBy.Sub(at); spare >= 0 && spare <= w.times.Idle/slack {
		return nil
	}
	w.readBy = at.Add(w.times.Idle / slack)
	return w.SetReadDeadline(w.readBy)
}

// rest ends the work on a message and gives back its memory. It returns how many
// messages others work on.
func (w *wire) rest() (others int) {
	if len(w.buf) == 0 {
		if w.mem != nil && cap(*w.mem) <= 16<<10 {
			bufs.Put(w.mem)
		}
		w.mem, w.buf = nil, nil
	}
	if w.working {
		w.working = false
		others = w.busy.done()
	}
	return others
}

func (w *wire) work() {
	if !w.working {
		w.working = true
		w.busy.add()
	}
}

// unread reports whether the agent's body has not been read to its end, so that
// the connection is of no use for another request.
func (w *wire) unread() bool {
	done := w.stage == atHead && len(w.out) == 0 || w.stage == inBody && w.left == 0
	return !done
}

// Write sends bytes to the agent under a deadline of their own.
func (w *wire) Write(p []byte) (int, error) {
	if w.closed.Load() {
		return 0, errCut
	}
	if at := time.Now().Add(w.times.Write); w.writeBy.Before(at) {
		w.writeBy = at.Add(w.times.Write / slack)
		if err := w.SetWriteDeadline(w.writeBy); err != nil {
			return 0, err
		}
	}
	return w.Conn.Write(p)
}

// cut ends the connection at once and without a word, so that the agent learns
// nothing that is not true. It may be called from any goroutine.
func (w *wire) cut() {
	if !w.closed.Swap(true) {
		w.raw.Close() //nolint:errcheck // there is nothing left to tell
	}
}

// Close ends the connection. After a fault it first takes in a little of what the
// agent is still sending: closing on unread bytes would make the socket discard
// the answer.
func (w *wire) Close() error {
	w.rest()
	if w.closed.Swap(true) {
		return nil
	}
	if w.unread() {
		linger(w.Conn, w.raw)
	}
	return w.Conn.Close()
}

// linger says that nothing more will be sent, and reads on for half a second or
// a megabyte.
func linger(c, raw net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		t.CloseWrite() //nolint:errcheck // the connection ends either way
	} else if t, ok := raw.(*net.TCPConn); ok {
		t.CloseWrite() //nolint:errcheck // as above
	}
	if raw.SetReadDeadline(time.Now().Add(time.Second/2)) == nil {
		io.CopyN(io.Discard, raw, 1<<20) //nolint:errcheck // as above
	}
}

// timedOut reports whether err is a deadline that passed.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// credentialOf returns the digest of an Authorization, which stands in room as well.
func (w *wire) credentialOf(authorization string, room []byte, digest func(label string, parts ...string) string) string {
	if now := sha256.Sum256(room); w.credential == "" || w.authorization != now {
		w.authorization, w.credential = now, digest("credential", authorization)
	}
	return w.credential
}

// secured reports whether TLS was made with the agent.
func (w *wire) secured() bool {
	_, ok := w.Conn.(*tls.Conn)
	return ok
}
