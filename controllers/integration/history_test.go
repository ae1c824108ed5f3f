package integration

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestRandomHistory lets Services and reservations come, go and change their minds while writes are lost, answers are
// lost, and leaders are cut off. After each step no address is in the hands of two who may not share it, and who holds an
// address without having asked for another keeps it.
func TestRandomHistory(t *testing.T) {
	const steps, leaders = 240, 4
	clean(t)
	r := rand.New(rand.NewPCG(7, 7))
	create(t, newPool("a", "10.80.0.0/28"), newPool("b", "10.80.0.16/28"))
	leader := start(t, quietly)
	h := &history{keeps: map[types.UID]string{}, shared: map[types.UID]bool{}}
	for step := range steps {
		if step > 0 && step%(steps/leaders) == 0 {
			leader.kill()
			leader = start(t, quietly)
		}
		trouble(r, leader)
		h.step(t, r)
		h.nobodyDoubled(t)
	}
	leader.net.refuse.Store(nil)
	leader.net.loseAnswer.Store(nil)
	last := newService("history-last", asks("belfry.dev/pool", "late"))
	create(t, newPool("late", "10.80.1.0/30"), last)
	hasAddresses(t, last, "10.80.1.0")
	h.nobodyDoubled(t)
}

// trouble has one in four patches not arrive, and one in four answers not come back.
func trouble(r *rand.Rand, c *controller) {
	seed := r.Uint64()
	coin := func(salt uint64) func(*http.Request) bool {
		return func(req *http.Request) bool {
			if req.Method != http.MethodPatch {
				return false
			}
			h := seed*31 + salt
			for _, b := range []byte(req.URL.Path) {
				h = (h ^ uint64(b)) * 1099511628211
			}
			return h>>40%4 == 0
		}
	}
	refuse, lose := coin(1), coin(2)
	c.net.refuse.Store(&refuse)
	c.net.loseAnswer.Store(&lose)
}

// history is what a test must remember of the Services.
type history struct {
	keeps  map[types.UID]string // address of one that asks for nothing
	shared map[types.UID]bool   // it has ever asked to share, or for reserved addresses
}

// step creates, deletes or edits one of twelve Services or four reservations.
func (h *history) step(t *testing.T, r *rand.Rand) {
	t.Helper()
	if r.IntN(5) == 0 {
		o := newReservation(fmt.Sprintf("history-%d", r.IntN(4)), v1beta1.IPReservationSpec{})
		if r.IntN(3) == 0 {
			must(t, client.IgnoreNotFound(shared.client.Delete(t.Context(), o)))
			return
		}
		must(t, client.IgnoreAlreadyExists(shared.client.Create(t.Context(), o)))
		return
	}
	s := newService(fmt.Sprintf("history-%d", r.IntN(12)), port("TCP", int32(80+r.IntN(3))))
	if r.IntN(3) == 0 {
		must(t, client.IgnoreNotFound(shared.client.Delete(t.Context(), s)))
		return
	}
	wish := randomWish(r)
	wish(s)
	if err := shared.client.Create(t.Context(), s); err != nil {
		get(t, s)
		delete(h.keeps, s.UID)
		edit(t, s, func(o *corev1.Service) { o.Annotations = keepOurs(o.Annotations); wish(o) })
	}
	if key(s) != "" || s.Annotations["belfry.dev/reservation"] != "" {
		h.shared[s.UID] = true
	}
}

func keepOurs(annotations map[string]string) map[string]string {
	out := map[string]string{}
	for _, k := range []string{v1beta1.AnnotationAllocatedFrom, v1beta1.AnnotationReallocated} {
		if v, ok := annotations[k]; ok {
			out[k] = v
		}
	}
	return out
}

func randomWish(r *rand.Rand) func(*corev1.Service) {
	switch r.IntN(6) {
	case 0:
		return asks("belfry.dev/ips", fmt.Sprintf("10.80.0.%d", r.IntN(32)))
	case 1:
		return asks("belfry.dev/pool", []string{"a", "b", "nowhere"}[r.IntN(3)])
	case 2:
		return asks("belfry.dev/sharing-key", "k")
	case 3:
		return asks("belfry.dev/reallocate", fmt.Sprint(r.IntN(3)))
	case 4:
		return asks("belfry.dev/reservation", fmt.Sprintf("history-%d", r.IntN(4)))
	}
	return func(*corev1.Service) {}
}

// nobodyDoubled looks at one list, which the API server makes of one moment. Two who shared an address until one of them
// was edited have it together until the controller has seen that; nobody else ever.
func (h *history) nobodyDoubled(t *testing.T) {
	t.Helper()
	reserved := h.reserved(t)
	eventually(t, "those who may not share any more to part", func() error {
		holder := map[string]*corev1.Service{}
		list := services(t)
		for i := range list {
			s := &list[i]
			for _, ip := range ips(s) {
				other := holder[ip]
				switch {
				case other == nil, mayShare(other, s):
				case h.shared[s.UID] && h.shared[other.UID]:
					return fmt.Errorf("%s is held by %s and %s", ip, other.Name, s.Name)
				default:
					t.Fatalf("%s is held by %s and %s, and they never shared it", ip, other.Name, s.Name)
				}
				holder[ip] = s
			}
		}
		for i := range list {
			h.keptBy(t, &list[i], reserved)
		}
		return nil
	})
}

// keptBy checks that a Service that asks for nothing has the address that it had. Whoever ever shared or took a reserved
// one may have to leave it.
func (h *history) keptBy(t *testing.T, s *corev1.Service, reserved map[string]bool) {
	t.Helper()
	held := strings.Join(ips(s), " ")
	if held == "" || h.shared[s.UID] || reserved[held] || len(keepOurs(s.Annotations)) != len(s.Annotations) {
		return
	}
	if was := h.keeps[s.UID]; was != "" && was != held {
		t.Fatalf("%s had %s, has %s", s.Name, was, held)
	}
	h.keeps[s.UID] = held
}

func (h *history) reserved(t *testing.T) map[string]bool {
	t.Helper()
	var list v1beta1.IPReservationList
	must(t, shared.client.List(t.Context(), &list))
	out := map[string]bool{}
	for _, r := range list.Items {
		for _, a := range r.Status.Addresses {
			out[a] = true
		}
	}
	return out
}

func mayShare(a, b *corev1.Service) bool {
	return key(a) != "" && key(a) == key(b) && a.Spec.Ports[0].Port != b.Spec.Ports[0].Port
}

func key(s *corev1.Service) string { return s.Annotations["belfry.dev/sharing-key"] }
