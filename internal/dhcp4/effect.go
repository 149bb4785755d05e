package dhcp4

import (
	"context"
	"errors"
	"time"

	"berth/internal/ipam"
)

// carryOut changes the book. ok is false when there is nothing to say.
func (p *port) carryOut(ctx context.Context, x *exchange, net *ipam.Network) (e ipam.Entitlement, lease time.Duration, ok bool) {
	book, c := p.s.book, x.who.client
	var err error
	switch x.effect {
	case keep:
		return book.Entitled(net.Name, c), 0, true
	case giveUp, quarantine:
		return e, 0, p.takeBack(ctx, x, net)
	case hold, holdBind:
		if e, err = p.offer(x, net); err != nil {
			return e, 0, false
		}
	case claim:
		if e, err = p.offer(x, net); err != nil && !isFull(err) {
			return e, 0, false
		}
		if e.Addr != x.addr {
			x.refuse(whyOther)
			return e, 0, true
		}
	case bind:
		if e = book.Entitled(net.Name, c); e.Addr != x.addr {
			return e, 0, false // it changed this very moment; the client asks again
		}
	}
	if !net.Subnet.Contains(e.Addr) {
		p.complain(complainPlace, c, net, nil)
		return e, 0, false
	}
	lease = leaseTime(&x.query, net, e)
	if x.effect == hold {
		p.troubles.offered(c.Holder)
		return e, lease, true
	}
	return p.assign(ctx, x, net, e, lease)
}

// offer finds an address for the client of x. An error was said already.
func (p *port) offer(x *exchange, net *ipam.Network) (ipam.Entitlement, error) {
	c, now := x.who.client, x.query.received
	known := x.who.own || p.s.book.Entitled(net.Name, c).Addr.IsValid()
	if !known && !net.Range.IsZero() && !p.crowd.admits(c.Holder, share(net), now) {
		p.complain(complainCrowd, c, net, nil)
		return ipam.Entitlement{}, errCrowd
	}
	e, err := p.s.book.Offer(net.Name, c, x.addr)
	switch {
	case err == nil && !known:
		p.crowd.note(c.Holder, now, offerMemory)
	case err == nil:
	case !isFull(err):
		p.complain(complainDisk, c, net, err)
	case !net.Range.IsZero(): // where only pinned guests are served it is as it should be
		p.complain(complainFull, c, net, err)
	}
	return e, err
}

var errCrowd = errors.New("the port has its share of the range")

// takeBack releases or declines an address.
func (p *port) takeBack(ctx context.Context, x *exchange, net *ipam.Network) bool {
	ctx, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	s, c := p.s, x.who.client
	if x.effect == giveUp {
		if err := s.book.Release(ctx, net.Name, c.Holder, x.addr); err != nil {
			p.complain(complainDisk, c, net, err)
			return false
		}
		p.crowd.gone(c.Holder)
		s.info(ctx, x.why, p, c, x.addr)
		return true
	}
	if !p.declined.allowed(s.opts.Now()) {
		p.complain(complainDeclines, c, net, nil)
		return false
	}
	if err := s.book.Decline(ctx, net.Name, c.Holder, x.addr); err != nil {
		p.complain(complainDisk, c, net, err)
		return false
	}
	// RFC 2131 §4.3.3: the operator is told.
	s.log.Warn("address declined: somebody else uses it", "name", c.Holder, "mac", c.MAC, "addr", x.addr, "port", p.name)
	return true
}

// assign gives the client the address of e, durably.
func (p *port) assign(ctx context.Context, x *exchange, net *ipam.Network, e ipam.Entitlement, lease time.Duration) (ipam.Entitlement, time.Duration, bool) {
	ctx, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	s, c := p.s, x.who.client
	if _, err := s.book.Bind(ctx, net.Name, c, e.Addr, lease); err != nil {
		p.complain(complainDisk, c, net, err)
		return e, 0, false
	}
	p.troubles.served(c.Holder)
	if !x.who.own {
		p.crowd.note(c.Holder, s.opts.Now(), lease)
	}
	x.changed = x.changed || e.Acked.IsValid() && e.Acked != e.Addr
	if e.Name == "" {
		e.Name = s.book.Entitled(net.Name, c).Name // it has one by being bound
	}
	if x.changed || !e.Acked.IsValid() {
		s.info(ctx, x.why, p, c, e.Addr)
	}
	return e, lease, true
}
