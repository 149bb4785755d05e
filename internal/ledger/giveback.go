package ledger

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// Release marks the lease of h idle, when it has one on addr: the address stays its own until a
// full range takes it back. It is durable on return. A pin is not touched.
func (l *Ledger) Release(ctx context.Context, network string, h ipam.Holder, addr netip.Addr) error {
	l.mu.Lock()
	lease := l.leaseAt(network, h, addr)
	if lease == nil || lease.Idle {
		l.mu.Unlock()
		return nil
	}
	now := l.now()
	idle := *lease
	idle.Idle, idle.Expiry, idle.Acked = true, now, netip.Addr{}
	change := l.begin()
	change.do(putLease(&idle))
	if p := l.pools[network]; p != nil {
		p.released(h)
	}
	change.events = []Event{{Kind: KindRelease, Network: network, Holder: h, Addr: addr, At: now}}
	return l.finish(ctx, change)
}

// leaseAt is the decided lease of h, provided that it is on addr.
func (l *Ledger) leaseAt(network string, h ipam.Holder, addr netip.Addr) *binding {
	b := l.decided[network]
	if b == nil {
		return nil
	}
	if lease := b.leases[h]; lease != nil && lease.Addr == addr {
		return lease
	}
	return nil
}

// finish stores a change, gives mu back, and waits.
func (l *Ledger) finish(ctx context.Context, change *change) error {
	ticket, err := change.store()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.await(ctx, ticket)
}

// maxDeclined is how many addresses one guest can keep from the others by declining them.
const maxDeclined = 16

// Decline notes that h found addr, which it was given, used by somebody else (RFC 2131 §3.1 step 5): nobody
// is given it until the probation is over, and h loses its lease on it. A pin stays: then only a
// warning tells. It has no effect when addr was not given to h. It is durable on return.
func (l *Ledger) Decline(ctx context.Context, network string, h ipam.Holder, addr netip.Addr) error {
	l.mu.Lock()
	now := l.now()
	l.sweep(now)
	b := l.decided[network]
	lease := l.leaseAt(network, h, addr)
	f := l.shown.offers.byAddr[placeKey{network, addr}]
	isOffered := f != nil && f.holder == h && f.until.After(now)
	if b == nil {
		l.mu.Unlock()
		return nil
	}
	if p := b.pinned[addr]; p != nil && (p.Holder == h || lease != nil) {
		l.mu.Unlock()
		l.complaint.declined(p, h, now.Add(l.opts.Probation))
		l.log.Warn("pinned address declined", "network", network, "name", h.String(), "addr", addr)
		l.watchers.send([]Event{{Kind: KindDecline, Network: network, Holder: h, Addr: addr, At: now}})
		return nil
	}
	if lease == nil && !isOffered {
		l.mu.Unlock()
		return nil
	}
	change := l.begin()
	if lease != nil {
		change.do(forget(network, h))
	}
	if b.declinedBy(h) < maxDeclined {
		change.do(putBlock(network, addr, block{Holder: h, Until: now.Add(l.opts.Probation), Declined: true}))
	}
	l.dropOffer(key{network, h})
	if len(change.ops) == 0 {
		l.mu.Unlock()
		return nil
	}
	change.events = []Event{{Kind: KindDecline, Network: network, Holder: h, Addr: addr, At: now}}
	return l.finish(ctx, change)
}

// declinedBy counts the addresses that are blocked because of the guest or client h.
func (b *book) declinedBy(h ipam.Holder) int {
	count := 0
	for _, block := range b.blocks {
		if block.Declined && (block.Holder == h || h.Guest != "" && block.Holder.Guest == h.Guest) {
			count++
		}
	}
	return count
}

// Drain keeps a, which h has moved away from, free for h alone until then: its open connections
// still use it. It is durable on return. The error is ErrTaken when a belongs to somebody already.
func (l *Ledger) Drain(ctx context.Context, network string, a netip.Addr, h ipam.Holder, until time.Time) error {
	l.mu.Lock()
	now := l.now()
	l.sweep(now)
	b := l.decided[network]
	if b == nil {
		l.mu.Unlock()
		return unknownNetwork(network)
	}
	until = time.Unix(0, until.UnixNano()).UTC()
	last, blocked := b.blocks[a]
	owner, owned := b.owners[a]
	p := b.pinned[a]
	switch {
	case p != nil && p.Holder != h && b.clientOf(p) != h, owned && owner != h, blocked && last.Holder != h:
		l.mu.Unlock()
		return &ipam.Problem{
			Code: ipam.CodeConflict, Err: ErrTaken, Hint: "who has which address: berth why " + a.String(),
			Text: fmt.Sprintf("%s can not be drained for %s: somebody else has it", a, h),
		}
	case !until.After(now), blocked && (last.Declined || !last.Until.Before(until)):
		l.mu.Unlock()
		return nil
	}
	change := l.begin()
	change.do(putBlock(network, a, block{Holder: h, Until: until}))
	return l.finish(ctx, change)
}
