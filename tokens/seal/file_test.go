package seal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestLoadMakesAKeyOnceAndKeepsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "outgo")
	path := filepath.Join(dir, "seal.key")
	first, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(first.Seal([]byte("x"), "k"), "k"); err != nil || string(got) != "x" {
		t.Errorf("a second Load gives another key: %q, %v", got, err)
	}
	other, err := Load(filepath.Join(dir, "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest("l") == other.Digest("l") {
		t.Error("two new keys are equal")
	}
	for name, want := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 2 {
		t.Errorf("the directory holds %v (%v), want the two keys alone", names, err)
	}
}

func TestLoadersThatMeetGetOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	digests := make([]string, 16)
	var wg sync.WaitGroup
	for i := range digests {
		wg.Go(func() {
			k, err := Load(path)
			if err != nil {
				t.Error(err)
				return
			}
			digests[i] = k.Digest("l")
		})
	}
	wg.Wait()
	for _, d := range digests {
		if d != digests[0] {
			t.Fatal("two loaders got different keys")
		}
	}
}

func TestCreateNeverReplacesAKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	want := bytes.Repeat([]byte("k"), Size)
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over an existing key = %v, want fs.ErrExist", err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) { //nolint:gosec // the test's own path
		t.Errorf("the key was replaced (%v)", err)
	}
}

func TestLoadRefusesWhatIsNoPrivateKeyFile(t *testing.T) {
	secret := strings.Repeat("S", Size)
	for _, c := range []struct {
		sentence string
		content  string
		mode     os.FileMode
		want     string // "" = it loads
	}{
		{"private", secret, 0o600, ""},
		{"private and read-only", secret, 0o400, ""},
		{"readable by its group", secret, 0o640, "chmod 600"},
		{"readable by all", secret, 0o644, "chmod 600"},
		{"writable by others", secret, 0o602, "chmod 600"},
		{"empty", "", 0o600, "has 0 bytes"},
		{"too short", secret[1:], 0o600, "has 31 bytes"},
		{"too long", secret + "\n", 0o600, "has 33 bytes"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if runtime.GOOS == "windows" && c.want == "chmod 600" {
				t.Skip("Windows keeps no modes: run this on Linux or macOS")
			}
			path := filepath.Join(t.TempDir(), "seal.key")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			if c.want == "" {
				if err != nil {
					t.Errorf("Load = %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("Load = %v, want an error with %q and the path", err, c.want)
			}
			if strings.Contains(err.Error(), "SSS") {
				t.Errorf("the error shows the key: %v", err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != c.content { //nolint:gosec // the test's own path
				t.Errorf("Load changed the file it refused (%v)", err)
			}
		})
	}
	t.Run("a directory", func(t *testing.T) {
		if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("Load = %v, want an error that says what it is", err)
		}
	})
	t.Run("below a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(filepath.Join(file, "seal.key")); err == nil {
			t.Error("Load gave no error")
		}
	})
}
