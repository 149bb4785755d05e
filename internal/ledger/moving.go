package ledger

import (
	"context"
	"net/netip"
	"slices"

	"berth/internal/ipam"
)

// Depart makes the names of h answer from, which it really has, until Arrive. SetPins does
// so for all who run with another address than they shall have.
func (l *Ledger) Depart(network string, h ipam.Holder, from netip.Addr) {
	l.show.Lock()
	defer l.show.Unlock()
	l.shown.depart(key{network, h}, from)
}

// Arrive makes the names of h answer the address that it shall have: it has at now; or, with an
// invalid at, it does not run any more, or will not be moved. It has no effect when h shall have
// another address than at by now: then it has not arrived.
func (l *Ledger) Arrive(network string, h ipam.Holder, at netip.Addr) {
	l.show.Lock()
	defer l.show.Unlock()
	k := key{network, h}
	if shall := l.shown.wanted(k); at.IsValid() && shall.IsValid() && shall != at {
		return
	}
	l.shown.arrive(k)
	l.shown.wake(k)
}

// wanted is the address that k shall have; invalid when none is known.
func (s *shown) wanted(k key) netip.Addr {
	b := s.books[k.network]
	if b == nil {
		return netip.Addr{}
	}
	lease := b.leases[k.holder]
	if p := b.pinFor(k.holder, pinMACOf(k.holder, lease)); p != nil {
		return p.Addr
	}
	if lease != nil {
		return lease.Addr
	}
	return netip.Addr{}
}

func (s *shown) depart(k key, from netip.Addr) {
	s.arrive(k)
	s.moving[k] = from
	s.movers[placeKey{k.network, from}] = k.holder
}

func (s *shown) arrive(k key) {
	from, ok := s.moving[k]
	if !ok {
		return
	}
	delete(s.moving, k)
	if at := (placeKey{k.network, from}); s.movers[at] == k.holder {
		delete(s.movers, at)
	}
}

// WaitAcked waits until the DHCP client of h has been told that it has a.
func (l *Ledger) WaitAcked(ctx context.Context, network string, h ipam.Holder, a netip.Addr) error {
	k := key{network, h}
	for {
		news, acked := l.ackedOrNews(k, a)
		if acked {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			l.forgetNews(k, news)
			return ctx.Err()
		}
	}
}

// ackedOrNews reports whether k's client was told a; if not, the channel is closed when there is news of it.
func (l *Ledger) ackedOrNews(k key, a netip.Addr) (chan struct{}, bool) {
	l.show.Lock()
	defer l.show.Unlock()
	if b := l.shown.books[k.network]; b != nil {
		if lease := b.leases[k.holder]; lease != nil && lease.Acked == a {
			return nil, true
		}
	}
	news := make(chan struct{})
	l.shown.acks[k] = append(l.shown.acks[k], news)
	return news, false
}

func (l *Ledger) forgetNews(k key, news chan struct{}) {
	l.show.Lock()
	defer l.show.Unlock()
	rest := slices.DeleteFunc(l.shown.acks[k], func(c chan struct{}) bool { return c == news })
	if len(rest) == 0 {
		delete(l.shown.acks, k)
		return
	}
	l.shown.acks[k] = rest
}

// wake tells all who wait for news of k. The caller holds show.
func (s *shown) wake(k key) {
	for _, news := range s.acks[k] {
		close(news)
	}
	delete(s.acks, k)
}
