package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// An image is a file system in a file, on a loop device, whose power can be cut.
type image struct {
	kind    string // "ext4", "xfs" or, without a file and with no power to cut, "tmpfs"
	device  string
	options string
	root    string // where it is mounted, when it is
	on      bool
}

// shutdown is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, which are one number, and
// noLogFlush their flag to drop everything that was not synced.
const (
	shutdown   = 0x8004587d
	noLogFlush = 2
)

// newImage makes a file system of so many MiB and mounts it. Device and mount end
// with the test, whatever becomes of it.
func newImage(t *testing.T, kind string, mib int) *image {
	t.Helper()
	if os.Geteuid() != 0 {
		lack(t, "only root can mount file systems; run the tests as root")
	}
	if kind == "tmpfs" {
		i := &image{kind: kind, device: "tmpfs", options: fmt.Sprintf("size=%dm", mib), root: t.TempDir()}
		i.mount(t)
		t.Cleanup(func() { i.unmount(t) })
		return i
	}
	mkfs := need(t, "mkfs."+kind, "apt-get install e2fsprogs xfsprogs")
	need(t, "losetup", "apt-get install mount")
	dir := t.TempDir()
	file := filepath.Join(dir, kind+".img")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, int64(mib)<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", file).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.%s: %v\n%s", kind, err, out)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		lack(t, "there is no loop device to be had (%v: %s); run the tests where /dev/loop-control can be used", err, out)
	}
	i := &image{kind: kind, device: strings.TrimSpace(string(out)), root: filepath.Join(dir, "mnt")}
	t.Cleanup(func() {
		i.unmount(t)
		if out, err := exec.Command("losetup", "--detach", i.device).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v\n%s", i.device, err, out)
		}
	})
	if err := os.Mkdir(i.root, 0o700); err != nil {
		t.Fatal(err)
	}
	i.mount(t)
	return i
}

// mount mounts the image, which replays its journal.
func (i *image) mount(t *testing.T) {
	t.Helper()
	if err := syscall.Mount(i.device, i.root, i.kind, 0, i.options); err != nil {
		t.Fatalf("mount %s: %v", i.device, err)
	}
	i.on = true
}

func (i *image) unmount(t *testing.T) {
	t.Helper()
	if !i.on {
		return
	}
	if err := syscall.Unmount(i.root, 0); err != nil {
		t.Errorf("unmount %s: %v", i.root, err)
		if err := syscall.Unmount(i.root, syscall.MNT_DETACH); err != nil {
			t.Errorf("detach %s: %v", i.root, err)
		}
	}
	i.on = false
}

// cut takes the power away: from here on nothing reaches the device, not even
// what was written before and not synced.
func (i *image) cut() error {
	root, err := os.Open(i.root)
	if err != nil {
		return fmt.Errorf("open file system: %w", err)
	}
	defer root.Close()
	flags := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, root.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return fmt.Errorf("shut file system down: %w", errno)
	}
	return nil
}

// check fails the test when the file system is damaged.
func (i *image) check(t *testing.T) {
	t.Helper()
	i.unmount(t)
	argv := []string{"e2fsck", "-f", "-n", i.device}
	if i.kind == "xfs" {
		argv = []string{"xfs_repair", "-n", i.device}
	}
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) || err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	i.mount(t)
}
