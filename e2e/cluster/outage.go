package cluster

import (
	"context"
	"errors"
	"fmt"
)

// StopAPIServer kills the API server. Nodes, pods and the other programs of the control plane live on.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	err := c.change(ctx, 1, func(rec *record) error {
		p := rec.Processes["kube-apiserver"]
		if !p.alive() {
			return errors.New("it is off")
		}
		return kill(ctx, []process{p})
	})
	if err != nil {
		return fmt.Errorf("stopping the API server: %w", err)
	}
	return nil
}

// StartAPIServer starts the API server again, after StopAPIServer, and waits until it is ready. It does nothing to one that
// runs.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	err := c.change(ctx, 1, func(rec *record) error {
		if rec.Processes["kube-apiserver"].alive() {
			return nil
		}
		if err := c.startDaemon(rec, apiserver(rec.plan(), rec.StateDir)); err != nil {
			return err
		}
		if rec.Detached {
			rec.Owner = rec.Processes["kube-apiserver"]
		}
		return c.waitAPI(ctx, rec)
	})
	if err != nil {
		return fmt.Errorf("starting the API server: %w", err)
	}
	return nil
}
