package client

import (
	"slices"
	"strings"
)

// dhcpcd is recognised by its titles: "dhcpcd: eth0 [ip4]" or "dhcpcd: [manager] [ip4] [ip6]". It notices the
// change by itself and asks for the new address within milliseconds; signals only disturb it.
func dhcpcd(s *scene) (Client, claim) {
	sure := absent
	for _, p := range s.called("dhcpcd") {
		// The title is written over the arguments, in one piece.
		words := strings.Fields(strings.Join(p.Argv, " "))
		switch {
		case slices.Contains(words, s.guest.NIC), s.root.read("run/dhcpcd/"+s.guest.NIC+".pid") != "":
			sure = claimed
		default:
			sure = max(sure, running)
		}
	}
	return waiting{"dhcpcd"}, sure
}
