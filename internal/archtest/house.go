package archtest

import (
	"slices"
	"strings"
)

const module = "github.com/belfry-lb/belfry"

// room is a directory with all that is below it, down to the next room.
type room struct {
	path  string
	floor int
	kind  kind
	// sideways: rooms of the same floor may import it.
	sideways bool
	// aid: the tests of any room may import it.
	aid bool
}

type kind uint8

const (
	ordinary kind = iota
	types         // only the machinery of API types
	pure          // no client, socket, file, clock, goroutine, lock, logger or metric
	wire          // one protocol: nothing of ours, nothing of Kubernetes
	program       // may end the process
	test          // only tests and their helpers: may do as it likes
)

// house lists every room. The longest path that fits a package is its room.
func house() []room {
	return []room{
		{path: "api", floor: 0, kind: types},

		{path: "internal/spec", floor: 1, kind: pure, sideways: true},
		{path: "internal/alloc", floor: 1, kind: pure, sideways: true},
		{path: "internal/elect", floor: 1, kind: pure, sideways: true},
		{path: "internal/plan", floor: 1, kind: pure, sideways: true},
		{path: "internal/explain", floor: 1, kind: pure, sideways: true},
		{path: "internal/migrate", floor: 1, kind: pure, sideways: true},

		{path: "speaker/l2", floor: 2, kind: wire},
		{path: "speaker/bgp", floor: 2, kind: wire},
		{path: "speaker/bfd", floor: 2, kind: wire},
		{path: "speaker/discard", floor: 2, kind: wire},
		{path: "speaker/members", floor: 2, kind: wire},
		{path: "speaker/liveness", floor: 2, kind: wire},

		{path: "internal/kube", floor: 3, sideways: true},
		{path: "internal/cli", floor: 3},
		{path: "internal/selftest", floor: 3},
		{path: "controllers", floor: 3},
		{path: "speaker", floor: 3},

		{path: "cmd", floor: 4, kind: program},
		{path: "internal/release", floor: 4, kind: program},

		{path: "e2e", floor: 5, kind: test, sideways: true},
		{path: "charts", floor: 5, kind: test, sideways: true},
		{path: "docs", floor: 5, kind: test},
		{path: "internal/archtest", floor: 5, kind: test},
		{path: "internal/nettest", floor: 5, kind: test, sideways: true, aid: true},
		{path: "internal/speakertest", floor: 5, kind: test, sideways: true, aid: true},
	}
}

// roomOf returns the room of a package, given by its directory relative to the module.
func roomOf(dir string) (room, bool) {
	var best room
	for _, r := range house() {
		if within(dir, r.path) && len(r.path) > len(best.path) {
			best = r
		}
	}
	return best, best.path != ""
}

// mayImport tells whether a package of room r may import one of room o.
func (r room) mayImport(o room) bool {
	switch {
	case r.path == o.path:
		return true
	case r.kind == wire:
		return false
	case o.kind == test && r.kind != test:
		return false
	}
	return o.floor < r.floor || o.floor == r.floor && o.sideways
}

// within tells whether path is parent or below it.
func within(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

func withinAny(path string, parents ...string) bool {
	return slices.ContainsFunc(parents, func(p string) bool { return within(path, p) })
}

// kubernetes are the module paths that know Kubernetes.
func kubernetes(path string) bool {
	return withinAny(path, "k8s.io", "sigs.k8s.io")
}

// pureImports is all that pure packages may import, besides each other and api. Whatever is added here must not touch the
// world: no I/O, no clock, no goroutine, no lock.
func pureImports(path string) bool {
	switch path {
	case "bytes", "cmp", "container/heap", "container/list", "encoding/base64", "encoding/binary", "encoding/hex",
		"encoding/json", "errors", "fmt", "hash/crc32", "hash/fnv", "hash/maphash", "iter", "maps", "math", "math/big", "math/bits",
		"net/netip", "path", "reflect", "regexp", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
		"crypto/sha256", "embed", "text/tabwriter", "text/template", "sigs.k8s.io/yaml":
		return true
	}
	return withinAny(path, "k8s.io/api") || within(path, "k8s.io/apimachinery") && !withinAny(path,
		"k8s.io/apimachinery/pkg/util/wait", "k8s.io/apimachinery/pkg/util/rand", "k8s.io/apimachinery/pkg/util/runtime",
		"k8s.io/apimachinery/pkg/util/net", "k8s.io/apimachinery/pkg/util/uuid", "k8s.io/apimachinery/pkg/watch")
}

// typeImports is all that API types may import.
func typeImports(path string) bool {
	return withinAny(path, "k8s.io/api", "k8s.io/apimachinery")
}

// gobgp is imported by one room only, which hides it from all the others.
const (
	gobgp     = "github.com/osrg/gobgp"
	gobgpRoom = "speaker/bgp"
)

// impure are functions of allowed packages that touch the world all the same, by package path.
func impure(path string) []string {
	switch path {
	case "time":
		return []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTicker", "NewTimer"}
	case "k8s.io/apimachinery/pkg/apis/meta/v1":
		return []string{"Now", "NowMicro"}
	case "fmt":
		return []string{"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"}
	}
	return nil
}
