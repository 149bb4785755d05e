// Package leasefile reads and writes the lease file of dnsmasq.
package leasefile

import (
	"fmt"
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// File is what a lease file says.
type File struct {
	Leases []Lease // IPv4, then IPv6, each in the order of the file: dnsmasq writes the newest first
	DUID   []byte  // of the server; nil: it serves no DHCPv6, and there are no IPv6 leases
	Notes  []Note
}

// Lease is a line of the file. Hardware is of IPv4 leases, IAID and Temporary are of IPv6 ones.
type Lease struct {
	Expiry    time.Time // in whole seconds, UTC; zero: never
	Hardware  Hardware
	IAID      uint32
	Temporary bool // RFC 8415 §13.2: an IA_TA
	Addr      netip.Addr
	Hostname  string // as it stands there; "": none is known
	ClientID  []byte // option 61, or the client's DUID; nil: none was sent
	Source    ipam.Source
}

// Note is what dnsmasq 2.92 and later keep beside a lease.
type Note struct {
	Kind string // "agent-info" (option 82) or "vendorclass" (option 60)
	Addr netip.Addr
	Data []byte
}

// The kinds of notes.
const (
	agentInfo   = "agent-info"
	vendorClass = "vendorclass"
)

// ethernet is the hardware type of RFC 826, which the file does not mention.
const ethernet = 1

// Hardware is a hardware address of any kind.
type Hardware struct {
	Type byte // RFC 1700; 1 is Ethernet
	Addr []byte
}

// HardwareOf is an Ethernet address.
func HardwareOf(mac ipam.MAC) Hardware { return Hardware{Type: ethernet, Addr: mac[:]} }

// MAC is the address when it is one of Ethernet, and can be an interface's.
func (h Hardware) MAC() (ipam.MAC, bool) {
	if h.Type != ethernet || len(h.Addr) != 6 {
		return ipam.MAC{}, false
	}
	mac := ipam.MACFrom(h.Addr)
	return mac, mac.IsUnicast()
}

// String is the form that the file has.
func (h Hardware) String() string { return string(appendHardware(nil, h)) }

// IsLive reports whether the lease holds at a time.
func (l *Lease) IsLive(now time.Time) bool { return l.Expiry.IsZero() || l.Expiry.After(now) }

// limits of the format: a client's identifier and a server's DUID as dnsmasq takes them, a hardware
// address as DHCP has room for (RFC 2131 §2), the last second that a time.Time can be stored with.
const (
	maxClientID = 255
	maxDUID     = 130
	maxHardware = 16
	maxExpiry   = 1<<63/1_000_000_000 - 1
)

// bad is a problem with a field of the file.
func bad(at ipam.Source, hint, format string, args ...any) *ipam.Problem {
	return &ipam.Problem{Code: ipam.CodeConfig, Source: at, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// shown is a field as a message quotes it: what a hostile file holds is not repeated at length.
func shown(field []byte) string {
	const enough = 40
	if len(field) > enough {
		return fmt.Sprintf("%q...", field[:enough])
	}
	return fmt.Sprintf("%q", field)
}
