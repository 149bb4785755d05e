package ledger

import "time"

// sweep ends the offers and blocks whose time is over. The caller holds mu.
func (l *Ledger) sweep(now time.Time) {
	l.sweepOffers(now)
	if l.nextSweep.IsZero() || l.nextSweep.After(now) {
		return
	}
	l.nextSweep = time.Time{}
	l.show.Lock()
	defer l.show.Unlock()
	for network, b := range l.decided {
		for a, block := range b.blocks {
			if block.Until.After(now) {
				l.sweepAt(block.Until)
				continue
			}
			delete(b.blocks, a)
			l.touch(network, a)
			if p := l.pools[network]; p != nil {
				p.stale = true // whose it is may be idle
			}
			// No record tells of it: a block that is over is not loaded either.
			if seen := l.shown.books[network]; seen != nil && !seen.blocks[a].Until.After(now) {
				delete(seen.blocks, a)
			}
		}
	}
}

// sweepOffers also ends those that were made before the clock was set back: they would last too long, and
// keep the queue from being in order.
func (l *Ledger) sweepOffers(now time.Time) {
	q := l.shown.offers.queue
	isOver := func(f *offer) bool { return !f.until.After(now) || f.until.After(now.Add(offerTime)) }
	isSetBack := len(q) > 0 && isOver(q[len(q)-1])
	if len(q) == 0 || !isSetBack && !isOver(q[0]) {
		return
	}
	l.show.Lock()
	defer l.show.Unlock()
	kept := q[:0]
	for i, f := range q {
		if !isOver(f) {
			if !isSetBack {
				kept = q[i:]
				break
			}
			kept = append(kept, f)
			continue
		}
		l.shown.offers.remove(f)
		l.offerEnded(f)
	}
	if len(kept) == 0 {
		kept = nil // what a flood has made large need not stay
	}
	l.shown.offers.queue = kept
}

// offerEnded brings the pool up to date after an offer is over.
func (l *Ledger) offerEnded(f *offer) {
	l.touch(f.network, f.addr)
	if p, b := l.pools[f.network], l.decided[f.network]; p != nil && b != nil {
		if h, owned := b.owners[f.addr]; owned && h != f.holder {
			p.stale = true // it was somebody's idle one, and can be offered again
		}
	}
}

// sweepAt has sweep look at the blocks when the first of them ends.
func (l *Ledger) sweepAt(until time.Time) {
	if l.nextSweep.IsZero() || until.Before(l.nextSweep) {
		l.nextSweep = until
	}
}
