package daemon

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"berth/internal/control"
	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/reconcile"
)

// rowKey is a holder on a network: one row of berth ls.
type rowKey struct {
	network string
	holder  ipam.Holder
}

// facts is all that is known of one holder before it is judged.
type facts struct {
	net     *ipam.Network
	holder  ipam.Holder
	pin     *ipam.Pin
	lease   *ipam.Lease
	view    *reconcile.View // its own NIC; nil: not plugged in, or a client behind a guest's port
	behind  *guest.Guest    // whose port it is behind
	client  string
	squats  string // whose address its NIC has, in words
	trouble error
	now     time.Time
}

// Guests lists everybody who is pinned, has a lease, or is plugged in.
func (d *Daemon) Guests(ctx context.Context) ([]control.Guest, error) {
	all := make(map[rowKey]*facts)
	now := time.Now()
	get := func(n *ipam.Network, h ipam.Holder) *facts {
		k := rowKey{n.Name, h}
		if all[k] == nil {
			all[k] = &facts{net: n, holder: h, now: now}
		}
		return all[k]
	}
	byMAC := make(map[rowKey]*facts) // whose own NIC has the hardware address
	for _, n := range d.networks() {
		for _, v := range d.reconciler.Observe(ctx, n) {
			f := get(n, v.Holder)
			f.view = &v
			f.client = d.reconciler.Client(ctx, v.Guest)
			f.trouble = d.reconciler.Trouble(n.Name, v.Holder)
			if !v.Guest.MAC.IsZero() {
				byMAC[rowKey{n.Name, ipam.ByMAC(v.Guest.MAC)}] = f
			}
		}
	}
	for _, l := range d.ledger.Leases() {
		n := d.networks().Named(l.Network)
		if n == nil {
			continue
		}
		f := get(n, l.Holder)
		f.lease = &l
		if !l.Holder.IsGuest() && l.Holder.Guest != "" {
			if g, ok := d.index.ByName(n.Name, l.Holder.Guest); ok {
				f.behind = &g
			}
		}
	}
	for _, p := range d.ledger.Pins() {
		n := d.networks().Containing(p.Addr)
		if n == nil {
			continue
		}
		f := byMAC[rowKey{n.Name, p.Holder}]
		if f == nil || f.pin != nil && p.Holder.Guest == "" {
			owner, _, _ := d.ledger.Owner(n.Name, p.Addr)
			if owner.IsZero() || p.Holder.Guest != "" {
				owner = p.Holder
			}
			f = get(n, owner)
		}
		if f.pin == nil || p.Holder.Guest != "" {
			f.pin = &p
		}
	}
	rows := make([]control.Guest, 0, len(all))
	for _, f := range all {
		f.squats = d.squats(f)
		rows = append(rows, d.row(f))
	}
	d.states.keep(all)
	slices.SortFunc(rows, func(a, b control.Guest) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Name, b.Name))
	})
	return rows, nil
}

// row judges what is known of one holder.
func (d *Daemon) row(f *facts) control.Guest {
	g := control.Guest{
		Name: f.holder.String(), Network: f.net.Name, Domain: f.net.Domain, Client: f.client,
		Pinned: []netip.Addr{}, Leased: []netip.Addr{}, Configured: []netip.Addr{}, DNS: []netip.Addr{},
	}
	name := ipam.DNSName(f.holder.Guest)
	if f.pin != nil {
		g.Pinned = append(g.Pinned, f.pin.Addr)
		name = f.pin.DNSName()
	}
	if f.holder.IsGuest() || f.pin != nil {
		if addrs, _ := d.ledger.LookupName(f.net.Name, name); name != "" {
			g.DNS = append(g.DNS, addrs...)
		}
	}
	if l := f.lease; l != nil {
		g.MAC = macText(l.MAC)
		if l.Acked.IsValid() && !l.Idle {
			g.Leased = append(g.Leased, l.Acked)
			g.Expiry = l.Expiry
		}
	}
	if v := f.view; v != nil {
		g.Configured = append(g.Configured, v.Addrs...)
		g.Draining = v.Draining
		g.Port, g.Runtime = v.Guest.Port, v.Guest.Runtime
		if !v.Guest.MAC.IsZero() {
			g.MAC = macText(v.Guest.MAC)
		}
	} else if f.behind != nil {
		g.Port, g.Runtime = f.behind.Port, f.behind.Runtime
	}
	g.State, g.Note, g.Expected = f.judge()
	g.Since = d.states.since(rowKey{f.net.Name, f.holder}, g.State, f.now)
	return g
}

func macText(m ipam.MAC) string {
	if m.IsZero() {
		return ""
	}
	return m.String()
}

// states remembers since when each row is in its state.
type states struct {
	mu   sync.Mutex
	seen map[rowKey]seenState
}

type seenState struct {
	state control.State
	since time.Time
}

func (s *states) since(k rowKey, state control.State, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[rowKey]seenState)
	}
	if was := s.seen[k]; was.state == state {
		return was.since
	}
	s.seen[k] = seenState{state, now}
	return now
}

// keep forgets those that are no more.
func (s *states) keep(present map[rowKey]*facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.seen {
		if present[k] == nil {
			delete(s.seen, k)
		}
	}
}
