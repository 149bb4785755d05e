package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"berth/internal/ipam"
)

// Spec is what the table shall be about: the networks, ordered by bridge.
type Spec struct{ Networks []Network }

// Network is one bridge as the firewall sees it.
type Network struct {
	Bridge   string
	Gateway  netip.Addr   // where guests find the name server
	Subnet   netip.Prefix // IPv4, masked
	NAT      bool         // guests leave with the address of the interface they leave through
	NoAccept bool         // input and forward have no rule for it
}

// Wanted derives the table from the networks.
func Wanted(nets ipam.Networks) Spec {
	var s Spec
	for _, n := range nets {
		s.Networks = append(s.Networks, Network{n.Name, n.Gateway, n.Subnet, n.NAT, n.NoAccept})
	}
	slices.SortFunc(s.Networks, func(a, b Network) int { return cmp.Compare(a.Bridge, b.Bridge) })
	return s
}

// String is the table in nft's own syntax: loaded by nft it gives exactly the table
// that Apply makes.
//
//	input        guests reach DHCP, and the name server of their own network; nobody else
//	             reaches that one through berth's addresses, the host itself excepted
//	forward      to and from guests everything passes. An accept cannot undo a drop in
//	             another table: see Obstacles
//	postrouting  what leaves a network is masqueraded, but not what stays on its bridge (which comes
//	             by here when bridge-nf-call-iptables is 1) nor what goes to another of berth's networks
//
// A network with NoAccept is in the last one alone.
func (s Spec) String() string {
	var bridges, gateways, addresses, subnets, masquerade []string
	for _, n := range s.Networks {
		if !n.NoAccept {
			bridges = append(bridges, fmt.Sprintf("%q", n.Bridge))
			for _, from := range []string{n.Bridge, "lo"} {
				gateways = append(gateways, fmt.Sprintf("%q . %s", from, n.Gateway))
			}
			addresses = append(addresses, n.Gateway.String())
		}
		subnets = append(subnets, n.Subnet.String())
		if n.NAT {
			masquerade = append(masquerade, fmt.Sprintf("\t\toifname != %q ip saddr %s ip daddr != @subnets masquerade\n", n.Bridge, n.Subnet))
		}
	}
	return "table inet " + Table + " {\n" +
		setText("bridges", "type ifname", bridges) +
		setText("gateways", "type ifname . ipv4_addr", gateways) +
		setText("addresses", "type ipv4_addr", addresses) +
		setText("subnets", "type ipv4_addr\n\t\tflags interval", subnets) +
		`	chain input {
		type filter hook input priority filter; policy accept;
		iifname @bridges udp dport 67 accept
		iifname . ip daddr @gateways udp dport 53 accept
		iifname . ip daddr @gateways tcp dport 53 accept
		ip daddr @addresses udp dport 53 drop
		ip daddr @addresses tcp dport 53 drop
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname @bridges accept
		oifname @bridges accept
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
` + strings.Join(masquerade, "") + "\t}\n}\n"
}

func setText(name, kind string, elements []string) string {
	text := "\tset " + name + " {\n\t\t" + kind + "\n"
	if name == "bridges" {
		text += fmt.Sprintf("\t\tcomment %q\n", versionComment)
	}
	if len(elements) > 0 {
		text += "\t\telements = { " + strings.Join(elements, ", ") + " }\n"
	}
	return text + "\t}\n\n"
}

// versionComment tells a reader of the ruleset who made the table, and in which shape.
const versionComment = "made by berth, version 1"
