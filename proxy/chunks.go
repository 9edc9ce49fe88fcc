package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// maxInPlace is the longest body, in bytes, that is gathered in the memory where the
// head was read.
const maxInPlace = 16 << 10

// readBody returns the body of the message under way, good until the next one is
// waited for.
func (w *wire) readBody() ([]byte, error) {
	if w.stage == inBody && w.left <= maxInPlace {
		return w.bodyInPlace()
	}
	var body []byte
	for {
		var err error
		switch w.stage {
		case atHead:
			return body, nil
		case inBody, inChunk:
			if w.left == 0 {
				w.endData()
				continue
			}
			if len(body) == cap(body) {
				// Announced is not sent: memory grows with what has come.
				body = slices.Grow(body, int(min(w.left, max(int64(len(body)), maxInPlace))))
			}
			var n int
			n, err = w.readData(body[len(body):cap(body)])
			body = body[:len(body)+n]
		case atChunk:
			err = w.readChunkSize()
		case afterChunk, atTrailer:
			err = w.readBlank()
		case atFault:
			err = w.fault
		}
		w.out = nil // a server's framing
		if err != nil {
			w.late = timedOut(err)
			return nil, err
		}
	}
}

// bodyInPlace is readBody for a body that mostly has come with its head.
func (w *wire) bodyInPlace() ([]byte, error) {
	n := int(w.left)
	for len(w.buf) < n {
		w.extend()
		if err := w.fill(); err != nil {
			w.late = timedOut(err)
			return nil, err
		}
	}
	body := w.buf[:n:n]
	w.use(n)
	w.left, w.stage = 0, atHead
	return body, nil
}

// endData goes on behind data that was read to its end.
func (w *wire) endData() {
	if w.stage == inChunk {
		w.stage = afterChunk
	} else {
		w.stage = atHead
	}
}

// readData hands out body bytes straight from the connection where it can.
func (w *wire) readData(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		p = p[:w.left]
	}
	if len(w.buf) > 0 {
		n := copy(p, w.buf)
		w.use(n)
		w.left -= int64(n)
		return n, nil
	}
	w.extend()
	n, err := w.receive(p)
	w.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, cutShort(err)
}

// readChunkSize reads a size line: hexadecimal digits and CRLF, nothing else.
func (w *wire) readChunkSize() error {
	const longest = 10 // eight digits and CRLF
	line, err := w.readLine(longest)
	if err != nil {
		return err
	}
	size, perr := strconv.ParseUint(string(line), 16, 31)
	if perr != nil || bytes.IndexByte(line, '_') >= 0 || line[0] == '+' {
		return w.fail(rails.Refusef(spend.Ambiguous, "", "a chunk's size line is not a hexadecimal number alone"))
	}
	if w.total += int64(size); w.maxBody > 0 && w.total > w.maxBody {
		return w.fail(rails.Refusef(spend.TooLarge, "", "the body is longer than the %d bytes that outgo judges", w.maxBody))
	}
	w.made = append(append(w.made[:0], line...), '\r', '\n')
	w.out, w.left, w.stage = w.made, int64(size), inChunk
	if size == 0 {
		w.stage = atTrailer
	}
	return nil
}

// readBlank reads the CRLF behind a chunk or behind the last one.
func (w *wire) readBlank() error {
	line, err := w.readLine(2)
	if err != nil {
		return err
	}
	if len(line) > 0 {
		return w.fail(rails.Refusef(spend.Ambiguous, "", "something other than a line end follows a chunk; trailer fields are not accepted"))
	}
	w.made = append(w.made[:0], '\r', '\n')
	w.out = w.made
	if w.stage == atTrailer {
		w.stage = atHead
	} else {
		w.stage = atChunk
	}
	return nil
}

// readLine returns a line without its CRLF, at most longest bytes with it. The
// line is good until the next read. A fault comes back as an error.
func (w *wire) readLine(longest int) ([]byte, error) {
	for {
		i := bytes.IndexByte(w.buf, '\n')
		if i < 0 && len(w.buf) < longest {
			w.extend()
			if err := w.fill(); err != nil {
				return nil, err
			}
			continue
		}
		if i < 1 || i >= longest || w.buf[i-1] != '\r' {
			return nil, w.fail(rails.Refusef(spend.Ambiguous, "", "the chunks of the body are not framed as RFC 9112 says"))
		}
		line := w.buf[:i-1]
		w.buf = w.buf[i+1:]
		return line, nil
	}
}
