package proxy_test

import (
	"fmt"
	"strings"
)

// mutation is a stream of bytes that two readers of HTTP may take differently.
// In raw, {t} stands for what comes before the path ("", or "http://host"), and
// {h} for the host.
type mutation struct {
	name, raw string
	sent      int  // requests that are forwarded
	refused   bool // an answer of outgo's own comes after them, and the connection ends
	stalls    bool // the bytes end inside a message: the agent hangs up, and nothing is answered
	inside    bool // means something else outside a tunnel
}

// hidden is the request that a smuggler hides behind another one.
const hidden = "GET {t}/hidden HTTP/1.1\r\nHost: {h}\r\nX-Note: "

const (
	startLine = "POST {t}/pay HTTP/1.1\r\n"
	hostLine  = "Host: {h}\r\n"
	usual     = "Authorization: Bearer sk_1\r\nContent-Type: application/x-www-form-urlencoded\r\nIdempotency-Key: key-1\r\n"
	ofEight   = "Content-Length: 8\r\n"
	amount5   = "amount=5"
	inChunks  = "Transfer-Encoding: chunked\r\n"
	chunks    = "8\r\namount=5\r\n0\r\n\r\n"
)

// post is a payment with fields of its own, their line ends included.
func post(fields, body string) string { return startLine + hostLine + usual + fields + "\r\n" + body }

// oddBytes are what lenient parsers take for a space, for a line end, or for
// nothing at all.
const oddBytes = "\x00\x01\x04\x08\x0a\x0b\x0c\x0d\x1c\x1f\x7f"

// mutations returns all of them, each under a name of its own.
func mutations() []mutation {
	var all []mutation
	for _, family := range []struct {
		name string
		of   []mutation
	}{
		{"ordinary", ordinary()}, {"length", lengths()}, {"coding", codings()}, {"byte sweep", sweeps()},
		{"chunk", chunkLines()}, {"chunk end", chunkEnds()}, {"trailer", trailers()}, {"field line", fieldLines()},
		{"request line", requestLines()}, {"target", targets()}, {"host", hosts()}, {"field", fields()}, {"stream", streams()},
	} {
		for _, m := range family.of {
			m.name = family.name + ": " + m.name
			all = append(all, m)
		}
	}
	return all
}

func refused(name, raw string) mutation { return mutation{name: name, raw: raw, refused: true} }

func sent(name, raw string) mutation { return mutation{name: name, raw: raw, sent: 1} }

// ordinary calls show that the others are refused for what is odd about them.
func ordinary() []mutation {
	return []mutation{
		sent("a length", post(ofEight, amount5)),
		sent("chunks", post(inChunks, chunks)),
		sent("many chunks", post(inChunks, "1\r\na\r\n3\r\nmou\r\n4\r\nnt=5\r\n0\r\n\r\n")),
		sent("no body", post("Content-Length: 0\r\n", "")),
		sent("no length at all", post("", "")),
		sent("a read", "GET {t}/things?a=b HTTP/1.1\r\n"+hostLine+"Authorization: Bearer sk_1\r\n\r\n"),
		sent("a read of the head", "HEAD {t}/things HTTP/1.1\r\n"+hostLine+"\r\n"),
		sent("a DELETE", "DELETE {t}/things/1 HTTP/1.1\r\n"+hostLine+"\r\n"),
		sent("a PUT", "PUT {t}/things/1 HTTP/1.1\r\n"+hostLine+ofEight+"\r\n"+amount5),
		sent("bytes that are no text", post(ofEight, "\x00\r\n\r\n\xff\n0")),
		sent("a body that looks like a request", post(fmt.Sprintf("Content-Length: %d\r\n", len("GET /hidden HTTP/1.1\r\n\r\n")), "GET /hidden HTTP/1.1\r\n\r\n")),
		sent("a chunk that looks like the end", post(inChunks, "5\r\n0\r\n\r\n\r\n0\r\n\r\n")),
	}
}

func lengths() []mutation {
	list := []mutation{
		sent("without a space", post("Content-Length:8\r\n", amount5)),
		sent("with spaces and tabs around", post("Content-Length: \t 8 \t\r\n", amount5)),
		sent("in small letters", post("content-length: 8\r\n", amount5)),
		sent("with leading zeros", post("Content-Length: 008\r\n", amount5)),
		refused("twice, equal", post(ofEight+ofEight, amount5)),
		refused("twice, the first shorter", post("Content-Length: 0\r\n"+ofEight, amount5)),
		refused("twice, the second shorter", post(ofEight+"Content-Length: 0\r\n", amount5)),
		refused("twice, in other letters", post(ofEight+"cOnTeNt-LeNgTh: 0\r\n", amount5)),
		refused("twice, the second empty", post(ofEight+"Content-Length:\r\n", amount5)),
		refused("again with an underscore", post(ofEight+"Content_Length: 0\r\n", amount5)),
		refused("only with an underscore", post("Content_Length: 8\r\n", amount5)),
		refused("on a folded line", post("Content-Length:\r\n 8\r\n", amount5)),
		refused("with a folded second digit", post("Content-Length: 8\r\n 0\r\n", amount5)),
		refused("folded into another field", post("X-Note: y\r\n Content-Length: 8\r\n", amount5)),
		refused("behind an equals sign", post("Content-Length = 8\r\n", amount5)),
		refused("with a space in the name", post("Content Length: 8\r\n", amount5)),
		refused("with a dash that is none", post("Content\u2013Length: 8\r\n", amount5)),
		refused("beyond what is judged", post("Content-Length: 1001\r\n", amount5)),
	}
	for _, v := range []string{
		"+8", "-8", "-0", "0x8", "0o10", "0b1000", "8 8", "8,8", "8, 8", "8, 0", "0, 8", "8;8", "8;", "8,", ",8", "8.0", "8.", "8e0", "8_0", "1_0",
		"8L", "8u", "(8)", "\"8\"", "'8'", "8#", "8%", "8 bytes", "", "NaN", "eight", "\u0668", "\uff18", "8\u00a0", "\xa08", "8\x85",
		"18446744073709551624", "4294967304", "9223372036854775816", "99999999999999999999", "340282366920938463463374607431768211464",
		"00000000000000000000000000000000000000000000000000000000000000000000000000009999999999999999999",
	} {
		list = append(list, refused(fmt.Sprintf("%q", v), post("Content-Length: "+v+"\r\n", amount5)))
	}
	return list
}

// codings are tried alone and beside a length, since the two disagree about
// where the hidden request begins.
func codings() []mutation {
	list := []mutation{
		sent("in capitals", post("TRANSFER-ENCODING: CHUNKED\r\n", chunks)),
		sent("with tabs around", post("Transfer-Encoding:\tchunked\t\r\n", chunks)),
		refused("with an underscore", post("Transfer_Encoding: chunked\r\n", chunks)),
		refused("with an underscore beside a length", post("Transfer_Encoding: chunked\r\nContent-Length: 18\r\n", chunks)),
		refused("under HTTP/1.0", strings.Replace(post(inChunks, chunks), "HTTP/1.1", "HTTP/1.0", 1)),
		refused("in a read", "GET {t}/things HTTP/1.1\r\n"+hostLine+inChunks+"\r\n0\r\n\r\n"+hidden+"1\r\n\r\n"),
		refused("named by Connection", post(inChunks+"Connection: Transfer-Encoding\r\n", chunks)),
	}
	both := func(name, line string) {
		list = append(list, refused(name, post(line, chunks+hidden+"1\r\n\r\n")),
			refused(name+", length first", post("Content-Length: 3\r\n"+line, chunks+hidden+"1\r\n\r\n")),
			refused(name+", length last", post(line+"Content-Length: 18\r\n", chunks+hidden+"1\r\n\r\n")))
	}
	for _, v := range []string{
		"xchunked", "chunkedx", "chunk", "x-chunked", "chunked,", ",chunked", ", chunked", "chunked, chunked", "chunked,identity", "identity, chunked",
		"identity", "gzip, chunked", "gzip", "deflate", "trailers, chunked", "chunked;q=1", "chunked;", "chunked=1", "\"chunked\"", "'chunked'", "<chunked>",
		"cow chunked", "chunked cow", "c hunked", "chun\u212aed", "\u00a0chunked", "chunked\u00a0", "chunked\xa0", "", "0", "chunked\\", "chunked%20",
	} {
		both(fmt.Sprintf("%q", v), "Transfer-Encoding: "+v+"\r\n")
	}
	for name, line := range map[string]string{
		"twice":                            inChunks + inChunks,
		"twice, the second another":        inChunks + "Transfer-Encoding: identity\r\n",
		"twice, the first another":         "Transfer-Encoding: identity\r\n" + inChunks,
		"twice, the second an underscore":  inChunks + "Transfer_Encoding: identity\r\n",
		"a space before the colon":         "Transfer-Encoding : chunked\r\n",
		"a tab before the colon":           "Transfer-Encoding\t: chunked\r\n",
		"a space for the hyphen":           "Transfer Encoding: chunked\r\n",
		"no colon":                         "Transfer-Encoding chunked\r\n",
		"a colon in front":                 ":Transfer-Encoding: chunked\r\n",
		"a space in front":                 " Transfer-Encoding: chunked\r\n",
		"a tab in front":                   "\tTransfer-Encoding: chunked\r\n",
		"the colon on the next line":       "Transfer-Encoding\r\n: chunked\r\n",
		"the value on the next line":       "Transfer-Encoding:\r\n chunked\r\n",
		"the value on the line after next": "Transfer-Encoding:\r\n \r\n chunked\r\n",
		"a fold behind the value":          "Transfer-Encoding: chunked\r\n , identity\r\n",
		"the name over two lines":          "Transfer-\r\nEncoding: chunked\r\n",
		"an accent":                        "Tr\u00e1nsfer-Encoding: chunked\r\n",
		"quotes around the name":           "\"Transfer-Encoding\": chunked\r\n",
		"behind a bare LF":                 "X-Note: y\nTransfer-Encoding: chunked\r\n",
		"behind a bare CR":                 "X-Note: y\rTransfer-Encoding: chunked\r\n",
		"behind LF and CR":                 "X-Note: y\n\rTransfer-Encoding: chunked\r\n",
		"behind two CRs":                   "X-Note: y\r\r\nTransfer-Encoding: chunked\r\n",
		"ended by a bare LF":               "Transfer-Encoding: chunked\n",
		"ended by two CRs":                 "Transfer-Encoding: chunked\r\r\n",
	} {
		both(name, line)
	}
	return append(list, refused("as it should be, length first", post("Content-Length: 3\r\n"+inChunks, chunks+hidden+"1\r\n\r\n")),
		refused("as it should be, length last", post(inChunks+"Content-Length: 18\r\n", chunks+hidden+"1\r\n\r\n")))
}

// sweeps put every odd byte at every place of the line that frames the body.
func sweeps() []mutation {
	var list []mutation
	for i := range len(oddBytes) {
		b := oddBytes[i : i+1]
		for place, line := range map[string]string{
			"before the name":   b + "Transfer-Encoding: chunked\r\n",
			"in the name":       "Transfer" + b + "-Encoding: chunked\r\n",
			"before the colon":  "Transfer-Encoding" + b + ": chunked\r\n",
			"before the value":  "Transfer-Encoding:" + b + "chunked\r\n",
			"in the value":      "Transfer-Encoding: chun" + b + "ked\r\n",
			"behind the value":  "Transfer-Encoding: chunked" + b + "\r\n",
			"between CR and LF": "Transfer-Encoding: chunked\r" + b + "\n",
			"behind the line":   "X-Note: y\r\n" + b + "\r\nTransfer-Encoding: chunked\r\n",
			"in another field":  "X-Note: y" + b + "Transfer-Encoding: chunked\r\n",
		} {
			list = append(list, refused(fmt.Sprintf("%q %s", b, place), post("Content-Length: 3\r\n"+line, chunks+hidden+"1\r\n\r\n")))
		}
		list = append(list,
			refused(fmt.Sprintf("%q in the length", b), post("Content-Length: 8"+b+"0\r\n", amount5)),
			refused(fmt.Sprintf("%q in the method", b), "PO"+b+"ST"+post(ofEight, amount5)[4:]),
			refused(fmt.Sprintf("%q in the path", b), strings.Replace(post(ofEight, amount5), "/pay", "/p"+b+"ay", 1)),
			refused(fmt.Sprintf("%q before the version", b), strings.Replace(post(ofEight, amount5), " HTTP", " "+b+"HTTP", 1)),
			refused(fmt.Sprintf("%q behind the version", b), strings.Replace(post(ofEight, amount5), "HTTP/1.1", "HTTP/1.1"+b, 1)),
			refused(fmt.Sprintf("%q before the chunk size", b), post(inChunks, b+chunks)),
			refused(fmt.Sprintf("%q behind the chunk size", b), post(inChunks, "8"+b+chunks[1:])),
			refused(fmt.Sprintf("%q behind the chunk", b), post(inChunks, "8\r\namount=5"+b+"\r\n0\r\n\r\n")),
			refused(fmt.Sprintf("%q behind the last size", b), post(inChunks, "8\r\namount=5\r\n0"+b+"\r\n\r\n")),
		)
	}
	return list
}
