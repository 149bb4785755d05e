package guest

import (
	"encoding/binary"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// link is what rtnetlink says about one interface.
type link struct {
	index  int
	name   string
	kind   string // "veth", "tun", "bridge", …; "" for hardware
	master int    // ifindex of the bridge it is enslaved to, 0 none
	peer   int    // ifindex of the other end of a veth
	nsid   int    // the other end's namespace as this one numbers it, noNamespace when it is in this one
	mac    ipam.MAC
}

const noNamespace = -1

func parseAddress(data []byte, index int) (netip.Prefix, bool) {
	if len(data) < unix.SizeofIfAddrmsg || binary.NativeEndian.Uint32(data[4:]) != uint32(index) {
		return netip.Prefix{}, false
	}
	attrs, err := netlink.NewAttributeDecoder(data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return netip.Prefix{}, false
	}
	for attrs.Next() {
		if attrs.Type() != unix.IFA_LOCAL {
			continue
		}
		if addr, ok := netip.AddrFromSlice(attrs.Bytes()); ok {
			return netip.PrefixFrom(addr, int(data[1])), true
		}
	}
	return netip.Prefix{}, false
}

func parseLink(data []byte) (link, error) {
	if len(data) < unix.SizeofIfInfomsg {
		return link{}, errMalformed
	}
	l := link{index: int(int32(binary.NativeEndian.Uint32(data[4:]))), nsid: noNamespace}
	attrs, err := netlink.NewAttributeDecoder(data[unix.SizeofIfInfomsg:])
	if err != nil {
		return link{}, err
	}
	for attrs.Next() {
		switch attrs.Type() {
		case unix.IFLA_IFNAME:
			l.name = attrs.String()
		case unix.IFLA_ADDRESS:
			l.mac = ipam.MACFrom(attrs.Bytes())
		case unix.IFLA_MASTER:
			l.master = int(attrs.Uint32())
		case unix.IFLA_LINK:
			l.peer = int(attrs.Uint32())
		case unix.IFLA_LINK_NETNSID:
			l.nsid = int(attrs.Int32())
		case unix.IFLA_LINKINFO:
			attrs.Nested(func(info *netlink.AttributeDecoder) error {
				for info.Next() {
					if info.Type() == unix.IFLA_INFO_KIND {
						l.kind = info.String()
					}
				}
				return nil
			})
		}
	}
	return l, attrs.Err()
}
