package guest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"berth/internal/ipam"
)

// port is one bridge port and what was found behind it.
type port struct {
	link
	bridge string
	nic    link   // the other end, inside; zero while unknown
	space  *space // nil while unknown
	retry  retry
}

// leadsInside reports whether another namespace is behind the port.
func (p *port) leadsInside() bool { return p.kind == "veth" && p.nsid != noNamespace }

// isSettled reports whether looking again would tell nothing new.
func (p *port) isSettled() bool {
	if p.kind != "veth" {
		return true
	}
	return p.space != nil && !p.space.dead && p.space.mark.name != "" && p.nic.index != 0
}

// guest is what others see of the port.
func (p *port) guest(name string) Guest {
	g := Guest{Name: name, Port: p.name, PortIndex: p.index, Bridge: p.bridge}
	if p.nic.index != 0 {
		g.NIC, g.NICIndex, g.MAC = p.nic.name, p.nic.index, p.nic.mac
	}
	if p.space != nil {
		g.Namespace, g.Runtime = p.space.ns, p.space.mark.runtime
	}
	return g
}

// assign decides the names of the ports of one bridge, by port index. The first
// interface inside a namespace bears the guest's name, further ones are NAME:NIC. Of two
// namespaces of one name the first known has it. Nobody gets a name that is none.
func assign(ports []*port) (map[int]string, ipam.Problems) {
	names := make(map[int]string, len(ports))
	var problems ipam.Problems
	owners := make(map[string]*port)
	for _, group := range bySpace(ports) {
		first := group[0]
		name := strings.ToLower(first.space.mark.name)
		if name == "" {
			continue
		}
		if err := checkBaseName(name); err != nil {
			problems = append(problems, &ipam.Problem{
				Code: ipam.CodeHost,
				Text: fmt.Sprintf("the guest on port %s of %s has no usable name: %v", first.name, first.bridge, err),
				Hint: "rename the container to letters, digits and hyphens",
			})
			continue
		}
		if owner, taken := owners[name]; taken {
			if first.space.dead {
				continue // its port will go; the guest has come back under another
			}
			problems = append(problems, &ipam.Problem{
				Code: ipam.CodeConflict,
				Text: fmt.Sprintf("two guests of %s are called %s: the one on port %s was there first, the one on port %s stays unnamed",
					first.bridge, name, owner.name, first.name),
				Hint: "rename one of the two containers",
			})
			continue
		}
		owners[name] = first
		names[first.index] = name
		for _, p := range group[1:] {
			full := name + ":" + strings.ToLower(p.nic.name)
			err := ipam.CheckName(full)
			if err == nil && isTaken(names, full) {
				err = fmt.Errorf("%s has two of them", name)
			}
			if err != nil {
				problems = append(problems, &ipam.Problem{
					Code: ipam.CodeHost,
					Text: fmt.Sprintf("interface %q of %s, on port %s of %s, has no usable name: %v", p.nic.name, name, p.name, p.bridge, err),
					Hint: "rename the interface inside the container, like eth1",
				})
				continue
			}
			names[p.index] = full
		}
	}
	return names, problems
}

// checkBaseName refuses a colon too: it would claim another guest's second interface.
func checkBaseName(name string) error {
	if strings.Contains(name, ":") {
		return fmt.Errorf("%q contains a colon", name)
	}
	return ipam.CheckName(name)
}

func isTaken(names map[int]string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// bySpace groups the ports that lead to a known namespace: living before dead, then in
// order of discovery; within a group by the ifindex inside.
func bySpace(ports []*port) [][]*port {
	known := make([]*port, 0, len(ports))
	for _, p := range ports {
		if p.space != nil && p.nic.index != 0 {
			known = append(known, p)
		}
	}
	slices.SortFunc(known, func(a, b *port) int {
		if a.space != b.space {
			return cmp.Or(order(a.space.dead, b.space.dead), cmp.Compare(a.space.seq, b.space.seq))
		}
		return cmp.Compare(a.nic.index, b.nic.index)
	})
	var groups [][]*port
	for i, p := range known {
		if i == 0 || known[i-1].space != p.space {
			groups = append(groups, nil)
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], p)
	}
	return groups
}

// order sorts false before true.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
