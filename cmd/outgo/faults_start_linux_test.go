package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fullAtStart starts outgo on a full disk: without a ledger, and with one.
func fullAtStart(t *testing.T, binary string) {
	disk := newImage(t, "ext4", 512)
	bank := newCounter(t)
	data := filepath.Join(disk.root, "data")
	config := faultConfig(t, data, bank.url)
	weight := ballast{filepath.Join(disk.root, "ballast")}
	for _, order := range []string{"new.example", "old.example"} {
		weight.put(t)
		d := begin(t, data, binary, "serve", "--config", config)
		if d.running() || d.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(d.lastWords(), "no space left on device") ||
			!strings.Contains(d.lastWords(), data) || strings.Contains(d.lastWords(), "goroutine") {
			t.Fatalf("before %s outgo starts on a full disk with %v, saying %q\n%s", order, d.err, d.lastWords(), d.log)
		}
		weight.remove(t)
		d = begin(t, data, binary, "serve", "--config", config)
		if !d.running() {
			t.Fatalf("with room outgo does not start: %v\n%s", d.err, d.log)
		}
		if a := newPurse(t, d, "wide").pay(order, 100); a.status != 200 {
			t.Errorf("with room a payment is answered %+v", a)
		}
		d.kill()
	}
}

// unwritable starts outgo as a user who cannot write where it must.
func unwritable(t *testing.T, binary string) {
	if os.Geteuid() != 0 {
		lack(t, "only root can become another user; run the tests as root")
	}
	const nobody = 65534
	passable(t, binary)
	for _, c := range []struct {
		sentence string
		make     func(t *testing.T, data string)
		want     string // of the message, beside the path that is in the way
		path     string // below the data directory
	}{
		{"a data directory of somebody else's", func(t *testing.T, data string) { mkdir(t, data, 0) }, "permission denied", ""},
		{"a parent directory of somebody else's", func(*testing.T, string) {}, "permission denied", ""},
		{"a file in place of the data directory", func(t *testing.T, data string) { touch(t, data, nobody) }, "not a directory", ""},
		{"a file in place of the ledger", func(t *testing.T, data string) {
			mkdir(t, data, nobody)
			touch(t, filepath.Join(data, "ledger"), nobody)
		}, "not a directory", "ledger"},
		{"a ledger of somebody else's", func(t *testing.T, data string) {
			mkdir(t, data, nobody)
			mkdir(t, filepath.Join(data, "ledger"), 0)
		}, "permission denied", "ledger"},
		{"a directory in place of the key", func(t *testing.T, data string) {
			mkdir(t, data, nobody)
			mkdir(t, filepath.Join(data, "seal.key"), nobody)
		}, "not a regular file", "seal.key"},
		{"a file in place of the authority", func(t *testing.T, data string) {
			mkdir(t, data, nobody)
			touch(t, filepath.Join(data, "ca"), nobody)
		}, "not a directory", "ca"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			passable(t, data)
			c.make(t, data)
			startsNot(t, binary, data, nobody, c.want, filepath.Join(data, c.path))
		})
	}
	t.Run("a disk that can only be read", func(t *testing.T) {
		disk := newImage(t, "ext4", 64)
		passable(t, disk.root)
		data := filepath.Join(disk.root, "data")
		mkdir(t, data, nobody)
		if err := syscall.Mount("", disk.root, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		startsNot(t, binary, data, nobody, "read-only file system", data)
	})
}

// startsNot asserts that outgo ends at once, and says why and where.
func startsNot(t *testing.T, binary, data string, uid uint32, want, path string) {
	t.Helper()
	config := faultConfig(t, data, "http://127.0.0.1:1")
	passable(t, config)
	if err := os.Chown(config, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	d := beginAs(t, data, uid, binary, "serve", "--config", config)
	if said := d.lastWords(); d.running() || d.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said, want) || !strings.Contains(said, path) {
		t.Errorf("outgo ends with %v, saying %q; want status 1, %q and %s\n%s", d.err, said, want, path, d.log)
	}
}

// passable lets every user through to a file of the test's.
func passable(t *testing.T, file string) {
	t.Helper()
	for dir := filepath.Dir(file); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func mkdir(t *testing.T, dir string, uid int) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, file string, uid int) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, uid, uid); err != nil {
		t.Fatal(err)
	}
}
