package move

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// route is a unicast route as the kernel listed it; all but its source is given back untouched.
type route struct {
	head    [unix.SizeofRtMsg]byte
	attrs   []attribute
	to      netip.Prefix // 0.0.0.0/0: default
	source  netip.Addr   // invalid: the kernel chooses
	gateway netip.Addr   // invalid: on the link, or several
	link    int          // 0: several
	table   uint32
}

func (r route) scope() uint8    { return r.head[6] }
func (r route) isDefault() bool { return r.to.Bits() == 0 && r.table == unix.RT_TABLE_MAIN }

// parseRoute copies what it keeps.
func parseRoute(body []byte) (r route, ok bool) {
	if len(body) < unix.SizeofRtMsg || body[0] != unix.AF_INET || body[7] != unix.RTN_UNICAST || body[1] > 32 {
		return r, false
	}
	if binary.NativeEndian.Uint32(body[8:])&unix.RTM_F_CLONED != 0 {
		return r, false // what the kernel learned about one destination
	}
	copy(r.head[:], body)
	r.table = uint32(r.head[4])
	to := netip.IPv4Unspecified()
	for a := range attributes(body[unix.SizeofRtMsg:]) {
		a.data = slices.Clone(a.data)
		switch a.typ {
		case unix.RTA_DST:
			to = a.addr()
		case unix.RTA_PREFSRC:
			r.source = a.addr()
		case unix.RTA_GATEWAY:
			r.gateway = a.addr()
		case unix.RTA_OIF:
			r.link = int(a.uint32())
		case unix.RTA_TABLE:
			r.table = a.uint32()
		case unix.RTA_CACHEINFO:
			continue // statistics
		}
		r.attrs = append(r.attrs, a)
	}
	r.to = netip.PrefixFrom(to, int(body[1]))
	return r, r.to.IsValid()
}

const (
	rtaNexthopID = 30 // RTA_NH_ID
	// flagsKept of a route or next hop are settings; the others say in what state it is, and are refused.
	flagsKept = unix.RTNH_F_ONLINK | unix.RTNH_F_PERVASIVE
)

// encode is the body of RTM_NEWROUTE with another source, or none when that is invalid.
func (r route) encode(source netip.Addr) []byte {
	head := r.head
	flags := binary.NativeEndian.Uint32(head[8:])
	binary.NativeEndian.PutUint32(head[8:], flags&flagsKept)
	b := head[:]
	byID := slices.ContainsFunc(r.attrs, func(a attribute) bool { return a.typ == rtaNexthopID })
	for _, a := range r.attrs {
		switch a.typ {
		case unix.RTA_PREFSRC:
			continue
		case unix.RTA_OIF, unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE:
			if byID {
				continue // listed for information; given together they are refused
			}
		case unix.RTA_MULTIPATH:
			if byID {
				continue
			}
			a.data = settings(a.data)
		}
		b = appendAttribute(b, a.typ, a.data)
	}
	if source.IsValid() {
		b = appendAddr(b, unix.RTA_PREFSRC, source)
	}
	return b
}

// settings is a list of next hops without what says in what state each is.
func settings(hops []byte) []byte {
	hops = slices.Clone(hops)
	for rest := hops; len(rest) >= unix.SizeofRtNexthop; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length < unix.SizeofRtNexthop || length > len(rest) {
			break
		}
		rest[2] &= flagsKept
		rest = rest[min(align(length), len(rest)):]
	}
	return hops
}

// replaceOrder puts the route in the place of the one with the same destination, table, and
// metric, in one instant as far as packets are concerned.
func (r route) replaceOrder(source netip.Addr) order {
	return order{
		doing: fmt.Sprintf("route to %s from %s", r.to, source), typ: unix.RTM_NEWROUTE,
		flags: unix.NLM_F_CREATE | unix.NLM_F_REPLACE, body: r.encode(source),
	}
}

func (r route) deleteOrder(source netip.Addr) order {
	return order{
		doing: fmt.Sprintf("remove the route to %s", r.to), typ: unix.RTM_DELROUTE,
		body: r.encode(source), allow: []unix.Errno{unix.ESRCH},
	}
}

// isBy reports whether it leads by a router of the subnet on the interface.
func (r route) isBy(link int, subnet netip.Prefix) bool {
	return r.link == link && r.gateway.IsValid() && subnet.Contains(r.gateway)
}

// readdressed is the route for a guest that goes to another subnet: the subnet's own route leads to
// the new one, and what went by a router of the old subnet goes by the new gateway.
func (r route) readdressed(from, to netip.Prefix, gateway netip.Addr) route {
	n := r
	n.attrs = slices.Clone(r.attrs)
	set := func(typ uint16, a netip.Addr) {
		for i := range n.attrs {
			if n.attrs[i].typ == typ {
				n.attrs[i].data = a.AsSlice()
			}
		}
	}
	switch {
	case r.to == from:
		n.to, n.head[1] = to, uint8(to.Bits())
		set(unix.RTA_DST, to.Addr())
	case r.to.IsSingleIP() && from.Contains(r.to.Addr()) && gateway.IsValid():
		n.to = netip.PrefixFrom(gateway, 32) // the host route to the router
		set(unix.RTA_DST, gateway)
	}
	if r.gateway.IsValid() && from.Contains(r.gateway) && gateway.IsValid() {
		n.gateway = gateway
		set(unix.RTA_GATEWAY, gateway)
	}
	return n
}

// defaultRoute is one by the gateway, as if the administrator had made it.
func defaultRoute(gateway netip.Addr, index int) route {
	r := route{to: netip.PrefixFrom(netip.IPv4Unspecified(), 0), gateway: gateway, link: index, table: unix.RT_TABLE_MAIN}
	r.head = [unix.SizeofRtMsg]byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST}
	r.attrs = []attribute{
		{unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(index))},
		{unix.RTA_GATEWAY, gateway.AsSlice()},
	}
	return r
}
