package proxy_test

import (
	"fmt"
	"strings"
)

func chunkLines() []mutation {
	list := []mutation{
		sent("leading zeros", post(inChunks, "008\r\namount=5\r\n000\r\n\r\n")),
		sent("capital digits", post(inChunks, "A\r\namount=500\r\n0\r\n\r\n")),
		sent("small digits", post(inChunks, "a\r\namount=500\r\n0\r\n\r\n")),
		refused("zeros without end", post(inChunks, strings.Repeat("0", 300)+"8\r\namount=5\r\n0\r\n\r\n")),
		refused("larger than is judged", post(inChunks, "3e9\r\n"+strings.Repeat("x", 1001)+"\r\n0\r\n\r\n")),
		refused("larger than is judged together", post(inChunks, strings.Repeat("64\r\n"+strings.Repeat("x", 100)+"\r\n", 11)+"0\r\n\r\n")),
	}
	for _, size := range []string{
		" 8", "8 ", "\t8", "8\t", "+8", "-8", "0x8", "0X8", "8h", "8g", "8,8", "8 8", "8_0", "0_8", "8.0", "(8)", "\"8\"", "8;", "8;a", "8;a=b", "8;a=\"b\"",
		"8 ;a", "8; a", "8;a=\"\r", "8;\x00", "8;a=b;c=d", ";", "", " ", "x", "\u0668", "-1", "-0", "100000008", "8000000000000008", "10000000000000008",
		"ffffffffffffffff", "fffffffffffffffff", "80000000", "7fffffff",
	} {
		list = append(list, refused(fmt.Sprintf("size %q", size), post(inChunks, size+"\r\namount=5\r\n0\r\n\r\n"+hidden+"1\r\n\r\n")))
	}
	for _, end := range []string{"\n", "\r", "\r\r\n", "\n\r", "\n\n", " \r\n", "\r\n\r\n", "\x0b\r\n", "\u0085"} {
		list = append(list, refused(fmt.Sprintf("size ended by %q", end), post(inChunks, "8"+end+"amount=5\r\n0\r\n\r\n")),
			refused(fmt.Sprintf("extension ended by %q", end), post(inChunks, "8;a"+end+"amount=5\r\n0\r\n\r\n")))
	}
	for _, end := range []string{"", "\n", "\r", "\r\r\n", "\n\r\n", "XX", "X\r\n", "  ", "\r\n\r\n"} {
		list = append(list, refused(fmt.Sprintf("data ended by %q", end), post(inChunks, "8\r\namount=5"+end+"0\r\n\r\n"+hidden+"1\r\n\r\n")))
	}
	return list
}

func chunkEnds() []mutation {
	list := []mutation{
		{name: "no last chunk", raw: post(inChunks, "8\r\namount=5\r\n"), stalls: true},
		{name: "no line end behind the last size", raw: post(inChunks, "8\r\namount=5\r\n0"), stalls: true},
		{name: "no blank line", raw: post(inChunks, "8\r\namount=5\r\n0\r\n"), stalls: true},
		{name: "half a blank line", raw: post(inChunks, "8\r\namount=5\r\n0\r\n\r"), stalls: true},
		{name: "nothing at all", raw: post(inChunks, ""), stalls: true},
		{name: "half a chunk", raw: post(inChunks, "8\r\namou"), stalls: true},
		{name: "a size alone", raw: post(inChunks, "8\r\n"), stalls: true},
		{name: "a chunk without its line end", raw: post(inChunks, "8\r\namount=5"), stalls: true},
		sent("many zeros", post(inChunks, "8\r\namount=5\r\n00000\r\n\r\n")),
		refused("a request in place of the blank line", post(inChunks, "8\r\namount=5\r\n0\r\n"+hidden+"1\r\n\r\n")),
	}
	for _, last := range []string{
		"0\n\n", "0\r\n\n", "0\n\r\n", "0\r\r", "0 \r\n\r\n", " 0\r\n\r\n", "+0\r\n\r\n", "-0\r\n\r\n", "0x0\r\n\r\n", "0;a\r\n\r\n", "0;\r\n\r\n",
		"0\r\n\r\r\n", "0\r\n \r\n\r\n", "0\r\n\t\r\n", "00;x=y\r\n\r\n", "0,\r\n\r\n",
	} {
		list = append(list, refused(fmt.Sprintf("%q", last), post(inChunks, "8\r\namount=5\r\n"+last+hidden+"1\r\n\r\n")))
	}
	return list
}

func trailers() []mutation {
	var list []mutation
	for _, line := range []string{
		"X-Note: y", "Content-Length: 0", "Content-Length: 8", "Transfer-Encoding: identity", "Host: evil.test", "Authorization: Bearer sk_2", "Idempotency-Key: key-2",
		"Stripe-Account: acct_2", "Content-Type: application/json", "Content-Encoding: gzip", "X-HTTP-Method-Override: DELETE", "Connection: close", "Trailer: a",
		" folded", "no colon", ": empty", "X-Note : y", "X\x00: y",
	} {
		list = append(list,
			refused(fmt.Sprintf("%q", line), post(inChunks, "8\r\namount=5\r\n0\r\n"+line+"\r\n\r\n")),
			refused(fmt.Sprintf("%q with bare LFs", line), post(inChunks, "8\r\namount=5\r\n0\r\n"+line+"\n\n")))
		name, _, ok := strings.Cut(line, ":")
		if ok && !strings.ContainsAny(name, " \x00") && name != "" {
			list = append(list, refused(fmt.Sprintf("%q announced", line), post(inChunks+"Trailer: "+name+"\r\n", "8\r\namount=5\r\n0\r\n"+line+"\r\n\r\n")))
		}
	}
	return append(list, refused("announced beside a length", post(ofEight+"Trailer: X-Note\r\n", amount5)))
}

// streams are several messages on one connection, or less than one.
func streams() []mutation {
	second := "POST {t}/pay HTTP/1.1\r\n" + hostLine + ofEight + "\r\namount=6"
	list := []mutation{
		{name: "two requests", raw: post(ofEight, amount5) + second, sent: 2},
		{name: "two in chunks", raw: post(inChunks, chunks) + post(inChunks, chunks), sent: 2},
		{name: "a read behind a payment", raw: post(ofEight, amount5) + hidden + "1\r\n\r\n", sent: 2},
		{name: "a blank line between", raw: post(ofEight, amount5) + "\r\n" + second, sent: 1, refused: true},
		{name: "a bare LF between", raw: post(ofEight, amount5) + "\n" + second, sent: 1, refused: true},
		{name: "a space between", raw: post(ofEight, amount5) + " " + second, sent: 1, refused: true},
		{name: "a byte too many", raw: post(ofEight, amount5+"0") + second, sent: 2},
		{name: "a chunk too many", raw: post(inChunks, chunks+"0\r\n\r\n") + second, sent: 1, refused: true},
		{name: "the second is ambiguous", raw: post(ofEight, amount5) + post(ofEight+inChunks, chunks), sent: 1, refused: true},
		{name: "the second ends early", raw: post(ofEight, amount5) + post(ofEight, "amou"), sent: 1, stalls: true},
		{name: "the first wants the end", raw: post(ofEight+"Connection: close\r\n", amount5) + second, sent: 1, stalls: true},
		{name: "a body that ends early", raw: post(ofEight, "amount="), stalls: true},
		{name: "a body that does not begin", raw: post(ofEight, ""), stalls: true},
		{name: "a head without its blank line", raw: startLine + hostLine + ofEight, stalls: true},
		{name: "a head without its last line end", raw: startLine + hostLine + ofEight + "\r", stalls: true},
		{name: "half a request line", raw: "POST {t}/pa", stalls: true},
		{name: "an expectation that is met", raw: post(ofEight+"Expect: 100-continue\r\n", amount5), sent: 1},
		{name: "an expectation without a body", raw: post("Content-Length: 0\r\nExpect: 100-continue\r\n", "") + second, sent: 2},
		{name: "an expectation of chunks", raw: post(inChunks+"Expect: 100-Continue\r\n", chunks) + second, sent: 2},
		{name: "a body in a read", raw: "GET {t}/things HTTP/1.1\r\n" + hostLine + ofEight + "\r\n" + amount5 + second, refused: true},
		{name: "a body in a read of the head", raw: "HEAD {t}/things HTTP/1.1\r\n" + hostLine + ofEight + "\r\n" + amount5 + second, refused: true},
	}
	// A byte too many belongs to the next method, which nobody knows then.
	list[6].sent, list[6].refused = 1, true
	return list
}
