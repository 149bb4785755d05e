package daemon

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"berth/internal/control"
	"berth/internal/ipam"
	"berth/internal/leasefile"
	"berth/internal/ledger"
)

// Import implements control.Daemon. Leases become those of the guests whose interfaces have the
// hardware addresses, and else of the hardware addresses themselves.
func (d *Daemon) Import(ctx context.Context, req control.ImportRequest) (control.Import, error) {
	done := control.Import{DryRun: req.DryRun, Files: []string{}, Imported: []control.ImportedLease{}, LeftOut: []*ipam.Problem{}, Unserved: []*ipam.Problem{}}
	if len(req.Files) == 0 {
		return done, &ipam.Problem{Code: ipam.CodeUsage, Text: "no lease file was given", Hint: "berth import dnsmasq --leases FILE"}
	}
	if req.Source != "" {
		lost, err := unserved(req.Source, "")
		if err != nil {
			return done, err
		}
		if req.DryRun {
			done.Unserved = append(done.Unserved, lost...)
		}
	}
	if err := d.token(ctx); err != nil { // the networks must not change meanwhile
		return done, err
	}
	defer d.release()
	var found []ledger.Found
	for _, f := range req.Files {
		file, problems := leasefile.Parse(f.Path, []byte(f.Text))
		done.Files = append(done.Files, f.Path)
		done.LeftOut = append(done.LeftOut, problems...)
		leases, problems := d.found(file)
		found = append(found, leases...)
		done.LeftOut = append(done.LeftOut, problems...)
	}
	found, problems := d.oneForEach(ctx, found)
	done.LeftOut = append(done.LeftOut, problems...)
	var taken ledger.Imported
	var err error
	if req.DryRun {
		taken = d.ledger.PlanImport(found)
	} else {
		taken, err = d.ledger.Import(context.WithoutCancel(ctx), found)
		d.log.Info("leases taken over", "rev", taken.Rev, "leases", len(taken.Taken), "same", taken.Same, "left_out", len(taken.Problems)+len(done.LeftOut), "err", err)
	}
	done.Rev, done.Same = taken.Rev, taken.Same
	done.LeftOut = append(done.LeftOut, taken.Problems...)
	now := time.Now()
	for _, l := range taken.Taken {
		done.Imported = append(done.Imported, control.ImportedLease{
			Name: l.Holder.String(), Network: l.Network, Addr: l.Addr, MAC: macText(l.MAC), Hostname: l.Hostname,
			Expiry: l.Expiry, Expired: !l.Expiry.IsZero() && !l.Expiry.After(now),
		})
	}
	return done, err
}

// place is a hardware address on a bridge.
type place struct {
	bridge string
	mac    ipam.MAC
}

// guestsByMAC tells the guests by the hardware addresses of their own interfaces. Guests choose these: one that
// several have, or that has no name, names nobody.
func (d *Daemon) guestsByMAC() map[place]string {
	names, seen := make(map[place]string), make(map[place]bool)
	for _, g := range d.index.Snapshot() {
		at := place{g.Bridge, g.MAC}
		if names[at] = g.Name; seen[at] {
			delete(names, at)
		}
		seen[at] = true
	}
	return names
}

// found turns the leases of a file into what the ledger takes over.
func (d *Daemon) found(file *leasefile.File) ([]ledger.Found, ipam.Problems) {
	var out []ledger.Found
	var problems ipam.Problems
	names, now := d.guestsByMAC(), time.Now()
	var v6 []leasefile.Lease
	for i, l := range file.Leases {
		if l.Addr.Is6() {
			v6 = append(v6, l)
			continue
		}
		mac, ok := l.Hardware.MAC()
		if !ok {
			problems = append(problems, &ipam.Problem{
				Code: ipam.CodeConfig, Source: l.Source, Text: fmt.Sprintf("%s is leased to %s, which is no Ethernet interface", l.Addr, l.Hardware),
				Hint: "only leases of Ethernet clients can be taken over",
			})
			continue
		}
		f := ledger.Found{Source: l.Source, Lease: ipam.Lease{
			Holder: ipam.ByMAC(mac), Addr: l.Addr, MAC: mac, ClientID: hex.EncodeToString(l.ClientID), Hostname: l.Hostname,
			Start: now.Add(time.Duration(-i)), Expiry: l.Expiry, // the newest comes first
		}}
		if n := d.networks().Containing(l.Addr); n != nil {
			f.Network = n.Name
			if name := names[place{n.Name, mac}]; name != "" {
				f.Holder = ipam.ByName(name)
			}
		}
		out = append(out, f)
	}
	if len(v6) > 0 {
		problems = append(problems, &ipam.Problem{
			Code: ipam.CodeConfig, Source: v6[0].Source, Text: fmt.Sprintf("leases of DHCPv6 are not taken over; there are %d", len(v6)),
			Hint: "guests ask for IPv6 addresses anew; to give one a fixed address: berth pin NAME ADDR ADDR6",
		})
	}
	return out, problems
}

// oneForEach leaves each holder one lease on a network, as dnsmasq, which tells clients by their identifiers,
// does not: the one on the address that it really has, else the one that holds longest, else the first.
func (d *Daemon) oneForEach(ctx context.Context, found []ledger.Found) ([]ledger.Found, ipam.Problems) {
	byHolder := make(map[rowKey][]int)
	for i, f := range found {
		if f.Network != "" {
			k := rowKey{f.Network, f.Holder}
			byHolder[k] = append(byHolder[k], i)
		}
	}
	best := make(map[rowKey]int)
	for k, all := range byHolder {
		best[k] = all[0]
		if len(all) == 1 {
			continue
		}
		v, _ := d.reconciler.Look(ctx, d.networks().Named(k.network), k.holder)
		for _, i := range all[1:] {
			has, had := slices.Contains(v.Addrs, found[i].Addr), slices.Contains(v.Addrs, found[best[k]].Addr)
			if has && !had || has == had && outlasts(found[i].Expiry, found[best[k]].Expiry) {
				best[k] = i
			}
		}
	}
	var kept []ledger.Found
	var problems ipam.Problems
	for i, f := range found {
		k := rowKey{f.Network, f.Holder}
		if f.Network == "" || best[k] == i {
			kept = append(kept, f)
			continue
		}
		other := found[best[k]]
		problems = append(problems, &ipam.Problem{
			Code: ipam.CodeConflict, Source: f.Source, Text: fmt.Sprintf("%s has another lease, on %s (%s), and keeps that instead of %s", f.Holder, other.Addr, other.Source, f.Addr),
			Hint: fmt.Sprintf("to give it this one: berth pin %s %s", f.Holder, f.Addr),
		})
	}
	return kept, problems
}

// outlasts reports whether a lease that ends at a holds longer than one that ends at b; zero is never.
func outlasts(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.After(b))
}
