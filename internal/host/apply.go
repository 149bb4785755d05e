package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// Apply makes this machine what the networks want and returns what it changed:
// nothing, when all is as it should be. The footprint is on disk before the first change. When a
// step fails, those before it are undone, so that nothing is half applied. Bridges of
// networks that are no longer configured are left alone: guests may be on them, and Down knows them.
func (h *Host) Apply(ctx context.Context, nets ipam.Networks) ([]Change, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := Wanted(nets, h.machineID)
	seen, err := h.observe(ctx)
	if err != nil {
		return nil, err
	}
	changes, err := Plan(wanted, seen)
	if err != nil {
		return nil, err
	}
	if err := h.make(ctx, changes, seen); err != nil {
		return nil, err
	}
	h.wanted.Store(&wanted)
	return changes, nil
}

// make carries the changes out, between two writes of the footprint.
func (h *Host) make(ctx context.Context, changes []Change, seen Observed) error {
	if len(changes) == 0 {
		return nil
	}
	next := seen.Record.after(changes, seen)
	if err := next.write(h.path); err != nil {
		return err
	}
	var undo []func() error
	for _, c := range changes {
		back, err := do(ctx, c, seen)
		if err == nil {
			undo = append(undo, back)
			h.log.Info("host changed", "name", c.String())
			continue
		}
		return errors.Join(err, undone(undo, h.path, seen.Record))
	}
	for i := range next.Bridges {
		b := &next.Bridges[i]
		if link, err := netlink.LinkByName(b.Name); b.Index == 0 && err == nil {
			b.Index = link.Attrs().Index
		}
	}
	return next.write(h.path)
}

// undone goes back, newest first. Only when all of it is undone may the footprint forget.
func undone(undo []func() error, path string, before Footprint) error {
	var errs error
	for _, back := range slices.Backward(undo) {
		if err := back(); err != nil {
			errs = errors.Join(errs, fmt.Errorf("undo: %w", err))
		}
	}
	if errs != nil {
		return errs
	}
	return before.write(path)
}

// do makes one change and returns how to take it back.
func do(ctx context.Context, c Change, seen Observed) (func() error, error) {
	nothing := func() error { return nil }
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch c.Action {
	case CreateBridge:
		return func() error { return deleteLink(c.Bridge) }, problem(c.String(), createBridge(c.Bridge, c.MAC))
	case SetSysctl:
		err := writeSysctl(c.Key, c.To)
		return func() error { return undoSysctl(c, seen) }, problem(c.String(), err)
	case ReclaimOwn:
		return nothing, nil
	}
	link, err := netlink.LinkByName(c.Bridge)
	if err != nil {
		return nil, problem(c.String(), err)
	}
	switch c.Action {
	case AdoptBridge:
		// Setting the address it has makes the kernel keep it; there is no way back, and no harm.
		return nothing, problem(c.String(), netlink.LinkSetHardwareAddr(link, c.MAC[:]))
	case AddAddress:
		return func() error { return delAddr(link, c.Addr) }, problem(c.String(), addAddr(link, c.Addr))
	case DropAddress:
		return func() error { return addAddr(link, c.Addr) }, problem(c.String(), delAddr(link, c.Addr))
	case BringUp:
		return func() error { return netlink.LinkSetDown(link) }, problem(c.String(), netlink.LinkSetUp(link))
	}
	return nil, fmt.Errorf("%s is no known change", c.Action)
}

// undoSysctl needs no way back for a parameter that came with a new bridge.
func undoSysctl(c Change, seen Observed) error {
	if c.From == "" {
		return nil
	}
	if err := writeSysctl(c.Key, c.From); err != nil || c.Key != forwardKey {
		return err
	}
	return restoreForwarding(Footprint{}.after([]Change{c}, seen).Sysctls[0].Forwarding)
}

// createBridge asks for everything in one message, so that no one ever sees the
// bridge with another address or with a forwarding delay.
func createBridge(name string, mac ipam.MAC) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, mac[:]))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_FORWARD_DELAY, nl.Uint32Attr(0))
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func deleteLink(name string) error { return withLink(name, netlink.LinkDel) }

func addAddr(link netlink.Link, p netip.Prefix) error {
	err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p)})
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func delAddr(link netlink.Link, p netip.Prefix) error {
	err := netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(p)})
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func isGone(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound) || errors.Is(err, unix.ENODEV)
}
