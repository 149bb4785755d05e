package move

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
	"berth/internal/ipam"
)

// nic is a guest's interface as it was read.
type nic struct {
	index    int
	mac      ipam.MAC
	up       bool
	promotes bool // promote_secondaries
	addrs    []address
	routes   []route // unicast, of all tables
	partial  bool    // only the routes by this interface
}

// What is read of one guest at most. Who has more can not be moved, and harms only himself.
const (
	maxAddresses = 1 << 16
	maxRoutes    = 20000
)

// readNIC reads the interface by its number: the guest may have renamed it.
func readNIC(t *talk, index int) (n nic, err error) {
	n.index = index
	if err := n.readLink(t); err != nil {
		return n, err
	}
	if err := n.readAddresses(t); err != nil {
		return n, err
	}
	return n, n.readRoutes(t)
}

func (n *nic) readLink(t *talk) error {
	found := false
	err := t.ask("read the interface", unix.RTM_GETLINK, linkHead(n.index), func(m message) {
		if m.typ != unix.RTM_NEWLINK || len(m.body) < unix.SizeofIfInfomsg {
			return
		}
		found = true
		n.up = binary.NativeEndian.Uint32(m.body[8:])&unix.IFF_UP != 0
		for a := range attributes(m.body[unix.SizeofIfInfomsg:]) {
			switch a.typ {
			case unix.IFLA_ADDRESS:
				n.mac = ipam.MACFrom(a.data)
			case unix.IFLA_AF_SPEC:
				n.promotes = readPromotes(a.data)
			}
		}
	})
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: the interface is not there any more", guest.ErrGone)
	case err != nil:
		return err
	case !found || n.mac.IsZero():
		return fmt.Errorf("read the interface: %w", errMalformed)
	case !n.up:
		return errDown
	}
	return nil
}

var errDown = errors.New("the interface is down")

func linkHead(index int) []byte {
	head := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(head[4:], uint32(index))
	return head
}

// promoteSecondaries is IPV4_DEVCONF_PROMOTE_SECONDARIES.
const promoteSecondaries = 20

func readPromotes(spec []byte) bool {
	for family := range attributes(spec) {
		if family.typ != unix.AF_INET {
			continue
		}
		for a := range attributes(family.data) {
			const at = (promoteSecondaries - 1) * 4
			if a.typ == unix.IFLA_INET_CONF && len(a.data) >= at+4 {
				return binary.NativeEndian.Uint32(a.data[at:]) != 0
			}
		}
	}
	return false
}

// promoteOrder has the kernel keep the other addresses of a subnet when its first one is deleted;
// without it they all go, and with them the new one. By netlink: a container's /proc/sys may be read-only.
func promoteOrder(index int, on bool) order {
	value := uint32(0)
	if on {
		value = 1
	}
	conf := appendAttribute(nil, unix.IFLA_INET_CONF|unix.NLA_F_NESTED, appendUint32(nil, promoteSecondaries, value))
	spec := appendAttribute(nil, unix.AF_INET|unix.NLA_F_NESTED, conf)
	return order{
		doing: "set promote_secondaries", typ: unix.RTM_SETLINK,
		body: appendAttribute(linkHead(index), unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, spec),
	}
}

func (n *nic) readAddresses(t *talk) error {
	head := make([]byte, unix.SizeofIfAddrmsg)
	head[0] = unix.AF_INET
	binary.NativeEndian.PutUint32(head[4:], uint32(n.index))
	return t.dump("read the addresses", unix.RTM_GETADDR, head, func() { n.addrs = n.addrs[:0] }, func(m message) error {
		if a, ok := parseAddress(m.body, n.index); ok {
			n.addrs = append(n.addrs, a)
		}
		if len(n.addrs) > maxAddresses {
			return fmt.Errorf("more than %d", maxAddresses)
		}
		return nil
	})
}

// readRoutes reads those of all interfaces: one by a tunnel may have the address as its source too. Of a
// guest with the routes of half the Internet only those by this interface.
func (n *nic) readRoutes(t *talk) error {
	err := n.listRoutes(t, 0)
	if errors.Is(err, errTooMany) || errors.Is(err, unix.ETIMEDOUT) {
		n.partial = true
		err = n.listRoutes(t, n.index)
	}
	return err
}

var errTooMany = fmt.Errorf("more than %d", maxRoutes)

func (n *nic) listRoutes(t *talk, link int) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[7] = unix.AF_INET, unix.RTN_UNICAST
	if link != 0 {
		body = appendUint32(body, unix.RTA_OIF, uint32(link))
	}
	return t.dump("read the routes", unix.RTM_GETROUTE, body, func() { n.routes = n.routes[:0] }, func(m message) error {
		if r, ok := parseRoute(m.body); ok && (link == 0 || r.link == 0 || r.link == link) {
			n.routes = append(n.routes, r)
		}
		if len(n.routes) > maxRoutes {
			return errTooMany
		}
		return nil
	})
}

// hasDefault reports whether the guest can leave its subnet; not known for sure is yes.
func (n *nic) hasDefault() bool {
	return n.partial || slices.ContainsFunc(n.routes, route.isDefault)
}

// heir is the address that the kernel makes the first of a's subnet once a is gone.
func (n *nic) heir(a address) netip.Addr {
	for _, b := range n.addrs {
		if b.isSecondary() && b.bits == a.bits && b.prefix() == a.prefix() {
			return b.addr
		}
	}
	return netip.Addr{}
}
