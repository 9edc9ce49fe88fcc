package proxy_test

import (
	"fmt"
	"strings"
)

func fieldLines() []mutation {
	list := []mutation{
		sent("names that are tokens", post("X!#$%&'*+-.^_`|~9: y\r\n"+ofEight, amount5)),
		sent("an empty value", post("X-Note:\r\n"+ofEight, amount5)),
		sent("bytes over 127 in a value", post("X-Note: caf\xc3\xa9 \xff\r\n"+ofEight, amount5)),
		sent("a colon in a value", post("X-Note: a:b: c\r\n"+ofEight, amount5)),
		sent("a tab in a value", post("X-Note: a\tb\r\n"+ofEight, amount5)),
		refused("folded with a space", post("X-Note: a\r\n b\r\n"+ofEight, amount5)),
		refused("folded with a tab", post("X-Note: a\r\n\tb\r\n"+ofEight, amount5)),
		refused("folded and empty", post("X-Note: a\r\n \r\n"+ofEight, amount5)),
		refused("folded before the first", startLine+" X-Note: y\r\n"+hostLine+ofEight+"\r\n"+amount5),
		refused("folded credentials", post("Stripe-Account:\r\n acct_2\r\n"+ofEight, amount5)),
		refused("no colon", post("X-Note\r\n"+ofEight, amount5)),
		refused("no name", post(": y\r\n"+ofEight, amount5)),
		refused("a CR alone between", post("X-Note: y\r"+ofEight, amount5)),
		refused("an LF alone between", post("X-Note: y\n"+ofEight, amount5)),
		refused("bare LFs everywhere", strings.ReplaceAll(post(ofEight, amount5), "\r\n", "\n")),
		refused("an LF alone as the end", strings.Replace(post(ofEight, amount5), "\r\n\r\n", "\r\n\n", 1)),
		refused("two LFs as the end", strings.Replace(post(ofEight, amount5), "\r\n\r\n", "\n\n", 1)),
		{name: "two CRs before the end", raw: strings.Replace(post(ofEight, amount5), "\r\n\r\n", "\r\n\r\r\n", 1), stalls: true},
		refused("a hidden end", post("X-Note: y\r\n\n"+hidden+"1\r\n"+ofEight, amount5)),
		refused("more fields than are read", post(strings.Repeat("X-Note: y\r\n", 201)+ofEight, amount5)),
		refused("longer than is read", post("X-Note: "+strings.Repeat("y", 64<<10)+"\r\n"+ofEight, amount5)),
	}
	for _, b := range "()<>@,;\\\"/[]?={} \t\u0080\u00ff" {
		list = append(list, refused(fmt.Sprintf("%q in a name", b), post(fmt.Sprintf("X%cNote: y\r\n", b)+ofEight, amount5)))
	}
	for b := range 0x20 {
		if b != '\t' {
			list = append(list, refused(fmt.Sprintf("byte %#x in a value", b), post(fmt.Sprintf("X-Note: a%cb\r\n", b)+ofEight, amount5)))
		}
	}
	return list
}

func requestLines() []mutation {
	swap := func(name, line string) mutation {
		return refused(name, line+hostLine+usual+ofEight+"\r\n"+amount5)
	}
	list := []mutation{
		{name: "the preface of HTTP/2", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused: true},
		{name: "CONNECT inside", raw: "CONNECT evil.test:443 HTTP/1.1\r\n" + hostLine + "\r\n" + hidden + "1\r\n\r\n", refused: true, inside: true},
		swap("a space in front", " "+startLine), swap("a blank line in front", "\r\n"+startLine), swap("an LF in front", "\n"+startLine),
		swap("blank lines in front", "\r\n\r\n\r\n"+startLine), swap("a CR in front", "\r"+startLine), swap("a NUL in front", "\x00"+startLine),
		swap("a mark of byte order in front", "\ufeff"+startLine),
		swap("two spaces", "POST  {t}/pay HTTP/1.1\r\n"), swap("two spaces behind", "POST {t}/pay  HTTP/1.1\r\n"), swap("tabs", "POST\t{t}/pay\tHTTP/1.1\r\n"),
		swap("a space at the end", "POST {t}/pay HTTP/1.1 \r\n"), swap("a fourth word", "POST {t}/pay HTTP/1.1 x\r\n"), swap("a space in the target", "POST {t}/pay x HTTP/1.1\r\n"),
		swap("no method", " {t}/pay HTTP/1.1\r\n"), swap("no target", "POST HTTP/1.1\r\n"), swap("an empty target", "POST  HTTP/1.1\r\n"),
		swap("no version", "POST {t}/pay\r\n"), swap("the line folded", "POST {t}/pay\r\n HTTP/1.1\r\n"), swap("a bare LF", "POST {t}/pay HTTP/1.1\n"),
		{name: "HTTP/0.9", raw: "GET {t}/things\r\n\r\n", refused: true}, swap("HTTP/1.0", "POST {t}/pay HTTP/1.0\r\n"),
	}
	for _, method := range []string{"post", "Post", "pOST", "PO-ST", "POSTX", "XPOST", "TRACE", "TRACK", "DEBUG", "PROPFIND", "MOVE", "PURGE", "SEARCH", "M-SEARCH", "LINK", "GET,POST", "\"POST\"", "P\u00d6ST", "0", strings.Repeat("A", 5000)} {
		list = append(list, swap(fmt.Sprintf("method %.20q", method), method+" {t}/pay HTTP/1.1\r\n"))
	}
	for _, version := range []string{"HTTP/1.2", "HTTP/1.10", "HTTP/1.01", "HTTP/01.1", "HTTP/2", "HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/1,1", "HTTP/-1.1", "HTTP/+1.1", "http/1.1", "Http/1.1", "HTTP /1.1", "HTTP/ 1.1", "HTTP/1. 1", "HTTPS/1.1", "XHTTP/1.1", "HTTP/1.1x", "HTTP/\u0661.1", "ICAP/1.0"} {
		list = append(list, swap(fmt.Sprintf("version %q", version), "POST {t}/pay "+version+"\r\n"))
	}
	return list
}

func targets() []mutation {
	at := func(path string) string { return strings.Replace(post(ofEight, amount5), "/pay", path, 1) }
	var list []mutation
	for _, path := range []string{
		"/pay?", "/pay?a=b", "/pay?a=b?c=d", "/pay?a=%00%0d%0a", "/pay?a=b/../c", "/pay?//", "/pay?a=;b", "/pay/", "/", "/pay/a%20b", "/pay/%C3%A9", "/pay/a:b@c,d=e!f", "/pay/...", "/pay/.x", "/pay?http://evil.test/",
	} {
		list = append(list, sent(path, at(path)))
	}
	for _, path := range []string{
		"/x/../pay", "/./pay", "/pay/.", "/pay/..", "/..", "/x/..;/pay", "/%2e%2e/pay", "/%2E%2e/pay", "/.%2e/pay", "/pay/%2e", "/x%2fpay", "/x%2Fpay", "/%2fpay", "/x%5cpay", "/x\\pay", "\\pay", "/\\pay",
		"//pay", "///pay", "/pay//", "/x//pay", "/pay;a=b", "/pay;", "/;x/pay", "/p%61y", "/%70ay", "/%50ay", "/pay%00", "/pay%00.json", "/pay%0d%0aX:y", "/pay%0a", "/pay%7f", "/pay%", "/pay%2", "/pay%zz", "/pay%u002f",
		"/pay%252e", "/x%252f..%252fpay", "/pay#x", "/pay?a#b", "/pay?a=%", "/pay?a=%g0", "/pay?a b", "/pay?a=\xff", "/pay?\"a\"\x01", "/caf\xc3\xa9", "/pay\xff", "/pay{x}", "/pay|x", "/pay^x", "/pay`x", "/pay\"x\"", "/pay<x>", "/[pay]", "/pay%c0%af..",
	} {
		m := refused(path, at(path))
		list = append(list, m)
	}
	for _, target := range []string{
		"*", "pay", "?a=b", "#", "{h}", "{h}:443", "http://{h}/pay", "https://{h}/pay", "HTTP://{h}/pay", "http://evil.test/pay", "//evil.test/pay", "//{h}/pay", "http:///pay", "http:/pay", "file:///etc/passwd", "javascript:1",
		"http://{h}@evil.test/pay", "http://evil.test@{h}/pay", "http://{h}\\@evil.test/pay", "http://{h}:80#@evil.test/pay", "/http://evil.test/pay",
	} {
		m := refused("whole target "+target, strings.Replace(post(ofEight, amount5), "{t}/pay", target, 1))
		m.inside = true
		list = append(list, m)
	}
	return list
}

func hosts() []mutation {
	with := func(lines string) string { return startLine + lines + usual + ofEight + "\r\n" + amount5 }
	list := []mutation{
		sent("in capitals with a dot", startLine+"HOST: {H}.\r\n"+ofEight+"\r\n"+amount5),
		sent("another one behind a proxy", with(hostLine+"X-Forwarded-Host: evil.test\r\n")),
		refused("twice", with(hostLine+hostLine)), refused("twice, the second another", with(hostLine+"Host: evil.test\r\n")), refused("twice, the first another", with("Host: evil.test\r\n"+hostLine)),
		refused("twice, the second empty", with(hostLine+"Host:\r\n")), refused("none", with("")), refused("an underscore in the name", with("Host_: {h}\r\n")),
		refused("on a folded line", with("Host:\r\n {h}\r\n")), refused("a space before the colon", with("Host : {h}\r\n")), refused("a space in front", with(" Host: {h}\r\n")),
	}
	for _, host := range []string{
		"", "evil.test", "{h}:8443", "{h}:", "{h}:443x", "{h}:0443", "{h}:+443", "{h}:-1", "{h}:65979", "{h}:443:443", "user@{h}", "{h}@evil.test", "evil.test@{h}", "{h}, evil.test", "{h},{h}", "{h} evil.test", "{h}/x", "{h}?x", "{h}#x", "http://{h}",
		"{h}\\evil.test", "{h}%00.evil.test", "{h}%2eevil.test", "{h}..", ".{h}", "[{h}]", "127.0.0.1", "[::1]", "{h}\x00", "{h}\x0b", "{h}\u3002", "\u24d0pi.coin.test", "xn--pi-0ja.coin.test", "x.{h}", "{h};a=b",
	} {
		list = append(list, refused(fmt.Sprintf("%q", host), with("Host: "+host+"\r\n")))
	}
	return list
}

func fields() []mutation {
	with := func(lines string) string { return post(lines+ofEight, amount5) }
	var list []mutation
	for _, lines := range []string{
		"Connection: close\r\n", "Connection: keep-alive\r\n", "Connection: keep-alive, TE\r\nTE: trailers\r\n", "Connection:\r\n", "TE: trailers, deflate\r\n", "Keep-Alive: timeout=5\r\n", "Proxy-Connection: keep-alive\r\n",
		"Content-Encoding: gzip\r\n", "Content-Encoding: br\r\n", "Range: bytes=0-1\r\n", "If-Match: x\r\n", "Via: 1.0 evil\r\n", "Forwarded: host=evil.test\r\n", "Cookie: a=b\r\nCookie: c=d\r\n", "X-Note: 1\r\nX-Note: 2\r\nx-note: 3\r\n", "Max-Forwards: 0\r\n",
	} {
		list = append(list, sent(fmt.Sprintf("%q", lines), with(lines)))
	}
	// Outside a tunnel it says who the agent is.
	list = append(list, mutation{name: "credentials for the proxy", raw: with("Proxy-Authorization: Basic eDp5\r\n"), sent: 1, inside: true})
	for _, lines := range []string{
		"X-HTTP-Method-Override: DELETE\r\n", "x-http-method: DELETE\r\n", "X-Method-Override: GET\r\n", "X_HTTP_Method_Override: DELETE\r\n", "X-Original-URL: /hidden\r\n", "X-Rewrite-URL: /hidden\r\n", "X_Original_URL: /hidden\r\n",
		"Authorization: Bearer sk_2\r\n", "authorization:\r\n", "Idempotency-Key: key-2\r\n", "idempotency-key: key-1\r\n", "Idempotency_Key: key-2\r\n", "Content-Type: application/json\r\n", "Content_Type: application/json\r\n", "Authorization_: x\r\nAuthorization: y\r\n",
		"Stripe-Account: a\r\nStripe-Account: b\r\n", "Stripe-Account: a\r\nStripe_Account: b\r\n", "Stripe_Account: b\r\n", "Outgo-Merchant: a\r\nOutgo-Merchant: b\r\n", "Content-Encoding: gzip\r\nContent-Encoding: br\r\n", "Content_Encoding: gzip\r\n",
		"Expect: 100-continue\r\nExpect: 100-continue\r\n", "Expect: 100-continue, x\r\n", "Expect: x\r\n", "Expect:\r\n", "Expect: 100\r\n", "Expect: y 100-continue\r\n", "Expect: 100-continue;q=1\r\n", "Expect : 100-continue\r\n", "Expect: 100-\r\n continue\r\n", "Expect_: x\r\nExpect: 200-ok\r\n",
		"Upgrade: h2c\r\n", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", "HTTP2-Settings: AAMAAABkAAQAAP__\r\n", "Connection: Upgrade\r\n", "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n", "Upgrade: h2c, websocket\r\n", "Upgrade : h2c\r\n",
		"Connection: Authorization\r\n", "Connection: close, Idempotency-Key\r\n", "Connection: Content-Length\r\n", "Connection: Host\r\n", "Connection: keep-alive, Content-Type\r\n", "Connection: \"close\"\r\n", "Connection: close;x\r\n", "Connection: x\r\n", "Trailer: Authorization\r\n",
	} {
		list = append(list, refused(fmt.Sprintf("%q", lines), with(lines)))
	}
	return list
}
