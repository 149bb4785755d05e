package client

import "slices"

// dhclient is recognised by the interface among its arguments. It knows no signal for renewing: it learns of
// the new address at its next renewal, which costs it a few milliseconds.
func dhclient(s *scene) (Client, claim) {
	sure := absent
	for _, p := range s.called("dhclient") {
		switch {
		case len(p.Argv) > 1 && slices.Contains(p.Argv[1:], "-6"):
		case len(p.Argv) > 1 && slices.Contains(p.Argv[1:], s.guest.NIC):
			sure = claimed
		default:
			sure = max(sure, running) // without names it takes all interfaces
		}
	}
	return waiting{"dhclient"}, sure
}
