package ledger

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"berth/internal/ipam"
)

// probe is what was observed of a holder.
type probe struct {
	addr    netip.Addr // what it really has
	running bool
}

// probes is what was observed while a decision is being made. Observing needs other people's
// locks, so it happens between two attempts at the decision, with ours given back.
type probes map[key]probe

// SetRunning sets how to observe a holder: the address that it has in the kernel now, invalid when
// none; false when it does not run. Without it nobody runs. It may be called at any time except inside f.
func (l *Ledger) SetRunning(f func(network string, h ipam.Holder) (netip.Addr, bool)) {
	l.observe.Lock()
	defer l.observe.Unlock()
	l.observer = f
}

// probe adds to asked what can be observed of some holders. No lock is held.
func (l *Ledger) probe(asked probes, holders []key) {
	l.observe.RLock()
	f := l.observer
	l.observe.RUnlock()
	for _, k := range holders {
		var p probe
		if f != nil {
			p.addr, p.running = f(k.network, k.holder)
		}
		asked[k] = p
	}
}

// idleRefresh is how often the leases of a full range are gone through for idle ones, at most: a
// flood of clients beyond the range must not make every request cost what the range does.
const idleRefresh = time.Second

// reclaim finds the lease that has been idle longest and whose holder does not run. It may ask to
// have some holders probed first.
func (l *Ledger) reclaim(p *pool, b *book, now time.Time, asked probes) (victim *binding, missing []key) {
	for p.mustCollect(now) || len(p.idle) > 0 {
		if p.mustCollect(now) {
			p.collectIdle(b, now)
		}
		if victim, missing = l.fromIdle(p, b, now, asked); victim != nil || len(missing) > 0 {
			return victim, missing
		}
	}
	return nil, nil
}

// fromIdle is reclaim for those on the list.
func (l *Ledger) fromIdle(p *pool, b *book, now time.Time, asked probes) (victim *binding, missing []key) {
	together := max(32, len(asked)) // twice as many each time: however many run, the attempts are few
	for len(p.idle) > 0 {
		lease := b.leases[p.idle[0]]
		if !l.isReclaimable(p, b, lease, now) {
			p.idle = p.idle[1:]
			continue
		}
		found, known := asked[key{lease.Network, lease.Holder}]
		if !known {
			for _, h := range p.idle[:min(together, len(p.idle))] {
				missing = append(missing, key{lease.Network, h})
			}
			return nil, missing
		}
		p.idle = p.idle[1:]
		if !found.running {
			return lease, nil
		}
		p.stale = true // it may stop
	}
	return nil, nil
}

func (l *Ledger) isReclaimable(p *pool, b *book, lease *binding, now time.Time) bool {
	if lease == nil || !lease.isIdle(now) || b.pinned[lease.Addr] != nil {
		return false
	}
	if _, blocked := b.blocks[lease.Addr]; blocked {
		return false
	}
	f := l.shown.offers.byAddr[placeKey{lease.Network, lease.Addr}]
	if f != nil && f.until.After(now) {
		return false
	}
	_, inRange := p.index(lease.Addr)
	return inRange && isUsable(p.net, lease.Addr)
}

func (p *pool) mustCollect(now time.Time) bool {
	switch {
	case p.idleFrom.IsZero():
		return true
	case len(p.idle) > 0 && !p.stale:
		return false
	}
	// A clock that was set back must not put it off until it has caught up.
	return now.Before(p.idleFrom) || !p.idleFrom.Add(idleRefresh).After(now)
}

// recollect has the idle leases gone through again at the next need. It follows what took some of them
// off the list and was not carried out.
func (l *Ledger) recollect(nets ipam.Networks) {
	for _, n := range nets {
		if p := l.pools[n.Name]; p != nil {
			p.idle, p.idleFrom = nil, time.Time{}
		}
	}
}

// released notes that a lease is idle from now on, later than all that are on the list; others may have
// expired since that was made.
func (p *pool) released(h ipam.Holder) {
	p.stale = true
	if p.idleFrom.IsZero() {
		return
	}
	if len(p.idle) >= p.size {
		p.idle, p.idleFrom = nil, time.Time{} // many times the same ones
		return
	}
	p.idle = append(p.idle, h)
}

func (p *pool) collectIdle(b *book, now time.Time) {
	p.idleFrom, p.stale = now, false
	p.idle = p.idle[:0]
	for h, lease := range b.leases {
		if _, ok := p.index(lease.Addr); ok && lease.isIdle(now) {
			p.idle = append(p.idle, h)
		}
	}
	slices.SortFunc(p.idle, func(x, y ipam.Holder) int {
		a, b := b.leases[x], b.leases[y]
		return cmp.Or(a.Expiry.Compare(b.Expiry), a.Addr.Compare(b.Addr))
	})
}
