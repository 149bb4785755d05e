package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/move"
)

// Outcome is what became of one reassignment.
type Outcome struct {
	ipam.Reassignment
	Running bool
	Had     []netip.Addr // what the guest had in the subnet before
	Took    time.Duration
	Lost    time.Duration // for how long it had neither address
	Steps   []move.Step
	Settled <-chan struct{} // closed when its DHCP client knows; nil when nothing was to be told
	Err     error
}

// Execute carries out the reassignments as one step and returns when every running
// guest really has its address, or could not be moved and is as it was. The
// outcomes are in the order of moves.
// A guest that could not be moved before and is in the way of one of them is tried once more,
// too; its outcome follows.
func (r *Reconciler) Execute(ctx context.Context, moves []ipam.Reassignment) []Outcome {
	r.changing.Lock()
	defer r.changing.Unlock()
	return r.execute(ctx, moves)
}

// retry is Execute for what nobody asked for just now: a guest that failed a moment ago is left alone.
func (r *Reconciler) retry(ctx context.Context, moves []ipam.Reassignment) {
	r.changing.Lock()
	defer r.changing.Unlock()
	moves = slices.DeleteFunc(moves, func(m ipam.Reassignment) bool { return !r.mayTry(m.Network, m.Holder) })
	if len(moves) > 0 {
		r.execute(ctx, moves)
	}
}

// execute is Execute with changing held.
func (r *Reconciler) execute(ctx context.Context, moves []ipam.Reassignment) []Outcome {
	began := time.Now()
	moves = r.withBlockers(moves)
	outcomes := make([]Outcome, len(moves))
	var requests []move.Request
	var index []int // of the outcome, for each request
	for i, m := range moves {
		outcomes[i] = Outcome{Reassignment: m}
		if !r.isDue(m) {
			continue // decided otherwise meanwhile: whoever did carries that out
		}
		req, ok := r.request(ctx, m, &outcomes[i])
		if !ok {
			r.stay(m, &outcomes[i])
			continue
		}
		requests = append(requests, req)
		index = append(index, i)
	}
	r.drain(ctx, outcomes, index)
	requests = append(requests, r.evacuations(ctx, moves, requests)...)
	results := move.DoAll(ctx, requests, func(i int) {
		if i < len(index) {
			m := outcomes[index[i]].Reassignment
			r.ledger.Arrive(m.Network, m.Holder, m.To)
		}
	})
	for i, res := range results {
		if i >= len(index) {
			r.logEvacuation(requests[i], res)
			continue
		}
		o := &outcomes[index[i]]
		o.Steps, o.Lost, o.Took, o.Err = res.Steps, res.Lost, time.Since(began), res.Err
		if errors.Is(o.Err, guest.ErrGone) { // it gets its address when it starts again
			o.Err, o.Running = nil, false
			r.ledger.Arrive(o.Network, o.Holder, netip.Addr{})
			continue
		}
		r.record(o)
		switch {
		case o.Err != nil && len(o.Had) > 0:
			r.ledger.Depart(o.Network, o.Holder, o.Had[0]) // its name had switched before the move failed
		case o.Err == nil:
			r.log.Info("guest moved", "network", o.Network, "name", o.Holder, "addr", o.To, "from", o.Had, "dur", o.Took)
			o.Settled = r.settle(ctx, requests[i].Guest, o.Reassignment)
		}
	}
	return outcomes
}

// request makes the mover's order for one reassignment; ok is false when there is
// no running guest to move, or nothing to move it from.
func (r *Reconciler) request(ctx context.Context, m ipam.Reassignment, o *Outcome) (req move.Request, ok bool) {
	n := r.nets().Named(m.Network)
	g, found := r.find(m.Network, m.Holder)
	if n == nil || !found || g.Namespace.Inode == 0 {
		return req, false
	}
	v := r.look(ctx, n, g)
	o.Running, o.Had = true, v.Addrs
	if slices.Contains(v.Addrs, m.To) {
		return req, false
	}
	from := r.leaves(v, m)
	switch {
	case len(v.Addrs) == 0 && r.clientOf(ctx, g) != NoClient:
		// Its DHCP client is about to ask, and will be given the address then.
		o.Settled = r.settle(ctx, g, m)
		return req, false
	}
	return move.Request{
		Guest: g, From: from, To: m.To,
		Bits: n.Subnet.Bits(), Gateway: n.Gateway, Drain: m.Drain,
	}, true
}

// stay is for who is not moved: it does not run, or has its address, or is about to ask for it.
func (r *Reconciler) stay(m ipam.Reassignment, o *Outcome) {
	if o.Running && len(o.Had) > 0 {
		r.ledger.Arrive(m.Network, m.Holder, m.To)
		return
	}
	r.ledger.Arrive(m.Network, m.Holder, netip.Addr{})
}

// leaves is which of a guest's addresses the new one comes in place of: the one it is moved from, or
// the one that DHCP gave it, or its only one. Of several that nobody here gave it, all stay.
func (r *Reconciler) leaves(v View, m ipam.Reassignment) []netip.Addr {
	lease, _ := r.ledger.Lease(m.Network, m.Holder)
	for _, a := range []netip.Addr{lease.Acked, lease.Addr, m.From} {
		if a.IsValid() && slices.Contains(v.Addrs, a) {
			return []netip.Addr{a}
		}
	}
	if len(v.Addrs) > 1 {
		return nil
	}
	return v.Addrs
}

// isDue reports whether the address still is the holder's.
func (r *Reconciler) isDue(m ipam.Reassignment) bool {
	owner, _, ok := r.ledger.Owner(m.Network, m.To)
	return ok && (owner == m.Holder || !m.MAC.IsZero() && owner == ipam.ByMAC(m.MAC))
}

// drain stores, before anything moves, that nobody else is given an old address
// while its guest still answers there.
func (r *Reconciler) drain(ctx context.Context, outcomes []Outcome, index []int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	until := time.Now()
	taken := make(map[placeKey]bool)
	for _, o := range outcomes {
		taken[placeKey{o.Network, o.To}] = true
	}
	for _, i := range index {
		m := outcomes[i].Reassignment
		if m.Drain <= 0 || !m.From.IsValid() || taken[placeKey{m.Network, m.From}] {
			continue // given up at once: another takes it in the same step
		}
		wg.Go(func() {
			if err := r.ledger.Drain(ctx, m.Network, m.From, m.Holder, until.Add(m.Drain)); err != nil {
				r.log.Log(ctx, drainLevel(err), "old address not kept free while it drains", "network", m.Network, "addr", m.From, "err", err)
			}
		})
	}
}

// drainLevel is how bad it is: that an address is somebody else's by now is no trouble.
func drainLevel(err error) slog.Level {
	var p *ipam.Problem
	if errors.As(err, &p) && p.Code == ipam.CodeConflict {
		return slog.LevelDebug
	}
	return slog.LevelError
}

// find is the plugged-in guest that holds addresses as h on its own NIC.
func (r *Reconciler) find(network string, h ipam.Holder) (guest.Guest, bool) {
	for _, g := range r.guests.Snapshot() {
		if g.Bridge != network {
			continue
		}
		if HolderOf(g) == h || h.Guest == "" && g.MAC == h.MAC {
			return g, true
		}
	}
	return guest.Guest{}, false
}
