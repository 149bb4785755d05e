package dhcp4

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"berth/internal/ipam"
)

const (
	shortestLease = 2 * time.Minute // that a client may wish for
	settlingT1    = time.Minute     // at most, in the ACK that changes an address
	// apart is between T1 and T2 at least. Clients shift both by up to a second at random (RFC 2131 §4.4.5), and
	// systemd-networkd 252, once T2 comes before T1, asks nothing any more and loses its lease.
	apart = 3 * time.Second
)

// leaseTime is for how long a client gets its address: what its pin says, or its network; a
// client may wish for less (RFC 2131 §4.3.1), though not so little that it floods itself.
func leaseTime(q *query, n *ipam.Network, e ipam.Entitlement) time.Duration {
	configured := n.LeaseTime
	if e.LeaseTime > 0 {
		configured = e.LeaseTime
	}
	if q.lease > 0 && q.lease < configured {
		return min(max(q.lease, shortestLease), configured)
	}
	return configured
}

// renewalTimes are T1 and T2 (RFC 2131 §4.4.5). A client that was just told another address
// comes back soon: several believe the old one until they have renewed once more.
func renewalTimes(lease time.Duration, changed bool) (t1, t2 time.Duration) {
	if lease >= ipam.NeverExpires && !changed {
		return ipam.NeverExpires, ipam.NeverExpires
	}
	if changed {
		t1 = max(min(settlingT1, lease/10), time.Second)
		if t2 = max(2*t1, t1+apart); t2 <= lease/8*7 {
			return t1, t2
		}
	}
	return lease / 2, lease / 8 * 7
}

// compose collects the reply that a decision asks for; e is what the client is entitled to, and
// lease for how long.
func (r *reply) compose(q *query, n *ipam.Network, d *decision, e ipam.Entitlement, lease time.Duration) {
	r.reset()
	r.kind = d.reply
	r.put(optType, byte(d.reply))
	r.putAddr(optServerID, serverID(q, n)) // RFC 2131 §4.3.1: in every reply
	if v, sent := q.option(optClientID); sent {
		r.put(optClientID, v...) // RFC 6842 §3: exactly as it came
	}
	if d.reply == nak {
		r.putText(optText, d.why) // RFC 2131 §4.3.1, table 3: and nothing else
	} else {
		if d.to == toHolder {
			r.client = q.client // table 3: ciaddr of the request in an ACK
		}
		if d.reply != offer && q.kind == inform {
			r.client = q.client
		} else {
			r.yours = e.Addr
			t1, t2 := renewalTimes(lease, d.changed)
			r.putTime(optLeaseTime, lease)
			r.putTime(optT1, t1)
			r.putTime(optT2, t2)
		}
		if d.rapid {
			r.put(optRapidCommit) // RFC 4039 §3.1
		}
		r.parameters(q, n, e)
	}
	if v, sent := q.option(optSubnet); sent {
		r.put(optSubnet, v...) // RFC 3011 §3: echoed when it was heeded
	}
	if v, sent := q.option(optRelay); sent {
		r.put(optRelay, v...) // RFC 3046 §2.2: exactly as it came
	}
}

// serverID is how the server calls itself.
func serverID(q *query, n *ipam.Network) netip.Addr {
	if q.override.IsValid() {
		return q.override // RFC 5107 §4
	}
	return n.Gateway
}

// parameters adds what the network gives its guests: defaults, then what the operator set,
// each only when the client takes it.
func (r *reply) parameters(q *query, n *ipam.Network, e ipam.Entitlement) {
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], ^uint32(0)<<(32-n.Subnet.Bits()))
	r.put(optMask, mask[:]...)
	if q.wants(optRouter) {
		r.putAddr(optRouter, n.Gateway)
	}
	if q.wants(optDNS) {
		r.putAddr(optDNS, n.Gateway)
	}
	if label, _, _ := strings.Cut(e.Name, "."); label != "" && q.wants(optHostname) {
		r.putText(optHostname, label)
	}
	if n.Domain != "" && q.wants(optDomain) {
		r.putText(optDomain, n.Domain)
	}
	if b := n.Broadcast(); b.IsValid() && q.wants(optBroadcast) {
		r.putAddr(optBroadcast, b)
	}
	for _, o := range n.Options {
		switch {
		case isOwn(o.Code):
		case len(o.Data) == 0:
			r.drop(o.Code) // an option set to nothing is not sent, as in dnsmasq
		case o.Code == optMask || q.wants(o.Code):
			r.put(o.Code, o.Data...)
		}
	}
	r.defaultRoute(q, n, optRoutes)
	r.defaultRoute(q, n, optRoutesMS)
	r.domainName(q, n, e)
}

// isOwn reports whether the protocol itself decides an option, so that nobody can set it.
func isOwn(code byte) bool {
	switch code {
	case optPad, optRequested, optLeaseTime, optOverload, optType, optServerID, optParameterList, optText,
		optMaxSize, optT1, optT2, optClientID, optRapidCommit, optFQDN, optRelay, optAuth, optSubnet, optNonce, optEnd:
		return true
	}
	return false
}

// defaultRoute completes classless routes: a client that takes them ignores the router option
// (RFC 3442), so the way out must be among them.
func (r *reply) defaultRoute(q *query, n *ipam.Network, code byte) {
	if !r.has(code) {
		return
	}
	for routes := r.value(code); len(routes) > 0; {
		width := int(routes[0])
		size := 1 + (width+7)/8 + 4
		if width == 0 || width > 32 || size > len(routes) {
			return // one is there, or the operator wrote what is no list of routes: as it is
		}
		routes = routes[size:]
	}
	via := n.Gateway.As4()
	for _, o := range n.Options {
		if o.Code != optRouter {
			continue
		}
		if len(o.Data) < 4 {
			return // no way out is wanted
		}
		copy(via[:], o.Data)
	}
	r.put(code, r.value(code)...)
	r.grow(code, 0)
	r.grow(code, via[:]...)
}

// domainName answers option 81 (RFC 4702): the name is the one that DNS has, whatever was asked for.
func (r *reply) domainName(q *query, n *ipam.Network, e ipam.Entitlement) {
	const flagS, flagO, flagE, flagN = 1, 2, 4, 8
	v, sent := q.option(optFQDN)
	if !sent || len(v) < 3 {
		return
	}
	asked := v[0]
	flags := asked & flagE
	if e.Name == "" {
		flags |= flagN // §4: nobody updates anything
		if asked&flagS != 0 {
			flags |= flagO
		}
		r.put(optFQDN, flags, 255, 255)
		return
	}
	flags |= flagS
	if asked&flagS == 0 {
		flags |= flagO
	}
	r.put(optFQDN, flags, 255, 255) // §2.2: the two RCODEs are 255 from a server
	name := strings.Trim(e.Name+"."+n.Domain, ".")
	if flags&flagE == 0 {
		r.growText(optFQDN, name)
		return
	}
	for label := range strings.SplitSeq(name, ".") {
		r.grow(optFQDN, byte(len(label)))
		r.growText(optFQDN, label)
	}
	r.grow(optFQDN, 0)
}
