package ledger

import (
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// LookupName gives the addresses of a name of a network, relative to its domain and in lower
// case. A pinned name answers always, another while its lease is in use; during a move
// it answers what the guest really has. exists with no addresses is an empty non-terminal.
func (l *Ledger) LookupName(network, name string) (addrs []netip.Addr, exists bool) {
	l.show.RLock()
	defer l.show.RUnlock()
	x, b, n := l.shown.names[network], l.shown.books[network], l.shown.nets[network]
	if x == nil || n == nil {
		return nil, false
	}
	now := l.opts.Now()
	for _, e := range x.entries[name] {
		if e.pin != nil && isUsable(n, e.pin.Addr) {
			addrs = append(addrs, l.shown.really(network, b.clientOf(e.pin), e.pin.Addr))
		}
	}
	if addrs == nil {
		if lease := bestLease(x.entries[name], n.TrustHostname, now); lease != nil {
			addrs = append(addrs, l.shown.really(network, lease.Holder, lease.Addr))
		}
	}
	return addrs, addrs != nil || x.isParent(n, name, now)
}

// isParent reports whether a name that answers lies below this one: then this one exists (RFC 8020
// §2). Where very many lie below, of which those looked at are idle, the answer is yes without looking
// at the others.
func (x *nameIndex) isParent(n *ipam.Network, name string, now time.Time) bool {
	const enough = 64
	looked := 0
	for child := range x.below[name] {
		if looked++; looked > enough || answers(x.entries[child], n, now) {
			return true
		}
	}
	return false
}

// answers reports whether a name with these entries has an address.
func answers(entries []nameEntry, n *ipam.Network, now time.Time) bool {
	for _, e := range entries {
		if e.pin != nil && isUsable(n, e.pin.Addr) {
			return true
		}
	}
	return bestLease(entries, n.TrustHostname, now) != nil
}

// bestLease chooses among the leases of one name that are in use: a guest before a client
// that claims the name, and of several such the one who had it first.
func bestLease(entries []nameEntry, trust bool, now time.Time) *binding {
	var best *binding
	for _, e := range entries {
		if e.lease == nil || e.lease.isIdle(now) || leaseName(e.lease, trust) == "" {
			continue
		}
		if e.lease.Holder.IsGuest() {
			return e.lease
		}
		if best == nil || e.lease.Start.Before(best.Start) {
			best = e.lease
		}
	}
	return best
}

// really is the address that a holder has: the one it is to have, unless it is still on its way there.
func (s *shown) really(network string, h ipam.Holder, to netip.Addr) netip.Addr {
	if from, ok := s.moving[key{network, h}]; ok {
		return from
	}
	return to
}

// LookupAddr gives the name, relative to its network's domain, of whoever really has an address.
func (l *Ledger) LookupAddr(a netip.Addr) (name, network string, ok bool) {
	l.show.RLock()
	defer l.show.RUnlock()
	for _, n := range l.shown.order {
		if name := l.shown.nameAt(n, a, l.opts.Now()); name != "" {
			return name, n.Name, true
		}
	}
	return "", "", false
}

func (s *shown) nameAt(n *ipam.Network, a netip.Addr, now time.Time) string {
	b := s.books[n.Name]
	if h, ok := s.movers[placeKey{n.Name, a}]; ok {
		if name := s.nameOf(n, h, now); name != "" {
			return name
		}
	}
	if p := b.pinned[a]; p != nil && p.DNSName() != "" {
		return p.DNSName()
	}
	h, ok := b.owners[a]
	if !ok {
		return ""
	}
	return s.ownName(n, b.leases[h], now)
}

// nameOf is the name of a holder, wherever it is.
func (s *shown) nameOf(n *ipam.Network, h ipam.Holder, now time.Time) string {
	b := s.books[n.Name]
	lease := b.leases[h]
	if p := b.pinFor(h, pinMACOf(h, lease)); p != nil && p.DNSName() != "" {
		return p.DNSName()
	}
	if lease == nil {
		return ""
	}
	return s.ownName(n, lease, now)
}

// ownName is the name of a lease, provided that the name stands for it.
func (s *shown) ownName(n *ipam.Network, lease *binding, now time.Time) string {
	name := leaseName(lease, n.TrustHostname)
	if name == "" || lease.isIdle(now) {
		return ""
	}
	entries := s.names[n.Name].entries[name]
	if bestLease(entries, n.TrustHostname, now) != lease {
		return ""
	}
	for _, e := range entries {
		if e.pin != nil && s.books[n.Name].clientOf(e.pin) != lease.Holder {
			return "" // claimed, but pinned to somebody else
		}
	}
	return name
}
