// Package vm runs tests in a virtual machine with Debian's kernel, for what many a test machine's kernel lacks: VRF devices, bonds,
// VLANs. Nothing is installed; the kernel is emulated, so that any machine can do it.
package vm

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Machine is what a virtual machine has, besides the test.
type Machine struct {
	// Modules of the kernel, which are loaded.
	Modules []string
	// Packages of Debian, and the programs in them that are to be there, each with the libraries that it needs, as
	// usr/sbin/bird.
	Packages, Programs []string
}

// Guest builds the tests of the working directory with the build tag guest and runs TestGuest in a virtual machine, as root of an
// empty one.
func Guest(t *testing.T, m Machine) {
	t.Helper()
	root, err := Packages(append([]string{"qemu-system-x86", "busybox-static", "linux-image-cloud-amd64"}, m.Packages...)...)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "guest.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "guest", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the guest's test: %v: %s", err, out)
	}
	initramfs := filepath.Join(dir, "initramfs")
	if err := writeInitramfs(initramfs, root, binary, m); err != nil {
		t.Fatal("making the initramfs:", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	libraries := filepath.Join(root, "usr/lib/x86_64-linux-gnu") + ":" + filepath.Join(root, "lib/x86_64-linux-gnu")
	qemu := exec.CommandContext(ctx, filepath.Join(root, "usr/bin/qemu-system-x86_64"), "-accel", "tcg", "-m", "512", "-nographic",
		"-no-reboot", "-nic", "none", "-L", filepath.Join(root, "usr/share/seabios"), "-L", filepath.Join(root, "usr/share/qemu"),
		"-kernel", one(t, root, "boot/vmlinuz-*"), "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 no_timer_check")
	qemu.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries)
	out, err := qemu.CombinedOutput()
	t.Logf("the guest:\n%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: TestGuest") {
		t.Errorf("the guest: %v:\n%s", err, out)
	}
}

func one(t *testing.T, root, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: nothing, %v", pattern, err)
	}
	return found[0]
}

const guestInit = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /tmp /etc
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
%s/bin/busybox ip link set lo up
cd /tmp && /guest.test -test.run '^TestGuest$' -test.v -test.timeout 14m
/bin/busybox poweroff -f
`

// writeInitramfs writes a compressed archive with all that the guest needs.
func writeInitramfs(path, root, binary string, m Machine) error {
	var archive bytes.Buffer
	n := 0
	add := func(name string, mode int, content []byte) {
		n++
		cpio(&archive, n, name, mode, content)
	}
	loaded, err := drivers(root, m.Modules)
	if err != nil {
		return err
	}
	files := map[string]string{"bin/busybox": filepath.Join(root, "bin/busybox"), "guest.test": binary}
	for _, p := range m.Programs {
		files[p] = filepath.Join(root, p)
		if err := libraries(root, files[p], files); err != nil {
			return err
		}
	}
	for _, dir := range folders(maps.Keys(files), "dev") {
		add(dir, 0o040755, nil)
	}
	var load strings.Builder
	for i, driver := range loaded {
		file := fmt.Sprintf("%d.ko", i)
		add(file, 0o100644, driver)
		fmt.Fprintf(&load, "/bin/busybox insmod /%s\n", file)
	}
	add("init", 0o100755, fmt.Appendf(nil, guestInit, load.String()))
	for name, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		add(name, 0o100755, content)
	}
	add("TRAILER!!!", 0, nil)
	return compress(path, &archive)
}

func compress(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, r); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}

// cpio appends a file in the "newc" format of the kernel's early userspace.
func cpio(b *bytes.Buffer, inode int, name string, mode int, content []byte) {
	fmt.Fprintf(b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	b.WriteString(name + "\x00")
	pad(b)
	b.Write(content)
	pad(b)
}

func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
