package vm

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// drivers returns modules of the kernel below root, each after those that it depends on.
func drivers(root string, names []string) (ordered [][]byte, err error) {
	files := map[string]string{}
	err = filepath.WalkDir(filepath.Join(root, "lib/modules"), func(path string, _ fs.DirEntry, err error) error {
		if name, is := strings.CutSuffix(filepath.Base(path), ".ko"); is {
			files[plain(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	var load func(name string) error
	load = func(name string) error {
		if done[name] {
			return nil
		}
		done[name] = true
		content, err := os.ReadFile(files[name])
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		for _, d := range dependencies(content) {
			if err := load(d); err != nil {
				return err
			}
		}
		ordered = append(ordered, content)
		return nil
	}
	for _, name := range names {
		if err := load(plain(name)); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// dependencies reads what a module says of itself, for the package's index of them is made only when it is installed.
func dependencies(module []byte) (names []string) {
	_, rest, found := bytes.Cut(module, []byte("\x00depends="))
	if !found {
		return nil
	}
	list, _, _ := bytes.Cut(rest, []byte{0})
	for name := range strings.SplitSeq(string(list), ",") {
		if name != "" {
			names = append(names, plain(name))
		}
	}
	return names
}

// plain: files and modules write one name in two ways.
func plain(name string) string { return strings.ReplaceAll(name, "-", "_") }
