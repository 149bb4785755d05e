package host

import (
	"crypto/sha256"
	"net/netip"

	"berth/internal/ipam"
)

// Bridge is what the configuration wants of one bridge.
type Bridge struct {
	Name  string
	MAC   ipam.MAC       // given when berth creates the bridge; an adopted one keeps its own
	Addrs []netip.Prefix // the gateway's addresses, not masked
}

// Wanted derives the bridges from the networks.
func Wanted(nets ipam.Networks, machineID string) []Bridge {
	bridges := make([]Bridge, 0, len(nets))
	for _, n := range nets {
		bridges = append(bridges, Bridge{
			Name:  n.Name,
			MAC:   bridgeMAC(machineID, n.Name),
			Addrs: []netip.Prefix{netip.PrefixFrom(n.Gateway, n.Subnet.Bits())},
		})
	}
	return bridges
}

// bridgeMAC is the hardware address of a bridge that berth creates. It is derived, not
// drawn, so that a bridge made anew is the same gateway to its guests; and given
// explicitly, because a bridge without one takes the lowest of its ports'.
func bridgeMAC(machineID, name string) ipam.MAC {
	sum := sha256.Sum256([]byte("berth bridge\x00" + machineID + "\x00" + name))
	mac := ipam.MACFrom(sum[:])
	mac[0] = mac[0]&^0x01 | 0x02 // unicast, locally administered (IEEE 802 §8.2)
	return mac
}

// setting is a kernel parameter and the value berth needs it to have.
type setting struct{ key, value string }

const (
	forwardKey      = "net/ipv4/ip_forward"
	acceptRADefault = "net/ipv6/conf/default/accept_ra"
)

func forwardingKey(dev string) string { return "net/ipv4/conf/" + dev + "/forwarding" }
func promoteKey(dev string) string    { return "net/ipv4/conf/" + dev + "/promote_secondaries" }
func acceptRAKey(dev string) string   { return "net/ipv6/conf/" + dev + "/accept_ra" }

// bridgeSettings are the parameters of one bridge:
//
//	forwarding           guests' packets leave the subnet; matters where someone switched it off for one interface
//	promote_secondaries  removing one address of a subnet never takes the others with it
//	accept_ra            a guest must not configure the host by router advertisements; an adopted bridge may
//	                     have its uplink's address by them, so there it stays as it is
//
// rp_filter, send_redirects and route_localnet stay as the administrator has them:
// send_redirects of one interface has no effect while the one for "all" is set.
func bridgeSettings(name string, created bool) []setting {
	wanted := []setting{{forwardingKey(name), "1"}, {promoteKey(name), "1"}}
	if created {
		wanted = append(wanted, setting{acceptRAKey(name), "0"})
	}
	return wanted
}
