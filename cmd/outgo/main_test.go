package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// testTime is the present of tests.
var testTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestEveryCommandHasAnExampleAndAShortText(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		if c.Example == "" || c.Short == "" || !strings.Contains(c.Example, "outgo") {
			t.Errorf("%s: example %q, short text %q", c.CommandPath(), c.Example, c.Short)
		}
		if !c.Runnable() {
			t.Errorf("%s does nothing", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&options{}))
}

func TestExitStatuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("lisen: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   string
		status int
		stderr string
	}{
		"done":                            {"version", 0, ""},
		"help is a result":                {"explain --help", 0, ""},
		"nothing to do":                   {"", 2, "say what to do: "},
		"an unknown command":              {"spend", 2, `unknown command "spend"`},
		"an unknown subcommand":           {"ca prnt", 2, `unknown command "prnt" for "outgo ca"`},
		"a group alone":                   {"ca", 2, "say what to do: bundle, path, print, rotate"},
		"an unknown flag":                 {"version --loud", 2, "unknown flag: --loud"},
		"an argument too many":            {"version now", 2, `unknown command "now"`},
		"a time that is none":             {"explain --at noon", 2, `--at "noon" is not a time`},
		"a setting that is none":          {"check --set listen.proxy", 2, `--set "listen.proxy" is not field=value`},
		"a format that is none":           {"env --format xml", 2, "xml"},
		"a file that is not there":        {"check --config /nonexistent/outgo.yaml", 1, "/nonexistent/outgo.yaml"},
		"a configuration with a mistake":  {"check --config " + bad, 1, bad + `:1:1: lisen: unknown field; did you mean "listen"?`},
		"a setting with a mistake":        {"check --set listen.proxy=x", 1, "--set listen.proxy: listen.proxy: "},
		"explain without a configuration": {"explain --config /nonexistent/outgo.yaml", 1, "/nonexistent/outgo.yaml"},
		"nobody to ask about health":      {"healthcheck --set listen.control=127.0.0.1:1", 1, "health of 127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, status := outgo(t, "", strings.Fields(c.args)...)
			if status != c.status || !strings.Contains(stderr, c.stderr) {
				t.Errorf("status %d with %q, want %d with %q", status, stderr, c.status, c.stderr)
			}
			if (status == 0) != (stdout != "") {
				t.Errorf("standard output is %q", stdout)
			}
		})
	}
}

func TestHealthcheck(t *testing.T) {
	for name, c := range map[string]struct {
		answer, status int
	}{
		"a listener that is well":   {http.StatusOK, 0},
		"a listener that is not":    {http.StatusServiceUnavailable, 1},
		"a listener that redirects": {http.StatusFound, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/healthz" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.WriteHeader(c.answer)
			})}
			go srv.Serve(ln) //nolint:errcheck // it ends with the test
			defer srv.Close()
			_, port, _ := net.SplitHostPort(ln.Addr().String()) // the listener's own address
			t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
			_, stderr, status := outgo(t, "", "healthcheck", "--set", "listen.control=0.0.0.0:"+port)
			if status != c.status {
				t.Errorf("status %d, want %d: %s", status, c.status, stderr)
			}
		})
	}
}

func TestCheckReportsAsJSON(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("listen: {proxy: x}\npolicies: [{name: p}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := outgo(t, "", "check", "--json", "--config", bad)
	var report struct {
		OK       bool
		Problems []struct {
			File, Field, Problem, Remedy string
			Line, Column                 int
		}
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || status != 1 || stderr != "" || report.OK {
		t.Fatalf("status %d, %v: %s%s", status, err, stdout, stderr)
	}
	if len(report.Problems) != 2 || report.Problems[0].Field != "listen.proxy" || report.Problems[0].Line != 1 ||
		report.Problems[0].Column != 17 || report.Problems[1].Field != "policies[0].unit" || report.Problems[0].File != bad {
		t.Errorf("got %+v", report.Problems)
	}
}

func TestConfigOfTheWorkingDirectoryIsRead(t *testing.T) {
	t.Chdir(t.TempDir())
	if stdout, _, _ := outgo(t, "", "check"); !strings.Contains(stdout, "the defaults (there is no outgo.yaml)") {
		t.Errorf("without a file: %s", stdout)
	}
	if err := os.WriteFile(defaultConfig, []byte("policies: [{name: p, unit: USD}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, _, _ := outgo(t, "", "check"); stdout != "outgo.yaml: valid, 1 of 1 policies active\n" {
		t.Errorf("with a file: %s", stdout)
	}
}
