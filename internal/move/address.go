package move

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// address is an IPv4 address of an interface, with all that the kernel keeps about it.
type address struct {
	addr      netip.Addr
	peer      netip.Addr // IFA_ADDRESS: equal to addr but on point-to-point links
	bits      int
	scope     uint8
	flags     uint32
	label     string
	broadcast netip.Addr // invalid: none
	priority  uint32     // metric of the prefix route the kernel makes
	proto     uint8      // who made it (since Linux 5.18), 0 unsaid
	preferred uint32     // seconds left, forever
	valid     uint32     // seconds left, forever
}

const (
	forever = math.MaxUint32 // INFINITY_LIFE_TIME
	// ifaProto is IFA_PROTO.
	ifaProto = 11
)

// parseAddress reads RTM_NEWADDR; ok is false for what is no IPv4 address of the interface.
func parseAddress(body []byte, index int) (a address, ok bool) {
	if len(body) < unix.SizeofIfAddrmsg || body[0] != unix.AF_INET ||
		int(binary.NativeEndian.Uint32(body[4:])) != index {
		return a, false
	}
	a = address{bits: int(body[1]), flags: uint32(body[2]), scope: body[3], preferred: forever, valid: forever}
	for at := range attributes(body[unix.SizeofIfAddrmsg:]) {
		switch at.typ {
		case unix.IFA_LOCAL:
			a.addr = at.addr()
		case unix.IFA_ADDRESS:
			a.peer = at.addr()
		case unix.IFA_BROADCAST:
			a.broadcast = at.addr()
		case unix.IFA_LABEL:
			a.label = at.text()
		case unix.IFA_FLAGS:
			a.flags = at.uint32()
		case unix.IFA_RT_PRIORITY:
			a.priority = at.uint32()
		case ifaProto:
			if len(at.data) == 1 {
				a.proto = at.data[0]
			}
		case unix.IFA_CACHEINFO:
			if len(at.data) >= 8 {
				a.preferred, a.valid = binary.NativeEndian.Uint32(at.data), binary.NativeEndian.Uint32(at.data[4:])
			}
		}
	}
	if !a.addr.IsValid() {
		a.addr = a.peer
	}
	return a, a.addr.IsValid() && a.bits <= 32
}

// encode is the body of RTM_NEWADDR and RTM_DELADDR.
func (a address) encode(index int) []byte {
	b := []byte{unix.AF_INET, uint8(a.bits), uint8(a.flags), a.scope}
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = appendAddr(b, unix.IFA_LOCAL, a.addr)
	b = appendAddr(b, unix.IFA_ADDRESS, a.peer)
	if a.broadcast.IsValid() {
		b = appendAddr(b, unix.IFA_BROADCAST, a.broadcast)
	}
	if a.label != "" {
		b = appendText(b, unix.IFA_LABEL, a.label)
	}
	b = appendUint32(b, unix.IFA_FLAGS, a.flags&settableFlags)
	if a.priority != 0 {
		b = appendUint32(b, unix.IFA_RT_PRIORITY, a.priority)
	}
	if a.proto != 0 {
		b = appendAttribute(b, ifaProto, []byte{a.proto})
	}
	life := binary.NativeEndian.AppendUint32(nil, a.preferred)
	life = binary.NativeEndian.AppendUint32(life, a.valid)
	return appendAttribute(b, unix.IFA_CACHEINFO, append(life, make([]byte, 8)...))
}

// settableFlags are those that the kernel does not work out by itself.
const settableFlags = unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// prefix is the subnet that the address says it lies in.
func (a address) prefix() netip.Prefix { return netip.PrefixFrom(a.peer, a.bits).Masked() }

func (a address) isSecondary() bool { return a.flags&unix.IFA_F_SECONDARY != 0 }

// isDraining reports whether it is of the form that an address has which a guest keeps for old
// connections only; none looks like that on a network with a shorter prefix otherwise.
func (a address) isDraining(bits int) bool { return a.bits == 32 && bits < 32 }

// as is the address to that takes the place of a: same prefix length, scope, label, metric,
// and as long to live. Whether the kernel makes the prefix route stays as it was: an address without
// that route would leave its guest without the subnet, one with it would double a client's own.
func (a address) as(to netip.Addr, bits int) address {
	n := a
	n.addr, n.peer = to, to
	if !a.prefix().Contains(to) || a.isDraining(bits) {
		n.bits = bits // it came from another subnet
	}
	if a.broadcast == broadcastOf(a.prefix()) || !a.prefix().Contains(to) {
		n.broadcast = broadcastOf(n.prefix())
	}
	if n.preferred == 0 {
		n.preferred = n.valid
	}
	return n
}

// fresh is an address for a guest that had none: for ever, as if the administrator had set it.
func fresh(to netip.Addr, bits int) address {
	a := address{addr: to, peer: to, bits: bits, preferred: forever, valid: forever}
	a.broadcast = broadcastOf(a.prefix())
	return a
}

// drained is what remains of a for d: of no subnet, so that no route and no choice of a source address
// depends on it, deprecated, and removed by the kernel's own timer. Its label is not the interface's:
// what configures "eth0" by ifconfig's ioctls, or flushes what is labelled so, as the scripts of udhcpc
// and dhclient do, would take it for the address to replace.
func (a address) drained(d time.Duration) address {
	seconds := uint32(min((d+time.Second-1)/time.Second, forever-1))
	return address{addr: a.addr, peer: a.addr, bits: 32, label: drainLabel(a.label), flags: unix.IFA_F_NOPREFIXROUTE, valid: max(seconds, 1)}
}

// drainLabel is a label of at most 15 bytes (IFNAMSIZ) that no interface has.
func drainLabel(label string) string {
	nic, _, _ := strings.Cut(label, ":")
	const suffix = ":old"
	return nic[:min(len(nic), unix.IFNAMSIZ-1-len(suffix))] + suffix
}

// broadcastOf is the last address of the subnet; invalid where there is none (RFC 3021).
func broadcastOf(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	v := binary.BigEndian.Uint32(b[:]) | math.MaxUint32>>p.Bits()
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, v)))
}

// addOrder makes a, or gives one that is there already a's lifetimes.
func addOrder(a address, index int) order {
	return order{
		doing: fmt.Sprintf("add %s/%d", a.addr, a.bits), typ: unix.RTM_NEWADDR,
		flags: unix.NLM_F_CREATE | unix.NLM_F_REPLACE, body: a.encode(index),
	}
}

func deleteOrder(a address, index int) order {
	body := []byte{unix.AF_INET, uint8(a.bits), 0, 0}
	body = binary.NativeEndian.AppendUint32(body, uint32(index))
	body = appendAddr(body, unix.IFA_LOCAL, a.addr)
	body = appendAddr(body, unix.IFA_ADDRESS, a.peer)
	return order{
		doing: fmt.Sprintf("remove %s/%d", a.addr, a.bits), typ: unix.RTM_DELADDR,
		body: body, allow: []unix.Errno{unix.EADDRNOTAVAIL},
	}
}

// entries are those of all that are addr, in any form.
func entries(all []address, addr netip.Addr) []address {
	var found []address
	for _, a := range all {
		if a.addr == addr {
			found = append(found, a)
		}
	}
	return found
}

// isThere reports whether exactly this address, with its prefix length, is among all.
func (a address) isThere(all []address) bool {
	return slices.ContainsFunc(all, func(b address) bool { return b.addr == a.addr && b.bits == a.bits && b.peer == a.peer })
}
