package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"berth/internal/ipam"
	"berth/internal/ledger/journal"
)

// Bind gives addr to a client for leaseTime (ipam.NeverExpires: for ever) and returns when that
// is durable: from then on it may be told. The address must be its pin, its own, or one that
// Offer could have found for it; else the error is ErrTaken. When the disk fails, a new binding is
// refused with ErrDisk, but one to the address that the client is stored to have is given
// all the same, and stored when the disk is well again.
func (l *Ledger) Bind(ctx context.Context, network string, c ipam.Client, addr netip.Addr, leaseTime time.Duration) (ipam.Lease, error) {
	l.mu.Lock()
	bound, ticket, err := l.bind(network, c, addr, leaseTime)
	l.mu.Unlock()
	if err != nil {
		return ipam.Lease{}, err
	}
	if err := l.await(ctx, ticket); err != nil {
		if errors.Is(err, ErrDisk) && l.renewInMemory(c, bound) {
			return bound.Lease, nil
		}
		return ipam.Lease{}, err
	}
	return bound.Lease, nil
}

func (l *Ledger) bind(network string, c ipam.Client, addr netip.Addr, leaseTime time.Duration) (*binding, journal.Ticket, error) {
	p, now := l.pools[network], l.now()
	if p == nil {
		return nil, journal.Ticket{}, unknownNetwork(network)
	}
	l.sweep(now)
	b := l.decided[network]
	if e := entitled(b, p.net, c); e.Addr != addr && (e.Addr.IsValid() || !l.mayHave(b, p, c, addr, now)) {
		return nil, journal.Ticket{}, l.takenProblem(b, c, addr, e.Addr)
	}
	own := b.leaseFor(c.Holder, c.PinMAC)
	bound := newBinding(network, c, addr, own, now, leaseTime)
	change := l.begin()
	l.displace(change, b, bound, own)
	change.do(putLease(bound))
	l.carry(change)
	event := Event{Kind: KindLease, Network: network, Holder: c.Holder, Addr: addr, At: now}
	if own != nil {
		event.From = own.Acked
		if own.Acked == addr && !own.isIdle(now) {
			event.Kind = KindRenew
		}
	}
	change.events = append(change.events, event)
	k := key{network, c.Holder}
	change.also = func() { l.shown.arrive(k) } // its client has been told, or is about to be
	l.dropOffer(k)
	ticket, err := change.store()
	return bound, ticket, err
}

func newBinding(network string, c ipam.Client, addr netip.Addr, own *binding, now time.Time, leaseTime time.Duration) *binding {
	bound := &binding{PinMAC: c.PinMAC, Lease: ipam.Lease{
		Network: network, Holder: c.Holder, Addr: addr, Acked: addr, MAC: c.MAC,
		ClientID: clientID(c.ClientID), Hostname: hostname(c.Hostname), Start: now,
	}}
	if own != nil && own.Addr == addr && !own.isIdle(now) {
		bound.Start = own.Start
	}
	if leaseTime < ipam.NeverExpires {
		bound.Expiry = now.Add(leaseTime)
	}
	return bound
}

// clientID is the stored form of option 61; what is longer than one option can be is cut.
func clientID(raw string) string { return hex.EncodeToString([]byte(raw[:min(len(raw), 255)])) }

// hostname is what is kept of the name that a client claims: one label, or nothing.
func hostname(claimed string) string {
	name := strings.ToLower(claimed)
	if strings.ContainsAny(name, ".:") || ipam.CheckName(name) != nil {
		return ""
	}
	return name
}

// displace takes away what stands in the way of a binding that is bound's to have: the idle lease
// whose address was taken back, and what the same network card had under another name.
func (l *Ledger) displace(change *change, b *book, bound, own *binding) {
	if h, ok := b.owners[bound.Addr]; ok && h != bound.Holder {
		if own == nil || h != own.Holder {
			change.events = append(change.events, Event{Kind: KindEvict, Network: bound.Network, Holder: h, From: bound.Addr, At: l.now()})
		}
		change.do(forget(bound.Network, h))
	}
	h, ok := b.byMAC[bound.PinMAC]
	if bound.PinMAC.IsZero() || !ok || h == bound.Holder {
		return
	}
	if h == ipam.ByMAC(bound.PinMAC) {
		change.do(forget(bound.Network, h))
		return
	}
	other := *b.leases[h]
	other.PinMAC = ipam.MAC{}
	change.do(putLease(&other))
}

// mayHave reports whether a client for whom nothing is decided may have a: a free address of the
// range, one that it was offered, or one that it is draining.
func (l *Ledger) mayHave(b *book, p *pool, c ipam.Client, a netip.Addr, now time.Time) bool {
	if p.isFree(a) {
		return true
	}
	if _, ok := p.index(a); !ok || !isUsable(p.net, a) || b.pinned[a] != nil {
		return false
	}
	if block, ok := b.blocks[a]; ok && (block.Declined || block.Holder != c.Holder) {
		return false
	}
	f := l.shown.offers.byAddr[placeKey{p.net.Name, a}]
	isOffered := f != nil && f.until.After(now)
	if isOffered && f.holder != c.Holder {
		return false
	}
	if h, ok := b.owners[a]; ok && h != c.Holder {
		// Only Offer takes back what is idle.
		return isOffered && b.leases[h].isIdle(now)
	}
	return true
}

// takenProblem says who has addr, or what the client should ask for instead.
func (l *Ledger) takenProblem(b *book, c ipam.Client, addr, due netip.Addr) error {
	p := &ipam.Problem{Code: ipam.CodeConflict, Err: ErrTaken}
	switch {
	case due.IsValid():
		p.Text = fmt.Sprintf("%s has %s, not %s", c.Holder, due, addr)
	case b.pinned[addr] != nil:
		p.Text = fmt.Sprintf("%s is pinned to %s (%s)", addr, b.pinned[addr].Holder, b.pinned[addr].current().Source)
	default:
		p.Text = fmt.Sprintf("%s is not free for %s", addr, c.Holder)
		if h, ok := b.owners[addr]; ok {
			p.Text = fmt.Sprintf("%s belongs to %s", addr, h)
		}
	}
	p.Hint = "who has which address: berth ls"
	return p
}

// renewInMemory extends, while the disk fails, a binding to an address that is stored to be the client's.
// It reports whether it is.
func (l *Ledger) renewInMemory(c ipam.Client, bound *binding) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.show.Lock()
	defer l.show.Unlock()
	n, seen := l.shown.nets[bound.Network], l.shown.books[bound.Network]
	if n == nil || seen == nil || entitled(seen, n, c).Addr != bound.Addr {
		return false
	}
	b := l.decided[bound.Network]
	owner, owned := b.owners[bound.Addr]
	undecided := b.leases[c.Holder] == seen.leases[c.Holder]
	pinMAC, spoken := b.byMAC[bound.PinMAC]
	if undecided && (!owned || owner == c.Holder) && (!spoken || pinMAC == c.Holder) {
		renewal := putLease(bound)
		undo := b.apply(renewal)
		l.touchOp(renewal)
		l.touchOp(undo)        // it may have been at another address than its pin
		l.shown.apply(renewal) // the snapshot that heals the journal has it from there
		l.shown.arrive(key{bound.Network, c.Holder})
		l.unstored[key{bound.Network, c.Holder}] = true
	}
	return true
}

// carry has a change store some of the leases that were renewed in memory, too: the snapshot that healed
// the journal may have been taken just before.
func (l *Ledger) carry(c *change) {
	const together = 32
	if len(l.unstored) == 0 || l.journal.Status().Err != nil {
		return
	}
	for k := range l.unstored {
		if len(c.carried) == together {
			return
		}
		delete(l.unstored, k)
		if lease := l.decided[k.network].leases[k.holder]; lease != nil {
			c.do(putLease(lease))
			c.carried = append(c.carried, k)
		}
	}
}
