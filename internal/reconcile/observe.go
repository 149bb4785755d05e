package reconcile

import (
	"context"
	"net/netip"
	"sync"

	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/move/client"
)

// observers is how many namespaces are read at a time.
const observers = 8

// Observe reads the addresses of every guest that is plugged into the network.
func (r *Reconciler) Observe(ctx context.Context, n *ipam.Network) []View {
	var views []View
	for _, g := range r.guests.Snapshot() {
		if g.Bridge == n.Name {
			views = append(views, View{Guest: g})
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, observers)
	for i := range views {
		slots <- struct{}{}
		wg.Go(func() {
			views[i] = r.look(ctx, n, views[i].Guest)
			<-slots
		})
	}
	wg.Wait()
	return views
}

// Look reads the guest that holds addresses as h on its own NIC; false: none is plugged in.
func (r *Reconciler) Look(ctx context.Context, n *ipam.Network, h ipam.Holder) (View, bool) {
	g, ok := r.find(n.Name, h)
	if !ok {
		return View{}, false
	}
	return r.look(ctx, n, g), true
}

// Client is the name of the DHCP client that the guest's NIC has, as last looked for.
func (r *Reconciler) Client(ctx context.Context, g guest.Guest) string {
	if g.Namespace.IsZero() {
		return ""
	}
	return r.clientOf(ctx, g)
}

// look reads one guest. A guest that can not be read (a VM, or it is just ending)
// shows no address.
func (r *Reconciler) look(ctx context.Context, n *ipam.Network, g guest.Guest) View {
	v := View{Network: n.Name, Guest: g, Holder: HolderOf(g)}
	if g.Namespace.Inode == 0 {
		return v
	}
	prefixes, err := guest.Addresses(ctx, g)
	if err != nil {
		r.log.Debug("addresses of guest not read", "network", n.Name, "name", g.Name, "err", err)
		return v
	}
	for _, p := range prefixes {
		switch {
		case !n.Subnet.Contains(p.Addr()):
		case p.Bits() == 32 && n.Subnet.Bits() < 32:
			v.Draining = append(v.Draining, p.Addr())
		default:
			v.Addrs = append(v.Addrs, p.Addr())
		}
	}
	return v
}

// Running answers the ledger: which address the holder really has now.
func (r *Reconciler) Running(network string, h ipam.Holder) (netip.Addr, bool) {
	n := r.nets().Named(network)
	g, ok := r.find(network, h)
	if n == nil || !ok || g.Namespace.Inode == 0 {
		return netip.Addr{}, false
	}
	v := r.look(context.Background(), n, g)
	if len(v.Addrs) == 0 {
		return netip.Addr{}, false
	}
	if l, ok := r.ledger.Lease(network, h); ok {
		for _, a := range v.Addrs {
			if a == l.Addr {
				return a, true
			}
		}
	}
	return v.Addrs[0], true
}

// NoClient is the client of a guest that runs none.
const NoClient = client.None

// clientKey tells one incarnation of a guest's NIC from the next.
type clientKey struct {
	inode uint64
	nic   string
}

// clientOf is the name of the DHCP client that the guest's NIC had when it was last
// looked for; it is looked for when it is not known or was none.
func (r *Reconciler) clientOf(ctx context.Context, g guest.Guest) string {
	k := clientKey{g.Namespace.Inode, g.NIC}
	r.mu.Lock()
	name := r.clients[k]
	r.mu.Unlock()
	if name != "" && name != NoClient {
		return name
	}
	name = client.Detect(ctx, g).Name()
	r.mu.Lock()
	r.clients[k] = name
	r.mu.Unlock()
	return name
}
