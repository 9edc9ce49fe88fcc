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

// python returns the interpreter, resolved, so that no launcher rewrites its
// environment.
func python(t *testing.T) string {
	t.Helper()
	launcher, err := exec.LookPath("python3")
	if err != nil {
		lacking(t, "python3 is not on PATH: install Python 3.8 or later (https://www.python.org)")
	}
	out, err := exec.Command(launcher, "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Fatalf("find the interpreter behind %s: %v", launcher, err)
	}
	return strings.TrimSpace(string(out))
}

func TestPythonProgramsComeThroughTheProxy(t *testing.T) {
	const bundled = `
import os, ssl, sys, urllib.request
# A bundle that knows nothing of the proxy's authority, as an SDK brings one.
own = os.path.join(os.path.dirname(__file__), "bundle.pem")
`
	for sentence, tc := range map[string]struct {
		needs, script, want string
	}{
		"with urllib": {"", `print(urllib.request.urlopen("https://pay.example/a").read().decode())`, "GET pay.example/a 0 false"},
		"with urllib and a bundle of the SDK's own": {"",
			`print(urllib.request.urlopen("https://pay.example/a", context=ssl.create_default_context(cafile=own)).read().decode())`,
			"GET pay.example/a 0 false"},
		"with a context that was made by hand": {"", `c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
c.set_default_verify_paths()
print(urllib.request.urlopen("https://pay.example/a", context=c).read().decode())`, "GET pay.example/a 0 false"},
		"with requests and verify=path, as stripe-python calls it": {"requests", `import requests
print(requests.post("https://pay.example/a", data="abc", verify=own).text)`, "POST pay.example/a 3 false"},
		"with httpx and a bundle of the SDK's own": {"httpx", `import httpx
print(httpx.get("https://pay.example/a", timeout=20).text)
with httpx.Client(verify=own, timeout=20) as c: print(c.get("https://pay.example/a").text)`,
			"GET pay.example/a 0 false | GET pay.example/a 0 false"},
		"with aiohttp": {"aiohttp", `import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession() as s:
        async with s.get("https://pay.example/a") as r: print(await r.text())
    print(aiohttp.ClientSession.__init__.__name__, aiohttp.ClientSession(trust_env=False)._trust_env)
asyncio.run(main())`, "GET pay.example/a 0 false | __init__ False"},
		"with stripe-python": {"stripe", `import stripe
stripe.api_key = "sk_test_1"; stripe.max_network_retries = 0
try: stripe.PaymentIntent.create(amount=1200, currency="usd")
except getattr(stripe, "error", stripe).APIError as e: print("POST api.stripe.com/v1/payment_intents 24" in str(e))`, "True"},
	} {
		t.Run(sentence, func(t *testing.T) {
			py := python(t)
			path := os.Getenv("PYTHONPATH")
			if tc.needs != "" {
				probe := exec.Command(py, "-c", "import "+tc.needs)
				if out, err := probe.CombinedOutput(); err != nil {
					lacking(t, py+" has no "+tc.needs+": pip install "+tc.needs+" ("+lastLine(out)+")")
				}
			}
			p := newProxy(t, http.HandlerFunc(echo), "")
			dir := t.TempDir()
			file := filepath.Join(dir, "agent.py")
			other := newProxy(t, http.HandlerFunc(echo), "") // whose authority the SDK's bundle holds
			bundle, err := os.ReadFile(other.ca)
			if err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string][]byte{file: []byte(bundled + tc.script + "\n"), filepath.Join(dir, "bundle.pem"): bundle} {
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := strings.ReplaceAll(program(t, p.env(t, "PYTHONPATH="+path), py, "-W", "ignore", file), "\n", " | ")
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			for _, asked := range p.asked() {
				if !strings.HasSuffix(asked, ":443 agent:to:ken") {
					t.Errorf("the proxy was asked for %q", asked)
				}
			}
			if len(p.asked()) == 0 {
				t.Error("the proxy was not asked")
			}
		})
	}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

func TestPythonStartsWhatever(t *testing.T) {
	py := python(t)
	paths, err := Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	site := t.TempDir()
	if err := os.WriteFile(filepath.Join(site, "sitecustomize.py"), []byte("import os; os.environ['SITE'] = __file__\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "gone.pem")
	for sentence, tc := range map[string]struct {
		env          []string
		script, want string
	}{
		"the site's own sitecustomize runs": {[]string{"PYTHONPATH=" + paths.PythonDir + ":" + site},
			"import os, sitecustomize; print(os.environ['SITE'] == sitecustomize.__file__)", "True"},
		"without an authority":                      {[]string{"PYTHONPATH=" + paths.PythonDir}, "import ssl; print(1)", "1"},
		"with an authority that is gone, TLS works": {[]string{"PYTHONPATH=" + paths.PythonDir, "OUTGO_SHIM_CA=" + missing}, "import ssl; ssl.create_default_context(); print(1)", "1"},
		"a bundle that is gone is still an error": {[]string{"PYTHONPATH=" + paths.PythonDir, "OUTGO_SHIM_CA=" + missing},
			"import ssl\ntry: ssl.create_default_context(cafile='/nowhere.pem')\nexcept FileNotFoundError: print(1)", "1"},
		"ssl is not loaded for those who do not use it": {[]string{"PYTHONPATH=" + paths.PythonDir, "OUTGO_SHIM_CA=" + missing},
			"import sys; print('ssl' in sys.modules)", "False"},
		"listed twice": {[]string{"PYTHONPATH=" + paths.PythonDir + ":" + paths.PythonDir}, "import ssl; print(1)", "1"},
	} {
		t.Run(sentence, func(t *testing.T) {
			env := slices.Concat([]string{"PATH=" + os.Getenv("PATH")}, tc.env)
			cmd := exec.CommandContext(t.Context(), py, "-c", tc.script)
			cmd.Env = env
			out, err := cmd.CombinedOutput() // nothing on standard error either
			if got := strings.TrimSpace(string(out)); err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}
