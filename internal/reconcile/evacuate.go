package reconcile

import (
	"context"
	"net/netip"
	"slices"

	"berth/internal/ipam"
	"berth/internal/move"
)

// placeKey is an address on a network.
type placeKey struct {
	network string
	addr    netip.Addr
}

// evacuations are the orders for guests that keep an address for open connections only, which
// somebody is given now, whether that one runs or will start: two must never answer at it. They stay at
// the address that is theirs.
// One that is among the requests already has it added there.
func (r *Reconciler) evacuations(ctx context.Context, moves []ipam.Reassignment, requests []move.Request) []move.Request {
	var orders []move.Request
	for _, m := range moves {
		n, h := r.nets().Named(m.Network), r.ledger.Draining(m.Network, m.To)
		if n == nil || h.IsZero() || h == m.Holder {
			continue
		}
		g, ok := r.find(m.Network, h)
		if !ok || g.Namespace.IsZero() {
			continue
		}
		if i := slices.IndexFunc(requests, func(o move.Request) bool { return o.Guest == g }); i >= 0 {
			requests[i].From = append(requests[i].From, m.To) // ignored when it does not have it
			continue
		}
		v := r.look(ctx, n, g)
		if len(v.Addrs) == 0 || !slices.Contains(v.Draining, m.To) {
			continue
		}
		orders = append(orders, move.Request{
			Guest: g, From: []netip.Addr{m.To}, To: v.Addrs[0], Bits: n.Subnet.Bits(), Gateway: n.Gateway,
		})
	}
	return orders
}

func (r *Reconciler) logEvacuation(o move.Request, res move.Result) {
	if res.Err != nil {
		r.log.Warn("draining address not given up", "network", o.Guest.Bridge, "name", o.Guest.Name, "addr", o.From[0], "err", res.Err)
		return
	}
	r.log.Info("draining address given up", "network", o.Guest.Bridge, "name", o.Guest.Name, "addr", o.From[0])
}
