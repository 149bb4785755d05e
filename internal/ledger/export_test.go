package ledger

import (
	"maps"
	"net/netip"
	"testing"
	"time"

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

// RenewInMemory is what Bind does when the disk fails under a renewal.
func (l *Ledger) RenewInMemory(network string, c ipam.Client, a netip.Addr, leaseTime time.Duration) bool {
	bound := newBinding(network, c, a, l.shown.books[network].leaseFor(c.Holder, c.PinMAC), l.now(), leaseTime)
	return l.renewInMemory(c, bound)
}

// TakeSnapshot is what holds up readers and writers when the journal is rotated; writing it does not.
func (l *Ledger) TakeSnapshot() { _ = l.snapshot() }

// AcksWaiting is how many wait for news.
func (l *Ledger) AcksWaiting() int {
	l.show.RLock()
	defer l.show.RUnlock()
	return len(l.shown.acks)
}

// Claims is how many entries a name has.
func (l *Ledger) Claims(network, name string) int {
	l.show.RLock()
	defer l.show.RUnlock()
	return len(l.shown.names[network].entries[name])
}

// OffersQueued is how long the queue of offers is.
func (l *Ledger) OffersQueued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.shown.offers.queue)
}

// RoundTrip decodes a record and encodes it again.
func RoundTrip(record []byte) ([]byte, error) {
	var d decoder
	var ops []op
	rev, err := d.record(record, func(o op) { ops = append(ops, o) })
	if err != nil {
		return nil, err
	}
	return appendRecord(nil, rev, ops), nil
}

// SampleRecords are records of every kind of operation.
func SampleRecords() [][]byte {
	at := time.Unix(1_700_000_000, 5).UTC()
	a := netip.MustParseAddr("10.9.0.5")
	lease := &binding{PinMAC: ipam.MAC{2, 1}, Lease: ipam.Lease{
		Network: "br0", Holder: ipam.Holder{Guest: "c", MAC: ipam.MAC{2}}, Addr: a, Acked: a, MAC: ipam.MAC{2},
		ClientID: "01ff", Hostname: "c", Start: at, Expiry: at.Add(time.Hour), Idle: true,
	}}
	p := &pin{network: "br0", Pin: ipam.Pin{
		Holder: ipam.ByName("c"), Name: "web", Addr: netip.MustParseAddr("fd00::5"), LeaseTime: ipam.NeverExpires,
		Source: ipam.Source{File: "pins", Line: 3, Col: 7},
	}}
	all := []op{
		putLease(lease), forget("br1", lease.Holder), putPin(p), unpin(p),
		putBlock("br0", a, block{Holder: lease.Holder, Until: at, Declined: true}),
		{kind: opUnblock, network: "br0", addr: a},
	}
	records := [][]byte{appendRecord(nil, 1, nil), appendRecord(nil, 1<<40, all)}
	for i := range all {
		records = append(records, appendRecord(nil, uint64(i), all[i:i+1]))
	}
	return records
}

// TwoOwners are records in which two have one address, by pin and by lease. The second was told last.
func TwoOwners(addr string) [][]byte {
	a := netip.MustParseAddr(addr)
	told := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var records [][]byte
	for i, name := range []string{"first", "second"} {
		lease := &binding{Lease: ipam.Lease{
			Network: "br0", Holder: ipam.ByName(name), Addr: a, Acked: a, Start: told, Expiry: told.AddDate(1, i, 0),
		}}
		p := &pin{network: "br0", Pin: ipam.Pin{Holder: ipam.ByName(name), Addr: a}}
		records = append(records, appendRecord(nil, uint64(i+1), []op{putPin(p), putLease(lease)}))
	}
	return records
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
