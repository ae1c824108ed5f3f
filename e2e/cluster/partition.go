//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// island is the second bridge of a LAN that is divided.
const island = "br1"

// Partition divides the LAN: the named hosts reach each other and nobody else, and nobody reaches them, until Heal. No host sees
// its carrier go.
func (c *Cluster) Partition(ctx context.Context, hosts ...string) error {
	err := c.change(ctx, 1, func(*record) error {
		return c.rewire(func(nl *netlink.Handle) error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = island
			if err := nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
				return err
			}
			if err := setUp(nl, island); err != nil {
				return err
			}
			for _, h := range hosts {
				if err := plugIn(nl, portName(h), island); err != nil {
					return fmt.Errorf("moving %s: %w", h, err)
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("dividing the LAN: %w", err)
	}
	return nil
}

// Heal undoes Partition. It does nothing to a LAN that is whole.
func (c *Cluster) Heal(ctx context.Context) error {
	err := c.change(ctx, 1, func(rec *record) error {
		return c.rewire(func(nl *netlink.Handle) error {
			second, err := nl.LinkByName(island)
			if errors.As(err, &netlink.LinkNotFoundError{}) {
				return nil
			}
			if err != nil {
				return err
			}
			for _, h := range rec.lanHosts() {
				port, err := nl.LinkByName(portName(h.name))
				if err != nil {
					return err
				}
				if port.Attrs().MasterIndex != second.Attrs().Index {
					continue
				}
				if err := setMaster(nl, port, bridge); err != nil {
					return fmt.Errorf("moving %s: %w", h.name, err)
				}
			}
			return nl.LinkDel(second)
		})
	})
	if err != nil {
		return fmt.Errorf("joining the LAN again: %w", err)
	}
	return nil
}

// rewire changes the switch.
func (c *Cluster) rewire(do func(*netlink.Handle) error) error {
	lan, err := netns.GetFromName(c.rec.plan().netns("lan"))
	if err != nil {
		return err
	}
	defer lan.Close()
	return withHandle(lan, do)
}
