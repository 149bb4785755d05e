package ledger

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"berth/internal/ipam"
)

// plan works out who has to move for a new set of pins. It lives while mu is held.
type plan struct {
	l       *Ledger
	diff    *pinDiff
	asked   probes
	missing []key
	now     time.Time
	due     []*due
	seen    map[key]*due
	change  Change
	depart  map[key]netip.Addr // who runs with another address than it shall have
}

// due is somebody whose address may have to change.
type due struct {
	key
	before  netip.Addr // invalid: none
	lease   *binding   // before; nil: none
	evicted bool
}

// newPlan collects whom a difference concerns: the clients of all pins that come or go, and whoever
// has an address that is pinned now or that its network does not allow any more.
func newPlan(l *Ledger, d *pinDiff, asked probes) *plan {
	p := &plan{l: l, diff: d, asked: asked, now: l.now(), seen: map[key]*due{}, depart: map[key]netip.Addr{}}
	p.change.Problems = slices.Clone(d.problems)
	for _, gone := range slices.Concat(d.removed, d.replaced) {
		p.change.Removed = append(p.change.Removed, gone.current())
		p.concern(gone.network, d.books[gone.network].clientOf(gone))
	}
	for _, come := range d.added {
		p.change.Added = append(p.change.Added, come.Pin)
		b := d.books[come.network]
		p.concern(come.network, b.clientOf(come))
		if h, ok := b.owners[come.Addr]; ok {
			p.concern(come.network, h)
		}
	}
	for _, n := range d.nets {
		if !d.renumbered[n.Name] {
			continue
		}
		for _, lease := range d.books[n.Name].displaced(n) {
			p.concern(n.Name, lease.Holder)
		}
	}
	return p
}

// displaced are the leases that lie where a network allows none, in the order of their addresses: a plan
// must come out the same when it is carried out.
func (b *book) displaced(n *ipam.Network) []*binding {
	var out []*binding
	for _, lease := range b.leases {
		if !isUsable(n, lease.Addr) {
			out = append(out, lease)
		}
	}
	slices.SortFunc(out, func(x, y *binding) int { return x.Addr.Compare(y.Addr) })
	return out
}

// concern adds a holder.
func (p *plan) concern(network string, h ipam.Holder) {
	k := key{network, h}
	if p.seen[k] != nil {
		return
	}
	if _, known := p.asked[k]; !known {
		p.missing = append(p.missing, k)
	}
	b := p.diff.books[network]
	d := &due{key: k, lease: b.leases[h]}
	switch now := b.pinFor(h, pinMACOf(h, d.lease)); {
	case now != nil:
		d.before = now.Addr
	case d.lease != nil:
		d.before = d.lease.Addr
	}
	p.seen[k] = d
	p.due = append(p.due, d)
}

// pinMACOf is the hardware address by which pins apply to a holder, as far as is known.
func pinMACOf(h ipam.Holder, lease *binding) ipam.MAC {
	if lease != nil {
		return lease.PinMAC
	}
	if h.Guest == "" {
		return h.MAC
	}
	return ipam.MAC{}
}

// decide does all of it in the decided tables: first the pins, then those whose address follows from
// them, then those who need a free one.
func (p *plan) decide(c *change) {
	for _, gone := range p.diff.removed {
		c.do(unpin(gone))
		c.events = append(c.events, Event{Kind: KindUnpin, Network: gone.network, Holder: gone.Holder, From: gone.Addr, At: p.now})
	}
	for _, come := range p.diff.added {
		c.do(putPin(come))
		c.events = append(c.events, Event{Kind: KindPin, Network: come.network, Holder: come.Holder, Addr: come.Addr, At: p.now})
	}
	var homeless []*due
	for _, d := range p.due {
		if !p.follow(c, d) {
			homeless = append(homeless, d)
		}
	}
	for _, d := range p.due {
		p.vacate(c, d)
	}
	for _, d := range homeless {
		p.rehouse(c, d)
	}
	for _, d := range p.due {
		p.report(c, d)
	}
}

// follow gives d the address that its pin says, or lets it keep its own; false when it needs another.
func (p *plan) follow(c *change, d *due) bool {
	b, n := p.l.bookOf(d.network), p.l.shown.nets[d.network]
	now := b.pinFor(d.holder, pinMACOf(d.holder, d.lease))
	switch {
	case now != nil && d.lease != nil && d.lease.Addr != now.Addr:
		c.do(putLease(d.lease.at(now.Addr)))
	case now != nil, n == nil:
	case d.lease == nil:
		p.keepAsLease(c, b, n, d)
	case b.pinned[d.lease.Addr] != nil:
		return false
	case !isUsable(n, d.lease.Addr):
		return !p.asked[d.key].running // who does not run is given another when it comes back
	}
	return true
}

// keepAsLease makes an idle lease of what d was pinned to and never asked for by DHCP, when it runs: a
// name that was only ever written down keeps nothing.
func (p *plan) keepAsLease(c *change, b *book, n *ipam.Network, d *due) {
	_, owned := b.owners[d.before]
	if !p.asked[d.key].running || !isUsable(n, d.before) || owned || b.pinned[d.before] != nil {
		return
	}
	c.do(putLease(&binding{PinMAC: pinMACOf(d.holder, nil), Lease: ipam.Lease{
		Network: d.network, Holder: d.holder, Addr: d.before, Start: p.now, Expiry: p.now, Idle: true,
	}}))
}

// at is the lease with another address; what its client was told stays.
func (b *binding) at(a netip.Addr) *binding {
	moved := *b
	moved.Addr = a
	return &moved
}

// moveMargin is added to a network's drain: the drain begins only when the guest has moved.
const moveMargin = 10 * time.Second

// maxVacated bounds how long an address stays reserved for a client that can not be told to leave it.
const maxVacated = 24 * time.Hour

// vacate keeps the address that d leaves from being given out while d still uses it.
func (p *plan) vacate(c *change, d *due) {
	b := p.l.bookOf(d.network)
	from := d.before
	if found := p.asked[d.key]; found.running && found.addr.IsValid() {
		from = found.addr
	}
	if _, owned := b.owners[from]; !from.IsValid() || owned || b.pinned[from] != nil {
		return
	}
	until := p.now
	switch found := p.asked[d.key]; {
	case found.running:
		if n := p.l.shown.nets[d.network]; n != nil {
			until = p.now.Add(n.Drain + moveMargin)
		}
	case d.lease != nil && !d.holder.IsGuest() && d.lease.Acked == from && !d.lease.isIdle(p.now):
		until = d.lease.Expiry
		if until.IsZero() || until.Sub(p.now) > maxVacated {
			until = p.now.Add(maxVacated)
		}
	}
	if last, ok := b.blocks[from]; until.After(p.now) && (!ok || last.Until.Before(until)) {
		c.do(putBlock(d.network, from, block{Holder: d.holder, Until: until}))
	}
}

// rehouse finds a free address for one who must leave its own, or takes its lease away.
func (p *plan) rehouse(c *change, d *due) {
	d.evicted = true
	b, pool := p.l.bookOf(d.network), p.l.pools[d.network]
	a, ok := pool.free(pool.start(d.holder, d.lease.MAC))
	idle := d.lease.isIdle(p.now) && !p.asked[d.key].running
	if !ok && !idle {
		victim, missing := p.l.reclaim(pool, b, p.now, p.asked)
		p.missing = append(p.missing, missing...)
		if victim != nil {
			a, ok = victim.Addr, true
			c.do(forget(victim.Network, victim.Holder))
			c.events = append(c.events, Event{Kind: KindEvict, Network: victim.Network, Holder: victim.Holder, From: a, At: p.now})
		}
	}
	if ok {
		c.do(putLease(d.lease.at(a)))
		return
	}
	c.do(forget(d.network, d.holder))
	if idle {
		return
	}
	lost := &ipam.Problem{
		Code: ipam.CodeFull, Hint: "make dhcp-range larger in berth.toml, or pin the guest to an address outside it",
		Text: fmt.Sprintf("%s has to leave %s, and no address of %s is free", d.holder, d.before, pool.net.Range),
	}
	if pinned := b.pinned[d.lease.Addr]; pinned != nil {
		lost.Text = fmt.Sprintf("%s has to leave %s, which is pinned to %s, and no address of %s is free",
			d.holder, d.before, pinned.Holder, pool.net.Range)
		lost.Source = pinned.Source
	}
	p.change.Problems = append(p.change.Problems, lost)
}

// report adds d to the moves when its address has changed.
func (p *plan) report(c *change, d *due) {
	b := p.l.bookOf(d.network)
	lease := b.leases[d.holder]
	var to netip.Addr
	if now := b.pinFor(d.holder, pinMACOf(d.holder, d.lease)); now != nil {
		to = now.Addr
	} else if lease != nil {
		to = lease.Addr
	}
	kind := KindMove
	if d.evicted {
		kind = KindEvict
	}
	if to != d.before {
		c.events = append(c.events, Event{Kind: kind, Network: d.network, Holder: d.holder, Addr: to, From: d.before, At: p.now})
	}
	from := d.before
	if found := p.asked[d.key]; found.running && found.addr.IsValid() {
		from = found.addr
		if to.IsValid() && from != to {
			p.depart[d.key] = from
		}
	}
	if !to.IsValid() || from == to {
		return
	}
	move := ipam.Reassignment{Network: d.network, Holder: d.holder, From: from, To: to, Evicted: d.evicted}
	if d.lease != nil {
		move.MAC = d.lease.MAC
	}
	if n := p.l.shown.nets[d.network]; n != nil {
		move.Drain = n.Drain
	}
	p.change.Moves = append(p.change.Moves, move)
}

// prepare has the names of those who run switch when they have arrived, and all others at once.
func (p *plan) prepare(c *change) {
	for _, pool := range p.l.pools {
		pool.stale = true // who was pinned may be idle now
	}
	c.also = func() {
		for _, d := range p.due {
			if from, runs := p.depart[d.key]; runs {
				p.l.shown.depart(d.key, from)
			} else {
				p.l.shown.arrive(d.key)
			}
		}
	}
}
