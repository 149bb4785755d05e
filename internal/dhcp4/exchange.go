package dhcp4

import (
	"context"
	"log/slog"
	"net/netip"

	"berth/internal/ipam"
)

// exchange is one question and its answer. It is used again, so that answering costs no memory.
type exchange struct {
	in    [snapLen]byte
	query query
	who   who
	decision
	reply reply
	name  string // of the client in DNS, by now
	out   [frameSize]byte
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
		s.debug(ctx, p, note{text: "packet dropped", err: err})
		return false
	}
	if !q.isForServer(net, *s.mac.Load()) {
		return false
	}
	src, ok := p.source(ctx)
	if !ok {
		s.debug(ctx, p, note{text: "packet dropped: nobody knows yet what is plugged in", kind: q.kind, mac: q.hardware})
		return false
	}
	if err := s.ids.identify(q, src, net, s.book, &p.last); err != nil {
		p.complain(complainImpostor, p.last, net, nil)
		return false
	}
	x.who = who{client: p.last, own: q.hardware == src.NIC, lastNAK: p.naks.of(q.hardware)}
	x.decision = answer(q, x.who, net, s.book, q.received)
	ignored := x.effect == keep && x.decision.reply == silence
	told := note{text: "received", kind: q.kind, mac: q.hardware, addr: q.claimed()}
	if ignored {
		told.why = x.why
	}
	s.debug(ctx, p, told)
	if ignored {
		s.debug(ctx, p, note{text: x.why, kind: q.kind, mac: q.hardware, addr: q.claimed()})
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
	x.name = e.Name
	x.reply.compose(&x.query, net, &x.decision, e, lease)
	if x.decision.reply == ack && x.query.wantsNonce() {
		x.reply.putNonce(p.s.opts.Secret, x.who.client.Holder, x.query.received)
	}
	p.send(ctx, x, net)
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
		s.debug(ctx, p, note{text: "reply has no room for all options", kind: x.decision.reply, mac: c.MAC})
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
			s.debug(ctx, p, note{text: "reply not sent", kind: x.decision.reply, mac: c.MAC, err: err})
			return
		}
	}
	s.debug(ctx, p, x.sent())
}

// sent is what is worth knowing about the reply.
func (x *exchange) sent() note {
	n := note{text: "sent", kind: x.decision.reply, mac: x.who.client.MAC, addr: x.reply.yours}
	switch {
	case n.kind == nak:
		n.addr, n.why = x.query.claimed(), x.why
	case n.kind == ack && !n.addr.IsValid():
		n.addr = x.reply.client // RFC 2131 §4.3.5: the answer to an INFORM gives no address
	}
	if n.kind == ack {
		n.name = x.name
	}
	return n
}

// claimed is the address that a request is about. What a DISCOVER has in ciaddr is about nothing.
func (q *query) claimed() netip.Addr {
	if q.requested.IsValid() || q.kind == discover {
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

// info logs what happened to a client. A guest that asks for it again and again fills no log with it: what
// goes beyond a few lines a second is for those who look at packets.
func (s *Server) info(ctx context.Context, text string, p *port, c ipam.Client, a netip.Addr) {
	if !p.lines.allowed(s.opts.Now()) {
		s.debug(ctx, p, note{text: text, mac: c.MAC, addr: a})
		return
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, text, slog.String("name", c.Holder.String()),
		slog.String("mac", c.MAC.String()), slog.String("addr", a.String()), slog.String("port", p.name))
}

// note is what is worth knowing about one packet when somebody looks for a fault.
type note struct {
	text string
	kind messageType
	mac  ipam.MAC
	addr netip.Addr
	name string
	why  string // that of an answer which says no, or of none
	err  error
}

// debug logs about a packet, at no cost when nobody reads it.
func (s *Server) debug(ctx context.Context, p *port, n note) {
	if !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("port", p.name)}
	if n.kind != silence {
		attrs = append(attrs, slog.String("type", n.kind.String()))
	}
	if !n.mac.IsZero() {
		attrs = append(attrs, slog.String("mac", n.mac.String()))
	}
	if n.addr.IsValid() {
		attrs = append(attrs, slog.String("addr", n.addr.String()))
	}
	if n.name != "" {
		attrs = append(attrs, slog.String("name", n.name))
	}
	if n.why != "" {
		attrs = append(attrs, slog.String("err", n.why))
	}
	if n.err != nil {
		attrs = append(attrs, slog.Any("err", n.err))
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, n.text, attrs...)
}
