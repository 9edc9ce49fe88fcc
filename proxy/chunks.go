package proxy

import (
	"bytes"
	"strconv"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

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
