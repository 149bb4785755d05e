package dhcp4

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"berth/internal/ipam"
)

var errDisk = errors.New("no space left on device")

// record is what the fake book stores of a holder.
type record struct {
	addr, acked netip.Addr
	expiry      time.Time
	idle        bool
	leaseTime   time.Duration
}

// fakeBook is a Book of maps, with the rules that its doc comments state.
type fakeBook struct {
	mu         sync.Mutex
	net        *ipam.Network
	pins       map[ipam.Holder]netip.Addr
	pinTime    time.Duration // lease time of every pin
	leases     map[ipam.Holder]*record
	offers     map[ipam.Holder]netip.Addr
	quarantine map[netip.Addr]time.Time
	bindErr    error
	disk       chan struct{} // when set, Bind waits until it is closed
	binds      int
}

func newBook(n *ipam.Network) *fakeBook {
	return &fakeBook{
		net: n, pins: map[ipam.Holder]netip.Addr{}, leases: map[ipam.Holder]*record{},
		offers: map[ipam.Holder]netip.Addr{}, quarantine: map[netip.Addr]time.Time{},
	}
}

func (b *fakeBook) pin(h ipam.Holder, a string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pins[h] = addr(a)
	for other, r := range b.leases {
		if other != h && r.addr == addr(a) {
			r.addr = netip.Addr{} // evicted: given another one when it asks
			b.leases[other].addr = b.free(netip.Addr{})
		}
	}
}

// lease makes a holder bound to a, as its client knows.
func (b *fakeBook) lease(h ipam.Holder, a string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leases[h] = &record{addr: addr(a), acked: addr(a)}
}

func (b *fakeBook) get(h ipam.Holder) record {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.leases[h]; r != nil {
		return *r
	}
	return record{}
}

func (b *fakeBook) Entitled(_ string, c ipam.Client) ipam.Entitlement {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entitled(c)
}

func (b *fakeBook) entitled(c ipam.Client) ipam.Entitlement {
	var e ipam.Entitlement
	if r := b.leases[c.Holder]; r != nil {
		e.Acked, e.Expiry = r.acked, r.expiry
		e.Addr, e.Origin = r.addr, ipam.FromLease
	} else if a, ok := b.offers[c.Holder]; ok {
		e.Addr, e.Origin = a, ipam.FromOffer
	}
	a, ok := b.pins[c.Holder]
	if !ok && !c.PinMAC.IsZero() {
		a, ok = b.pins[ipam.ByMAC(c.PinMAC)]
	}
	if ok {
		e.Addr, e.Origin, e.LeaseTime = a, ipam.FromPin, b.pinTime
	}
	if (ok || b.leases[c.Holder] != nil) && c.Holder.IsGuest() {
		e.Name = c.Holder.Guest // an offer alone makes no name
	}
	return e
}

func (b *fakeBook) Owner(_ string, a netip.Addr) (ipam.Holder, ipam.Origin, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.owner(a)
}

func (b *fakeBook) owner(a netip.Addr) (ipam.Holder, ipam.Origin, bool) {
	for h, p := range b.pins {
		if p == a {
			return h, ipam.FromPin, true
		}
	}
	for h, r := range b.leases {
		if r.addr == a {
			return h, ipam.FromLease, true
		}
	}
	for h, o := range b.offers {
		if o == a {
			return h, ipam.FromOffer, true
		}
	}
	return ipam.Holder{}, "", false
}

func (b *fakeBook) free(wish netip.Addr) netip.Addr {
	taken := map[netip.Addr]bool{}
	for _, p := range b.pins {
		taken[p] = true
	}
	for _, r := range b.leases {
		taken[r.addr] = true
	}
	for _, o := range b.offers {
		taken[o] = true
	}
	ok := func(a netip.Addr) bool {
		return !taken[a] && b.net.Range.Contains(a) && b.net.Refuse(a) == nil && time.Now().After(b.quarantine[a])
	}
	if wish.IsValid() && ok(wish) {
		return wish
	}
	for i := range b.net.Range.Size() {
		if a := b.net.Range.At(i); ok(a) {
			return a
		}
	}
	return netip.Addr{}
}

func (b *fakeBook) Offer(_ string, c ipam.Client, requested netip.Addr) (ipam.Entitlement, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entitled(c); e.Addr.IsValid() {
		return e, nil
	}
	a := b.free(requested)
	if !a.IsValid() {
		for h, r := range b.leases {
			if r.idle {
				a = r.addr
				delete(b.leases, h)
				break
			}
		}
	}
	if !a.IsValid() {
		return ipam.Entitlement{}, &ipam.Problem{Code: ipam.CodeFull, Text: "the range is full"}
	}
	delete(b.leases, c.Holder)
	b.offers[c.Holder] = a
	return b.entitled(c), nil
}

func (b *fakeBook) Bind(ctx context.Context, _ string, c ipam.Client, a netip.Addr, leaseTime time.Duration) (ipam.Lease, error) {
	b.mu.Lock()
	disk := b.disk
	b.mu.Unlock()
	if disk != nil {
		select {
		case <-disk:
		case <-ctx.Done():
			return ipam.Lease{}, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bindErr != nil {
		return ipam.Lease{}, b.bindErr
	}
	if b.entitled(c).Addr != a {
		return ipam.Lease{}, errors.New("taken")
	}
	b.binds++
	delete(b.offers, c.Holder)
	b.leases[c.Holder] = &record{addr: a, acked: a, expiry: time.Now().Add(leaseTime), leaseTime: leaseTime}
	return ipam.Lease{Holder: c.Holder, Addr: a, MAC: c.MAC}, nil
}

func (b *fakeBook) Release(_ context.Context, _ string, h ipam.Holder, a netip.Addr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.offers[h] == a {
		delete(b.offers, h)
	}
	if r := b.leases[h]; r != nil && r.addr == a {
		r.idle = true
	}
	return nil
}

func (b *fakeBook) Decline(_ context.Context, _ string, h ipam.Holder, a netip.Addr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quarantine[a] = time.Now().Add(10 * time.Minute)
	if r := b.leases[h]; r != nil && r.addr == a {
		delete(b.leases, h)
	}
	delete(b.offers, h)
	return nil
}
