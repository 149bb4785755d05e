package dhcp4

import (
	"net/netip"

	"berth/internal/ipam"
)

// Why a request is refused: the NAK says it to the client, the log to the operator.
const (
	whyNetwork = "wrong network"
	whyOther   = "the address is another's"
	whyMoved   = "another address is meant for this client"
)

// answerRequest tells the states of a client apart (RFC 2131 §4.3.2, table 4). The server identifier is
// looked at first: NetworkManager sends a stale ciaddr in SELECTING, and whoever goes by that
// refuses it for ever.
func answerRequest(q *query, w who, n *ipam.Network, book view) decision {
	e := book.Entitled(n.Name, w.client)
	switch {
	case q.serverID.IsValid():
		return answerSelecting(q, w, n, book, e)
	case q.client.IsValid():
		return answerRenewing(q, w, n, book, e)
	case q.requested.IsValid():
		return answerRebooting(q, w, n, book, e)
	}
	return decision{why: "request: names no address"}
}

// answerSelecting is for a client that chose among offers; only option 50 counts.
func answerSelecting(q *query, w who, n *ipam.Network, book view, e ipam.Entitlement) decision {
	switch {
	case q.serverID != serverID(q, n):
		// RFC 2131 §3.1(4): the offer is declined by that.
		if e.Origin == ipam.FromOffer {
			return decision{effect: giveUp, addr: e.Addr, why: "request: another server was chosen"}
		}
		return decision{why: "request: another server was chosen"}
	case !q.requested.IsValid():
		return decision{why: "request: names no address"} // §4.3.2: MUST be there
	case e.Addr == q.requested:
		return bound(e.Addr, toNewAddress, e)
	case e.Addr.IsValid():
		// A pin came between offer and request: the next DISCOVER brings it.
		return refused(whyMoved, toEveryone)
	}
	// The offer ran out, or was made before a restart.
	return unknown(q.requested, toNewAddress, toEveryone, n, book)
}

// answerRenewing is for RENEWING and REBINDING.
func answerRenewing(q *query, w who, n *ipam.Network, book view, e ipam.Entitlement) decision {
	rebinding := q.dst != n.Gateway
	known := e.Addr.IsValid() && e.Origin != ipam.FromOffer
	switch {
	case e.Addr == q.client:
		return bound(e.Addr, toHolder, e)
	case known && rebinding && !n.Authoritative && e.Acked != q.client:
		// §4.3.2 REBINDING: it may be bound by another server.
		return decision{why: "request: perhaps another server's"}
	case known && !n.Subnet.Contains(q.client) && e.Acked != q.client:
		return refused(whyNetwork, toEveryoneAndHolder)
	case known && q.wantsNonce():
		// dhcpcd, the only client that sends this, loses its routes when an ACK changes its address.
		return refused(whyMoved, toEveryoneAndHolder)
	case known:
		// §4.3.2 would refuse. Every other client takes the new address from the ACK without
		// losing a packet, while a NAK costs up to seconds. It is the client that counts, whoever
		// has the old address by now: some name it once more after they have the new one.
		d := bound(e.Addr, toHolder, e)
		d.changed, d.why = true, "bound to another address"
		return d
	case !n.Authoritative:
		return decision{why: "request: unknown client"}
	}
	return unknown(q.client, toHolder, toEveryoneAndHolder, n, book)
}

// answerRebooting is for INIT-REBOOT. An address that is no longer the client's is refused, not
// replaced: dhclient ends up with both otherwise.
func answerRebooting(q *query, w who, n *ipam.Network, book view, e ipam.Entitlement) decision {
	known := e.Addr.IsValid() && e.Origin != ipam.FromOffer
	switch {
	case e.Addr == q.requested:
		return bound(e.Addr, toNewAddress, e)
	case known && !n.Subnet.Contains(q.requested):
		return refused(whyNetwork, toEveryone)
	case known:
		return refused(whyMoved, toEveryone)
	case !n.Authoritative:
		return decision{why: "request: unknown client"} // §4.3.2: MUST remain silent
	}
	return unknown(q.requested, toNewAddress, toEveryone, n, book)
}

// unknown decides about a client of which nothing is stored and which names an address. It
// may have what nobody needs, as after a loss of all leases (RFC 2131 §4.3.2 leaves that to
// the server that is the only one).
func unknown(a netip.Addr, granted, denied destination, n *ipam.Network, book view) decision {
	if !n.Subnet.Contains(a) {
		return refused(whyNetwork, denied)
	}
	if _, _, taken := book.Owner(n.Name, a); taken || n.Refuse(a) != nil {
		return refused(whyOther, denied)
	}
	return decision{effect: claim, addr: a, reply: ack, to: granted, denied: denied, why: "bound as it wished"}
}

func bound(a netip.Addr, to destination, e ipam.Entitlement) decision {
	d := decision{effect: bind, addr: a, reply: ack, to: to, why: "bound"}
	d.changed = e.Acked.IsValid() && e.Acked != a
	return d
}

// refused is a NAK. RFC 2131 §4.1 has it broadcast; a client that renews hears only what is
// sent to its own address (systemd-networkd, NetworkManager), so that it goes there too.
func refused(why string, to destination) decision {
	return decision{reply: nak, to: to, why: why}
}
