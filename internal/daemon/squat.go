package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"berth/internal/control"
	"berth/internal/ipam"
)

// squatWord begins the note of a guest that uses an address of somebody else.
const squatWord = "uses "

// squats says which address of somebody else the guest's NIC has, "" for none: the gateway's,
// or one that is pinned or leased to another. One that is being moved just now is none.
func (d *Daemon) squats(f *facts) string {
	if f.view == nil {
		return ""
	}
	for _, a := range f.view.Addrs {
		if a == f.net.Gateway {
			return fmt.Sprintf(squatWord+"%s, which is the gateway's", a)
		}
		owner, origin, ok := d.ledger.Owner(f.net.Name, a)
		if !ok || origin == ipam.FromOffer || owner == f.holder || owner == ipam.ByMAC(f.view.Guest.MAC) {
			continue
		}
		if d.ledger.Draining(f.net.Name, a) == f.holder {
			continue
		}
		verb := "leased"
		if origin == ipam.FromPin {
			verb = "pinned"
		}
		return fmt.Sprintf(squatWord+"%s, which is %s to %s", a, verb, owner)
	}
	return ""
}

// squatters are the guests that use an address of somebody else.
func squatters(guests []control.Guest) ipam.Problems {
	var problems ipam.Problems
	for _, g := range guests {
		if strings.HasPrefix(g.Note, squatWord) {
			problems = append(problems, &ipam.Problem{
				Code: ipam.CodeConflict, Text: fmt.Sprintf("%s (port %s of %s) %s", g.Name, g.Port, g.Network, g.Note),
				Hint: fmt.Sprintf("take it away inside %s, whose own configuration put it there; or give the owner another: berth pin", g.Name),
			})
		}
	}
	return problems
}

// maxLooked is how many ports a network may have for a command to look at all of them.
const maxLooked = 256

// alsoUsed warns, in the reply to a command, of other guests that use a subject's pinned address.
func (d *Daemon) alsoUsed(ctx context.Context, subjects []subject) ipam.Problems {
	var problems ipam.Problems
	for _, s := range subjects {
		for _, p := range d.pinsOf(s.holder) {
			if !s.net.Subnet.Contains(p.Addr) || d.portsOf(s.net) > maxLooked {
				continue
			}
			for _, v := range d.reconciler.Observe(ctx, s.net) {
				if v.Holder == s.holder || ipam.ByMAC(v.Guest.MAC) == p.Holder || !slices.Contains(v.Addrs, p.Addr) {
					continue
				}
				problems = append(problems, &ipam.Problem{
					Code: ipam.CodeConflict, Text: fmt.Sprintf("%s (port %s) uses %s too, which nobody gave it: both answer", v.Holder, v.Guest.Port, p.Addr),
					Hint: fmt.Sprintf("take it away inside %s, or: berth pin %s another", v.Holder, s.holder),
				})
			}
		}
	}
	return problems
}

func (d *Daemon) portsOf(n *ipam.Network) (ports int) {
	for _, g := range d.index.Snapshot() {
		if g.Bridge == n.Name {
			ports++
		}
	}
	return ports
}
