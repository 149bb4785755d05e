package daemon

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"berth/internal/control"
	"berth/internal/ipam"
)

// Status implements control.Daemon.
func (d *Daemon) Status(context.Context) (control.Status, error) {
	st := d.ledger.Status()
	d.warnings.set("ledger", st.Warnings)
	d.warnings.set("dhcp", d.dhcp.problems())
	d.warnings.set("dns", d.dns.Problems())
	d.warnings.set("guests", d.index.Warnings())
	d.warnings.set("moves", d.unmoved())
	out := control.Status{
		Version: d.opts.Version, PID: os.Getpid(), Started: d.started,
		Config: d.configPath(), Pins: d.opts.Pins, Files: []string{}, Rev: st.Rev,
		Networks: []control.NetworkStatus{}, Warnings: d.warnings.all(),
	}
	if inForce := d.inForce.Load(); inForce != nil {
		out.Files = append(out.Files, inForce.Files...)
	}
	out.Healthy = len(out.Warnings) == 0
	leases, pins := d.ledger.Leases(), d.ledger.Pins()
	for _, n := range d.networks() {
		out.Networks = append(out.Networks, d.networkStatus(n, pins, leases))
	}
	return out, nil
}

func (d *Daemon) networkStatus(n *ipam.Network, pins []ipam.Pin, leases []ipam.Lease) control.NetworkStatus {
	s := control.NetworkStatus{
		Name: n.Name, Gateway: netip.PrefixFrom(n.Gateway, n.Subnet.Bits()), Range: n.Range.String(),
		Domain: n.Domain, NAT: n.NAT, Resolver: d.resolved.State(n.Name),
	}
	s.Ports = d.portsOf(n)
	used := make(map[netip.Addr]bool)
	for _, p := range pins {
		if n.Subnet.Contains(p.Addr) {
			s.Pins++
			used[p.Addr] = true
		}
	}
	now := time.Now()
	for _, l := range leases {
		if l.Network != n.Name {
			continue
		}
		used[l.Addr] = true
		if !l.Idle && (l.Expiry.IsZero() || l.Expiry.After(now)) {
			s.Leases++
		}
	}
	s.Free = n.Range.Size()
	for a := range used {
		if n.Range.Contains(a) {
			s.Free--
		}
	}
	if n.Range.Contains(n.Gateway) {
		s.Free--
	}
	return s
}

// unmoved are the guests that could not be moved.
func (d *Daemon) unmoved() ipam.Problems {
	var problems ipam.Problems
	for _, t := range d.reconciler.Troubles() {
		problems = append(problems, &ipam.Problem{
			Code: ipam.CodeMove, Err: t.Err, Text: t.Holder.String() + " could not be moved to " + t.To.String() + ": " + t.Err.Error(),
			Hint: "berth tries again by itself; berth show " + t.Holder.String(),
		})
	}
	slices.SortFunc(problems, func(a, b *ipam.Problem) int { return strings.Compare(a.Text, b.Text) })
	return problems
}
