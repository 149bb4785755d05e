package ledger

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// Why an address is not given out.
var (
	// ErrTaken says that an address is not the client's to have.
	ErrTaken = errors.New("the address belongs to somebody else")
	// ErrFull says that no address of the range is free.
	ErrFull = errors.New("the range is full")
)

// offerTime is how long an offered address is held for its client.
const offerTime = 60 * time.Second

// offer is an address held in memory until its client asks for it. It is never changed, only replaced.
type offer struct {
	key
	addr  netip.Addr
	until time.Time
}

// offers are the offers in force, and those that ran out but were not swept yet. All last
// equally long, so the queue is in the order of their ends.
type offers struct {
	byHolder map[key]*offer
	byAddr   map[placeKey]*offer
	queue    []*offer
}

func newOffers() offers {
	return offers{byHolder: map[key]*offer{}, byAddr: map[placeKey]*offer{}}
}

func (o *offers) add(f *offer) {
	o.byHolder[f.key] = f
	o.byAddr[placeKey{f.network, f.addr}] = f
	o.queue = append(o.queue, f)
}

func (o *offers) remove(f *offer) {
	if o.byHolder[f.key] == f {
		delete(o.byHolder, f.key)
	}
	if at := (placeKey{f.network, f.addr}); o.byAddr[at] == f {
		delete(o.byAddr, at)
	}
}

// Entitled is what is decided, and stored, for a client at this moment; its Addr is
// invalid when nothing is. It does no I/O.
func (l *Ledger) Entitled(network string, c ipam.Client) ipam.Entitlement {
	l.show.RLock()
	defer l.show.RUnlock()
	b, n := l.shown.books[network], l.shown.nets[network]
	if b == nil || n == nil {
		return ipam.Entitlement{}
	}
	e := entitled(b, n, c)
	if e.Addr.IsValid() {
		return e
	}
	if f := l.shown.offers.byHolder[key{network, c.Holder}]; f != nil && f.until.After(l.opts.Now()) {
		e.Addr, e.Origin = f.addr, ipam.FromOffer
	}
	return e
}

// entitled is what a book says that a client may have.
func entitled(b *book, n *ipam.Network, c ipam.Client) ipam.Entitlement {
	var e ipam.Entitlement
	own := b.leaseFor(c.Holder, c.PinMAC)
	if own != nil {
		e.Acked, e.Expiry = own.Acked, own.Expiry
		e.Name = leaseName(own, n.TrustHostname)
	}
	if p := b.pinFor(c.Holder, c.PinMAC); p != nil && isUsable(n, p.Addr) {
		e.Addr, e.Origin, e.LeaseTime = p.Addr, ipam.FromPin, p.LeaseTime
		if name := p.DNSName(); name != "" {
			e.Name = name
		}
		return e
	}
	// An adopted lease may lie at an address that was meanwhile pinned to its former holder.
	if own != nil && isUsable(n, own.Addr) && b.pinned[own.Addr] == nil {
		e.Addr, e.Origin = own.Addr, ipam.FromLease
	}
	return e
}

// Offer finds an address for a client: its pin, its own lease, what it was offered before, the
// one it asks for (requested, may be invalid) when that is free and in the range, or a free
// one. When the range is full, the address that has been idle longest is taken. What is
// offered is held for a minute, in memory only. Errors are *ipam.Problem; ErrFull is one.
func (l *Ledger) Offer(network string, c ipam.Client, requested netip.Addr) (ipam.Entitlement, error) {
	asked := probes{}
	for {
		e, missing, err := l.offer(network, c, requested, asked)
		if len(missing) == 0 {
			return e, err
		}
		l.probe(asked, missing)
	}
}

// offer tries to find an address with what is known of who is running; missing names those that it
// would have to know.
func (l *Ledger) offer(network string, c ipam.Client, requested netip.Addr, asked probes) (e ipam.Entitlement, missing []key, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, now := l.pools[network], l.now()
	if p == nil {
		return e, nil, unknownNetwork(network)
	}
	l.sweep(now)
	b := l.decided[network]
	if e = entitled(b, p.net, c); e.Addr.IsValid() {
		return e, nil, nil
	}
	e.Origin = ipam.FromOffer
	k := key{network, c.Holder}
	switch f := l.shown.offers.byHolder[k]; {
	case f != nil && l.mayHave(b, p, c, f.addr, now):
		e.Addr = f.addr
		if f.until.Sub(now) > offerTime/2 {
			return e, nil, nil // held long enough: the queue need not grow
		}
	case p.isFree(requested):
		e.Addr = requested
	default:
		var ok bool
		if e.Addr, ok = p.free(p.start(c.Holder, c.MAC)); ok {
			break
		}
		var victim *binding
		if victim, missing = l.reclaim(p, b, now, asked); len(missing) > 0 {
			return e, missing, nil
		}
		if victim == nil {
			return ipam.Entitlement{}, nil, fullProblem(p.net)
		}
		e.Addr = victim.Addr
	}
	l.hold(&offer{key: k, addr: e.Addr, until: now.Add(offerTime)})
	return e, nil, nil
}

// hold puts an offer in the place of the holder's last one.
func (l *Ledger) hold(f *offer) {
	l.show.Lock()
	last := l.shown.offers.byHolder[f.key]
	if last != nil {
		l.shown.offers.remove(last)
	}
	l.shown.offers.add(f)
	l.show.Unlock()
	if last != nil {
		l.offerEnded(last)
	}
	l.touch(f.network, f.addr)
}

// dropOffer ends a holder's offer. The caller holds mu.
func (l *Ledger) dropOffer(k key) {
	f := l.shown.offers.byHolder[k]
	if f == nil {
		return
	}
	l.show.Lock()
	l.shown.offers.remove(f)
	l.show.Unlock()
	l.offerEnded(f)
}

func unknownNetwork(network string) *ipam.Problem {
	return &ipam.Problem{
		Code: ipam.CodeNotFound, Text: fmt.Sprintf("there is no network %s", network),
		Hint: "the networks are in: berth status",
	}
}

func fullProblem(n *ipam.Network) *ipam.Problem {
	return &ipam.Problem{
		Code: ipam.CodeFull, Err: ErrFull,
		Text: fmt.Sprintf("no address of %s is free on network %s", n.Range, n.Name),
		Hint: "make dhcp-range larger in berth.toml, or pin the guest to an address outside it",
	}
}
