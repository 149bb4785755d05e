package config

import (
	"net/netip"
	"time"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

// The defaults of a network; what follows from its subnet is not among them.
const (
	defaultLeaseTime = time.Hour
	defaultDrain     = 30 * time.Second
)

// draft is a network on the way to being checked, with the places that later checks need.
type draft struct {
	ipam.Network
	ipv4     *document.Value // nil: not said
	resolver []*document.Value
}

// isSubnetKnown reports whether ipv4 was there and good.
func (d *draft) isSubnetKnown() bool { return d.Gateway.IsValid() }

// key is what a network's table may hold.
type key struct {
	name    string
	kind    document.Kind
	example string // as TOML, for a hint
	take    func(*checker, *draft, *document.Value)
}

// networkKeys is every key of a network, in the order in which they are looked at: those
// that depend on the subnet come after it.
func networkKeys() []key {
	return []key{
		{"ipv4", document.String, `"10.64.177.1/24"`, (*checker).ipv4},
		{"dhcp-range", document.String, `"10.64.177.2-10.64.177.254"`, (*checker).dhcpRange},
		{"lease-time", document.String, `"1h"`, (*checker).leaseTime},
		{"nat", document.Bool, "true", func(_ *checker, d *draft, v *document.Value) { d.NAT = v.Bool }},
		{"domain", document.String, `"lxd"`, (*checker).domain},
		{"upstream", document.Array, `["192.0.2.53"]`, (*checker).upstream},
		{"drain", document.String, `"30s"`, (*checker).drain},
		{"trust-hostname", document.Bool, "false", func(_ *checker, d *draft, v *document.Value) { d.TrustHostname = v.Bool }},
		{"authoritative", document.Bool, "true", func(_ *checker, d *draft, v *document.Value) { d.Authoritative = v.Bool }},
		{"dhcp-options", document.TableKind, `{ ntp-servers = ["10.64.177.1"] }`, (*checker).dhcpOptions},
		{"ipv6", document.String, `"fd94:d372:e27f:2987::1/64"`, (*checker).ipv6},
		{"ipv6-mode", document.String, `"slaac+dhcp"`, (*checker).ipv6Mode},
		{"nat6", document.Bool, "true", func(*checker, *draft, *document.Value) {}},
		{"proxy", document.Bool, "false", (*checker).proxy},
	}
}

func keyNames() []string {
	var names []string
	for _, k := range networkKeys() {
		names = append(names, k.name)
	}
	return names
}

func isNetworkKey(name string) bool {
	for _, k := range networkKeys() {
		if k.name == name {
			return true
		}
	}
	return false
}

// network checks one [network.NAME]. It is nil when the entry is none.
func (c *checker) network(e *document.Entry) *draft {
	switch v := e.Value; {
	case v.Kind != document.TableKind && isNetworkKey(e.Key):
		c.add(e.Problem("write [network.lxdbr0] above it", "%s stands outside every network", e.Key))
		return nil
	case v.Kind == document.Array && v.Table != nil:
		c.add(e.Problem("write [network."+e.Key+"], in single brackets", "network %s is a list of tables", e.Key))
		return nil
	case v.Kind != document.TableKind:
		c.refuse(v, "write "+smallest, "network %s is a table, not %s", e.Key, v.Kind)
		return nil
	}
	c.bridgeName(e)
	d := &draft{Network: ipam.Network{
		Name: e.Key, LeaseTime: defaultLeaseTime, Drain: defaultDrain, NAT: true, Authoritative: true,
	}}
	table := e.Value.Table
	for _, k := range networkKeys() {
		have := table.Find(k.name)
		switch {
		case have == nil:
		case have.Value.Kind != k.kind:
			c.refuse(have.Value, "write "+k.name+" = "+k.example, "%s is %s, not %s", k.name, k.kind, have.Value.Kind)
		default:
			k.take(c, d, have.Value)
		}
	}
	c.unknownKeys(e, table)
	if table.Find("ipv4") == nil {
		c.add(e.Problem(`write ipv4 = "10.64.177.1/24" below it: the address of the bridge, and how long the subnet's prefix is`,
			"network %s has no ipv4", e.Key))
	}
	if table.Find("dhcp-range") == nil && d.isSubnetKnown() {
		d.Range = wholeSubnet(&d.Network)
	}
	c.notServed(e, table)
	return d
}

func (c *checker) unknownKeys(network *document.Entry, table *document.Table) {
	for _, e := range table.Entries {
		switch {
		case isNetworkKey(e.Key):
		case e.Value.Kind == document.TableKind && document.Nearest(e.Key, keyNames()) == "":
			c.add(e.Problem(`a bridge with a dot in its name is quoted: [network."`+network.Key+"."+e.Key+`"]`,
				"network %s has no table %s", network.Key, e.Key))
		default:
			c.add(e.Unknown("key", keyNames()))
		}
	}
}

// between checks the networks against each other.
func (c *checker) between(drafts []*draft) {
	gateways := make(map[netip.Addr]string)
	for i, d := range drafts {
		if !d.isSubnetKnown() {
			continue
		}
		gateways[d.Gateway] = d.Name
		for _, other := range drafts[:i] {
			if other.isSubnetKnown() && d.Subnet.Overlaps(other.Subnet) {
				c.refuse(d.ipv4, "give one of them another subnet", "%s of network %s overlaps %s of network %s at %s",
					d.Subnet, d.Name, other.Subnet, other.Name, other.ipv4.At)
				break // one is enough to have to move
			}
		}
	}
	for _, d := range drafts {
		c.loops(d, gateways)
	}
}
