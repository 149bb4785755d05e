package dhcp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// Why a message gets no answer, whoever sent it.
var (
	errNotRequest = errors.New("message is no request of a client on Ethernet")
	errValue      = errors.New("option has a value that it can not have")
	errUntrusted  = errors.New("relay information without a relay")
)

const maxClientID = 255

// query is one client's message: the view, and what decisions are made on.
type query struct {
	frame
	message
	received time.Time

	kind      messageType
	hardware  ipam.MAC   // chaddr; the frame's source when that is zero
	client    netip.Addr // ciaddr; invalid: none
	relay     netip.Addr // giaddr; invalid: none
	requested netip.Addr // option 50; invalid: not sent
	serverID  netip.Addr // option 54; invalid: not sent
	subnet    netip.Addr // where the client is, when it does not speak for itself; invalid: here
	override  netip.Addr // the server's address as the relay wants it to be called (RFC 5107)
	lease     time.Duration
	list      []byte // option 55
	maxSize   int    // option 57, in bytes of IP datagram
}

// parse reads a frame. What it returns an error for is dropped.
func (q *query) parse(b []byte) error {
	if err := q.frame.parse(b); err != nil {
		return err
	}
	if err := q.message.parse(q.frame.payload); err != nil {
		return err
	}
	// RFC 1542 §2.1 and §4.1.1: only BOOTREQUEST, at most 16 hops. RFC 2131 §2: Ethernet.
	if q.op() != 1 || q.htype() != 1 || q.hops() > 16 {
		return errNotRequest
	}
	q.hardware, q.client, q.relay = q.chaddr(), q.ciaddr(), q.giaddr()
	switch {
	case q.hlen() != 6 && (q.hlen() != 0 || !q.hardware.IsZero()):
		return errNotRequest
	case q.hardware.IsZero() && q.relay.IsValid():
		return errNotRequest // nothing would tell one such client from another
	case q.hardware.IsZero():
		q.hardware = q.srcMAC
	}
	if !q.hardware.IsUnicast() || !q.srcMAC.IsUnicast() {
		return errNotRequest
	}
	return q.options()
}

// options reads the options that decisions depend on, and refuses values of a wrong size.
func (q *query) options() error {
	kind, _ := q.option(optType)
	if len(kind) != 1 {
		return errValue
	}
	q.kind = messageType(kind[0])
	var ok [3]bool
	q.requested, ok[0] = q.addrOption(optRequested)
	q.serverID, ok[1] = q.addrOption(optServerID)
	q.subnet, ok[2] = q.addrOption(optSubnet)
	if ok != [3]bool{true, true, true} {
		return errValue
	}
	if id, sent := q.option(optClientID); sent && len(id) > maxClientID {
		return errValue // could not be echoed in the smallest message (RFC 6842 §3)
	}
	q.lease = 0
	if v, sent := q.option(optLeaseTime); sent {
		if len(v) != 4 {
			return errValue
		}
		q.lease = time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	}
	q.maxSize = minMaxSize
	if v, sent := q.option(optMaxSize); sent {
		if len(v) != 2 {
			return errValue
		}
		q.maxSize = int(binary.BigEndian.Uint16(v))
	}
	q.list, _ = q.option(optParameterList)
	return q.relayInformation()
}

func (q *query) addrOption(code byte) (netip.Addr, bool) {
	v, sent := q.option(code)
	return addrFrom(v), !sent || len(v) == 4
}

// relayInformation reads option 82 (RFC 3046). Link selection (RFC 3527) goes before the
// client's own subnet selection (RFC 3011), and that before giaddr.
func (q *query) relayInformation() error {
	q.override = netip.Addr{}
	info, sent := q.option(optRelay)
	if !q.relay.IsValid() {
		if sent {
			return errUntrusted // RFC 3046 §2.1: from a client itself it is discarded
		}
		return nil
	}
	if len(info) > 255 {
		return errValue // could not be echoed in the smallest message
	}
	if !q.subnet.IsValid() {
		q.subnet = q.relay
	}
	for len(info) > 0 {
		if len(info) < 2 || len(info) < 2+int(info[1]) {
			return errValue
		}
		code, v := info[0], info[2:2+int(info[1])]
		info = info[2+len(v):]
		switch a := addrFrom(v); {
		case code == 5 && a.IsValid():
			q.subnet = a
		case code == 11 && a.IsValid():
			q.override = a
		}
	}
	return nil
}

// wants reports whether the client asked for an option; one that sends no list takes all.
func (q *query) wants(code byte) bool {
	return len(q.list) == 0 || bytes.IndexByte(q.list, code) >= 0
}

// vendor is option 60.
func (q *query) vendor() []byte { v, _ := q.option(optVendor); return v }

// isUdhcpc reports whether the client is busybox udhcpc.
func (q *query) isUdhcpc() bool { return bytes.HasPrefix(q.vendor(), []byte("udhcp ")) }

// wantsNonce reports whether the client can be told to renew with a nonce it was given (RFC 6704 §3.1.2).
func (q *query) wantsNonce() bool {
	v, _ := q.option(optNonce)
	return bytes.IndexByte(v, 1) >= 0
}

// isForged reports whether a frame came from another interface than the one it speaks for. A
// nested container could give up the address of the guest it lives in that way; what the guest's own
// interface says goes through no relay.
func (q *query) isForged(own bool) bool {
	return q.srcMAC != q.hardware && (own || !q.relay.IsValid())
}
