package ledger_test

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"berth/internal/ipam"
)

// naive is the ledger of one network as one would write it without a thought for cost, disk or
// concurrency. Which of several free addresses is given out is the ledger's to choose; the naive one
// only says whether the choice was right.
type naive struct {
	net     *ipam.Network
	now     time.Time
	pins    map[ipam.Holder]netip.Addr
	leases  map[ipam.Holder]naiveLease
	offers  map[ipam.Holder]naiveOffer
	blocks  map[netip.Addr]naiveBlock
	running map[ipam.Holder]netip.Addr
	moving  map[ipam.Holder]netip.Addr

	renumbered bool
}

type naiveLease struct {
	addr, acked netip.Addr
	expiry      time.Time
	idle        bool
	mac         ipam.MAC // by which pins apply
}

type naiveOffer struct {
	addr  netip.Addr
	until time.Time
}

type naiveBlock struct {
	holder   ipam.Holder
	until    time.Time
	declined bool
}

func newNaive(n *ipam.Network, now time.Time) *naive {
	return &naive{
		net: n, now: now, renumbered: true,
		pins: map[ipam.Holder]netip.Addr{}, leases: map[ipam.Holder]naiveLease{},
		offers: map[ipam.Holder]naiveOffer{}, blocks: map[netip.Addr]naiveBlock{},
		running: map[ipam.Holder]netip.Addr{}, moving: map[ipam.Holder]netip.Addr{},
	}
}

// pass lets what has run out by now go.
func (m *naive) pass(now time.Time) {
	m.now = now
	for h, o := range m.offers {
		if !o.until.After(now) {
			delete(m.offers, h)
		}
	}
	for a, b := range m.blocks {
		if !b.until.After(now) {
			delete(m.blocks, a)
		}
	}
}

func (m *naive) usable(a netip.Addr) bool { return m.net.Refuse(a) == nil }

func (m *naive) isIdle(l naiveLease) bool { return l.idle || !l.expiry.After(m.now) }

func (m *naive) pinnedTo(a netip.Addr) (ipam.Holder, bool) {
	for h, at := range m.pins {
		if at == a {
			return h, true
		}
	}
	return ipam.Holder{}, false
}

func (m *naive) owner(a netip.Addr) (ipam.Holder, bool) {
	for h, l := range m.leases {
		if l.addr == a {
			return h, true
		}
	}
	return ipam.Holder{}, false
}

func (m *naive) offeree(a netip.Addr) (ipam.Holder, bool) {
	for h, o := range m.offers {
		if o.addr == a {
			return h, true
		}
	}
	return ipam.Holder{}, false
}

// pinOf is the pin that applies to a holder with this hardware address.
func (m *naive) pinOf(h ipam.Holder, mac ipam.MAC) (netip.Addr, bool) {
	if a, ok := m.pins[h]; ok {
		return a, true
	}
	if mac.IsZero() {
		return netip.Addr{}, false
	}
	a, ok := m.pins[ipam.ByMAC(mac)]
	return a, ok
}

// knownMAC is the hardware address by which pins apply to a holder, as far as the tables know.
func (m *naive) knownMAC(h ipam.Holder) ipam.MAC {
	if l, ok := m.leases[h]; ok {
		return l.mac
	}
	return h.MAC
}

// clientOf is to whose lease a pin applies.
func (m *naive) clientOf(pinned ipam.Holder) ipam.Holder {
	if pinned.Guest == "" {
		for h, l := range m.leases {
			if l.mac == pinned.MAC {
				return h
			}
		}
	}
	return pinned
}

// leaseOf is the lease of a client: its own, or the one its card had before it had a name.
func (m *naive) leaseOf(c ipam.Client) (ipam.Holder, naiveLease, bool) {
	if l, ok := m.leases[c.Holder]; ok {
		return c.Holder, l, true
	}
	l, ok := m.leases[ipam.ByMAC(c.PinMAC)]
	return ipam.ByMAC(c.PinMAC), l, ok
}

func (m *naive) entitled(c ipam.Client) (netip.Addr, ipam.Origin) {
	if a, ok := m.pinOf(c.Holder, c.PinMAC); ok && m.usable(a) {
		return a, ipam.FromPin
	}
	if _, l, ok := m.leaseOf(c); ok && m.usable(l.addr) {
		if _, pinned := m.pinnedTo(l.addr); !pinned {
			return l.addr, ipam.FromLease
		}
	}
	return netip.Addr{}, ""
}

// isFree reports whether anybody may be given a.
func (m *naive) isFree(a netip.Addr) bool {
	_, pinned := m.pinnedTo(a)
	_, owned := m.owner(a)
	_, offered := m.offeree(a)
	_, blocked := m.blocks[a]
	return m.net.Range.Contains(a) && m.usable(a) && !pinned && !owned && !offered && !blocked
}

func (m *naive) anyFree() bool {
	for i := range m.net.Range.Size() {
		if m.isFree(m.net.Range.At(i)) {
			return true
		}
	}
	return false
}

// mayHave reports whether c, who is entitled to nothing, may be bound to a.
func (m *naive) mayHave(c ipam.Client, a netip.Addr) bool {
	if _, pinned := m.pinnedTo(a); pinned || !m.net.Range.Contains(a) || !m.usable(a) {
		return false
	}
	if b, ok := m.blocks[a]; ok && (b.declined || b.holder != c.Holder) {
		return false
	}
	to, offered := m.offeree(a)
	if offered && to != c.Holder {
		return false
	}
	if h, ok := m.owner(a); ok && h != c.Holder {
		return offered && m.isIdle(m.leases[h])
	}
	return true
}

// reclaimable are the holders whose leases a full range may take back, in the order in which it does.
func (m *naive) reclaimable() []ipam.Holder {
	var out []ipam.Holder
	for h, l := range m.leases {
		_, pinned := m.pinnedTo(l.addr)
		_, offered := m.offeree(l.addr)
		_, blocked := m.blocks[l.addr]
		_, runs := m.running[h]
		if m.isIdle(l) && !pinned && !offered && !blocked && !runs && m.net.Range.Contains(l.addr) && m.usable(l.addr) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(x, y ipam.Holder) int {
		a, b := m.leases[x], m.leases[y]
		return cmp.Or(a.expiry.Compare(b.expiry), a.addr.Compare(b.addr))
	})
	return out
}

// bind does what Bind does once it is allowed.
func (m *naive) bind(c ipam.Client, a netip.Addr) {
	for h, l := range m.leases {
		if h != c.Holder && (l.addr == a || h == ipam.ByMAC(c.PinMAC)) {
			delete(m.leases, h)
		} else if h != c.Holder && l.mac == c.PinMAC {
			l.mac = ipam.MAC{}
			m.leases[h] = l
		}
	}
	m.leases[c.Holder] = naiveLease{addr: a, acked: a, expiry: m.now.Add(time.Hour), mac: c.PinMAC}
	delete(m.moving, c.Holder)
}

// name is what DNS answers for a guest.
func (m *naive) name(h ipam.Holder) string {
	really := func(h ipam.Holder, a netip.Addr) string {
		if from, ok := m.moving[h]; ok {
			return from.String()
		}
		return a.String()
	}
	if a, ok := m.pins[h]; ok && m.usable(a) {
		return really(h, a)
	}
	if l, ok := m.leases[h]; ok && !m.isIdle(l) {
		return really(h, l.addr)
	}
	return ""
}
