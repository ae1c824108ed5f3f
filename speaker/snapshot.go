package speaker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/belfry-lb/belfry/internal/kube"
)

const (
	snapshotFile = "snapshot"
	// snapshotMagic is the first line with a digest of the rest; its number is the format's.
	snapshotMagic = "belfry speaker snapshot 1 %x\n"
	// snapshotPause is the least time between two writes; they take one part in snapshotShare of the time at most.
	snapshotPause = time.Second
	snapshotShare = 50
)

// snapshot is what the caches held, for a speaker that is restarted while the API server is away. It holds secrets, and
// lives where nothing reaches a disk.
type snapshot struct {
	taken time.Time
	keys  [][]byte // the gossip keys held, the one that encrypts first
	lists map[string]client.ObjectList
}

// stored is a snapshot in its file.
type stored struct {
	Taken time.Time                  `json:"taken"`
	Node  string                     `json:"node"`
	Keys  [][]byte                   `json:"keys"`
	Lists map[string]json.RawMessage `json:"lists"` // by group, version and kind of the objects
}

// newLists returns empty lists for all that a speaker reads from caches, by kind.
func newLists(scheme *runtime.Scheme) (map[string]client.ObjectList, error) {
	lists := map[string]client.ObjectList{}
	for _, o := range cached() {
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

// takeSnapshot reads the caches. Services that are not announced, and their endpoints, are left out.
func takeSnapshot(ctx context.Context, reader client.Reader, scheme *runtime.Scheme, classes kube.Classes) (*snapshot, error) {
	lists, err := newLists(scheme)
	if err != nil {
		return nil, err
	}
	s := &snapshot{taken: time.Now(), lists: lists}
	for _, l := range lists {
		if err := reader.List(ctx, l, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing %T: %w", l, err)
		}
	}
	s.reduce(classes)
	return s, nil
}

func (s *snapshot) reduce(classes kube.Classes) {
	kept := map[types.NamespacedName]bool{}
	for _, l := range s.lists {
		if l, ok := l.(*corev1.ServiceList); ok {
			l.Items = filter(l.Items, func(o *corev1.Service) bool { return announced(classes, o) || leaves(classes, o) })
			for i := range l.Items {
				kept[client.ObjectKeyFromObject(&l.Items[i])] = true
			}
		}
	}
	for _, l := range s.lists {
		if l, ok := l.(*discoveryv1.EndpointSliceList); ok {
			l.Items = filter(l.Items, func(o *discoveryv1.EndpointSlice) bool { return kept[serviceOf(o)] })
		}
	}
}

func filter[T any](in []T, keep func(*T) bool) (out []T) {
	for i := range in {
		if keep(&in[i]) {
			out = append(out, in[i])
		}
	}
	return out
}

func (s *snapshot) encode(node string) ([]byte, error) {
	f := stored{Taken: s.taken, Node: node, Keys: s.keys, Lists: map[string]json.RawMessage{}}
	for kind, l := range s.lists {
		raw, err := json.Marshal(l)
		if err != nil {
			return nil, fmt.Errorf("encoding %T: %w", l, err)
		}
		f.Lists[kind] = raw
	}
	body, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, snapshotMagic, sha256.Sum256(body)), body...), nil
}

var (
	errForeignSnapshot = errors.New("it is of another version, or none")
	errBrokenSnapshot  = errors.New("it is cut off or broken")
)

func decodeSnapshot(b []byte, node string, scheme *runtime.Scheme) (*snapshot, error) {
	first, body, _ := bytes.Cut(b, []byte("\n"))
	var sum []byte
	if _, err := fmt.Sscanf(string(first)+"\n", snapshotMagic, &sum); err != nil {
		return nil, errForeignSnapshot
	}
	if is := sha256.Sum256(body); !bytes.Equal(is[:], sum) {
		return nil, errBrokenSnapshot
	}
	var f stored
	if err := json.Unmarshal(body, &f); err != nil {
		return nil, err
	}
	if f.Node != node {
		return nil, fmt.Errorf("it is of node %s", f.Node)
	}
	lists, err := newLists(scheme)
	if err != nil {
		return nil, err
	}
	for kind, l := range lists {
		raw, ok := f.Lists[kind]
		if !ok {
			return nil, fmt.Errorf("it lacks %s: %w", kind, errForeignSnapshot)
		}
		if err := json.Unmarshal(raw, l); err != nil {
			return nil, fmt.Errorf("reading %s: %w", kind, err)
		}
	}
	return &snapshot{taken: f.Taken, keys: f.Keys, lists: lists}, nil
}

// loadSnapshot returns nil where there is none that can be used; one that is there and cannot be is worth a line.
func loadSnapshot(dir, node string, scheme *runtime.Scheme, log logr.Logger) *snapshot {
	if dir == "" {
		return nil
	}
	b, err := fs.ReadFile(os.DirFS(dir), snapshotFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var s *snapshot
	if err == nil {
		s, err = decodeSnapshot(b, node, scheme)
	}
	if err != nil {
		log.Info("The snapshot of this node's last speaker cannot be used", "node", node, "reason", err.Error())
		return nil
	}
	return s
}

// writeSnapshot replaces the file at once: whoever reads finds the old one or the new one.
func writeSnapshot(dir string, b []byte) error {
	path := filepath.Join(dir, snapshotFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Get implements client.Reader.
func (s *snapshot) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	for _, l := range s.lists {
		items := reflect.ValueOf(l).Elem().FieldByName("Items")
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
		from, to := reflect.ValueOf(l).Elem().FieldByName("Items"), reflect.ValueOf(into).Elem().FieldByName("Items")
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
