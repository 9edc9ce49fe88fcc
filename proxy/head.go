package proxy

import (
	"strconv"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// The bounds of a request's head.
const (
	MaxHead   = 64 << 10 // bytes, from the request line to the blank line
	MaxFields = 200
)

// chunked is the length of a body whose size the head does not tell.
const chunked = -1

// head is one request line with its header fields. All strings are parts of one
// copy of the bytes as they came, so they outlive the buffer they were read into.
type head struct {
	method, target, proto string
	fields                []rails.Field
	length                int64 // of the body in bytes, or chunked
	expect                bool  // the agent waits for "100 Continue"
	close                 bool  // the agent wants the connection closed
}

// get returns the first value of a field and how many lines carry its name.
func (h *head) get(name string) (value string, lines int) {
	for i := range h.fields {
		if same(h.fields[i].Name, name) {
			if lines == 0 {
				value = h.fields[i].Value
			}
			lines++
		}
	}
	return value, lines
}

// parse reads text, a whole head whose lines all end in CRLF, under a grammar
// with one reading: what two HTTP parsers could take differently is refused.
// What could be read before the fault stays in h, for the answer.
func (h *head) parse(text string) *rails.Refusal {
	*h = head{fields: h.fields[:0]}
	line, rest := cutLine(text)
	if r := h.parseRequestLine(line); r != nil {
		return r
	}
	for rest != "\r\n" {
		line, rest = cutLine(rest)
		if r := h.parseField(line); r != nil {
			return r
		}
		if len(h.fields) > MaxFields {
			return rails.Refusef(spend.TooLarge, "", "the request has more than %d header fields", MaxFields)
		}
	}
	return h.parseFraming()
}

// cutLine takes the first line off text, whose lines all end in CRLF.
func cutLine(text string) (line, rest string) {
	i := strings.IndexByte(text, '\n')
	return text[:i-1], text[i+1:]
}

func (h *head) parseRequestLine(line string) *rails.Refusal {
	method, rest, ok1 := strings.Cut(line, " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || !isToken(method) || target == "" || !isVisible(target) {
		return rails.Refusef(spend.Malformed, "", "the request line is not METHOD, a space, the target, a space and HTTP/1.1")
	}
	if proto != "HTTP/1.1" && proto != "HTTP/1.0" {
		return rails.Refusef(spend.Malformed, "", "the protocol %.20q is not HTTP/1.1", proto)
	}
	h.method, h.target, h.proto = method, target, proto
	h.close = proto == "HTTP/1.0"
	return nil
}

func (h *head) parseField(line string) *rails.Refusal {
	if line[0] == ' ' || line[0] == '\t' {
		return rails.Refusef(spend.Ambiguous, "", "a header field is folded over two lines; send it on one")
	}
	colon := strings.IndexByte(line, ':')
	if colon < 0 || !isToken(line[:colon]) {
		return rails.Refusef(spend.Malformed, "", "the header line %.40q has no valid name before a colon", line)
	}
	name, value := line[:colon], trim(line[colon+1:])
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return rails.Refusef(spend.Malformed, name, "the header field %.40q contains a control character", name)
		}
	}
	h.fields = append(h.fields, rails.Field{Name: name, Value: value})
	return nil
}

// line is a field of which there should be one: its first value, and how many lines
// carry its name.
type line struct {
	value string
	n     int
}

func (l *line) add(value string) {
	if l.n++; l.n == 1 {
		l.value = value
	}
}

// framing are the fields that say where a body ends and what happens around it.
type framing struct{ length, coding, trailer, expect line }

// framing finds them; a Connection that wants the connection closed is noted in h.
func (h *head) framing() (f framing) {
	for i := range h.fields {
		name, value := h.fields[i].Name, h.fields[i].Value
		switch name[0] | 0x20 { // which tells most names apart
		case 'c':
			if same(name, "Content-Length") {
				f.length.add(value)
			} else if same(name, "Connection") && hasListed(value, "close") {
				h.close = true
			}
		case 't':
			if same(name, "Transfer-Encoding") {
				f.coding.add(value)
			} else if same(name, "Trailer") {
				f.trailer.add(value)
			}
		case 'e':
			if same(name, "Expect") {
				f.expect.add(value)
			}
		}
	}
	return f
}

// parseFraming finds out where the body ends.
func (h *head) parseFraming() *rails.Refusal {
	f := h.framing()
	switch length, coding := f.length, f.coding; {
	case length.n > 0 && coding.n > 0:
		return rails.Refusef(spend.Ambiguous, "Transfer-Encoding", "the request has both Content-Length and Transfer-Encoding; send one")
	case length.n > 1:
		return rails.Refusef(spend.Ambiguous, "Content-Length", "Content-Length is given %d times; send it once", length.n)
	case coding.n > 1 || coding.n == 1 && !(isToken(coding.value) && strings.EqualFold(coding.value, "chunked")): // letters outside ASCII fold, too
		return rails.Refusef(spend.Ambiguous, "Transfer-Encoding", "the only Transfer-Encoding understood is \"chunked\", once")
	case coding.n == 1 && h.proto == "HTTP/1.0":
		return rails.Refusef(spend.Ambiguous, "Transfer-Encoding", "HTTP/1.0 has no Transfer-Encoding")
	case coding.n == 1:
		h.length = chunked
	case length.n == 1:
		n, err := strconv.ParseUint(length.value, 10, 62)
		if err != nil || strings.Trim(length.value, "0123456789") != "" {
			return rails.Refusef(spend.Malformed, "Content-Length", "Content-Length %.30q is not a number of bytes", length.value)
		}
		h.length = int64(n)
	}
	if f.trailer.n > 0 {
		return rails.Refusef(spend.Ambiguous, "Trailer", "trailer fields are not accepted; send them in the head")
	}
	if f.expect.n > 1 || f.expect.n == 1 && !strings.EqualFold(f.expect.value, "100-continue") {
		return rails.Refusef(spend.Malformed, "Expect", "the only Expect understood is 100-continue")
	}
	h.expect = f.expect.n == 1
	return nil
}

// hasListed reports whether a comma-separated field value names item.
func hasListed(value, item string) bool {
	for part := range strings.SplitSeq(value, ",") {
		if same(trim(part), item) {
			return true
		}
	}
	return false
}

// trim takes the spaces and tabs off both ends.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		case strings.IndexByte("!#$%&'*+.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// isVisible reports whether s is printable ASCII without spaces.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
