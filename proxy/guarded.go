package proxy

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/proxy/upstream"
	"github.com/outgo/outgo/rails"
)

// serveGuarded serves the calls inside a tunnel to a guarded host, one after the
// other. Its frame lies below the wait for the next call: see serveConnect.
func (p *Proxy) serveGuarded(w *wire) {
	defer w.Close() //nolint:errcheck // nobody is there to be told
	for w.next() == nil && p.serveCall(w) {
	}
}

// serveCall serves the call whose head was read, and reports whether another may
// follow it.
func (p *Proxy) serveCall(w *wire) (more bool) {
	var body []byte
	err := w.mayContinue()
	if err == nil {
		body, err = w.readBody()
	}
	fault := w.fault
	if fault == nil && err != nil {
		if !w.late {
			w.cut() // the agent has gone, and whom would an answer reach?
			return false
		}
		fault = tooLate()
	}
	x := p.newExchange(w, w.route, w.host, w.agent)
	if fault == nil {
		fault = x.admit(w.head.target)
	}
	if fault != nil {
		x.turnAway(fault)
	} else {
		x.call.Body = body
		p.exchange(x)
	}
	more = x.respond()
	x.free()
	return more
}

func tooLate() *rails.Refusal {
	return rails.Refusef(spend.Malformed, "", "the body did not arrive in time")
}

// mayContinue lets an agent go on that waits for leave to send its body.
func (w *wire) mayContinue() error {
	if w.fault != nil || !w.head.expect || w.head.length == 0 {
		return nil
	}
	_, err := io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n")
	return err
}

// admit checks a guarded call before its rail sees it, and fills in the target.
func (x *exchange) admit(target string) *rails.Refusal {
	w := x.w
	if w.fault != nil {
		return w.fault
	}
	path, query, hasQuery, err := rails.CanonicalTarget(target)
	if err != nil {
		return asRefusal(err)
	}
	x.call.Path, x.call.Query, x.call.HasQuery = path, query, hasQuery
	if r := validate(&w.head, x.call.Host, x.port); r != nil {
		return r
	}
	if x.plain && !x.p.table.plain(x.call.Host, x.route) {
		return rails.Refusef(spend.PlainHTTP, "", "%s is called without TLS; use https://", x.call.Host)
	}
	return nil
}

func asRefusal(err error) *rails.Refusal {
	var r *rails.Refusal
	if errors.As(err, &r) {
		return r
	}
	return rails.Refusef(spend.Malformed, "", "%v", err)
}

// turnAway refuses a call that never got to its rail, and closes the connection:
// where one message was not understood, nothing says where the next begins.
func (x *exchange) turnAway(r *rails.Refusal) {
	defer x.end()
	x.fail(r)
	x.closing = true
}

// respond sends the answer, and reports whether the connection lives on.
func (x *exchange) respond() (more bool) {
	defer x.dropStream() // which was read to its end, or is of no more use
	if x.w.closed.Load() {
		return false
	}
	r, closing := &x.out, x.closing || x.w.head.close
	bodiless := x.w.head.method == http.MethodHead || upstream.Bodiless(r.Status)
	b := x.appendAnswer(x.scratch[:0], bodiless)
	if closing {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(b, "\r\n"...)
	body := r.Body
	switch {
	case bodiless:
		body = nil
	case len(body) <= maxScratch-len(b):
		b, body = append(b, body...), nil // which makes it one write
	}
	x.scratch = b
	_, err := x.w.Write(b)
	if err == nil && len(body) > 0 {
		_, err = x.w.Write(body)
	}
	if err == nil && r.Stream != nil {
		err = x.pour()
	}
	return err == nil && !closing
}

// appendAnswer appends the answer's head, but for what says that the connection ends.
func (x *exchange) appendAnswer(b []byte, bodiless bool) []byte {
	r := &x.out
	reason := r.Reason
	if reason == "" {
		reason = http.StatusText(r.Status)
	}
	b = strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(r.Status), 10)
	b = append(append(append(b, ' '), reason...), "\r\n"...)
	dated := false
	for i := range r.Fields {
		f := &r.Fields[i]
		dated = dated || isDate(f.Name)
		b = appendField(b, f.Name, f.Value)
	}
	if !dated {
		b = x.p.clock().UTC().AppendFormat(append(b, "Date: "...), http.TimeFormat)
		b = append(b, "\r\n"...)
	}
	n := r.Length
	if r.Stream == nil && !bodiless {
		n = len(r.Body)
	}
	switch {
	case r.Status == http.StatusNoContent, n < 0 && upstream.Bodiless(r.Status):
		// An answer without a body does not say how that is framed, whatever the
		// provider's did: an agent that went by that would take the next answer for it.
	case n >= 0:
		b = strconv.AppendInt(append(b, "Content-Length: "...), int64(n), 10)
		b = append(b, "\r\n"...)
	case n == -1 || r.Stream != nil:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	return b
}

// pour sends a body that passes as it comes: as many bytes as were announced, or chunks.
func (x *exchange) pour() error {
	r, left, piece := &x.out, x.out.Length, make([]byte, 16<<10-16) // a piece is one record of TLS, with what frames it
	for {
		n, err := r.Stream.Read(piece)
		if r.Length >= 0 {
			if left -= n; left < 0 {
				return errOverlong
			}
		}
		if n > 0 {
			if werr := x.sendPiece(piece[:n]); werr != nil {
				return werr
			}
		}
		switch {
		case errors.Is(err, io.EOF) && r.Length < 0:
			_, err = io.WriteString(x.w, "0\r\n\r\n")
			return err
		case errors.Is(err, io.EOF) && left > 0:
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

var errOverlong = errors.New("the reply is longer than it said")

// sendPiece sends a part of a body that passes.
func (x *exchange) sendPiece(piece []byte) error {
	if x.out.Length < 0 {
		b := strconv.AppendInt(x.scratch[:0], int64(len(piece)), 16)
		b = append(append(append(b, "\r\n"...), piece...), "\r\n"...)
		x.scratch, piece = b, b
	}
	_, err := x.w.Write(piece)
	return err
}
