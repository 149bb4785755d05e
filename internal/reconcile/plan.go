package reconcile

import (
	"net/netip"
	"slices"

	"berth/internal/guest"
	"berth/internal/ipam"
)

// View is what was observed of one plugged-in guest.
type View struct {
	Network  string
	Guest    guest.Guest
	Holder   ipam.Holder
	Addrs    []netip.Addr // in the network's subnet, on its NIC now
	Draining []netip.Addr // kept for old connections only
}

// Plan lists the guests that must be moved so that each pinned one that is
// plugged in and has an address has its pin. A guest without any address is left to its DHCP
// client; mayTry can hold back one that failed a moment ago. It is pure.
func Plan(views []View, pins []ipam.Pin, nets ipam.Networks, mayTry func(network string, h ipam.Holder) bool) []ipam.Reassignment {
	wanted := make(map[key]netip.Addr, len(pins))
	for _, p := range pins {
		if n := nets.Containing(p.Addr); n != nil {
			wanted[key{n.Name, p.Holder}] = p.Addr
		}
	}
	var due []ipam.Reassignment
	for _, v := range views {
		to, ok := wanted[key{v.Network, v.Holder}]
		if !ok && !v.Guest.MAC.IsZero() {
			to, ok = wanted[key{v.Network, ipam.ByMAC(v.Guest.MAC)}]
		}
		// Other addresses beside the pinned one are the guest's own business: a floating one, say.
		if !ok || len(v.Addrs) == 0 || slices.Contains(v.Addrs, to) || !mayTry(v.Network, v.Holder) {
			continue
		}
		due = append(due, ipam.Reassignment{
			Network: v.Network, Holder: v.Holder, MAC: v.Guest.MAC,
			From: v.Addrs[0], To: to, Drain: nets.Named(v.Network).Drain,
		})
	}
	return due
}

// HolderOf is who an address on the guest's own NIC belongs to.
func HolderOf(g guest.Guest) ipam.Holder {
	if g.Name != "" {
		return ipam.ByName(g.Name)
	}
	return ipam.ByMAC(g.MAC)
}
