package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// Link is an interface as the kernel shows it.
type Link struct {
	Index int
	Name  string
	Kind  string // bridge, veth, tun, …; "device" for hardware
	MAC   ipam.MAC
	Up    bool // administratively
	Addrs []netip.Prefix
	Ports []string // of a bridge
}

// Route is a destination and an interface it is reached through.
type Route struct {
	To   netip.Prefix
	Link string
}

// Observed is the state of this machine that decides about changes.
type Observed struct {
	Links   map[string]Link
	Routes  []Route           // IPv4, main table, without the default route
	Sysctls map[string]string // by path below /proc/sys; absent: the kernel has no such parameter
	Record  Footprint         // what berth remembers having put there
}

// observe reads the kernel.
func observe(record Footprint) (Observed, error) {
	seen := Observed{Links: map[string]Link{}, Sysctls: map[string]string{}, Record: record}
	links, err := dump(netlink.LinkList)
	if err != nil {
		return seen, problem("list interfaces", err)
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return seen, problem("list addresses", err)
	}
	routes, err := dump(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return seen, problem("list routes", err)
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	byIndex := make(map[int][]netip.Prefix)
	for _, a := range addrs {
		if p, ok := prefix(a.IPNet); ok {
			byIndex[a.LinkIndex] = append(byIndex[a.LinkIndex], p)
		}
	}
	for _, l := range links {
		at := l.Attrs()
		link := seen.Links[at.Name] // its ports may have come first
		link.Index, link.Name, link.Kind = at.Index, at.Name, l.Type()
		link.MAC, link.Up, link.Addrs = ipam.MACFrom(at.HardwareAddr), at.RawFlags&unix.IFF_UP != 0, byIndex[at.Index]
		seen.Links[at.Name] = link
		if master := names[at.MasterIndex]; master != "" {
			m := seen.Links[master]
			m.Ports = append(m.Ports, at.Name)
			seen.Links[master] = m
		}
	}
	for _, r := range routes {
		seen.Routes = append(seen.Routes, routesOf(r, names)...)
	}
	return seen, readSysctls(seen)
}

// routesOf is the route once for each of its next hops.
func routesOf(r netlink.Route, names map[int]string) []Route {
	if r.Dst == nil || r.Type != unix.RTN_UNICAST {
		return nil
	}
	to, ok := prefix(r.Dst)
	if !ok || to.Bits() == 0 {
		return nil
	}
	if len(r.MultiPath) == 0 {
		return []Route{{to, names[r.LinkIndex]}}
	}
	var all []Route
	for _, hop := range r.MultiPath {
		all = append(all, Route{to, names[hop.LinkIndex]})
	}
	return all
}

// readSysctls reads the parameters that berth may want to change. Of interfaces that
// are no bridge, and of which there may be thousands, only while ip_forward is off: setting it resets theirs.
func readSysctls(seen Observed) error {
	if err := readInto(seen.Sysctls, forwardKey, forwardingKey("default"), acceptRADefault); err != nil {
		return err
	}
	for name, link := range seen.Links {
		var keys []string
		if link.Kind == "bridge" {
			keys = []string{forwardingKey(name), promoteKey(name), acceptRAKey(name)}
		} else if seen.Sysctls[forwardKey] != "1" {
			keys = []string{forwardingKey(name)}
		}
		if err := readInto(seen.Sysctls, keys...); err != nil {
			return err
		}
	}
	return nil
}

func readInto(sysctls map[string]string, keys ...string) error {
	for _, key := range keys {
		value, err := readSysctl(key)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return problem("read "+sysctlName(key), err)
		}
		sysctls[key] = value
	}
	return nil
}

// addressed lists the bridges that have an IPv4 address: whoever set them up may
// rely on forwarding.
func (o Observed) addressed() []string {
	var names []string
	for name, l := range o.Links {
		if l.Kind == "bridge" && slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr().Is4() }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// dump repeats a listing that the kernel says was interrupted by a change: its
// content may be incomplete.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for range 10 {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, fmt.Errorf("interrupted by changes ten times in a row: %w", netlink.ErrDumpInterrupted)
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	bits, size := n.Mask.Size()
	if size == 32 {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, bits), true
}
