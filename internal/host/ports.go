package host

import (
	"cmp"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// Port is an interface that is plugged into a bridge.
type Port struct {
	Index int
	Name  string
	MAC   ipam.MAC // of the host's end
	Up    bool     // administratively
}

// Ports lists what is plugged into the bridge, by index. An absent bridge has none.
func Ports(bridge string) ([]Port, error) {
	br, err := netlink.LinkByName(bridge)
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, problem("look up "+bridge, err)
	}
	links, err := dump(netlink.LinkList)
	if err != nil {
		return nil, problem("list interfaces", err)
	}
	var ports []Port
	for _, l := range links {
		if at := l.Attrs(); at.MasterIndex == br.Attrs().Index {
			ports = append(ports, Port{at.Index, at.Name, ipam.MACFrom(at.HardwareAddr), at.RawFlags&unix.IFF_UP != 0})
		}
	}
	slices.SortFunc(ports, func(a, b Port) int { return cmp.Compare(a.Index, b.Index) })
	return ports, nil
}
