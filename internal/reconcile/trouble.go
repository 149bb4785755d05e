package reconcile

import (
	"net/netip"
	"slices"
	"time"

	"berth/internal/ipam"
)

// trouble is a guest that could not be moved.
type trouble struct {
	move  ipam.Reassignment
	had   []netip.Addr // which it still has
	err   error
	since time.Time
	next  time.Time
	tries int
}

// The first retry and the longest pause between two.
const (
	retryFirst = 2 * time.Second
	retryMost  = 5 * time.Minute
)

// record remembers how a move ended.
func (r *Reconciler) record(o *Outcome) {
	k := key{o.Network, o.Holder}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.Err == nil {
		delete(r.trouble, k)
		return
	}
	now := time.Now()
	t := r.trouble[k]
	if t == nil {
		t = &trouble{since: now}
		r.trouble[k] = t
	}
	t.err, t.move, t.had = o.Err, o.Reassignment, o.Had
	t.next = now.Add(min(retryFirst<<min(t.tries, 10), retryMost))
	t.tries++
	r.log.Warn("guest not moved", "network", o.Network, "name", o.Holder, "addr", o.To, "err", o.Err)
}

// mayTry reports whether a guest that failed to move before may be tried again.
func (r *Reconciler) mayTry(network string, h ipam.Holder) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.trouble[key{network, h}]
	return t == nil || !time.Now().Before(t.next)
}

// Trouble says why the holder's guest could not be moved, or nil.
func (r *Reconciler) Trouble(network string, h ipam.Holder) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.trouble[key{network, h}]; t != nil {
		return t.err
	}
	return nil
}

// Unmoved is a guest that could not be moved.
type Unmoved struct {
	Network string
	Holder  ipam.Holder
	To      netip.Addr
	Err     error
}

// Troubles lists the guests that could not be moved and still should be, in no order.
func (r *Reconciler) Troubles() []Unmoved {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Unmoved
	for k, t := range r.trouble {
		g, plugged := r.find(k.network, k.holder)
		if !plugged || !r.isDue(ipam.Reassignment{Network: k.network, Holder: k.holder, MAC: g.MAC, To: t.move.To}) {
			delete(r.trouble, k)
			continue
		}
		all = append(all, Unmoved{k.network, k.holder, t.move.To, t.err})
	}
	return all
}

// overdue are the guests that could not be moved and may be tried again, without those in due.
func (r *Reconciler) overdue(due []ipam.Reassignment) []ipam.Reassignment {
	r.mu.Lock()
	defer r.mu.Unlock()
	var again []ipam.Reassignment
	for k, t := range r.trouble {
		isIn := slices.ContainsFunc(due, func(m ipam.Reassignment) bool { return m.Network == k.network && m.Holder == k.holder })
		if !isIn && !time.Now().Before(t.next) {
			again = append(again, t.move)
		}
	}
	return again
}

// withBlockers adds, to moves, those of guests that could not be moved before and still have an
// address that one of moves takes: only in one step with theirs it may be taken.
func (r *Reconciler) withBlockers(moves []ipam.Reassignment) []ipam.Reassignment {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.trouble) == 0 {
		return moves
	}
	all := slices.Clip(moves)
	for k, t := range r.trouble {
		isIn := slices.ContainsFunc(moves, func(m ipam.Reassignment) bool { return m.Network == k.network && m.Holder == k.holder })
		blocks := slices.ContainsFunc(moves, func(m ipam.Reassignment) bool { return m.Network == k.network && slices.Contains(t.had, m.To) })
		if !isIn && blocks {
			all = append(all, t.move)
		}
	}
	return all
}
