package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/outgo/outgo"

// listed is what the go tool says of one package.
type listed struct {
	ImportPath string
	Doc        string // the first sentence of the package comment
	Imports    []string
	GoFiles    []string
	Module     *struct{ Path string }
	Standard   bool
}

// list asks the go tool for every package of the module and all they need.
func listPackages(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Doc,Imports,GoFiles,Module,Standard", module+"/...")
	var diag bytes.Buffer
	cmd.Stderr = &diag
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, diag.String())
	}
	packages := make(map[string]listed)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

// rule says what the packages at and below path may import of this module,
// beside what is below themselves. An entry that ends in "/..." stands for the
// package and all below it.
type rule struct {
	path    string
	may     []string
	because string
}

// rules are read from the top: the first whose path holds the package counts.
func rules() []rule {
	const core = "engine/spend"
	return []rule{
		{core, nil, "the vocabulary imports the standard library only"},
		{"engine/store/badgerstore", []string{"engine/store"}, "a backend knows keys and bytes, not payments"},
		{"engine/store/pgstore", []string{"engine/store"}, "a backend knows keys and bytes, not payments"},
		{"engine/store/storetest", []string{"engine/store"}, "the suite is the same for every backend"},
		{"engine/store", nil, "the contract imports the standard library only"},
		{"engine/policy", []string{core}, "policies are a pure function"},
		{"engine/budget", []string{core, "engine/store"}, "budgets are counters in a store"},
		{"engine/audit", []string{core, "engine/store"}, "the audit chain is entries in a store"},
		{"engine/notify", []string{core}, "the engine is notify's outbox, behind an interface of notify's"},
		{"engine/api", []string{"engine", core, "tokens/...", "engine/api"}, "dialects speak to the engine and to nothing behind it"},
		{"engine/console", []string{"engine", core, "tokens/..."}, "the dashboard speaks to the engine and to nothing behind it"},
		{"engine", []string{core, "engine/store", "engine/policy", "engine/budget", "engine/audit"}, "only cmd names implementations"},
		{"tokens", []string{core}, "tokens are cryptography without storage"},
		{"config", nil, "configuration knows nothing of the rest"},
		{"rails/x402", []string{core, "rails", "rails/evm"}, "rails see bytes and facts, and x402 pays on EVM chains"},
		{"rails", []string{core, "rails"}, "rails see bytes and facts, and touch no network and no engine"},
		{"proxy", []string{core, "rails/...", "tokens/seal", "proxy/..."}, "the proxy reaches the engine through its own Gate"},
		{"cmd", []string{"..."}, "cmd wires everything"},
	}
}

// owner says which packages may import a third-party module.
type owner struct {
	module string
	may    []string
}

func owners() []owner {
	return []owner{
		{"github.com/goccy/go-yaml", []string{"config"}},
		{"github.com/dgraph-io/badger", []string{"engine/store/badgerstore"}},
		{"github.com/jackc/pgx", []string{"engine/store/pgstore"}},
		{"github.com/klauspost/compress", []string{"engine"}},
		{"github.com/tidwall/btree", []string{"engine/store/badgerstore"}},
		{"github.com/tidwall/gjson", []string{"rails/..."}},
		{"github.com/ethereum/go-ethereum", []string{"rails/evm"}},
		{"github.com/elazarl/goproxy", []string{"proxy"}},
		{"github.com/valyala/fasthttp", []string{"proxy/...", "engine/api/...", "engine/console", "cmd/..."}},
		{"github.com/spf13/cobra", []string{"cmd/..."}},
		{"github.com/prometheus/client_golang", []string{"cmd/..."}},
		{"github.com/prometheus/common", []string{"cmd/..."}},
		{"github.com/google/cel-go", []string{"engine/policy"}},
		{"go.uber.org/zap", []string{"proxy/...", "engine/api/...", "engine/notify", "cmd/..."}},
		{"golang.org/x/term", []string{"cmd/..."}},
		{"golang.org/x/sys", []string{"proxy/...", "engine/store/badgerstore", "tokens/...", "cmd/..."}},
		{"golang.org/x/net", []string{"proxy/...", "cmd/..."}},
	}
}

// holds reports whether pattern ("a/b", or "a/b/..." with all below) has path.
func holds(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == pattern
}

func TestImportRules(t *testing.T) {
	packages := listPackages(t)
	for path, p := range packages {
		local, ours := strings.CutPrefix(path, module+"/")
		if !ours || strings.HasPrefix(local, "examples/") {
			continue
		}
		i := slices.IndexFunc(rules(), func(r rule) bool { return holds(r.path+"/...", local) })
		if i < 0 {
			t.Errorf("%s: no rule of deps_test.go is about it; the top level of the tree is fixed", local)
			continue
		}
		r := rules()[i]
		for _, imported := range p.Imports {
			if of, ours := strings.CutPrefix(imported, module+"/"); ours {
				own := holds(local+"/...", of)
				if !own && !slices.ContainsFunc(r.may, func(pattern string) bool { return holds(pattern, of) }) {
					t.Errorf("%s imports %s, but of this module it may import only %v: %s", local, of, r.may, r.because)
				}
				continue
			}
			if dep, known := packages[imported]; known && !dep.Standard {
				checkOwner(t, local, dep)
			}
		}
	}
}

func checkOwner(t *testing.T, local string, dep listed) {
	t.Helper()
	for _, o := range owners() {
		if !holds(o.module+"/...", dep.ImportPath) {
			continue
		}
		if !slices.ContainsFunc(o.may, func(pattern string) bool { return holds(pattern, local) }) {
			t.Errorf("%s imports %s, which belongs to %v alone", local, dep.ImportPath, o.may)
		}
		return
	}
	t.Errorf("%s imports %s, a third-party package without an owner: name one in deps_test.go", local, dep.ImportPath)
}

func TestEveryPackageHasAManual(t *testing.T) {
	for path, p := range listPackages(t) {
		local, ours := strings.CutPrefix(path, module)
		if !ours || len(p.GoFiles) == 0 || local != "" && local[0] != '/' {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", path)
		}
	}
}

func TestRulesHold(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"engine", "engine", true}, {"engine", "engine/spend", false}, {"engine/...", "engine/spend", true},
		{"engine/...", "engine", true}, {"engine/...", "engines", false}, {"...", "anything", true},
	} {
		if got := holds(c.pattern, c.path); got != c.want {
			t.Errorf("holds(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}
