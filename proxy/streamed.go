package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
)

// maxBefore is the longest reply to a spend, in bytes, that is read whole before
// any of it is passed on.
const maxBefore = 1 << 20

// streamed is a reply to a spend that is too long to be read first, or that has no
// end in sight. It passes as it comes, but its last byte is kept back until the
// outcome is durable; of an event stream, the last byte of the event that carries
// the receipt. It ends the call that it belongs to.
type streamed struct {
	x    *exchange
	body io.ReadCloser
	head []byte // of the reply, encoded; see keep

	// all is what came so far, for the receipt that it may be, and for those who
	// follow the call; it ends at maxReply, after which over is set.
	all  []byte
	over bool

	events *events // nil for a body that is not an event stream

	in      []byte // what is being read
	last    []byte // what was read and is not passed on yet
	decided bool   // the outcome was recorded
	err     error  // what Read ends with, behind last
	closed  bool
}

// stream leaves the rest of the call to who sends the answer, and reads it from
// x.streamed.
func (x *exchange) stream() {
	s := &streamed{x: x, body: x.out.Stream, head: appendKept(nil, &x.out), in: make([]byte, 16<<10)}
	if x.out.Events {
		s.events = new(events)
	}
	x.streamed, x.out.Stream = s, s
	x.line.Decision, x.line.Status = "forwarded", x.out.Status
}

// abandon ends the reply of a call that failed before any of it was passed on.
func (s *streamed) abandon() {
	s.closed, s.err = true, errCut
	s.body.Close() //nolint:errcheck // nobody wants it
}

// Read implements io.Reader for who writes what it gets to the agent.
func (s *streamed) Read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			s.x.p.log.Error("panic while passing a reply on", zap.String("request", string(s.x.request.ID)), zap.Any("panic", v), zap.Stack("stack"))
			n, err = 0, s.fail(fmt.Errorf("panic: %T", v))
		}
	}()
	for {
		if n = s.give(p); n > 0 || len(p) == 0 {
			return n, nil
		}
		if s.err != nil {
			return 0, s.err
		}
		got, err := s.body.Read(s.in)
		s.take(s.in[:got])
		if err != nil {
			s.finish(err)
		}
	}
}

// give hands out what may go to the agent by now.
func (s *streamed) give(p []byte) int {
	free := len(s.last)
	switch {
	case s.err != nil && !errors.Is(s.err, io.EOF):
		return 0
	case s.err == nil && s.events == nil:
		free = max(free-1, 0) // an event was looked at when its last byte came
	}
	n := copy(p, s.last[:free])
	s.last = append(s.last[:0], s.last[n:]...)
	return n
}

// take looks at what has come.
func (s *streamed) take(b []byte) {
	s.last = append(s.last, b...)
	if s.over = s.over || len(s.all)+len(b) > maxReply; s.over {
		s.all = nil
	} else {
		s.all = append(s.all, b...)
	}
	if s.events == nil || s.decided {
		return
	}
	s.events.take(b, func(data []byte) {
		if s.decided {
			return
		}
		if o := s.x.outcome(bytes.Clone(data), 0); o.Result != spend.Uncertain {
			o.Reply = nil // a part of it
			s.record(o)
		}
	})
}

// finish ends the reply: with its last byte where it came whole and its outcome, be
// it that nobody knows, is durable; with a cut connection otherwise.
func (s *streamed) finish(end error) {
	if s.err != nil {
		return
	}
	s.err = end
	if !errors.Is(end, io.EOF) {
		s.fail(end) //nolint:errcheck // it is s.err
		return
	}
	if s.decided {
		return
	}
	o := s.unknown("no event carried a receipt")
	switch {
	case s.over:
		o = s.unknown(fmt.Sprintf("the reply is longer than the %d bytes in which a receipt is looked for", maxReply))
	case s.events == nil:
		o = s.x.outcome(append(bytes.Clone(s.head), s.all...), len(s.head))
	}
	if u, ok := s.body.(upstream.Framed); o.Result == spend.Uncertain && (!ok || !u.Framed()) {
		s.err = errors.New("the reply may have been cut short")
		s.x.line.Err = s.err.Error()
	}
	s.record(o)
}

// unknown is the outcome that a reply does not tell.
func (s *streamed) unknown(why string) spend.Outcome {
	return spend.Outcome{Result: spend.Uncertain, Why: spend.OutcomeUnknown, Receipt: spend.Receipt{
		Source: spend.FromWire, At: s.x.p.clock(), HTTPStatus: s.x.line.Status, Note: why,
	}}
}

// record makes an outcome durable. Where that fails, the agent gets no more.
func (s *streamed) record(o spend.Outcome) {
	s.decided = true
	s.x.line.Code = o.Why
	if err := s.x.finish(o); err != nil {
		s.x.p.late.add(s.x.request.ID, o)
		s.x.line.Err = err.Error()
		s.err = err
	}
}

// fail ends a reply of which no more can be read, or may be passed on.
func (s *streamed) fail(cause error) error {
	s.err = cause
	s.x.line.Err = cause.Error()
	if !s.decided {
		s.record(s.unknown("the reply broke off"))
	}
	return s.err
}

// Close implements io.Closer. It is called when the agent has everything,
// or has hung up: then the rest is read all the same, for the receipt.
func (s *streamed) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	x := s.x
	gone := s.err == nil
	if gone && !s.decided {
		s.drain()
	}
	if s.err == nil {
		s.err = errGone
	}
	if !s.decided {
		s.record(s.unknown("the agent hung up, and the rest of the reply was longer than outgo waited for"))
	}
	s.body.Close() //nolint:errcheck // what it was good for is known
	if whole := errors.Is(s.err, io.EOF); whole && !s.over {
		x.landAs(landed, append(s.head, s.all...))
	} else {
		x.landAs(lost, nil)
	}
	if gone || !errors.Is(s.err, io.EOF) {
		x.cut()
	}
	x.close()
	return nil
}

// drain reads what nobody listens to any more, for as long as a reply may take.
func (s *streamed) drain() {
	limit := time.AfterFunc(s.x.p.times.Reply, func() { s.body.Close() }) //nolint:errcheck // it makes Read fail
	defer limit.Stop()
	p := make([]byte, 32<<10)
	for s.err == nil && !s.decided && !s.over {
		s.Read(p) //nolint:errcheck // it is s.err
	}
}

// events takes an event stream apart.
type events struct {
	line []byte // the part of a line that has come
	data []byte // of the event that is coming
	cr   bool   // the last byte was a carriage return, which ended a line
	over bool   // the event is longer than any receipt
}

// take calls each with the data of every event that ends within b.
func (e *events) take(b []byte, each func(data []byte)) {
	for _, c := range b {
		after := e.cr
		e.cr = c == '\r'
		switch {
		case c == '\n' && after: // the second half of a line's end
		case c == '\n' || c == '\r':
			e.endLine(each)
		case len(e.line) >= maxBefore:
			e.over = true
		default:
			e.line = append(e.line, c)
		}
	}
}

func (e *events) endLine(each func(data []byte)) {
	line := e.line
	e.line = e.line[:0]
	if len(line) > 0 {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(name) == "data" && len(e.data)+len(value) <= maxBefore {
			e.data = append(append(e.data, bytes.TrimPrefix(value, []byte(" "))...), '\n')
		} else if string(name) == "data" {
			e.over = true
		}
		return
	}
	data, over := bytes.TrimSuffix(e.data, []byte("\n")), e.over
	if len(data) > 0 && !over {
		each(data)
	}
	e.data, e.over = e.data[:0], false
}
