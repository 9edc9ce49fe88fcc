package shim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWriteIsPrivateAndRepeatable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "shim")
	p, err := Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	site := filepath.Join(p.PythonDir, "sitecustomize.py")
	for name, mode := range map[string]os.FileMode{dir: 0o700, p.PythonDir: 0o700, p.NodePreload: 0o644, site: 0o644} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode || !filepath.IsAbs(name) {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), mode)
		}
	}
	if err := os.WriteFile(site, []byte("old"), 0o644); err != nil { //nolint:gosec // as Write makes it
		t.Fatal(err)
	}
	before, err := os.Stat(p.NodePreload)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Write(dir); err != nil || again != p {
		t.Fatalf("again: %v, %v", again, err)
	}
	after, err := os.Stat(p.NodePreload)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("a file with the same content was replaced")
	}
	if got, err := os.ReadFile(site); err != nil || !slices.Equal(got, pythonSite) {
		t.Errorf("an old shim was not replaced: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", ".shim-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := Write(p.NodePreload); err == nil {
		t.Error("a file in the place of the directory is no error")
	}
}

var sample = Options{
	Proxy: "http://a:t@127.0.0.1:8080", CA: "/d/ca.pem", Bundle: "/d/bundle.pem", NodePreload: "/d/p.cjs", PythonDir: "/d/python",
}

func TestEnvironSaysAllThatClientsAsk(t *testing.T) {
	o := sample
	o.Base = []string{
		"HOME=/h", "OUTGO_ADMIN_KEY=secret", "OUTGO_SEAL=x", "ALL_PROXY=socks5://x", "all_proxy=y", "NO_PROXY=api.stripe.com", "https_proxy=http://old",
		"NODE_OPTIONS=--max-old-space-size=100", "PYTHONPATH=/x:/y", "JAVA_TOOL_OPTIONS=-Xmx1g", "EMPTY=",
	}
	const java = "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8080 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 -Dhttp.nonProxyHosts="
	want := []string{
		"HOME=/h", "EMPTY=",
		"AWS_CA_BUNDLE=/d/bundle.pem", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE=/d/bundle.pem", "CURL_CA_BUNDLE=/d/bundle.pem", "DENO_CERT=/d/ca.pem",
		"GIT_SSL_CAINFO=/d/bundle.pem", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=/d/bundle.pem", "HTTPLIB2_CA_CERTS=/d/bundle.pem",
		"HTTPS_PROXY=http://a:t@127.0.0.1:8080", "HTTP_PROXY=http://a:t@127.0.0.1:8080", "JAVA_TOOL_OPTIONS=-Xmx1g " + java,
		"NIX_SSL_CERT_FILE=/d/bundle.pem", "NODE_EXTRA_CA_CERTS=/d/ca.pem", "NODE_OPTIONS=--max-old-space-size=100 --require=/d/p.cjs",
		"NODE_USE_ENV_PROXY=1", "NO_PROXY=", "OUTGO_SHIM_CA=/d/ca.pem", "PIP_CERT=/d/bundle.pem", "PYTHONPATH=/d/python:/x:/y",
		"REQUESTS_CA_BUNDLE=/d/bundle.pem", "SSL_CERT_FILE=/d/bundle.pem", "http_proxy=http://a:t@127.0.0.1:8080",
		"https_proxy=http://a:t@127.0.0.1:8080", "no_proxy=",
	}
	got := Environ(o)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	again := o
	again.Base = got
	if twice := Environ(again); !slices.Equal(twice, got) {
		t.Errorf("applied to its own result:\n%s", strings.Join(twice, "\n"))
	}
}

func TestVars(t *testing.T) {
	for sentence, tc := range map[string]struct {
		change func(*Options)
		name   string
		want   string
	}{
		"a kept NO_PROXY":               {func(o *Options) { o.NoProxy = "localhost,.corp" }, "no_proxy", "localhost,.corp"},
		"a kept NO_PROXY, for Java":     {func(o *Options) { o.NoProxy = "localhost,.corp" }, "JAVA_TOOL_OPTIONS", "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8080 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 -Dhttp.nonProxyHosts=localhost|*.corp"},
		"a preload path with a space":   {func(o *Options) { o.NodePreload = `/a b/"p".cjs` }, "NODE_OPTIONS", `--require="/a b/\"p\".cjs"`},
		"PYTHONPATH that is not there":  {func(*Options) {}, "PYTHONPATH", "/d/python"},
		"PYTHONPATH with us at its end": {func(o *Options) { o.Base = []string{"PYTHONPATH=/x:/d/python"} }, "PYTHONPATH", "/d/python:/x"},
		"an option that only looks like ours": {func(o *Options) { o.Base = []string{"NODE_OPTIONS=--require=/d/p.cjs.old"} }, "NODE_OPTIONS",
			"--require=/d/p.cjs.old --require=/d/p.cjs"},
		"the last of two values counts": {func(o *Options) { o.Base = []string{"NODE_OPTIONS=--a", "NODE_OPTIONS=--b"} }, "NODE_OPTIONS", "--b --require=/d/p.cjs"},
		"a proxy on IPv6, for Java": {func(o *Options) { o.Proxy = "http://[::1]:81" }, "JAVA_TOOL_OPTIONS",
			"-Dhttp.proxyHost=::1 -Dhttp.proxyPort=81 -Dhttps.proxyHost=::1 -Dhttps.proxyPort=81 -Dhttp.nonProxyHosts="},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := sample
			tc.change(&o)
			if got := Vars(o)[tc.name]; got != tc.want {
				t.Errorf("%s = %q, want %q", tc.name, got, tc.want)
			}
		})
	}
}

func TestRenderSurvivesAShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		lacking(t, "sh is not on PATH: install a POSIX shell")
	}
	env := map[string]string{"A": `it's $HOME "quoted" \ and a` + "\nline", "B": "", "C": "plain"}
	text, err := Render("shell", env)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), sh, "-c", `eval "$1"; printf '%s|%s|%s|%s' "$A" "$B" "$C" "${ALL_PROXY-none}"`, "sh", text)
	cmd.Env = []string{"ALL_PROXY=socks5://x"}
	out, err := cmd.Output()
	if want := env["A"] + "||plain|none"; err != nil || string(out) != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestRender(t *testing.T) {
	for sentence, tc := range map[string]struct {
		format string
		env    map[string]string
		want   string
		fails  bool
	}{
		"dotenv, bare where it may be": {"dotenv", map[string]string{"B": "http://a:t@h:1/x,y", "A": "two words $x", "C": ""}, "A='two words $x'\nB=http://a:t@h:1/x,y\nC=\n", false},
		"dotenv cannot hold a quote":   {"dotenv", map[string]string{"A": "it's"}, "", true},
		"json in order":                {"json", map[string]string{"B": "<&>", "A": `"`}, "{\n  \"A\": \"\\\"\",\n  \"B\": \"<&>\"\n}\n", false},
		"an unknown format":            {"yaml", nil, "", true},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := Render(tc.format, tc.env)
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
			if tc.format == "json" && !json.Valid([]byte(got)) {
				t.Errorf("%q is not JSON", got)
			}
		})
	}
}
