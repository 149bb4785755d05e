package ledger

import (
	"maps"
	"net/netip"
	"testing"

	"berth/internal/ipam"
)

// TB is what CheckBooks reports to.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

var _ TB = (*testing.T)(nil)

// CheckBooks compares, while nothing is being decided, the decided tables with the shown ones, the indexes and the
// pool with what they are made from.
func (l *Ledger) CheckBooks(t TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.show.RLock()
	defer l.show.RUnlock()
	for network, b := range l.decided {
		seen := l.shown.books[network]
		if seen == nil {
			seen = newBook()
		}
		if !maps.Equal(b.leases, seen.leases) || !maps.Equal(b.pins, seen.pins) || !maps.Equal(b.blocks, seen.blocks) {
			t.Errorf("%s: decided %+v, shown %+v", network, b, seen)
		}
		for _, b := range []*book{b, seen} {
			checkIndexes(t, network, b)
		}
		if p := l.pools[network]; p != nil {
			for i := range p.size {
				a := p.net.Range.At(i)
				was := p.isFree(a)
				l.touch(network, a)
				if p.isFree(a) != was {
					t.Errorf("%s: %s was free %v in the pool", network, a, was)
				}
			}
		}
		fresh := newNameIndex()
		for _, p := range seen.pins {
			fresh.addOp(putPin(p))
		}
		for _, lease := range seen.leases {
			fresh.addOp(putLease(lease))
		}
		have := l.shown.names[network]
		if have != nil && (len(have.entries) != len(fresh.entries) || !maps.EqualFunc(have.below, fresh.below, maps.Equal)) {
			t.Errorf("%s: names %v, should be %v", network, have, fresh)
		}
	}
}

func checkIndexes(t TB, network string, b *book) {
	owners, pinned, byMAC := map[netip.Addr]ipam.Holder{}, map[netip.Addr]*pin{}, map[ipam.MAC]ipam.Holder{}
	for h, lease := range b.leases {
		if other, ok := owners[lease.Addr]; ok {
			t.Errorf("%s: %s belongs to %s and %s", network, lease.Addr, h, other)
		}
		owners[lease.Addr] = h
		if !lease.PinMAC.IsZero() {
			byMAC[lease.PinMAC] = h
		}
	}
	for _, p := range b.pins {
		if pinned[p.Addr] != nil {
			t.Errorf("%s: %s is pinned twice", network, p.Addr)
		}
		pinned[p.Addr] = p
		if h, ok := owners[p.Addr]; ok && b.pinFor(h, pinMACOf(h, b.leases[h])) != p {
			t.Errorf("%s: %s is pinned to %s and leased to %s", network, p.Addr, p.Holder, h)
		}
	}
	if !maps.Equal(owners, b.owners) || !maps.Equal(pinned, b.pinned) || !maps.Equal(byMAC, b.byMAC) {
		t.Errorf("%s: indexes are wrong: %+v", network, b)
	}
}
