package ipam

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Pin is the operator's wish that a guest has an address.
type Pin struct {
	Holder    Holder        `json:"holder"` // a guest's name, or a hardware address
	Name      string        `json:"name,omitempty"`
	Addr      netip.Addr    `json:"addr"`
	LeaseTime time.Duration `json:"lease_time,omitempty"` // 0: the network's
	Source    Source        `json:"source"`
}

// NeverExpires is the lease time of dnsmasq's "infinite".
const NeverExpires = time.Duration(1<<32-1) * time.Second

// DNSName is the name under which the pinned address is published, "" for none: a
// pin by hardware address without a name has none, and a second NIC answers as
// "nic.name".
func (p Pin) DNSName() string {
	name := p.Name
	if name == "" {
		name = p.Holder.Guest
	}
	return DNSName(name)
}

// DNSName turns a guest's name into the one DNS knows: "cent01:eth1" is found
// as "eth1.cent01".
func DNSName(guest string) string {
	base, nic, ok := strings.Cut(strings.ToLower(guest), ":")
	if !ok {
		return base
	}
	if CheckName(nic) != nil {
		return ""
	}
	return nic + "." + base
}

// ResolvePins decides which of the wished pins take effect. A pin that lies where
// no guest may be is refused alone. Of two owners of one address the one that holds it
// now keeps it, else the first in order; the problem names both. Of two addresses for one
// holder on a network the last line wins, as in dnsmasq, and the other is reported.
// holds answers who has an address at this moment. The result is ordered by network and address.
func ResolvePins(wished []Pin, nets Networks, holds func(network string, a netip.Addr) Holder) ([]Pin, Problems) {
	var problems Problems
	type claim struct {
		network string
		holder  Holder
	}
	byHolder := make(map[claim]int, len(wished))
	dropped := make([]bool, len(wished))
	for i, p := range wished {
		net := nets.Containing(p.Addr)
		if net == nil {
			problems = append(problems, outsideEverySubnet(p, nets))
			dropped[i] = true
			continue
		}
		if refused := net.Refuse(p.Addr); refused != nil {
			refused.Source = p.Source
			problems = append(problems, refused)
			dropped[i] = true
			continue
		}
		key := claim{net.Name, p.Holder}
		if before, ok := byHolder[key]; ok {
			problems = append(problems, &Problem{
				Code: CodeConflict, Source: wished[before].Source,
				Text: fmt.Sprintf("%s is pinned twice: to %s here and to %s at %s, which wins", p.Holder, wished[before].Addr, p.Addr, p.Source),
				Hint: "delete one of the two lines",
			})
			dropped[before] = true
		}
		byHolder[key] = i
	}
	byAddr := make(map[netip.Addr]int, len(wished))
	for i, p := range wished {
		if dropped[i] {
			continue
		}
		before, ok := byAddr[p.Addr]
		if !ok {
			byAddr[p.Addr] = i
			continue
		}
		keep, lose := before, i
		if holds(nets.Containing(p.Addr).Name, p.Addr) == p.Holder {
			keep, lose = i, before
			byAddr[p.Addr] = i
		}
		dropped[lose] = true
		problems = append(problems, &Problem{
			Code: CodeConflict, Source: wished[lose].Source,
			Text: fmt.Sprintf("%s is pinned to both %s and %s; %s keeps it (%s)", p.Addr, wished[keep].Holder, wished[lose].Holder, wished[keep].Holder, wished[keep].Source),
			Hint: fmt.Sprintf("give %s another address", wished[lose].Holder),
		})
	}
	var effective []Pin
	for i, p := range wished {
		if !dropped[i] {
			effective = append(effective, p)
		}
	}
	slices.SortFunc(effective, func(a, b Pin) int { return a.Addr.Compare(b.Addr) })
	slices.SortStableFunc(problems, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Source.File, b.Source.File), cmp.Compare(a.Source.Line, b.Source.Line))
	})
	return effective, problems
}

func outsideEverySubnet(p Pin, nets Networks) *Problem {
	var subnets []string
	for _, n := range nets {
		subnets = append(subnets, n.Subnet.String())
	}
	return &Problem{
		Code: CodeRange, Source: p.Source,
		Text: fmt.Sprintf("%s is outside every network (%s)", p.Addr, strings.Join(subnets, ", ")),
		Hint: "choose an address of the subnet, or add the network to berth.toml",
	}
}
