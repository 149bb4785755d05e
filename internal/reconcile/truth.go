package reconcile

import (
	"context"
	"slices"

	"berth/internal/ipam"
)

// nameTruly makes the names of guests answer an address that they really have: what they shall
// have when they have it, else what they have instead of it. A guest without any address is on its way
// to what it shall have.
func (r *Reconciler) nameTruly(ctx context.Context, views []View) {
	for _, v := range views {
		n := r.nets().Named(v.Network)
		if n == nil || v.Guest.Namespace.IsZero() || len(v.Addrs) == 0 {
			continue
		}
		shall := r.ledger.Entitled(n.Name, clientOn(v.Guest)).Addr
		switch {
		case !shall.IsValid():
		case slices.Contains(v.Addrs, shall):
			r.ledger.Arrive(n.Name, v.Holder, shall)
		default:
			r.nameAsIs(ctx, n, v)
		}
	}
}

// nameAsIs makes a guest's name answer what it has, unless it has what it shall have after
// all: it may have been moved since it was looked at.
func (r *Reconciler) nameAsIs(ctx context.Context, n *ipam.Network, v View) {
	r.changing.Lock()
	defer r.changing.Unlock()
	g, ok := r.find(n.Name, v.Holder)
	if !ok {
		return
	}
	now := r.look(ctx, n, g)
	shall := r.ledger.Entitled(n.Name, clientOn(g)).Addr
	if len(now.Addrs) > 0 && shall.IsValid() && !slices.Contains(now.Addrs, shall) {
		r.ledger.Depart(n.Name, v.Holder, now.Addrs[0])
	}
}
