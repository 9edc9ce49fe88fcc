package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// input is one thing that Stripe publishes. Its digest is checked, so that the same
// commit always makes the same list.
type input struct {
	name   string // for people
	from   string // module@version, or package@version of npm
	file   string // within the module; "" for a package
	sha256 string // of the file, or of the package
}

// inputs are read in this order: an operation belongs to the first that has it.
func inputs() []input {
	const mock = "github.com/stripe/stripe-mock@v0.203.0"
	return []input{
		{"OpenAPI description, 2026-08-26.dahlia", mock, "embedded/openapi/spec3.json", "f0e0fc8fffbffda45bf5f3df59846443c1d47a3cfcbfae232eedf4743124ebee"},
		{"stripe-node, 2026-10-28.endive", "stripe@23.1.0", "", "7066de352ba7583d67228a5060b970f25720a9e587a786848d1c5a3b2d5629f1"},
		{"OpenAPI description, 2026-08-26.preview", mock, "embedded/openapi/spec3.beta.sdk.json", "ef87352a63f0cb8951f5a546764e42b8c28ee914e9e623caabb66b34e577c451"},
		{"stripe-node, public preview", "stripe@22.7.0-beta.1", "", "828118925dcbb121037bcd2efa2a59d0aa769c64c8c69e02d849ecfb2e815ae7"},
		{"stripe-node, private preview", "stripe@20.2.0-alpha.1", "", "07768045585eddf3e584b9f96f23cf3793959c9358d309c488a87232c866ec02"},
	}
}

// gather obtains every input and lists the operations of all.
func gather() (operations, error) {
	var list operations
	for i, in := range inputs() {
		found, err := in.operations()
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", in.name, in.from, err)
		}
		list = list.join(found, i > 1)
	}
	return list, nil
}

func (in input) operations() (operations, error) {
	if in.file == "" {
		archive, err := in.npm()
		if err != nil {
			return nil, err
		}
		return sdkOperations(archive)
	}
	raw, err := in.module()
	if err != nil {
		return nil, err
	}
	return specOperations(raw)
}

// module returns the file of a Go module.
func (in input) module() ([]byte, error) {
	// Outside of a module, the version asked for is the version got.
	cmd := exec.Command("go", "mod", "download", "-json", in.from) //nolint:gosec // the arguments are those of inputs
	cmd.Dir = os.TempDir()
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download: %w", err)
	}
	var got struct{ Dir string }
	if err := json.Unmarshal(out, &got); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(got.Dir, in.file))
	if err != nil {
		return nil, err
	}
	return raw, in.check(raw)
}

// npm returns the sources of a package, by path.
func (in input) npm() (map[string]string, error) {
	dir, err := os.MkdirTemp("", "gen")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)                                                                                                   //nolint:errcheck // a directory of temporary files
	if out, err := exec.Command("npm", "pack", "--silent", "--pack-destination", dir, in.from).CombinedOutput(); err != nil { //nolint:gosec // as above
		return nil, fmt.Errorf("npm pack: %w: %s", err, out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(in.from, "@", "-")+".tgz"))
	if err != nil {
		return nil, err
	}
	if err := in.check(raw); err != nil {
		return nil, err
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	sources := map[string]string{}
	for archive := tar.NewReader(unzipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return sources, nil
		} else if err != nil {
			return nil, err
		}
		if name, ok := strings.CutPrefix(h.Name, "package/esm/resources/"); ok && path.Ext(name) == ".js" {
			source, err := io.ReadAll(archive)
			if err != nil {
				return nil, err
			}
			sources[name] = string(source)
		}
	}
}

func (in input) check(raw []byte) error {
	sum := sha256.Sum256(raw)
	if got := hex.EncodeToString(sum[:]); got != in.sha256 {
		return fmt.Errorf("its SHA-256 is %s, want %s", got, in.sha256)
	}
	return nil
}
