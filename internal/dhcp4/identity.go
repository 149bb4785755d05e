package dhcp4

import (
	"errors"
	"net/netip"
	"strings"

	"berth/internal/ipam"
)

var errImpostor = errors.New("hardware address of a guest that is plugged in elsewhere")

// identities says who asks. What a packet says about itself is never enough: the port decides,
// then the hardware address. The client identifier never counts, because cloned guests share it.
type identities struct {
	ports  Ports
	claims claims
}

// identify finds who sent q through the port of src, into c. The text that c had before is
// used again where it is the same, so that a client costs no memory each time it asks.
//
//	hardware address     port has a name           port has none
//	the guest's own      the guest                 the hardware address, or the host name if trusted
//	another              behind the guest          the hardware address, or the host name if trusted
//	of a guest elsewhere behind the guest, no pin  nobody: errImpostor
//
// The own one is that of the guest's interface, whatever the frame's source was: all that is behind
// the port could forge both. When it is unknown, it is the one that speaks for itself.
func (ids *identities) identify(q *query, src Source, n *ipam.Network, book view, c *ipam.Client) error {
	mac := q.hardware
	elsewhere := ids.ports.ElsewhereMAC(mac, src.PortIndex)
	own := mac == src.NIC
	if src.NIC.IsZero() {
		own = !q.relay.IsValid() && mac == q.srcMAC && !elsewhere
	}
	if own {
		// Two ports with one hardware address: pins by it are for the guest that came first.
		elsewhere = !ids.claims.ownMAC(mac, src.PortIndex, elsewhere)
	}
	id, _ := q.option(optClientID)
	name, _ := q.option(optHostname)
	c.ClientID = again(c.ClientID, id)
	c.Vendor = again(c.Vendor, printable(q.vendor()))
	if c.Hostname != string(name) {
		c.Hostname = hostname(name)
	}
	c.MAC, c.PinMAC = mac, mac
	if elsewhere {
		c.PinMAC = ipam.MAC{}
	}
	switch {
	case own && src.Guest != "":
		c.Holder = ipam.Holder{Guest: src.Guest}
	case src.Guest != "":
		c.Holder = ipam.Holder{Guest: src.Guest, MAC: mac}
	case elsewhere:
		c.Holder = ipam.ByMAC(mac)
		return errImpostor
	default:
		c.Holder = ipam.ByMAC(mac)
		if n.TrustHostname {
			ids.trust(q, src, n, book, c)
		}
	}
	return nil
}

// trust makes a client behind a port that nobody can name the guest of the name it sends, as long
// as no guest that is plugged in, and no other client, has it.
func (ids *identities) trust(q *query, src Source, n *ipam.Network, book view, c *ipam.Client) {
	key := claimant{src.PortIndex, c.MAC}
	name := c.Hostname
	switch {
	case name != "":
	case ids.claims.nameOf(key) != "":
		name = ids.claims.nameOf(key) // renewals need not repeat the name
	default:
		name = nameOfHolder(q.client, n, book) // nor after a restart of the server
	}
	if name == "" || ids.ports.PluggedIn(name) || !ids.claims.name(name, key, q.received, n.LeaseTime) {
		return
	}
	c.Holder = ipam.Holder{Guest: name}
}

func nameOfHolder(a netip.Addr, n *ipam.Network, book view) string {
	if !a.IsValid() {
		return ""
	}
	h, _, _ := book.Owner(n.Name, a)
	if !h.IsGuest() || strings.Contains(h.Guest, ":") {
		return ""
	}
	return h.Guest
}

// again is b as a string: last, when it is the same.
func again(last string, b []byte) string {
	if last == string(b) {
		return last
	}
	return string(b)
}

// printable is b when it is plain text, which a log or a terminal can show as it is.
func printable(b []byte) []byte {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return nil
		}
	}
	return b
}

// hostname is the name that a client claims, or "" when it is none: its first label, lower-case.
func hostname(b []byte) string {
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimRight(string(b), "\x00.")), ".")
	if strings.Contains(name, ":") || ipam.CheckName(name) != nil {
		return ""
	}
	return name
}
