package shim

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nodes returns the Node binaries to try: those of OUTGO_TEST_NODES, separated by
// colons, or the one on PATH.
func nodes(t *testing.T) []string {
	t.Helper()
	if list := os.Getenv("OUTGO_TEST_NODES"); list != "" {
		return strings.Split(list, ":")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		lacking(t, "node is not on PATH: install Node 20 or later (https://nodejs.org), or name binaries in OUTGO_TEST_NODES")
	}
	return []string{node}
}

// call defines call(options): one request with node:https, which answers its body.
const call = `
import https from 'node:https';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
const call = (options, body) => new Promise((resolve, reject) => {
  const req = https.request({ hostname: 'pay.example', ...options }, (res) => {
    let text = '';
    res.on('data', (chunk) => { text += chunk; });
    res.on('end', () => resolve(text));
    res.on('error', reject);
  });
  req.on('error', reject);
  req.end(body);
});
`

const refusal = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n\r\nthe host evil.example is not listed"

func TestNodeProgramsComeThroughTheProxy(t *testing.T) {
	all := nodes(t)
	const one, creds = "pay.example:443", " agent:to:ken"
	for sentence, tc := range map[string]struct {
		script   string
		refuse   string
		base     string
		want     string // of standard output; lines joined by " | "
		connects []string
	}{
		"with the default agent": {
			script: `console.log(await call({ path: '/a' }));`,
			want:   "GET pay.example/a 0 false", connects: []string{one},
		},
		"with a keep-alive agent of its own, two calls over one tunnel": {
			script: `const agent = new https.Agent({ keepAlive: true });
console.log(await call({ agent, path: '/a' })); console.log(await call({ agent, path: '/b' }));`,
			want: "GET pay.example/a 0 false | GET pay.example/b 0 false", connects: []string{one},
		},
		"with an agent that adds to createConnection": {
			script: `class A extends https.Agent { createConnection(...args) { const s = super.createConnection(...args); s.setNoDelay(true); return s; } }
const agent = new A({ keepAlive: true });
console.log(await call({ agent, path: '/a' })); console.log(await call({ agent, path: '/b' }));`,
			want: "GET pay.example/a 0 false | GET pay.example/b 0 false", connects: []string{one},
		},
		"with an agent that connects by itself": {
			script: `class A extends https.Agent { createConnection(options) { return tls.connect(options); } }
console.log(await call({ agent: new A({ keepAlive: true }), path: '/a' }));`,
			want: "GET pay.example/a 0 false", connects: []string{one},
		},
		"with createConnection of the request, as WebSocket libraries do": {
			script: `import { connect } from 'node:tls';
console.log(await call({ port: 8443, path: '/a', createConnection: (o) => connect({ ...o, path: undefined, servername: 'pay.example' }) }));`,
			want: "GET pay.example:8443/a 0 false", connects: []string{"pay.example:8443"},
		},
		"with the built-in fetch": {
			script: `console.log(await (await fetch('https://pay.example/a', { method: 'POST', body: 'abc' })).text());`,
			want:   "POST pay.example/a 3 false", connects: []string{one},
		},
		"from a worker thread": {
			script: `import { Worker } from 'node:worker_threads';
const w = new Worker("require('https').get({ hostname: 'pay.example', path: '/a', agent: new (require('https').Agent)() }, (r) => r.on('data', (d) => console.log(String(d))))", { eval: true });
await new Promise((resolve) => w.on('exit', resolve));`,
			want: "GET pay.example/a 0 false", connects: []string{one},
		},
		"from a child process": {
			script: `import { execFileSync } from 'node:child_process';
console.log(String(execFileSync(process.execPath, ['-e', "require('https').get({ hostname: 'pay.example', agent: new (require('https').Agent)() }, (r) => r.pipe(process.stdout))"])));`,
			want: "GET pay.example/ 0 false", connects: []string{one},
		},
		"with a megabyte to send": {
			script: `console.log(await call({ method: 'POST', agent: new https.Agent() }, Buffer.alloc(1 << 20)));
class A extends https.Agent { createConnection(options) { return tls.connect(options); } }
console.log(await call({ method: 'POST', agent: new A() }, Buffer.alloc(1 << 20)));`,
			want: "POST pay.example/ 1048576 false | POST pay.example/ 1048576 false", connects: []string{one, one},
		},
		"resuming TLS sessions": {
			script: `const agent = new https.Agent();
console.log(await call({ agent })); await new Promise((r) => setImmediate(r)); console.log(await call({ agent }));`,
			want: "GET pay.example/ 0 false | GET pay.example/ 0 true", connects: []string{one, one},
		},
		"to an IPv6 address": {
			// Node 22.23 takes an IPv6 address for a name when it checks certificates, proxy or not: the check is left out.
			script: `const options = { hostname: '::1', port: 8443, checkServerIdentity: () => undefined };
console.log(await call({ ...options, agent: new https.Agent() }));
class A extends https.Agent { createConnection(options) { return tls.connect(options); } }
console.log(await call({ ...options, agent: new A() }));`,
			want: "GET [::1]:8443/ 0 false | GET [::1]:8443/ 0 false", connects: []string{"[::1]:8443", "[::1]:8443"},
		},
		"with a proxy agent from elsewhere, which keeps its own tunnel": {
			script: `class P extends https.Agent {
  createConnection(options, done) {
    const p = new URL(process.env.HTTPS_PROXY);
    const req = http.request({ host: p.hostname, port: p.port, method: 'CONNECT', path: options.host + ':443', agent: false });
    req.on('connect', (res, socket) => done(null, tls.connect({ socket, servername: options.host })));
    req.end();
  }
}
console.log(await call({ agent: new P() }));`,
			want: "GET pay.example/ 0 false", connects: []string{one + "!"},
		},
		"and see why the proxy refused": {
			refuse: refusal,
			script: `const failing = (agent) => call({ agent }).catch((e) => console.log(e.code, e.statusCode, e.message));
await failing(new https.Agent());
class A extends https.Agent { createConnection(options) { return tls.connect(options); } }
await failing(new A());`,
			want: "ERR_PROXY_TUNNEL 403 proxy refused CONNECT pay.example:443: 403 Forbidden: the host evil.example is not listed | " +
				"ERR_PROXY_TUNNEL 403 proxy refused CONNECT pay.example:443: 403 Forbidden: the host evil.example is not listed",
			connects: []string{one, one},
		},
		"and see that the proxy wants credentials, even without a length": {
			refuse: "HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\n\r\nno such agent",
			script: `await call({ agent: new https.Agent() }).catch((e) => console.log(e.statusCode, e.message));`,
			want:   "407 proxy refused CONNECT pay.example:443: 407 Proxy Authentication Required: no such agent", connects: []string{one},
		},
		"with fetch, and see that the proxy refused": {
			refuse: refusal,
			script: `await fetch('https://pay.example/').catch((e) => console.log(/403/.test(e.cause.message + e.cause.cause?.message)));`,
			want:   "true", connects: []string{one},
		},
		"but not to hosts of a NO_PROXY that was kept": {
			base:   "NO_PROXY=localhost,.pay.invalid",
			script: `await call({ hostname: 'eu.pay.invalid', agent: new https.Agent() }).catch((e) => console.log(e.code === 'ENOTFOUND' || e.code === 'EAI_AGAIN'));`,
			want:   "true",
		},
		"but not with what does not speak HTTP": {
			script: `tls.connect({ host: '127.0.0.1', port: 1 }).on('error', (e) => console.log(e.code));`,
			want:   "ECONNREFUSED",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			for _, node := range all {
				p := newProxy(t, http.HandlerFunc(echo), tc.refuse)
				file := filepath.Join(t.TempDir(), "agent.mjs")
				if err := os.WriteFile(file, []byte(call+tc.script), 0o600); err != nil {
					t.Fatal(err)
				}
				got := strings.ReplaceAll(program(t, p.env(t, tc.base), node, file), "\n", " | ")
				if got != tc.want {
					t.Errorf("%s: got %q, want %q", node, got, tc.want)
				}
				var want []string
				for _, c := range tc.connects {
					if anonymous, ok := strings.CutSuffix(c, "!"); ok {
						want = append(want, anonymous)
					} else {
						want = append(want, c+creds)
					}
				}
				if asked := p.asked(); !slices.Equal(asked, want) {
					t.Errorf("%s: the proxy was asked for %q, want %q", node, asked, want)
				}
			}
		})
	}
}

func TestNodeFailsWhenTheProxyIsNotThere(t *testing.T) {
	for _, node := range nodes(t) {
		p := newProxy(t, http.HandlerFunc(echo), "")
		file := filepath.Join(t.TempDir(), "agent.mjs")
		script := call + `await call({ agent: new https.Agent() }).catch((e) => console.log(e.code));`
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		env := append(p.env(t), "HTTPS_PROXY=http://127.0.0.1:1")
		if got := program(t, env, node, file); got != "ECONNREFUSED" {
			t.Errorf("%s: got %q, want ECONNREFUSED", node, got)
		}
	}
}
