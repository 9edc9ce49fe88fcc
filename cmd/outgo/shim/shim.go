// Package shim makes a program's payment calls come through outgo without a
// change to the program. Most clients need no more than variables: where the
// proxy is, and which authority to trust (environ.go). Two families need code:
// Node, whose SDKs bring agents that ignore the proxy variables, gets a preload by
// NODE_OPTIONS, and Python, whose SDKs bring certificate bundles of their own, gets
// a sitecustomize by PYTHONPATH. Write puts both in place, Environ names them, and
// render.go prints the variables for a shell.
//
// All of this is cooperative: a program that clears its environment is no longer
// under it. Containment is the network's work.
package shim

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed node/outgo-preload.cjs
var nodePreload []byte

//go:embed python/sitecustomize.py
var pythonSite []byte

// Paths are where Write put the shims, absolute.
type Paths struct {
	NodePreload string // a file for Node's --require
	PythonDir   string // a directory for PYTHONPATH
}

// Write puts the shims into dir, which it makes with mode 0700 if it is not there.
// Files that are there already with the same content are left alone; others are
// replaced in one step, so that a program that starts meanwhile reads the old or
// the new one.
func Write(dir string) (Paths, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Paths{}, fmt.Errorf("find shim directory: %w", err)
	}
	p := Paths{NodePreload: filepath.Join(dir, "outgo-preload.cjs"), PythonDir: filepath.Join(dir, "python")}
	if err := os.MkdirAll(p.PythonDir, 0o700); err != nil {
		return Paths{}, fmt.Errorf("make shim directory: %w", err)
	}
	for name, content := range map[string][]byte{
		p.NodePreload: nodePreload,
		filepath.Join(p.PythonDir, "sitecustomize.py"): pythonSite,
	} {
		if err := replace(name, content); err != nil {
			return Paths{}, fmt.Errorf("write shim: %w", err)
		}
	}
	return p, nil
}

func replace(name string, content []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".shim-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // of no effect once it is renamed
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
