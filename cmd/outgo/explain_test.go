package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// outgo runs a command line in an empty home and returns what it printed.
func outgo(t *testing.T, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, diag bytes.Buffer
	status = execute(context.Background(), args, []string{"HOME=" + t.TempDir()}, strings.NewReader(stdin), &out, &diag)
	return out.String(), diag.String(), status
}

// explainLines runs explain --jsonl and returns its answers.
func explainLines(t *testing.T, config, input string) []map[string]any {
	t.Helper()
	args := []string{"explain", "--jsonl"}
	if config != "" {
		file := filepath.Join(t.TempDir(), "outgo.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", file)
	}
	stdout, stderr, status := outgo(t, input, args...)
	if status != statusDone || stderr != "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var answers []map[string]any
	for line := range strings.Lines(stdout) {
		var a map[string]any
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("answer %q: %v", line, err)
		}
		answers = append(answers, a)
	}
	return answers
}

func TestExplainAnswersTheRailsFixtures(t *testing.T) {
	inputs, err := filepath.Glob("../../rails/*/testdata/explain/*.jsonl")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, input := range inputs {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(input))))+"/"+filepath.Base(input), func(t *testing.T) {
			calls, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			wants, err := os.ReadFile(strings.TrimSuffix(input, "jsonl") + "want")
			if err != nil {
				t.Fatal(err)
			}
			answers := explainLines(t, "", string(calls))
			n := 0
			for line := range strings.Lines(string(wants)) {
				var want struct {
					ID   any
					Want map[string]any
				}
				if err := json.Unmarshal([]byte(line), &want); err != nil {
					t.Fatal(err)
				}
				if n >= len(answers) {
					t.Fatalf("%d answers, want more", len(answers))
				}
				compare(t, answers[n], want.ID, want.Want)
				n++
			}
			if n != len(answers) {
				t.Errorf("%d answers, want %d", len(answers), n)
			}
		})
	}
}

// compare checks the fields that a fixture names; of the reasons only the first,
// since the others depend on policies.
func compare(t *testing.T, got map[string]any, id any, want map[string]any) {
	t.Helper()
	if !reflect.DeepEqual(got["id"], id) {
		t.Errorf("id %v, want %v", got["id"], id)
	}
	for field, w := range want {
		g := got[field]
		if field == "reasons" {
			g, w = g.([]any)[0], w.([]any)[0] //nolint:forcetypeassert // both are lists of at least one by contract
		}
		if !reflect.DeepEqual(g, w) {
			t.Errorf("%v: %s is %v, want %v (%v)", id, field, g, w, got["message"])
		}
	}
}

func TestExplainRefuses(t *testing.T) {
	const good = `"method":"POST","url":"https://api.stripe.com/v1/charges","headers":{"Content-Type":"application/x-www-form-urlencoded"},"body":"amount=5000&currency=usd"`
	call := func(url, headers string) string {
		return `{"id":1,"method":"POST","url":"` + url + `","headers":{"Content-Type":"application/x-www-form-urlencoded"` + headers + `},"body":"amount=5000&currency=usd"}`
	}
	const charges = "https://api.stripe.com/v1/charges"
	for name, c := range map[string]struct{ line, id, reason string }{
		"not JSON":                            {`hello`, `null`, "MALFORMED"},
		"nothing":                             {``, `null`, "MALFORMED"},
		"a list":                              {`[1]`, `null`, "MALFORMED"},
		"an object without an end":            {`{"id":"x",` + good, `"x"`, "MALFORMED"},
		"two objects":                         {`{"id":"x",` + good + `}{}`, `"x"`, "MALFORMED"},
		"a name given twice":                  {`{"id":"x",` + good + `,"method":"GET"}`, `"x"`, "MALFORMED"},
		"an id given twice":                   {`{"id":"x","id":"y",` + good + `}`, `"x"`, "MALFORMED"},
		"a header given twice in the JSON":    {`{"id":"x","method":"POST","url":"` + charges + `","headers":{"A":"1","A":"2"}}`, `"x"`, "MALFORMED"},
		"half a character":                    {`{"id":"x","method":"POST","url":"` + charges + `","body":"\ud800"}`, `"x"`, "MALFORMED"},
		"bytes that are not UTF-8":            {"{\"id\":\"x\",\"method\":\"POST\",\"url\":\"" + charges + "\",\"body\":\"\xff\"}", `"x"`, "MALFORMED"},
		"two bodies":                          {`{"id":"x",` + good + `,"body_base64":"YQ=="}`, `"x"`, "MALFORMED"},
		"a body in broken base64":             {`{"id":"x","method":"POST","url":"` + charges + `","body_base64":"YQ="}`, `"x"`, "MALFORMED"},
		"a method that is no text":            {`{"id":"x","method":1,"url":"` + charges + `"}`, `"x"`, "MALFORMED"},
		"no method":                           {`{"id":"x","url":"` + charges + `"}`, `"x"`, "MALFORMED"},
		"an unknown transport":                {`{"id":"x","transport":"carrier pigeon",` + good + `}`, `"x"`, "MALFORMED"},
		"a method in small letters":           {`{"id":1,"method":"post","url":"` + charges + `"}`, `1`, "UNRECOGNISED"},
		"a method that is no word":            {`{"id":1,"method":"PO ST","url":"` + charges + `"}`, `1`, "MALFORMED"},
		"a method that is unknown":            {`{"id":1,"method":"BREW","url":"` + charges + `"}`, `1`, "UNRECOGNISED"},
		"a relative URL":                      {call("/v1/charges", ""), `1`, "MALFORMED"},
		"another scheme":                      {call("ftp://api.stripe.com/v1/charges", ""), `1`, "MALFORMED"},
		"plain http":                          {call("http://api.stripe.com/v1/charges", ""), `1`, "UNRECOGNISED"},
		"another port":                        {call("https://api.stripe.com:8443/v1/charges", ""), `1`, "UNRECOGNISED"},
		"a port that is none":                 {call("https://api.stripe.com:0443/v1/charges", ""), `1`, "MALFORMED"},
		"user information":                    {call("https://api.stripe.com@evil.example/v1/charges", ""), `1`, "AMBIGUOUS"},
		"a backslash for a slash":             {call(`https://api.stripe.com\\v1/charges`, ""), `1`, "MALFORMED"},
		"a fragment":                          {call("https://api.stripe.com/v1/charges#x", ""), `1`, "MALFORMED"},
		"a dot segment":                       {call("https://api.stripe.com/v1/x/../charges", ""), `1`, "AMBIGUOUS"},
		"a Host header of another host":       {call(charges, `,"Host":"files.stripe.com"`), `1`, "AMBIGUOUS"},
		"a guarded host in the header only":   {call("https://evil.example/v1/charges", `,"Host":"api.stripe.com"`), `1`, "AMBIGUOUS"},
		"two Host headers":                    {call(charges, `,"Host":["api.stripe.com","api.stripe.com"]`), `1`, "AMBIGUOUS"},
		"a header that comes twice":           {call(charges, `,"authorization":["a","b"]`), `1`, "AMBIGUOUS"},
		"a header twice in two spellings":     {call(charges, `,"content-type":"application/json"`), `1`, "AMBIGUOUS"},
		"a header name with a space":          {call(charges, `,"X Y":"1"`), `1`, "MALFORMED"},
		"a header value with a line end":      {call(charges, `,"X":"1\r\nY: 2"`), `1`, "MALFORMED"},
		"a length that is not the body's":     {call(charges, `,"Content-Length":"3"`), `1`, "AMBIGUOUS"},
		"a length and a transfer coding":      {call(charges, `,"Content-Length":"24","Transfer-Encoding":"chunked"`), `1`, "AMBIGUOUS"},
		"a transfer coding that is not known": {call(charges, `,"Transfer-Encoding":"gzip, chunked"`), `1`, "AMBIGUOUS"},
		"an upgrade":                          {call(charges, `,"Upgrade":"h2c"`), `1`, "MALFORMED"},
		"a connection to be upgraded":         {call(charges, `,"Connection":"keep-alive, Upgrade"`), `1`, "MALFORMED"},
		"a read with a body":                  {`{"id":1,"method":"GET","url":"` + charges + `","body":"a=b"}`, `1`, "AMBIGUOUS"},
		"an overridden method":                {call(charges, `,"X-HTTP-Method-Override":"GET"`), `1`, "AMBIGUOUS"},
		"too large a body":                    {`{"id":1,"method":"POST","url":"` + charges + `","body":"` + strings.Repeat("a", 1<<20+1) + `"}`, `1`, "TOO_LARGE"},
		"a host without a rail of its own":    {`{"id":1,"method":"GET","url":"https://api.moonpay.com/v3/x"}`, `1`, "UNRECOGNISED"},
	} {
		t.Run(name, func(t *testing.T) {
			// A second line shows that the first did not end the reading.
			stdout, stderr, status := outgo(t, c.line+"\n"+`{"id":"next",`+good+"}", "explain", "--jsonl")
			lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
			if status != statusDone || len(lines) != 2 {
				t.Fatalf("status %d, %d lines, %s", status, len(lines), stderr)
			}
			if want := `{"id":` + c.id + `,"rail":"`; !strings.HasPrefix(lines[0], want) {
				t.Errorf("got %s, want it to begin with %s", lines[0], want)
			}
			if want := `"legs":[],"lookup":"","decision":"DENY","reasons":["` + c.reason + `"],`; !strings.Contains(lines[0], `"class":"refuse"`) || !strings.Contains(lines[0], want) {
				t.Errorf("got %s, want a refusal with %s", lines[0], c.reason)
			}
			if !strings.HasPrefix(lines[1], `{"id":"next","rail":"stripe","class":"spend"`) {
				t.Errorf("the next line got %s", lines[1])
			}
		})
	}
}

func TestExplainDecides(t *testing.T) {
	const head = "policies:\n  - {name: p, unit: USD, maxSingleAmount: 10000, requireApprovalOver: 5000, "
	const charge = `{"id":1,"method":"POST","url":"https://api.stripe.com/v1/charges","headers":{"Content-Type":"application/x-www-form-urlencoded","Outgo-Merchant":"shop.example"},"body":"amount=%s&currency=%s"}`
	pay := func(amount, currency string) string {
		return strings.Replace(strings.Replace(charge, "%s", amount, 1), "%s", currency, 1)
	}
	const capture = `{"id":1,"method":"POST","url":"https://api.stripe.com/v1/payment_intents/pi_1/capture"}`
	const unknown = `{"id":1,"method":"POST","url":"https://api.stripe.com/v1/nobody_knows","headers":{"Content-Type":"application/x-www-form-urlencoded"},"body":"a=b"}`
	for name, c := range map[string]struct {
		config, line   string
		class, verdict string
		reasons        string
		lookup         bool
	}{
		"within the limits":                       {head + "}", pay("5000", "usd"), "spend", "ALLOW", "OK", false},
		"over the amount that a person decides":   {head + "}", pay("5001", "usd"), "spend", "REQUIRE_APPROVAL", "REQUIRES_APPROVAL", false},
		"over the limit, with every rule named":   {head + "}", pay("10001", "usd"), "spend", "DENY", "EXCEEDS_SINGLE_LIMIT REQUIRES_APPROVAL", false},
		"in a unit that no policy has":            {head + "}", pay("1", "eur"), "spend", "DENY", "NO_ACTIVE_POLICY", false},
		"by another agent's policy":               {head + "scope: {agents: [somebody]}}", pay("1", "usd"), "spend", "DENY", "NO_ACTIVE_POLICY", false},
		"unmatched, where that is held":           {"proxy: {unmatched: {wire: hold}}\n", pay("1", "usd"), "spend", "REQUIRE_APPROVAL", "NO_ACTIVE_POLICY", false},
		"with a claim that is blocked":            {head + "blockedMerchants: [shop.example]}", pay("1", "usd"), "spend", "DENY", "BLOCKED_MERCHANT", false},
		"with the amount still to be looked up":   {head + "}", capture, "spend", "ALLOW", "OK", true},
		"looked up, but denied whatever comes":    {head + "allowedMerchants: [a.example]}", capture, "spend", "DENY", "MERCHANT_NOT_ALLOWED", true},
		"looked up, without a policy":             {"", capture, "spend", "DENY", "NO_ACTIVE_POLICY", true},
		"a write that no rail knows":              {head + "}", unknown, "refuse", "DENY", "UNRECOGNISED", false},
		"a write that no rail knows, held":        {"proxy: {unrecognised: hold}\n" + head + "}", unknown, "refuse", "REQUIRE_APPROVAL", "UNRECOGNISED REQUIRES_APPROVAL", false},
		"a read":                                  {"", `{"id":1,"method":"GET","url":"https://api.stripe.com/v1/charges"}`, "read", "ALLOW", "OK", false},
		"a write to a host that nobody claims":    {"", `{"id":1,"method":"POST","url":"https://example.com/"}`, "other", "ALLOW", "OK", false},
		"a read of a host that nobody claims":     {"", `{"id":1,"method":"GET","url":"http://example.com"}`, "read", "ALLOW", "OK", false},
		"an unclaimed host where they are denied": {"proxy: {unknown_hosts: deny}\n", `{"id":1,"method":"GET","url":"http://example.com"}`, "read", "DENY", "HOST_DENIED", false},
		"a longer name is not the host":           {"", `{"id":1,"method":"POST","url":"https://api.stripe.com.example.com/v1/charges"}`, "other", "ALLOW", "OK", false},
		"plain http to a host with an upstream":   {"upstreams: {api.stripe.com: {url: \"http://127.0.0.1:1\"}}\n" + head + "}", strings.Replace(pay("1", "usd"), "https:", "http:", 1), "spend", "ALLOW", "OK", false},
		"the host in capitals with a last dot":    {head + "}", strings.Replace(pay("1", "usd"), "api.stripe.com", "API.Stripe.com.:443", 1), "spend", "ALLOW", "OK", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := explainLines(t, c.config, c.line)[0]
			var reasons []string
			for _, r := range got["reasons"].([]any) { //nolint:forcetypeassert // a list by contract
				reasons = append(reasons, r.(string)) //nolint:forcetypeassert // of text
			}
			if got["class"] != c.class || got["decision"] != c.verdict || strings.Join(reasons, " ") != c.reasons {
				t.Errorf("got %v %v %v, want %s %s %s", got["class"], got["decision"], reasons, c.class, c.verdict, c.reasons)
			}
			if (got["lookup"] != "") != c.lookup || got["message"] == "" {
				t.Errorf("lookup %q, message %q", got["lookup"], got["message"])
			}
		})
	}
}

func TestExplainReadsRawRequests(t *testing.T) {
	const head = "POST /v1/charges HTTP/1.1\r\nHost: api.stripe.com\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	file := strings.ReplaceAll(head, "\r\n", "\n")
	const body = "amount=5000&currency=usd"
	for name, c := range map[string]struct{ text, class, reason string }{
		"a request off the wire":            {head + "Content-Length: 24\r\n\r\n" + body, "spend", "NO_ACTIVE_POLICY"},
		"a request in chunks":               {head + "Transfer-Encoding: chunked\r\n\r\n5\r\namoun\r\n13\r\nt=5000&currency=usd\r\n0\r\n\r\n", "spend", "NO_ACTIVE_POLICY"},
		"a text file":                       {file + "\n" + body + "\n", "spend", "NO_ACTIVE_POLICY"},
		"a text file with a length":         {file + "Content-Length: 24\n\n" + body + "\n", "spend", "NO_ACTIVE_POLICY"},
		"a read without a last blank line":  {"GET /v1/charges HTTP/1.1\nHost: api.stripe.com", "read", "OK"},
		"an absolute target":                {"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", "read", "OK"},
		"nothing":                           {"", "refuse", "MALFORMED"},
		"not HTTP":                          {"hello world\n", "refuse", "MALFORMED"},
		"another protocol":                  {strings.Replace(head, "1.1", "2", 1) + "\r\n", "refuse", "MALFORMED"},
		"no Host":                           {"POST /v1/charges HTTP/1.1\r\n\r\n", "refuse", "AMBIGUOUS"},
		"a bare line feed among CRLFs":      {strings.Replace(head, "\r\nContent", "\nContent", 1) + "\r\n" + body, "refuse", "AMBIGUOUS"},
		"a folded header":                   {head + "X: a\r\n b\r\n\r\n" + body, "refuse", "AMBIGUOUS"},
		"a header without a colon":          {head + "X\r\n\r\n" + body, "refuse", "MALFORMED"},
		"a space before the colon":          {head + "X : 1\r\n\r\n" + body, "refuse", "MALFORMED"},
		"more than the length says":         {head + "Content-Length: 24\r\n\r\n" + body + "GET / HTTP/1.1\r\n\r\n", "refuse", "AMBIGUOUS"},
		"less than the length says":         {head + "Content-Length: 25\r\n\r\n" + body, "refuse", "AMBIGUOUS"},
		"a length that is no number":        {head + "Content-Length: +24\r\n\r\n" + body, "refuse", "MALFORMED"},
		"a chunk extension":                 {head + "Transfer-Encoding: chunked\r\n\r\n18;x=y\r\n" + body + "\r\n0\r\n\r\n", "refuse", "AMBIGUOUS"},
		"a trailer":                         {head + "Transfer-Encoding: chunked\r\n\r\n18\r\n" + body + "\r\n0\r\nX: 1\r\n\r\n", "refuse", "AMBIGUOUS"},
		"something behind the last chunk":   {head + "Transfer-Encoding: chunked\r\n\r\n18\r\n" + body + "\r\n0\r\n\r\nGET", "refuse", "AMBIGUOUS"},
		"a length and chunks":               {head + "Content-Length: 24\r\nTransfer-Encoding: chunked\r\n\r\n18\r\n" + body + "\r\n0\r\n\r\n", "refuse", "AMBIGUOUS"},
		"a guarded host in absolute http":   {"GET http://api.stripe.com/ HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n", "refuse", "UNRECOGNISED"},
		"a target that is neither":          {"OPTIONS * HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n", "refuse", "MALFORMED"},
		"two spaces in the request line":    {"GET  / HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n", "refuse", "MALFORMED"},
		"a body where the text file has it": {file + "\n" + body + "\n\n", "refuse", "MALFORMED"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, status := outgo(t, c.text, "explain")
			if status != statusDone || strings.Count(stdout, "\n") != 1 {
				t.Fatalf("status %d, %q, %s", status, stdout, stderr)
			}
			var x explanation
			if err := json.Unmarshal([]byte(stdout), &x); err != nil {
				t.Fatal(err)
			}
			if string(x.Class) != c.class || string(x.Reasons[0]) != c.reason {
				t.Errorf("got %s %v, want %s %s (%s)", x.Class, x.Reasons, c.class, c.reason, x.Message)
			}
		})
	}
}

func FuzzExplain(f *testing.F) {
	f.Add([]byte(`{"id":"c1","method":"POST","url":"https://api.stripe.com/v1/charges","headers":{"A":["b","c"]},"body":"amount=5000&currency=usd"}`))
	f.Add([]byte(`{"id":1,"transport":"ws","url":"wss://mainnet.infura.io/v3/x","body":"\ud83d\ude00"}`))
	f.Add([]byte("POST /v1/charges HTTP/1.1\r\nHost: api.stripe.com\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"))
	opt := &options{env: []string{"HOME=/nonexistent"}}
	cfg, err := opt.load()
	if err != nil {
		f.Fatal(err)
	}
	e, err := newExplainer(cfg, "", testTime)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, run := range map[string]func() (*bytes.Buffer, error){
			"a line": func() (*bytes.Buffer, error) { var b bytes.Buffer; return &b, e.answer(&b, data, false) },
			"raw":    func() (*bytes.Buffer, error) { var b bytes.Buffer; return &b, e.raw(bytes.NewReader(data), &b) },
		} {
			out, err := run()
			var x explanation
			if err != nil || json.Unmarshal(out.Bytes(), &x) != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
				t.Fatalf("%s: %v, answer %q", name, err, out)
			}
			if x.Class == "" || len(x.Reasons) == 0 || x.Message == "" || x.Decision == "" {
				t.Errorf("%s: the answer %s lacks a field", name, out)
			}
			if x.Decision == "ALLOW" && (x.Class == "spend" || x.Class == "refuse") {
				t.Errorf("%s: %s without any policy", name, out)
			}
			if strings.Contains(x.Message, "own parser failed") {
				t.Errorf("%s: a parser panicked", name)
			}
		}
	})
}
