package ipam

import (
	"fmt"
	"net/netip"
	"time"
)

// Range is an inclusive run of IPv4 addresses; the zero Range holds none.
type Range struct {
	From netip.Addr `json:"from,omitzero"`
	To   netip.Addr `json:"to,omitzero"`
}

// IsZero reports whether the range holds no address: pinned guests only.
func (r Range) IsZero() bool { return !r.From.IsValid() }

// Contains reports whether a lies in the range.
func (r Range) Contains(a netip.Addr) bool {
	return !r.IsZero() && r.From.Compare(a) <= 0 && a.Compare(r.To) <= 0
}

// Size is how many addresses the range holds.
func (r Range) Size() int {
	if r.IsZero() {
		return 0
	}
	return int(number(r.To)-number(r.From)) + 1
}

// At is the i-th address of the range, from 0; i must be less than Size.
func (r Range) At(i int) netip.Addr { return address(number(r.From) + uint32(i)) }

// String is "first-last", or "none".
func (r Range) String() string {
	if r.IsZero() {
		return "none"
	}
	return r.From.String() + "-" + r.To.String()
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// Option is a DHCPv4 option that the operator set for a network.
type Option struct {
	Code uint8  `json:"code"`
	Data []byte `json:"data"`
}

// Network is one bridge with its subnet, DHCP range and domain.
type Network struct {
	Name          string // the bridge's interface name
	Gateway       netip.Addr
	Subnet        netip.Prefix // masked
	Range         Range
	LeaseTime     time.Duration
	Drain         time.Duration // how long a moved guest keeps its old address too
	NAT           bool
	NoAccept      bool             // no rule lets guests through the host's own filter: somebody else sees to it
	Domain        string           // lower-case, no dots at the ends
	Upstream      []netip.AddrPort // nil: the host's own resolvers
	TrustHostname bool
	Authoritative bool
	Options       []Option // in order of code
}

// Broadcast is the subnet's last address; invalid for /31 and /32.
func (n *Network) Broadcast() netip.Addr {
	if n.Subnet.Bits() > 30 {
		return netip.Addr{}
	}
	return address(number(n.Subnet.Addr()) | (1<<(32-n.Subnet.Bits()) - 1))
}

// Hosts is the whole subnet without its network and broadcast addresses.
func (n *Network) Hosts() Range {
	first := number(n.Subnet.Addr())
	last := first | (1<<(32-n.Subnet.Bits()) - 1)
	if n.Subnet.Bits() <= 30 {
		first, last = first+1, last-1
	}
	return Range{address(first), address(last)}
}

// Refuse says why no guest may have a on this network, or nil when one may.
func (n *Network) Refuse(a netip.Addr) *Problem {
	problem := func(code, format string, args ...any) *Problem {
		return &Problem{Code: code, Text: fmt.Sprintf(format, args...), Hint: fmt.Sprintf("choose another of %s; %s is the gateway", n.Hosts(), n.Gateway)}
	}
	switch {
	case !n.Subnet.Contains(a):
		return problem(CodeRange, "%s is outside %s of network %s", a, n.Subnet, n.Name)
	case a == n.Gateway:
		return problem(CodeConflict, "%s is the gateway of network %s", a, n.Name)
	case n.Subnet.Bits() <= 30 && a == n.Subnet.Addr():
		return problem(CodeRange, "%s is the network address of %s", a, n.Subnet)
	case a == n.Broadcast():
		return problem(CodeRange, "%s is the broadcast address of %s", a, n.Subnet)
	}
	return nil
}

// Networks is the set that one configuration describes.
type Networks []*Network

// Containing is the network whose subnet holds a, or nil.
func (ns Networks) Containing(a netip.Addr) *Network {
	for _, n := range ns {
		if n.Subnet.Contains(a) {
			return n
		}
	}
	return nil
}

// Named is the network on the bridge called name, or nil.
func (ns Networks) Named(name string) *Network {
	for _, n := range ns {
		if n.Name == name {
			return n
		}
	}
	return nil
}
