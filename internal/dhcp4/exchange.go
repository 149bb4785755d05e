package dhcp4

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"berth/internal/ipam"
)

// exchange is one question and its answer. It is used again, so that answering costs no memory.
type exchange struct {
	in    [snapLen]byte
	query query
	who   who
	decision
	reply reply
	out   [frameSize]byte
}

// declines bounds how many addresses a port can put in quarantine: 16 at once, then one a minute.
type declines struct {
	mu sync.Mutex
	bucket
}

func (d *declines) allowed(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.take(now)
}

// handle decides about the frame of n bytes in x, and returns an exchange for the next one. It
// answers at once, unless the answer has to wait: then on a goroutine of its own, of which
// each port has a bounded number.
func (p *port) handle(ctx context.Context, x *exchange, n int) *exchange {
	if !p.decide(ctx, x, n) {
		return x
	}
	if x.effect <= hold && x.delay == 0 {
		p.finish(ctx, x)
		return x
	}
	select {
	case p.waiting <- struct{}{}:
	case <-ctx.Done():
		return x
	}
	p.s.tasks.Go(func() {
		p.finish(ctx, x)
		p.s.pool.Put(x)
		<-p.waiting
	})
	return p.s.pool.Get().(*exchange)
}

// decide reads the frame and fills in who asks and what to do; false: nothing.
func (p *port) decide(ctx context.Context, x *exchange, n int) bool {
	s, q, net := p.s, &x.query, p.s.net.Load()
	q.received = s.opts.Now()
	if err := q.parse(x.in[:n]); err != nil {
		s.debug(ctx, "packet dropped", p, "err", err)
		return false
	}
	if !q.isForServer(net, *s.mac.Load()) {
		return false
	}
	src, ok := p.source(ctx)
	if !ok {
		s.debug(ctx, "packet dropped: nobody knows yet what is plugged in", p, "mac", q.hardware)
		return false
	}
	if err := s.ids.identify(q, src, net, s.book, &p.last); err != nil {
		p.complain(complainImpostor, p.last, net, nil)
		return false
	}
	x.who = who{client: p.last, own: q.hardware == src.NIC, lastNAK: p.naks.of(q.hardware)}
	x.decision = answer(q, x.who, net, s.book, q.received)
	s.debug(ctx, q.kind.String()+" received", p, "mac", q.hardware, "name", p.last.Holder)
	if x.effect == keep && x.decision.reply == silence {
		s.debug(ctx, x.why, p, "mac", q.hardware)
		return false
	}
	return true
}

// isForServer reports whether a frame was sent to this server: by broadcast, or to the
// bridge's own address. The tap sees what guests send to one another as well.
func (q *query) isForServer(n *ipam.Network, bridge ipam.MAC) bool {
	if q.dst == n.Gateway {
		return true
	}
	broadcast := q.dst == limited() || q.dst.IsValid() && q.dst == n.Broadcast()
	return broadcast && (q.dstMAC == everyMAC || q.dstMAC == bridge)
}

// finish does what was decided in the book, and only then answers: what an ACK promises is stored.
func (p *port) finish(ctx context.Context, x *exchange) {
	net := p.s.net.Load()
	e, lease, ok := p.carryOut(ctx, x, net)
	if !ok || x.decision.reply == silence {
		return
	}
	if d := x.delay - p.s.opts.Now().Sub(x.query.received); d > 0 && !sleep(ctx, d) {
		return
	}
	x.reply.compose(&x.query, net, &x.decision, e, lease)
	if x.decision.reply == ack && x.query.wantsNonce() {
		x.reply.putNonce(p.s.opts.Secret, x.who.client.Holder, x.query.received)
	}
	p.send(ctx, x, net)
}

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
	case isFull(err):
		if !net.Range.IsZero() { // where only pinned guests are served it is as it should be
			p.complain(complainFull, c, net, err)
		}
	case err != nil:
		p.complain(complainDisk, c, net, err)
	case !known:
		p.crowd.note(c.Holder, now, offerMemory)
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
	if !p.declines.allowed(s.opts.Now()) {
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

// refuse turns a claim that was not granted into a NAK.
func (d *decision) refuse(why string) {
	d.effect, d.reply, d.to, d.changed, d.why = keep, nak, d.denied, false, why
}

// send writes the reply, once or for each of its destinations, and sends it out of the port.
func (p *port) send(ctx context.Context, x *exchange, net *ipam.Network) {
	s, q, c := p.s, &x.query, &x.who.client
	n := x.reply.write(x.out[headersLen:], q)
	if x.reply.dropped > 0 {
		s.debug(ctx, "reply has no room for all options", p, "mac", c.MAC)
	}
	if x.decision.reply == nak {
		p.naks.add(c.MAC, s.opts.Now())
		s.info(ctx, "refused: "+x.why, p, *c, q.claimed())
	}
	t := p.out.Load()
	for _, to := range x.destinations() {
		if !to.ip.IsValid() {
			continue
		}
		if _, err := t.Write(seal(x.out[:], n, *s.mac.Load(), net.Gateway, to)); err != nil {
			s.debug(ctx, "reply not sent", p, "mac", c.MAC, "err", err)
			return
		}
	}
	s.debug(ctx, x.decision.reply.String()+" sent", p, "mac", c.MAC, "addr", x.reply.yours)
}

// claimed is the address that a request is about.
func (q *query) claimed() netip.Addr {
	if q.requested.IsValid() {
		return q.requested
	}
	return q.client
}

// destinations are where the reply goes (RFC 2131 §4.1); the second may be invalid.
func (x *exchange) destinations() [2]address {
	q := &x.query
	everyone := address{everyMAC, limited(), clientPort}
	// A client behind a router of the guest is reached through whoever sent the frame.
	holder := address{q.hardware, q.client, clientPort}
	if q.src == q.client {
		holder.mac = q.srcMAC
	}
	switch x.to {
	case toRelay:
		return [2]address{{q.srcMAC, q.relay, serverPort}}
	case toHolder:
		return [2]address{holder}
	case toEveryoneAndHolder:
		return [2]address{everyone, holder}
	case toNewAddress:
		if !q.broadcast() && x.reply.yours.IsValid() {
			return [2]address{{q.hardware, x.reply.yours, clientPort}}
		}
	}
	return [2]address{everyone}
}

func (s *Server) info(ctx context.Context, text string, p *port, c ipam.Client, a netip.Addr) {
	s.log.LogAttrs(ctx, slog.LevelInfo, text, slog.String("name", c.Holder.String()),
		slog.String("mac", c.MAC.String()), slog.String("addr", a.String()), slog.String("port", p.name))
}

// debug logs about a packet, at no cost when nobody reads it.
func (s *Server) debug(ctx context.Context, text string, p *port, args ...any) {
	if s.log.Enabled(ctx, slog.LevelDebug) {
		s.log.DebugContext(ctx, text, append(args, "port", p.name)...)
	}
}
