package controllers

import (
	"context"
	"fmt"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// LeaseName is the Lease, in the controller's own namespace, that its replicas compete for.
const LeaseName = "belfry-controller"

// leaseLock is client-go's lock on a Lease, and tells the fence what became of it.
type leaseLock struct {
	resourcelock.Interface
	fence   *fence
	holder  string // who held the lease when it was last read or written
	leading bool   // an answer has told us that we hold it; that the lease says so may be news from a lost answer
}

// newLease returns the lock that leader election uses. The client has a timeout of its own, so that one slow answer does
// not cost the leadership.
func newLease(cfg *rest.Config, namespace string, f *fence) (*leaseLock, error) {
	cfg = rest.AddUserAgent(rest.CopyConfig(cfg), "leader-election")
	cfg.Timeout = max(f.timing.Renew/2, time.Second)
	cfg.QPS = -1
	client, err := coordinationv1.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("building the client for leader election: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("naming this replica: %w", err)
	}
	return &leaseLock{fence: f, Interface: &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: LeaseName},
		Client:     client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
	}}, nil
}

// Get reads the lease; when somebody else holds it, writing ends at once.
func (l *leaseLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil {
		l.holder = record.HolderIdentity
		if l.holder != l.Identity() {
			l.leading = false
			l.fence.bar()
		}
	}
	return record, raw, err
}

// Create makes the lease. Somebody may have deleted it under a leader, which will notice when it renews.
func (l *leaseLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	start := l.fence.now()
	if err := l.Interface.Create(ctx, record); err != nil {
		return err
	}
	l.lead(start, l.unknown())
	return nil
}

// Update takes, renews or releases the lease. It is released only when the last write has returned.
func (l *leaseLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if record.HolderIdentity != l.Identity() {
		l.fence.drain()
		l.leading = false
		return l.Interface.Update(ctx, record)
	}
	start := l.fence.now()
	if err := l.Interface.Update(ctx, record); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			l.fence.bar()
		}
		return err
	}
	l.lead(start, l.waitAfter(l.holder))
	return nil
}

// waitAfter is how long the last holder's writes may still be on their way when the lease is ours.
func (l *leaseLock) waitAfter(holder string) time.Duration {
	switch holder {
	case "": // released, after its last write
		return 0
	case l.Identity(): // taken before, by a request whose answer was lost
		return l.unknown()
	}
	return l.fence.timing.Write
}

// unknown is the wait when nobody can tell who led before: a leader may not yet have noticed that its lease is gone.
func (l *leaseLock) unknown() time.Duration { return l.fence.timing.Retry + l.fence.timing.Write }

func (l *leaseLock) lead(start time.Time, wait time.Duration) {
	if !l.leading {
		l.fence.settleFor(wait)
		l.leading, l.holder = true, l.Identity()
	}
	l.fence.extend(start)
}
