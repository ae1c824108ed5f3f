package speaker

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

const (
	snapshotFile = "snapshot"
	// snapshotForm is the form of the file. What reads another one takes it for none.
	snapshotForm = 3
	// snapshotPause is the least time between two writes; they take one part in snapshotShare of the time at most.
	snapshotPause = time.Second
	snapshotShare = 200
)

// snapshot is what the caches held, for a speaker that is restarted while the API server is away. It holds secrets, and
// lives where nothing reaches a disk.
type snapshot struct {
	taken time.Time
	keys  [][]byte // the gossip keys held, the one that encrypts first
	lists map[string]client.ObjectList
	*catalog
}

// The file is compressed JSON, a preface and then one entry after another: it lives in the container's memory, and there may
// be many objects.
type (
	preface struct {
		Form  int       `json:"belfrySpeakerSnapshot"`
		Taken time.Time `json:"taken"`
		Node  string    `json:"node"`
		Keys  [][]byte  `json:"keys"`
		Kinds []string  `json:"kinds"` // that it may hold: group, version and kind, sorted; at last joined
	}
	entry struct {
		Kind   int `json:"k"` // place among the preface's
		Object any `json:"o"`
	}
	rawEntry struct {
		Kind   int             `json:"k"`
		Object json.RawMessage `json:"o"`
	}
)

// joined stands for the kind of what is in the catalog.
const joined = "Service with EndpointSlices"

// newLists returns empty lists for all that a speaker reads from caches, by kind.
func newLists(scheme *runtime.Scheme) (map[string]client.ObjectList, error) {
	lists := map[string]client.ObjectList{}
	for _, o := range read() {
		gvk, err := apiutil.GVKForObject(o, scheme)
		if err != nil {
			return nil, err
		}
		l, err := scheme.New(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err != nil {
			return nil, err
		}
		lists[gvk.String()] = l.(client.ObjectList)
	}
	return lists, nil
}

// takeSnapshot reads the caches. Services that a speaker has nothing to do with, and their endpoints, are left out when it is
// written.
func takeSnapshot(ctx context.Context, reader client.Reader, scheme *runtime.Scheme, services *catalog) (*snapshot, error) {
	lists, err := newLists(scheme)
	if err != nil {
		return nil, err
	}
	for _, l := range lists {
		if err := reader.List(ctx, l, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing %T: %w", l, err)
		}
	}
	return &snapshot{taken: time.Now(), lists: lists, catalog: services}, nil
}

// kinds are those of the lists, and joined.
func (s *snapshot) kinds() []string { return append(slices.Sorted(maps.Keys(s.lists)), joined) }

func (s *snapshot) encode(to io.Writer, node string) error {
	zip, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return err
	}
	out := json.NewEncoder(zip)
	kinds := s.kinds()
	if err := out.Encode(preface{snapshotForm, s.taken, node, s.keys, kinds}); err != nil {
		return err
	}
	for _, r := range s.records() {
		if err := out.Encode(entry{len(kinds) - 1, r}); err != nil {
			return fmt.Errorf("encoding %s: %w", r.Service.Key, err)
		}
	}
	for i, kind := range kinds[:len(kinds)-1] {
		items := itemsOf(s.lists[kind])
		for k := range items.Len() {
			if err := out.Encode(entry{i, items.Index(k).Addr().Interface().(client.Object)}); err != nil {
				return fmt.Errorf("encoding %s: %w", kind, err)
			}
		}
	}
	return zip.Close()
}

// itemsOf is the slice of a list's objects.
func itemsOf(l client.ObjectList) reflect.Value {
	return reflect.ValueOf(l).Elem().FieldByName("Items")
}

var errForeignSnapshot = errors.New("it is of another version, or none")

func decodeSnapshot(from io.Reader, node string, scheme *runtime.Scheme) (*snapshot, error) {
	zip, err := gzip.NewReader(from)
	if err != nil {
		return nil, errors.Join(errForeignSnapshot, err)
	}
	in, first := json.NewDecoder(zip), preface{}
	lists, err := newLists(scheme)
	if err != nil {
		return nil, err
	}
	s := &snapshot{lists: lists, catalog: newCatalog()}
	switch err := in.Decode(&first); {
	case err != nil:
		return nil, errors.Join(errForeignSnapshot, err)
	case first.Form != snapshotForm || !slices.Equal(first.Kinds, s.kinds()):
		return nil, errForeignSnapshot
	case first.Node != node:
		return nil, fmt.Errorf("it is of node %s", first.Node)
	}
	for {
		var e rawEntry
		switch err := in.Decode(&e); {
		case errors.Is(err, io.EOF): // it is whole: the compression has a checksum
			s.taken, s.keys = first.Taken, first.Keys
			return s, nil
		case err != nil:
			return nil, fmt.Errorf("it is cut off or broken: %w", err)
		case e.Kind < 0 || e.Kind >= len(first.Kinds):
			return nil, errForeignSnapshot
		}
		if err := s.add(first.Kinds[e.Kind], e.Object); err != nil {
			return nil, fmt.Errorf("reading %s: %w", first.Kinds[e.Kind], err)
		}
	}
}

func (s *snapshot) add(kind string, object json.RawMessage) error {
	if kind == joined {
		var r record
		if err := json.Unmarshal(object, &r); err != nil {
			return err
		}
		if r.Service == nil {
			return errForeignSnapshot
		}
		s.file(r)
		return nil
	}
	items := itemsOf(s.lists[kind])
	o := reflect.New(items.Type().Elem())
	if err := json.Unmarshal(object, o.Interface()); err != nil {
		return err
	}
	items.Set(reflect.Append(items, o.Elem()))
	return nil
}

// loadSnapshot returns nil where there is none that can be used; one that is there and cannot be is worth a line.
func loadSnapshot(dir, node string, scheme *runtime.Scheme, log logr.Logger) *snapshot {
	if dir == "" {
		return nil
	}
	f, err := os.DirFS(dir).Open(snapshotFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var s *snapshot
	if err == nil {
		s, err = decodeSnapshot(f, node, scheme)
		_ = f.Close()
	}
	if err != nil {
		log.Info("The snapshot of this node's last speaker cannot be used", "node", node, "reason", err.Error())
		return nil
	}
	return s
}

// writeSnapshot replaces the file at once: whoever reads finds the old one or the new one.
func writeSnapshot(dir string, write func(io.Writer) error) error {
	path := filepath.Join(dir, snapshotFile)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- the operator names the folder
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Get implements client.Reader.
func (s *snapshot) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	for _, l := range s.lists {
		items := itemsOf(l)
		if items.Type().Elem() != reflect.TypeOf(into).Elem() {
			continue
		}
		for i := range items.Len() {
			if o := items.Index(i).Addr().Interface().(client.Object); client.ObjectKeyFromObject(o) == key {
				reflect.ValueOf(into).Elem().Set(reflect.ValueOf(o.DeepCopyObject()).Elem())
				return nil
			}
		}
		return apierrors.NewNotFound(schema.GroupResource{Resource: fmt.Sprintf("%T", into)}, key.String())
	}
	return fmt.Errorf("the snapshot has no %T", into)
}

// List implements client.Reader. It knows namespaces and selectors of labels; the objects are shared.
func (s *snapshot) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(opts)
	for _, l := range s.lists {
		if reflect.TypeOf(l) != reflect.TypeOf(into) {
			continue
		}
		from, to := itemsOf(l), itemsOf(into)
		to.SetZero()
		for i := range from.Len() {
			if selected(from.Index(i).Addr().Interface().(client.Object), o) {
				to.Set(reflect.Append(to, from.Index(i)))
			}
		}
		return nil
	}
	return fmt.Errorf("the snapshot has no %T", into)
}

func selected(o client.Object, by *client.ListOptions) bool {
	return (by.Namespace == "" || by.Namespace == o.GetNamespace()) &&
		(by.LabelSelector == nil || by.LabelSelector.Matches(labels.Set(o.GetLabels())))
}
