package reconcile

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"berth/internal/guest"
	"berth/internal/ipam"
)

// A guest is looked at twice after its DHCP client was told something: when what runs inside
// should have put it into effect, and when a slow one has. It may put back, late, what it was
// told before its address changed.
const (
	lookSoon  = 150 * time.Millisecond
	lookAgain = time.Second
)

// maxRechecks bounds who waits; beyond it the patrol finds what drifts.
const maxRechecks = 8192

// rechecks is the guests to look at, earliest first: within a queue all wait equally long.
type rechecks struct {
	mu    sync.Mutex
	soon  []dueCheck
	again []dueCheck
	wake  chan struct{}
}

type dueCheck struct {
	key
	at time.Time
}

// Recheck has a guest looked at after its DHCP client was given an address. It never blocks.
func (r *Reconciler) Recheck(network string, h ipam.Holder) {
	if h.Guest != "" && !h.IsGuest() {
		return // a client behind a guest's port can not be looked into
	}
	q, now := &r.checks, time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.again) >= maxRechecks {
		return
	}
	q.soon = append(q.soon, dueCheck{key{network, h}, now.Add(lookSoon)})
	q.again = append(q.again, dueCheck{key{network, h}, now.Add(lookAgain)})
	select {
	case q.wake <- struct{}{}:
	default: // already awake
	}
}

// take removes those that are due, and says how long to wait for the next one.
func (q *rechecks) take(now time.Time) (due []key, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait = time.Hour
	for _, queue := range []*[]dueCheck{&q.soon, &q.again} {
		n := 0
		for n < len(*queue) && !(*queue)[n].at.After(now) {
			due = append(due, (*queue)[n].key)
			n++
		}
		*queue = slices.Delete(*queue, 0, n)
		if len(*queue) > 0 {
			wait = min(wait, (*queue)[0].at.Sub(now))
		}
	}
	return due, wait
}

// recheckAll looks at guests when they are due, until ctx ends.
func (r *Reconciler) recheckAll(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.checks.wake:
		case <-timer.C:
		}
		due, wait := r.checks.take(time.Now())
		timer.Reset(wait)
		var moves []ipam.Reassignment
		for _, k := range due {
			if m, drifts := r.drifts(ctx, k); drifts {
				moves = append(moves, m)
			}
		}
		if len(moves) > 0 {
			r.retry(ctx, moves)
		}
	}
}

// drifts reports whether a guest lacks the address that is its own by a pin, or has one that
// is pinned to another, and how to mend it.
func (r *Reconciler) drifts(ctx context.Context, k key) (m ipam.Reassignment, drifts bool) {
	n := r.nets().Named(k.network)
	g, ok := r.find(k.network, k.holder)
	if n == nil || !ok || g.Namespace.IsZero() || !r.mayTry(k.network, k.holder) {
		return m, false
	}
	v := r.look(ctx, n, g)
	r.nameTruly(ctx, []View{v})
	e := r.ledger.Entitled(n.Name, clientOn(g))
	if !e.Addr.IsValid() || len(v.Addrs) == 0 || slices.Contains(v.Addrs, e.Addr) {
		return m, false
	}
	if e.Origin != ipam.FromPin && !slices.ContainsFunc(v.Addrs, func(a netip.Addr) bool { return r.isPinnedToAnother(n.Name, a, v.Holder) }) {
		return m, false
	}
	return ipam.Reassignment{Network: n.Name, Holder: v.Holder, MAC: g.MAC, From: v.Addrs[0], To: e.Addr, Drain: n.Drain}, true
}

func (r *Reconciler) isPinnedToAnother(network string, a netip.Addr, h ipam.Holder) bool {
	owner, origin, ok := r.ledger.Owner(network, a)
	return ok && origin == ipam.FromPin && owner != h
}

// clientOn is the guest as DHCP would identify it.
func clientOn(g guest.Guest) ipam.Client {
	return ipam.Client{Holder: HolderOf(g), MAC: g.MAC, PinMAC: g.MAC}
}
