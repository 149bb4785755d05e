package move

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// change is what becomes of one interface, worked out from what was read. It is pure: it only
// makes the orders, of which each method gives one batch.
type change struct {
	was     nic
	from    []netip.Addr // what the guest leaves
	gives   []netip.Addr // what another guest of the same set takes: not kept for a moment longer
	to      netip.Addr
	bits    int
	gateway netip.Addr
	drain   time.Duration
	parked  bool // the placeholder was put on the interface
}

// linger is for how long an old address without drain stays until its connections have been closed;
// then it is removed, and should berth end in between, the kernel does it.
const linger = 2 * time.Second

// model is the address in whose place the new one comes; ok is false when there is none. A draining
// one is no model: it has seconds to live and no subnet.
func (c *change) model() (address, bool) {
	for _, a := range c.leaving() {
		if !a.isDraining(c.bits) {
			return a, true
		}
	}
	return address{}, false
}

// leaving are the entries that go or become draining, in the order of from.
func (c *change) leaving() []address {
	var all []address
	for _, addr := range slices.Concat(c.from, c.gives) {
		for _, a := range entries(c.was.addrs, addr) {
			if addr != c.to && !a.isThere(all) {
				all = append(all, a)
			}
		}
	}
	return all
}

// target is the new address as it shall be, and whether the guest had it, other than draining, before.
func (c *change) target() (a address, had bool) {
	model, ok := c.model()
	a = fresh(c.to, c.bits)
	if ok {
		a = model.as(c.to, c.bits)
	}
	for _, own := range entries(c.was.addrs, c.to) {
		if !own.isDraining(c.bits) {
			own.preferred, own.valid = max(own.preferred, a.preferred), max(own.valid, a.valid)
			return own, true
		}
	}
	return a, false
}

// isGiven reports whether another takes the address.
func (c *change) isGiven(a netip.Addr) bool { return slices.Contains(c.gives, a) }

// kept are the addresses that go on as draining ones.
func (c *change) kept() []address {
	var all []address
	for _, a := range c.leaving() {
		if c.isGiven(a.addr) || len(entries(all, a.addr)) > 0 {
			continue
		}
		all = append(all, a.drained(cmp.Or(c.drain, linger)))
	}
	return all
}

// placeholder keeps an interface from being without any address, which would lose it all its routes.
// Nobody may choose it (RFC 3927 §2.1 reserves its range), and of this scope it is nobody's source.
func placeholder() address {
	a := netip.AddrFrom4([4]byte{169, 254, 255, 1})
	return address{addr: a, peer: a, bits: 32, scope: unix.RT_SCOPE_HOST, flags: unix.IFA_F_NOPREFIXROUTE, preferred: 10, valid: 10}
}

// release gives up what another takes, before the new address can be had.
func (c *change) release() []order {
	c.parked = true
	orders := c.promote(nil, true)
	orders = append(orders, addOrder(placeholder(), c.was.index))
	return c.deleteGiven(orders)
}

func (c *change) deleteGiven(orders []order) []order {
	for _, a := range c.leaving() {
		if c.isGiven(a.addr) {
			orders = append(orders, deleteOrder(a, c.was.index))
		}
	}
	return orders
}

// take makes the guest have its new address. The order matters: at no moment is the guest without an
// address, a route, or its old address while that drains.
func (c *change) take() []order {
	target, _ := c.target()
	orders := c.promote(nil, true)
	orders = append(orders, addOrder(target, c.was.index))
	for _, a := range c.kept() {
		orders = append(orders, addOrder(a, c.was.index))
	}
	for _, t := range c.turns() {
		orders = append(orders, t.now.replaceOrder(t.source))
	}
	for _, a := range c.leaving() {
		if !a.isDraining(c.bits) && !c.isGiven(a.addr) {
			orders = append(orders, deleteOrder(a, c.was.index))
		}
	}
	orders = c.deleteGiven(orders)
	for _, a := range entries(c.was.addrs, c.to) {
		if a.isDraining(c.bits) {
			orders = append(orders, deleteOrder(a, c.was.index))
		}
	}
	return c.unpark(orders)
}

// finish removes what was kept only until its connections had been closed.
func (c *change) finish() []order {
	var orders []order
	if c.drain > 0 {
		return nil
	}
	for _, a := range c.kept() {
		orders = append(orders, deleteOrder(a, c.was.index))
	}
	return orders
}

// repeat removes again what the guest put back meanwhile.
func (c *change) repeat(now []address) []order {
	var orders []order
	for _, a := range c.lingering(now) {
		orders = append(orders, deleteOrder(a, c.was.index))
	}
	return orders
}

// lingering are the addresses that should be gone but are there.
func (c *change) lingering(now []address) []address {
	var all []address
	for _, a := range now {
		gone := slices.Contains(c.from, a.addr) && a.addr != c.to && !a.isDraining(c.bits)
		if gone || c.isGiven(a.addr) {
			all = append(all, a)
		}
	}
	return all
}

// drop gives up the new address again, when another must have it back first.
func (c *change) drop() []order {
	c.parked = true
	orders := []order{addOrder(placeholder(), c.was.index)}
	if target, had := c.target(); !had {
		orders = append(orders, deleteOrder(target, c.was.index))
	}
	return orders
}

// restore makes the interface what it was.
func (c *change) restore() []order {
	target, had := c.target()
	orders := c.promote(nil, true)
	for _, a := range c.leaving() {
		orders = append(orders, addOrder(a, c.was.index))
	}
	for _, a := range entries(c.was.addrs, c.to) {
		orders = append(orders, addOrder(a, c.was.index))
	}
	for _, t := range c.turns() {
		if t.now.to != t.was.to || t.made {
			orders = append(orders, t.now.deleteOrder(t.source))
		}
		if !t.made {
			orders = append(orders, t.was.replaceOrder(t.was.source))
		}
	}
	if !had {
		orders = append(orders, deleteOrder(target, c.was.index))
	}
	for _, a := range c.kept() {
		if !a.isThere(c.was.addrs) {
			orders = append(orders, deleteOrder(a, c.was.index))
		}
	}
	return c.promote(c.unpark(orders), c.was.promotes)
}

func (c *change) unpark(orders []order) []order {
	if !c.parked {
		return orders
	}
	return append(orders, deleteOrder(placeholder(), c.was.index))
}

// promote sets promote_secondaries unless it is so already. It stays on after a move: the next
// change that the guest's own client makes would be as deadly without it.
func (c *change) promote(orders []order, on bool) []order {
	if c.was.promotes {
		return orders
	}
	return append(orders, promoteOrder(c.was.index, on))
}

// turn is a route that gets another source.
type turn struct {
	was, now route
	source   netip.Addr
	made     bool // it was not there before
}

// turns are the routes to change, those on the link first: the others need them.
func (c *change) turns() []turn {
	model, ok := c.model()
	if !ok {
		if !c.gateway.IsValid() || c.was.hasDefault() {
			return nil
		}
		return []turn{{now: defaultRoute(c.gateway, c.was.index), made: true}}
	}
	target, _ := c.target()
	var all []turn
	for _, r := range c.was.routes {
		t := turn{was: r, now: r, source: r.source}
		if slices.ContainsFunc(c.leaving(), func(a address) bool { return a.addr == r.source }) {
			t.source = c.to
		}
		readdress := model.prefix() != target.prefix()
		if readdress && (t.source != r.source || r.isBy(c.was.index, model.prefix())) {
			t.now = r.readdressed(model.prefix(), target.prefix(), c.gateway)
		}
		if !r.source.IsValid() && r.isBy(c.was.index, model.prefix()) && c.hasOtherHeir(model) {
			t.source = c.to
		}
		if t.source != r.source || t.now.to != r.to || t.now.gateway != r.gateway {
			all = append(all, t)
		}
	}
	slices.SortStableFunc(all, func(a, b turn) int { return cmp.Compare(b.was.scope(), a.was.scope()) })
	return all
}

// hasOtherHeir reports whether a further address of the guest becomes the first of the subnet, and so
// the source of all routes that name none, once model is gone.
func (c *change) hasOtherHeir(model address) bool {
	heir := c.was.heir(model)
	return !model.isSecondary() && heir.IsValid() && heir != c.to
}
