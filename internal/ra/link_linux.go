package ra

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/mdlayher/netlink"
	route "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

var errNoBridge = errors.New("there is no such bridge")

func systemKernel() kernel {
	return kernel{look: lookLink, watch: watchLink, open: openWire, hear: openEar}
}

// lookLink reads the state of a bridge.
func lookLink(bridge string) (link, error) {
	device, err := route.LinkByName(bridge)
	if errors.As(err, new(route.LinkNotFoundError)) {
		return link{}, errNoBridge
	}
	if err != nil {
		return link{}, fmt.Errorf("look at %s: %w", bridge, err)
	}
	if device.Type() != "bridge" {
		return link{}, fmt.Errorf("it is a %s, not a bridge", device.Type())
	}
	attrs := device.Attrs()
	l := link{
		index: attrs.Index, mac: ipam.MACFrom(attrs.HardwareAddr),
		up: attrs.RawFlags&unix.IFF_UP != 0, carrier: attrs.RawFlags&unix.IFF_LOWER_UP != 0,
	}
	off, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + bridge + "/disable_ipv6")
	if l.disabled = err != nil || strings.TrimSpace(string(off)) != "0"; l.disabled {
		return l, nil // a kernel without IPv6 has no such file
	}
	addrs, err := linkLocals(device)
	if err != nil {
		return link{}, fmt.Errorf("addresses of %s: %w", bridge, err)
	}
	l.choose(addrs)
	return l, nil
}

func linkLocals(device route.Link) ([]address, error) {
	const attempts = 5 // a dump is interrupted by any change meanwhile
	list, err := route.AddrList(device, route.FAMILY_V6)
	for i := 1; errors.Is(err, route.ErrDumpInterrupted) && i < attempts; i++ {
		list, err = route.AddrList(device, route.FAMILY_V6)
	}
	if err != nil && !errors.Is(err, route.ErrDumpInterrupted) {
		return nil, err
	}
	var addrs []address
	for _, a := range list {
		addr, ok := netip.AddrFromSlice(a.IP.To16())
		if !ok || !addr.IsLinkLocalUnicast() || addr.Is4In6() {
			continue
		}
		failed := a.Flags&unix.IFA_F_DADFAILED != 0
		tentative := a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0
		addrs = append(addrs, address{addr, tentative && !failed, failed})
	}
	return addrs, nil
}

// watchLink passes on that something happened to the bridge. Events are hints: one that is lost costs lookInterval.
func watchLink(ctx context.Context, bridge string, out chan<- struct{}) {
	for ctx.Err() == nil {
		_ = watchOnce(ctx, bridge, out)
		hint(out) // what was missed
		pause(ctx, reopenPause, nil)
	}
}

func hint(out chan<- struct{}) {
	select {
	case out <- struct{}{}:
	default:
	}
}

func watchOnce(ctx context.Context, bridge string, out chan<- struct{}) error {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	for _, group := range []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_IFINFO} {
		if err := conn.JoinGroup(group); err != nil {
			return err
		}
	}
	hint(out)
	index := uint32(0) // of the bridge, as the last event about it said
	for {
		messages, err := conn.Receive()
		if err != nil {
			return err
		}
		for _, m := range messages {
			if concerns(m, bridge, &index) {
				hint(out)
			}
		}
	}
}

// concerns reports whether an event may be about the bridge. Those of its ports, of which there may be many, are not.
func concerns(m netlink.Message, bridge string, index *uint32) bool {
	const indexEnd = 8 // both ifinfomsg and ifaddrmsg have the interface's index there
	if len(m.Data) < indexEnd {
		return true
	}
	about := binary.NativeEndian.Uint32(m.Data[indexEnd-4:])
	if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
		return *index == 0 || about == *index
	}
	if len(m.Data) < unix.SizeofIfInfomsg {
		return true
	}
	attrs, err := netlink.NewAttributeDecoder(m.Data[unix.SizeofIfInfomsg:])
	if err != nil {
		return true
	}
	for attrs.Next() {
		if attrs.Type() == unix.IFLA_IFNAME && attrs.String() == bridge {
			*index = about
			return true
		}
	}
	return about == *index // it was renamed
}
