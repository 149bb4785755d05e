// Package dhcp4 is the DHCPv4 server of one network (RFC 2131). It hears each guest at the
// guest's own port, so that nothing a packet says decides who is asking; it decides with a pure
// function, answer; and it replies with raw frames out of the very port the question came from.
package dhcp4

import (
	"context"
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// view is the part of the book that decisions are made on. It does no I/O.
type view interface {
	// Entitled is what a client may have now; its Addr is invalid when nothing is decided.
	Entitled(network string, c ipam.Client) ipam.Entitlement
	// Owner is who an address belongs to; false: nobody.
	Owner(network string, a netip.Addr) (ipam.Holder, ipam.Origin, bool)
}

// Book is what the server needs of the owner of pins and leases.
type Book interface {
	view
	// Offer finds an address for a client and holds it in memory for a while. requested may be
	// invalid; it is a wish. A full range is an *ipam.Problem of ipam.CodeFull.
	Offer(network string, c ipam.Client, requested netip.Addr) (ipam.Entitlement, error)
	// Bind makes addr the client's, durably before it returns. Any error means: say nothing.
	Bind(ctx context.Context, network string, c ipam.Client, addr netip.Addr, leaseTime time.Duration) (ipam.Lease, error)
	// Release notes that the client no longer uses addr. An offer that was not bound is free
	// again; a lease stays the client's, idle; a pin stays a pin.
	Release(ctx context.Context, network string, h ipam.Holder, addr netip.Addr) error
	// Decline puts addr in quarantine.
	Decline(ctx context.Context, network string, h ipam.Holder, addr netip.Addr) error
}

// Source is who is plugged into a port.
type Source struct {
	Guest     string   // lower-case; "" when nobody can name it
	NIC       ipam.MAC // hardware address of the guest's own interface there; zero: unknown
	Port      string
	PortIndex int
}

// Ports says what is plugged in where. It is asked for every packet, from the goroutine of the port.
type Ports interface {
	// Source is what is behind a port; false: not known yet, ask again soon.
	Source(portIndex int) (Source, bool)
	// ElsewhereMAC reports whether mac is a guest's own interface on another port of the network.
	ElsewhereMAC(mac ipam.MAC, portIndex int) bool
	// PluggedIn reports whether a guest of that name is behind any port of the network.
	PluggedIn(name string) bool
}

// messageType is the value of option 53 (RFC 2132 §9.6); zero is no message.
type messageType uint8

const (
	silence  messageType = 0
	discover messageType = 1
	offer    messageType = 2
	request  messageType = 3
	decline  messageType = 4
	ack      messageType = 5
	nak      messageType = 6
	release  messageType = 7
	inform   messageType = 8
)

// String is the name in RFC 2131, without the "DHCP".
func (t messageType) String() string {
	names := [...]string{"silence", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform"}
	if int(t) < len(names) {
		return names[t]
	}
	return "unknown"
}

// Option codes (RFC 2132 unless said otherwise).
const (
	optPad           = 0
	optMask          = 1
	optRouter        = 3
	optDNS           = 6
	optHostname      = 12
	optDomain        = 15
	optBroadcast     = 28
	optRequested     = 50
	optLeaseTime     = 51
	optOverload      = 52
	optType          = 53
	optServerID      = 54
	optParameterList = 55
	optText          = 56
	optMaxSize       = 57
	optT1            = 58
	optT2            = 59
	optVendor        = 60
	optClientID      = 61
	optRapidCommit   = 80  // RFC 4039
	optFQDN          = 81  // RFC 4702
	optRelay         = 82  // RFC 3046
	optAuth          = 90  // RFC 3118
	optSubnet        = 118 // RFC 3011
	optRoutes        = 121 // RFC 3442
	optNonce         = 145 // RFC 6704
	optRoutesMS      = 249 // the same as 121, before it had a number
	optEnd           = 255
)
