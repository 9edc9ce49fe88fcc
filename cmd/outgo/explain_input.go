package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// seenCall is a request as it was given to explain.
type seenCall struct {
	id        json.RawMessage // as given; nil where it cannot be read
	method    string
	url       string
	header    []rails.Field
	body      []byte
	webSocket bool
}

func malformed(format string, args ...any) error {
	return rails.Refusef(spend.Malformed, "", format, args...)
}

// pair is one member of a JSON object, its value as written.
type pair struct {
	name  string
	value json.RawMessage
}

// parseLine reads one line of JSON. On error the call still carries the id if
// that much could be read.
func parseLine(line []byte) (seenCall, error) {
	var c seenCall
	pairs, err := members(line)
	for _, p := range pairs {
		if p.name == "id" && c.id == nil && utf8.Valid(p.value) {
			c.id = p.value
		}
	}
	if err != nil {
		return c, malformed("the line is not one JSON object: %v", err)
	}
	if !utf8.Valid(line) {
		return c, malformed("the line is not UTF-8; put bytes that are not text into body_base64")
	}
	bodies := 0
	for _, p := range pairs {
		var err error
		null := string(p.value) == "null"
		switch {
		case null || p.name == "id":
		case p.name == "method":
			c.method, err = jsonText(p.value)
		case p.name == "url":
			c.url, err = jsonText(p.value)
		case p.name == "headers":
			c.header, err = jsonHeader(p.value)
		case p.name == "body":
			var s string
			s, err = jsonText(p.value)
			c.body, bodies = []byte(s), bodies+1
		case p.name == "body_base64":
			var s string
			if s, err = jsonText(p.value); err == nil {
				c.body, err = base64.StdEncoding.Strict().DecodeString(s)
			}
			bodies++
		case p.name == "transport":
			var s string
			s, err = jsonText(p.value)
			c.webSocket = s == "ws"
			if err == nil && s != "ws" && s != "http" {
				err = errors.New(`neither "ws" nor "http"`)
			}
		}
		if err != nil {
			return c, malformed("%s of the line: %v", p.name, err)
		}
	}
	if bodies > 1 {
		return c, malformed("the line has both body and body_base64")
	}
	if c.webSocket && c.method == "" {
		c.method = "GET"
	}
	if c.method == "" || c.url == "" {
		return c, malformed("the line lacks method or url")
	}
	return c, nil
}

// members returns the members of the JSON object in data, in order. A name that
// comes twice is an error, since readers differ on which one counts. On error the
// members before it are returned.
func members(data []byte) (pairs []pair, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it does not begin with one")
	}
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return pairs, errors.New("a name is missing")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return pairs, errors.New("the value of " + strconv.Quote(name) + " cannot be read")
		}
		if seen[name] {
			return pairs, errors.New("it has " + strconv.Quote(name) + " twice")
		}
		seen[name] = true
		pairs = append(pairs, pair{name, value})
	}
	if _, err := dec.Token(); err != nil {
		return pairs, errors.New("it has no end")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return pairs, errors.New("something follows it")
	}
	return pairs, nil
}

// jsonText reads a JSON string, and refuses the half characters that the
// standard library would silently replace.
func jsonText(raw json.RawMessage) (string, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil || raw[0] != '"' {
		return "", errors.New("not text")
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		unit := codeUnit(raw[i+1:])
		i += 4
		if unit < 0xd800 || unit > 0xdfff {
			continue
		}
		if unit > 0xdbff || i+6 >= len(raw) || raw[i+1] != '\\' || raw[i+2] != 'u' || codeUnit(raw[i+3:])&0xfc00 != 0xdc00 {
			return "", errors.New(`half a character ("\ud800" without its other half)`)
		}
		i += 6
	}
	return s, nil
}

// codeUnit reads the four hexadecimal digits that the JSON reader has seen to be
// there.
func codeUnit(raw []byte) uint64 {
	n, err := strconv.ParseUint(string(raw[:4]), 16, 16)
	if err != nil {
		return 0
	}
	return n
}

func jsonHeader(raw json.RawMessage) ([]rails.Field, error) {
	pairs, err := members(raw)
	if err != nil {
		return nil, err
	}
	var fields []rails.Field
	for _, p := range pairs {
		values := []json.RawMessage{p.value}
		if p.value[0] == '[' {
			if err := json.Unmarshal(p.value, &values); err != nil {
				return nil, err
			}
		}
		for _, v := range values {
			s, err := jsonText(v)
			if err != nil {
				return nil, errors.New(strconv.Quote(p.name) + " is neither text nor a list of text")
			}
			fields = append(fields, rails.Field{Name: p.name, Value: s})
		}
	}
	return fields, nil
}

// parseRaw reads one HTTP/1.1 request. A head without a single carriage return
// is taken for a text file, in which line ends are what the editor made them.
func parseRaw(data []byte) (seenCall, error) {
	var c seenCall
	end, gap := bytes.Index(data, []byte("\r\n\r\n")), 4
	file := false
	if lf := bytes.Index(data, []byte("\n\n")); (end < 0 || lf >= 0 && lf < end) && !bytes.Contains(data[:max(lf, 0)], []byte("\r")) {
		end, gap, file = lf, 2, true
	}
	if end < 0 {
		// A request without a body, saved without its last blank line.
		data = bytes.TrimRight(data, "\r\n")
		end, gap, file = len(data), 0, !bytes.Contains(data, []byte("\r"))
	}
	head, rest := string(data[:end]), data[min(end+gap, len(data)):]
	if file {
		head = strings.ReplaceAll(head, "\n", "\r\n")
	}
	lines := strings.Split(head, "\r\n")
	target, err := c.requestLine(lines[0])
	if err != nil {
		return c, err
	}
	for _, line := range lines[1:] {
		if strings.ContainsAny(line, "\r\n") {
			return c, rails.Refusef(spend.Ambiguous, "", "a line of the head ends without a carriage return")
		}
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			return c, rails.Refusef(spend.Ambiguous, "", "a header field is folded over two lines")
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return c, malformed("the header line %.40q has no colon", line)
		}
		c.header = append(c.header, rails.Field{Name: name, Value: strings.Trim(value, " \t")})
	}
	if c.body, err = rawBody(&c, rest, file); err != nil {
		return c, err
	}
	c.url = target
	if strings.HasPrefix(target, "/") || target == "*" {
		host := values(c.header, "Host")
		if len(host) != 1 {
			return c, rails.Refusef(spend.Ambiguous, "Host", "the request has %d Host header fields; it must have one", len(host))
		}
		c.url = "https://" + host[0] + target
	}
	return c, nil
}

func (c *seenCall) requestLine(line string) (target string, err error) {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || strings.ContainsAny(line, "\r\n\t") {
		return "", malformed("the request line is not METHOD, a space, the target, a space and HTTP/1.1")
	}
	if parts[2] != "HTTP/1.1" {
		return "", malformed("the protocol %.20q is not HTTP/1.1", parts[2])
	}
	c.method = parts[0]
	return parts[1], nil
}

// rawBody takes the body from what follows the head.
func rawBody(c *seenCall, rest []byte, file bool) ([]byte, error) {
	if codings := values(c.header, "Transfer-Encoding"); len(codings) > 0 {
		if !strings.EqualFold(codings[0], "chunked") {
			return nil, nil // checkHead refuses it
		}
		return dechunk(rest)
	}
	lengths := values(c.header, "Content-Length")
	if len(lengths) == 0 {
		if file { // an editor ends the last line, too
			rest = bytes.TrimSuffix(rest, []byte("\n"))
		}
		return rest, nil
	}
	n, err := strconv.ParseUint(lengths[0], 10, 31)
	if err != nil {
		return nil, malformed("Content-Length %.30q is not a number of bytes", lengths[0])
	}
	if len(rest) > int(n) && strings.Trim(string(rest[n:]), "\r\n") == "" && file {
		rest = rest[:n]
	}
	if len(rest) != int(n) {
		return nil, rails.Refusef(spend.Ambiguous, "Content-Length", "Content-Length is %d, but %d bytes follow the head", n, len(rest))
	}
	return rest, nil
}

// dechunk decodes a chunked body, under the proxy's rules: no extensions, no
// trailers, nothing behind the last chunk.
func dechunk(rest []byte) ([]byte, error) {
	bad := rails.Refusef(spend.Ambiguous, "Transfer-Encoding", "the chunks of the body are not framed as RFC 9112 says")
	var body []byte
	for {
		line, after, ok := bytes.Cut(rest, []byte("\r\n"))
		size, err := strconv.ParseUint(string(line), 16, 31)
		if !ok || err != nil || bytes.ContainsAny(line, "_+") {
			return nil, bad
		}
		if size == 0 {
			if string(after) != "\r\n" {
				return nil, bad
			}
			return body, nil
		}
		if uint64(len(after)) < size+2 || string(after[size:size+2]) != "\r\n" {
			return nil, bad
		}
		body, rest = append(body, after[:size]...), after[size+2:]
	}
}
