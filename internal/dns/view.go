package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"berth/internal/ipam"
)

// maxTTL is the longest that anybody may remember a local answer, in seconds.
const maxTTL = 10

// network is what answering needs of an ipam.Network.
type network struct {
	name     string
	domain   string // "" for none
	gateway  netip.Addr
	subnet   netip.Prefix
	ttl      uint32           // seconds; never longer than a moved guest keeps its old address
	upstream []netip.AddrPort // nil: the host's own resolvers
}

// fqdn is the absolute form of a name of the network.
func (n *network) fqdn(relative string) string {
	if n.domain == "" {
		return relative + "."
	}
	return relative + "." + n.domain + "."
}

// zone is a domain and the networks that share it.
type zone struct {
	origin   string // without the final dot
	networks []*network
}

// view is everything that one configuration says, never changed after it is made.
type view struct {
	networks []*network
	zones    []*zone       // deepest first
	reverse  []reverseZone // most specific first
	gateways map[netip.Addr]bool
}

func newView(networks ipam.Networks) *view {
	v := &view{gateways: make(map[netip.Addr]bool)}
	for _, in := range networks {
		n := &network{
			name:     in.Name,
			domain:   strings.ToLower(strings.Trim(in.Domain, ".")),
			gateway:  in.Gateway,
			subnet:   in.Subnet,
			ttl:      min(maxTTL, uint32(max(in.Drain, 0)/time.Second)),
			upstream: slices.Clone(in.Upstream),
		}
		v.networks = append(v.networks, n)
		v.gateways[n.gateway] = true
		v.reverse = append(v.reverse, subnetZone(n))
		if n.domain != "" {
			v.addZone(n)
		}
	}
	slices.SortStableFunc(v.zones, func(a, b *zone) int {
		return cmp.Compare(strings.Count(b.origin, "."), strings.Count(a.origin, "."))
	})
	v.reverse = append(v.reverse, privateZones()...)
	slices.SortStableFunc(v.reverse, func(a, b reverseZone) int {
		return cmp.Compare(b.prefix.Bits(), a.prefix.Bits())
	})
	return v
}

func (v *view) addZone(n *network) {
	for _, z := range v.zones {
		if z.origin == n.domain {
			z.networks = append(z.networks, n)
			return
		}
	}
	v.zones = append(v.zones, &zone{origin: n.domain, networks: []*network{n}})
}

// network is the one on the bridge called name, or nil.
func (v *view) network(name string) *network {
	for _, n := range v.networks {
		if n.name == name {
			return n
		}
	}
	return nil
}

// zoneOf is the deepest zone that name lies in, or nil.
func (v *view) zoneOf(name string) *zone {
	for _, z := range v.zones {
		if isUnder(name, z.origin) {
			return z
		}
	}
	return nil
}

// isUnder reports whether name is origin or below it; both in lower case without final dot.
func isUnder(name, origin string) bool {
	rest, ok := strings.CutSuffix(name, origin)
	return ok && (rest == "" || rest[len(rest)-1] == '.')
}

// firstOf orders networks so that first leads: a guest is told the address on
// its own network before any other.
func firstOf(first *network, networks []*network) []*network {
	if len(networks) < 2 || !slices.Contains(networks, first) {
		return networks
	}
	ordered := append(make([]*network, 0, len(networks)), first)
	for _, n := range networks {
		if n != first {
			ordered = append(ordered, n)
		}
	}
	return ordered
}
