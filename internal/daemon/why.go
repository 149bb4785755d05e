package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"berth/internal/control"
	"berth/internal/ipam"
)

// Why implements control.Daemon: which line, lease or range decided an address, or the
// addresses of a guest.
func (d *Daemon) Why(ctx context.Context, name string) (control.Why, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return d.whyAddr(ctx, a.Unmap()), nil
	}
	h, err := d.parseHolder(name)
	if err != nil {
		return control.Why{}, err
	}
	w := control.Why{Subject: name, Name: h.String(), Origin: "none"}
	for _, n := range d.networks() {
		d.whyHolder(ctx, &w, n, h)
	}
	if len(w.Because) == 0 {
		return w, &ipam.Problem{Code: ipam.CodeNotFound, Text: fmt.Sprintf("no guest, pin or lease is called %q", name), Hint: "berth ls"}
	}
	return w, nil
}

// whyHolder adds what is known of a holder on one network.
func (d *Daemon) whyHolder(ctx context.Context, w *control.Why, n *ipam.Network, h ipam.Holder) {
	f := d.factsOf(ctx, n, h)
	if f.view != nil && f.view.Holder != h { // asked for by the hardware address of a guest with a name
		h = f.view.Holder
		f = d.factsOf(ctx, n, h)
		w.Name = h.String()
	}
	if f.pin == nil && f.lease == nil && f.view == nil {
		return
	}
	say := func(format string, args ...any) { w.Because = append(w.Because, fmt.Sprintf(format, args...)) }
	claim := func(origin string, a netip.Addr, source string) {
		if w.Addr == "" {
			w.Origin, w.Addr, w.Source = origin, a.String(), source
		}
	}
	if p := f.pin; p != nil {
		claim("pin", p.Addr, p.Source.String())
		say("%s is pinned to %s by %s", h, p.Addr, p.Source)
	}
	if l := f.lease; l != nil {
		claim("lease", l.Addr, "")
		say("%s", leaseWords(h, l))
		if f.pin == nil && n.Range.Contains(l.Addr) {
			say("%s lies in the range %s of network %s, and stays with %s as long as it exists", l.Addr, n.Range, n.Name, h)
		}
	}
	switch v := f.view; {
	case v == nil:
		say("it is not plugged into %s now", n.Name)
	case len(v.Addrs) == 0:
		say("it runs at port %s and has no address of %s", v.Guest.Port, n.Subnet)
	default:
		say("it runs at port %s and really has %s", v.Guest.Port, join(v.Addrs))
		for _, a := range v.Draining {
			say("its former address %s is draining: open connections still use it", a)
		}
	}
	if f.trouble != nil {
		say("it could not be moved: %v", f.trouble)
	}
}

func leaseWords(h ipam.Holder, l *ipam.Lease) string {
	switch {
	case l.Idle:
		return fmt.Sprintf("%s holds %s, but its DHCP client does not use it now", h, l.Addr)
	case !l.Acked.IsValid():
		return fmt.Sprintf("%s holds %s; its DHCP client was not told yet", h, l.Addr)
	case l.Expiry.IsZero():
		return fmt.Sprintf("its DHCP client was given %s for ever, on %s", l.Acked, l.Start.Local().Format(time.DateTime))
	}
	return fmt.Sprintf("its DHCP client was given %s until %s, first on %s", l.Acked, l.Expiry.Local().Format(time.DateTime), l.Start.Local().Format(time.DateTime))
}

// whyAddr says whose an address is, strongest fact first.
func (d *Daemon) whyAddr(ctx context.Context, a netip.Addr) control.Why {
	w := control.Why{Subject: a.String(), Addr: a.String()}
	say := func(format string, args ...any) { w.Because = append(w.Because, fmt.Sprintf(format, args...)) }
	n := d.networks().Containing(a)
	if n == nil {
		w.Origin = "outside"
		say("%s is outside every network of %s", a, d.configPath())
		return w
	}
	if a == n.Gateway {
		w.Origin, w.Source = "gateway", d.configPath()
		say("%s is the gateway of network %s: the host itself", a, n.Name)
		return w
	}
	if refused := n.Refuse(a); refused != nil {
		w.Origin = "outside"
		say("%s", refused.Text)
		return w
	}
	if h, origin, ok := d.ledger.Owner(n.Name, a); ok {
		w.Origin, w.Name = string(origin), h.String()
		if origin == ipam.FromOffer {
			say("%s is offered to %s, which has not asked for it yet", a, h)
			return w
		}
		for _, p := range d.ledger.Pins() {
			if p.Addr == a {
				w.Source = p.Source.String()
			}
		}
		inner := control.Why{}
		d.whyHolder(ctx, &inner, n, h)
		w.Because = append(w.Because, inner.Because...)
		return w
	}
	for _, v := range d.reconciler.Observe(ctx, n) {
		switch {
		case slices.Contains(v.Draining, a):
			w.Origin, w.Name = "draining", v.Holder.String()
			say("%s moved away from %s, which drains: open connections still use it", v.Holder, a)
			return w
		case slices.Contains(v.Addrs, a):
			w.Origin, w.Name = "none", v.Holder.String()
			say("nobody was given %s, but %s uses it: a static address", a, v.Holder)
			return w
		}
	}
	w.Origin = "free"
	if n.Range.Contains(a) {
		say("%s is free: in the range %s of network %s", a, n.Range, n.Name)
	} else {
		say("%s is free: outside the range %s of network %s, so only a pin gives it", a, n.Range, n.Name)
	}
	return w
}
