package daemon

import (
	"fmt"
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
