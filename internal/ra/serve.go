package ra

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Queues between the sockets and the loop. A solicitation that finds the queue full is dropped: the guest repeats it
// (RFC 4861 §6.3.7), and so does what it floods with.
const (
	solicitQueue = 64
	hearQueue    = 16
)

// session advertises on one bridge for as long as it stays what it is.
type session struct {
	*Server
	link     link
	wire     wire
	schedule schedule
	answers  answers
}

// serve returns nil when the bridge is not what l says any more, or ctx ended.
func (s *Server) serve(ctx context.Context, l link, hints <-chan struct{}) error {
	w, err := s.kernel.open(s.bridge, l)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { w.Close() })()
	defer w.Close()

	solicited, broken := make(chan packet, solicitQueue), make(chan error, 1)
	tasks.Go(func() { broken <- receive(w, solicited) })
	others := make(chan heard, hearQueue)
	tasks.Go(func() { s.listen(ctx, l, others) })

	s.mu.Lock()
	s.problem, s.source = nil, l.source
	s.mu.Unlock()
	s.isReady()
	s.opts.Log.Info("advertising as a router", "addr", l.source, "mac", l.mac)
	x := &session{Server: s, link: l, wire: w, schedule: schedule{least: s.opts.MinInterval, most: s.opts.MaxInterval}}
	return x.loop(ctx, solicited, others, hints, broken)
}

// receive reads solicitations until the socket is closed.
func receive(w wire, out chan<- packet) error {
	for {
		p, err := w.receive()
		if err != nil {
			return err
		}
		select {
		case out <- p:
		default:
		}
	}
}

// listen hears what others advertise; not being able to is no reason not to advertise.
func (s *Server) listen(ctx context.Context, l link, out chan<- heard) {
	for ctx.Err() == nil {
		err := s.hearAll(ctx, l, out)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.deafness = absent(s.bridge, err)
		s.deafness.Text = "other routers on " + s.bridge + " go unnoticed: " + err.Error()
		s.mu.Unlock()
		pause(ctx, reopenPause, nil)
	}
}

func (s *Server) hearAll(ctx context.Context, l link, out chan<- heard) error {
	e, err := s.kernel.hear(s.bridge, l)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { e.Close() })()
	defer e.Close()
	s.mu.Lock()
	s.deafness = nil
	s.mu.Unlock()
	for {
		h, err := e.receive()
		if err != nil {
			return err
		}
		select {
		case out <- h:
		default: // a flood: what was heard of it is enough
		}
	}
}

func (x *session) loop(ctx context.Context, solicited <-chan packet, others <-chan heard, hints <-chan struct{}, broken <-chan error) error {
	timer, look := time.NewTimer(0), time.NewTicker(lookInterval)
	defer timer.Stop()
	defer look.Stop()
	x.schedule.start(x.opts.Now())
	for {
		if err := x.speak(); err != nil {
			return err
		}
		timer.Reset(x.answers.next(x.schedule.next).Sub(x.opts.Now()))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case p := <-solicited:
			x.solicited(p)
		case h := <-others:
			x.hear(h)
		case <-x.changed:
			x.schedule.start(x.opts.Now())
		case err := <-broken:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case <-hints:
			if x.moved() {
				return nil
			}
		case <-look.C:
			if x.moved() {
				return nil
			}
		}
	}
}

// moved reports whether the bridge is another one now, or a changed one.
func (x *session) moved() bool {
	now, err := x.kernel.look(x.bridge)
	if err == nil && now == x.link {
		return false
	}
	if err == nil && now.source != x.link.source && now.index == x.link.index {
		// Guests would keep the old address as a second router (RFC 4861 §6.2.8); when it is gone
		// already, this fails and they find out by themselves.
		for _, message := range (advertisement{mac: now.mac}).encode() {
			_ = x.wire.send(message, allNodes)
		}
	}
	return true
}

// solicited plans the answer to a guest: to it alone, or to all when it has no address yet or there are too many
// (RFC 4861 §6.2.6).
func (x *session) solicited(p packet) {
	now := x.opts.Now()
	sol, err := parseSolicitation(p)
	if err != nil {
		x.opts.Log.Debug("router solicitation ignored", "addr", p.from, "err", err)
		return
	}
	if sol.from.IsUnspecified() || !x.answers.add(sol.from, now) {
		x.schedule.hasten(now)
	}
}

// hear notes another router. Who speaks in our name may have told guests that we are none: they are told again.
func (x *session) hear(h heard) {
	lifetime, err := parseAdvertisement(h.packet)
	if err != nil {
		return
	}
	now := x.opts.Now()
	x.mu.Lock()
	isNew := x.rivals.add(h, lifetime, now)
	x.mu.Unlock()
	if isNew {
		x.opts.Log.Warn("another router advertises", "addr", h.from, "mac", h.mac)
	}
	if h.from.WithZone("") == x.link.source {
		x.schedule.hasten(now)
	}
}

// speak sends what is due.
func (x *session) speak() error {
	now := x.opts.Now()
	if !x.schedule.next.After(now) {
		if err := x.send(allNodes, now); err != nil {
			return err
		}
		x.schedule.sent(now)
	}
	for _, to := range x.answers.ripe(now) {
		if err := x.send(to, now); err != nil {
			x.opts.Log.Debug("router solicitation not answered", "addr", to, "err", err) // it went away
		}
	}
	return nil
}

func (x *session) send(to netip.Addr, now time.Time) error {
	// Held while sending, so that nothing follows a farewell.
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.silent {
		return nil
	}
	for _, message := range x.memory.compose(x.config, x.link.mac, x.opts, now).encode() {
		if err := x.wire.send(message, to); err != nil {
			return err
		}
	}
	return nil
}
