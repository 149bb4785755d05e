package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/mdlayher/netlink"
	route "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func systemKernel() kernel {
	return kernel{listen: listen, indexOf: indexOf, isLocal: isLocal, isOwn: isOwn, portOf: portOf}
}

func indexOf(bridge string) int {
	link, err := route.LinkByName(bridge)
	if err != nil || link.Type() != "bridge" {
		return 0
	}
	return link.Attrs().Index
}

// listen opens a socket that is bound to the bridge, so that nobody beyond it can connect, whatever address they know.
func listen(ctx context.Context, e endpoint) (*net.TCPListener, int, error) {
	index := indexOf(e.bridge)
	if index == 0 {
		return nil, 0, errNoBridge
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctl := c.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, e.bridge)
		})
		return errors.Join(ctl, err)
	}}
	at := e.addr
	if at.Is6() && at.IsLinkLocalUnicast() {
		// By number: package net remembers for a minute which index a name had, also when the bridge was made anew since.
		at = at.WithZone(strconv.Itoa(index))
	}
	l, err := config.Listen(ctx, "tcp", netip.AddrPortFrom(at, e.port).String())
	if err != nil {
		return nil, 0, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, 0, net.UnknownNetworkError("tcp")
	}
	return tcp, index, nil
}

// isLocal asks for the route that a connection would take: local are the host's own addresses and prefixes, broadcast
// and anycast those it shares.
func isLocal(a netip.Addr) (bool, error) {
	routes, err := route.RouteGet(a.AsSlice())
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) {
		return false, nil // none leads there: connecting will say so
	}
	if err != nil {
		return false, err
	}
	for _, r := range routes {
		if r.Type == unix.RTN_LOCAL || r.Type == unix.RTN_BROADCAST || r.Type == unix.RTN_ANYCAST {
			return true, nil
		}
	}
	return false, nil
}

// isOwn reports also when it can not be known.
func isOwn(bridge int, a netip.Addr) bool {
	link, err := route.LinkByIndex(bridge)
	if err != nil {
		return true
	}
	addrs, err := route.AddrList(link, route.FAMILY_ALL)
	if err != nil && !errors.Is(err, route.ErrDumpInterrupted) {
		return true
	}
	for _, own := range addrs {
		if own.IP.Equal(a.AsSlice()) {
			return true
		}
	}
	return false
}

// portOf goes from the address to the hardware address that the kernel answers it at, and from there to the port at which
// the bridge learnt it. Both are single entries that are asked for, no lists.
func portOf(bridge int, a netip.Addr) (int, bool) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return 0, false
	}
	defer conn.Close()
	family := uint8(unix.AF_INET6)
	if a.Is4() {
		family = unix.AF_INET
	}
	neighbour, err := getNeighbour(conn, neighbourQuery{family: family, index: bridge, attrs: []netlink.Attribute{{Type: unix.NDA_DST, Data: a.AsSlice()}}})
	if err != nil || len(neighbour.mac) == 0 {
		return 0, false
	}
	entry, err := getNeighbour(conn, neighbourQuery{family: unix.AF_BRIDGE, attrs: []netlink.Attribute{
		{Type: unix.NDA_LLADDR, Data: neighbour.mac},
		{Type: unix.NDA_MASTER, Data: binary.NativeEndian.AppendUint32(nil, uint32(bridge))},
	}})
	if err != nil || entry.index == 0 {
		return 0, false
	}
	return entry.index, true
}

type neighbourQuery struct {
	family uint8
	index  int
	attrs  []netlink.Attribute
}

type neighbour struct {
	index int
	mac   []byte
}

// sizeofNdmsg is the header of neighbour messages: family, padding, index, state, flags and type (linux/neighbour.h).
const sizeofNdmsg = 12

// getNeighbour asks for one entry of the neighbour table, or of a bridge's forwarding table.
func getNeighbour(conn *netlink.Conn, q neighbourQuery) (neighbour, error) {
	attrs, err := netlink.MarshalAttributes(q.attrs)
	if err != nil {
		return neighbour{}, err
	}
	data := make([]byte, sizeofNdmsg, sizeofNdmsg+len(attrs))
	data[0] = q.family
	binary.NativeEndian.PutUint32(data[4:], uint32(q.index))
	replies, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETNEIGH, Flags: netlink.Request},
		Data:   append(data, attrs...),
	})
	if err != nil {
		return neighbour{}, err
	}
	for _, m := range replies {
		if m.Header.Type != unix.RTM_NEWNEIGH || len(m.Data) < sizeofNdmsg {
			continue
		}
		n := neighbour{index: int(int32(binary.NativeEndian.Uint32(m.Data[4:])))}
		ad, err := netlink.NewAttributeDecoder(m.Data[sizeofNdmsg:])
		if err != nil {
			return neighbour{}, err
		}
		for ad.Next() {
			if ad.Type() == unix.NDA_LLADDR {
				n.mac = ad.Bytes()
			}
		}
		return n, ad.Err()
	}
	return neighbour{}, fmt.Errorf("no entry in %d replies", len(replies))
}

// received is how many octets have come in from the other end.
func received(c *net.TCPConn) uint64 {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	n := uint64(0)
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = info.Bytes_received
		}
	})
	return n
}
