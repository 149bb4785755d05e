package dhcp4

import (
	"net/netip"
	"time"

	"berth/internal/ipam"
)

const (
	// nakPause is how long an OFFER waits after a NAK. systemd-networkd 252 that is offered an
	// address at once ends up with none, and does not heal by itself.
	nakPause = 50 * time.Millisecond
	// nakMemory is for how long a NAK slows the OFFERs to its client.
	nakMemory = 10 * time.Second
	// udhcpcPause is how long an ACK waits for busybox udhcpc, which opens its receiving socket
	// only after it has sent.
	udhcpcPause = 5 * time.Millisecond
)

// who is the one that asks, as the port showed.
type who struct {
	client  ipam.Client
	own     bool      // it is the guest's own interface at the port
	lastNAK time.Time // the last one sent to this client; zero: none that matters
}

// effect is what must be done in the book before the reply may leave.
type effect uint8

const (
	keep       effect = iota // nothing
	hold                     // Offer: whatever address the client is given is that of the reply
	holdBind                 // Offer, then Bind what was offered
	bind                     // Bind addr
	claim                    // Offer with addr as the wish; Bind when that is what was offered, else refuse
	giveUp                   // Release addr
	quarantine               // Decline addr
)

// destination is where a reply goes (RFC 2131 §4.1), as far as it is known before an address is.
type destination uint8

const (
	toNewAddress destination = iota // the address it carries, or broadcast when the client wishes so
	toHolder                        // ciaddr
	toEveryone                      // broadcast
	toEveryoneAndHolder
	toRelay // giaddr
)

// decision is what to do about a message. The zero decision is silence.
type decision struct {
	effect  effect
	addr    netip.Addr
	reply   messageType
	to      destination
	denied  destination   // of the NAK to a claim that is not granted
	changed bool          // the reply carries another address than the client was last told
	rapid   bool          // RFC 4039
	delay   time.Duration // from the arrival of the message
	why     string        // fixed texts: the NAK carries them, the log shows them
}

// answer decides about a message. It changes nothing and does no I/O.
func answer(q *query, w who, n *ipam.Network, book view, now time.Time) decision {
	// RFC 3011 §3, RFC 3527 §3: silent for a client that is on a subnet of somebody else.
	if q.subnet.IsValid() && !n.Subnet.Contains(q.subnet) {
		return decision{why: "the client is on a subnet that is not served here"}
	}
	var d decision
	switch q.kind {
	case discover:
		d = answerDiscover(q, w, n, now)
	case request:
		d = answerRequest(q, w, n, book)
	case decline:
		d = answerDecline(q, w, n, book)
	case release:
		d = answerRelease(q, w, n, book)
	case inform:
		d = answerInform(q, n)
	default:
		d = decision{why: "a message that only servers send, or of an unknown type"}
	}
	if d.reply == ack && q.isUdhcpc() {
		d.delay = max(d.delay, udhcpcPause)
	}
	if q.relay.IsValid() {
		d.to, d.denied = toRelay, toRelay // RFC 2131 §4.1
	}
	return d
}

// answerDiscover offers: pin, own address, wished address, any (RFC 2131 §4.3.1). ciaddr is not
// looked at: NetworkManager leaves the old one there after a NAK.
func answerDiscover(q *query, w who, n *ipam.Network, now time.Time) decision {
	d := decision{effect: hold, addr: q.requested, reply: offer, why: "offered"}
	// RFC 4039 §3.1, only where no other server can be.
	if q.has(optRapidCommit) && n.Authoritative {
		d.effect, d.reply, d.rapid, d.why = holdBind, ack, true, "bound at once"
	}
	if !w.lastNAK.IsZero() && now.Sub(w.lastNAK) < nakMemory {
		d.delay = nakPause
	}
	return d
}

// answerDecline takes an address out of use (RFC 2131 §4.3.3). Whose it is goes by port and hardware
// address, so that it works for pinned guests as well, which have no lease of their own making.
func answerDecline(q *query, w who, n *ipam.Network, book view) decision {
	switch {
	case q.serverID != serverID(q, n):
		return decision{why: "decline: meant for another server"} // table 5: MUST be there
	case !q.requested.IsValid():
		return decision{why: "decline: names no address"} // table 5: MUST be there
	case q.isForged(w.own):
		return decision{why: "decline: not from the interface it speaks for"}
	case !has(q.requested, w.client, n, book):
		return decision{why: "decline: not this client's address"}
	}
	return decision{effect: quarantine, addr: q.requested, why: "declined"}
}

// answerRelease notes that a client is gone (RFC 2131 §4.3.4). The book keeps the address for it, as the RFC
// asks; a pin is never given up by its guest: several clients release whenever they reconfigure.
func answerRelease(q *query, w who, n *ipam.Network, book view) decision {
	switch {
	case q.serverID.IsValid() && q.serverID != serverID(q, n):
		return decision{why: "release: meant for another server"}
	case q.isForged(w.own):
		return decision{why: "release: not from the interface it speaks for"}
	case !q.client.IsValid() || !has(q.client, w.client, n, book):
		return decision{why: "release: not this client's address"}
	}
	return decision{effect: giveUp, addr: q.client, why: "released"}
}

// answerInform gives parameters to one that has an address already (RFC 2131 §4.3.5): to ciaddr, without a lease time.
func answerInform(q *query, n *ipam.Network) decision {
	switch {
	case q.serverID.IsValid() && q.serverID != serverID(q, n):
		return decision{why: "inform: meant for another server"}
	case !q.client.IsValid() || !n.Subnet.Contains(q.client):
		return decision{why: "inform: from an address that is not of this subnet"}
	}
	return decision{reply: ack, to: toHolder, why: "informed"}
}

// has reports whether an address is the client's, by whichever of its names.
func has(a netip.Addr, c ipam.Client, n *ipam.Network, book view) bool {
	if e := book.Entitled(n.Name, c); e.Addr == a {
		return true
	}
	h, _, taken := book.Owner(n.Name, a)
	return taken && (h == c.Holder || !c.PinMAC.IsZero() && h == ipam.ByMAC(c.PinMAC))
}
