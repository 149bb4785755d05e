package host

import (
	"fmt"
	"net/netip"
	"slices"

	"berth/internal/ipam"
)

// Plan is the difference between wanted and observed. What is in the way of a
// change comes back as ipam.Problems, and then there are no changes at all. It is pure.
func Plan(wanted []Bridge, seen Observed) ([]Change, error) {
	var changes []Change
	var problems ipam.Problems
	if value, ok := seen.Sysctls[forwardKey]; ok && value != "1" && len(wanted) > 0 {
		changes = append(changes, Change{Action: SetSysctl, Key: forwardKey, From: value, To: "1"})
	}
	for _, b := range wanted {
		link, exists := seen.Links[b.Name]
		if exists && link.Kind != "bridge" {
			problems = append(problems, notABridge(b, link))
			continue
		}
		if !hasAll(link, b.Addrs) {
			problems = append(problems, conflicts(b, seen)...)
		}
		changes = append(changes, bridgeChanges(b, link, exists, seen)...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return changes, nil
}

// bridgeChanges adds before it takes away: an interface without addresses loses its routes too.
func bridgeChanges(b Bridge, link Link, exists bool, seen Observed) []Change {
	var changes []Change
	record, known := seen.Record.of(link)
	created := !exists || known && record.Created
	switch {
	case !exists:
		changes = append(changes, Change{Action: CreateBridge, Bridge: b.Name, MAC: b.MAC})
	case !known && link.MAC == b.MAC:
		created = true
		changes = append(changes, Change{Action: ReclaimOwn, Bridge: b.Name, MAC: b.MAC})
	case !known:
		changes = append(changes, Change{Action: AdoptBridge, Bridge: b.Name, MAC: link.MAC})
	}
	for _, s := range bridgeSettings(b.Name, created) {
		if from, differs := seen.differs(s, b.Name, exists); differs {
			changes = append(changes, Change{Action: SetSysctl, Bridge: b.Name, Key: s.key, From: from, To: s.value})
		}
	}
	for _, a := range b.Addrs {
		if !slices.Contains(link.Addrs, a) {
			changes = append(changes, Change{Action: AddAddress, Bridge: b.Name, Addr: a})
		}
	}
	if !link.Up {
		changes = append(changes, Change{Action: BringUp, Bridge: b.Name})
	}
	if known {
		for _, a := range record.Addrs {
			if !slices.Contains(b.Addrs, a) && slices.Contains(link.Addrs, a) {
				changes = append(changes, Change{Action: DropAddress, Bridge: b.Name, Addr: a})
			}
		}
	}
	return changes
}

// differs reports whether a bridge's parameter must be set, and its value now. A
// bridge that does not exist yet will have the default's; a change of ip_forward
// sets forwarding everywhere.
func (o Observed) differs(s setting, bridge string, exists bool) (from string, differs bool) {
	switch s.key {
	case forwardingKey(bridge):
		key := s.key
		if !exists {
			key = forwardingKey("default")
		}
		from, ok := o.Sysctls[key]
		return from, ok && from != s.value && o.Sysctls[forwardKey] == "1"
	case acceptRAKey(bridge):
		if !exists {
			_, hasIPv6 := o.Sysctls[acceptRADefault]
			return "", hasIPv6
		}
	}
	if !exists {
		return "", true
	}
	from, ok := o.Sysctls[s.key]
	return from, ok && from != s.value
}

func hasAll(link Link, addrs []netip.Prefix) bool {
	for _, a := range addrs {
		if !slices.Contains(link.Addrs, a) {
			return false
		}
	}
	return true
}

func notABridge(b Bridge, link Link) *ipam.Problem {
	return &ipam.Problem{
		Code: ipam.CodeHost,
		Text: fmt.Sprintf("%s exists and is a %s, not a bridge", b.Name, kindName(link.Kind)),
		Hint: fmt.Sprintf("choose another name for the network in berth.toml, or rename the other: ip link set %s down && ip link set %s name %s", b.Name, b.Name, otherName(b.Name)),
	}
}

func kindName(kind string) string {
	if kind == "device" {
		return "network card"
	}
	return kind
}

// otherName is a free-looking name of at most 15 bytes (IFNAMSIZ).
func otherName(name string) string { return name[:min(len(name), 11)] + "-old" }

// conflicts finds who else uses the subnet: an address in it on another interface,
// or a route to it or a part of it. A wider route is none, the narrower one wins.
func conflicts(b Bridge, seen Observed) ipam.Problems {
	var problems ipam.Problems
	for _, want := range b.Addrs {
		subnet := want.Masked()
		var taken []string
		for _, name := range sortedNames(seen.Links) {
			for _, a := range seen.Links[name].Addrs {
				if name == b.Name || !subnet.Contains(a.Addr()) {
					continue
				}
				taken = append(taken, name)
				problems = append(problems, &ipam.Problem{
					Code: ipam.CodeHost,
					Text: fmt.Sprintf("the subnet %s of network %s is in use: %s has the address %s", subnet, b.Name, name, a),
					Hint: fmt.Sprintf("give %s another subnet in berth.toml (ipv4 = \"auto\" finds a free one), or: ip addr del %s dev %s", b.Name, a, name),
				})
			}
		}
		for _, r := range seen.Routes {
			if r.Link == b.Name || slices.Contains(taken, r.Link) || r.To.Bits() < subnet.Bits() || !subnet.Contains(r.To.Addr()) {
				continue
			}
			problems = append(problems, &ipam.Problem{
				Code: ipam.CodeHost,
				Text: fmt.Sprintf("the subnet %s of network %s is in use: the route to %s goes through %s", subnet, b.Name, r.To, r.Link),
				Hint: fmt.Sprintf("give %s another subnet in berth.toml (ipv4 = \"auto\" finds a free one), or: ip route del %s dev %s", b.Name, r.To, r.Link),
			})
		}
	}
	return problems
}

func sortedNames(links map[string]Link) []string {
	names := make([]string, 0, len(links))
	for name := range links {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
