package host

import (
	"context"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/host/drift"
)

// Watch sends to out whenever this machine is no longer what the last Apply made it:
// a bridge deleted or made anew, an address gone, a link down, forwarding switched off. The
// answer to it is another Apply. out should have room for one. Watch returns when ctx is
// done, or when events cannot be had at all.
func (h *Host) Watch(ctx context.Context, out chan<- struct{}) error {
	w := drift.Watcher{
		Protocol: unix.NETLINK_ROUTE,
		Groups:   []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_NETCONF},
		Buffer:   drift.RoomForBursts,
		Concerns: h.concerns, Drifted: h.drifted, Every: 30 * time.Second, Log: h.log,
	}
	return problem("listen to network events", w.Watch(ctx, out))
}

// drifted reports whether there is anything to do; what is in the way counts, too:
// Apply says what it is.
func (h *Host) drifted(ctx context.Context) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := h.wanted.Load()
	if wanted == nil {
		return false
	}
	seen, err := h.observe(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.log.Warn("cannot look at the host", "err", err)
		}
		return false
	}
	changes, err := Plan(*wanted, seen)
	return err != nil || len(changes) > 0
}

// concerns leaves out the ports that come and go: only links called like our bridges
// matter, and every IPv4 address and forwarding setting, of which there are few.
func (h *Host) concerns(m netlink.Message) bool {
	switch m.Header.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		return true
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
	default:
		return false
	}
	wanted := h.wanted.Load()
	if wanted == nil || len(m.Data) < unix.SizeofIfInfomsg {
		return false
	}
	attrs, err := netlink.NewAttributeDecoder(m.Data[unix.SizeofIfInfomsg:])
	if err != nil {
		return true
	}
	for attrs.Next() {
		if attrs.Type() == unix.IFLA_IFNAME {
			name := attrs.String()
			return slices.ContainsFunc(*wanted, func(b Bridge) bool { return b.Name == name })
		}
	}
	return true
}
