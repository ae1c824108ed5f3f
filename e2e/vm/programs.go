package vm

import (
	"debug/elf"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// where the guest's loader looks for libraries, and where they are here.
const guestLibraries = "lib/x86_64-linux-gnu"

// libraries adds to files what a program needs to start, and where it is here: in the packages or on this machine.
func libraries(root, program string, files map[string]string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		loader, err := io.ReadAll(p.Open())
		if err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		name := strings.TrimRight(string(loader), "\x00")
		files[strings.TrimPrefix(name, "/")] = name
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	for _, name := range needed {
		in := path.Join(guestLibraries, name)
		if files[in] != "" || strings.HasPrefix(name, "ld-linux") {
			continue
		}
		if files[in], err = library(root, name); err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		if err := libraries(root, files[in], files); err != nil {
			return err
		}
	}
	return nil
}

func library(root, name string) (string, error) {
	for _, dir := range []string{root, "/"} {
		for _, sub := range []string{"usr/" + guestLibraries, guestLibraries} {
			if file := filepath.Join(dir, sub, name); exists(file) {
				return file, nil
			}
		}
	}
	return "", fmt.Errorf("library %s: %w", name, os.ErrNotExist)
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// folders lists those that files are in, each after the one that it is in, and more.
func folders(files iter.Seq[string], more ...string) []string {
	for file := range files {
		for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
			more = append(more, dir)
		}
	}
	slices.Sort(more)
	return slices.Compact(more)
}
